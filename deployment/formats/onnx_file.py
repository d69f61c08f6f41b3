"""ONNX files, opened by ONNX Runtime alone: no torch is imported."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from deployment.formats.artefact import Artefact, digest_of
from deployment.model.metadata import KEY, read_metadata
from trainables.atomic_files import read_regular
from trainables.errors import InputError, pip_install


def open_file(path: Path, threads: int = 0) -> Artefact:
    """Open an ONNX file of ours; threads: 0 for all. Raises `InputError`.

    It is read as bytes, so that tensors in other files, which it may name, are never looked for; operators of other
    libraries are not known.
    """
    runtime = package("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    try:
        content = read_regular(path)
        session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None
    except Exception as error:
        # ONNX Runtime's errors share no class of their own.
        raise InputError(f"{path} is no ONNX file that can be run ({first_line(error)})") from None
    metadata = read_metadata(session.get_modelmeta().custom_metadata_map.get(KEY), path)
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        raise InputError(
            f"{path} has {len(inputs)} inputs and {len(outputs)} outputs: give a file of deployment.export"
        )

    def run(images: np.ndarray) -> np.ndarray:
        try:
            found: np.ndarray = session.run(None, {inputs[0].name: images})[0]
        except Exception as error:
            raise InputError(f"{path} does not take these images ({first_line(error)})") from None
        return found

    return Artefact(path, metadata, run, digest_of(content))


def first_line(error: Exception) -> str:
    """Return the first line of an error, cut where it is long."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]


def package(name: str) -> Any:
    """Import a package of the extra `deploy`. Raises `InputError` where it is missing."""
    try:
        return import_module(name)
    except ImportError:
        raise InputError(f"ONNX needs the package {name}: {pip_install('deploy')}") from None
