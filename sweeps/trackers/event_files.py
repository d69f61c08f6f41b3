"""Appends to TensorBoard event files in the formats of its scalars and of its HParams plugin."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import DATA_CLASS_TENSOR, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
from tensorboard.summary.writer.record_writer import RecordWriter, masked_crc32c

from analysis.comparison.labels import show_value
from trainables.atomic_files import append_whole, read_regular, write_atomically

SESSION, SESSION_END, EXPERIMENT = (
    "_hparams_/session_start_info",
    "_hparams_/session_end_info",
    "_hparams_/experiment",
)
STEP_LOSS = "train/step_loss"
# Tags that are no columns of the HParams table.
NO_METRICS = ("lr", "images_per_second")
Bins = Sequence[Sequence[float]]
# of a record: the length of its data with its checksum before them, and their checksum after them
HEADER, FOOTER = struct.Struct("<QI"), struct.Struct("<I")
# bytes at the end of a file that power may have been lost over
UNSURE = 2**17


def append_epoch(
    folder: Path, group: str, settings: Mapping[str, Any], epoch: int, values: Mapping[str, float], wall_time: float,
    steps: Mapping[int, float] | None = None, histograms: Mapping[str, Bins] | None = None,
) -> None:  # fmt: skip
    """Append the scalars of an epoch to a replicate's event file; a new file begins with its row of the HParams table.

    group: the replicates that are shown together. settings: the row's hyperparameters. values: by tag, those
    that select first. steps: the loss of each step, by its number. histograms: by tag.
    """
    path = folder / "events.out.tfevents.sweeps"
    folder.mkdir(parents=True, exist_ok=True)
    scalars = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
    scalars += [histogram_value(tag, bins) for tag, bins in (histograms or {}).items()]
    events = [
        Event(wall_time=wall_time, step=step, summary=Summary(value=[Summary.Value(tag=STEP_LOSS, simple_value=loss)]))
        for step, loss in (steps or {}).items()
    ]
    events.append(Event(wall_time=wall_time, step=epoch, summary=Summary(value=scalars)))
    _cut_torn_end(path)
    if not path.exists() or path.stat().st_size == 0:
        first = Event(wall_time=wall_time, file_version="brain.Event:2")
        plugin = Summary(value=[_experiment(settings, values), _session(group, settings, wall_time)])
        events = [first, Event(wall_time=wall_time, summary=plugin), *events]
    # a reader goes no further than a torn record
    append_whole(path, _records(events), durable=False)


@lru_cache(maxsize=1024)
def _cut_torn_end(path: Path) -> None:
    """Cut off what follows the last whole record, once in a process: power was lost before all of it was on the disk.

    The events of a file are not waited for, so that some epochs' may be missing then; the ledger has them.
    """
    if path.exists():
        content = read_regular(path)
        if (whole := _whole_records(content)) < len(content):
            os.truncate(path, whole)


def _whole_records(content: bytes) -> int:
    """Return where the last record ends up to which all are whole: length and its checksum, data and its checksum."""
    end = 0
    while len(content) >= (begin := end + HEADER.size):
        length, checksum = HEADER.unpack_from(content, end)
        after = begin + length + FOOTER.size
        if checksum != masked_crc32c(content[end : end + 8]) or after > len(content):
            break
        # the checksum takes a tenth of a second for a megabyte, and what was written long ago is on the disk
        if len(content) - after < UNSURE and FOOTER.unpack_from(content, begin + length)[0] != masked_crc32c(
            content[begin : begin + length]
        ):
            break
        end = after
    return end


def _records(events: Iterable[Event]) -> bytes:
    buffer = io.BytesIO()
    writer = RecordWriter(buffer)
    for event in events:
        writer.write(event.SerializeToString())
    return buffer.getvalue()


def write_whole(path: Path, values: Iterable[tuple[int, Summary.Value]], wall_time: float) -> None:
    """Write an event file of (step, value) that replaces one of that name, whole or not at all."""
    first = Event(wall_time=wall_time, file_version="brain.Event:2")
    events = (Event(wall_time=wall_time, step=step, summary=Summary(value=[value])) for step, value in values)
    write_atomically(path, _records([first, *events]), durable=False)


def ending_value(succeeded: bool, wall_time: float) -> Summary.Value:
    """Return how a row of the HParams table has ended."""
    status = api_pb2.STATUS_SUCCESS if succeeded else api_pb2.STATUS_FAILURE
    return _plugin_value(SESSION_END, session_end_info=SessionEndInfo(status=status, end_time_secs=wall_time))


def histogram_value(tag: str, bins: Bins) -> Summary.Value:
    """Return a histogram of bins (left, right, count)."""
    numbers = [float(number) for row in bins for number in row]
    return _tensor_value(tag, "histograms", _tensor("DT_DOUBLE", (len(bins), 3), double_val=numbers))


def text_value(tag: str, markdown: str) -> Summary.Value:
    """Return a text, as Markdown."""
    return _tensor_value(tag, "text", _tensor("DT_STRING", (), string_val=[markdown.encode(errors="replace")]))


def image_value(tag: str, png: bytes) -> Summary.Value:
    """Return a PNG."""
    width, height = (int.from_bytes(png[start : start + 4], "big") for start in (16, 20))
    image = Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=png)
    return Summary.Value(tag=tag, image=image)


def _tensor(kind: str, shape: tuple[int, ...], **values: Any) -> TensorProto:
    sides = [TensorShapeProto.Dim(size=size) for size in shape]
    return TensorProto(dtype=kind, tensor_shape=TensorShapeProto(dim=sides), **values)


def _tensor_value(tag: str, plugin: str, tensor: TensorProto) -> Summary.Value:
    data = SummaryMetadata.PluginData(plugin_name=plugin)
    metadata = SummaryMetadata(plugin_data=data, data_class=DATA_CLASS_TENSOR)
    return Summary.Value(tag=tag, metadata=metadata, tensor=tensor)


def _experiment(settings: Mapping[str, Any], values: Mapping[str, float]) -> Summary.Value:
    """Return the columns of the HParams table: the settings, and the metrics with those that select first.

    The plugin takes the first of those that it finds. Without one it shows test metrics first and no validation.
    """
    kinds = {bool: api_pb2.DATA_TYPE_BOOL, int: api_pb2.DATA_TYPE_FLOAT64, float: api_pb2.DATA_TYPE_FLOAT64}
    fields = [
        api_pb2.HParamInfo(name=name, type=kinds.get(type(value), api_pb2.DATA_TYPE_STRING))
        for name, value in settings.items()
    ]
    metrics = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag)) for tag in values if tag not in NO_METRICS]
    return _plugin_value(EXPERIMENT, experiment=api_pb2.Experiment(hparam_infos=fields, metric_infos=metrics))


def _session(group: str, settings: Mapping[str, Any], wall_time: float) -> Summary.Value:
    """Return a replicate as a row of the HParams table."""
    info = SessionStartInfo(group_name=group, start_time_secs=wall_time)
    for name, value in settings.items():
        if isinstance(value, bool):
            info.hparams[name].bool_value = value
        elif isinstance(value, int | float):
            info.hparams[name].number_value = value
        else:
            info.hparams[name].string_value = show_value(value)
    return _plugin_value(SESSION, session_start_info=info)


def _plugin_value(tag: str, **content: Any) -> Summary.Value:
    """Return a value for the HParams plugin.

    Made from its messages: the plugin's own `summary` needs TensorFlow, and its `metadata` takes 0.4 s to import.
    """
    data = SummaryMetadata.PluginData(plugin_name="hparams", content=HParamsPluginData(**content).SerializeToString())
    return Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=data))
