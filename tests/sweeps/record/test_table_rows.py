"""The tables of a run, made column by column, against pandas over the ledger's events; and what a rewrite keeps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis import table
from analysis.runs.run_folder import RunFolder
from analysis.weights.model_columns import model_means_of, put_aside_damaged, write_trials
from analysis.weights.rows import model_means
from analysis.weights.weights_table import add_weights, forget, known_trials, write_complexity
from benchmarks.played_runs import play_run
from sweeps.record import table_rows
from sweeps.record.epoch_events import EpochEvents
from sweeps.record.history import QUALITIES, History, Means
from sweeps.record.ledger import Ledger, read_ledger
from sweeps.record.state import RunState, TrialState, fold
from sweeps.record.table_rows import epochs_table, trials_table
from trainables.errors import InputError

ABOUT = {"metric": "val_auc"}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, RunState]:
    """Eight trials: six completed, one that failed before its first epoch, one interrupted; and one that runs."""
    run = play_run(tmp_path_factory.mktemp("played"), 9, epochs=4, seeds=2, open_trials=2)
    planned = next(event for event in read_ledger(run.ledger) if event["event"] == "planned")
    ledger = Ledger(run.ledger)
    ledger.append("interrupted", trial_id="0008", reason="Ctrl-C")
    del planned["time"], planned["event"]
    ledger.append(
        "planned", **{**planned, "trial_id": "0010.1", "key": "apart", "config": {**planned["config"], "seeds": [7]}}
    )
    ledger.append("failed", trial_id="0010.1", reason="no memory")
    ledger.close()
    return run, fold(read_ledger(run.ledger))


def test_the_tables_are_those_of_pandas(played: tuple[RunFolder, RunState]) -> None:
    run, state = played
    events = [event for event in read_ledger(run.ledger) if event["event"] == "epoch"]
    rows = [{"trial_id": e["trial_id"], "replicate": n, **r} for e in events for n, r in enumerate(e["replicates"])]
    expected = pd.DataFrame(rows).drop(columns=["gradient_norms", "learned", "stop_reason"])
    epochs = epochs_table(run, state.trials.values(), ABOUT).to_pandas()
    pd.testing.assert_frame_equal(epochs[expected.columns], expected)

    trials = trials_table(run, state.trials.values(), ABOUT).to_pandas().set_index(["trial_id", "replicate"])
    assert list(trials["status"]) == ["completed"] * 14 + ["interrupted"] * 2 + ["failed"]
    ended = expected[expected["trial_id"] != "0009"].groupby(["trial_id", "replicate"])
    best = expected[expected["is_best"]].groupby(["trial_id", "replicate"]).last().drop("0009", level=0)
    apart = ("0010", 1)
    full = trials.drop(apart)
    for name in QUALITIES:
        pd.testing.assert_series_equal(full[name], best[name])
        pd.testing.assert_series_equal(full[f"final_{name}"], ended[name].last(), check_names=False)
        assert np.isnan(trials.loc[apart, name])
    assert list(full["best_epoch"]) == list(best["epoch"])
    assert list(full["epochs_trained"]) == list(ended.size())
    seconds = ended["train_seconds"].sum()
    pd.testing.assert_series_equal(full["train_seconds"], seconds)
    assert list(full["images_per_second"]) == list(ended["images_trained"].sum() / seconds)
    lost = trials.loc[apart]
    assert (lost["seed"], lost["epochs_trained"], lost["stop_reason"]) == (7, 0, "no memory")
    assert pd.isna(lost["best_epoch"])


@pytest.mark.parametrize("make", [trials_table, epochs_table])
def test_a_table_that_is_made_in_parts_is_that_of_all_trials(
    played: tuple[RunFolder, RunState], make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, state = played
    trials = list(state.trials.values())
    about = {"metric": "val_auc", "trainable": {"own": True, "fields": {}}}
    # one has a metric that the others lack
    other = replace(trials[0], trial_id="9999", history=History(), means=Means(trials[0].means))
    for epoch in range(1, other.epoch + 1):
        rows = [{"val_auc": 0.5, "score": float(seed)} for seed in other.config["seeds"]]
        other.history.append(epoch, rows, ("val_auc", "score"))
    for some in ([], trials, [*trials[:3], other, *trials[3:]]):
        whole = make(run, some, about)
        monkeypatch.setattr(table_rows, "PART", 2)
        parts = make(run, some, about)
        monkeypatch.undo()
        assert parts.schema == whole.schema
        # by their texts: nan is unlike itself
        assert list(map(repr, parts.to_pylist())) == list(map(repr, whole.to_pylist()))


def test_a_field_that_an_old_ledger_lacks_has_its_default(played: tuple[RunFolder, RunState]) -> None:
    run, _ = played
    state = fold(read_ledger(run.ledger))
    for trial in state.trials.values():
        del trial.config["momentum"]
    rows = trials_table(run, state.trials.values(), ABOUT)
    table.write_arrow(run.trials_table, rows)
    assert set(rows["momentum"].to_pylist()) == {0.9}


def weight_rows(run: RunFolder, state: RunState, seed: int = 0, **more: float) -> list[dict[str, object]]:
    """Rows of weights.parquet with random values, of three tensors, two of them matrices."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, object]] = []
    for place in trials_table(run, state.trials.values(), {}).select(list(table.IDENTITY)).to_pylist():
        for stage in ("initial", "best", "final")[: 3 if place["seed"] else 1]:
            for position, shape in enumerate(([4, 3], [4], [2, 3, 3, 3])):
                values = {"lmc": rng.random(), "sample_entropy": np.nan if position else rng.random(), **more}
                rows.append({
                    **place, "stage": stage, "epoch": 1, "tensor": f"{position}.weight", "position": position,
                    "module_type": "Linear", "shape": shape, **values,
                })  # fmt: skip
    return rows


