"""The columns of the results tables: type, unit, direction and meaning."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import pyarrow as pa

from analysis.measures import MEASURES
from trainables.config import TrialConfig
from trainables.metric_names import QUALITIES, SPLITS
from trainables.user_code.signature import members_of

SCHEMA_VERSION = "1"
# Units of columns that are counted, not measured: no mean of theirs is kept.
COUNTS = {"pairs", "values", "bins"}
Kind = Literal["trials", "epochs", "weights", "activations", "predictions", "hardware", "quantization"]


@dataclass(frozen=True)
class Column:
    """A column's type and meaning; direction says whether higher or lower is better ("" where neither is)."""

    type: pa.DataType
    meaning: str
    unit: str = ""
    direction: Literal["", "higher", "lower"] = ""
    null: bool = False


TEXT, WHOLE, REAL, FLAG = pa.string(), pa.int64(), pa.float64(), pa.bool_()
TIME = pa.timestamp("ms", "UTC")

IDENTITY = {
    "sweep": Column(TEXT, "name of the sweep"),
    "run_id": Column(TEXT, "name of the run"),
    "trial_id": Column(TEXT, "number of the trial in its run"),
    "trial_key": Column(TEXT, "identity of the trial across runs: hash of config, data and training code"),
    "replicate": Column(WHOLE, "number of the replicate in its trial, from 0"),
    "seed": Column(WHOLE, "random seed of the replicate"),
}
ENDING = {
    "status": Column(TEXT, "completed, stopped, diverged, failed or interrupted"),
    "stop_reason": Column(TEXT, "why the trial ended"),
    "folder": Column(TEXT, "folder of the trial's files, below that of the run", null=True),
    "changes": Column(TEXT, "population based training: whose weights and which values from which epoch on", null=True),
}
LENGTH = {
    "epochs_trained": Column(WHOLE, "epochs that were trained", "epochs"),
    "best_epoch": Column(
        WHOLE,
        "epoch whose weights were kept: that of the highest val AUC (val accuracy where AUC is undefined), whatever "
        "metric selects between trials; null before the first",
        "epochs",
        null=True,
    ),
}
COST = {
    "parameters": Column(WHOLE, "learned values of the model", "values", "lower"),
    "macs": Column(WHOLE, "multiply-accumulates for one image", "operations", "lower"),
    "train_seconds": Column(REAL, "time spent training", "s", "lower"),
    "eval_seconds": Column(REAL, "time spent evaluating", "s", "lower"),
    "images_per_second": Column(REAL, "training images by training time", "images/s", "higher"),
    "peak_memory_mb": Column(REAL, "peak memory: of the GPU, or of the worker process on a CPU", "MiB", "lower"),
    "gpu_percent": Column(REAL, "how busy the GPU was, by its driver, mean over epochs; null on a CPU", "%", null=True),
    "attempts": Column(WHOLE, "times the trial was started", "attempts", "lower"),
}
EPOCH = {
    "epoch": Column(WHOLE, "epoch, counted from 1", "epochs"),
    "lr_used": Column(REAL, "learning rate of the epoch"),
    "is_best": Column(FLAG, "highest val AUC so far (val accuracy where AUC is undefined)"),
    "train_seconds": COST["train_seconds"],
    "eval_seconds": COST["eval_seconds"],
    "images_trained": Column(WHOLE, "training images seen in the epoch", "images"),
    "gradient_norm": Column(REAL, "norm of the gradient at the epoch's last step, before clipping"),
    "notes": Column(TEXT, "what the user should know of the epoch"),
}
TENSOR = {
    "stage": Column(TEXT, "which weights: initial, best or final, or epoch_0005 and the like along training"),
    "epoch": Column(WHOLE, "epoch that the weights are from; 0 before training", "epochs"),
    "tensor": Column(TEXT, "name of the weight tensor"),
    "position": Column(WHOLE, "place of the tensor in the model, from 0"),
    "module_type": Column(TEXT, "type of the module that owns the tensor"),
    "shape": Column(pa.list_(WHOLE), "shape of the tensor"),
}


