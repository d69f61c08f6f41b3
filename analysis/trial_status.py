"""The ends of a trial, and their meaning for its results. All commands ask here."""

from __future__ import annotations

ENDED = ("completed", "stopped", "diverged", "failed")
"""The statuses of a trial that is over. One that was interrupted goes on at a resume."""
EARLY_STOPPING = "early stopping"
"""The reason of a trial that ended by its own patience, and not by a scheduler's rule, begins so."""
BY_REQUEST = "stopped by request"
"""The reason of a trial that somebody stopped by hand begins so. Its last epoch says nothing of other trials."""


def has_ended(status: str) -> bool:
    """Tell whether nothing more is done for a trial of this status, unless it is asked for again."""
    return status in ENDED


def trained_to_its_end(status: str, stop_reason: str | None) -> bool:
    """Tell whether a trial was trained as long as its config says: all epochs, or until its own patience ran out."""
    return status == "completed" or (status == "stopped" and (stop_reason or "").startswith(EARLY_STOPPING))
