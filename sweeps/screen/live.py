"""The live view of a run: a Rich screen on a terminal, a line now and then without one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import Progress as BarOfProgress
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from analysis.comparison.labels import show_value
from analysis.comparison.tables import STYLES
from analysis.terminal.plain_text import plain, visible
from sweeps.record.progress import Best, Progress, Stratum, Tally, sparkline
from sweeps.record.state import RunState, TrialState
from sweeps.screen.machine import Machine
from sweeps.screen.verbose import LOOKED_AT, EpochLines, varying_fields

REFRESH_SECONDS = 0.25
# of the driver's time at most goes into drawing
REFRESH_SHARE = 0.05
LINE_SECONDS = 10.0


class View(Protocol):
    """A view of a run while it goes on."""

    state: RunState

    def __enter__(self) -> View: ...
    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None: ...
    def update(self, *, final: bool = False) -> None:
        """Show the run's state if the last time is long enough ago; final: show it in any case."""

    def follow(self, state: RunState) -> None:
        """Show another state of the run: one that was read anew."""


def make_view(
    state: RunState, metric: str, mode: str, scientific: tuple[str, ...], console: Console, quiet: bool,
    nuisance: tuple[str, ...] = (), gone: float = 0.0, verbose: bool = False,
) -> View:  # fmt: skip
    """Return the view that fits the console. gone: seconds since the run began, where it is watched and not driven.

    verbose: a line for each epoch in place of it.
    """
    if quiet:
        return _Silent(state)
    if verbose:
        return EpochLines(state, metric, (*scientific, *nuisance), console)
    kind = _Screen if console.is_terminal else _Lines
    return kind(state, metric, mode, scientific, console, nuisance, gone)


class _Silent:
    def __init__(self, state: RunState) -> None:
        self.state = state

    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    def update(self, *, final: bool = False) -> None:
        return None

    def follow(self, state: RunState) -> None:
        self.state = state


class _Lines:
    """One line every ten seconds."""

    def __init__(
        self, state: RunState, metric: str, mode: str, scientific: tuple[str, ...], console: Console,
        nuisance: tuple[str, ...], gone: float,
    ) -> None:  # fmt: skip
        self.metric, self.mode, self.console = metric, mode, console
        self.scientific, self.fields = scientific, (*scientific, *nuisance)
        self.began, self.watched = time.monotonic() - gone, gone > 0
        self.due = time.monotonic() + 2
        self.follow(state)

    def follow(self, state: RunState) -> None:
        """Show another state of the run: one that was read anew."""
        self.state, self.tally = state, Tally(state, self.metric, self.mode, self.scientific)
        self._looked_at, self._varying = -1, list[str]()

    @property
    def varying(self) -> list[str]:
        """Return the fields that are shown of each trial; a searcher adds trials, and so values, later."""
        trials = min(len(self.state.trials), LOOKED_AT)
        if trials != self._looked_at:
            self._looked_at, self._varying = trials, varying_fields(self.state, self.fields)
        return self._varying

    def progress(self) -> Progress:
        """Return how far the run is, by its own clock."""
        return self.tally.progress(time.monotonic() - self.began, since_start=self.watched)

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.update(final=True)

    def update(self, *, final: bool = False) -> None:
        now = time.monotonic()
        if final or now >= self.due:
            self.due = now + LINE_SECONDS
            self.tally.update()
            best = self.tally.best()[:1]
            tail = f", best {self.metric} {best[0].value:.4f} ({plain(best[0].name)})" if best else ""
            self.console.print(f"{describe(self.progress())}{tail}", highlight=False, soft_wrap=True)


def describe(progress: Progress) -> str:
    """Return `12/48 trials, 3 running, 7 completed, 5 stopped, 0:31 gone, about 1:02 left`."""
    counts = ", ".join(f"{n} {status}" for status, n in progress.counts.items() if n)
    left = f", about {clock(progress.seconds_left)} left" if progress.seconds_left else ""
    return f"{progress.ended}/{progress.planned} trials ended ({counts}), {clock(progress.seconds_gone)} gone{left}"