OF_QUALITIES = {
    "auc": Column(REAL, "area under the ROC curve as MedMNIST defines it", "1", "higher"),
    "acc": Column(REAL, "accuracy as MedMNIST defines it", "1", "higher"),
    "loss": Column(REAL, "mean loss", "nat", "lower"),
}
LAYER = {
    "layer": Column(TEXT, "name of the module; empty for the whole model"),
    "position": Column(WHOLE, "place of the module in the order of calls, from 0; -1 for the whole model"),
    "module_type": Column(TEXT, "type of the module"),
    "units": Column(WHOLE, "its output units, for images its channels", "units", null=True),
}
# On the validation split, only where it is asked for.
BEHAVIOUR = {
    "activation_entropy": Column(REAL, "entropy of activations in 100 bins; of a model the mean", "1", null=True),
    "activation_sparsity": Column(REAL, "share of activations that are 0; of a model the mean", "1", null=True),
    "activation_hoyer": Column(REAL, "Hoyer sparsity of the activations", "1", null=True),
    "activation_dead": Column(REAL, "share of units that are zero for every image", "1", null=True),
    "sharpness": Column(REAL, "mean rise of the loss 0.05 away in random directions", "nat", "lower", null=True),
    "sharpness_max": Column(REAL, "largest rise of the loss in those directions", "nat", "lower", null=True),
}
# Of evaluation/<trial>/, which `analysis.evaluate` writes.
PREDICTION = {
    "trial_id": IDENTITY["trial_id"],
    "model": Column(TEXT, "seed_<n>: the network of a seed; ensemble: the mean of their probabilities"),
    "split": Column(TEXT, "train, val or test"),
    "index": Column(WHOLE, "number of the image in its split, from 0"),
    "file": Column(TEXT, "name of the image's file, where it had one of its own", null=True),
    "label": Column(WHOLE, "number of the true class; null for multi-label", null=True),
    "labels": Column(pa.list_(WHOLE), "the true labels, 0 or 1 each; null unless multi-label", null=True),
    "predicted": Column(WHOLE, "number of the predicted class; null for multi-label", null=True),
    "predicted_labels": Column(pa.list_(WHOLE), "the predicted labels; null unless multi-label", null=True),
    "probabilities": Column(pa.list_(REAL), "probability of each class or label", "1"),
    "correct": Column(FLAG, "whether the answer is right; of multi-label, whether all labels are"),
    "uncertainty": Column(REAL, "entropy of the probabilities", "nat"),
}
# Of the machine, a row of its own and one for each GPU at a time.
HARDWARE = {
    "time": Column(TIME, "when the sample was taken, UTC"),
    "seconds": Column(REAL, "time since the sample before, which this one stands for", "s"),
    "node": Column(TEXT, "name of the machine"),
    "gpu": Column(WHOLE, "number of the GPU; null for the row of the machine itself", null=True),
    "gpu_name": Column(TEXT, "name of the GPU", null=True),
    "cpu_percent": Column(REAL, "load of all processors since the sample before", "%", null=True),
    "memory_mb": Column(REAL, "memory of the machine in use", "MiB", null=True),
    "memory_total_mb": Column(REAL, "memory of the machine", "MiB", null=True),
    "cpu_power_w": Column(REAL, "power of the processors by Intel RAPL; null where it cannot be read", "W", null=True),
    "gpu_percent": Column(REAL, "share of the time that the GPU was busy, by its driver", "%", null=True),
    "gpu_memory_mb": Column(REAL, "memory of the GPU in use", "MiB", null=True),
    "gpu_memory_total_mb": Column(REAL, "memory of the GPU", "MiB", null=True),
    "gpu_temperature_c": Column(REAL, "temperature of the GPU", "°C", null=True),
    "gpu_power_w": Column(REAL, "power of the GPU, by its driver", "W", null=True),
}
# Of quantization.parquet, which `deployment.quantize` writes: a row for each file of a trial.
QUANTIZATION = {
    **{name: IDENTITY[name] for name in ("sweep", "run_id", "trial_id", "seed")},
    "file": Column(TEXT, "float32, or how the file was quantised: dynamic, static, qat"),
    "bytes": Column(WHOLE, "size of the ONNX file", "bytes", "lower"),
    "test_auc": Column(REAL, "area under the ROC curve on test as MedMNIST defines it", "1", "higher"),
    "test_auc_low": Column(REAL, "lower end of its 95 % interval over images", "1"),
    "test_auc_high": Column(REAL, "upper end of its 95 % interval over images", "1"),
    "test_acc": Column(REAL, "accuracy on test as MedMNIST defines it", "1", "higher"),
    "test_acc_low": Column(REAL, "lower end of its 95 % interval over images", "1"),
    "test_acc_high": Column(REAL, "upper end of its 95 % interval over images", "1"),
    "agreement": Column(REAL, "share of test images with the float network's answer", "1", "higher"),
    "agreement_low": Column(REAL, "lower end of its 95 % interval over images (Wilson)", "1"),
    "agreement_high": Column(REAL, "upper end of its 95 % interval over images (Wilson)", "1"),
    "largest_difference": Column(REAL, "largest difference of a probability from the float network's", "1", "lower"),
    "latency_p50": Column(REAL, "median time of one image alone, ONNX Runtime on one thread", "s", "lower"),
    "latency_p95": Column(REAL, "95th percentile of that time", "s", "lower"),
    "images_per_second": Column(REAL, "most images a second of all batch sizes that were timed", "images/s", "higher"),
}
OF_MODELS = ("activation_entropy", "activation_sparsity", "sharpness", "sharpness_max")


