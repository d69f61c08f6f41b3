"""The container's files: what they copy is there, what they start is a command, and an ONNX file needs no torch."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from typer.testing import CliRunner

from deployment.export import write_exports
from deployment.serve import app
from tests.conftest import ROOT
from tests.support.deployed import drawn_network, made_data
from trainables.errors import InputError

FOLDER = ROOT / "deployment" / "docker"
HEAVY = ("torch", "ray", "mlflow", "matplotlib", "pandas", "sklearn")


def requirements(lines: list[str]) -> dict[str, Requirement]:
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {one.name.replace("-", "_").lower(): one for one in found}


def test_the_image_runs_as_nobody_and_copies_what_is_there() -> None:
    text = (FOLDER / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE):
        *sources, _ = line.split()
        assert all((ROOT / source).exists() for source in sources), line
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(packages["packages"]) <= set(re.findall(r"^COPY (\w+) \w+$", text, re.MULTILINE))
    (user,) = re.findall(r"^USER (\d+)$", text, re.MULTILINE)
    assert int(user) > 0
    assert not re.search(r"(?i)token=\S|password", text)


def test_its_requirements_have_bounds_and_agree_with_the_extra() -> None:
    ours = requirements((FOLDER / "requirements.txt").read_text().splitlines())
    assert all({spec.operator for spec in one.specifier} == {">=", "<"} for one in ours.values())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert requirements(project["optional-dependencies"]["serve"]).keys() <= ours.keys()
    known = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    assert ours.keys() <= requirements(known).keys()


def test_the_composition_is_reached_from_this_machine_alone_and_its_command_is_one(tmp_path: Path) -> None:
    (service,) = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"].values()
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"]
    assert (FOLDER / service["build"]["context"] / service["build"]["dockerfile"]).resolve() == FOLDER / "Dockerfile"
    token = tmp_path / "token"
    token.write_text("a-token-of-sixteen-letters")
    token.chmod(0o600)
    words = [str(token) if word == "/run/token" else word for word in service["command"]]
    # Every option is known, the token is taken, and the model is looked for.
    with pytest.raises(InputError, match=r"/model/model\.onnx cannot be read"):
        CliRunner().invoke(app, words, catch_exceptions=False)


def test_an_onnx_file_is_served_without_torch(tmp_path: Path) -> None:
    write_exports(drawn_network(made_data((6, 6, 1)), {"model": "mlp", "hidden_dims": (4,)}), tmp_path, ["onnx"])
    code = (
        "import sys; from pathlib import Path; import deployment.serve; "
        "from deployment.prediction.resolve_model import open_model; "
        "from deployment.service.run_server import app_of; from deployment.service.settings import Settings; "
        f"app_of(open_model({str(tmp_path / 'model.onnx')!r}, 'results'), Settings()); "
        f"print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert shown.stdout.strip() == ""
