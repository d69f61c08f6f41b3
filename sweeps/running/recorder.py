"""The recorder: the one place where what happens in a run becomes ledger lines, state, tables and event files."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

from analysis import table
from analysis.runs.lease import held
from analysis.runs.run_folder import RunFolder
from analysis.trial_status import EARLY_STOPPING
from analysis.weights.model_columns import write_trials
from search_spaces.definition import Pbt, Sweep
from sweeps.record.attempts import collect_attempts
from sweeps.record.ledger import Event, Ledger
from sweeps.record.state import RunState, TrialState
from sweeps.record.table_rows import epochs_table, trials_table
from sweeps.schedulers.decision import Decision, competes
from sweeps.schedulers.pbt import compare_population, waits
from sweeps.schedulers.table import make_judge
from sweeps.trackers.tensorboard import curves_of, write_epoch
from trainables.atomic_files import write_atomically
from trainables.errors import InputError
from trainables.trainable import means_over_replicates
from trainables.worker.attempt_folder import CHECKPOINT, DONOR

# The fields of a decision that a stop records.
DECISION = ("rung", "value", "cutoff", "peers")
# Share of the driver's time that goes into rewriting tables at most.
TABLE_SHARE = 0.05


P = ParamSpec("P")
T = TypeVar("T")


def _writes(method: Callable[Concatenate[Recorder, P], T]) -> Callable[Concatenate[Recorder, P], T]:
    """Make what the disk refuses an `InputError` that says what to do."""

    @wraps(method)
    def writing(recorder: Recorder, *arguments: P.args, **named: P.kwargs) -> T:
        try:
            return method(recorder, *arguments, **named)
        except OSError as error:
            place = error.filename or recorder.run.path
            raise InputError(f"{place} cannot be written ({error.strerror}): free space, then --resume") from None

    return writing


class Recorder:
    """Takes the run's events in, in order, and answers whether a trial goes on."""

    def __init__(self, run: RunFolder, sweep: Sweep, state: RunState, metadata: Mapping[str, Any], epochs: int) -> None:
        self.run, self.sweep, self.state, self.metadata = run, sweep, state, metadata
        self.ledger = Ledger(run.ledger)
        self.tables_due = 0.0
        self.choices: set[str] = set()
        self.judge = make_judge(sweep, epochs)
        self._refill()
        for stratum in dict.fromkeys(trial.stratum for trial in state.trials.values()):
            self._compare(stratum)

    def _refill(self) -> None:
        """Give the judge, after a resume, every value that the state knows, in the order of the reports.

        Then do what a crash left undone: end each trial whose last epoch was its end.
        """
        last: dict[str, tuple[Event, Decision | None]] = {}
        for trial_id, epoch in self.state.reports:
            trial = self.state.trials[trial_id]
            final = epoch == trial.epoch
            # each mean is made of its numbers when it is asked for
            mean = trial.means[epoch - 1] if self.judge else {}
            decision = self._judge(trial, epoch, mean, trial.finite or not final)
            if final and trial.last_report:
                last[trial_id] = trial.last_report, decision
        for trial_id, (event, decision) in last.items():
            if not self.state.trials[trial_id].ended and trial_id not in self.state.foreign:
                self._conclude(self.state.trials[trial_id], event, decision)

    def record(self, event: str, **fields: Any) -> None:
        """Append to the ledger and take into the state."""
        self.state.apply(self.ledger.append(event, **fields))

    @_writes
    def started(self, trial_id: str) -> None:
        """Record that a worker has begun a trial."""
        trial = self.state.trials[trial_id]
        if trial.ended:
            return
        write_atomically(self.run.trial(trial.folder).config, json.dumps(trial.config, indent=1).encode())
        self.record("started", trial_id=trial_id)

    @_writes
    def epoch(self, trial_id: str, report: Mapping[str, Any]) -> bool:
        """Take one epoch's report in. True: the trial goes on; False: it is stopped here."""
        trial = self.state.trials[trial_id]
        known = trial.epoch >= report["epoch"]
        mean = means_over_replicates(report["replicates"], report["metrics"])
        fields = {name: report[name] for name in ("attempt", "epoch", "memory_mb", "replicates")}
        if report["note"]:
            fields["note"] = report["note"]
        if not report["finite"]:
            fields["finite"] = False
        if report.get("gpu_percent") is not None:
            fields["gpu_percent"] = report["gpu_percent"]
        self._remember_choice(report.get("fused"))
        self.record("epoch", trial_id=trial_id, **fields, mean=mean)
        if report["checkpoint"]:
            self.record("checkpoint", trial_id=trial_id, epoch=report["epoch"], attempt=report["attempt"])
        if not known:
            rows = dict(zip(trial.config["seeds"], report["replicates"], strict=True))
            curves = curves_of(self.run, trial, (*self.sweep.compared, *self.sweep.nuisance))
            write_epoch(curves, report["epoch"], rows, time.time())
        decision = self._judge(trial, report["epoch"], mean, report["finite"])
        if self._conclude(trial, fields, decision):
            return False
        if isinstance(self.sweep.scheduler, Pbt) and waits(self.sweep.scheduler, trial, self.state):
            self.record("waiting", trial_id=trial_id)
            self._compare(trial.stratum)
        return True

    def _remember_choice(self, text: str | None) -> None:
        """Write into `run.json` how the replicates of a shape of network are trained, once for each."""
        if text is None or text in self.choices:
            return
        self.choices.add(text)
        description = self.run.read_description()
        choice, known = json.loads(text), description.get("fused")
        fused = {**(known if isinstance(known, dict) else {}), choice.pop("key"): choice}
        write_atomically(self.run.description, json.dumps({**description, "fused": fused}, indent=1).encode())

    def _conclude(self, trial: TrialState, event: Mapping[str, Any], decision: Decision | None) -> bool:
        """End a trial whose last epoch was its end. True: the worker is to be stopped here."""
        if not event.get("finite", True):
            self._end(trial, "diverged", f"loss was not finite at epoch {event['epoch']}")
        elif decision and decision.stop:
            self._stop(trial, decision)
        elif trial.asked_to_stop and event["epoch"] < trial.config["epochs"]:
            self._end(trial, "stopped", f"{trial.asked_to_stop} after epoch {event['epoch']}")
        else:
            if all(row.get("stop_reason") for row in event["replicates"]):
                self._end(trial, "stopped", f"{EARLY_STOPPING} of every replicate by epoch {event['epoch']}")
            elif event["epoch"] >= trial.config["epochs"]:
                self._end(trial, "completed", f"trained all {trial.config['epochs']} epochs")
            return False
        return True

    def _compare(self, stratum: str) -> None:
        """Replace the worst of a population once all of it waits (population based training)."""
        rule = self.sweep.scheduler
        if isinstance(rule, Pbt) and (found := compare_population(self.sweep, rule, self.state, stratum)):
            replaced = [
                change for change in found.replaced if self._copy_checkpoint(change["donor"], change["trial_id"])
            ]
            self.record("generation", **{**vars(found), "replaced": replaced})

    def _copy_checkpoint(self, donor_id: str, trial_id: str) -> bool:
        """Put the donor's checkpoint into a trial's folder; False where it is lost: the trial then goes on as it is."""
        donor, trial = (self.state.trials[name] for name in (donor_id, trial_id))
        source = self.run.trial(donor.folder).attempt(donor.attempt) / CHECKPOINT
        if source.is_file():
            write_atomically(self.run.trial(trial.folder).path / DONOR, source.read_bytes())
        return source.is_file()

    def _judge(self, trial: TrialState, epoch: int, mean: Mapping[str, Any], finite: bool) -> Decision | None:
        """Compare an epoch with those of the trial's peers. mean: of each metric over replicates."""
        value = mean.get(self.sweep.metric)
        if self.judge is None or not competes(self.state, trial, epoch, finite):
            return None
        value = math.nan if value is None else value
        return self.judge.judge(trial.trial_id, trial.stratum, epoch, value, trial.bracket)

    def _stop(self, trial: TrialState, decision: Decision) -> None:
        assert self.judge is not None
        reason = self.judge.reason(decision, self.sweep.metric)
        self._end(trial, "stopped", reason, **{name: getattr(decision, name) for name in DECISION})

    @_writes
    def ask_to_stop(self, trial_id: str, reason: str) -> bool:
        """Note that a trial is to stop, at its next report or before it begins. False: it has ended, or was asked."""
        trial = self.state.trials[trial_id]
        if trial.ended or trial.asked_to_stop or trial_id in self.state.foreign:
            return False
        self.record("stop_requested", trial_id=trial_id, reason=reason)
        if trial.status == "waiting":
            # no worker has it
            self._end(trial, "stopped", f"{reason} after epoch {trial.epoch}")
        return True

    @_writes
    def skips(self, trial_id: str) -> bool:
        """Return whether a trial that is to be handed out has ended; one that was asked to stop ends here."""
        trial = self.state.trials[trial_id]
        if trial.asked_to_stop and not trial.ended:
            self._end(trial, "stopped", f"{trial.asked_to_stop} after epoch {trial.epoch}")
        return trial.ended

    @_writes
    def failed(self, trial_id: str, cause: str) -> None:
        """End a trial that will not be tried again."""
        self._end(self.state.trials[trial_id], "failed", cause)

    def interrupted(self) -> None:
        """Mark what had started and has not ended: it goes on at a resume."""
        for trial in self.state.trials.values():
            if trial.status in ("running", "waiting") or (trial.status == "planned" and trial.epoch):
                self.record("interrupted", trial_id=trial.trial_id, reason=f"interrupted after epoch {trial.epoch}")

    def _end(self, trial: TrialState, status: str, reason: str, **fields: Any) -> None:
        collect_attempts(self.run, trial, status)
        self.record(status, trial_id=trial.trial_id, reason=reason, **fields)
        self._compare(trial.stratum)

    @_writes
    def step(self, *, final: bool = False) -> None:
        """Write to the disk what is due. To be called often."""
        self._check_lease()
        self.ledger.sync()
        began = time.monotonic()
        if final or began >= self.tables_due:
            self.write_tables()
            ended = time.monotonic()
            self.tables_due = ended + max(1.0, (ended - began) / TABLE_SHARE)

    def _check_lease(self) -> None:
        """Raise `InputError` where another command works on the run now; nothing is written any more then."""
        try:
            if lease := held(self.run):
                lease.check()
        except InputError as error:
            self.ledger.failure = str(error)
            raise

    def write_tables(self) -> None:
        """Write `trials.parquet` and `epochs.parquet`."""
        trials = self.state.trials.values()
        write_trials(self.run, trials_table(self.run, trials, self.metadata))
        table.write_arrow(self.run.epochs_table, epochs_table(self.run, trials, self.metadata))

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Mark what is unfinished, write the tables and close; after an error, that error is the one to be seen."""
        try:
            if not self.ledger.failure:
                self.interrupted()
                self.step(final=True)
            self.close()
        except Exception:
            if error is None:
                raise

    def close(self) -> None:
        """Close the ledger."""
        self.ledger.close()
