"""PyTorch's exported programs, `.pt2`: written without traces of this machine, and read only after a check.

`torch.export.load` runs code that a file names: pickles, compiled libraries, expressions that SymPy evaluates, and any
function of torch as an operator. So nothing is given to it that `check_archive` has not seen, and it gets a copy of
what was seen. Formats of torch 2.9 to 2.15.
"""

from __future__ import annotations

import io
import json
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from deployment.formats.artefact import Artefact, digest_of
from deployment.formats.onnx_file import first_line
from deployment.model.metadata import KEY, ModelMetadata, read_metadata
from trainables.atomic_files import read_regular, write_atomically
from trainables.errors import InputError

Records = dict[str, bytes]
# What of an archive is read, below its first folder.
ALLOWED = re.compile(
    r"archive_format|archive_version|byteorder|\.data/(version|serialization_id)|models/model\.json"
    r"|data/weights/(weight_\d+|model_weights_config\.json)|data/constants/(tensor_\d+|model_constants_config\.json)"
    r"|data/sample_inputs/model\.pt|extra/" + KEY
)
OPERATORS = re.compile(r"torch\.ops\.aten\.\w+\.\w+|torch\.sym_(max|min|int|float)|_operator\.(add|sub|mul|floordiv|mod"
                       r"|neg|getitem|eq|ne|lt|le|gt|ge)")  # fmt: skip
# Operators of ATen that open files.
FORBIDDEN = re.compile(r"torch\.ops\.aten\.(from_file|_?save|_?load)\w*\.")
EXPRESSION = re.compile(
    r"(?:Symbol\('[a-z]+\d+'(?:, [a-z]+=(?:True|False))*\)"
    r"|(?:Integer|Mul|Add|Pow|FloorDiv|CleanDiv|CeilDiv|Mod|PythonMod|Max|Min)\(|[-\d, ()])*"
)
SYMBOL = re.compile(r"[a-z]+\d+")
# Bytes of an archive's graph, which is text.
GRAPH_LIMIT = 2**28


def trace(module: nn.Module, example: torch.Tensor) -> ExportedProgram:
    """Trace a module with batches of any size. Raises `InputError` that names what cannot be exported."""
    try:
        program = _traced(module, example, strict=False)
    except Exception as first:
        # The tracer lets through whatever a model raises. The strict one reads the code of forward, and so knows
        # `len(images)`, but not all that the other knows.
        try:
            program = _traced(module, example, strict=True)
        except Exception:
            raise InputError(f"the model cannot be exported: {_reason(first)}") from None
    for node in program.graph.nodes:
        node.meta = {name: value for name, value in node.meta.items() if name == "val"}
    program.example_inputs = None
    return program


def _traced(module: nn.Module, example: torch.Tensor, *, strict: bool) -> ExportedProgram:
    return torch.export.export(module, (example,), dynamic_shapes=({0: Dim("batch", min=1)},), strict=strict)


def _reason(error: Exception) -> str:
    """Return an error's cause in one line, with the operator that it names."""
    text = " ".join(str(error).split())
    operator = re.search(r"(?:aten|torch\.ops)[.:]+[\w.:]+", text)
    named = f"operator {operator.group()}, " if operator and operator.group() not in text[:300] else ""
    return f"{named}{type(error).__name__}: {text[:300]}"


def write(program: ExportedProgram, module: nn.Module, metadata: ModelMetadata, path: Path) -> None:
    """Write a program as `.pt2`."""
    saved = io.BytesIO()
    torch.export.save(program, saved, extra_files={KEY: metadata.text()})
    records = _records(saved.getvalue(), path)
    graph = json.loads(records["models/model.json"])
    # Python text that a reader would run, to check a batch against what was seen while tracing.
    graph["guards_code"] = []
    records["models/model.json"] = json.dumps(graph).encode()
    check_archive(records, path)
    write_atomically(path, _archive(records))


