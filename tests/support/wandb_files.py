"""W&B's files of a run, read by their published format: records of LevelDB's log, each a protobuf message."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK, HEADER = 32768, 7


def records(folder: Path) -> Iterator[Any]:
    """Yield the messages of `run-<id>.wandb` in a run's folder."""
    from wandb.proto import wandb_internal_pb2

    (path,) = folder.glob("run-*.wandb")
    data = path.read_bytes()
    assert data[:4] == b":W&B"
    position, whole = HEADER, b""
    while position + HEADER <= len(data):
        left = BLOCK - position % BLOCK
        if left < HEADER:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + HEADER])
        whole += data[position + HEADER : position + HEADER + length]
        position += HEADER + length
        # whole, first, middle, last
        if kind in (1, 4):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


def history(folder: Path) -> list[dict[str, Any]]:
    """Return the rows that were logged."""
    found = []
    for record in records(folder):
        if record.HasField("history"):
            items = record.history.item
            found.append({item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items})
    return found


def run_record(folder: Path) -> Any:
    """Return the description of the run, its config as a dict beside it."""
    (found,) = [record.run for record in records(folder) if record.HasField("run")]
    config = {(one.key or "/".join(one.nested_key)): json.loads(one.value_json) for one in found.config.update}
    return found, config
