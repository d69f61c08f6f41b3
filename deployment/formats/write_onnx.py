"""ONNX files, written: one file, with the metadata inside and no names of this machine."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram

from deployment.formats.onnx_file import package
from deployment.model.metadata import KEY, ModelMetadata
from trainables.atomic_files import write_atomically
from trainables.errors import InputError

INPUT, OUTPUT = "images", "probabilities"
# The newest that torch 2.9 to 2.15 and ONNX Runtime of 2024 both know.
OPSET = 20
LARGEST_FILE = 2**31


def write(program: ExportedProgram, module: nn.Module, metadata: ModelMetadata, path: Path) -> None:
    """Write a program as ONNX in one file, without names of files of this machine. Raises `InputError`."""
    onnx = package("onnx")
    package("onnxscript")
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
    if model.ByteSize() >= LARGEST_FILE:
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
