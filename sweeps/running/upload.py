"""Uploads of a run that is kept at a URI, while it goes on: the files that the driver writes, and the ledger last."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from analysis.runs.remote import Remote, Stamp, storage_errors
from analysis.runs.run_folder import RunFolder
from analysis.runs.sync import (
    CHECKPOINTS,
    LEDGER,
    Known,
    read_known,
    remote_of,
    send_changed,
    stamp_or_none,
    whole_lines,
    write_known,
)  # fmt: skip
from trainables.errors import InputError
from trainables.worker.attempt_folder import ATTEMPT

# the largest share of the time that goes into uploads during a run
SHARE = 0.05
# the least seconds between two rounds
PAUSE = 5.0
# At the end: how often, and seconds before the second try; each wait is twice the last.
TRIES, FIRST_WAIT = 5, 1.0
# how many rounds without the ledger are said
TELL_AFTER = 3
# how often files that move while they are sent are looked at again
LOOKS = 3


class Upload:
    """The uploads of one run, in rounds. The remote ledger never mentions a missing file.

    ledger: the stamp of the remote ledger, as we last saw it; lines: its bytes. rounds_without: rounds since the ledger
    was sent, or had nothing new. missing: files of attempts that had been removed here by the last round.
    """

    def __init__(self, run: RunFolder, remote: Remote) -> None:
        self.run, self.remote = run, remote
        self.known: Known = read_known(run)
        self.ledger: Stamp | None = None
        self.lines = 0
        self.rounds_without = 0
        self.missing: set[str] = set()

    def begin(self) -> None:
        """Read the remote ledger. Raises `InputError` where it cannot be read or is no beginning of ours."""
        with storage_errors(self.remote):
            stamp = self._ledger_there()
            there = self.remote.read(LEDGER) or b""
        if not whole_lines(self.run.ledger).startswith(there):
            text = f"{self.remote.uri}: another command goes on with this run; what this one did is in {self.run.path}"
            raise InputError(text)
        self.ledger, self.lines = stamp, len(there)

    def round(self) -> None:
        """Upload what has changed, then as much of the ledger as there was at first. May raise `OSError`.

        A file of an attempt that is gone afterwards is of a trial which that part of the ledger does not end yet, and
        whose files are sent from their final place in a later round.
        """
        if self._ledger_there() != self.ledger:
            # another driver, or an answer to our own upload that was lost
            self.begin()
        self.rounds_without += 1
        with self._moment() as (lines, checkpoints):
            for _ in range(LOOKS):
                here, gone = send_changed(self.run, self.remote, self.known, checkpoints)
                if all(_in_attempt(name) for name in gone):
                    break
            else:
                return
        self.rounds_without = 0
        if len(lines) > self.lines:
            self.remote.write(LEDGER, lines)
            self.ledger, self.lines = self._ledger_there(), len(lines)
        self._delete_attempts({name for name in self.known if _in_attempt(name) and name not in here})

    @contextmanager
    def _moment(self) -> Iterator[tuple[bytes, dict[str, Path]]]:
        """Yield the ledger and the changed checkpoints of one moment.

        A checkpoint that is further than the ledger cannot be gone on from. Links keep what is replaced meanwhile.
        """
        place = self.run.path / ".sending"
        for _ in range(LOOKS):
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            before = self._checkpoints()
            due = [name for name, stamp in before.items() if name not in self.known or self.known[name][0] != stamp]
            links = {name: place / str(number) for number, name in enumerate(due)}
            for name, link in links.items():
                with suppress(FileNotFoundError):
                    # moved: the stamps differ below
                    _link(self.run.path / name, link)
            lines = whole_lines(self.run.ledger)
            if self._checkpoints() == before:
                break
        try:
            yield lines, {name: link for name, link in links.items() if link.exists()}
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _checkpoints(self) -> dict[str, Stamp | None]:
        found = self.run.trials.rglob(f"*{CHECKPOINTS}")
        names = (path.relative_to(self.run.path).as_posix() for path in found if not path.name.startswith("."))
        return {name: stamp_or_none(self.run.path / name) for name in names}

    def _delete_attempts(self, missing: set[str]) -> None:
        """Delete remote files of attempts a round after they were removed here: then the remote ledger says so, too."""
        for name in missing & self.missing:
            self.remote.delete(name)
            del self.known[name]
        if missing & self.missing:
            write_known(self.run, self.known)
        self.missing = missing - self.missing

    def _ledger_there(self) -> Stamp | None:
        return self.remote.stamps([LEDGER]).get(LEDGER)


def _in_attempt(name: str) -> bool:
    return f"/{ATTEMPT}" in name


def _link(path: Path, link: Path) -> None:
    try:
        os.link(path, link)
    except FileNotFoundError:
        raise
    except OSError:
        # a file system without links
        shutil.copy2(path, link)


class BackgroundUpload:
    """Uploads a run in a thread of its own between `with` and its end, and everything at the end.

    problems: why something could not be uploaded. say: called once when an upload fails during the run.
    """

    def __init__(self, run: RunFolder, say: Callable[[str], None] = lambda text: None) -> None:
        self.run, self.say = run, say
        remote = remote_of(run)
        self.upload = Upload(run, remote) if remote else None
        self.problems: list[str] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._rounds, name="upload", daemon=True)

    def __enter__(self) -> BackgroundUpload:
        """Upload the plan before the first trial. Raises `InputError`."""
        if self.upload:
            self.upload.begin()
            with storage_errors(self.upload.remote):
                self.upload.round()
            self._thread.start()
        return self

    def _rounds(self) -> None:
        pause, told = PAUSE, False
        while not self._ending.wait(pause):
            began = time.monotonic()
            problem = self._round()
            if problem and not told:
                self.say(f"{problem}; trying again, everything is in {self.run.path} meanwhile")
            told = bool(problem)
            if self.upload and self.upload.rounds_without == TELL_AFTER:
                there = f"the ledger at {self.upload.remote.uri} is {TELL_AFTER} rounds behind"
                self.say(f"{there}: files move faster than they are uploaded; everything is in {self.run.path}")
            pause = max(PAUSE, (time.monotonic() - began) / SHARE)

    def _round(self) -> str:
        """Do one round; return what went wrong, "" if nothing did."""
        assert self.upload
        try:
            with storage_errors(self.upload.remote):
                self.upload.round()
        except InputError as error:
            return str(error)
        return ""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.upload is None:
            return
        self._ending.set()
        self._thread.join()
        for number in range(TRIES):
            # the second one deletes what the first saw to be gone
            problem = self._round() or self._round()
            if not problem:
                return
            if number < TRIES - 1:
                time.sleep(FIRST_WAIT * 2**number)
        self.problems.append(
            f"not everything could be uploaded ({problem}). Nothing is lost: it is in {self.run.path}; "
            "the same command with --resume uploads it"
        )
        if kind is not None:
            # nobody will ask for the problems
            self.say(self.problems[-1])
