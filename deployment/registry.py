"""python -m deployment.registry list|show|promote|rollback: the registered models and which of them are in use."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from analysis.command_line import new_app, start
from analysis.grids import Cell, Column, Grid, print_grid
from analysis.terminal.plain_text import visible
from deployment.registration.opening import open_registry
from deployment.registration.registry_store import (
    CARD_FILE,
    EXTRA_FILES,
    files_of,
    find_version,
    model_names,
    versions_of,
)
from deployment.registration.registry_store import promote as give
from deployment.registration.registry_store import rollback as back
from trainables.atomic_files import read_regular
from trainables.errors import InputError

app = new_app()
RegistryUri = Annotated[
    str | None, typer.Option("--registry", help="URI of an MLflow registry (default: in the results).")
]
Storage = Annotated[str, typer.Option(help="Folder of the results.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A model's name.")]
Version = Annotated[str, typer.Argument(metavar="VERSION", help="A semantic version, staging or production.")]
Alias = Annotated[str, typer.Option(help="staging or production.")]


@app.command("list")
def list_(registry: RegistryUri = None, storage: Storage = "results") -> None:
    """List all models with their versions, gates and aliases."""
    opened = open_registry(registry, storage)
    heads = ("model", "version", "gate", "in use as", "run", "trial")
    rows = tuple(
        tuple(map(Cell, (one.name, one.version, one.gate, ", ".join(one.aliases) or "-", one.tags.get("run", ""),
                         one.tags.get("trial", ""))))
        for name in model_names(opened)
        for one in versions_of(opened, name)
    )  # fmt: skip
    print_grid(Console(), Grid("", tuple(Column(head, True) for head in heads), rows))


@app.command()
def show(name: Name, version: Version = "", registry: RegistryUri = None, storage: Storage = "results") -> None:
    """Print the card of a version, by default the newest."""
    opened = open_registry(registry, storage)
    chosen = find_version(opened, name, version or None)
    try:
        card = read_regular(files_of(opened, chosen) / EXTRA_FILES / CARD_FILE).decode()
    except (OSError, ValueError) as error:
        raise InputError(f"{name} {chosen.version} has no card that can be read ({error})") from None
    print("\n".join(visible(line) for line in card.splitlines()))


@app.command()
def promote(
    name: Name,
    version: Version,
    alias: Alias = "production",
    registry: RegistryUri = None,
    storage: Storage = "results",
) -> None:
    """Give a version an alias: production takes those alone whose gate passed."""
    made = give(open_registry(registry, storage), name, version, alias)
    print(f"{alias} of {name} is {made.version} now")


@app.command()
def rollback(
    name: Name, alias: Alias = "production", registry: RegistryUri = None, storage: Storage = "results"
) -> None:
    """Give an alias back to the version that had it before."""
    made = back(open_registry(registry, storage), name, alias)
    print(f"{alias} of {name} is {made.version} again")


if __name__ == "__main__":
    start(app)
