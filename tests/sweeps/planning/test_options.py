"""Options of the command line and of override files, and a sweep as data."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from ray import tune

from search_spaces.definition import Asha, Median, Optuna, Sweep
from search_spaces.find import find_sweep, sweep_names
from search_spaces.sweep_json import from_data, to_data
from sweeps.planning.options import Options, apply, merge
from sweeps.planning.override_files import read_options
from sweeps.planning.settings import Settings
from sweeps.searchers.grid import expand
from trainables.errors import InputError, validated

_, ACTIVATIONS = find_sweep("activations")
YAML = """
set:
  lr: [1e-3, 0.01]
  hidden_dims: [[512, 256], [64]]
fix:
  optimizer: adam
model: 1
"""


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (Options(grace=3, reduction=4.0, stratify="lr,model"), Asha(3, 4.0, ("lr", "model"))),
        (Options(stratify="none"), Asha(2, 3, ())),
        (Options(scheduler="fifo"), "fifo"),
        (Options(scheduler="hyperband", grace=1), Asha(1, 3, None, None)),
        (Options(scheduler="median", grace=4), Median(4)),
    ],
)
def test_schedulers(options: Options, expected: object) -> None:
    assert apply(ACTIVATIONS, options).scheduler == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(scheduler="fifo", grace=3), "--grace is no option of the scheduler fifo"),
        (Options(scheduler="median", reduction=2.0), "--reduction is no option of the scheduler median"),
        (Options(scheduler="ahsa"), "asha"),
        (Options(searcher="optunaa"), "optuna"),
        (Options(metric="test_auc"), "test"),
        (Options(metric="val_auc,val_loss"), "several metrics need --searcher optuna"),
        (Options(gpus_per_trial=1.5), "a share of one GPU"),
        (Options(samples=3), "--samples 3 has no effect on grids"),
        (Options(tune=("lr=0.1",)), "two or more values"),
        (Options(set=("learning_rate=0.1",)), "did you mean 'lr'"),
        (Options(set=("lr=inf",)), "finite"),
        (Options(set=('weights="a',)), "double quotes"),
        (Options(set=("seeds=0:1000000000",)), "1 to 10000 seeds"),
    ],
)
def test_bad_values_get_one_line(options: Options, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        apply(ACTIVATIONS, options)
    assert "\n" not in str(raised.value)


def test_a_loss_is_minimised_and_several_metrics_go_to_optuna() -> None:
    changed = apply(ACTIVATIONS, Options(metric="val_loss,val_auc", searcher="optuna:nsga2", seeds=5))
    assert (changed.metric, changed.mode, changed.seeds) == ("val_loss", "min", (0, 1, 2, 3, 4))
    assert changed.searcher == Optuna("nsga2", ("val_loss", "val_auc"))


def test_a_file_of_overrides_says_what_the_command_line_says(tmp_path: Path) -> None:
    file = tmp_path / "more.yaml"
    file.write_text(YAML.replace("model: 1", "epochs: 4\nscheduler: fifo"))
    toml = tmp_path / "more.toml"
    toml.write_text(
        'epochs = 4\nscheduler = "fifo"\n[set]\nlr = [0.001, 0.01]\nhidden_dims = [[512, 256], [64]]\n'
        '[fix]\noptimizer = "adam"\n'
    )
    by_hand = Options(
        set=("lr=0.001,0.01", "hidden_dims=512-256,64"), fix=("optimizer=adam",), epochs=4, scheduler="fifo"
    )
    base = apply(ACTIVATIONS, Options(set=("model=mlp",)))
    expected = apply(base, by_hand)
    assert apply(base, read_options(file)) == expected
    assert apply(base, read_options(toml)) == expected
    assert apply(base, merge(read_options(file), Options(epochs=7))).fixed["epochs"] == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [(YAML, "model"), ("epochs: many", "number"), ("set: 3", "table"), ("set: [", "not valid YAML"), ("- 1", "table")],
)
def test_a_bad_file_of_overrides_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        read_options(file)


@pytest.mark.parametrize(("text", "expected"), [("90", 90), ("90s", 90), ("30m", 1800), ("1.5h", 5400), ("1d", 86400)])
def test_time_budgets(text: str, expected: float) -> None:
    assert Settings(time_budget=text).time_budget == expected  # type: ignore[arg-type]  # as the command line has it


@pytest.mark.parametrize("text", ["", "soon", "-3m", "h"])
def test_bad_time_budgets(text: str) -> None:
    with pytest.raises(InputError, match="--time-budget"):
        validated(Settings, {"time_budget": text}, "--{} ")


@pytest.mark.parametrize("name", sweep_names())
def test_every_sweep_comes_back_from_json(name: str) -> None:
    _, sweep = find_sweep(name)
    again = from_data(json.loads(json.dumps(to_data(sweep))))
    assert expand(again) == expand(sweep)
    assert (again.scheduler, again.seeds, again.resources) == (sweep.scheduler, sweep.seeds, sweep.resources)


def test_random_domains_come_back_and_draw_the_same() -> None:
    sweep = Sweep(
        "?",
        {"activation": tune.grid_search(["relu", "tanh"])},
        {
            "lr": tune.qloguniform(1e-4, 1e-1, 1e-5),
            "batch_size": tune.randint(8, 64),
            "weight_decay": tune.uniform(0, 1e-2),
            "optimizer": tune.choice(["adam", "sgd"]),
        },
        samples=6,
        searcher=Optuna("gp", ("val_auc", "val_loss")),
    )
    again = from_data(json.loads(json.dumps(to_data(sweep))))
    assert again.searcher == sweep.searcher
    plain = {"searcher": "grid"}
    assert expand(replace(again, **plain)) == expand(replace(sweep, **plain))  # type: ignore[arg-type]
