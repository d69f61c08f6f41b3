"""Early stopping: a replicate ends when its validation metric has not improved for a number of epochs."""

from __future__ import annotations

import math
from copy import copy
from typing import Any

from trainables.config import TrialConfig
from trainables.training.evaluation import Quality

# The reason that the last metrics of such a replicate give.
EARLY_STOPPING = "early_stopping"


class Patience:
    """Counts the epochs in a row without an improvement by more than `min_delta`."""

    def __init__(self, config: TrialConfig) -> None:
        self.limit = config.patience
        self.min_delta = config.min_delta
        self.metric = config.early_stopping_metric
        self.best = -math.inf
        self.waited = 0

    def see(self, val: Quality) -> None:
        """Take in the quality on val after an epoch."""
        score = self._score(val)
        improved = score > self.best + self.min_delta
        self.best = score if improved else self.best
        self.waited = 0 if improved else self.waited + 1

    def ends_with(self, val: Quality) -> bool:
        """Tell whether an epoch of this quality on val would exhaust it."""
        after = copy(self)
        after.see(val)
        return after.exhausted

    def _score(self, val: Quality) -> float:
        """Return the score, higher is better: the accuracy where AUC is undefined because val lacks a class."""
        if self.metric == "val_loss":
            return -val.loss
        return val.acc if self.metric == "val_acc" or math.isnan(val.auc) else val.auc

    @property
    def exhausted(self) -> bool:
        """Tell whether the replicate has waited as long as it may."""
        return self.limit is not None and self.waited >= self.limit

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Restore a checkpoint's state."""
        self.best, self.waited = saved["best"], saved["waited"]
