"""MLflow's model registry: versions with semantic names, aliases and their history. Needs the extra `registry`.

What is read back is an ONNX file, opened as every other, and JSON: no flavour of MLflow is loaded, since some run code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from deployment.registration.client import first_line, shown
from deployment.registration.opening import Registry, own_warnings
from trainables.errors import InputError

# semver.org's own expression.
SEMANTIC = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?"
    r"(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?"
)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
PRODUCTION, STAGING = "production", "staging"
ALIASES = (STAGING, PRODUCTION)
# Tags of a version and of a model.
VERSION, GATE, HISTORY = "version", "gate", "history_of_"
# Below a version's folder; MLflow puts files that it does not know into one of their own.
MODEL_FILE, CARD_FILE, EXTRA_FILES = "model.onnx", "MODEL_CARD.md", "extra_files"


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of a model. number: MLflow's own; version: the semantic one."""

    name: str
    number: str
    version: str
    gate: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    description: str


def check_names(name: str, version: str, alias: str | None, tags: Sequence[str]) -> dict[str, str]:
    """Check a model's name, version and alias; return its tags. Raises `InputError`."""
    if not NAME.fullmatch(name):
        raise InputError(f"--name {name!r}: take letters, digits and - _ . inside")
    if not SEMANTIC.fullmatch(version):
        raise InputError(f"--version {version!r} is no semantic version: say MAJOR.MINOR.PATCH, as 1.2.0")
    check_alias(alias)
    pairs = [tag.partition("=") for tag in tags]
    wrong = [tag for tag, pair in zip(tags, pairs, strict=True) if not pair[1] or not NAME.fullmatch(pair[0])]
    if wrong:
        raise InputError(f"--tag {wrong[0]!r}: say KEY=VALUE")
    return {key: value for key, _, value in pairs}


def check_alias(alias: str | None) -> None:
    """Raise `InputError` for an alias that is not `staging` or `production`."""
    if alias is not None and alias not in ALIASES:
        raise InputError(f"--alias {alias!r}: choose {' or '.join(ALIASES)}")


def model_names(registry: Registry) -> list[str]:
    """Return the names of all models."""
    return sorted(model.name for model in registry.client.search_registered_models())


def versions_of(registry: Registry, name: str) -> list[RegisteredVersion]:
    """Return a model's versions, the oldest first. Raises `InputError` where there is no such model."""
    if name not in model_names(registry):
        known = ", ".join(model_names(registry)) or "none yet"
        raise InputError(f"no model {name!r} in the registry: known: {known}")
    model = registry.client.get_registered_model(name)
    found = registry.client.search_model_versions(f"name='{name}'")
    aliases: dict[str, list[str]] = {}
    for alias, number in model.aliases.items():
        aliases.setdefault(str(number), []).append(alias)
    return [
        RegisteredVersion(
            name, str(one.version), one.tags.get(VERSION, ""), one.tags.get(GATE, ""),
            tuple(sorted(aliases.get(str(one.version), []))), dict(one.tags), one.description or "",
        )
        for one in sorted(found, key=lambda one: int(one.version))
    ]  # fmt: skip


def find_version(registry: Registry, name: str, which: str | None) -> RegisteredVersion:
    """Return the version of an alias or of a semantic version, None for the newest. Raises `InputError`."""
    versions = versions_of(registry, name)
    found = (
        [one for one in versions if which == one.version or which in one.aliases]
        if which is not None
        else versions[-1:]
    )
    if not found:
        # a command that was killed may have made a model without one
        known = ", ".join(one.version + "".join(f" ({alias})" for alias in one.aliases) for one in versions) or "none"
        raise InputError(f"{name} has no {'version' if which is None else repr(which)}: known: {known}")
    return found[0]


def promote(registry: Registry, name: str, which: str, alias: str) -> RegisteredVersion:
    """Give a version an alias; to `production` only where its gate passed. Raises `InputError`."""
    check_alias(alias)
    chosen = find_version(registry, name, which)
    if alias == PRODUCTION and chosen.gate != "pass":
        raise InputError(f"{name} {chosen.version} goes into production only if its gate passes: it says "
                         f"{chosen.gate or 'nothing'}")  # fmt: skip
    history = _history(registry, name, alias)
    if alias not in chosen.aliases:
        _point(registry, name, alias, history if history[-1:] == [chosen.number] else [*history, chosen.number])
    return find_version(registry, name, alias)


def rollback(registry: Registry, name: str, alias: str) -> RegisteredVersion:
    """Give an alias back to the version that had it before. Raises `InputError` where none had."""
    check_alias(alias)
    there = {one.number for one in versions_of(registry, name)}
    history = [number for number in _history(registry, name, alias) if number in there]
    if len(history) < 2:
        raise InputError(f"no version of {name} was {alias} before: there is nothing to go back to")
    _point(registry, name, alias, history[:-1])
    return find_version(registry, name, alias)


