"""Trained networks from their weights files, which say how they were made. Nothing that is read can run code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor, nn

from trainables.atomic_files import check_regular
from trainables.config import TrialConfig, make_config
from trainables.data.arrays import SPLITS, Data, DataInfo
from trainables.data.datasets import load
from trainables.data.normalization import Normalization
from trainables.errors import InputError
from trainables.network.build import build_model
from trainables.user_code.part_names import specs_in
from trainables.user_code.permission import permit
from trainables.user_code.source import is_user_code

# The parts whose code a trained network needs.
NETWORK_PARTS = ("model", "activation", "stochastic")


@dataclass(frozen=True)
class TrainedModel:
    """A network in evaluation mode with the weights of a file, and that file's record of its training.

    code: the digests of the user's code that it was trained with, by spec.
    """

    model: nn.Module
    config: TrialConfig
    info: DataInfo
    normalization: Normalization
    seed: int
    epoch: int
    dataset_digest: str
    path: Path
    code: Mapping[str, str] = field(default_factory=dict)

    @property
    def n_bytes(self) -> int:
        """Return the size of the weights file in bytes."""
        return self.path.stat().st_size


def load_trained(path: Path) -> TrainedModel:
    """Build the network of a weights file that training wrote. Needs no data. Raises `InputError`."""
    return build_trained(path, *_read(path))


def build_trained(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> TrainedModel:
    """Build the network of a weights file from its content. Raises `InputError`, which names the file."""
    try:
        config = make_config(json.loads(metadata["config"]))
        normalization = Normalization(**{k: tuple(v) for k, v in json.loads(metadata["normalization"]).items()})
        classes, shape = (tuple(json.loads(metadata[name])) for name in ("class_names", "image_shape"))
        info = DataInfo(config.dataset, metadata["task"], classes, shape)  # type: ignore[arg-type]
        code = json.loads(metadata.get("code", "{}"))
        specs = [spec for part, spec in specs_in(vars(config)).items() if part in NETWORK_PARTS]
        seed, epoch, digest = int(metadata["seed"]), int(metadata["epoch"]), metadata["dataset_digest"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} does not say how it was trained ({error}): give the weights of a run") from None
    for spec in specs:
        permit(spec, code.get(spec), path)
    model = build_model(config, info)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path} does not fit its model {config.model!r} as it is built today ({reason})") from None
    return TrainedModel(model.eval(), config, info, normalization, seed, epoch, digest, path, code)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        check_regular(path)
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read ({error})") from None


def with_data_at(trained: TrainedModel, dataset: str | None) -> TrainedModel:
    """Return a network whose data lie at `dataset` now, as a resume has found them; their digest is compared anyway.

    A function of a user's own is named by the weights alone, which say which code it was.
    """
    if dataset is None or is_user_code(dataset) or is_user_code(trained.config.dataset):
        return trained
    return replace(trained, config=trained.config.model_copy(update={"dataset": dataset}))


def load_data_of(trained: TrainedModel, data_root: Path | None = None) -> Data:
    """Load the data that a network was trained on. Raises `InputError` where the data there today is other data."""
    config = trained.config
    if is_user_code(config.dataset):
        permit(config.dataset, trained.code.get(config.dataset), trained.path)
    data = load(config.dataset, config.image_size, data_root, config.channels)
    check_same_data(trained, data)
    return data


def check_same_data(trained: TrainedModel, data: Data) -> None:
    """Raise `InputError` where a dataset is not the one that a network was trained on."""
    if data.digest != trained.dataset_digest:
        raise InputError(
            f"{trained.config.dataset} is not the data that {trained.path} was trained on (digest {data.digest}, then "
            f"{trained.dataset_digest}; {', '.join(f'{len(data.splits[name])} {name}' for name in SPLITS)} images "
            "now): give the --data-root of that data, or train again"
        )
