"""A dataset's facts, found image by image: `python -m sweeps.list datasets --check NAME`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from trainables.data.arrays import SPLITS, Data, class_counts
from trainables.data.datasets import find, load
from trainables.data.duplicates import rows_by_image
from trainables.data.normalization import NORMALIZATIONS, normalization_of, true_ranges


@dataclass(frozen=True)
class Duplicates:
    """Images that are equal byte for byte.

    Two splits: in both of them; one split twice: more than once in it. images: how many different ones. examples: the
    rows of up to ten pairs. disagreeing: how many of these images have more than one label.
    """

    first: str
    second: str
    images: int
    examples: tuple[tuple[int, int], ...]
    disagreeing: int


@dataclass(frozen=True)
class DataCheck:
    """A dataset's facts.

    Counts are images of a class, or positives of a label where multi-label. sizes: images by split. class_counts: by
    split and class. imbalance: of train, the largest class over the smallest that occurs. ranges: lowest and highest
    input, by normalisation and split.
    """

    name: str
    task: str
    shape: tuple[int, ...]
    digest: str
    source: str
    licence: str
    citation: str
    sizes: Mapping[str, int]
    class_counts: Mapping[str, Mapping[str, int]]
    imbalance: float
    duplicates: tuple[Duplicates, ...]
    ranges: Mapping[str, Mapping[str, tuple[float, float]]]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the facts as JSON's types."""
        return asdict(self)


def check(
    name: str, image_size: int | None = None, data_root: Path | None = None, channels: int | None = None
) -> DataCheck:
    """Load a dataset and look at every image. Raises `InputError` where it cannot be loaded."""
    entry, data = find(name), load(name, image_size, data_root, channels)
    counts = {split: class_counts(data.info, data.splits[split]) for split in SPLITS}
    occurring = [n for n in counts["train"].values() if n]
    return DataCheck(
        name=data.info.name,
        task=data.info.task,
        shape=data.info.shape,
        digest=data.digest,
        source=str(data.source or "embedded"),
        licence=entry.licence,
        citation=entry.citation,
        sizes={split: len(part) for split, part in data},
        class_counts=counts,
        imbalance=max(occurring) / min(occurring),
        duplicates=tuple(find_duplicates(data)),
        ranges=true_ranges(data, {kind: normalization_of(kind, data) for kind in NORMALIZATIONS}),
        notes=data.notes,
    )


def find_duplicates(data: Data) -> Iterator[Duplicates]:
    """Yield the byte-identical images within a split and between two, where there are any."""
    rows = {name: rows_by_image(split.stored) for name, split in data}
    for first, second in [*((split, split) for split in SPLITS), *combinations(SPLITS, 2)]:
        same = first == second
        pairs = [
            (numbers[0], numbers[1] if same else rows[second][image][0])
            for image, numbers in rows[first].items()
            if (len(numbers) > 1 if same else image in rows[second])
        ]
        if pairs:
            one, other = data.splits[first].labels, data.splits[second].labels
            disagreeing = sum(not np.array_equal(one[i], other[j]) for i, j in pairs)
            yield Duplicates(first, second, len(pairs), tuple(pairs[:10]), disagreeing)


def lines(facts: DataCheck) -> list[tuple[str, str]]:
    """Return the facts as pairs of a title and a text, for a table."""
    rows = [
        ("task", facts.task),
        ("image shape", " x ".join(map(str, facts.shape))),
        ("images", ", ".join(f"{split} {n:,}" for split, n in facts.sizes.items())),
        ("digest", facts.digest),
        ("source", facts.source),
        ("licence", facts.licence),
        ("citation", facts.citation),
        ("imbalance in train", f"{facts.imbalance:.2f} : 1"),
    ]
    for name in facts.class_counts["train"]:
        counts = (f"{split} {facts.class_counts[split][name]:,}" for split in SPLITS)
        rows.append((f"class {name}", ", ".join(counts)))
    rows += [(f"range, {kind}", _ranges(ranges)) for kind, ranges in facts.ranges.items()]
    rows += [("duplicates", _sentence(item)) for item in facts.duplicates] or [("duplicates", "none")]
    return rows + [("note", note) for note in facts.notes]


def _ranges(ranges: Mapping[str, tuple[float, float]]) -> str:
    return ", ".join(f"{split} {low:.2f} to {high:.2f}" for split, (low, high) in ranges.items())


def _sentence(item: Duplicates) -> str:
    where = f"more than once in {item.first}" if item.first == item.second else f"in {item.first} and {item.second}"
    example = f"rows {item.examples[0][0]} and {item.examples[0][1]}"
    unlike = f"; {item.disagreeing} with unlike labels" if item.disagreeing else ""
    return f"{item.images} image{'s' * (item.images != 1)} {where} (such as {example}){unlike}"
