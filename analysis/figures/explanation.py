"""Figures of explanations: maps over images with their verdict, curves, embeddings, neighbours, filters, features."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from numpy.typing import NDArray

from analysis.explanation.faithfulness import Faithfulness
from analysis.figures.evaluation import flat_image
from analysis.figures.style import COLOURS, FAINT, colour_of, marker_of, new_figure, styled
from analysis.trial_evaluation.tables import short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Real = NDArray[np.float64]
# Slices of a volume.
SLICES = 5
MONTAGE_COLUMNS = 8
# Filters or feature maps.
MOST_PANELS = 16
# Letters of a verdict's line.
WRAP = 110


@dataclass(frozen=True)
class Explained:
    """An image with its map: the reason of its choice, its true and given class, and the answer's confidence."""

    kind: str
    image: NDArray[np.uint8]
    saliency: Real
    true: str
    said: str
    confidence: float


@styled
def saliency_maps(rows: Sequence[Explained], title: str, verdict: str) -> Figure:
    """Draw images beside their maps, with one colour bar; volumes as slices. Above: the verdict.

    Each map runs from 0 to its own highest value.
    """
    volumes = rows[0].image.ndim == 4
    figure, axes = new_figure(*((len(rows), SLICES + 1, 1.25, 1.45) if volumes else _plane_grid(len(rows))))
    for axis in axes.flat:
        _bare(axis)
    drawn: Any = None
    for number, row in enumerate(rows):
        drawn = _volume(axes[number], row) if volumes else _plane(axes, number, row)
    single = len(axes) == 1
    bar = figure.colorbar(drawn, ax=axes, shrink=1.0 if single else 0.5, aspect=12 if single else 30, pad=0.01)
    bar.set_label("share of the map's\nhighest value" if single else "share of the map's highest value", fontsize=7)
    star = "; * has the map's highest value" if volumes else ""
    _head(figure, title + star, verdict, WRAP if len(rows) > 2 or volumes else 60)
    return figure


def _head(figure: Figure, title: str, verdict: str, wrap: int) -> None:
    lines = [title, *textwrap.wrap(f"verdict: {verdict}", wrap)]
    figure.suptitle("\n".join(lines), fontsize=8.5, x=0.01, ha="left")


def _plane_grid(count: int) -> tuple[int, int, float, float]:
    """Return two panels an image, four images a line."""
    columns = min(count, 4)
    return -(-count // columns), 2 * columns, 1.15, 1.7


def _bare(axis: Any) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)


def _words(row: Explained) -> str:
    return f"{row.kind}\ntrue {short(row.true, 16)}\nsaid {short(row.said, 16)}, {100 * row.confidence:.0f} %"


def _unit(saliency: Real) -> Real:
    top = float(saliency.max())
    return saliency / top if top > 0 else saliency


