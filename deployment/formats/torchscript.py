"""TorchScript, for programs that load nothing newer; PyTorch calls it deprecated. Written, and never read back."""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.export import ExportedProgram

from deployment.formats.artefact import Artefact, digest_of
from deployment.formats.onnx_file import first_line
from deployment.model.inference import example_input
from deployment.model.metadata import KEY, ModelMetadata
from trainables.atomic_files import write_atomically
from trainables.errors import InputError


def write(program: ExportedProgram, module: nn.Module, metadata: ModelMetadata, path: Path) -> None:
    """Trace a module and write it as TorchScript, with the metadata as an extra file. Raises `InputError`."""
    saved = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # Deprecated; sizes that a trace keeps show in the parity at other batch sizes.
        warnings.simplefilter("ignore")
        try:
            traced = torch.jit.trace(module, example_input(metadata), check_trace=False)
            torch.jit.save(traced, saved, _extra_files={KEY: metadata.text().encode()})
        except Exception as error:
            raise InputError(f"the model cannot be exported to TorchScript: {first_line(error)}") from None
    write_atomically(path, _without_sources(saved.getvalue()))


def _without_sources(content: bytes) -> bytes:
    """Return an archive without the records that name the source files of this machine."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as kept:
        for entry in archive.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                kept.writestr(entry.filename, archive.read(entry))
    return made.getvalue()


def open_own(path: Path, metadata: ModelMetadata) -> Artefact:
    """Open a file that this process has just written."""
    content = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.jit.load(io.BytesIO(content))

    def run(images: np.ndarray) -> np.ndarray:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found: np.ndarray = module(torch.from_numpy(images)).numpy()
            except RuntimeError as error:
                raise InputError(
                    "TorchScript keeps the size of a batch, as len(images) in forward gives it, and fails with another "
                    f"({str(error).strip().splitlines()[-1][:150]}): choose another --format"
                ) from None
        return found

    return Artefact(path, metadata, run, digest_of(content))
