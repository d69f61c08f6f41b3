"""Weights of a user's network: its code runs where the user's own file is what it was, or where it is trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.own_parts import write_parts
from trainables.config import TrialConfig
from trainables.data.datasets import load
from trainables.data.normalization import Normalization
from trainables.errors import InputError
from trainables.models import module_types
from trainables.network.build import build_model
from trainables.network.trained import load_data_of, load_trained
from trainables.parts.planned import planned_config
from trainables.training.checkpoint import save_weights, weights_metadata
from trainables.user_code import permission
from trainables.user_code.in_use import forget_sources, save_sources, sources_in_use
from trainables.user_code.permission import changed_sources, describe_sources, trust_saved

NORMALIZATION = Normalization((0.5,), (0.5,))


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working directory with the user's files and weights of `my_net.py:MyNet`, its code kept in run/code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(permission, "_TRUSTED", [])
    write_parts(tmp_path)
    forget_sources()
    write_weights(tmp_path / "best.safetensors", {"model": "my_net.py:MyNet", "activation": "my_parts.py:Squareplus"})
    sources = sources_in_use()
    save_sources(tmp_path / "run/code", sources)
    (tmp_path / "run/run.json").write_text(json.dumps({"code": describe_sources(sources)}))
    forget_sources()
    return tmp_path


def write_weights(path: Path, values: dict[str, Any]) -> TrialConfig:
    config, data = planned_config({"dataset": "digits", **values}), load("digits")
    torch.manual_seed(0)
    model = build_model(config, data.info)
    metadata = weights_metadata(config, data, NORMALIZATION, module_types(model), 0)
    save_weights(path, model.state_dict(), metadata, 1)
    return config


def kept(lab: Path) -> Any:
    return json.loads((lab / "run/run.json").read_text())["code"]


def test_the_file_of_the_working_directory_is_used_where_it_is_what_it_was(lab: Path) -> None:
    trained = load_trained(lab / "best.safetensors")
    assert type(trained.model).__name__ == "MyNet"
    assert set(trained.code) == {"my_net.py:MyNet", "my_parts.py:Squareplus"}


def test_a_changed_or_missing_file_is_not(lab: Path) -> None:
    net = lab / "my_net.py"
    net.write_text(net.read_text() + "\nopen('was_run', 'w').close()\n")
    with pytest.raises(InputError, match=r"my_net.py:MyNet .* has changed since .*--trust-code"):
        load_trained(lab / "best.safetensors")
    net.unlink()
    forget_sources()
    with pytest.raises(InputError, match=r"is not here as it was then: .*--trust-code"):
        load_trained(lab / "best.safetensors")
    assert not (lab / "was_run").exists()


def test_the_copy_of_the_run_is_used_where_it_is_trusted(lab: Path) -> None:
    (lab / "my_net.py").unlink()
    trust_saved(lab / "run/code", kept(lab))
    assert type(load_trained(lab / "best.safetensors").model).__name__ == "MyNet"


def test_a_copy_that_was_changed_is_never_used(lab: Path) -> None:
    (lab / "my_net.py").unlink()
    (copy,) = (lab / "run/code").rglob("my_net.py")
    copy.write_text(copy.read_text() + "\nopen('was_run', 'w').close()\n")
    with pytest.raises(InputError, match="does not hold the code"):
        trust_saved(lab / "run/code", kept(lab))


def test_weights_that_name_other_code_run_none(lab: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    net, _ = write_parts(elsewhere)
    for spec in (f"{net}:MyNet", "torch.nn.functional:softsign"):
        field = "model" if spec.endswith("MyNet") else "activation"
        write_weights(lab / "other.safetensors", {field: spec})
        forget_sources()
        with pytest.raises(InputError, match="--trust-code"):
            load_trained(lab / "other.safetensors")


def test_a_dataset_of_a_function_is_loaded_under_the_same_rule(lab: Path) -> None:
    (lab / "my_data.py").write_text(
        "import numpy as np\n\n\ndef load():\n    images = np.arange(30 * 64, dtype=np.uint8).reshape(30, 8, 8)\n"
        "    return {'images': images, 'labels': np.arange(30) % 3}\n"
    )
    config, data = planned_config({"dataset": "my_data.py:load", "model": "mlp"}), load("my_data.py:load")
    model = build_model(config, data.info)
    save_weights(
        lab / "d.safetensors", model.state_dict(), weights_metadata(config, data, NORMALIZATION, {}, 0), 1
    )  # fmt: skip
    forget_sources()
    assert load_data_of(load_trained(lab / "d.safetensors")).digest == data.digest
    (lab / "my_data.py").write_text("open('was_run', 'w').close()\n")
    forget_sources()
    with pytest.raises(InputError, match="--trust-code"):
        load_data_of(load_trained(lab / "d.safetensors"))
    assert not (lab / "was_run").exists()


def test_the_files_that_changed_are_named(lab: Path) -> None:
    before = kept(lab)
    net = lab / "my_net.py"
    net.write_text(net.read_text().replace("width: int = 4", "width: int = 5"))
    planned_config({"model": "my_net.py:MyNet", "activation": "my_parts.py:Squareplus"})
    assert changed_sources(before) == ["my_net.py"]


def test_a_module_of_the_working_directory_counts_as_its_file(lab: Path) -> None:
    (lab / "nets").mkdir()
    write_parts(lab / "nets")
    write_weights(lab / "module.safetensors", {"model": "nets.my_net:MyNet"})
    forget_sources()
    assert type(load_trained(lab / "module.safetensors").model).__name__ == "MyNet"
