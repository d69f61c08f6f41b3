"""The formats by their names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn
from torch.export import ExportedProgram

from deployment.formats import onnx_file, torch_export, torchscript
from deployment.formats.artefact import Artefact
from deployment.model.metadata import ModelMetadata
from trainables.errors import InputError

Writer = Callable[[ExportedProgram, nn.Module, ModelMetadata, Path], None]
Opener = Callable[[Path, int], Artefact]


@dataclass(frozen=True)
class Format:
    """A file format. write: writes a traced module. open_file: None where files are never read back."""

    title: str
    suffix: str
    write: Writer
    open_file: Opener | None


FORMATS: dict[str, Format] = {
    "onnx": Format("ONNX", ".onnx", onnx_file.write, onnx_file.open_file),
    "torchexport": Format("torch.export", ".pt2", torch_export.write, torch_export.open_file),
    "torchscript": Format("TorchScript (legacy)", ".torchscript.pt", torchscript.write, None),
}


def open_artefact(path: Path, threads: int = 0) -> Artefact:
    """Open a model file by its suffix. Raises `InputError`. threads: of ONNX Runtime, 0 for all."""
    readable = {one.suffix: one.open_file for one in FORMATS.values() if one.open_file is not None}
    if path.suffix not in readable:
        raise InputError(f"{path} is no model file that can be opened: give one that ends with {' or '.join(readable)}")
    return readable[path.suffix](path, threads)
