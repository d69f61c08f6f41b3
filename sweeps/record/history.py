"""The results of a trial's replicates after each epoch, as numbers in one array: 120 bytes a replicate and epoch."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter
from typing import Any

from analysis.table import quality_names

QUALITIES = tuple(quality_names())
NUMBERS = (
    "lr_used", *QUALITIES, "is_best", "train_seconds", "eval_seconds", "images_trained", "gradient_norm",
)  # fmt: skip
_numbers_of = itemgetter(*NUMBERS)


@dataclass
class History:
    """The numbers of the tables; what else an epoch holds (gradient norms by layer) is read from the ledger.

    values: shape (epochs, replicates, NUMBERS), flat; undefined values are NaN. notes: texts, by epoch and replicate.
    """

    replicates: int = 0
    values: array[float] = field(default_factory=lambda: array("d"))
    notes: dict[tuple[int, int], str] = field(default_factory=dict)

    def append(self, epoch: int, replicates: Sequence[Mapping[str, Any]]) -> None:
        """Add an epoch. Raises `ValueError`, unchanged, for another number of replicates and for what is no number."""
        if self.replicates not in (0, len(replicates)):
            raise ValueError(f"an epoch of {len(replicates)} replicates follows epochs of {self.replicates}")
        try:
            values = array("d", chain.from_iterable(map(_numbers, replicates)))
        except (TypeError, OverflowError):
            raise ValueError(f"epoch {epoch} holds what are no numbers") from None
        self.values.extend(values)
        for number, row in enumerate(replicates):
            if isinstance(notes := row.get("notes"), str) and notes:
                self.notes[epoch, number] = notes
        self.replicates = len(replicates)

    def seconds(self, after: int = 0) -> float:
        """Return the seconds spent in training and evaluating all replicates, in the epochs that follow `after`."""
        width = len(NUMBERS)
        first = after * self.replicates * width
        columns = (NUMBERS.index("train_seconds"), NUMBERS.index("eval_seconds"))
        return sum(sum(self.values[first + column :: width]) for column in columns)


def _numbers(row: Mapping[str, Any]) -> Sequence[float]:
    try:
        found = _numbers_of(row)
    except KeyError:
        # a ledger of an earlier version lacks some numbers
        found = tuple(map(row.get, NUMBERS))
    return [math.nan if value is None else value for value in found] if None in found else found
