"""The result of a check: how bad it is, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Level = Literal["ok", "warn", "fail"]
STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


@dataclass(frozen=True)
class Finding:
    """One line of the doctor. where: a node's name, a file, or "" for the cluster as a whole. fix: what to do."""

    level: Level
    subject: str
    text: str
    fix: str = ""
    where: str = ""


def ok(subject: str, text: str, where: str = "") -> Finding:
    """Return a finding that all is well."""
    return Finding("ok", subject, text, "", where)


def warn(subject: str, text: str, fix: str, where: str = "") -> Finding:
    """Return a finding that a user should look at."""
    return Finding("warn", subject, text, fix, where)


def fail(subject: str, text: str, fix: str, where: str = "") -> Finding:
    """Return a finding that keeps a sweep from working."""
    return Finding("fail", subject, text, fix, where)


def exit_code(findings: Iterable[Finding]) -> int:
    """Return 1 where anything failed, else 0; a warning does not stop a script."""
    return int(any(finding.level == "fail" for finding in findings))


def as_json(findings: Iterable[Finding]) -> dict[str, Any]:
    """Return one JSON document: all findings, and how many of each level."""
    listed = [asdict(finding) for finding in findings]
    counts = {level: sum(entry["level"] == level for entry in listed) for level in STYLES}
    return {"counts": counts, "findings": listed}
