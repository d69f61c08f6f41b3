"""Event files as TensorBoard's own readers and its HParams plugin see them."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.list_session_groups import Handler

from analysis.runs.run_folder import RunFolder
from sweeps.record.state import TrialState
from sweeps.trackers.event_files import _cut_torn_end
from sweeps.trackers.tensorboard import _folders_at_start, curves_of, write_epoch

FIELDS = ("activation", "lr", "hidden_dims", "augment")
VALUES = {"activation": "relu", "lr": 0.01, "hidden_dims": [64, 32], "augment": True}


def trial_of(trial_id: str = "0007", **config: Any) -> TrialState:
    return TrialState(trial_id, "key", "20260101-000000_mlp_relu_brave_owl_key", {**VALUES, **config}, 1, 1)


def session_groups(folder: Path) -> list[Any]:
    """What the table of the HParams plugin shows of a folder, the replicates of a trial averaged."""
    files = EventMultiplexer().AddRunsFromDirectory(str(folder))
    files.Reload()
    plugin = Context(SimpleNamespace(data_provider=MultiplexerDataProvider(files, str(folder))))
    request = api_pb2.ListSessionGroupsRequest(
        start_index=0, slice_size=100, aggregation_type=api_pb2.AGGREGATION_AVG,
        allowed_statuses=[api_pb2.STATUS_UNKNOWN],
    )  # fmt: skip
    return list(Handler(RequestContext(), plugin, "", request).run().session_groups)


def test_a_trial_is_one_row_of_hparams_with_the_mean_of_its_replicates(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for trial, best in ((trial_of(), 0.5), (trial_of("0008", lr=0.1), 0.7)):
        for epoch in (1, 2):
            value = best + epoch / 10
            rows = {0: {"val_auc": value, "lr_used": 0.1}, 1: {"val_auc": value + 0.05, "lr_used": 0.1}}
            write_epoch(curves_of(run, trial, FIELDS), epoch, rows, 1e9 + epoch)
    first, second = sorted(session_groups(run.tensorboard), key=lambda group: str(group.name))
    assert (first.name, second.name) == ("0007", "0008")
    assert [session.name for session in first.sessions] == [
        f"0007 activation=relu lr=0.01 hidden_dims=64-32 augment=True/seed_{seed}" for seed in (0, 1)
    ]
    assert first.hparams["activation"].string_value == "relu"
    assert first.hparams["hidden_dims"].string_value == "64-32"
    assert first.hparams["augment"].bool_value
    assert (first.hparams["lr"].number_value, second.hparams["lr"].number_value) == (0.01, 0.1)
    means = {value.name.tag: value.value for value in first.metric_values}
    assert means["val/auc"] == pytest.approx(0.725)
    assert next(iter(first.metric_values)).name.tag == "val/auc"


@pytest.mark.parametrize("damage", ["cut", "zeros", "longer", "nothing"])
def test_records_that_lost_power_tore_hide_none_that_follow(tmp_path: Path, damage: str) -> None:
    curves = curves_of(RunFolder(tmp_path), trial_of(), FIELDS)

    def write(epoch: int) -> None:
        # a driver that has just begun
        _cut_torn_end.cache_clear()
        write_epoch(curves, epoch, {0: {"val_auc": epoch / 10, "lr_used": 0.1}}, 1e9 + epoch)

    write(1)
    path = next(tmp_path.rglob("events*"))
    first = path.stat().st_size
    write(2)
    content = path.read_bytes()
    middle = (first + len(content)) // 2
    torn = {"cut": content[:middle], "zeros": content[:middle] + bytes(len(content) - middle),
            "longer": content + bytes(5000), "nothing": b""}  # fmt: skip
    path.write_bytes(torn[damage])
    write(3)
    events = EventAccumulator(str(path)).Reload()
    expected = {"longer": [1, 2, 3], "nothing": [3]}.get(damage, [1, 3])
    assert [scalar.step for scalar in events.Scalars("val/auc")] == expected
    assert len(session_groups(tmp_path / "tensorboard")) == 1


def test_replicates_apart_are_one_trial(tmp_path: Path) -> None:
    for seed in (0, 1):
        trial = trial_of(f"0007.{seed}")
        write_epoch(curves_of(RunFolder(tmp_path), trial, FIELDS), 1, {seed: {"val_auc": 0.5}}, 1e9)
    (group,) = session_groups(tmp_path)
    assert (group.name, len(group.sessions)) == ("0007", 2)


def test_what_is_undefined_is_nan(tmp_path: Path) -> None:
    write_epoch(curves_of(RunFolder(tmp_path), trial_of(), ()), 1, {0: {"val_auc": math.nan, "val_acc": None}}, 1e9)
    files = EventMultiplexer().AddRunsFromDirectory(str(tmp_path / "tensorboard"))
    files.Reload()
    values = MultiplexerDataProvider(files, "").read_last_scalars(
        RequestContext(), experiment_id="", plugin_name="scalars"
    )["0007/seed_0"]
    assert {tag: math.isnan(datum.value) for tag, datum in values.items()} == {"val/auc": True, "val/acc": True}


@pytest.mark.parametrize("value", ["folder:/data/MRI, T1", "../../outside", "a\nb\x1b[31m", "x" * 400, "ä" * 150])
def test_the_name_of_a_folder_is_one_plain_name(tmp_path: Path, value: str) -> None:
    folder = curves_of(RunFolder(tmp_path), trial_of(activation=value), FIELDS).folder
    assert folder.parent == tmp_path / "tensorboard"
    assert folder.name.isprintable()
    assert "/" not in folder.name
    folder.mkdir(parents=True)


def test_a_trial_keeps_its_folder_where_a_later_command_varies_other_fields(tmp_path: Path) -> None:
    """A resume appends in another process."""
    run = RunFolder(tmp_path)
    first = curves_of(run, trial_of(), ("activation", "lr"))
    write_epoch(first, 1, {0: {"val_auc": 0.5}}, 1e9)
    (run.tensorboard / "0008 elsewhere").symlink_to(tmp_path)
    _folders_at_start.cache_clear()
    assert curves_of(run, trial_of(), FIELDS).folder == first.folder
    assert curves_of(run, trial_of("0007.1"), FIELDS).folder == first.folder
    assert curves_of(run, trial_of("0008"), FIELDS).folder.name.startswith("0008 activation=relu lr=0.01 hidden_dims")


def test_a_trial_of_an_earlier_version_keeps_its_folder(tmp_path: Path) -> None:
    trial = trial_of()
    (tmp_path / "tensorboard" / trial.folder).mkdir(parents=True)
    assert curves_of(RunFolder(tmp_path), trial, FIELDS).folder.name == trial.folder
