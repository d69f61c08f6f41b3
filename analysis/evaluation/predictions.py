"""Predictions of trained networks for each image of a split, as arrays, as a table and as MedMNIST's own CSV."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainables.data.arrays import MULTI_LABEL, Task
from trainables.errors import InputError
from trainables.metrics.auc import accuracy, auc
from trainables.metrics.per_class import predicted_labels

if TYPE_CHECKING:
    from trainables.data.arrays import Data
    from trainables.network.trained import TrainedModel

ENSEMBLE = "ensemble"
# The seed of the random layers of networks that are evaluated by sampling.
SAMPLING_SEED = 0


@dataclass(frozen=True)
class Predictions:
    """Probabilities that one network gives for the images of a split.

    model: `seed_<n>`, or `ensemble` for the mean of a trial's seeds. labels: (N,) class numbers, or (N, L) for
    multi-label. scores: (N, C), as float32 holds them. files: the images' names where each had a file of its own.
    """

    model: str
    split: str
    task: Task
    class_names: tuple[str, ...]
    labels: NDArray[np.int64]
    scores: NDArray[np.float64]
    files: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Return the predicted class numbers (N,), or labels (N, L) for multi-label."""
        return predicted_labels(self.scores, self.task)

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Tell whether each answer is right, (N,); for multi-label, whether all labels are."""
        right = self.predicted == self.labels
        return right.all(axis=1) if right.ndim == 2 else right

    @property
    def uncertainty(self) -> NDArray[np.float64]:
        """Return the entropy of the probabilities in nats, (N,), summed over the labels of multi-label."""
        from scipy.special import entr

        terms = entr(self.scores) + (entr(1 - self.scores) if self.task == MULTI_LABEL else 0.0)
        return np.asarray(terms.sum(axis=1), np.float64)


def predict_split(trained: TrainedModel, data: Data, split: str, device: str | None = None) -> Predictions:
    """Run a network over a split in the way of training's evaluation: same precision, same samples of random layers.

    device: a GPU where there is one, by default.
    """
    import torch

    from trainables.data.batches import subset, to_device
    from trainables.metrics.losses import probabilities
    from trainables.training.evaluation import predict, sample
    from trainables.training.precision import numerics_of

    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    model, config = trained.model.to(where), trained.config
    images = to_device(data, trained.normalization, where)[split]
    images = subset(images, config.data_fraction) if split == "train" else images
    numerics = numerics_of(config, where)
    if config.evaluation_samples:
        torch.manual_seed(SAMPLING_SEED)
        drawn = sample(model, images, data.info.task, config.evaluation_samples, numerics)
        scores = sum(drawn) / config.evaluation_samples
    else:
        scores = probabilities(predict(model, images, numerics), data.info.task)
    rows = None if images.rows is None else images.rows.cpu().numpy()
    files = data.splits[split].names
    named = files if rows is None or not files else tuple(files[row] for row in rows)
    labels, values = images.labels.cpu().numpy(), scores.cpu().numpy().astype(np.float64)  # type: ignore[union-attr]
    return Predictions(
        f"seed_{trained.seed}", split, data.info.task, data.info.class_names, labels, values, named
    )  # fmt: skip


def ensemble(members: Sequence[Predictions]) -> Predictions:
    """Average the probabilities of networks on the same images."""
    mean = np.mean([member.scores for member in members], axis=0)
    return replace(members[0], model=ENSEMBLE, scores=mean.astype(np.float32).astype(np.float64))


def prediction_rows(predictions: Predictions) -> Iterator[dict[str, Any]]:
    """Yield a row of `predictions.parquet` for each image."""
    multi, names = predictions.task == MULTI_LABEL, predictions.files or (None,) * len(predictions)
    predicted, correct, uncertainty = predictions.predicted, predictions.correct, predictions.uncertainty
    for number, (label, file) in enumerate(zip(predictions.labels.tolist(), names, strict=True)):
        answer = predicted[number].tolist()
        yield {
            "model": predictions.model, "split": predictions.split, "index": number, "file": file,
            "label": None if multi else label, "labels": label if multi else None,
            "predicted": None if multi else answer, "predicted_labels": answer if multi else None,
            "probabilities": predictions.scores[number].tolist(),
            "correct": bool(correct[number]), "uncertainty": float(uncertainty[number]),
        }  # fmt: skip


def read_predictions(path: Path) -> list[Predictions]:
    """Read a `predictions.parquet` back: one entry for each network and split. Raises `InputError`."""
    from analysis import table

    content = table.read_arrow(path, "predictions")
    try:
        metadata = {key.decode(): value.decode() for key, value in (content.schema.metadata or {}).items()}
        return [_part(content, metadata, *key) for key in _parts(content)]
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path} is no table of predictions ({error}): evaluate the trial again") from None


def _parts(content: Any) -> list[tuple[str, str]]:
    pairs = zip(content.column("model").to_pylist(), content.column("split").to_pylist(), strict=True)
    return list(dict.fromkeys(pairs))


def _part(content: Any, metadata: dict[str, str], model: str, split: str) -> Predictions:
    import pyarrow.compute as pc

    rows = content.filter(pc.and_(pc.equal(content["model"], model), pc.equal(content["split"], split)))
    multi = metadata["task"] == MULTI_LABEL
    labels = np.array(rows.column("labels" if multi else "label").to_pylist(), np.int64)
    scores = np.array(rows.column("probabilities").to_pylist(), np.float64)
    files = rows.column("file").to_pylist()
    named = tuple(files) if files and files[0] is not None else ()
    names = tuple(json.loads(metadata["class_names"]))
    return Predictions(model, split, metadata["task"], names, labels, scores, named)  # type: ignore[arg-type]


def medmnist_name(predictions: Predictions, dataset: str, size: int | None, run: str) -> str:
    """Return the name that `medmnist.Evaluator` gives its CSV: dataset, split, AUC, ACC and the run.

    size: of the images where it is not 28. What a name cannot hold becomes a dash.
    """
    flag = re.sub(r"[^A-Za-z0-9-]+", "-", dataset.partition("?")[0].rstrip("/").rpartition("/")[2])
    sized = f"{flag}_{size}" if size not in (None, 28) else flag
    scores = (auc(predictions.labels, predictions.scores, predictions.task),
              accuracy(predictions.labels, predictions.scores, predictions.task))  # fmt: skip
    figures = "_".join(f"[{name}]{value:.3f}" for name, value in zip(("AUC", "ACC"), scores, strict=True))
    return f"{sized}_{predictions.split}_{figures}@{re.sub(r'[^A-Za-z0-9-]+', '-', run)}.csv"


def write_medmnist_csv(folder: Path, predictions: Predictions, dataset: str, size: int | None, run: str) -> Path:
    """Write the probabilities as `medmnist` does, so that its `Evaluator.parse_and_evaluate` reads them back."""
    from trainables.atomic_files import write_atomically

    path = folder / medmnist_name(predictions, dataset, size, run)
    digits = predictions.scores.astype(np.float32).tolist()
    lines = (f"{number},{','.join(map(repr, row))}" for number, row in enumerate(digits))
    write_atomically(path, ("\n".join(lines) + "\n").encode())
    return path
