"""Model files that would run code or read other files: each is refused before anything of it runs."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.lib import format as npy
from onnx import TensorProto, helper
from PIL import Image, UnidentifiedImageError

from deployment.export import write_exports
from deployment.formats.opening import open_artefact
from deployment.prediction.image_inputs import read_inputs
from tests.support.deployed import drawn_network, made_data
from trainables.data.reading.pillow_files import look
from trainables.errors import InputError

Graph = dict[str, Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports")
    network = drawn_network(made_data((6, 6, 1)), {"model": "cnn", "width": 2, "depth": 1})
    write_exports(network, folder, ["onnx", "torchexport"])
    return folder


class Canary:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def changed(source: Path, to: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """A copy of an archive with other records."""
    with zipfile.ZipFile(source) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    change(records)
    with zipfile.ZipFile(to, "w") as archive:
        for name, content in records.items():
            archive.writestr(name, content)
    return to


def refused(path: Path, canary: Path) -> str:
    with pytest.raises(InputError) as found:
        open_artefact(path)
    assert not canary.exists()
    assert "\n" not in str(found.value)
    return str(found.value)


def graph_change(change: Callable[[Graph], None]) -> Callable[[dict[str, bytes]], None]:
    def apply(records: dict[str, bytes]) -> None:
        graph = json.loads(records["model/models/model.json"])
        change(graph)
        records["model/models/model.json"] = json.dumps(graph).encode()

    return apply


def test_an_untouched_archive_opens(made: Path, tmp_path: Path) -> None:
    artefact = open_artefact(changed(made / "model.pt2", tmp_path / "same.pt2", lambda records: None))
    assert artefact.predict(np.zeros((3, 6, 6, 1), np.uint8)).shape == (3, 2)


def test_pickled_sample_inputs_are_not_read_though_torch_reads_them(made: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    def change(records: dict[str, bytes]) -> None:
        saved = io.BytesIO()
        torch.save(Canary(canary), saved)
        records["model/data/sample_inputs/model.pt"] = saved.getvalue()

    path = changed(made / "model.pt2", tmp_path / "bad.pt2", change)
    assert "pickled sample inputs" in refused(path, canary)
    # The danger is real: torch's own reader makes the folder.
    with pytest.raises(Exception):  # noqa: B017, PT011
        torch.export.load(path)
    assert canary.exists()


def test_an_expression_that_sympy_would_evaluate_is_not_read(made: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    text = f"__import__('os').mkdir({str(canary)!r})"

    def change(graph: Graph) -> None:
        content = json.dumps(graph).replace("Symbol('", "@@", 1)
        start = content.index("@@")
        end = content.index('"', start)
        graph |= json.loads(content[:start] + json.dumps(text)[1:-1] + content[end:])

    path = changed(made / "model.pt2", tmp_path / "bad.pt2", graph_change(change))
    assert "has the size" in refused(path, canary)


@pytest.mark.parametrize(
    "target",
    ["torch.load", "torch.hub.load", "torch.ops.aten.from_file.default", "torch.serialization.os.system", "math.exp",
     "_operator.attrgetter", "_operator.methodcaller", "#aoti:x", "torch.ops.mylib.op.default"],
)  # fmt: skip
def test_only_operators_that_compute_are_called(target: str, made: Path, tmp_path: Path) -> None:
    def change(graph: Graph) -> None:
        graph["graph_module"]["graph"]["nodes"][0]["target"] = target

    path = changed(made / "model.pt2", tmp_path / "bad.pt2", graph_change(change))
    assert target in refused(path, tmp_path / "canary")


def test_guards_and_metadata_of_operators_are_refused(made: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    def guard(graph: Graph) -> None:
        graph["guards_code"] = [f"__import__('os').mkdir({str(canary)!r})"]

    def note(graph: Graph) -> None:
        graph["graph_module"]["graph"]["nodes"][0]["metadata"] = {"source_fn_stack": "a,torch.load"}

    assert "guards" in refused(changed(made / "model.pt2", tmp_path / "a.pt2", graph_change(guard)), canary)
    assert "metadata" in refused(changed(made / "model.pt2", tmp_path / "b.pt2", graph_change(note)), canary)


@pytest.mark.parametrize(
    "name",
    ["model/data/constants/opaque_obj_0", "model/data/constants/custom_obj_0", "model/data/weights/model.pt",
     "model/data/aotinductor/model/x.so", "../model/extra/medsweeps", "model/../../x", "other/byteorder"],
)  # fmt: skip
def test_records_that_are_not_ours_are_refused(name: str, made: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    def change(records: dict[str, bytes]) -> None:
        records[name] = pickle.dumps(Canary(canary))

    refused(changed(made / "model.pt2", tmp_path / "bad.pt2", change), canary)


def test_weights_that_say_they_are_pickles_are_refused(made: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    def change(records: dict[str, bytes]) -> None:
        config = json.loads(records["model/data/weights/model_weights_config.json"])
        first = next(iter(config["config"].values()))
        first["use_pickle"] = True
        records[f"model/data/weights/{first['path_name']}"] = pickle.dumps(Canary(canary))
        records["model/data/weights/model_weights_config.json"] = json.dumps(config).encode()

    assert "pickle" in refused(changed(made / "model.pt2", tmp_path / "bad.pt2", change), canary)


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
@pytest.mark.parametrize("content", [b"", b"PK\x05\x06" + bytes(18), b"no model", bytes(4096)])
def test_what_is_no_model_gets_one_line(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(content)
    refused(path, tmp_path / "canary")
    path.unlink()
    assert "cannot be read" in refused(path, tmp_path / "canary")


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_a_truncated_model_gets_one_line(suffix: str, made: Path, tmp_path: Path) -> None:
    content = (made / f"model{suffix}").read_bytes()
    for share in (0.3, 0.9, 0.999):
        (tmp_path / f"cut{suffix}").write_bytes(content[: int(share * len(content))])
        refused(tmp_path / f"cut{suffix}", tmp_path / "canary")


def test_weights_in_another_file_are_never_looked_for(made: Path, tmp_path: Path) -> None:
    """ONNX may keep tensors in files beside it; a path there could be any file of the machine."""
    secret = tmp_path / "secret"
    secret.write_bytes(np.arange(2, dtype=np.float32).tobytes())
    model = onnx.load(made / "model.onnx")
    tensor = model.graph.initializer.add()
    tensor.name, tensor.data_type = "outside", TensorProto.FLOAT
    tensor.dims.append(2)
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "secret"
    model.graph.node.append(helper.make_node("Add", [model.graph.output[0].name, "outside"], ["sum"]))
    model.graph.output[0].name = "sum"
    path = tmp_path / "bad.onnx"
    path.write_bytes(model.SerializeToString())
    refused(path, tmp_path / "canary")


def test_an_operator_of_another_library_is_refused(made: Path, tmp_path: Path) -> None:
    model = onnx.load(made / "model.onnx")
    model.graph.node[0].domain = "evil"
    model.opset_import.append(helper.make_opsetid("evil", 1))
    path = tmp_path / "bad.onnx"
    path.write_bytes(model.SerializeToString())
    refused(path, tmp_path / "canary")


def test_other_suffixes_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(b"x")
    assert ".onnx or .pt2" in refused(tmp_path / "model.pkl", tmp_path / "canary")


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"


def test_no_image_starts_a_program(tmp_path: Path) -> None:
    """Pillow hands PostScript to Ghostscript, whatever the file's name says."""
    path = tmp_path / "scan.png"
    path.write_bytes(EPS)
    with Image.open(path) as image:
        assert image.format == "EPS"
    with pytest.raises(UnidentifiedImageError):
        look(path)


def test_an_array_that_promises_more_than_is_read_is_refused_by_its_header(tmp_path: Path) -> None:
    network = drawn_network(made_data((6, 6, 1)), {"model": "mlp", "hidden_dims": (4,)})
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w") as archive, archive.open("images.npy", "w") as member:
        header = {"descr": "|u1", "fortran_order": False, "shape": (10**9, 6, 6, 1)}
        npy.write_array_header_1_0(member, header)
    (found,) = read_inputs([tmp_path / "bomb.npz"], network.metadata)
    assert "36,000,000,000 values" in found.fault
