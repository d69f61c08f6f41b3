"""`sweeps COMMAND`, or `python -m sweeps COMMAND`: every command by one name, and completion in a shell.

`sweeps run activations` is `python -m sweeps.run activations`. A command's file is found by its name here, and runs as
it would by `python -m`.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from importlib import import_module
from runpy import run_module
from typing import Any

import typer

from analysis.command_line import start

COMMANDS = {
    "run": "sweeps.run",
    "list": "sweeps.list",
    "show": "sweeps.show",
    "clean": "sweeps.clean",
    "pull": "sweeps.pull",
    "track": "sweeps.track",
    "dashboard": "sweeps.dashboard",
    "compare": "analysis.compare",
    "report": "analysis.report",
    "evaluate": "analysis.evaluate",
    "explain": "analysis.explain",
    "complexity": "analysis.complexity",
    "scalars": "analysis.scalars",
    "plots_augmentation": "analysis.plots_augmentation",
    "export": "deployment.export",
    "quantize": "deployment.quantize",
    "register": "deployment.register",
    "registry": "deployment.registry",
    "predict": "deployment.predict",
    "serve": "deployment.serve",
    "doctor": "cluster.doctor",
    "monitor": "cluster.monitor",
    "submit": "cluster.submit",
}
HELP = "Hyperparameter sweeps for medical-image networks. Each COMMAND has a --help of its own."
# Set by a shell that asks for completions, and the words so far: by bash, by the others.
COMPLETING, WORDS = "_SWEEPS_COMPLETE", ("COMP_WORDS", "_TYPER_COMPLETE_ARGS")


def main() -> None:
    """Run the command that the first word names; without one, show which there are."""
    words = sys.argv[1:]
    if words and words[0] in COMMANDS and COMPLETING not in os.environ:
        del sys.argv[1]
        run_module(COMMANDS[words[0]], run_name="__main__", alter_sys=True)
    else:
        start(partial(_group(), prog_name="sweeps"), words or ["--help"])


def _group() -> Any:
    """Return all commands as one, for help and completion; of those that are completed, the one that is asked for."""
    app = typer.Typer(add_completion=True, pretty_exceptions_enable=False, help=HELP)
    app.callback()(_nothing)
    group: Any = typer.main.get_command(app)
    typed = [word for name in WORDS for word in os.environ.get(name, "").split()[1:2]]
    for name in [word for word in typed if word in COMMANDS] or COMMANDS:
        command = typer.main.get_command(_program(COMMANDS[name]).app)
        command.name = name
        group.add_command(command)
    return group


def _program(module: str) -> Any:
    """Import the file that `python -m` would run."""
    found = import_module(module)
    return import_module(f"{module}.__main__") if hasattr(found, "__path__") else found


def _nothing() -> None:
    pass


if __name__ == "__main__":
    main()
