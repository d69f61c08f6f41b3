"""Plans: what a sweep and its overrides expand to."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ray import tune

from search_spaces.definition import Asha, Optuna, Sweep
from search_spaces.find import find_sweep, sweep_names
from sweeps.planning.notes import memory_note
from sweeps.planning.overrides import override, parse_assignment, parse_seeds
from sweeps.planning.plan import choose_strata, expand, make_plan
from sweeps.planning.trials import stratum_of
from sweeps.searchers import grid
from tests.support.generated_data import write_images
from trainables.config import TrialConfig, make_config
from trainables.data.arrays import SPLITS
from trainables.data.datasets import load
from trainables.errors import InputError
from trainables.training.cost import needed_memory
from trainables.trial_key import trial_key

TWO = Sweep(
    question="?",
    scientific={"activation": tune.grid_search(["relu", "tanh"])},
    nuisance={"lr": tune.loguniform(1e-4, 1e-1), "optimizer": tune.grid_search(["sgd", "adam"])},
    samples=5,
)


def test_every_scientific_value_meets_the_same_nuisance_draws() -> None:
    configs = expand(TWO)
    assert len(configs) == 2 * 2 * 5
    draws = {name: [(c.lr, c.optimizer) for c in configs if c.activation == name] for name in ("relu", "tanh")}
    assert draws["relu"] == draws["tanh"]
    assert len(set(draws["relu"])) == 10
    assert [config.lr for config in expand(TWO)] == [config.lr for config in configs]


def test_a_long_grid_is_read_as_often_as_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once a trial, which would take the square of its length."""
    read, values_of = list[int](), grid.values_of
    monkeypatch.setattr(grid, "values_of", lambda domain: read.append(1) or values_of(domain))

    def times(rates: int) -> int:
        domain = tune.grid_search([0.001 * (number + 1) for number in range(rates)])
        read.clear()
        assert len(expand(replace(TWO, nuisance={"lr": domain}))) == 2 * rates
        return len(read)

    assert times(200) == times(3)


