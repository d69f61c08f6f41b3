"""A user's function that returns arrays: `FILE.py:NAME` or `package.module:NAME`.

It returns a mapping of arrays by the names that `trainables.data.reading.image_arrays` lists, or images and labels as a
pair. It is called with those of `image_size`, `channels` and `data_root` that its signature asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trainables.data.arrays import Data, Request
from trainables.data.reading.image_arrays import Reading, data_of, names_of_arrays
from trainables.errors import InputError, shorten
from trainables.user_code.errors import user_errors
from trainables.user_code.in_use import object_of
from trainables.user_code.signature import check_arguments, passed
from trainables.user_code.source import first_line, split_spec


def load_user_function(request: Request) -> Data:
    """Call the function and check what it returns. Nothing is cached: only the function knows when its data change."""
    source, _ = split_spec(request.name)
    function = object_of(request.name)
    if not callable(function):
        raise InputError(f"{request.name} is no function: name one that returns images and labels")
    offered = {"image_size": request.size or None, "channels": request.channels, "data_root": request.root}
    check_arguments(request.name, function, {}, offered)
    with user_errors(request.name, function):
        returned = function(**passed(function, offered))
    arrays = _arrays(returned, request.name)
    path = Path(source) if source.endswith(".py") else None
    return data_of(request, arrays, Reading(request.name, path, None))


def _arrays(returned: Any, name: str) -> dict[str, np.ndarray]:
    if isinstance(returned, tuple) and len(returned) == 2:
        returned = {"images": returned[0], "labels": returned[1]}
    if not isinstance(returned, Mapping):
        raise InputError(
            f"{name} returned {shorten(returned)}: return images and labels, or a mapping with train_images, "
            "train_labels, the same for val and test, and class_names"
        )
    keys = [str(key) for key in returned]
    wanted = names_of_arrays(keys, name)
    if unknown := [key for key in keys if key not in wanted]:
        raise InputError(f"{name} returned {', '.join(unknown)}, too, which has no meaning here: leave it out")
    return {key: _array(returned[key], key, name) for key in wanted}


def _array(value: Any, key: str, name: str) -> np.ndarray:
    """Return an array of a list, an array, or anything that numpy can read, such as a tensor on the CPU."""
    try:
        array = np.asarray(value)
    except Exception as error:
        raise InputError(f"{name}: {key} cannot be made an array ({first_line(error)}): give a numpy array") from None
    if array.dtype.hasobject or array.ndim == 0:
        raise InputError(f"{name}: {key} is no array of numbers or texts: give one, its images all of one shape")
    return array
