"""Finds Plotly's script, which its Python package holds, and packs it for a page that stands alone."""

from __future__ import annotations

import base64
import gzip
from importlib.util import find_spec
from pathlib import Path

from trainables.errors import InputError


def plotly_script() -> Path:
    """Return Plotly's script. Raises `InputError` where its package is missing."""
    spec = find_spec("plotly")
    path = Path(spec.origin).parent / "package_data" / "plotly.min.js" if spec and spec.origin else None
    if path is None or not path.is_file():
        raise InputError("interactive figures need Plotly: pip install plotly")
    return path


def packed_script() -> str:
    """Return Plotly's script, compressed by gzip and written in base64: 2 MB in place of 4.8."""
    return base64.b64encode(gzip.compress(plotly_script().read_bytes(), 6, mtime=0)).decode()
