"""Compares runs as `analysis.compare` and the report show them: values, their differences, importance, correlations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from analysis.comparison.correlations import Association, associate_models, associate_parts, headline_outcomes
from analysis.comparison.importance import Importance, importances
from analysis.comparison.judged_epoch import at_last_epoch, with_stopped
from analysis.comparison.results import Results, load
from analysis.comparison.sentences import answers
from analysis.comparison.standings import Comparison, compare
from analysis.runs.run_folder import RunFolder
from trainables.errors import InputError, unknown_name


@dataclass(frozen=True)
class ComparedRuns:
    """All that is compared of runs. results: with stopped trials treated as asked; everything: as they ended."""

    results: Results
    everything: Results
    comparison: Comparison
    importances: Sequence[Importance]
    models: Sequence[Association]
    parts: Sequence[Association]

    def document(self, stopped: str) -> dict[str, Any]:
        """Return what `analysis.compare --json` prints. stopped: how stopped trials were treated."""
        return {
            "runs": [str(run.path) for run in self.results.runs],
            "scientific": self.results.scientific,
            "nuisance": self.results.nuisance,
            "metric": self.results.metric,
            "stopped": stopped,
            "epoch": self.results.epoch,
            "equal_epochs": self.results.equal_epochs,
            "answers": answers(self.results, self.comparison),
            **vars(self.comparison),
            "importance": self.importances,
            "correlations": self.models,
            "correlations_by_part": self.parts,
        }


def compare_runs(
    runs: Sequence[RunFolder],
    metric: str | None = None,
    against: str | None = None,
    stopped: str = "left-out",
    hold: Sequence[str] | None = None,
    epoch: str = "best",
) -> ComparedRuns:
    """Read runs and compare their values. Raises `InputError`.

    metric: what selects (None: the run's). against: the value others are compared with (None: the best). stopped:
    `left-out` or `equal-epochs`. hold: fields that correlations hold (None: nuisance; `["none"]`: none).
    epoch: `best` or `last`: the epoch of each trial that its metrics and its weights' complexity are of.
    """
    if epoch not in ("best", "last"):
        raise InputError(unknown_name("epoch", epoch, ("best", "last")))
    if epoch == "last" and stopped != "left-out":
        raise InputError(
            "--epoch last judges trials at their own last epoch, and --stopped equal-epochs does not: "
            "leave one of them out"
        )
    everything = load(runs, metric)
    everything = at_last_epoch(everything) if epoch == "last" else everything
    results = with_stopped(everything, stopped)  # type: ignore[arg-type]
    held = [] if hold == ["none"] else hold
    # a measure belongs to the best weights, so that it goes with the scores of those and not with equal epochs
    models = associate_models(everything, held)
    parts = associate_parts(everything, headline_outcomes(everything), held)
    return ComparedRuns(results, everything, compare(results, against), importances(everything), models, parts)
