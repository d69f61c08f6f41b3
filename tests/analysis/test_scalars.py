"""TensorBoard's scalars as a table, beside TensorBoard's own reader."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util.tensor_util import make_tensor_proto
from torch.utils.tensorboard import SummaryWriter
from typer.testing import CliRunner

from analysis.scalars import app
from analysis.table.tensorboard_scalars import read_scalars, write_scalars
from sweeps.trackers.tensorboard import Curves, write_epoch
from trainables.errors import InputError

Row = dict[str, Any]


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Two runs of PyTorch's writer, with things that are no scalars among the scalars."""
    for name in ("a", "b/deep"):
        with SummaryWriter(str(tmp_path / "logs" / name)) as writer:
            for step in range(5):
                writer.add_scalar("Loss/train", 1 / (step + 1), step)
                writer.add_scalar('odd "tag", with a comma', step, 10 * step)
            writer.add_text("card", "words")
            writer.add_histogram("weights", np.arange(5.0), 0)
    return tmp_path / "logs"


def frame_of(folder: Path) -> pd.DataFrame:
    return read_scalars(folder).to_pandas()


def test_every_scalar_of_every_run_is_that_of_tensorboard(logs: Path) -> None:
    found = frame_of(logs)
    assert list(found.columns) == ["run", "tag", "step", "value", "wall_time"]
    assert set(found["run"]) == {"a", "b/deep"}
    for run, part in found.groupby("run"):
        events = EventAccumulator(str(logs / str(run)))
        events.Reload()
        assert set(part["tag"]) == set(events.Tags()["scalars"])
        for tag, rows in part.groupby("tag"):
            expected = [(scalar.step, scalar.value, scalar.wall_time) for scalar in events.Scalars(str(tag))]
            assert list(rows[["step", "value", "wall_time"]].itertuples(index=False, name=None)) == expected


def test_csv_and_parquet_hold_the_same(logs: Path) -> None:
    done = CliRunner().invoke(app, [str(logs)])
    assert done.exit_code == 0
    assert "20 values of 2 scalars in 2 runs" in done.output
    csv, parquet = (logs / f"tensorboard_scalars.{kind}" for kind in ("csv", "parquet"))
    pd.testing.assert_frame_equal(pd.read_csv(csv), pd.read_parquet(parquet), check_dtype=False)
    assert len(json.loads(CliRunner().invoke(app, [str(logs), "--json"]).output)) == 20
    assert len(frame_of(logs)) == 20  # what was written is no event file


def test_a_link_in_the_run_of_somebody_else_leads_nowhere(logs: Path, tmp_path: Path) -> None:
    run, victim = tmp_path / "given" / "smoke" / "run", tmp_path / "notes.csv"
    victim.write_text("mine")
    run.mkdir(parents=True)
    (run / "run.json").write_text("{}")
    logs.rename(run / "tensorboard")
    (run / "tensorboard_scalars.csv").symlink_to(victim)
    with pytest.raises(InputError, match="a link that leads out of the run"):
        app([str(run)], standalone_mode=False)
    app([str(run), "--output", str(tmp_path / "out")], standalone_mode=False)
    assert len(pd.read_csv(tmp_path / "out" / "tensorboard_scalars.csv")) == 20
    write_scalars(read_scalars(run / "tensorboard"), run)
    assert victim.read_text() == "mine"


def test_our_own_event_files_are_read(tmp_path: Path) -> None:
    names = [f"{split}_{name}" for split in ("train", "val", "test") for name in ("loss", "auc", "acc")]
    for epoch in (1, 2):
        row = {"lr_used": 0.1, **dict.fromkeys(names, 0.5 / epoch)}
        write_epoch(Curves(tmp_path / "tensorboard" / "trial", "0001", {"lr": 0.1}), epoch, {3: row}, 0.0)
    found = frame_of(tmp_path / "tensorboard")
    assert set(found["run"]) == {"trial/seed_3"}
    assert found.query("tag == 'val/auc'")["value"].tolist() == [0.5, 0.25]
    assert found.query("tag == 'lr'")["step"].tolist() == [1, 2]


def test_scalars_that_tensorflow_2_stores_as_tensors_are_read(tmp_path: Path) -> None:
    path = tmp_path / "events.out.tfevents.1.host"
    with path.open("wb") as file:
        writer = RecordWriter(file)
        for step in (0, 1):
            plugin = SummaryMetadata.PluginData(plugin_name="scalars")
            metadata = SummaryMetadata(plugin_data=plugin) if step == 0 else None  # named once alone
            value = Summary.Value(tag="epoch_loss", tensor=make_tensor_proto(2.5 + step), metadata=metadata)
            writer.write(Event(step=step, wall_time=1.0, summary=Summary(value=[value])).SerializeToString())
    assert frame_of(tmp_path)["value"].tolist() == [2.5, 3.5]


def test_a_file_that_was_cut_off_is_read_up_to_there(logs: Path) -> None:
    (path,) = (logs / "a").glob("*tfevents*")
    whole = len(frame_of(logs / "a"))
    path.write_bytes(path.read_bytes()[:400])
    assert 0 < len(frame_of(logs / "a")) < whole


def test_what_is_not_a_number_is_kept(tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path)) as writer:
        writer.add_scalar("loss", math.nan, 0)
        writer.add_scalar("loss", math.inf, 1)
    assert math.isnan(frame_of(tmp_path)["value"][0])
    document = json.loads(CliRunner().invoke(app, [str(tmp_path), "--json"]).output)
    assert [row["value"] for row in document] == [None, "inf"]


@pytest.mark.parametrize("target", ["empty", "nowhere"])
def test_nothing_to_read_is_said(tmp_path: Path, target: str) -> None:
    (tmp_path / "empty").mkdir()
    storage = ["--storage", str(tmp_path)] if target == "nowhere" else []
    done = CliRunner().invoke(app, [str(tmp_path / target), *storage])
    assert isinstance(done.exception, InputError)
    assert "no TensorBoard event file" in str(done.exception) or "no run" in str(done.exception)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def garble(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + b"\xff" * (len(content) - len(content) // 2))


@pytest.mark.parametrize(
    ("damage", "code", "words"),
    [
        (cut, 0, "ends in the middle of a record"),
        (garble, 1, "is damaged after"),
        (lambda path: path.write_bytes(b"no event file at all, but words" * 9), 1, "is damaged after 0"),
        (lambda path: path.write_bytes(b""), 1, "is damaged after 0"),
    ],
)
def test_what_is_lost_of_a_file_is_said(logs: Path, damage: Any, code: int, words: str) -> None:
    (path,) = (logs / "a").glob("*tfevents*")
    damage(path)
    done = CliRunner().invoke(app, [str(logs)])
    assert done.exit_code == code
    assert words in done.stderr
    assert str(path) in done.stderr
    assert len(pd.read_parquet(logs / "tensorboard_scalars.parquet").query("run == 'b/deep'")) == 10
    if code:
        with pytest.raises(InputError, match="damaged"):
            read_scalars(logs)