def _plane(axes: Any, number: int, row: Explained) -> Any:
    line, column = divmod(number, axes.shape[1] // 2)
    left, right = axes[line, 2 * column], axes[line, 2 * column + 1]
    picture = flat_image(row.image)
    left.imshow(picture, cmap="gray", vmin=0, vmax=255)
    left.set_title(_words(row), fontsize=6.5, pad=2, loc="left")
    right.imshow(picture, cmap="gray", vmin=0, vmax=255)
    return right.imshow(_unit(row.saliency), cmap="inferno", vmin=0, vmax=1, alpha=0.6)


def _volume(line: Any, row: Explained) -> Any:
    """Draw slices through the volume, with the words first; the slice of the map's highest value has a star."""
    line[0].text(0, 0.5, _words(row), transform=line[0].transAxes, va="center", fontsize=7)
    unit, drawn = _unit(row.saliency), None
    peak = int(unit.max(axis=(1, 2)).argmax())
    for axis, z in zip(line[1:], slices_of(row.image, unit), strict=False):
        drawn = _slice(axis, row.image[z], unit[z])
        axis.set_title(f"slice {z}{' *' * (z == peak)}", fontsize=6.5, pad=2)
    return drawn


def _slice(axis: Any, plane: NDArray[np.uint8], unit: Real) -> Any:
    """Draw a slice below its map, which is the clearer the higher it is, so that the slice stays to be seen."""
    # White is shown as grey, so that the map's colours keep their look above it.
    picture = flat_image(plane)
    axis.imshow(picture if picture.ndim == 2 else picture // 2, cmap="gray", vmin=0, vmax=2 * 255)
    axis.imshow(unit, cmap="inferno", vmin=0, vmax=1, alpha=0.8 * np.sqrt(unit))
    return ScalarMappable(Normalize(0, 1), "inferno")


def slices_of(image: NDArray[np.uint8], unit: Real, count: int = SLICES) -> list[int]:
    """Choose slices of a volume (D, H, W, C): spread over those that are not empty, one that has the map's highest.

    Slices of one value are empty. Where few are not, their neighbours are shown; where none is, the whole volume.
    """
    content = np.flatnonzero(np.ptp(image.reshape(len(image), -1), axis=1) > 0)
    first, last = (content[0], content[-1]) if len(content) else (0, len(image) - 1)
    missing = max(0, count + 1 - (last - first))
    first, last = first - missing // 2, last + (missing + 1) // 2
    chosen = np.clip(np.linspace(first, last, count + 2).round().astype(int)[1:-1], 0, len(image) - 1)
    peak = int(unit.max(axis=(1, 2)).argmax())
    chosen[np.abs(chosen - peak).argmin()] = peak
    return sorted(set(chosen.tolist()))


@styled
def montage(row: Explained, title: str, verdict: str) -> Figure:
    """Draw every slice of a volume below its map. Above: the verdict."""
    columns = min(len(row.image), MONTAGE_COLUMNS)
    figure, axes = new_figure(-(-len(row.image) // columns), columns, 0.95, 1.1)
    for axis in axes.flat:
        _bare(axis)
    unit = _unit(row.saliency)
    drawn: Any = None
    for z, axis in zip(range(len(row.image)), axes.flat, strict=False):
        drawn = _slice(axis, row.image[z], unit[z])
        axis.set_title(str(z), fontsize=6.5, pad=2)
    figure.colorbar(drawn, ax=axes, shrink=0.6, pad=0.01).set_label("share of the map's highest value")
    said = f"{row.kind}: true {row.true}, said {row.said}, {100 * row.confidence:.0f} %; all slices"
    _head(figure, f"{title}\n{said}", verdict, WRAP)
    return figure


@styled
def faithfulness_curves(tests: Faithfulness, title: str) -> Figure:
    """Draw the class's probability as parts are removed or put back, beside random maps."""
    figure, axes = new_figure(1, 2, 3.3, 2.9, sharey=True)
    shares = np.linspace(0, 1, len(tests.deletion_curve))
    for axis, name, curve, random, p in (
        (axes[0, 0], "deletion: lower is better", tests.deletion_curve, tests.random_deletion_curve, tests.deletion_p),
        (axes[0, 1], "insertion: higher is better", tests.insertion_curve, tests.random_insertion_curve,
         tests.insertion_p),
    ):  # fmt: skip
        axis.plot(shares, random, color=FAINT, linestyle="--", label="random maps, mean")
        axis.plot(shares, curve, color=colour_of(0), label=title)
        axis.set(title=f"{name} (p = {p:.2f})", xlabel="share of the image", xlim=(0, 1), ylim=(0, 1.02))
        axis.grid(axis="y")
    axes[0, 0].set_ylabel("probability of the class")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


@styled
def embedding(
    flat: Real, labels: NDArray[np.int64], correct: NDArray[np.bool_], names: Sequence[str], axes_names: Sequence[str]
) -> Figure:
    """Draw the penultimate layer in two dimensions: by class on the left, right and wrong answers on the right."""
    figure, axes = new_figure(1, 2, 3.7, 3.6, sharex=True, sharey=True)
    left, right = axes[0]
    size = 14 if len(flat) < 1000 else 6
    for c, name in enumerate(names):
        here = labels == c
        left.scatter(*flat[here].T, s=size, color=colour_of(c), marker=marker_of(c), alpha=0.7, linewidths=0,
                     label=short(name))  # fmt: skip
    right.scatter(*flat[correct].T, s=size, color=FAINT, alpha=0.5, linewidths=0, label="right")
    right.scatter(*flat[~correct].T, s=size, color=COLOURS[4], marker="X", alpha=0.9, linewidths=0, label="wrong")
    left.set(xlabel=axes_names[0], ylabel=axes_names[1])
    right.set(xlabel=axes_names[0])
    for axis in (left, right):
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, handletextpad=0.2)
    return figure


@styled
def neighbours(
    images: NDArray[np.uint8], titles: Sequence[str], training: NDArray[np.uint8], nearest: NDArray[np.int64],
    captions: Sequence[Sequence[str]],
) -> Figure:  # fmt: skip
    """Draw lines of an image and the training images with the most similar features."""
    figure, axes = new_figure(len(images), nearest.shape[1] + 1, 1.15, 1.45)
    for line, image, title, numbers, words in zip(axes, images, titles, nearest, captions, strict=True):
        for axis in line:
            _bare(axis)
        line[0].imshow(flat_image(image), cmap="gray", vmin=0, vmax=255)
        line[0].set_title(title, fontsize=6.5, pad=2)
        for axis, number, word in zip(line[1:], numbers, words, strict=True):
            axis.imshow(flat_image(training[number]), cmap="gray", vmin=0, vmax=255)
            axis.set_title(word, fontsize=6.5, pad=2)
    return figure


@styled
def panels(maps: Real, title: str, *, diverging: bool) -> Figure:
    """Draw filters or feature maps, (N, H, W), on one colour scale; diverging: 0 is white."""
    count = min(len(maps), MOST_PANELS)
    columns = min(count, 8)
    figure, axes = new_figure(-(-count // columns), columns, 0.95, 1.0)
    shown = maps[:count]
    most = float(np.abs(shown).max()) or 1.0
    scale: Any = {"cmap": "RdBu_r", "vmin": -most, "vmax": most} if diverging else {"cmap": "viridis", "vmin": 0}
    scale = scale if diverging else {**scale, "vmax": max(float(shown.max()), 1e-9)}
    drawn: Any = None
    for axis in axes.flat:
        _bare(axis)
    for axis, one in zip(axes.flat, shown, strict=False):
        drawn = axis.imshow(one, interpolation="nearest", **scale)
    figure.colorbar(drawn, ax=axes, shrink=0.8, pad=0.01)
    figure.suptitle(title, fontsize=8.5, x=0.01, ha="left")
    return figure
