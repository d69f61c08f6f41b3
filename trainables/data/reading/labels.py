"""Labels as they are written, as class numbers: single ones, ordered ones, several of an image."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainables.data.arrays import MULTI_LABEL, Task
from trainables.data.reading.decoding import printable, some
from trainables.errors import InputError

# Numbers of which there are more, on fewer images each, are taken for measurements.
MOST_NUMBERS, FEWEST_IMAGES = 50, 5
YES_NO = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1, "no": 0, "yes": 1}
SEPARATOR = "|"


@dataclass(frozen=True)
class Labels:
    """Class numbers (N,), or zeros and ones (N, labels); their names and task; what the user should know."""

    values: NDArray[np.int64]
    class_names: tuple[str, ...]
    task: Task
    notes: tuple[str, ...] = ()


def task_of(class_names: Sequence[str], ordered: bool = False) -> Task:
    """Return the task of images that have one class each."""
    if len(class_names) == 2:
        return "binary-class"
    return "ordinal-regression" if ordered else "multi-class"


def single_labels(texts: Sequence[str], order: Sequence[str], where: str) -> Labels:
    """Read one class an image. The classes are sorted, by number where all are numbers, or stand in `order`.

    where: file and column, for messages. Raises `InputError` for measurements, and for a class that `order` lacks.
    """
    _refuse_measurements(texts, where)
    written = dict.fromkeys(texts)
    if all(_is_whole(text) for text in written):
        names = {text: str(int(float(text))) for text in written}
        found = sorted(set(names.values()), key=int)
    else:
        names = {text: text for text in written}
        found = sorted(names)
    classes = tuple(order) or tuple(found)
    if unknown := [printable(name) for name in found if name not in classes]:
        raise InputError(f"{where} has {some(unknown)}, which order={'<'.join(order)} lacks: name every class")
    numbers = {text: classes.index(name) for text, name in names.items()}
    values = np.array([numbers[text] for text in texts], np.int64)
    return Labels(values, classes, task_of(classes, bool(order)), tuple(_alike(found, where)))


def separated_labels(texts: Sequence[str], where: str) -> Labels:
    """Read cells such as `edema|nodule`: several labels an image, or none where the cell is empty."""
    sets = [{part.strip() for part in text.split(SEPARATOR) if part.strip()} for text in texts]
    names = tuple(sorted(set().union(*sets)))
    values = np.array([[name in chosen for name in names] for chosen in sets], np.int64).reshape(len(texts), len(names))
    none = sum(not chosen for chosen in sets)
    notes = [f"{where}: {none} of {len(texts)} images have no label, and count as having none of them"] * bool(none)
    return Labels(values, names, MULTI_LABEL, (*notes, *_alike(names, where)))


def label_columns(columns: Sequence[Sequence[str]], names: Sequence[str], where: str) -> Labels:
    """Read several columns of 0 and 1 (or false and true, no and yes): one label each."""
    for name, column in zip(names, columns, strict=True):
        if odd := [printable(text) for text in dict.fromkeys(column) if text.lower() not in YES_NO]:
            raise InputError(f"{where}: column {name} holds {some(odd, 3)}: several label columns must hold 0 and 1")
    values = np.ascontiguousarray(
        np.array([[YES_NO[text.lower()] for text in column] for column in columns], np.int64).T
    )
    return Labels(values, tuple(names), MULTI_LABEL, _one_each(values, where, "write them into one column"))


def label_array(labels: np.ndarray, order: Sequence[str], names: Sequence[str], where: str) -> Labels:
    """Read an array: (N,) or (N, 1) of numbers or texts, or (N, labels) of zeros and ones.

    names: of the classes 0, 1, ... or of the labels, where they have any.
    """
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype.kind not in "biufUS" or labels.ndim not in (1, 2) or labels.size == 0:
        raise InputError(
            f"{where} has labels of {labels.dtype} {labels.shape}: give one class an image, (N,) of numbers or texts, "
            "or (N, labels) of zeros and ones"
        )
    if twice := [printable(name) for name, n in Counter(names).items() if n > 1]:
        raise InputError(f"{where}: class_names has {twice[0]} twice: give each class a name of its own")
    if labels.dtype.kind == "f" and (missing := int(np.count_nonzero(~np.isfinite(labels)))):
        raise InputError(f"{where}: {missing} of {labels.size} labels are no number (NaN): every image needs its label")
    return _many(labels, order, names, where) if labels.ndim == 2 else _one(labels, order, names, where)


def _one(labels: np.ndarray, order: Sequence[str], names: Sequence[str], where: str) -> Labels:
    texts = _texts(labels)
    if not names:
        return single_labels(texts, order, where)
    _refuse_measurements(texts, where)
    if wrong := [text for text in dict.fromkeys(texts) if not _is_whole(text) or not 0 <= float(text) < len(names)]:
        raise InputError(f"{where}: {len(names)} class names, and labels such as {printable(wrong[0])}: number from 0")
    values = np.array([int(float(text)) for text in texts], np.int64)
    if not order:
        return Labels(values, tuple(names), task_of(names))
    return single_labels([names[number] for number in values], order, where)


def _many(labels: np.ndarray, order: Sequence[str], names: Sequence[str], where: str) -> Labels:
    if order:
        raise InputError(f"{where}: order= has no effect on several labels an image: leave it out")
    if labels.dtype.kind not in "biuf" or not np.isin(labels, (0, 1)).all():
        raise InputError(f"{where}: labels of shape {labels.shape} must be zeros and ones, or one class an image")
    if names and len(names) != labels.shape[1]:
        raise InputError(f"{where}: {len(names)} names for {labels.shape[1]} labels an image: give one name each")
    values = labels.astype(np.int64)
    notes = _one_each(values, where, "give their numbers")
    return Labels(values, tuple(names) or tuple(map(str, range(labels.shape[1]))), MULTI_LABEL, notes)


def _one_each(values: np.ndarray, where: str, remedy: str) -> tuple[str, ...]:
    """Return a note where each image has just one of several labels, as one-hot classes have."""
    note = f"{where}: every image has one label of {values.shape[1]}: if they are classes, {remedy}"
    return (note,) if (values.sum(axis=1) == 1).all() else ()


def _texts(labels: np.ndarray) -> list[str]:
    if labels.dtype.kind == "S":
        return [text.decode(errors="backslashreplace").strip() for text in labels.tolist()]
    if labels.dtype.kind == "b":
        labels = labels.astype(np.int64)
    return [str(label).strip() for label in labels.tolist()]


def _refuse_measurements(texts: Sequence[str], where: str) -> None:
    """Raise `InputError` for numbers that are no classes: not whole, or nearly as many as there are images."""
    counts = Counter(texts)
    if not all(_is_number(text) for text in counts):
        return
    broken = [text for text in counts if not _is_whole(text)]
    many = len(counts) > MOST_NUMBERS and len(texts) < FEWEST_IMAGES * len(counts)
    if broken or many:
        raise InputError(
            f"{where} holds measurements ({some(broken or list(counts), 3)}), and regression is not supported: bin "
            "them into a few classes"
        )


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text) is not None


def _is_whole(text: str) -> bool:
    return _is_number(text) and math.isfinite(float(text)) and float(text).is_integer()


def _alike(names: Sequence[str], where: str) -> list[str]:
    spellings = Counter(name.casefold() for name in names)
    alike = [printable(name) for name in names if spellings[name.casefold()] > 1]
    return [f"{where}: classes that differ by case only: {', '.join(alike)}"] * bool(alike)
