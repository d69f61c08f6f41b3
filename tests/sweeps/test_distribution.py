"""The name on the package index is ours, messages say how to install, and another project's package is told apart."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from sweeps.record import provenance
from tests.conftest import ROOT
from trainables import errors


def test_messages_name_the_distribution_that_pyproject_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["name"] == errors.DISTRIBUTION
    assert errors.DISTRIBUTION in provenance.PACKAGES
    for line in (ROOT / "docs").rglob("*.md"):
        assert "sweeps[" not in line.read_text().replace(f"{errors.DISTRIBUTION}[", "")


def test_the_citation_names_the_version_and_licence_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])


def test_every_extra_has_the_bounds_that_the_tests_run_with() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    tested = {need.name: need for need in map(Requirement, [*project["dependencies"], *extras["dev"]])}
    for extra in extras.keys() - {"dev"}:
        for need in map(Requirement, extras[extra]):
            assert need.specifier == tested[need.name].specifier, (extra, need.name)


def test_an_extra_is_installed_from_the_checkout_or_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert errors.pip_install("timm") == f"pip install -e '{ROOT}[timm]'"
    monkeypatch.setattr(errors, "__file__", str(tmp_path / "trainables" / "errors.py"))
    assert errors.pip_install("timm") == "pip install 'medsweeps[timm]'"


def test_another_projects_package_of_our_name_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "__init__.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "analysis.compare", "latest"], cwd=tmp_path, capture_output=True, text=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{tmp_path}:{ROOT}"},
    )  # fmt: skip
    assert done.returncode == 2
    assert "another project's" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_commit_of_a_project_around_ours_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "thesis"], check=True)
    inside = tmp_path / ".venv" / "site-packages" / "sweeps" / "record" / "provenance.py"
    inside.parent.mkdir(parents=True)
    monkeypatch.delenv("SWEEPS_GIT", raising=False)
    monkeypatch.setattr(provenance, "__file__", str(inside))
    assert provenance.git_state() == {}


def test_an_sdist_holds_every_file_of_the_project_and_a_wheel_those_of_its_packages() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no git checkout: the project's files are not known")
    sdist = pytest.importorskip("hatchling.builders.sdist", reason="needs hatchling")
    wheel = pytest.importorskip("hatchling.builders.wheel", reason="needs hatchling")
    # Of a working tree: also files that are still to be added, never those that git ignores.
    git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    project = {name for name in listed.split("\0") if name and (ROOT / name).is_file()}
    assert "docs/start.md" in project
    assert {one.relative_path for one in sdist.SdistBuilder(str(ROOT)).recurse_included_files()} == project
    hatch = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]
    packages = hatch["build"]["targets"]["wheel"]["packages"]
    packed = {one.relative_path for one in wheel.WheelBuilder(str(ROOT)).recurse_included_files()}
    assert packed == {name for name in project if name.partition("/")[0] in packages}
