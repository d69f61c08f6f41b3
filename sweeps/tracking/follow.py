"""Sends a run to one tracker, to its end or while it goes on; what fails is tried again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.runs.lease import refuse_links_out
from analysis.runs.run_folder import RunFolder
from analysis.table.hardware import read_samples
from sweeps.trackers.table import Spec, make_tracker
from sweeps.tracking.feed import Feed
from sweeps.tracking.position import PositionFile
from trainables.errors import InputError, at_end, text_of

# Seconds between two looks at a ledger that grows.
LOOK_SECONDS = 1.0
# Seconds before a tracker that failed is tried again; each wait is twice the last.
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
# Seconds between two readings of the samples of the machine, and the share of the time that it takes at most.
SAMPLE_SECONDS, SAMPLE_SHARE = 5.0, 0.05
# How often in a row sending may fail after a run has ended.
TRIES = 3
Say = Callable[[str], None]


@dataclass(frozen=True)
class Files:
    """The files that go to a tracker. kinds: report (and `figures/`, where drawn), figures (of each trial), weights."""

    kinds: tuple[str, ...] = ("report", "figures")

    def of(self, run: RunFolder, feed: Feed) -> list[tuple[str | None, Path, str]]:
        """Return trial id (None: of the run), path and name of each file that is there."""
        found: list[tuple[str | None, Path, str]] = []
        if "report" in self.kinds:
            paths = [run.path / "report.html", *sorted((run.path / "figures").glob("*.svg")), run.trials_table]
            found += [(None, path, path.relative_to(run.path).as_posix()) for path in paths]
        for trial in feed.state.trials.values():
            folder = run.trial(trial.folder)
            paths = []
            if "figures" in self.kinds:
                paths += [folder.training_curves, folder.weight_distributions, folder.run_stats]
            if "weights" in self.kinds:
                paths += [folder.best_model(seed) for seed in trial.config["seeds"]]
            place = f"trials/{trial.trial_id}"
            found += [(trial.trial_id, path, f"{place}/{path.relative_to(folder.path).as_posix()}") for path in paths]
        return [item for item in found if item[1].is_file()]


def links_of(run: RunFolder, trial_ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return, by trial, the folders of its evaluation and of its exported models where they exist."""
    links = {}
    for trial_id in trial_ids:
        places = {"evaluation": run.evaluation_of(trial_id).path, "deployment": run.deployment_of(trial_id).path}
        if found := {name: str(path.absolute()) for name, path in places.items() if path.is_dir()}:
            links[trial_id] = found
    return links


@dataclass
class Follower:
    """Feeds one tracker. say: prints a line. more: waits so many seconds, and returns False once the run has ended.

    alive: called often while the tracker answers.
    """

    run: RunFolder
    spec: Spec
    files: Files
    say: Say
    more: Callable[[float], bool]
    alive: Callable[[], None] = lambda: None
    samples_due: float = 0.0

    def follow(self) -> None:
        """Send what the ledger has and gets, and at the run's end the files. Raises `InputError` where that fails.

        A link that leads out of the run would send a file of the user's that is none of the run's.
        """
        _drop_links(self.run.trackers)
        refuse_links_out(self.run)
        position_file = PositionFile(self.run, self.spec)
        with position_file.held() as position:
            results = self.run.path.parent.parent
            feed = Feed(self.run, position, lambda: make_tracker(self.spec, results), position_file.save, self.alive)
            with at_end(feed.give_up):
                self._while_it_goes_on(feed)
                self._after_its_end(feed)

    def _while_it_goes_on(self, feed: Feed) -> None:
        """Send what comes; say the first failure of several in a row, and when it is over."""
        wait, failing = 0.0, False
        while self.more(wait):
            problem = self._try(feed)
            if bool(problem) != failing:
                text = (
                    f"{problem}; the run goes on, and this is sent later" if problem else "answers again: all is sent"
                )
                self.say(f"{self.spec.text}: {text}")
            failing = bool(problem)
            wait = min(LONGEST_WAIT, max(FIRST_WAIT, 2 * wait)) if problem else LOOK_SECONDS

    def _after_its_end(self, feed: Feed) -> None:
        """Send what is left, the files and how the run stands. Raises `InputError` where that fails several times."""
        for left in reversed(range(TRIES)):
            problem = self._try(feed, ended=True)
            if not problem:
                return
            if left:
                time.sleep(FIRST_WAIT)
        raise InputError(
            f"{self.spec.text}: {problem}; it lacks {feed.lines_behind} lines of the ledger and what follows"
        )

    def _try(self, feed: Feed, ended: bool = False) -> str:
        """Send what there is; return what went wrong, "" if nothing did."""
        try:
            feed.step()
            if ended or time.monotonic() >= self.samples_due:
                self._send_samples(feed)
            if ended:
                feed.end(self.files.of(self.run, feed), links_of(self.run, list(feed.state.trials)))
        except InputError as error:
            return str(error)
        # a tracker may raise whatever its library, or its user's code, raises; that ends no run
        except (Exception, SystemExit) as error:
            return _one_line(error)
        return ""

    def _send_samples(self, feed: Feed) -> None:
        """Read and send the samples so far: they grow with the run, and so does the time until the next reading."""
        began = time.monotonic()
        feed.hardware(read_samples(self.run))
        ended = time.monotonic()
        self.samples_due = ended + max(SAMPLE_SECONDS, (ended - began) / SAMPLE_SHARE)


def _drop_links(folder: Path) -> None:
    """Remove the links in a run's folder of trackers that a killed process of W&B has left; what they lead to stays."""
    for below, folders, names in os.walk(folder) if not folder.is_symlink() else ():
        for path in (Path(below) / name for name in (*folders, *names)):
            if path.is_symlink():
                path.unlink(missing_ok=True)


def _one_line(error: BaseException) -> str:
    text = " ".join(text_of(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
