"""The two ends that models share: the check of their images, and the small head."""

from __future__ import annotations

from torch import nn

from trainables.config import TrialConfig
from trainables.data.arrays import DataInfo
from trainables.errors import InputError
from trainables.layers.activations import make_activation


def need_2d(config: TrialConfig, info: DataInfo, least: int = 1) -> None:
    """Raise `InputError` where the dataset is 3D or an image side is below `least` pixels."""
    if info.is_3d:
        raise InputError(f"model {config.model!r} takes 2D images, {info.name} is 3D: choose a 3D model, like 'cnn3d'")
    _need_side(config, info, least)


def need_3d(config: TrialConfig, info: DataInfo, least: int = 1) -> None:
    """Raise `InputError` where the dataset is 2D or an image side is below `least` voxels."""
    if not info.is_3d:
        raise InputError(f"model {config.model!r} takes 3D images, {info.name} is 2D: choose a 2D model, like 'cnn'")
    _need_side(config, info, least)


def side_of(info: DataInfo) -> int:
    """Return the shortest side of an image."""
    return min(info.shape[:-1])


def _need_side(config: TrialConfig, info: DataInfo, least: int) -> None:
    if side_of(info) < least:
        raise InputError(
            f"model {config.model!r} needs images of at least {least} px, {info.name} has {side_of(info)}: "
            "choose a larger image_size or another model"
        )


def draw_head(model: nn.Module, path: str) -> None:
    """Draw the classifier at `path` anew, as `nn.Linear` does: uniform in ±1/sqrt(inputs).

    The EfficientNet libraries draw it from ±1/sqrt(classes), meant for 1000 of them: with few classes the untrained
    logits are tens of nats apart, and short training does not undo that.
    """
    head = model.get_submodule(path)
    assert isinstance(head, nn.Linear)
    head.reset_parameters()


def hidden_head(config: TrialConfig, inputs: int, own: tuple[int, ...], dropout: float, classes: int) -> nn.Module:
    """Linear, activation and dropout for each hidden width, then the classifier. own, dropout: the model's values."""
    share = dropout if config.dropout is None else config.dropout
    layers: list[nn.Module] = []
    for width in config.hidden_dims or own:
        layers += [nn.Linear(inputs, width), make_activation(config.activation)]
        layers += [nn.Dropout(share)] if share else []
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, classes))
