"""A model file, opened by its suffix. torch is imported for a `.pt2` alone."""

from __future__ import annotations

from pathlib import Path

from deployment.formats import onnx_file
from deployment.formats.artefact import Artefact
from trainables.errors import InputError

ONNX, PT2 = ".onnx", ".pt2"
# What `deployment.export` writes; the last one is never read back.
SUFFIXES = (ONNX, PT2, ".torchscript.pt")


def open_artefact(path: Path, threads: int = 0) -> Artefact:
    """Open a model file by its suffix. Raises `InputError`. threads: of ONNX Runtime, 0 for all."""
    if path.suffix == ONNX:
        return onnx_file.open_file(path, threads)
    if path.suffix == PT2:
        # torch takes a second and 200 MB.
        from deployment.formats.torch_export import open_file

        return open_file(path, threads)
    raise InputError(f"{path} is no model file that can be opened: give one that ends with {ONNX} or {PT2}")
