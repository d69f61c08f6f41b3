"""Asynchronous successive halving with strata, in plain Python: rungs are a fold over the epochs that were reported.

The rule within a stratum is Tune's own (`AsyncHyperBandScheduler`, stopping variant of Li et al. 2020): at a rung, a
value is compared with the (1 - 1/reduction) percentile of the values that reached this rung before it. What differs:
trials compete only within their stratum, a rung is judged at exactly its epoch, and a decision names its reasons.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from search_spaces.definition import Asha


@dataclass(frozen=True)
class Decision:
    """What a rung said of a value. cutoff is NaN for the first trial at a rung, which always goes on."""

    stop: bool
    rung: int  # the epoch at which was judged
    value: float
    cutoff: float
    peers: int  # trials that reached the rung before


@dataclass
class Rungs:
    """The values at each rung of each stratum. `higher` says which way is better."""

    asha: Asha
    higher: bool
    max_epochs: int
    values: dict[tuple[str, int], dict[str, float]] = field(default_factory=dict)

    def milestones(self) -> Iterator[int]:
        """grace, grace·reduction, grace·reduction², ... below the last epoch, where nothing is left to save."""
        rung = float(self.asha.grace)
        while round(rung) < self.max_epochs:
            yield round(rung)
            rung *= self.asha.reduction

    def judge(self, trial_id: str, stratum: str, epoch: int, value: float) -> Decision | None:
        """File a value and judge it; None where the epoch is no rung or the trial was filed there before."""
        if epoch not in self.milestones():
            return None
        filed = self.values.setdefault((stratum, epoch), {})
        if trial_id in filed:
            return None
        decision = self._compare(list(filed.values()), epoch, value)
        if math.isfinite(value):  # a value that is not finite must not move the cutoff of the others
            filed[trial_id] = value
        return decision

    def _compare(self, peers: list[float], epoch: int, value: float) -> Decision:
        if not math.isfinite(value):
            return Decision(True, epoch, value, math.nan, len(peers))
        if not peers:
            return Decision(False, epoch, value, math.nan, 0)
        share = 1 - 1 / self.asha.reduction
        cutoff = float(np.percentile(peers, 100 * (share if self.higher else 1 - share)))
        worse = value < cutoff if self.higher else value > cutoff
        return Decision(worse, epoch, value, cutoff, len(peers))