def test_measures_stay_when_trials_are_written_again(played: tuple[RunFolder, RunState]) -> None:
    run, state = played
    trials = trials_table(run, state.trials.values(), ABOUT)
    write_trials(run, trials)
    rows = weight_rows(run, state)
    write_complexity(run, rows, ABOUT)
    first = table.read_arrow(run.trials_table)
    assert first.schema.metadata == trials.schema.metadata
    assert np.isfinite(first["lmc"].to_numpy()).sum() == sum(seed > 0 for seed in first["seed"].to_pylist())
    write_trials(run, trials)
    pd.testing.assert_frame_equal(table.read_arrow(run.trials_table).to_pandas(), first.to_pandas())
    models: dict[tuple[object, object], list[dict[str, object]]] = {}
    for row in rows:
        if row["stage"] == "best":
            models.setdefault((row["trial_id"], row["seed"]), []).append(row)
    for row in first.to_pylist():
        means = model_means(models.get((row["trial_id"], row["seed"]), []))
        for name in ("lmc", "sample_entropy", "spectral_entropy"):
            expected, got = means[name], row[name]
            assert (got is None) == (expected is None or (name == "spectral_entropy"))
            if got is not None and expected is not None:
                assert got == pytest.approx(expected, nan_ok=True, rel=1e-15)


