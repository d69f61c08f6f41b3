"""Pictures of augmented images: `python -m analysis.plots_augmentation DATASET OUT.png`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from analysis.command_line import check_outputs, new_app, start
from analysis.terminal.plain_text import visible
from trainables.data.datasets import load
from trainables.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from trainables.data.arrays import Data

AUGMENTATIONS = (
    "none", "flips", "rotate:30", "scale:0.3", "translate:0.2", "crop:0.5", "jitter:0.5", "fade", "cutout:0.4",
    "mixup:1", "cutmix", "light", "strong",
)  # fmt: skip
DRAWS = 8
SUFFIXES = (".png", ".svg", ".pdf")
app = new_app()


def augmentation_grid(data: Data, augmentations: Sequence[str] = AUGMENTATIONS, row: int = 0, seed: int = 0) -> Figure:
    """Draw one training image and the next one of another class, four draws of each by every augmentation.

    They are one batch, so mixup and cutmix mix these two; where all are of one class the image stands for both. Of a 3D
    image the middle slice is shown.
    """
    from matplotlib.figure import Figure as NewFigure

    figure = NewFigure(figsize=(1.1 * DRAWS + 1.2, 1.1 * len(augmentations) + 0.4))
    figure.suptitle(f"{data.info.name}, {DRAWS} draws", fontsize=9)
    figure.subplots_adjust(left=0.13, right=0.99, bottom=0.01, top=1 - 0.4 / (len(augmentations) + 1), hspace=0.05)
    axes = figure.subplots(len(augmentations), DRAWS, squeeze=False)
    for line, augmentation in zip(axes, augmentations, strict=True):
        line[0].set_ylabel(augmentation, rotation=0, ha="right", va="center", fontsize=8)
        for axis, image in zip(line, drawn(data, augmentation, row, seed), strict=True):
            axis.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
    return figure


def drawn(data: Data, augmentation: str, row: int, seed: int) -> np.ndarray:
    """Return the draws (8, H, W, C) in [0, 1], half of them of the next image of another class.

    Cut-out parts are black.
    """
    import torch

    from trainables.data.augmentation import augment, strengths_of
    from trainables.data.mixing import cut_and_mix

    train = data.splits["train"]
    if not 0 <= row < len(train):
        raise InputError(f"row {row}: the training images have rows 0 to {len(train) - 1}")
    unlike = (train.labels != train.labels[row]).reshape(len(train), -1).any(axis=1)
    other = next(iter(np.flatnonzero(unlike)), row)
    rows = np.repeat([row, other], DRAWS // 2)
    images = torch.from_numpy(np.ascontiguousarray(train.images[rows])).movedim(-1, 1).float()
    strengths = strengths_of(augmentation)
    torch.manual_seed(seed)
    inputs, _ = cut_and_mix(
        augment(images, strengths) / 255, torch.from_numpy(train.labels[rows]), strengths, data.info.n_classes
    )
    shown = inputs.movedim(1, -1).clamp(0, 1).numpy()
    return shown[:, shown.shape[1] // 2] if data.info.is_3d else shown


@app.command()
def main(
    dataset: Annotated[str, typer.Argument(help="dataset name, or data of your own, such as npz:FILE (docs/data.md)")],
    out: Annotated[Path, typer.Argument(help="the PNG file to write")],
    image_size: Annotated[int | None, typer.Option(help="side of the images in px")] = None,
    data_root: Annotated[Path | None, typer.Option(help="folder of the data files")] = None,
    row: Annotated[int, typer.Option(help="row of the training image")] = 0,
    seed: Annotated[int, typer.Option(help="seed of the draws")] = 0,
) -> None:
    """Draw one training image eight times by each augmentation."""
    if out.suffix not in SUFFIXES:
        raise InputError(f"{out}: name a file that ends with {', '.join(SUFFIXES)}")
    check_outputs([out])
    figure = augmentation_grid(load(dataset, image_size, data_root), row=row, seed=seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=100)
    print(visible(out))


if __name__ == "__main__":
    start(app)
