"""Models of the timm package, which is an extra."""

from __future__ import annotations

from typing import Any

from torch import nn

from trainables.errors import InputError, pip_install


def create(name: str, **options: Any) -> nn.Module:
    """Create a timm model with drawn weights; timm never downloads here. Raises `InputError` where timm is missing."""
    try:
        from timm import create_model
    except ImportError:
        raise InputError(f"this model needs the package timm: {pip_install('timm')}") from None
    model: nn.Module = create_model(name, pretrained=False, **options)
    return model
