"""Augmentation: geometry against scipy, colour against torchvision, a draw for each image, and never on val or test."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2 import functional as theirs
from typer.testing import CliRunner

from analysis.plots_augmentation import app, augmentation_grid, drawn
from trainables.config import make_config
from trainables.data import batches as batches_module
from trainables.data.arrays import MULTI_LABEL, SPLITS, Data, Task, make_data
from trainables.data.augmentation import (
    AUGMENTATIONS,
    OPERATIONS,
    affine,
    augment,
    flipped,
    jittered,
    resampled,
    sampling_grid,
    strengths_of,
)
from trainables.data.batches import DeviceSplit, to_device, training_batches
from trainables.data.normalization import normalization_of
from trainables.errors import InputError
from trainables.training.loop import start, train

CPU = torch.device("cpu")
SHAPES = {"grey": (12, 12, 1), "RGB": (12, 12, 3), "3D": (8, 8, 8, 1)}


def _data(shape: tuple[int, ...], n: int = 24, task: Task = "multi-class") -> Data:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (n, 3)) if task == MULTI_LABEL else np.arange(n) % 3
    splits = {split: (rng.integers(0, 256, (n, *shape), np.uint8), labels) for split in SPLITS}
    return make_data("made", task, ("a", "b", "c"), splits)


def _train_split(data: Data, normalization: str = "none") -> DeviceSplit:
    return to_device(data, normalization_of(normalization, data), CPU)["train"]


def _images(kind: str, n: int = 6) -> Tensor:
    *space, channels = SHAPES[kind]
    return torch.rand(n, channels, *space, generator=torch.Generator().manual_seed(0)) * 255


def _by_scipy(image: np.ndarray, turn: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """The image (D, H, W) or (H, W) whose pixel at x shows what stood at turn @ x + shift, in half sides, x first."""
    centres = [(np.arange(n) * 2 + 1) / n - 1 for n in image.shape]
    grid = np.stack(np.meshgrid(*centres, indexing="ij")[::-1]).reshape(image.ndim, -1)
    places = (turn @ grid + shift[:, None])[::-1]
    pixels = [((place + 1) * n - 1) / 2 for place, n in zip(places, image.shape, strict=True)]
    return np.asarray(map_coordinates(image, pixels, order=1, mode="nearest").reshape(image.shape))


@pytest.mark.parametrize("kind", SHAPES)
def test_moves_equal_scipy(kind: str) -> None:
    images, rng = _images(kind), np.random.default_rng(1)
    axes = images.ndim - 2
    angles = torch.tensor(rng.uniform(-3, 3, (len(images), 1 if axes == 2 else 3)), dtype=torch.float32)
    mirrored = torch.tensor(rng.random((len(images), axes)) < 0.5)
    zoom = torch.tensor(rng.uniform(0.6, 1.5, len(images)), dtype=torch.float32)
    shift = torch.tensor(rng.uniform(-0.6, 0.6, (len(images), axes)), dtype=torch.float32)
    moved = resampled(images, affine(mirrored, angles, zoom, shift)).numpy()
    for i, image in enumerate(images.double().numpy()):
        a = angles[i].double().numpy()
        if axes == 2:
            turn = np.array([[math.cos(a[0]), -math.sin(a[0])], [math.sin(a[0]), math.cos(a[0])]])
        else:  # turns in the planes xy, xz, yz: about z, about -y, about x
            turn = Rotation.from_euler("zyx", [a[0], -a[1], a[2]]).as_matrix()
        turn = turn / float(zoom[i]) @ np.diag(np.where(mirrored[i].numpy(), -1.0, 1.0))
        for channel in range(image.shape[0]):
            expected = _by_scipy(image[channel], turn, shift[i].double().numpy())
            assert moved[i, channel] == pytest.approx(expected, abs=0.02)  # of 255, in float32


@pytest.mark.parametrize("kind", SHAPES)
def test_places_equal_affine_grid(kind: str) -> None:
    images = _images(kind)
    axes = images.ndim - 2
    matrices = torch.randn(len(images), axes, axes + 1)
    expected = functional.affine_grid(matrices, list(images.shape), align_corners=False)
    assert torch.allclose(sampling_grid(matrices, images.shape[2:]), expected, atol=1e-5)


@pytest.mark.parametrize("kind", SHAPES)
def test_flips_are_exact_and_each_image_has_its_own(kind: str) -> None:
    images = _images(kind, n=2)
    mirrored = torch.zeros(2, images.ndim - 2, dtype=torch.bool)
    mirrored[1] = True
    found = flipped(images, mirrored)
    assert torch.equal(found[0], images[0])
    assert torch.equal(found[1], images[1].flip(tuple(range(1, images.ndim - 1))))
    torch.manual_seed(0)
    many = augment(images[:1].expand(400, *images.shape[1:]), {"flip": 0.5})
    same = (many == images[0]).flatten(1).all(dim=1)
    assert torch.equal(many[~same][0], images[0].flip(-1))
    assert int(same.sum()) == pytest.approx(200, abs=40)  # four standard deviations


def test_jitter_equals_torchvision() -> None:
    for kind in ("grey", "RGB"):
        images, rng = _images(kind), np.random.default_rng(2)
        factors = torch.tensor(rng.uniform(0.5, 1.5, (3, len(images), 1, 1, 1)), dtype=torch.float32)
        found = jittered(images, *factors)
        for i, image in enumerate(images / 255):
            expected = theirs.adjust_brightness(image, float(factors[0, i]))
            expected = theirs.adjust_contrast(expected, float(factors[1, i]))
            if kind == "RGB":
                expected = theirs.adjust_saturation(expected, float(factors[2, i]))
            assert torch.allclose(found[i] / 255, expected, atol=2e-4)


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("name", [*OPERATIONS, "light", "strong", "mri"])
def test_every_operation_draws_for_each_image_and_from_the_seed(name: str, kind: str) -> None:
    """Equal images go in; what comes out differs, and comes out again from the same seed only."""
    data = _data(SHAPES[kind])
    for split in data.splits.values():
        split.images[1:] = split.images[0]
    data.splits["train"].images[12:] //= 2  # so that there is something to mix
    split = _train_split(data, "dataset")
    config = make_config({"augmentation": name, "batch_size": 24})

    def batch(seed: int) -> Tensor:
        torch.manual_seed(seed)
        ((inputs, _),) = training_batches(split, config, data.info, torch.Generator().manual_seed(0))
        return inputs

    first = batch(0)
    assert len(torch.unique(first.flatten(1), dim=0)) > 2, "more different images than went in"
    assert torch.equal(first, batch(0))
    assert not torch.equal(first, batch(1))
    assert first.shape == (24, SHAPES[kind][-1], *SHAPES[kind][:-1])
    assert first.movedim(1, -1).is_contiguous(), "channels last in memory"


@pytest.mark.parametrize(
    ("name", "low", "high"), [("rotate:30", 0.0, 30.0), ("scale:0.2", 0.8, 1.2), ("crop:0.5", 1.0, 2.0)]
)
def test_draws_fill_their_range(name: str, low: float, high: float, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []

    def keep(images: Tensor, matrices: Tensor) -> Tensor:
        seen.append(matrices)
        return images

    monkeypatch.setattr("trainables.data.augmentation.resampled", keep)
    augment(_images("grey", n=1).expand(2000, -1, -1, -1), strengths_of(name))
    (matrices,) = seen
    zoom = 1 / matrices[:, :, :2].det().sqrt()
    angle = torch.atan2(matrices[:, 1, 0], matrices[:, 0, 0]).rad2deg().abs()
    drawn = angle if name.startswith("rotate") else zoom
    assert low - 1e-3 <= float(drawn.min()) < low + 0.05 * (high - low)
    assert high - 0.1 * (high - low) < float(drawn.max()) <= high + 1e-3
    reach = matrices[:, :, 2].abs() + (1 / zoom)[:, None]
    assert not name.startswith("crop") or float(reach.max()) <= 1 + 1e-6, "a crop lies inside the image"


def test_translation_moves_by_its_share() -> None:
    """An image whose brightness grows from left to right shows by its mean how far it was moved."""
    ramp = torch.linspace(0, 1, 101).expand(500, 1, 101, 101) * 100
    found = augment(ramp, {"translate": 0.1})[:, 0, 50, 50] - 50
    assert float(found.abs().max()) == pytest.approx(10, abs=0.3)
    assert float(found.std()) == pytest.approx(20 / math.sqrt(12), rel=0.1)


def test_shape_preset_scales_voxels_as_published() -> None:
    data = _data(SHAPES["3D"], n=300)
    data.splits["train"].images[...] = 255
    split = _train_split(data, "times_half")
    config = make_config({"augmentation": "shape", "normalization": "times_half", "batch_size": 300})
    ((inputs, _),) = training_batches(split, config, data.info, torch.Generator())
    factors = inputs.flatten(1)
    assert torch.equal(factors.min(dim=1).values, factors.max(dim=1).values), "one factor for each image"
    assert 0 <= float(factors.min()) < 0.03
    assert 0.97 < float(factors.max()) <= 1
    (evaluated, _), *_ = batches_module.batches(split, 300)
    assert float(evaluated.max()) == 0.5


@pytest.mark.parametrize("task", ["multi-class", MULTI_LABEL])
@pytest.mark.parametrize("kind", SHAPES)
def test_training_augments_train_alone_and_repeats_from_the_seed(
    kind: str, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    augmented = 0

    def counted(images: Tensor, strengths: dict[str, float]) -> Tensor:
        nonlocal augmented
        augmented += len(images)
        return augment(images, strengths)

    monkeypatch.setattr(batches_module, "augment", counted)
    data = _data(SHAPES[kind], task=task)
    splits = to_device(data, normalization_of("dataset", data), CPU)
    before = {name: split.images.clone() for name, split in splits.items()}

    def losses(seed: int, augmentation: str) -> list[float]:
        config = make_config(
            {"model": "mlp", "hidden_dims": (8,), "epochs": 2, "batch_size": 8, "augmentation": augmentation}
        )
        states = train(config, data.info, splits, start(config, seed, data.info, CPU))
        return [metrics.quality[split].loss for metrics in states for split in SPLITS]

    name = "strong+mixup+cutmix"
    first = losses(0, name)
    assert augmented == 2 * 24, "each training image once an epoch, and none of val or test"
    assert first == losses(0, name)
    assert first != losses(1, name)
    assert first != losses(0, "none")
    assert augmented == 3 * 2 * 24
    assert all(torch.equal(split.images, before[split_name]) for split_name, split in splits.items())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", {}),
        ("flip", {"flip": 0.5}),
        ("rotate:20+cutout", {"rotate": 20.0, "cutout": 0.25}),
        ("mri+rotate:45", {"flip": 0.5, "rotate": 45.0, "jitter": 0.2}),
        ("none+mixup:1", {"mixup": 1.0}),
    ],
)
def test_grammar(text: str, expected: dict[str, float]) -> None:
    assert strengths_of(text) == expected


@pytest.mark.parametrize(
    "text", ["", "rotated", "rotate:", "rotate:-3", "rotate:nan", "flip:1.5", "light:2", "flip++mri"]
)
def test_grammar_refuses(text: str) -> None:
    with pytest.raises(InputError) as error:
        strengths_of(text)
    assert "\n" not in str(error.value)


def test_presets_are_made_of_operations() -> None:
    for name in AUGMENTATIONS:
        assert set(strengths_of(name)) <= set(OPERATIONS)
    assert set(strengths_of("light")) < set(strengths_of("strong")) | {"flip"}


@pytest.mark.parametrize("kind", SHAPES)
def test_grid_of_drawn_images(kind: str, tmp_path: Path) -> None:
    data = _data(SHAPES[kind])
    train = data.splits["train"]
    shown = drawn(data, "none", row=0, seed=0)
    own, other = (train.images[row] for row in (0, 1))
    middle = SHAPES[kind][0] // 2
    for i, image in enumerate([own] * 4 + [other] * 4):
        expected = image[middle] if kind == "3D" else image
        assert shown[i] == pytest.approx(expected / 255, abs=1e-6)
    path = tmp_path / "grid.png"
    augmentation_grid(data).savefig(path)
    with Image.open(path) as picture:
        assert len(np.unique(np.asarray(picture.convert("L")))) > 100


def test_the_command_draws_into_a_new_folder_and_refuses_in_one_line(tmp_path: Path) -> None:
    for words, said in (
        (["digits", str(tmp_path / "new" / "x.html")], "ends with .png"),
        (
            ["digits", str(tmp_path / "new" / "x.png"), "--row", "99999"],
            "row 99999: the training images have rows 0 to",
        ),
        (["digits", str(tmp_path)], "ends with .png"),
        (["nosuch", str(tmp_path / "new" / "x.png")], "unknown dataset 'nosuch'"),
    ):
        refused = CliRunner().invoke(app, words)
        assert isinstance(refused.exception, InputError)
        assert said in str(refused.exception)
        assert not list(tmp_path.iterdir())
    assert CliRunner().invoke(app, ["digits", str(tmp_path / "new" / "x.png")]).exit_code == 0
    assert (tmp_path / "new" / "x.png").read_bytes().startswith(b"\x89PNG")
