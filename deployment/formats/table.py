"""The formats by their names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn
from torch.export import ExportedProgram

from deployment.formats import onnx_file, torch_export, torchscript, write_onnx
from deployment.formats.artefact import Artefact
from deployment.model.metadata import ModelMetadata

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
    "onnx": Format("ONNX", ".onnx", write_onnx.write, onnx_file.open_file),
    "torchexport": Format("torch.export", ".pt2", torch_export.write, torch_export.open_file),
    "torchscript": Format("TorchScript (legacy)", ".torchscript.pt", torchscript.write, None),
}
