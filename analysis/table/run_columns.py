"""The columns of one run's tables: the standard ones, or those of a training function of a user's own.

What a run's trainable is stands in its `run.json`, and so in the metadata of its tables, under `trainable`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal

import pyarrow as pa

from analysis.table.definitions import (
    COST,
    ENDING,
    EPOCH,
    FLAG,
    IDENTITY,
    LENGTH,
    REAL,
    SCHEMA_VERSION,
    TEXT,
    WHOLE,
    Column,
    Kind,
    columns,
    complexity_columns,
    config_columns,
)
from trainables.metric_names import RESERVED

# Of a training function of a user's own: fields of its config and columns that it has in common with all.
OWN_FIELDS = ("epochs", "seeds")
OWN_EPOCH = ("epoch", "is_best", "train_seconds", "notes")
OWN_COST = ("train_seconds", "peak_memory_mb", "gpu_percent", "attempts")
TYPES = {"flag": FLAG, "whole": WHOLE, "number": REAL, "text": TEXT}
FIELD_NAME = re.compile(r"[A-Za-z_]\w{0,99}(\.\w{1,100})?")


def config_fields(metadata: Mapping[str, Any]) -> list[str]:
    """Return the columns that hold a trial's config, by what a run says of its trainable."""
    standard = OWN_FIELDS if _is_own(metadata) else tuple(config_columns())
    return list(dict.fromkeys((*own_fields(metadata), *standard)))


def _is_own(metadata: Mapping[str, Any]) -> bool:
    """Tell whether a run's trainable has columns of its own in place of the image classifier's."""
    trainable = metadata.get("trainable")
    return isinstance(trainable, dict) and trainable.get("own") is True


def own_fields(metadata: Mapping[str, Any]) -> dict[str, Column]:
    """Return the columns of the config's fields that no `TrialConfig` has."""
    trainable = metadata.get("trainable")
    fields = trainable.get("fields") if isinstance(trainable, dict) else None
    found = {}
    for name, entry in fields.items() if isinstance(fields, dict) else ():
        kind, meaning = (entry.get("type"), entry.get("meaning")) if isinstance(entry, dict) else ("text", "")
        if FIELD_NAME.fullmatch(name) and name not in RESERVED:
            found[name] = Column(TYPES.get(str(kind), TEXT), str(meaning or name), null=True)
    return found


def columns_of(kind: Kind, metadata: Mapping[str, Any], metrics: Iterable[str] = ()) -> dict[str, Column]:
    """Return the columns of a run's table.

    metrics: names that its training function reported; the image classifier's are known.
    """
    own = own_fields(metadata)
    if not _is_own(metadata) or kind not in ("trials", "epochs"):
        return {**columns(kind), **own} if kind == "trials" else columns(kind)
    # the steering metric has its columns also where no trial came to an epoch
    steering = [name] if isinstance(name := metadata.get("metric"), str) and FIELD_NAME.fullmatch(name) else []
    names = dict.fromkeys((*metrics, *steering))
    reported = {name: _metric_column(name, metadata) for name in names if name not in RESERVED}
    if kind == "epochs":
        return {**IDENTITY, **{name: EPOCH[name] for name in OWN_EPOCH}, **reported}
    standard = {name: column for name, column in config_columns().items() if name in OWN_FIELDS and name not in own}
    final = {f"final_{name}": replace(c, meaning=f"{c.meaning}, at the last epoch") for name, c in reported.items()}
    best = {name: replace(c, meaning=f"{c.meaning}, at the best epoch") for name, c in reported.items()}
    by = metadata.get("metric", "the steering metric")
    length = {**LENGTH, "best_epoch": replace(LENGTH["best_epoch"], meaning=f"epoch of the best {by}")}
    cost = {name: COST[name] for name in OWN_COST}
    # a field or metric of the user's own goes before a measure of weights of that name
    measured = {name: column for name, column in complexity_columns().items() if name not in {*own, *reported}}
    return {**IDENTITY, **ENDING, **own, **standard, **length, **best, **final, **cost, **measured}


def _metric_column(name: str, metadata: Mapping[str, Any]) -> Column:
    towards: dict[Any, Literal["higher", "lower"]] = {"max": "higher", "min": "lower"}
    usual: Literal["", "lower"] = "lower" if name.endswith("loss") else ""
    direction = towards.get(metadata.get("mode"), usual) if name == metadata.get("metric") else usual
    return Column(REAL, "as the training function reported it", "", direction)


def schema(kind: Kind, metadata: Mapping[str, Any], metrics: Iterable[str] = ()) -> pa.Schema:
    """Return the table's pyarrow schema: unit, direction, meaning with every field, metadata with the file.

    metadata: of the file, `trainable` among it. metrics: as of `columns_of`.
    """
    fields = [
        pa.field(name, c.type, c.null, {"unit": c.unit, "direction": c.direction, "meaning": c.meaning})
        for name, c in columns_of(kind, metadata, metrics).items()
    ]
    described = {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}
    return pa.schema(fields, {"schema_version": SCHEMA_VERSION, "table": kind, **described})
