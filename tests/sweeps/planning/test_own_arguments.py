"""Arguments of a user's own parts as fields of a sweep: typed, given roles, planned, refused where none takes them."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from ray import tune

from cluster.check_command import parse
from search_spaces.definition import Optuna, Pbt, Sweep
from search_spaces.sweep_json import from_data, to_data
from sweeps.planning.options import Options, apply
from sweeps.planning.override_files import read_options
from sweeps.planning.plan import make_plan
from sweeps.schedulers.pbt import population_fields
from sweeps.searchers.domains import changeable_ranges
from sweeps.searchers.grid import expand
from tests.support.own_parts import write_parts
from trainables.errors import InputError

FIXED = {"dataset": "digits", "epochs": 2, "batch_size": 64}


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    return write_parts(tmp_path)


def sweep(scientific: dict[str, Any], nuisance: dict[str, Any] | None = None, **more: Any) -> Sweep:
    return Sweep("?", scientific, nuisance or {}, {**FIXED, **more.pop("fixed", {})}, seeds=(0,), **more)


def rows(found: list[Any], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(getattr(config, name, None) for name in names) for config in found]


def test_an_argument_is_varied_where_it_is_taken_and_left_out_elsewhere(files: tuple[str, str]) -> None:
    model = f"{files[0]}:MyNet"
    asked = sweep({"model": tune.grid_search(["cnn", model]), "model.width": tune.grid_search([4, 8])})
    found = expand(asked)
    assert rows(found, "model", "model.width") == [("cnn", None), (model, 4), (model, 8)]


def test_an_argument_of_a_tuned_optimizer(files: tuple[str, str]) -> None:
    own = f"{files[1]}:SignSGD"
    nuisance = {"optimizer": tune.grid_search(["sgd", "adamw", own]), "optimizer.eps": tune.grid_search([1e-8, 1e-3])}
    found = expand(sweep({"model": "mlp"}, nuisance))
    assert rows(found, "optimizer", "optimizer.eps") == [
        ("sgd", None), ("adamw", 1e-8), ("adamw", 1e-3), (own, 1e-8), (own, 1e-3),
    ]  # fmt: skip
    assert {config.optimizer: config.lr for config in found} == {"sgd": 1e-3, "adamw": 1e-3, own: 0.01}


def test_an_argument_that_no_value_takes_is_refused(files: tuple[str, str]) -> None:
    with pytest.raises(InputError, match=r"unknown argument 'model.wide': did you mean 'model.width'"):
        expand(sweep({"model": f"{files[0]}:MyNet", "model.wide": tune.grid_search([1, 2])}))
    with pytest.raises(InputError, match=r"unknown field 'modell.width': did you mean 'model.width'"):
        expand(sweep({"model": f"{files[0]}:MyNet", "modell.width": tune.grid_search([1, 2])}))


@pytest.mark.parametrize("by_file", [False, True])
def test_what_is_written_has_the_type_of_the_signature(files: tuple[str, str], tmp_path: Path, by_file: bool) -> None:
    texts = {"model": f"{files[0]}:MyNet", "model.width": "4,8", "model.dropout": "0", "model.kind": "1"}
    options = Options(set=tuple(f"{name}={value}" for name, value in texts.items()))
    if by_file:
        lines = [f"  {name}: {f'[{value}]' if ',' in value else value}" for name, value in texts.items()]
        (tmp_path / "o.yaml").write_text("\n".join(["set:", *lines]))
        options = read_options(tmp_path / "o.yaml")
    found = expand(apply(sweep({"activation": "relu"}), options))
    assert repr(rows(found, "model.width", "model.dropout", "model.kind")) == "[(4, 0.0, '1'), (8, 0.0, '1')]"


def test_a_value_of_another_type_is_refused(files: tuple[str, str]) -> None:
    options = Options(set=(f"model={files[0]}:MyNet", "model.width=4,wide"))
    with pytest.raises(InputError, match=r"model.width: 'wide' must be a whole number"):
        apply(sweep({"activation": "relu"}), options)


def test_a_choice_among_cases_that_hold_an_argument(files: tuple[str, str]) -> None:
    cases = tuple({"model": f"{files[0]}:MyNet", "model.width": width} for width in (4, 8, 16))
    found = apply(sweep({}, cases=cases), Options(set=("model.width=8,16",)))
    assert [case["model.width"] for case in found.cases] == [8, 16]


def test_a_plan_names_folders_by_the_name_in_the_spec_and_keys_hold_the_arguments(files: tuple[str, str]) -> None:
    plan = make_plan(
        sweep({"model.width": tune.grid_search([4, 8])}, fixed={"model": f"{files[0]}:MyNet"}), None, datetime.now()
    )
    assert ["_MyNet_relu_" in trial.folder and "/" not in trial.folder for trial in plan.trials] == [True, True]
    assert len({trial.key for trial in plan.trials}) == 2
    assert [trial.stratum for trial in plan.trials] == ["model.width=4", "model.width=8"]
    assert plan.trials[0].parameters < plan.trials[1].parameters


def test_an_optimizers_numbers_may_change_in_population_based_training(files: tuple[str, str]) -> None:
    nuisance = {
        "lr": tune.loguniform(1e-4, 1e-1), "optimizer.eps": tune.loguniform(1e-9, 1e-3),
        "model.width": tune.grid_search([4, 8]), "optimizer.amsgrad": tune.grid_search([True, False]),
    }  # fmt: skip
    asked = sweep(
        {"activation": "relu"}, nuisance, fixed={"model": f"{files[0]}:MyNet", "optimizer": "adamw"},
        scheduler=Pbt(), samples=4,
    )  # fmt: skip
    assert set(changeable_ranges(asked)) == {"lr", "optimizer.eps"}
    assert population_fields(asked) == ("activation", "model.width", "optimizer.amsgrad")


def test_optuna_proposes_an_argument(files: tuple[str, str]) -> None:
    asked = sweep(
        {"activation": tune.grid_search(["relu", "tanh"])}, {"model.dropout": tune.uniform(0, 0.5)},
        fixed={"model": f"{files[0]}:MyNet"}, searcher=Optuna(), samples=2,
    )  # fmt: skip
    plan = make_plan(asked, None, datetime.now())
    assert [type(getattr(trial.config, "model.dropout")) for trial in plan.examples] == [float, float]


def test_a_sweep_with_arguments_is_kept_as_json(files: tuple[str, str]) -> None:
    asked = sweep({"model.width": tune.grid_search([4, 8])}, fixed={"model": f"{files[0]}:MyNet"})
    assert expand(from_data(to_data(asked))) == expand(asked)


def test_a_run_that_is_repeated_runs_no_code_from_elsewhere(
    files: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there"
    there.mkdir()
    monkeypatch.chdir(there)
    for spec in (f"{files[0]}:MyNet", "shutil.anything:rmtree"):
        asked = sweep({"activation": "relu"}, fixed={"model": spec})
        (there / "run.json").write_text(json.dumps({"sweep": "x", "definition": to_data(asked)}))
        with pytest.raises(InputError, match="names code that is not in this folder"):
            parse([str(there / "run.json")]).definition()
    assert parse([str(there / "run.json"), "--set", "model=cnn"]).definition()[0] == "x"
    write_parts(there)
    asked = sweep({"activation": "relu"}, fixed={"model": "my_net.py:MyNet"})
    (there / "run.json").write_text(json.dumps({"sweep": "x", "definition": to_data(asked)}))
    assert expand(parse([str(there / "run.json")]).definition()[1])[0].model == "my_net.py:MyNet"


@pytest.mark.parametrize("more", [[], ["--set", "model.width=4"]])
def test_a_refused_code_of_a_repeated_run_has_not_been_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    there = tmp_path / "there"
    there.mkdir()
    monkeypatch.chdir(there)
    theirs = tmp_path / "theirs.py"
    theirs.write_text(f"open({str(tmp_path / 'was_run')!r}, 'w').close()\n")
    asked = to_data(sweep({"activation": "relu"}, fixed={"model": f"{theirs}:MyNet"}))
    for definition in (asked, {**to_data(sweep({"activation": "relu"})), "trainable": f"{theirs}:train"}):
        (there / "run.json").write_text(json.dumps({"sweep": "x", "definition": definition}))
        with pytest.raises(InputError, match="names code that is not in this folder"):
            parse([str(there / "run.json"), *more]).definition()
    assert not (tmp_path / "was_run").exists()
