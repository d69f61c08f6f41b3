"""A run keeps the command that made it without its passwords."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from sweeps.record.provenance import provenance, without_secrets

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["--notify", f"curl -H 'Authorization: {SECRET}' x"], ["--notify", "..."]),
        ([f"--notify=TOKEN={SECRET} curl x"], ["--notify=..."]),
        (["--track", f"my.py:Slack=https://hooks/{SECRET}"], ["--track", "my.py:Slack=..."]),
        ([f"--track=mlflow=postgresql://host/runs?password={SECRET}"], ["--track=mlflow=..."]),
        (["--track", "wandb", "--set", "lr=0.1"], ["--track", "wandb", "--set", "lr=0.1"]),
    ],
)
def test_a_command_of_the_users_and_the_address_of_a_tracker_are_not_kept(words: list[str], kept: list[str]) -> None:
    assert without_secrets(["run.py", "smoke", *words, "--quiet"]) == ["run.py", "smoke", *kept, "--quiet"]
    assert SECRET not in json.dumps(provenance(["run.py", *words]))


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '"text"'])
def test_a_commit_that_was_sent_damaged_is_left_out(text: str, monkeypatch: Any) -> None:
    monkeypatch.setenv("SWEEPS_GIT", text)
    assert isinstance(provenance(sys.argv)["git"], dict)
