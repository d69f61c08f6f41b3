"""The origin of a run: code, versions, hardware. Written to `run.json` and into every table."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from trainables.code_digest import code_digest, file_digests

PACKAGES = (
    "medsweeps",
    "ray",
    "torch",
    "torchvision",
    "medmnist",
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "pyarrow",
)


# a command of the user's may hold a password, and so may the address of a tracker
NOTIFY, TRACK = "--notify", "--track"


def provenance(command: Sequence[str]) -> dict[str, Any]:
    """Command line, git commit and dirty flag, digests of the code, versions and hardware, as JSON holds them."""
    return {
        "command": without_secrets(command),
        "git": git_state(),
        "code_digest": code_digest(),
        "code_files": file_digests(),
        "versions": _versions(),
        "hardware": _hardware(),
    }


def without_secrets(command: Sequence[str]) -> list[str]:
    """Return the words of a command; `...` stands for a command of the user's and for the address of a tracker."""
    kept = []
    for before, word in zip(["", *command], command, strict=False):
        option, equals, value = word.partition("=")
        if before in (NOTIFY, TRACK):
            kept.append(_hidden(before, word))
        elif equals and option in (NOTIFY, TRACK):
            kept.append(f"{option}={_hidden(option, value)}")
        else:
            kept.append(word)
    return kept


def _hidden(option: str, value: str) -> str:
    name, equals, _ = value.partition("=")
    return "..." if option == NOTIFY else f"{name}=..." if equals else value


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def git_state() -> dict[str, Any]:
    """Return the commit of our own source tree, or that which a submitted job was sent from; empty without one."""
    with suppress(ValueError, RecursionError):
        sent = json.loads(os.environ.get("SWEEPS_GIT", ""))
        if isinstance(sent, dict):
            return sent
    root = Path(__file__).parents[2]

    def ask(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        if Path(ask("rev-parse", "--show-toplevel")).resolve() != root.resolve():
            # installed inside somebody's own repository, whose commits say nothing of us
            return {}
        return {
            "commit": ask("rev-parse", "HEAD"),
            "branch": ask("rev-parse", "--abbrev-ref", "HEAD"),
            "dirty": bool(ask("status", "--porcelain")),
        }
    except (OSError, subprocess.CalledProcessError):
        return {}


def _hardware() -> dict[str, Any]:
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "machine": platform.machine(),
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpus": gpus,
    }
