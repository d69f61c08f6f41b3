"""Which rule judges the trials of a sweep."""

from __future__ import annotations

from search_spaces.definition import Asha, Median, Sweep
from sweeps.schedulers.asha import Rungs
from sweeps.schedulers.decision import Judge
from sweeps.schedulers.median import RunningMeans


def make_judge(sweep: Sweep, epochs: int) -> Judge | None:
    """The rule of the sweep's scheduler for trials of so many epochs; None: every trial is trained to its end."""
    if isinstance(sweep.scheduler, Asha):
        return Rungs(sweep.scheduler, sweep.mode == "max", epochs)
    return RunningMeans(sweep.scheduler, sweep.mode == "max", epochs) if isinstance(sweep.scheduler, Median) else None
