"""The epochs of single trials out of a ledger, for what the state does not keep, such as gradient norms by layer."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from pydantic_core import from_json


class EpochEvents:
    """Knows where the epochs of some trials stand in a ledger, and reads those of one trial when it is asked."""

    def __init__(self, ledger: Path, trial_ids: Collection[str]) -> None:
        self.ledger = ledger
        self._places: dict[str, list[int]] = {trial_id: [] for trial_id in trial_ids}
        if self._places:
            self._find()

    def _find(self) -> None:
        place = 0
        with self.ledger.open("rb") as file:
            for line in file:
                if b'"event":"epoch"' in line and line.endswith(b"\n"):
                    places = self._places.get(from_json(line)["trial_id"])
                    if places is not None:
                        places.append(place)
                place += len(line)

    def of(self, trial_id: str) -> list[list[dict[str, Any]]]:
        """The replicates after each epoch; an epoch that was trained again counts once, as in the state."""
        epochs: list[list[dict[str, Any]]] = []
        with self.ledger.open("rb") as file:
            for place in self._places[trial_id]:
                file.seek(place)
                event = from_json(file.readline())
                if event["epoch"] == len(epochs) + 1:
                    epochs.append(event["replicates"])
        return epochs
