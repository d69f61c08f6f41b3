"""A trial's identity across runs: a hash of config, data and training code."""

from __future__ import annotations

import hashlib
import json

from trainables.config import TrialConfig


def config_json(config: TrialConfig) -> str:
    """The config as canonical JSON: sorted keys, no spaces; what `trial_key` hashes."""
    return json.dumps(config.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))


def trial_key(config: TrialConfig, data_digest: str, code_digest: str, weights_digest: str = "") -> str:
    """The trial's identity across runs: 12 hexadecimal digits of SHA-256 over config, data and training code.

    The digest of pretrained weights stands for their place: the same file elsewhere is the same trial.
    """
    if weights_digest:
        config = config.model_copy(update={"weights": weights_digest})
    text = "\n".join((config_json(config), data_digest, code_digest))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
