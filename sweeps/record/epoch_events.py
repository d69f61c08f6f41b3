"""The epochs of single trials out of a ledger, for what the state does not keep, such as gradient norms by layer."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from sweeps.record.event import LOST_EPOCHS, UnusableEvent, check_fields, lost_epoch
from sweeps.record.ledger import Event, event_in


class EpochEvents:
    """An index of the epochs of some trials in a ledger. The epochs of one trial are read on demand.

    A damaged line is passed over. The epoch that it held has undefined figures, as in the state.
    """

    def __init__(self, ledger: Path, trial_ids: Collection[str]) -> None:
        self.ledger = ledger
        self._offsets: dict[str, list[int]] = {trial_id: [] for trial_id in trial_ids}
        if self._offsets:
            self._find()

    def _find(self) -> None:
        offset = 0
        with self.ledger.open("rb") as file:
            for line in file:
                if b'"event":"epoch"' in line and (event := _epoch_in(line)):
                    offsets = self._offsets.get(event["trial_id"])
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
                event = _epoch_in(file.readline())
                if event and len(events) < event["epoch"] <= len(events) + 1 + LOST_EPOCHS:
                    events += [_lost(event, number) for number in range(len(events) + 1, event["epoch"])]
                    events.append(event)
        return events


def _epoch_in(line: bytes) -> Event | None:
    """Return the epoch that a line holds; None for a damaged line, and for another event."""
    event = event_in(line) if line.endswith(b"\n") else None
    if event is None or event["event"] != "epoch":
        return None
    try:
        check_fields("epoch", event)
    except UnusableEvent:
        return None
    return event


def _lost(following: Event, epoch: int) -> Event:
    """Return an epoch whose line is damaged: what the next one says, with every figure undefined."""
    rows = [lost_epoch(row) for row in following["replicates"]]
    return {**following, "epoch": epoch, "replicates": rows, "mean": dict.fromkeys(following["mean"])}
