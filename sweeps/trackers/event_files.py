"""Appends to TensorBoard event files in the formats of its scalars and of its HParams plugin."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo
from tensorboard.summary.writer.record_writer import RecordWriter

from analysis.comparison.labels import show_value

SESSION, EXPERIMENT = "_hparams_/session_start_info", "_hparams_/experiment"


def append_epoch(
    folder: Path, group: str, settings: Mapping[str, Any], epoch: int, values: Mapping[str, float], wall_time: float
) -> None:
    """Append the scalars of an epoch to a replicate's event file; a new file begins with its row of the HParams table.

    group: the replicates that are shown together. settings: the row's hyperparameters. values: by tag, those
    that select first.
    """
    path = folder / "events.out.tfevents.sweeps"
    folder.mkdir(parents=True, exist_ok=True)
    scalars = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
    events = [Event(wall_time=wall_time, step=epoch, summary=Summary(value=scalars))]
    with path.open("ab") as file:
        if file.tell() == 0:
            first = Event(wall_time=wall_time, file_version="brain.Event:2")
            plugin = Summary(value=[_experiment(settings, values), _session(group, settings, wall_time)])
            events = [first, Event(wall_time=wall_time, summary=plugin), *events]
        writer = RecordWriter(file)
        for event in events:
            writer.write(event.SerializeToString())


def _experiment(settings: Mapping[str, Any], values: Mapping[str, float]) -> Summary.Value:
    """Return the columns of the HParams table: the settings, and the metrics with those that select first.

    The plugin takes the first of those that it finds. Without one it shows test metrics first and no validation.
    """
    kinds = {bool: api_pb2.DATA_TYPE_BOOL, int: api_pb2.DATA_TYPE_FLOAT64, float: api_pb2.DATA_TYPE_FLOAT64}
    fields = [
        api_pb2.HParamInfo(name=name, type=kinds.get(type(value), api_pb2.DATA_TYPE_STRING))
        for name, value in settings.items()
    ]
    metrics = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag)) for tag in values if tag != "lr"]
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
