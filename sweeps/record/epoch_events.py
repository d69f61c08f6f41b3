"""The epochs of single trials out of a ledger, for what the state does not keep, such as gradient norms by layer."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from pydantic_core import from_json


class EpochEvents:
    """An index of the epochs of some trials in a ledger. The epochs of one trial are read on demand."""

    def __init__(self, ledger: Path, trial_ids: Collection[str]) -> None:
        self.ledger = ledger
        self._offsets: dict[str, list[int]] = {trial_id: [] for trial_id in trial_ids}
        if self._offsets:
            self._find()

    def _find(self) -> None:
        offset = 0
        with self.ledger.open("rb") as file:
            for line in file:
                if b'"event":"epoch"' in line and line.endswith(b"\n"):
                    offsets = self._offsets.get(from_json(line)["trial_id"])
                    if offsets is not None:
                        offsets.append(offset)
                offset += len(line)

    def of(self, trial_id: str) -> list[list[dict[str, Any]]]:
        """Return a trial's replicates after each epoch; an epoch trained twice counts once, as in the state."""
        return [event["replicates"] for event in self.events_of(trial_id)]

    def events_of(self, trial_id: str) -> list[dict[str, Any]]:
        """Return the event of each epoch of a trial; an epoch trained twice counts once, as in the state."""
        events: list[dict[str, Any]] = []
        with self.ledger.open("rb") as file:
            for offset in self._offsets[trial_id]:
                file.seek(offset)
                event = from_json(file.readline())
                if event["epoch"] == len(events) + 1:
                    events.append(event)
        return events
