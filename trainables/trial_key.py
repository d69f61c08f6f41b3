"""A trial's identity across runs: a hash of config, data and training code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel

from trainables.config import TrialConfig
from trainables.data.dataset_names import without_path
from trainables.user_code.part_names import specs_in


def config_json(config: BaseModel) -> str:
    """Return the config as canonical JSON: sorted keys, no spaces."""
    return canonical_json(config.model_dump(mode="json"))


def trial_key(config: TrialConfig, data_digest: str, code_digest: str, weights_digest: str = "") -> str:
    """Return the trial's identity across runs: 12 hexadecimal digits of SHA-256 over config, data and training code.

    The digests of the data and of pretrained weights stand for their paths: the same files in other folders are
    the same trial.
    """
    return _hash(
        canonical_json(without_paths(config.model_dump(mode="json"), weights_digest)), data_digest, code_digest
    )


def function_key(config: BaseModel, name: str, code_digest: str) -> str:
    """Return the identity of a trial of a training function: a hash over its config, its name and its text."""
    return _hash(canonical_json(config.model_dump(mode="json")), name, code_digest)


def key_of_0_1_0(config: Mapping[str, Any], data_digest: str, code_digest: str, weights_digest: str = "") -> str:
    """Return the key that version 0.1.0 gave to a config of a ledger; it holds the path of a folder of images."""
    values = {**config, "weights": weights_digest} if weights_digest else dict(config)
    return _hash(canonical_json(values), data_digest, code_digest)


def without_paths(config: Mapping[str, Any], weights_digest: str = "") -> dict[str, Any]:
    """Return a config's values without the paths of its data, weights and user code, whose digests say more.

    `folder:/a/b?unreadable=skip` becomes `folder:?unreadable=skip`, and `lab/net.py:Net` becomes `net.py:Net`.
    """
    parts = {field: PurePath(spec).name for field, spec in specs_in(config).items()}
    return {
        **config,
        **parts,
        "dataset": without_path(str(config["dataset"])),
        **({"weights": weights_digest} if weights_digest else {}),
    }


def canonical_json(values: Mapping[str, Any]) -> str:
    """Return JSON with sorted keys and no spaces: equal values, equal text."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
