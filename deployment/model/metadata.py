"""The metadata inside every model file: preprocessing, classes, calibration, and which training it came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trainables.data.arrays import MULTI_LABEL, DataInfo, Task
from trainables.errors import InputError, one_line
from trainables.metrics.calibration import with_temperature
from trainables.metrics.per_class import predicted_labels

# The key in an ONNX file's metadata, and the name of the extra file in a `.pt2` or TorchScript archive.
KEY = "medsweeps"
Real = NDArray[np.float64]


class ModelMetadata(BaseModel):
    """The facts that are needed to use a model file, and its origin.

    image_shape: (H, W, C) or (D, H, W, C). mean, std: of the training images by channel, in 0 to 1. input: `normalized`
    (float32, (B, C, [D,] H, W)) or `raw` (uint8, (B, [D,] H, W, C)); the output is always probabilities, (B, classes).
    temperature, conformal_threshold: fitted on val, applied by no file. precision: of the training. window, frame: how
    the training's image files were read. training_deciles: of each of `image_statistics` in training, 11
    values from lowest to highest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal[1] = 1
    run: str
    trial: str
    seed: int
    epoch: int
    commit: str | None = None
    model: str
    dataset: str
    dataset_digest: str
    task: Task
    class_names: tuple[str, ...] = Field(min_length=2)
    image_shape: tuple[int, ...] = Field(min_length=3, max_length=4)
    mean: tuple[float, ...]
    std: tuple[float, ...]
    input: Literal["normalized", "raw"] = "normalized"
    temperature: float = Field(gt=0)
    conformal_threshold: float = Field(ge=0, le=1)
    coverage: float = Field(gt=0, lt=1)
    precision: str = "float32"
    quantization: str = "none"
    window: tuple[float, float] | None = None
    frame: int | str | None = None
    training_deciles: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _agrees(self) -> ModelMetadata:
        channels = self.image_shape[-1]
        if min(self.image_shape) < 1 or channels not in (1, 3):
            raise ValueError(f"image_shape {self.image_shape} is no ([D,] H, W, 1 or 3)")
        if not len(self.mean) == len(self.std) == channels or min(self.std) <= 0:
            raise ValueError(f"mean and std must have {channels} values, those of std above 0")
        if any(len(values) != 11 or sorted(values) != list(values) for values in self.training_deciles.values()):
            raise ValueError("training_deciles must be 11 values each, from lowest to highest")
        return self

    @property
    def training_ranges(self) -> dict[str, tuple[float, float]]:
        """Return the lowest and highest of each of `image_statistics` in training."""
        return {name: (values[0], values[-1]) for name, values in self.training_deciles.items()}

    @property
    def info(self) -> DataInfo:
        """Return the facts of the data that the model takes."""
        return DataInfo(self.dataset, self.task, self.class_names, self.image_shape)

    def check_images(self, images: NDArray[np.uint8]) -> None:
        """Raise `InputError` where images are not uint8 (N, *image_shape)."""
        if images.dtype != np.uint8 or images.shape[1:] != self.image_shape:
            raise InputError(
                f"the model takes uint8 images (N, {', '.join(map(str, self.image_shape))}), found {images.dtype} "
                f"{images.shape}"
            )

    def as_input(self, images: NDArray[np.uint8]) -> np.ndarray:
        """Return uint8 images as the file takes them: normalised, channels first, or as they are. Raises `InputError`.

        The same arithmetic as in training, in float32.
        """
        self.check_images(images)
        if self.input == "raw":
            return np.ascontiguousarray(images)
        mean, std = np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
        normalized = images.astype(np.float32) * (1 / (255 * std)) + (-mean / std)
        return np.ascontiguousarray(np.moveaxis(normalized, -1, 1))

    def calibrated(self, scores: Real) -> Real:
        """Return the probabilities at the temperature that fits val; no answer changes."""
        return with_temperature(scores, self.temperature, self.task)

    def answers(self, scores: Real) -> list[list[str]]:
        """Return the class that each row of probabilities names, or the labels of multi-label."""
        predicted = predicted_labels(scores, self.task)
        if self.task == MULTI_LABEL:
            return [[name for name, there in zip(self.class_names, row, strict=True) if there] for row in predicted]
        return [[self.class_names[number]] for number in predicted]

    def prediction_sets(self, scores: Real) -> list[list[str]]:
        """Return for each row of probabilities the classes in its conformal set."""
        return [
            [name for name, score in zip(self.class_names, row, strict=True) if score >= self.conformal_threshold]
            for row in scores
        ]

    def text(self) -> str:
        """Return the metadata as JSON."""
        return self.model_dump_json()


def read_metadata(text: str | bytes | None, path: Path) -> ModelMetadata:
    """Read the metadata of a model file. Raises `InputError` where there are none, or not ours."""
    if not text:
        raise InputError(f"{path} says nothing of its preprocessing: give a file that deployment.export wrote")
    try:
        content: Any = json.loads(text)
        return ModelMetadata.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{path} has metadata that are not ours ({one_line(error)}): export the model again") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} has metadata that cannot be read ({error}): export the model again") from None
