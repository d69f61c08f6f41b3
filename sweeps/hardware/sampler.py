"""Samples the driver's machine in a thread, into a journal at once and into `hardware.parquet` now and then."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from types import TracebackType

from analysis.runs.run_folder import RunFolder
from analysis.table.hardware import GRAMS_PER_KWH, Row, read_samples, summarise, write_samples, write_usage
from sweeps.hardware.sample import Machine
from trainables.errors import InputError

# Seconds between two samples.
INTERVAL = 5.0
# Rows of the journal from which on the table is written anew, or a fifth of those in the table: all writing together
# stays a small multiple of the rows.
MOST_ROWS = 720


class Sampler:
    """Samples from `with` on until `close`. A machine or a disk that refuses costs samples and nothing else."""

    def __init__(
        self, run: RunFolder, grams_per_kwh: float | None = None, say: Callable[[str], None] = lambda text: None,
        machine: Callable[[], Machine] = Machine, interval: float = INTERVAL,
    ) -> None:  # fmt: skip
        """say: told once where sampling has ended early."""
        self.run, self.grams, self.make, self.interval = (
            run,
            GRAMS_PER_KWH if grams_per_kwh is None else grams_per_kwh,
            machine,
            interval,
        )
        self.say = say
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample_on, name="hardware", daemon=True)
        self._in_table = self._in_journal = 0

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the sampling and write the table and `hardware.json`; a second call does nothing."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._thread.join()

    def _sample_on(self) -> None:
        try:
            self._sample_to_the_end()
        # a table that was damaged meanwhile, a full disk
        except (InputError, OSError) as error:
            self.say(f"the machine is no longer sampled: {error}")

    def _sample_to_the_end(self) -> None:
        # what an earlier driver of this run has left
        self._write()
        machine, before = self.make(), time.monotonic()
        ended = False
        while not ended:
            ended = self._ended.wait(self.interval)
            now = time.monotonic()
            self._append(machine.sample(now - before))
            before = now
            if self._in_journal >= max(MOST_ROWS, self._in_table // 5):
                self._write()
        if usage := summarise(self._write(), self.grams):
            write_usage(self.run, usage)

    def _append(self, rows: list[Row]) -> None:
        lines = [json.dumps({**row, "time": row["time"].isoformat(timespec="milliseconds")}) for row in rows]
        with self.run.hardware_journal.open("ab") as file:
            # after a line that a kill has cut
            start = b"\n" if file.tell() and self._in_journal == 0 else b""
            file.write(start + "".join(f"{line}\n" for line in lines).encode())
        self._in_journal += len(rows)

    def _write(self) -> list[Row]:
        """Write all samples into the table. Returns them."""
        rows = read_samples(self.run)
        if rows:
            write_samples(self.run, rows, self.run.metadata())
        self._in_table, self._in_journal = len(rows), 0
        return rows
