"""Permission to run a user's code that a file names: what is read back runs nothing that the user did not put there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainables.errors import InputError, shorten
from trainables.user_code.in_use import read_saved, source_of, sources_in_use, use_sources
from trainables.user_code.source import Source, is_user_code, split_spec
from trainables.user_code.user_paths import user_path

TRUST = "--trust-code"


def describe_sources(sources: Mapping[str, Source]) -> dict[str, dict[str, Any]]:
    """Return what a run keeps of its sources beside their texts: main file, digest, and the digest of each file."""
    return {
        spec: {"main": source.main, "digest": source.digest, "files": dict(source.file_digests)}
        for spec, source in sorted(sources.items())
    }


def permit(spec: str, digest: str | None, file: Path) -> None:
    """Raise `InputError` unless the code behind a spec that a file of weights names may be run.

    It may where it is in use already, or where the working directory's own file has the digest that the weights were
    trained with. Installed modules and files elsewhere could be anybody's choice: they need `trust_saved`.
    """
    found = sources_in_use().get(spec)
    if found is None:
        found = _own_file(spec)
    if found is None or found.digest != digest:
        found = _trusted(spec, digest) or found
    if found is not None and found.digest == digest:
        use_sources({spec: found})
        return
    what = "is not here as it was then" if found is None else f"has changed since (it is {found.digest} now)"
    raise InputError(
        f"{file} was trained with the code of {spec} (digest {shorten(digest)}), which {what}: run this in the folder "
        f"with that file, or add {TRUST} to run the copy that the run keeps in code/"
    )


def _own_file(spec: str) -> Source | None:
    """Return the source of a spec in the working directory; None for all others."""
    return source_of(spec) if is_local(spec) else None


def is_local(spec: str) -> bool:
    """Return whether a spec names a file or a module in the working directory, where only the user writes."""
    name, here = split_spec(spec)[0], Path.cwd().resolve()
    module = here.joinpath(*name.split("."))
    paths = [user_path(name)] if name.endswith(".py") else [module.with_suffix(".py"), module / "__init__.py"]
    return any(path.is_file() and path.resolve().is_relative_to(here) for path in paths)


# Folders of runs whose code may run, with what their `run.json` says of it.
_TRUSTED: list[tuple[Path, Mapping[str, Any]]] = []


def _trusted(spec: str, digest: str | None) -> Source | None:
    """Return the text of a digest that a trusted run keeps, as it was before or after a resume with another text."""
    for folder, described in _TRUSTED:
        if spec in described and digest and (folder / digest).is_dir():
            return read_saved(folder, str(described[spec].get("main")), digest)
    return None


def trust_saved(folder: Path, described: object) -> None:
    """Use the texts that a run keeps, for the specs that its `run.json` names. The user has said that they may run.

    folder: RUN/code; described: what `describe_sources` gave. A module that pip installed, as it was then, is imported
    from there. Raises `InputError` where a text is missing or no longer what it was.
    """
    if not isinstance(described, Mapping):
        return
    _TRUSTED.append((folder, described))
    for spec, entry in described.items():
        if not is_user_code(spec) or not isinstance(entry, Mapping):
            raise InputError(f"{folder.parent} names code in another way than a run does: it cannot be used")
        digest = str(entry.get("digest"))
        try:
            found = source_of(spec)
        except InputError:
            found = None
        if found is None or found.digest != digest:
            found = read_saved(folder, str(entry.get("main")), digest)
        use_sources({spec: found})


def changed_sources(before: object) -> list[str]:
    """Return the files of sources in use that are not as a run's `describe_sources` had them."""
    changed: list[str] = []
    for spec, source in sources_in_use().items():
        entry = before.get(spec) if isinstance(before, Mapping) else None
        known = entry.get("files") if isinstance(entry, Mapping) else None
        if isinstance(known, Mapping) and entry is not None and entry.get("digest") != source.digest:
            now = source.file_digests
            changed += [name for name in {**known, **now} if known.get(name) != now.get(name)]
    return sorted(set(changed))
