"""The number format of the forward and backward pass, and the order of images in memory."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.config import TrialConfig
from trainables.errors import InputError

# From malloc.h: M_MMAP_THRESHOLD, M_TRIM_THRESHOLD and M_TOP_PAD; 32 MiB is the largest threshold that it takes.
MALLOC_OPTIONS = {-3: 2**25, -1: 2**31 - 1, -2: 2**26}
FORMATS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Numerics:
    """The numerics of a pass.

    dtype: used by autocast (None: float32 everywhere). channels_last: keep the memory format of the images.
    """

    dtype: torch.dtype | None = None
    channels_last: bool = True

    def logits(self, model: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
        """Return the model's outputs in float32."""
        if not self.channels_last:
            # `contiguous()` leaves one channel as it is.
            inputs = inputs.clone(memory_format=torch.contiguous_format)
        if self.dtype is None:
            return model(inputs)
        with torch.autocast(inputs.device.type, self.dtype):
            outputs: Tensor = model(inputs)
        return outputs.float()

    def memory_format(self, is_3d: bool) -> torch.memory_format:
        """Return the memory format of the weights."""
        if not self.channels_last:
            return torch.contiguous_format
        return torch.channels_last_3d if is_3d else torch.channels_last


EXACT = Numerics()


def make_repeatable(threads: int) -> None:
    """Use so many threads of the CPU, and cuDNN's deterministic kernels.

    Sums depend on the number of threads in their last bits. A few CUDA kernels that add with atomics stay as they are.
    """
    torch.set_num_threads(threads)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def keep_freed_memory() -> None:
    """Keep memory that a step frees for the next one, where the system has the GNU C library.

    Else each step gets its large tensors as new pages, which the system fills with zeros one by one.
    """
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        for option, value in MALLOC_OPTIONS.items():
            library.mallopt(option, value)


def numerics_of(config: TrialConfig, device: torch.device) -> Numerics:
    """Return the config's numerics. Raises `InputError` for float16 on a CPU, whose gradients nothing would scale."""
    if config.precision == "float16" and device.type == "cpu":
        raise InputError("precision=float16 needs a GPU: choose bfloat16 or float32")
    return Numerics(FORMATS[config.precision], config.channels_last)
