"""Makes arrays of pyarrow from texts and flags. `pa.array` would import pandas, which takes half a second."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa


def text_array(texts: Sequence[str]) -> pa.Array:
    """Return the texts as an array of strings.

    >>> text_array(["relu", "gelu"]).to_pylist()
    ['relu', 'gelu']
    """
    encoded = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.large_string(), len(encoded), buffers).cast(pa.string())


def flag_array(flags: Sequence[bool]) -> pa.Array:
    """Return the flags as an array of booleans.

    >>> flag_array([True, False]).to_pylist()
    [True, False]
    """
    bits = np.packbits(np.asarray(flags, bool), bitorder="little")
    return pa.Array.from_buffers(pa.bool_(), len(flags), [None, pa.py_buffer(bits)])
