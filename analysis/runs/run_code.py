"""The copies of a user's own code that a run keeps in `code/`, used where the user says that they may run."""

from __future__ import annotations

from analysis.runs.run_folder import RunFolder
from trainables.user_code.permission import trust_saved


def trust_code_of(run: RunFolder) -> None:
    """Use the code that a run keeps for the specs that its configs name. Raises `InputError` where it is damaged."""
    trust_saved(run.code, run.read_description().get("code"))
