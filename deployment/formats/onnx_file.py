"""ONNX: written from an exported program, run by ONNX Runtime. Needs the extra `deploy`."""

from __future__ import annotations

import logging
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.export import ExportedProgram

from deployment.formats.artefact import Artefact
from deployment.model.metadata import KEY, ModelMetadata, read_metadata
from trainables.atomic_files import write_atomically
from trainables.errors import InputError, pip_install

INPUT, OUTPUT = "images", "probabilities"
# The newest that torch 2.9 to 2.15 and ONNX Runtime of 2024 both know.
OPSET = 20
MAGIC_LIMIT = 2**31


def write(program: ExportedProgram, module: nn.Module, metadata: ModelMetadata, path: Path) -> None:
    """Write a program as ONNX in one file, without names of files of this machine. Raises `InputError`."""
    onnx = _package("onnx")
    _package("onnxscript")
    with warnings.catch_warnings():
        # Of the exporter's own making.
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        exported: Any = torch.onnx.export(
            program, dynamo=True, verbose=False, opset_version=OPSET, input_names=[INPUT], output_names=[OUTPUT]
        )
    model = exported.model_proto
    strip(model)
    for name, text in {KEY: metadata.text(), "class_names": "\n".join(metadata.class_names)}.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = name, text
    if model.ByteSize() >= MAGIC_LIMIT:
        raise InputError("a model above 2 GiB does not fit one ONNX file: choose --format torchexport")
    onnx.checker.check_model(model)
    write_atomically(path, model.SerializeToString())


def strip(model: Any) -> None:
    """Remove what the exporter notes of its work: names of modules and places in files."""
    parts = (model.graph, *model.functions)
    for part in parts:
        part.doc_string = ""
        for entry in (*part.node, *part.value_info, *getattr(part, "input", ()), *getattr(part, "output", ())):
            if hasattr(entry, "metadata_props"):
                del entry.metadata_props[:]
                entry.doc_string = ""
        del part.metadata_props[:]
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]


def open_file(path: Path, threads: int = 0) -> Artefact:
    """Open an ONNX file of ours; threads: 0 for all. Raises `InputError`.

    It is read as bytes, so that tensors in other files, which it may name, are never looked for; operators of other
    libraries are not known.
    """
    runtime = _package("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    try:
        content = path.read_bytes()
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

    return Artefact(path, metadata, run)


def first_line(error: Exception) -> str:
    """Return the first line of an error, cut where it is long."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise InputError(f"ONNX needs the package {name}: {pip_install('deploy')}") from None
