"""The results of a trial's replicates after each epoch, as numbers in one array: 120 bytes a replicate and epoch."""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any

from trainables.metric_names import quality_names

QUALITIES = tuple(quality_names())
NUMBERS = (
    "lr_used", *QUALITIES, "is_best", "train_seconds", "eval_seconds", "images_trained", "gradient_norm",
)  # fmt: skip
NAME = re.compile(r"[A-Za-z_]\w{0,99}")
# Metrics of a trainable that are believed.
MOST_METRICS = 200


@dataclass
class History:
    """The numbers of the tables; what else an epoch holds (gradient norms by layer) is read from the ledger.

    metrics: the names that the trainable reports. names: `NUMBERS`, and the metrics that are not among them. values:
    shape (epochs, replicates, names), flat; undefined values are NaN. notes: texts, by epoch and replicate.
    """

    replicates: int = 0
    values: array[float] = field(default_factory=lambda: array("d"))
    notes: dict[tuple[int, int], str] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    names: tuple[str, ...] = NUMBERS

    def append(self, epoch: int, replicates: Sequence[Mapping[str, Any]], metrics: Iterable[str] = QUALITIES) -> None:
        """Add an epoch; the metrics are those of the first.

        Raises `ValueError`, unchanged, for another number of replicates and for what is no number.
        """
        if self.replicates not in (0, len(replicates)):
            raise ValueError(f"an epoch of {len(replicates)} replicates follows epochs of {self.replicates}")
        known, names = (self.metrics, self.names) if self.replicates else _names(tuple(metrics))
        take = _taker(names)
        try:
            values = array("d", chain.from_iterable(take(row) for row in replicates))
        except (TypeError, OverflowError):
            raise ValueError(f"epoch {epoch} holds what are no numbers") from None
        self.values.extend(values)
        for number, row in enumerate(replicates):
            if isinstance(notes := row.get("notes"), str) and notes:
                self.notes[epoch, number] = notes
        self.replicates, self.metrics, self.names = len(replicates), known, names

    def seconds(self, after: int = 0) -> float:
        """Return the seconds spent in training and evaluating all replicates, in the epochs that follow `after`."""
        width = len(self.names)
        first = after * self.replicates * width
        columns = (NUMBERS.index("train_seconds"), NUMBERS.index("eval_seconds"))
        parts = (self.values[first + column :: width] for column in columns)
        return sum(value for part in parts for value in part if not math.isnan(value))


@lru_cache(maxsize=1024)
def _names(metrics: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the metrics whose names can be those of columns, and all names; shared by all trials that have them."""
    known = tuple(name for name in metrics if NAME.fullmatch(name))[:MOST_METRICS]
    return known, (*NUMBERS, *(name for name in known if name not in NUMBERS))


@lru_cache(maxsize=1024)
def _taker(names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], Sequence[float]]:
    """Return what takes the named numbers out of a row; NaN for what it lacks."""
    all_of = itemgetter(*names)

    def take(row: Mapping[str, Any]) -> Sequence[float]:
        try:
            found = all_of(row)
        except KeyError:
            # a ledger of an earlier version lacks some numbers, and so does a trainable of a user's own
            found = tuple(map(row.get, names))
        return [math.nan if value is None else value for value in found] if None in found else found

    return take