def test_options_of_one_model_do_not_multiply_the_trials_of_another() -> None:
    sweep = Sweep("?", {"model": tune.grid_search(["mlp", "cnn"]), "hidden_dims": tune.grid_search([(8,), (9, 9)])})
    assert sorted((c.model, c.hidden_dims) for c in expand(sweep)) == [
        ("cnn", None), ("mlp", (8,)), ("mlp", (9, 9)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lr=1e-4,1e-3", ("lr", [1e-4, 1e-3])),
        ("hidden_dims=512-256,256", ("hidden_dims", [(512, 256), (256,)])),
        ("hidden_dims=none", ("hidden_dims", [None])),
        ("seeds=0:5", ("seeds", [(0, 1, 2, 3, 4)])),
        ("seeds=3,7", ("seeds", [(3, 7)])),
        ("model=cnn,mlp", ("model", ["cnn", "mlp"])),
        ("batch_size=32", ("batch_size", [32])),
    ],
)
def test_values_are_typed_by_their_field(text: str, expected: tuple[str, list[object]]) -> None:
    assert parse_assignment(text) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("lr", "write FIELD=VALUE"),
        ("lr=", "write FIELD=VALUE"),
        ("lr=fast", "must be a number"),
        ("batch_size=2.5", "must be a whole number"),
        ("learning_rate=1", "unknown field 'learning_rate'"),
        ("seeds=a", "write 0:5"),
    ],
)
def test_bad_assignments_say_what_to_do(text: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        parse_assignment(text)


def test_overrides_keep_a_field_in_its_role() -> None:
    _, sweep = find_sweep("activations")
    sweep = override(sweep, ["lr=0.1", "activation=relu,gelu", "width=8,16"], [], {"epochs": 3})
    assert sweep.nuisance["lr"] == {"grid_search": [0.1]}
    assert sweep.scientific["activation"] == {"grid_search": ["relu", "gelu"]}
    assert sweep.scientific["width"] == {"grid_search": [8, 16]}  # several values of a fixed field are compared
    assert sweep.fixed["epochs"] == 3
    assert parse_seeds("2:4") == (2, 3)


@pytest.mark.parametrize(
    ("sweep", "complaint"),
    [
        (Sweep("?", {"activation": tune.choice(["relu"])}), "must be tune.grid_search"),
        (Sweep("?", {"lr": tune.grid_search([0.1])}, fixed={"lr": 0.2}), "one role"),
        (Sweep("?", {"actvation": tune.grid_search(["relu"])}), "did you mean 'activation'"),
        (Sweep("?", {}, fixed={"lr": -1.0}), "lr"),
        (Sweep("?", {}, fixed={"width": 3, "model": "mlp"}), "no effect on model 'mlp'"),
        (Sweep("?", {}, scheduler=Asha(stratify=("speed",))), "unknown field to stratify by"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_starts(sweep: Sweep, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        make_plan(sweep, None, datetime(2026, 1, 1))


def test_values_that_are_compared_never_compete_unless_asked() -> None:
    for rates in ([0.1], [0.1, 0.2], [0.1, 0.2, 0.3, 0.4]):
        sweep = Sweep("?", {"activation": tune.grid_search(["relu", "tanh"])}, {"lr": tune.grid_search(rates)})
        assert choose_strata(sweep, expand(sweep)) == ("activation",)
    together = replace(sweep, scheduler=Asha(stratify=()))
    assert choose_strata(together, expand(together)) == ()


@pytest.mark.parametrize(
    "unlike",
    [{"dataset": ["digits", "breastmnist"]}, {"image_size": [8, 16]}, {"data_fraction": [0.1, 1.0]}, {"epochs": [2, 9]},
     {"loss": ["cross_entropy", "focal"]}],
)  # fmt: skip
@pytest.mark.parametrize("role", ["scientific", "nuisance", "cases"])
@pytest.mark.parametrize("stratify", [None, (), ("activation",)])
def test_what_changes_scale_or_length_is_always_apart(
    unlike: dict[str, list[Any]], role: str, stratify: tuple[str, ...] | None
) -> None:
    ((field, values),) = unlike.items()
    grid: dict[str, Any] = {field: tune.grid_search(values)}
    given: dict[str, Any] = {role: grid if role != "cases" else tuple({field: value} for value in values)}
    sweep = Sweep("?", **{"scientific": {}, **given}, scheduler=Asha(stratify=stratify))
    configs = expand(sweep)
    strata = choose_strata(sweep, configs)
    assert field in strata
    assert len({stratum_of(config, strata) for config in configs}) == 2


def test_a_sweep_of_too_many_trials_is_refused_at_once() -> None:
    grid = tune.grid_search(list(range(1, 1415)))
    for sweep in (
        Sweep("?", {"width": grid}, {"batch_size": grid}),
        Sweep("?", {"width": grid, "batch_size": grid}, {"lr": tune.uniform(0, 1)}),
        Sweep("?", {}, {"lr": tune.uniform(0, 1)}, samples=999_999),
        Sweep("?", {"width": grid}, {"lr": tune.uniform(0, 1)}, samples=5_000, searcher=Optuna()),
    ):
        with pytest.raises(InputError, match="are the most"):
            make_plan(sweep, None, datetime(2026, 1, 1))


@pytest.mark.parametrize(
    ("sweep", "complaint"),
    [
        (
            Sweep("?", {}, {"lr": tune.sample_from(lambda spec: 0.01 / spec.config.width)}),
            "sample_from is code",
        ),
        (Sweep("?", {}, {"lr": tune.sample_from(lambda: 0.1)}, searcher=Optuna()), "sample_from is code"),
        (Sweep("?", {"lr": tune.grid_search([])}), "lr has no values"),
        (Sweep("?", {}, {"lr": tune.grid_search([])}), "lr has no values"),
        (Sweep("?", {}, {"lr": tune.choice([])}), "lr has no values"),
        (Sweep("?", {}, fixed={"lr": tune.uniform(0, 1)}), "lr is compared or fixed"),
    ],
)
def test_domains_that_cannot_be_drawn_again_are_refused(sweep: Sweep, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        make_plan(sweep, None, datetime(2026, 1, 1))


def test_a_key_is_a_function_of_config_data_and_code() -> None:
    config = make_config({"lr": 0.01})
    key = trial_key(config, "data", "code")
    assert key == trial_key(make_config({"lr": 1e-2, "activation": "relu"}), "data", "code")
    others = [
        trial_key(make_config({"lr": 0.02}), "data", "code"),
        trial_key(config, "other data", "code"),
        trial_key(config, "data", "other code"),
    ]
    assert len({key, *others}) == 4


def test_every_config_field_says_what_it_means() -> None:
    assert [name for name, field in TrialConfig.model_fields.items() if not field.description] == []


@pytest.mark.parametrize("name", sweep_names())
def test_every_sweep_is_a_question_with_a_space_that_is_legal(name: str) -> None:
    _, sweep = find_sweep(name)
    assert sweep.question.endswith("?")
    assert expand(sweep)


def test_a_sweep_may_be_a_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "mine.py"
    path.write_text("from sweeps import Sweep\nSWEEP = Sweep('why?', {}, fixed={'epochs': 2})\n")
    assert find_sweep(str(path))[0] == "mine"
    path.write_text(
        "import random, numpy as np\nfrom ray import tune\nfrom sweeps import Sweep\n"
        "SWEEP = Sweep('?', {}, {'lr': tune.grid_search([random.random(), np.random.rand()])})\n"
    )
    assert find_sweep(str(path)) == find_sweep(str(path))
    path.write_text("SWEEP = 3\n")
    with pytest.raises(InputError, match="has no SWEEP"):
        find_sweep(str(path))
    path.write_text("1 / 0\n")
    with pytest.raises(InputError, match="ZeroDivisionError"):
        find_sweep(str(path))


@pytest.mark.parametrize("searcher", ["grid", Optuna(metrics=("val_loss", "val_auc"))])
def test_auc_is_refused_where_val_lacks_a_class(searcher: str | Optuna, tmp_path: Path) -> None:
    root = write_images(tmp_path / "scans", {"glioma": 20, "pituitary": 20, "schwannoma": 1})
    sweep = Sweep(
        "?", {"activation": tune.grid_search(["relu", "tanh"])}, {"lr": tune.loguniform(1e-4, 1e-1)},
        fixed={"dataset": f"folder:{root}", "image_size": 8}, searcher=searcher,
        metric="val_auc" if searcher == "grid" else "val_loss",
    )  # fmt: skip
    with pytest.raises(
        InputError, match=r"val_auc is undefined on .* lacks schwannoma: choose --metric val_acc or val_"
    ):
        make_plan(sweep, None, datetime.now())
    if searcher == "grid":
        assert len(make_plan(replace(sweep, metric="val_acc"), None, datetime.now()).trials) == 2


def test_what_does_not_fit_in_memory_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = Sweep("?", {"batch_size": tune.grid_search([32, 4096])}, fixed={"model": "cnn", "epochs": 1}, seeds=(0,))
    plan = make_plan(sweep, None, datetime.now())
    one = plan.trials[1]
    need = needed_memory(one.config, load("digits").info, one.parameters)
    monkeypatch.setattr("psutil.cpu_count", lambda: 8)

    def note(free: float, most: int | None = None) -> str:
        monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=int(free)))
        return memory_note(sweep, plan, most)

    assert note(2 * need) == ""
    assert "2 trial(s) at a time" in note(1.5 * need)
    assert "choose --max-concurrent 1, a smaller batch_size, or accumulate" in note(1.5 * need)
    assert note(1.5 * need, most=1) == ""
    assert "choose a smaller batch_size" in note(0.5 * need)


def test_label_noise_is_refused_where_an_image_has_several_classes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {f"{split}_images": rng.integers(0, 255, (40, 16, 16), dtype=np.uint8) for split in SPLITS}
    arrays |= {f"{split}_labels": rng.integers(0, 2, (40, 3)) for split in SPLITS}
    np.savez(tmp_path / "several.npz", **arrays)
    noisy = Sweep("?", {}, fixed={"dataset": f"npz:{tmp_path}/several.npz", "label_noise": 0.1, "epochs": 1})
    with pytest.raises(InputError, match="label_noise needs one class an image"):
        make_plan(noisy, None, datetime(2026, 1, 1))
