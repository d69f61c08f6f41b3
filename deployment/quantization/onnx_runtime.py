"""Quantisation of an ONNX file by ONNX Runtime: of weights alone (dynamic), or of activations as well (static)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployment.formats.onnx_file import first_line
from deployment.model.metadata import KEY, ModelMetadata
from trainables.atomic_files import write_atomically
from trainables.errors import InputError, pip_install

# The operators with weights; all else stays in float32.
OPERATORS = ["Conv", "Gemm", "MatMul"]
# Images of one pass of the calibration.
BATCH = 16


def quantize_dynamic(source: Path, metadata: ModelMetadata, path: Path) -> None:
    """Write weights as int8; the range of activations is measured in each pass. Raises `InputError`."""
    with _prepared(source) as (tools, prepared, made):
        tools.quantize_dynamic(
            str(prepared), str(made), per_channel=True, weight_type=tools.QuantType.QInt8,
            op_types_to_quantize=OPERATORS,
        )  # fmt: skip
        _finish(made, metadata.model_copy(update={"quantization": "dynamic"}), path)


def quantize_static(
    source: Path, metadata: ModelMetadata, path: Path, images: NDArray[np.uint8], name: str = "static"
) -> None:
    """Write weights as int8 by channel and activations as uint8, with the ranges that some training images have.

    images: uint8 (N, [D,] H, W, C). name: how the file calls its quantisation. Raises `InputError`.
    """
    with _prepared(source) as (tools, prepared, made):
        tools.quantize_static(
            str(prepared), str(made), _reader(tools, metadata, images), quant_format=tools.QuantFormat.QDQ,
            per_channel=True, activation_type=tools.QuantType.QUInt8, weight_type=tools.QuantType.QInt8,
            op_types_to_quantize=OPERATORS,
        )  # fmt: skip
        _finish(made, metadata.model_copy(update={"quantization": name}), path)


@contextmanager
def _prepared(source: Path) -> Iterator[tuple[Any, Path, Path]]:
    """Fold batch normalisation into convolutions; yield ONNX Runtime's tools, that file, and a path for the result."""
    try:
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError:
        raise InputError(f"quantisation needs onnx and onnxruntime: {pip_install('deploy')}") from None
    with TemporaryDirectory() as place, _quiet():
        prepared = Path(place) / "prepared.onnx"
        try:
            quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
            yield quantization, prepared, Path(place) / "made.onnx"
        except (InputError, OSError):
            raise
        except Exception as error:
            # ONNX Runtime's tools raise whatever a graph leads to.
            raise InputError(f"the model cannot be quantised ({first_line(error)})") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the tools' advice, which they give to the root logger, off the terminal."""
    logger = logging.getLogger()
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _reader(tools: Any, metadata: ModelMetadata, images: NDArray[np.uint8]) -> Any:
    class Reader(tools.CalibrationDataReader):
        def __init__(self) -> None:
            self.batches: Iterator[dict[str, np.ndarray]] = (
                {"images": metadata.as_input(images[start : start + BATCH])} for start in range(0, len(images), BATCH)
            )

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.batches, None)

    return Reader()


def _finish(made: Path, metadata: ModelMetadata, path: Path) -> None:
    """Put the metadata into a file, and the file in its place."""
    import onnx

    model = onnx.load(made)
    kept = {entry.key: entry.value for entry in model.metadata_props}
    kept[KEY] = metadata.text()
    del model.metadata_props[:]
    for name, value in kept.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = name, value
    write_atomically(path, model.SerializeToString())
