"""TensorBoard event files, appended an epoch at a time: no file stays open, no thread runs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SCALARS = {
    f"{split}_{name}": f"{split}/{name}" for split in ("train", "val", "test") for name in ("loss", "auc", "acc")
}


def write_scalars(folder: Path, replicates: Sequence[Mapping[str, Any]]) -> None:
    """Loss, AUC and ACC of each split and the learning rate, one event file for each replicate seed."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    for row in replicates:
        values = [Summary.Value(tag=tag, simple_value=row[name]) for name, tag in SCALARS.items()]
        values.append(Summary.Value(tag="lr", simple_value=row["lr_used"]))
        event = Event(wall_time=time.time(), step=row["epoch"], summary=Summary(value=values))
        _append(folder / f"seed_{row['seed']}" / "events.out.tfevents.sweeps", event.SerializeToString())


def _append(path: Path, record: bytes) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        writer = RecordWriter(file)
        if file.tell() == 0:
            writer.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
        writer.write(record)