def open_file(path: Path, threads: int = 0) -> Artefact:
    """Open a `.pt2` of ours, once its content was checked. Raises `InputError`. threads: torch's own are used."""
    try:
        content = read_regular(path)
        records = _records(content, path)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None
    metadata = read_metadata(records.get(f"extra/{KEY}"), path)
    check_archive(records, path)
    try:
        with warnings.catch_warnings():
            # torch 2.9 reads weights from bytes that cannot be written, and warns. Nothing writes to them.
            warnings.filterwarnings("ignore", "The given buffer is not writable", UserWarning)
            module = torch.export.load(io.BytesIO(_archive(records))).module()
    except Exception as error:
        # The reader lets through whatever a damaged graph leads to.
        raise InputError(f"{path} is no .pt2 that this torch reads ({first_line(error)}): export it again") from None

    def run(images: np.ndarray) -> np.ndarray:
        try:
            with torch.no_grad():
                found: np.ndarray = module(torch.from_numpy(images)).numpy()
        except Exception as error:
            raise InputError(f"{path} does not take these images ({first_line(error)})") from None
        return found

    return Artefact(path, metadata, run, digest_of(content))


def _records(content: bytes, path: Path) -> Records:
    """Read the records of an archive, by their names below its folder. Raises `InputError` for others than ours."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            _check_entries(entries, path)
            return {entry.filename.partition("/")[2]: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise InputError(f"{path} is no .pt2 archive ({first_line(error)})") from None


def _check_entries(entries: list[zipfile.ZipInfo], path: Path) -> None:
    names = [entry.filename.partition("/") for entry in entries]
    wrong = [entry.filename for entry, name in zip(entries, names, strict=True) if not ALLOWED.fullmatch(name[2])]
    if wrong or len({name[0] for name in names}) != 1 or len({name[2] for name in names}) != len(names):
        raise InputError(f"{path} holds what deployment.export does not write ({(wrong or ['a name twice'])[0]!r}), "
                         "and may run code: it is not opened")  # fmt: skip
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise InputError(f"{path} is compressed, which deployment.export does not do: it is not opened")


def _archive(records: Records) -> bytes:
    """Return an archive of these records alone, so that what is read is what was checked."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for name, content in records.items():
            archive.writestr(zipfile.ZipInfo(f"model/{name}"), content)
    return made.getvalue()


def check_archive(records: Records, path: Path) -> None:
    """Raise `InputError` where an archive could run code: pickles, sample inputs, expressions, operators, guards."""
    reason = _danger(records)
    if reason:
        raise InputError(f"{path} {reason}, and may run code: it is not opened")


def _danger(records: Records) -> str:
    try:
        if records["data/sample_inputs/model.pt"]:
            return "holds pickled sample inputs"
        for name in ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json"):
            for entry in json.loads(records[name])["config"].values():
                if entry["use_pickle"] is not False or not re.fullmatch(r"(weight|tensor)_\d+", entry["path_name"]):
                    return "holds a pickle"
        content = records["models/model.json"]
        return "has too large a graph" if len(content) > GRAPH_LIMIT else _danger_of_graph(json.loads(content))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        return f"has no graph as deployment.export writes it ({type(error).__name__}: {error})"


def _danger_of_graph(graph: dict[str, Any]) -> str:
    if graph["guards_code"]:
        return "holds guards, which are code"
    if not all(SYMBOL.fullmatch(name) for name in graph["range_constraints"]):
        return "has a name of a size that is no name"
    for name, value in _leaves(graph):
        if name == "target" and not _is_operator(value):
            return f"calls {str(value)[:80]!r}"
        if name == "expr_str" and not EXPRESSION.fullmatch(str(value)):
            return f"has the size {str(value)[:80]!r}"
        if name in ("metadata", "torch_fn", "nn_module_stack", "source_fn_stack") and value:
            return f"has {name} of its operators"
    return ""


def _is_operator(target: object) -> bool:
    # Signatures use the same word for a parameter's name.
    if target is None or (isinstance(target, str) and target.startswith(("network.", "scale", "shift"))):
        return True
    return isinstance(target, str) and bool(OPERATORS.fullmatch(target)) and not FORBIDDEN.match(target)


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value of a JSON document with the name that it stands under."""
    yield name, value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, name)
