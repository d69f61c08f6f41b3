"""While a run with its storage at a URI goes on: what the driver writes is uploaded beside it, the ledger last."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

from analysis.remote import Remote, Stamp, reaching
from analysis.run_folder import RunFolder
from analysis.staging import LEDGER, Known, read_known, remote_of, send_changed, whole_lines, write_known
from trainables.errors import InputError

SHARE = 0.05  # of the time at most goes into uploading during a run
PAUSE = 5.0  # seconds between two rounds at least
TRIES, FIRST_WAIT = 5, 1.0  # at the end: how often, and seconds before the second try; each wait is twice the last
LOOKS = 3  # at files that move while they are sent


class Upload:
    """Rounds of uploading one run. The ledger there never speaks of a file that is not there."""

    def __init__(self, run: RunFolder, remote: Remote) -> None:
        self.run, self.remote = run, remote
        self.known: Known = read_known(run)
        self.ledger: Stamp | None = None  # as we last saw it there
        self.lines = 0  # bytes of it
        self.missing: set[str] = set()  # files of attempts that were no longer here a round ago

    def begin(self) -> None:
        """Raises `InputError` where the run there has gone another way, and what `reaching` raises."""
        with reaching(self.remote):
            there, self.ledger = self.remote.read(LEDGER) or b"", self._ledger_there()
        if not whole_lines(self.run.ledger).startswith(there):
            raise self._second_driver()
        self.lines = len(there)

    def round(self) -> None:
        """Upload what has changed, then as much of the ledger as there was at first. May raise `OSError`."""
        lines = whole_lines(self.run.ledger)
        if self._ledger_there() != self.ledger:
            raise self._second_driver()
        here = next((found for _ in range(LOOKS) if (found := self._send()) is not None), None)
        if here is None:
            return
        if len(lines) > self.lines:
            self.remote.write(LEDGER, lines)
            self.ledger, self.lines = self._ledger_there(), len(lines)
        self._delete_attempts({name for name in self.known if "/attempt-" in name and name not in here})

    def _send(self) -> set[str] | None:
        return send_changed(self.run, self.remote, self.known)

    def _delete_attempts(self, missing: set[str]) -> None:
        """Files of a trial that has ended have moved up; only a round later is the ledger sure to say so there too."""
        for name in missing & self.missing:
            self.remote.delete(name)
            del self.known[name]
        if missing & self.missing:
            write_known(self.run, self.known)
        self.missing = missing - self.missing

    def _ledger_there(self) -> Stamp | None:
        return self.remote.stamps([LEDGER]).get(LEDGER)

    def _second_driver(self) -> InputError:
        text = f"{self.remote.uri}: another command goes on with this run; what this one did is in {self.run.path}"
        return InputError(text)


class Mirror:
    """Uploads in a thread of its own between `with` and its end, and everything at the end.

    problems: what could not be uploaded; say: told once when an upload fails during the run.
    """

    def __init__(self, run: RunFolder, say: Callable[[str], None] = lambda text: None) -> None:
        self.run, self.say = run, say
        remote = remote_of(run)
        self.upload = Upload(run, remote) if remote else None
        self.problems: list[str] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._rounds, name="mirror", daemon=True)

    def __enter__(self) -> Mirror:
        """The plan is uploaded before the first trial. Raises `InputError`."""
        if self.upload:
            self.upload.begin()
            with reaching(self.upload.remote):
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
            pause = max(PAUSE, (time.monotonic() - began) / SHARE)

    def _round(self) -> str:
        """One round; returns what went wrong."""
        assert self.upload
        try:
            with reaching(self.upload.remote):
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
            problem = self._round() or self._round()  # the second one deletes what the first saw to be gone
            if not problem:
                return
            if number < TRIES - 1:
                time.sleep(FIRST_WAIT * 2**number)
        self.problems.append(
            f"not everything could be uploaded ({problem}). Nothing is lost: it is in {self.run.path}; "
            "the same command with --resume uploads it"
        )
