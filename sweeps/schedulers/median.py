"""The median stopping rule with strata, as a fold over the epochs that were reported (see `Median`)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import fmean, median

from search_spaces.definition import Median
from sweeps.schedulers.decision import Decision


@dataclass
class RunningMeans:
    """The values of each trial, by stratum, trial and epoch - 1. `higher` says which way is better."""

    rule: Median
    higher: bool
    max_epochs: int
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def judge(self, trial_id: str, stratum: str, epoch: int, value: float, bracket: int = 0) -> Decision | None:
        """File a value and judge it; None before `grace`, at the last epoch, and for an epoch known before."""
        trials = self.values.setdefault(stratum, {})
        mine = trials.setdefault(trial_id, [])
        if epoch != len(mine) + 1:
            return None
        mine.append(value)
        if not math.isfinite(value):
            return Decision(True, epoch, value, math.nan, 0)
        if epoch < self.rule.grace or epoch >= self.max_epochs:
            return None
        peers = [fmean(other[:epoch]) for name, other in trials.items() if name != trial_id and len(other) >= epoch]
        peers = [peer for peer in peers if math.isfinite(peer)]
        if len(peers) < self.rule.min_peers:
            return Decision(False, epoch, value, math.nan, len(peers))
        cutoff = median(peers)
        best = max(mine) if self.higher else min(mine)
        return Decision(best < cutoff if self.higher else best > cutoff, epoch, best, cutoff, len(peers))

    def reason(self, decision: Decision, metric: str) -> str:
        """Return `epoch 4: best val_auc 0.7740 below the median 0.9917 of 6 peers' means`."""
        if math.isnan(decision.cutoff):
            return f"epoch {decision.rung}: {metric} is not finite"
        word = "below" if self.higher else "above"
        return (
            f"epoch {decision.rung}: best {metric} {decision.value:.4f} {word} the median {decision.cutoff:.4f} "
            f"of {decision.peers} peers' means"
        )
