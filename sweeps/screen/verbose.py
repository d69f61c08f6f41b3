"""A line for each epoch of each trial, where `--verbose` asks for it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console

from analysis.comparison.labels import show_value
from analysis.terminal.plain_text import plain
from sweeps.record.state import RunState, TrialState

# The metrics of a line beside the one that selects, where a trial has them.
SHOWN = ("val_acc", "val_loss", "train_loss")


# Trials in which a field must differ to be shown of each.
LOOKED_AT = 1000


def varying_fields(state: RunState, fields: Sequence[str]) -> list[str]:
    """Return the fields whose values differ between the first trials; where there is none yet, all of them."""
    trials = list(itertools.islice(state.trials.values(), LOOKED_AT))
    return [name for name in dict.fromkeys(fields) if len({str(trial.config.get(name)) for trial in trials}) != 1]


class EpochLines:
    """A view that prints each epoch and each ending once."""

    def __init__(self, state: RunState, metric: str, fields: Sequence[str], console: Console) -> None:
        self.metric, self.fields, self.console = metric, fields, console
        self.follow(state)

    def follow(self, state: RunState) -> None:
        """Show another state of the run: one that was read anew. What it holds already is not printed."""
        self.state = state
        self._reports, self._changes = len(state.reports), len(state.changed)
        self._ended = {trial.trial_id for trial in state.trials.values() if trial.ended}

    def __enter__(self) -> EpochLines:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.update(final=True)

    def update(self, *, final: bool = False) -> None:
        """Print what is new."""
        reports, changes = self.state.reports[self._reports :], self.state.changed[self._changes :]
        self._reports, self._changes = len(self.state.reports), len(self.state.changed)
        for trial_id, epoch in reports:
            self._print(epoch_line(self.state.trials[trial_id], epoch, self._varying(), self.metric))
        for trial_id in dict.fromkeys(changes):
            trial = self.state.trials[trial_id]
            if trial.ended and trial_id not in self._ended:
                self._ended.add(trial_id)
                self._print(f"{trial_id} {trial.status}: {trial.stop_reason}")

    def _varying(self) -> list[str]:
        return varying_fields(self.state, self.fields)

    def _print(self, text: str) -> None:
        self.console.print(plain(text), highlight=False, soft_wrap=True)


def epoch_line(trial: TrialState, epoch: int, fields: Sequence[str], metric: str) -> str:
    """Return `0007 activation=relu lr=0.01 epoch 3/20: val_auc 0.9876, val_acc 0.9300, train_loss 0.1234; 0.41 s`."""
    config, means = trial.config_now, trial.means[epoch - 1]
    names = dict.fromkeys((metric, *SHOWN))
    values = [f"{name} {means[name]:.4f}" for name in names if means.get(name) is not None]
    named = " ".join([trial.trial_id, *(f"{name}={show_value(config.get(name))}" for name in fields)])
    seconds = trial.history.seconds(epoch - 1) - trial.history.seconds(epoch)
    return f"{named} epoch {epoch}/{config['epochs']}: {', '.join(values) or 'nothing is defined'}; {seconds:.2f} s"
