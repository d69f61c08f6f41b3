"""The command line as one model: bounds through every door, options in any combination, words that read back."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.check_command import parse
from search_spaces.definition import Resources, Sweep
from search_spaces.find import find_sweep
from sweeps.planning.command import Command
from sweeps.planning.options import Options, apply, newly_compared
from sweeps.planning.override_files import read_options
from sweeps.planning.overrides import parse_assignment, quote, split_values
from sweeps.planning.settings import Settings
from sweeps.searchers.grid import expand
from trainables.config import TrialConfig, make_config
from trainables.errors import InputError, validated

_, ACTIVATIONS = find_sweep("activations")
FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NUMBERS = ("epochs", "seeds", "samples", "grace", "reduction", "brackets", "interval", "quantile", "cpus_per_trial")
LIMITS = ("max_concurrent", "max_errors", "max_failures", "time_budget")
BAD = st.sampled_from(["0.0001e-999", "-1", "nan", "inf", "-inf", "1e999", "", " ", "none", "9" * 40, "1.5.1", "true"])
NUMERIC = [
    name
    for name, field in TrialConfig.model_fields.items()
    if name != "seeds" and ("float" in str(field.annotation) or "int" in str(field.annotation))
]


def refused(action: Any) -> str:
    """The one line that an action is refused with."""
    with pytest.raises(InputError) as raised:
        action()
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 1500
    return str(raised.value)


@pytest.mark.parametrize("name", [*NUMBERS, *LIMITS])
@FEW
@given(text=BAD)
def test_a_bad_number_is_refused_on_the_command_line_and_in_a_file(name: str, text: str, tmp_path: Path) -> None:
    words = ["activations", f"--{name.replace('_', '-')}={text}"]
    assert name.replace("_", "-") in refused(lambda: parse(words))
    if name in NUMBERS and text.strip():
        file = tmp_path / "bad.yaml"
        file.write_text(f"{name}: '{text}'\n")
        assert f"{file}: {name}=" in refused(lambda: read_options(file))


@pytest.mark.parametrize("name", NUMERIC)
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, "", 10**400, [], {}])
def test_no_field_of_a_config_takes_what_is_no_finite_number(name: str, value: Any) -> None:
    if value == [] and name == "hidden_dims":
        return  # an mlp without hidden layers
    refused(lambda: make_config({"model": "mlp", name: value}))


@pytest.mark.parametrize("name", NUMERIC)
@pytest.mark.parametrize("text", ["inf", "nan", "-inf", "1e999", "x", "--1"])
def test_no_field_takes_it_from_the_command_line(name: str, text: str) -> None:
    if name == "skips" or TrialConfig.model_fields[name].annotation is bool:
        return
    assert name in refused(lambda: parse_assignment(f"{name}={text}"))


@pytest.mark.parametrize(
    "values",
    [
        {"question": ""},
        {"question": None},
        {"seeds": ()},
        {"seeds": (0, 0)},
        {"seeds": (-1,)},
        {"seeds": (2**31,)},
        {"seeds": (0.5,)},
        {"seeds": 3},
        {"seeds": tuple(range(10_001))},
        {"samples": 0},
        {"samples": math.inf},
        {"samples": 10**9},
        {"samples": None},
        {"metric": "test_auc"},
        {"metric": ""},
        {"replicates": "alone"},
    ],
)
def test_a_sweep_is_checked_where_it_is_made(values: dict[str, Any]) -> None:
    refused(lambda: Sweep(**{"question": "?", "scientific": {}, **values}))


@pytest.mark.parametrize("cpus", [0, -1, math.inf, math.nan, None, "2"])
def test_resources_are_checked_where_they_are_made(cpus: Any) -> None:
    assert "cpus=" in refused(lambda: Resources(cpus))
    if cpus not in (0, None):
        assert "gpus=" in refused(lambda: Resources(1.0, cpus))


TEXT = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\n"), max_size=12)


@FEW
@given(st.lists(TEXT, min_size=1, max_size=4))
def test_quoted_values_read_back(values: list[str]) -> None:
    quoted = [quote(value) if value else '""' for value in values]
    assert split_values(",".join(quoted)) == values


def test_a_path_with_a_comma_is_one_value() -> None:
    assert parse_assignment('dataset="folder:/a, b/c",digits') == ("dataset", ["folder:/a, b/c", "digits"])
    assert parse_assignment("lr=1, 2") == ("lr", [1.0, 2.0])


COMMANDS = st.fixed_dictionaries(
    {},
    optional={
        "set": st.just(("lr=1e-3,1e-2",)),
        "tune": st.just(("weight_decay=0,0.1",)),
        "fix": st.just(("activation=relu",)),
        "epochs": st.integers(1, 1000),
        "seeds": st.integers(1, 9),
        "scheduler": st.sampled_from(["asha", "fifo", "median"]),
        "searcher": st.sampled_from(["random", "optuna:gp"]),
        "gpus_per_trial": st.sampled_from(["auto", 0.25, 2.0]),
        "cpus_per_trial": st.floats(0.1, 64),
        "storage": st.sampled_from(["other place", "s3://bucket/a b", "-odd"]),
        "data_root": st.just(Path("/some/where, else")),
        "name": st.sampled_from(["first", "we[bold]ird"]),
        "max_concurrent": st.integers(1, 8),
        "max_failures": st.integers(0, 3),
        "time_budget": st.floats(0.5, 1e6),
        "fuse": st.sampled_from(["auto", "on", "off"]),
        "reuse": st.booleans(),
        "measure": st.booleans(),
        "report": st.booleans(),
        "quiet": st.booleans(),
        "dry_run": st.booleans(),
    },
)


@FEW
@given(COMMANDS)
def test_a_command_written_as_words_reads_back(values: dict[str, Any]) -> None:
    command = validated(Command, {"sweep": "activations", **values})
    assert parse(command.words()) == command
    again = parse(_words(command.resuming("results/activations/first")))
    assert (again.resume, again.name, again.time_budget, again.dry_run) == (
        "results/activations/first",
        None,
        None,
        False,
    )
    kept = {"resume", "name", "time_budget", "dry_run"}
    assert again.model_dump(exclude=kept) == command.model_dump(exclude=kept)


def _words(line: str) -> list[str]:
    return shlex.split(line)[3:]


def test_a_bare_resume_stays_one() -> None:
    command = parse(["activations", "--resume", "--epochs", "5"])
    assert (command.resume, command.epochs) == ("", 5)
    assert parse(command.words()) == command
    assert _words(command.resuming("RUN")) == ["activations", "--epochs", "5", "--resume", "RUN"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "lr=1", "--set", "lr=2"], "lr is given twice"),
        (["--set", "lr=1", "--tune", "lr=1,2"], "lr is given twice"),
        (["--epochs", "3", "--fix", "epochs=4"], "epochs is given twice"),
        (["--dataset", "digits", "--set", "dataset=mnist"], "dataset is given twice"),
        (["--seeds", "2", "--set", "seeds=0:5"], "seeds is given twice"),
        (["--scheduler", "hyperband", "--brackets", "2"], "--brackets has no effect with hyperband"),
        (["--samples", "5"], "--samples 5 has no effect on grids"),
        (["--retry-failed"], "add --resume"),
        (["--resume", "one", "--name", "two"], "name two runs"),
        (["--dry-run", "--estimate"], "leave one out"),
        (["--seeds", "many"], "--seeds many: must be a whole number"),
        (["--storage", ""], "--storage : is empty"),
        (["--nosuch"], "No such option"),
        (["--epochs"], "requires an argument"),
    ],
)
def test_what_would_have_no_effect_is_refused(words: list[str], message: str) -> None:
    assert message in refused(lambda: parse(["activations", *words]).definition())


def test_tune_adds_a_nuisance_field_and_set_says_what_it_compares() -> None:
    tuned = apply(ACTIVATIONS, Options(tune=("weight_decay=0,0.1", "batch_size=32,64")))
    assert set(tuned.nuisance) == {"lr", "weight_decay", "batch_size"}
    assert len(expand(tuned)) == 4 * len(expand(ACTIVATIONS))
    assert not newly_compared(ACTIVATIONS, tuned)
    compared = apply(ACTIVATIONS, Options(set=("batch_size=32,64", "weight_decay=0.1")))
    assert newly_compared(ACTIVATIONS, compared) == ["batch_size=32,64"]
    moved = apply(ACTIVATIONS, Options(tune=("activation=relu,tanh",)))
    assert "activation" not in moved.compared
    assert len(expand(moved)) == 8


def test_gpus_auto_is_no_leftover_of_the_sweep() -> None:
    shared = apply(ACTIVATIONS, Options(gpus_per_trial=0.5))
    assert apply(shared, Options(gpus_per_trial="auto")).resources.gpus is None
    assert apply(shared, Options()).resources.gpus == 0.5


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("# für\nepochs: 1\n".encode("latin-1"), "a.yaml", "not UTF-8"),
        ("epochs = 1\n# ü\n".encode("latin-1"), "a.toml", "not UTF-8"),
        (b"1: 2\n", "a.yaml", "unknown option '1'"),
        (b"on: 2\n", "a.yaml", "unknown option 'on'"),
        (b"set:\n  on: 2\n", "a.yaml", "unknown field 'on'"),
        (b"? [a, b]\n: 1\n", "a.yaml", "no text"),
        (b"set:\n  lr: 1e-3\n  lr: 1e-2\n", "a.yaml", "'lr' stands twice"),
        (b"epochs: 1\nepochs: 2\n", "a.yaml", "'epochs' stands twice"),
        (BOMB.encode(), "a.yaml", "aliases"),
        (b"set: &a\n  lr: *a\n", "a.yaml", "within itself"),
        (b"set:\n  lr:\n    min: 0.1\n    max: 1\n", "a.yaml", "a value or a list of values"),
        (b"set:\n  lr: [[[1]]]\n", "a.yaml", "a value or a list of values"),
        (b"dataset: [digits, mnist]\n", "a.yaml", "several of a field go into set"),
        (b"program: train.py\nmethod: bayes\n", "a.yaml", "unknown option 'program'"),
        (b"epochs: 1e1\n", "a.yaml", "whole number"),
        (b"set:\n  weight_decay: .nan\n", "a.yaml", "weight_decay"),
        (b"set:\n  lr: 2024-01-01\n", "a.yaml", "lr"),
        (b"epochs = true\n", "a.toml", "whole number"),
        (b"[set]\nlr = inf\n", "a.toml", "finite"),
        (b"x" * 2_000_000, "a.yaml", "larger than 1 MB"),
        (b"[" * 50_000, "a.yaml", "not valid YAML"),
        (b"a = " + b"[" * 50_000, "a.toml", "not valid TOML"),
        (b"\x00\x01", "a.yaml", "not valid YAML"),
        (b"!!python/object/apply:os.system [ls]\n", "a.yaml", "table of options"),
    ],
)
def test_an_odd_file_of_overrides_is_one_line(tmp_path: Path, content: bytes, name: str, message: str) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    assert message in refused(lambda: apply(ACTIVATIONS, read_options(file)))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_files_of_all_editors_are_read(tmp_path: Path, encoding: str, ending: str) -> None:
    yaml, toml = tmp_path / "a.yaml", tmp_path / "a.toml"

    yaml.write_bytes("set:\n  lr: [1e-3, 1e-2]\n  clip_norm: null\nepochs: 1\n".replace("\n", ending).encode(encoding))
    toml.write_bytes(
        'epochs = 1\n[set]\nlr = [1e-3, 1e-2]\nclip_norm = "none"\n'.replace("\n", ending).encode(encoding)
    )
    expected = apply(ACTIVATIONS, Options(set=("lr=1e-3,1e-2", "clip_norm=none"), epochs=1))
    assert apply(ACTIVATIONS, read_options(yaml)) == expected
    assert apply(ACTIVATIONS, read_options(toml)) == expected


def test_a_file_may_hold_a_comma_and_what_yaml_takes_for_something_else(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text('set:\n  dataset: ["folder:/a, b", digits]\n  compile: off\n  seeds: 1:3\ntune:\n  lr: [1, 2]\n')
    changed = apply(ACTIVATIONS, read_options(file))
    assert changed.scientific["dataset"] == {"grid_search": ["folder:/a, b", "digits"]}
    assert (changed.fixed["compile"], changed.seeds, changed.nuisance["lr"]) == (False, (1, 2), {"grid_search": [1, 2]})


def test_settings_of_python_are_checked_as_those_of_the_command_line() -> None:
    for values in ({"max_concurrent": 0}, {"time_budget": math.inf}, {"max_failures": -1}, {"name": ""}):
        with pytest.raises(ValueError, match=next(iter(values))):
            Settings(**values)  # type: ignore[arg-type]
