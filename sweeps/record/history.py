"""The results of a trial after each epoch as numbers in arrays: 120 bytes a replicate, and 72 for their means."""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import Any, overload

from trainables.metric_names import quality_names

QUALITIES = tuple(quality_names())
NUMBERS = (
    "lr_used", *QUALITIES, "is_best", "train_seconds", "eval_seconds", "images_trained", "gradient_norm",
)  # fmt: skip
NAME = re.compile(r"[A-Za-z_]\w{0,99}")
# Metrics of a trainable that are believed.
MOST_METRICS = 200
Mean = dict[str, float | None]


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
        numbers: list[float] = []
        for row in replicates:
            numbers += take(row)
        try:
            # of a list it takes half the time that it takes of an iterator
            values = array("d", numbers)
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


class Means(Sequence[Mean]):
    """A list of dicts, one an epoch, that holds numbers alone. Undefined values are None.

    All epochs have the same names, at most `MOST_METRICS`: a value that an epoch lacks is undefined there.
    """

    __slots__ = ("_epochs", "_names", "_values")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, means: Iterable[Mapping[str, float | None]] = ()) -> None:
        self._names: tuple[str, ...] = ()
        self._values, self._epochs = array("d"), 0
        for mean in means:
            self.append(mean)

    def append(self, mean: Mapping[str, float | None]) -> None:
        """Add the means of an epoch."""
        if tuple(mean) != self._names:
            self._widen(mean)
        self._values.extend(array("d", _numbers(mean, self._names)))
        self._epochs += 1

    def _widen(self, names: Iterable[str]) -> None:
        """Take in names that are new: those of the first epoch, or of a trainable which an upgrade has changed."""
        whole = tuple(dict.fromkeys((*self._names, *names)))[:MOST_METRICS]
        if whole != self._names:
            numbers = [value for mean in self for value in _numbers(mean, whole)]
            self._names, self._values = whole, array("d", numbers)

    def of(self, name: str, after: int = 0) -> list[float | None]:
        """Return the means of one name, of each epoch that follows `after`."""
        if name not in self._names:
            return [None] * (self._epochs - after)
        width = len(self._names)
        return [_known(value) for value in self._values[after * width + self._names.index(name) :: width]]

    def __len__(self) -> int:
        return self._epochs

    @overload
    def __getitem__(self, epoch: int) -> Mean: ...
    @overload
    def __getitem__(self, epoch: slice) -> list[Mean]: ...
    def __getitem__(self, epoch: int | slice) -> Mean | list[Mean]:
        if isinstance(epoch, slice):
            return [self[number] for number in range(*epoch.indices(self._epochs))]
        # an index out of range is one of a range, too
        first = range(self._epochs)[epoch] * len(self._names)
        row = self._values[first : first + len(self._names)]
        return {name: _known(value) for name, value in zip(self._names, row, strict=True)}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __repr__(self) -> str:
        return repr(list(self))


def _numbers(mean: Mapping[str, float | None], names: Sequence[str]) -> list[float]:
    return [math.nan if (value := mean.get(name)) is None else value for name in names]


def _known(value: float) -> float | None:
    # nan alone is unlike itself
    return None if value != value else value