def _qualities(prefix: str, when: str) -> dict[str, Column]:
    return {
        f"{prefix}{split}_{name}": replace(column, meaning=f"{column.meaning} on {split} {when}")
        for split in SPLITS
        for name in QUALITIES
        if (column := OF_QUALITIES[name])
    }


def config_columns() -> dict[str, Column]:
    """Return the columns of a `TrialConfig`."""
    columns = {}
    for name, field in TrialConfig.model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        unit, meaning = str(extra.get("unit", "")), field.description or name
        columns[name] = Column(
            _arrow_type(field.annotation), meaning, unit, null=NoneType in members_of(field.annotation)
        )
    return columns


def _arrow_type(annotation: Any) -> pa.DataType:
    """Return the column type of a config field's annotation."""
    annotation = next(member for member in members_of(annotation) if member is not NoneType)
    origin = get_origin(annotation)
    if origin is Literal:
        return _arrow_type(type(get_args(annotation)[0]))
    if origin is tuple:
        return pa.list_(_arrow_type(get_args(annotation)[0]))
    if hasattr(annotation, "__metadata__"):
        return _arrow_type(annotation.__origin__)
    return {str: TEXT, int: WHOLE, float: REAL, bool: FLAG}[annotation]


def model_measures() -> dict[str, Column]:
    """Return the model-level columns: each measure's main column, averaged over weight tensors by their size."""
    return {
        name: Column(
            REAL,
            f"{column.meaning}; mean over the weight matrices of the best model that multiply, weighted by size",
            column.unit,
            column.direction,
            null=not measure.default,
        )
        for name, measure in MEASURES.items()
        if (column := measure.columns.get(name))
    }


def tensor_measures() -> dict[str, Column]:
    """Return the columns of all measures, of one tensor; those that were not asked for are null."""
    return {
        name: Column(REAL, column.meaning, column.unit, column.direction, null=True)
        for measure in MEASURES.values()
        for name, column in measure.columns.items()
    }


@cache
def columns(kind: Kind) -> dict[str, Column]:
    """Return all columns of a table, in order."""
    if kind == "epochs":
        return {**IDENTITY, **EPOCH, **_qualities("", "after the epoch")}
    if kind == "weights":
        return {**IDENTITY, **TENSOR, **tensor_measures()}
    if kind == "predictions":
        return PREDICTION
    if kind == "hardware":
        return HARDWARE
    if kind == "quantization":
        return QUANTIZATION
    if kind == "activations":
        return {**IDENTITY, **LAYER, **BEHAVIOUR}
    at_best, at_last = _qualities("", "at the best epoch"), _qualities("final_", "at the last epoch")
    return {**IDENTITY, **ENDING, **config_columns(), **LENGTH, **at_best, **at_last, **COST, **complexity_columns()}


def complexity_columns() -> dict[str, Column]:
    """Return the columns of a trained model's weights and behaviour."""
    return {**model_measures(), **{name: BEHAVIOUR[name] for name in OF_MODELS}}
