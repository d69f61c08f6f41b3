"""An npz file of one's own: `npz:FILE[?window=CENTER/WIDTH][&order=A<B<C]`.

It has MedMNIST's keys, or `images` and `labels`: see `trainables.data.reading.image_arrays`.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from trainables.data.arrays import SPLITS, Data, Request
from trainables.data.cache import cached
from trainables.data.dataset_names import ArrayOptions, array_options
from trainables.data.downloads import fingerprint
from trainables.data.reading.decoding import printable, some
from trainables.data.reading.image_arrays import Reading, data_of, names_of_arrays
from trainables.data.reading.npz_files import array_names, unpack_arrays
from trainables.errors import InputError

REMEDY = "save it again with numpy.savez"


def load_npz(request: Request) -> Data:
    """Read the arrays, bring them to uint8 by one rule for all splits, and cut the splits that lack, with seed 42."""
    options = array_options(request.name)
    if not os.path.isfile(options.path):
        raise InputError(f"{options.path} is no file: name an npz file with npz:FILE")
    try:
        key = fingerprint([options.path], request.size, request.channels, options.window, options.order)
        return cached(request, f"npz-{key}", partial(_decode, request, options))
    except OSError as error:
        raise InputError(f"{options.path} cannot be read ({error.strerror or error}): change its permissions") from None


def _decode(request: Request, options: ArrayOptions, folder: Path) -> Data:
    where, there = str(options.path), array_names(options.path, REMEDY)
    names = names_of_arrays(there, where)
    unpack_arrays(options.path, folder, names, REMEDY, any_order=True)
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names}
    data = data_of(request, arrays, Reading(where, options.path, folder, options.window, options.order))
    for name in names:
        (folder / f"{name}.npy").unlink()
    for split in SPLITS:
        (folder / f".{split}.npy").rename(folder / f"{split}_images.npy")
    others = [printable(name) for name in there if name not in names]
    return replace(data, notes=(*data.notes, *[f"{where}: left out: {some(others)}"] * bool(others)))