def clock(seconds: float) -> str:
    """Return seconds as `1:02` or `1:01:02`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class _Screen(_Lines):
    """The whole view, drawn four times a second by whoever calls `update`; less often where that takes long."""

    def __enter__(self) -> _Screen:
        self.machine = Machine()
        self.live = Live(self.render(), console=self.console, auto_refresh=False, transient=True)
        self.live.__enter__()
        self.due = 0.0
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.live.__exit__(kind, error, trace)
        self.tally.update()
        self.console.print(describe(self.progress()), highlight=False)

    def update(self, *, final: bool = False) -> None:
        now = time.monotonic()
        if now >= self.due:
            self.live.update(self.render(), refresh=True)
            ended = time.monotonic()
            self.due = ended + max(REFRESH_SECONDS, (ended - now) / REFRESH_SHARE)

    def render(self) -> Group:
        """Return what is on the screen now."""
        self.tally.update()
        progress, best = self.progress(), self.tally.best()
        groups = [group for group in self.tally.strata() if group.name not in {row.name for row in best}]
        # rows of each table
        height = max(3, (self.console.height - 9) // (3 if len(groups) > 1 else 2))
        parts: list[RenderableType] = [self._bar(progress), self._best(best[:height]), self._running(height)]
        if len(groups) > 1:
            parts.insert(2, _strata(groups[:height]))
        if failed := self.tally.failures():
            parts.append(
                Text(visible(f"failed: {failed[0][1]} trials, {failed[0][0]}"), STYLES["failed"], no_wrap=True)
            )
        return Group(*parts, Text(self.machine.describe(), "dim", no_wrap=True))

    def _bar(self, progress: Progress) -> Table:
        grid = Table.grid(padding=(0, 1))
        counts = Text(" ").join(
            Text(f"{n} {status}", STYLES.get(status, "")) for status, n in progress.counts.items() if n
        )
        left = clock(progress.seconds_left) if progress.seconds_left is not None else "-:--"
        bar = ProgressBar(total=1.0, completed=progress.share, width=24)
        grid.add_row(
            bar, f"{progress.ended}/{progress.planned}", f"{clock(progress.seconds_gone)} gone, {left} left", counts
        )
        return grid

    def _best(self, rows: Sequence[Best]) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("best so far", max_width=36, no_wrap=True)
        for name in (self.metric, "at epoch", "ended"):
            table.add_column(name, justify="right")
        for best in rows:
            table.add_row(plain(best.name), f"{best.value:.4f}", str(best.epoch), f"{best.ended}/{best.trials}")
        return table

    def _running(self, rows: int) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("running", max_width=max(24, self.console.width - 44), no_wrap=True)
        table.add_column("epoch", justify="right")
        table.add_column(self.metric, justify="right")
        table.add_column("", no_wrap=True, style="cyan")
        for trial in self.tally.running(rows):
            values = trial.means.of(self.metric)
            last = values[-1] if values else None
            table.add_row(
                plain(self._name(trial)),
                f"{trial.epoch}/{trial.config['epochs']}",
                "-" if last is None else f"{last:.4f}",
                sparkline(values),
            )
        return table

    def _name(self, trial: TrialState) -> str:
        """Return `0007 optimizer=adam lr_scale=0.3`: the trial's number, and all that varies."""
        config = trial.config_now
        return " ".join([trial.trial_id, *(f"{name}={show_value(config[name])}" for name in self.varying)])


def _strata(groups: Sequence[Stratum]) -> Table:
    """Return how far each group of competitors is, where these are other groups than those that are compared."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("competing with each other", max_width=44, no_wrap=True)
    for name in ("ended", "stopped", "epochs"):
        table.add_column(name, justify="right")
    for group in groups:
        table.add_row(plain(group.name), f"{group.ended}/{group.trials}", str(group.stopped), str(group.epochs))
    return table


class Measuring:
    """A progress bar for the complexity and the figures; one line at the end without a terminal."""

    def __init__(self, console: Console, quiet: bool) -> None:
        self.console, self.quiet = console, quiet
        self.bar = BarOfProgress(console=console, transient=True, disable=quiet or not console.is_terminal)
        self.task = self.bar.add_task("measuring weights and drawing", total=None)
        self.total = 0

    def __enter__(self) -> Measuring:
        self.bar.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # Before version 14.3, rich prints an empty line here for a bar that it does not show.
        if not self.bar.disable:
            self.bar.stop()
        if self.total and not self.quiet and error is None:
            trials = f"{self.total} trial{'s' * (self.total != 1)}"
            self.console.print(f"measured the weights of {trials}", highlight=False)

    def update(self, done: int, total: int) -> None:
        """Move the bar to so many trials of all."""
        self.total = total
        self.bar.update(self.task, completed=done, total=total)