def test_rows_go_to_their_places_and_keep_the_measures_that_others_lack(
    played: tuple[RunFolder, RunState], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, state = played
    monkeypatch.setattr("analysis.weights.weights_table.GROUP", 20)
    run.weights_table.unlink(missing_ok=True)
    write_trials(run, trials_table(run, state.trials.values(), ABOUT))
    rows = weight_rows(run, state)
    order = np.random.default_rng(1).permutation(len(rows))
    for part in np.array_split(order, 5):
        write_complexity(run, [rows[number] for number in part], ABOUT)
    expected = pd.DataFrame(rows)
    written = table.read_arrow(run.weights_table, "weights").to_pandas()[expected.columns]
    pd.testing.assert_frame_equal(written.assign(shape=written["shape"].map(list)), expected)
    write_complexity(run, [{**rows[5], "lmc": None, "alpha": 3.0}], ABOUT)
    again = table.read_arrow(run.weights_table, "weights").to_pylist()
    assert (again[5]["alpha"], again[5]["lmc"]) == (3.0, rows[5]["lmc"])
    assert len(again) == len(rows)
    key = str(rows[0]["trial_key"])
    forget(run, {key})
    assert key not in known_trials(run)
    assert table.read_arrow(run.weights_table, "weights").num_rows == sum(row["trial_key"] != key for row in rows)


def test_a_write_that_fails_half_way_leaves_the_table_as_it_was(
    played: tuple[RunFolder, RunState], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, state = played
    write_trials(run, trials_table(run, state.trials.values(), ABOUT))
    rows = weight_rows(run, state)
    write_complexity(run, rows, ABOUT)
    before = run.weights_table.read_bytes()

    def killed(self: object, content: object, *more: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pyarrow.parquet.ParquetWriter.write_table", killed)
        with pytest.raises(KeyboardInterrupt):
            add_weights(run, table.read_arrow(run.weights_table, "weights"))
    assert run.weights_table.read_bytes() == before
    assert not list(run.path.glob(".weights*"))


def test_means_of_all_models_at_once_are_those_of_each(played: tuple[RunFolder, RunState], tmp_path: Path) -> None:
    run, state = played
    rows = [{**row, "alpha": None if number % 7 else 2.0} for number, row in enumerate(weight_rows(run, state, 3))]
    table.write(tmp_path / "weights.parquet", "weights", rows, {})
    found = model_means_of(table.read_arrow(tmp_path / "weights.parquet", "weights"))
    for (trial_id, seed), place in found.rows.items():
        mine = [row for row in rows if (row["trial_id"], row["seed"], row["stage"]) == (trial_id, seed, "best")]
        if not mine:
            continue
        for name, value in model_means(mine).items():
            assert found.columns[name][place].as_py() == (
                pytest.approx(value, nan_ok=True) if value is not None else None
            )


def test_the_epochs_of_a_trial_are_read_where_they_stand(played: tuple[RunFolder, RunState]) -> None:
    run, _ = played
    events = [e for e in read_ledger(run.ledger) if e["event"] == "epoch"]
    found = EpochEvents(run.ledger, ["0003", "0009"])
    for trial_id in ("0003", "0009"):
        assert found.of(trial_id) == [e["replicates"] for e in events if e["trial_id"] == trial_id]
    with run.ledger.open("a") as file:
        file.write('{"event":"epoch","trial_id":"0003","epo')
    assert len(EpochEvents(run.ledger, ["0003"]).of("0003")) == 4


def test_a_damaged_line_costs_its_own_epoch_and_not_the_run(played: tuple[RunFolder, RunState], tmp_path: Path) -> None:
    """A line that a full disk cut, with the next one behind it; an epoch without a trial."""
    run, _ = played
    lines = run.ledger.read_bytes().splitlines(keepends=True)
    mine = [n for n, line in enumerate(lines) if b'"event":"epoch"' in line and b'"trial_id":"0003"' in line]
    lines[mine[1]] = lines[mine[1]][:60]
    lines.insert(mine[1] + 1, lines[mine[1] + 1])
    lines += [b'{"event":"epoch"}\n', b'{"event":"epoch","trial_id":["0003"]}\n']
    (tmp_path / "ledger.jsonl").write_bytes(b"".join(lines))
    found = EpochEvents(tmp_path / "ledger.jsonl", ["0003"]).events_of("0003")
    assert [event["epoch"] for event in found] == [1, 2, 3, 4]
    assert [event["mean"]["val_auc"] is None for event in found] == [False, True, False, False]
    assert [row["val_auc"] for row in found[1]["replicates"]] == [None] * len(found[1]["replicates"])


def test_a_field_of_a_users_own_that_a_trial_lacks_is_null_and_not_a_default_of_ours(tmp_path: Path) -> None:
    """A function's batch_size came with a later command; TrialConfig's 128 was never its value."""
    about = {"metric": "val_score", "trainable": {"own": True, "fields": {"batch_size": {"type": "whole"}}}}
    configs: list[dict[str, Any]] = [{"epochs": 1, "seeds": [0]}, {"epochs": 1, "seeds": [0], "batch_size": 32}]
    trials = [TrialState(f"000{n}", f"k{n}", "", config, 0, 0, status="failed") for n, config in enumerate(configs)]
    assert trials_table(RunFolder(tmp_path), trials, about)["batch_size"].to_pylist() == [None, 32]


DAMAGES = {"no table": b"junk" * 100, "empty": b"", "another table": None}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["weights.parquet", "activations.parquet"])
def test_a_damaged_table_of_measures_is_one_line_and_a_resume_goes_on_without_it(
    name: str, damage: str, tmp_path: Path
) -> None:
    run = play_run(tmp_path, 2, epochs=1, seeds=1)
    state = fold(read_ledger(run.ledger))
    content = DAMAGES[damage]
    if content is None:
        pq.write_table(pa.table({"other": [1]}), run.path / name)
        content = (run.path / name).read_bytes()
    (run.path / name).write_bytes(content)
    trials = trials_table(run, state.trials.values(), ABOUT)
    with pytest.raises(InputError, match=f"{name} .*restore it, or move it away"):
        write_trials(run, trials)
    (note,) = put_aside_damaged(run)
    assert f"it is kept as {name}.damaged-1" in note
    assert (run.path / f"{name}.damaged-1").read_bytes() == content
    write_trials(run, trials)
    assert known_trials(run) == set()
    assert put_aside_damaged(run) == []