def _history(registry: Registry, name: str, alias: str) -> list[str]:
    """Return MLflow's numbers of the versions that had an alias, the present one last.

    Others may set an alias without a history, and a command may be killed between the two.
    """
    model = registry.client.get_registered_model(name)
    text, present = model.tags.get(HISTORY + alias, "[]"), str(model.aliases.get(alias, ""))
    try:
        numbers = [str(int(number)) for number in json.loads(text)]
        return numbers if present in ("", *numbers[-1:]) else [*numbers, present]
    except (ValueError, TypeError):
        raise InputError(f"{name}: the history of {alias} cannot be read ({text[:80]!r}): set the alias anew") from None


def _point(registry: Registry, name: str, alias: str, history: list[str]) -> None:
    registry.client.set_registered_model_alias(name, alias, history[-1])
    registry.client.set_registered_model_tag(name, HISTORY + alias, json.dumps(history))


def files_of(registry: Registry, version: RegisteredVersion) -> Path:
    """Return the folder with a version's files; a server's are fetched. Raises `InputError`."""
    import mlflow

    try:
        source = registry.client.get_model_version_download_uri(version.name, version.number)
        local = urlparse(source)
        if local.scheme == "file":
            return Path(unquote(local.path))
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=source, tracking_uri=registry.uri))
    except Exception as error:
        # MLflow's stores raise errors of their own libraries.
        raise InputError(f"{version.name} {version.version}: its files cannot be had ({first_line(error)})") from None


@dataclass(frozen=True)
class NewVersion:
    """A version to register. model: its ONNX file; extra: files that go with it."""

    name: str
    version: str
    description: str
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    model: Path
    extra: Sequence[Path]


def refuse_taken(registry: Registry, name: str, version: str) -> None:
    """Raise `InputError` where a model has a version of this name already."""
    if name in model_names(registry) and any(one.version == version for one in versions_of(registry, name)):
        raise InputError(f"{name} {version} is registered already: choose the next version")


def add_version(registry: Registry, new: NewVersion, example: Any, answer: Any) -> RegisteredVersion:
    """Log a model with signature and example, and register it. example, answer: a batch and its probabilities.

    Raises `InputError` where the version is there already, or the registry refuses it.
    """
    refuse_taken(registry, new.name, new.version)
    try:
        number = _log_and_register(registry, new, example, answer)
    except InputError:
        raise
    except Exception as error:
        # MLflow's stores raise errors of their own libraries.
        raise InputError(
            f"the registry {shown(registry.uri)} refused {new.name} {new.version} ({first_line(error)})"
        ) from None
    return _first_of_its_version(registry, new.name, number)


def _first_of_its_version(registry: Registry, name: str, number: str) -> RegisteredVersion:
    """Return a version that was just made; of two commands that made one of the same version, the second takes it back.

    Raises `InputError`.
    """
    versions = versions_of(registry, name)
    made = next(one for one in versions if one.number == number)
    if next(one for one in versions if one.version == made.version) != made:
        registry.client.delete_model_version(name, number)
        raise InputError(f"{name} {made.version} was registered by another command just now: choose the next version")
    return made


def _log_and_register(registry: Registry, new: NewVersion, example: Any, answer: Any) -> str:
    """Log a model and register it; return MLflow's number of the version."""
    import mlflow
    import onnx
    from mlflow.models import infer_signature

    client = registry.client
    if new.name not in model_names(registry):
        client.create_registered_model(new.name, description=new.description)
    experiment = client.get_experiment_by_name(new.name)
    place = registry.artifacts.as_uri() if registry.artifacts else None
    experiment_id = experiment.experiment_id if experiment else client.create_experiment(new.name, place)
    with own_warnings(), mlflow.start_run(experiment_id=experiment_id, run_name=new.version) as run:
        mlflow.set_tags(dict(new.tags))
        mlflow.log_metrics(dict(new.metrics))
        logged = mlflow.onnx.log_model(
            onnx.load_from_string(new.model.read_bytes()), name="model", signature=infer_signature(example, answer),
            input_example=example, pip_requirements=["onnxruntime"], save_as_external_data=False,
            onnx_execution_providers=["CPUExecutionProvider"], extra_files=[str(path) for path in new.extra],
        )  # fmt: skip
    made = client.create_model_version(
        new.name, logged.model_uri, run.info.run_id, tags=dict(new.tags), description=new.description,
        # A server takes no `models:/` source without it.
        model_id=logged.model_id,
    )  # fmt: skip
    return str(made.version)
