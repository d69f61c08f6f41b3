"""Asynchronous successive halving with strata, in plain Python: rungs are a fold over the epochs that were reported.

The rule within a stratum is Tune's own (`AsyncHyperBandScheduler`, stopping variant of Li et al. 2020): at a rung, a
value is compared with the (1 - 1/reduction) percentile of the values that reached this rung before it. What differs:
trials compete only within their stratum, a rung is judged at exactly its epoch, and a decision names its reasons.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from search_spaces.definition import Asha
from sweeps.schedulers.decision import Decision


@dataclass
class Rungs:
    """The values at each rung of each stratum and bracket. `higher` says which way is better."""

    asha: Asha
    higher: bool
    max_epochs: int
    values: dict[tuple[str, int, int], dict[str, float]] = field(default_factory=dict)

    def judge(self, trial_id: str, stratum: str, epoch: int, value: float, bracket: int = 0) -> Decision | None:
        """File a value and judge it; None where the epoch is no rung or the trial was filed there before."""
        if epoch not in milestones(self.asha, self.max_epochs, bracket):
            return None
        filed = self.values.setdefault((stratum, bracket, epoch), {})
        if trial_id in filed:
            return None
        decision = self._compare(list(filed.values()), epoch, value)
        # a value that is not finite must not move the cutoff of the others
        if math.isfinite(value):
            filed[trial_id] = value
        return decision

    def reason(self, decision: Decision, metric: str) -> str:
        """Return `rung 2: val_auc 0.7740 below the cutoff 0.9917 of 6 peers`."""
        if math.isnan(decision.cutoff):
            return f"rung {decision.rung}: {metric} is not finite"
        word = "below" if self.higher else "above"
        return (
            f"rung {decision.rung}: {metric} {decision.value:.4f} {word} the cutoff {decision.cutoff:.4f} "
            f"of {decision.peers} peers"
        )

    def _compare(self, peers: list[float], epoch: int, value: float) -> Decision:
        if not math.isfinite(value):
            return Decision(True, epoch, value, math.nan, len(peers))
        if not peers:
            return Decision(False, epoch, value, math.nan, 0)
        share = 1 - 1 / self.asha.reduction
        cutoff = float(np.percentile(peers, 100 * (share if self.higher else 1 - share)))
        worse = value < cutoff if self.higher else value > cutoff
        return Decision(worse, epoch, value, cutoff, len(peers))


def milestones(asha: Asha, max_epochs: int, bracket: int = 0) -> list[int]:
    """Return the rungs of a bracket: grace, times reduction again and again, below the last epoch.

    A rung that falls between two epochs is judged at the later one, as Tune's is. Each further bracket begins one rung
    later.
    """
    rungs: list[int] = []
    rung = float(asha.grace)
    # at the last epoch nothing is left to save
    while rung <= max_epochs - 1:
        if not rungs or math.ceil(rung) > rungs[-1]:
            rungs.append(math.ceil(rung))
        rung *= asha.reduction
    return rungs[bracket:]


def bracket_weights(asha: Asha, max_epochs: int) -> list[float]:
    """Return how many trials each bracket takes, up to a factor.

    Hyperband's reduction^s / (s + 1) with s rungs in the bracket.
    """
    rungs = len(milestones(asha, max_epochs))
    brackets = min(asha.brackets or rungs + 1, rungs + 1)
    return [asha.reduction ** (rungs - b) / (rungs - b + 1) for b in range(brackets)]


def next_bracket(trials: Mapping[int, int], weights: list[float]) -> int:
    """Return the bracket that lags most behind its share, the first of equals: the same at every planning.

    trials: how many each bracket has.
    """
    return min(range(len(weights)), key=lambda b: (trials.get(b, 0) + 1) / weights[b])
