"""TensorBoard event files, appended an epoch at a time: no file stays open, no thread runs.

A replicate is a TensorBoard run, named after its trial, the trial's swept values and its seed. To the HParams plugin it
is a session with the swept values as hyperparameters, and the replicates of a trial are one group, shown by their mean.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.comparison.labels import show_value
from analysis.runs.run_folder import RunFolder
from sweeps.record.state import TrialState

if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary

SCALARS = {
    f"{split}_{name}": f"{split}/{name}" for split in ("train", "val", "test") for name in ("loss", "auc", "acc")
}
TAGS = {**SCALARS, "lr_used": "lr"}
SESSION, EXPERIMENT = "_hparams_/session_start_info", "_hparams_/experiment"
# Bytes of a folder's name at most.
MOST_BYTES = 180


@dataclass(frozen=True)
class Curves:
    """The event files of a trial. group: its id without a replicate's part; settings: its swept values."""

    folder: Path
    group: str
    settings: Mapping[str, Any]


def curves_of(run: RunFolder, trial: TrialState, fields: Iterable[str]) -> Curves:
    """Return where a trial's event files are: `tensorboard/0007 activation=relu lr=0.01/`.

    fields: those that the sweep varies. A trial keeps the folder that it has had: that of version 0.1.0, which is named
    like that of its weights, and that of a command which varied other fields.
    """
    settings = {name: trial.config.get(name) for name in fields}
    group = trial.trial_id.partition(".")[0]
    old = run.tensorboard / trial.folder
    had = old if old.is_dir() else _folders_at_start(run.tensorboard).get(group)
    return Curves(had or run.tensorboard / _folder_name(group, settings), group, settings)


@lru_cache(maxsize=8)
def _folders_at_start(tensorboard: Path) -> dict[str, Path]:
    """Return the folder of each trial as this process finds them when it first writes into a run."""
    if not tensorboard.is_dir():
        return {}
    folders = (entry.name for entry in os.scandir(tensorboard) if entry.is_dir(follow_symlinks=False))
    return {name.partition(" ")[0]: tensorboard / name for name in sorted(folders, reverse=True)}


def _folder_name(group: str, settings: Mapping[str, Any]) -> str:
    words = [group, *(f"{name}={show_value(value)}" for name, value in settings.items())]
    name = " ".join(re.sub(r"[^\w.=+-]+", "_", word) for word in words)
    return name.encode()[:MOST_BYTES].decode(errors="ignore").strip().lstrip(".")


def write_epoch(curves: Curves, epoch: int, rows: Mapping[int, Mapping[str, Any]], wall_time: float) -> None:
    """Append loss, AUC and ACC of each split and the learning rate of an epoch.

    rows: the epoch's values by the seed of the replicate. wall_time: seconds since 1970.
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    for seed, row in rows.items():
        path = curves.folder / f"seed_{seed}" / "events.out.tfevents.sweeps"
        path.parent.mkdir(parents=True, exist_ok=True)
        values = [Summary.Value(tag=tag, simple_value=_number(row[name])) for name, tag in TAGS.items() if name in row]
        events = [Event(wall_time=wall_time, step=epoch, summary=Summary(value=values))]
        with path.open("ab") as file:
            if file.tell() == 0:
                first = Event(wall_time=wall_time, file_version="brain.Event:2")
                plugin = Summary(value=[_experiment(curves), _session(curves, wall_time)])
                events = [first, Event(wall_time=wall_time, summary=plugin), *events]
            writer = RecordWriter(file)
            for event in events:
                writer.write(event.SerializeToString())


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _experiment(curves: Curves) -> Summary.Value:
    """Return the columns of the HParams table: the settings, and the metrics with those that select first.

    The plugin takes the first of those that it finds. Without one it shows test metrics first and no validation.
    """
    from tensorboard.plugins.hparams import api_pb2

    kinds = {bool: api_pb2.DATA_TYPE_BOOL, int: api_pb2.DATA_TYPE_FLOAT64, float: api_pb2.DATA_TYPE_FLOAT64}
    fields = [
        api_pb2.HParamInfo(name=name, type=kinds.get(type(value), api_pb2.DATA_TYPE_STRING))
        for name, value in curves.settings.items()
    ]
    tags = [f"{split}/{name}" for split in ("val", "test", "train") for name in ("auc", "acc", "loss")]
    metrics = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag)) for tag in tags]
    return _plugin_value(EXPERIMENT, experiment=api_pb2.Experiment(hparam_infos=fields, metric_infos=metrics))


def _session(curves: Curves, wall_time: float) -> Summary.Value:
    """Return a replicate as a row of the HParams table."""
    from tensorboard.plugins.hparams.plugin_data_pb2 import SessionStartInfo

    info = SessionStartInfo(group_name=curves.group, start_time_secs=wall_time)
    for name, value in curves.settings.items():
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
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    data = SummaryMetadata.PluginData(plugin_name="hparams", content=HParamsPluginData(**content).SerializeToString())
    return Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=data))
