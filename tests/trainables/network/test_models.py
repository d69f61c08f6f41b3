"""The models against torchvision, timm and published figures; every one is trained."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision import models
from torchvision.models import get_weight
from torchvision.models.video import r3d_18

from trainables.config import make_config
from trainables.data.arrays import DataInfo
from trainables.data.batches import DeviceSplit, batches
from trainables.data.datasets import load
from trainables.errors import InputError, pip_install
from trainables.layers.activations import hidden_activations
from trainables.models import MODELS
from trainables.models._convolutions import ACSConv3d
from trainables.network.build import build_model
from trainables.network.model_size import ActivationSize, activation_size, model_size, model_sizes
from trainables.training.loop import TrainingState, start, train

NAMES_3D = ("cnn3d", "one_conv3d", "resnet18_3d", "resnet50_3d")
BOTH = ("mlp", "patch_cnn")
NAMES_2D = tuple(name for name in MODELS if name not in (*NAMES_3D, *BOTH))
torch.set_num_threads(1)
TIMM = ("xception", "efficientnet_lite0", "medical_cnn")


def dataset(side: int, channels: int = 3, classes: int = 1000, dims: int = 2) -> DataInfo:
    return DataInfo("made", "multi-class", tuple(map(str, range(classes))), (side,) * dims + (channels,))


def built(model: str, info: DataInfo, **options: object) -> nn.Module:
    torch.manual_seed(0)
    return build_model(make_config({"model": model, "transfer": "scratch", **options}), info).eval()


def on_meta(model: str, info: DataInfo, **options: object) -> nn.Module:
    with torch.device("meta"):
        return built(model, info, **options)


def dims_of(model: str) -> int:
    return 3 if model in NAMES_3D else 2


@dataclass(frozen=True)
class Published:
    """Parameters and multiply-accumulates (1e9) at 1000 classes, and where they are published."""

    side: int
    parameters: int
    macs: float
    weights: str = ""  # torchvision's entry that states both


PUBLISHED = {
    "resnet18": Published(224, 11_689_512, 1.814, "ResNet18_Weights.IMAGENET1K_V1"),
    "resnet34": Published(224, 21_797_672, 3.664, "ResNet34_Weights.IMAGENET1K_V1"),
    "resnet50": Published(224, 25_557_032, 4.089, "ResNet50_Weights.IMAGENET1K_V1"),
    "densenet121": Published(224, 7_978_856, 2.834, "DenseNet121_Weights.IMAGENET1K_V1"),
    "efficientnet_b0": Published(224, 5_288_548, 0.386, "EfficientNet_B0_Weights.IMAGENET1K_V1"),
    "swin_t": Published(224, 28_288_354, 4.491, "Swin_T_Weights.IMAGENET1K_V1"),
    "swin_s": Published(224, 49_606_258, 8.741, "Swin_S_Weights.IMAGENET1K_V1"),
    "vit_b_16": Published(224, 86_567_656, 17.564, "ViT_B_16_Weights.IMAGENET1K_V1"),
    "xception": Published(299, 22_855_952, 8.40),  # timm's results: 22.86 M, 8.40 G at 299
    "efficientnet_lite0": Published(224, 4_652_008, 0.40),  # TensorFlow's model card: 4.7 M, 407 M at 224
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_size_is_the_published_one(name: str) -> None:
    if name in TIMM:
        pytest.importorskip("timm")
    published = PUBLISHED[name]
    size = model_size(make_config({"model": name}), dataset(published.side))
    assert size.parameters == size.trained == published.parameters
    if published.weights:
        meta = get_weight(published.weights).meta
        assert size.parameters == meta["num_params"]
        assert size.macs / 1e9 == pytest.approx(meta["_ops"], abs=6e-4)
    assert size.macs / 1e9 == pytest.approx(published.macs, rel=0.04)


def test_every_model_has_its_size_for_the_images_or_says_why_not() -> None:
    pytest.importorskip("timm")
    sizes = model_sizes(28, 1, 10)
    assert list(sizes) == list(MODELS)
    shape = {name: (28,) * dims_of(name) + (1,) for name in MODELS}
    for name in ("mlp", "cnn", "cnn3d", "resnet18_3d"):
        info = DataInfo("made", "multi-class", tuple("0123456789"), shape[name])
        model = built(name, info)
        assert sizes[name].parameters == sum(p.numel() for p in model.parameters())  # type: ignore[union-attr]
    assert "study_cnn' needs images of at least 16 px" in str(model_sizes(8)["study_cnn"])


@pytest.mark.parametrize(("blocks", "millions"), [(3, 0.27), (5, 0.46), (7, 0.66), (9, 0.85), (18, 1.7)])
def test_resnet_of_any_depth_has_the_papers_size(blocks: int, millions: float) -> None:
    """He et al. 2016, table 6: ResNet-20, -32, -44, -56, -110 on CIFAR-10, whose shortcuts have no parameters."""
    model = on_meta("resnet", dataset(32, classes=10), blocks=blocks)
    parameters = sum(p.numel() for name, p in model.named_parameters() if "downsample" not in name)
    assert round(parameters / 1e6, 1 if blocks == 18 else 2) == millions
    layers = [n for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear) and "downsample" not in n]
    assert len(layers) == 6 * blocks + 2


def test_small_stem_is_the_one_of_medmnists_baseline() -> None:
    """11,173,962: ResNet-18 for CIFAR-10 with a 3×3 stem, which MedMNIST's baseline at 28 px is."""
    size = model_size(make_config({"model": "resnet18"}), dataset(28, classes=10))
    assert size.parameters == 11_173_962
    model = on_meta("resnet18", dataset(28))
    shapes: list[tuple[int, ...]] = []
    for stage in range(1, 5):
        model.get_submodule(f"layer{stage}").register_forward_hook(lambda m, i, o: shapes.append(tuple(o.shape[1:])))
    model(torch.zeros(1, 3, 28, 28, device="meta"))
    assert shapes == [(64, 28, 28), (128, 14, 14), (256, 7, 7), (512, 4, 4)]


@pytest.mark.parametrize(("side", "stem"), [(28, "small"), (63, "small"), (64, "imagenet"), (224, "imagenet")])
def test_stem_follows_the_image_size(side: int, stem: str) -> None:
    assert repr(on_meta("resnet18", dataset(side))) == repr(on_meta("resnet18", dataset(side), stem=stem))


def test_plain_network_is_a_chain() -> None:
    info = dataset(16, classes=10)
    model = built("resnet", info, skips=False, blocks=2)
    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU)
    chain = nn.Sequential(*(m for m in model.modules() if isinstance(m, kinds)))
    x = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(model.get_submodule("fc")(chain(x).mean((2, 3))), model(x))


def test_study_cnn_has_the_studys_layers() -> None:
    model = on_meta("study_cnn", dataset(28, channels=3, classes=9))
    shapes = [tuple(m.weight.shape) for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert shapes == [
        (16, 3, 3, 3), (16, 16, 3, 3), (64, 16, 3, 3), (64, 64, 3, 3), (64, 64, 3, 3),
        (128, 64 * 4 * 4), (128, 128), (9, 128),
    ]  # fmt: skip


def test_vgg16_and_medical_cnn_have_the_known_parts() -> None:
    """VGG-16 without its top has 14,714,688 parameters (Keras, `include_top=False`); the small head has 0.2 million."""
    vgg = on_meta("vgg16", dataset(224))
    assert sum(p.numel() for p in vgg.get_submodule("features").parameters()) == 14_714_688
    pytest.importorskip("timm")
    size = model_size(make_config({"model": "medical_cnn"}), dataset(224, classes=3))
    assert size.trained == 1280 * 160 + 160 + 160 * 3 + 3
    assert size.parameters == 4_652_008 - 1281 * 1000 + size.trained


def _torchvision(name: str, classes: int, **options: object) -> Any:
    return getattr(models, name)(weights=None, num_classes=classes, **options)


def _timm(name: str, classes: int) -> Any:
    return pytest.importorskip("timm").create_model(name, num_classes=classes)


TORCHVISION = ("resnet18", "resnet34", "resnet50", "densenet121", "efficientnet_b0", "swin_t", "swin_s")
LIBRARY: dict[str, Callable[[int, int], Any]] = {  # of the side of the images and the number of classes
    **{name: lambda side, classes, name=name: _torchvision(name, classes) for name in TORCHVISION},
    "vit_b_16": lambda side, classes: _torchvision("vit_b_16", classes, image_size=side),
    "xception": lambda side, classes: _timm("legacy_xception", classes),
    "efficientnet_lite0": lambda side, classes: _timm("tf_efficientnet_lite0", classes),
}


@pytest.mark.parametrize("name", [name for name in LIBRARY if name not in ("resnet34", "swin_s")])
def test_logits_equal_the_librarys(name: str) -> None:
    """The same weights give the same logits, though the activations were replaced."""
    ours = built(name, dataset(32, classes=10), **({"stem": "imagenet"} if "stem" in MODELS[name].OPTIONS else {}))
    with torch.device("meta"):
        theirs = LIBRARY[name](32, 10).eval()
    theirs.load_state_dict(ours.state_dict(), strict=True, assign=True)
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)


def test_vgg16s_features_equal_torchvisions() -> None:
    ours = built("vgg16", dataset(32)).get_submodule("features")
    with torch.device("meta"):
        theirs = _torchvision("vgg16", 10).features
    theirs.load_state_dict(ours.state_dict(), strict=True, assign=True)
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x))


class Calls(TorchDispatchMode):
    """Counts the operations that run, whoever calls them."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.counts[func.overloadpacket.__name__.rstrip("_")] += 1
        return func(*args, **(kwargs or {}))


ACTIVATION_OPERATIONS = (
    "relu",
    "gelu",
    "silu",
    "hardtanh",
    "elu",
    "leaky_relu",
    "tanh",
    "hardswish",
    "clamp",
    "clamp_min",
)


def calls(model: nn.Module, *shape: int) -> Counter[str]:
    with Calls() as seen, torch.no_grad():
        model(torch.zeros(1, *shape, device="meta"))
    return seen.counts


@pytest.mark.parametrize("name", MODELS)
def test_activation_is_replaced_everywhere(name: str) -> None:
    """With a sine, no operation of another activation runs; a sine runs where the library's model has its own."""
    if name in TIMM:
        pytest.importorskip("timm")
    side = 32 if name in NAMES_3D else 64
    info = dataset(side, dims=dims_of(name))
    model = on_meta(name, info, activation="sine")
    seen = calls(model, 3, *info.shape[:-1])
    assert not {operation: n for operation in ACTIVATION_OPERATIONS if (n := seen[operation])}
    assert seen["sin"] == len(list(hidden_activations(model))) > 0
    if name in LIBRARY:
        with torch.device("meta"):
            library = calls(LIBRARY[name](64, 1000).eval(), 3, 64, 64)
        assert seen["sin"] == sum(library[operation] for operation in ACTIVATION_OPERATIONS)
        assert (seen["sigmoid"], seen["_softmax"]) == (library["sigmoid"], library["_softmax"])  # gates, attention


def test_a_model_that_ignores_the_activation_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the values of a comparison would all be the same network."""
    plain = SimpleNamespace(OPTIONS=(), build=lambda config, info: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
    monkeypatch.setitem(MODELS, "plain", plain)  # type: ignore[arg-type]
    info = dataset(8, 1, 10)
    assert isinstance(build_model(make_config({"model": "plain"}), info), nn.Module)
    with pytest.raises(InputError, match="activation=tanh has no effect on model 'plain': its file must build"):
        build_model(make_config({"model": "plain", "activation": "tanh"}), info)


@pytest.mark.parametrize("name", MODELS)
def test_learned_activations_are_not_shared(name: str) -> None:
    if name in TIMM:
        pytest.importorskip("timm")
    info = dataset(16, dims=dims_of(name))
    plain, learned = (on_meta(name, info, activation=activation) for activation in ("relu", "prelu"))
    extra = sum(p.numel() for p in learned.parameters()) - sum(p.numel() for p in plain.parameters())
    assert extra == len(list(hidden_activations(plain)))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("side", "channels"), [(16, 1), (28, 3)])
def test_takes_grey_and_rgb_of_many_sizes(name: str, side: int, channels: int) -> None:
    if name in TIMM:
        pytest.importorskip("timm")
    info = dataset(side, channels, classes=5, dims=dims_of(name))
    logits = on_meta(name, info)(torch.zeros(2, channels, *info.shape[:-1], device="meta"))
    assert logits.shape == (2, 5)


@pytest.mark.parametrize(
    ("name", "least", "options"),
    [
        ("study_cnn", 16, {}),
        ("xception", 7, {}),
        ("swin_t", 4, {}),
        ("densenet121", 8, {}),
        ("densenet121", 29, {"stem": "imagenet"}),
    ],
)
def test_least_side(name: str, least: int, options: dict[str, str]) -> None:
    if name in TIMM:
        pytest.importorskip("timm")
    x = torch.zeros(1, 3, least, least, device="meta")
    assert on_meta(name, dataset(least), **options)(x).shape == (1, 1000)
    with pytest.raises(InputError, match=f"at least {least} px, made has {least - 1}: choose a larger image_size"):
        on_meta(name, dataset(least - 1), **options)


@pytest.mark.parametrize("name", NAMES_2D)
def test_2d_models_refuse_volumes(name: str) -> None:
    with pytest.raises(InputError, match=f"model '{name}' takes 2D images, made is 3D: choose a 3D model"):
        on_meta(name, dataset(28, dims=3))


@pytest.mark.parametrize("name", NAMES_3D)
def test_3d_models_refuse_flat_images(name: str) -> None:
    with pytest.raises(InputError, match=f"model '{name}' takes 3D images, made is 2D: choose a 2D model"):
        on_meta(name, dataset(28))


OPTION_VALUES: dict[str, object] = {
    "hidden_dims": (7,), "width": 8, "depth": 2, "blocks": 2, "skips": False, "stem": "imagenet", "conv3d": "acs",
    "dropout": 0.4,
}  # fmt: skip


@pytest.mark.parametrize(("name", "option"), [(name, o) for name, module in MODELS.items() for o in module.OPTIONS])
def test_every_option_changes_the_model(name: str, option: str) -> None:
    if name in TIMM:
        pytest.importorskip("timm")
    info = dataset(32, dims=dims_of(name))
    value = OPTION_VALUES[option]
    if (name, option) == ("patch_cnn", "depth"):
        value = 3
    plain, changed = on_meta(name, info), on_meta(name, info, **{option: value})
    assert (repr(plain), getattr(plain, "drop_rate", 0)) != (repr(changed), getattr(changed, "drop_rate", 0))


def test_missing_timm_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=re.escape(f"needs the package timm: {pip_install('timm')}")):
        on_meta("xception", dataset(32))


def test_importing_the_models_is_light() -> None:
    code = "import sys, trainables.models; print([m for m in ('torchvision', 'timm', 'ray') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# convolutions of volumes


def test_3d_layers_have_as_many_parameters_as_torchvisions_video_resnet() -> None:
    with torch.device("meta"):
        theirs = r3d_18()
    ours = on_meta("resnet18_3d", dataset(32, dims=3))
    for layer in ("layer1", "layer2", "layer3", "layer4"):
        counts = [sum(p.numel() for p in model.get_submodule(layer).parameters()) for model in (ours, theirs)]
        assert counts[0] == counts[1]


@pytest.mark.parametrize("conv3d", ["2.5d", "acs"])
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_flat_kernels_have_the_2d_networks_parameters(name: str, conv3d: str) -> None:
    size = model_size(make_config({"model": f"{name}_3d", "conv3d": conv3d}), dataset(28, dims=3))
    assert size.parameters == model_size(make_config({"model": name}), dataset(28)).parameters


@pytest.mark.parametrize("stem", ["small", "imagenet"])
def test_a_25d_network_is_the_mean_of_the_2d_network_over_slices(stem: str) -> None:
    flat = built("resnet18", dataset(8, 1, 3), stem=stem)
    volume = built("resnet18_3d", dataset(8, 1, 3, dims=3), stem=stem, conv3d="2.5d")
    weights = {n: t.unsqueeze(2) if t.dim() == 4 else t for n, t in flat.state_dict().items()}
    volume.load_state_dict(weights, strict=True)
    x = torch.rand(1, 1, 5, 8, 8)
    with torch.no_grad():
        by_slice = torch.stack([flat(x[:, :, i]) for i in range(5)]).mean(0)
        torch.testing.assert_close(volume(x), by_slice, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("out", "kernel", "stride"), [(6, 3, 1), (7, 3, 2), (8, 7, 2), (5, 1, 1), (5, 1, 2)])
def test_acs_convolution_is_three_sets_of_slice_convolutions(out: int, kernel: int, stride: int) -> None:
    """By brute force: each slice along each axis goes through torch's 2D convolution."""
    torch.manual_seed(0)
    layer = ACSConv3d(2, out, kernel, stride)
    x = torch.rand(1, 2, 8, 8, 8)
    sizes = [len(part) for part in np.array_split(np.arange(out), 3)]
    expected = []
    for axis, kernels in enumerate(layer.weight[:, :, 0].split(sizes), start=2):
        slices = [nn.functional.conv2d(s, kernels, None, stride, kernel // 2) for s in x.unbind(axis)[::stride]]
        expected.append(torch.stack(slices, axis))
    torch.testing.assert_close(layer(x), torch.cat(expected, 1))


@pytest.mark.parametrize("conv3d", ["3d", "2.5d", "acs"])
def test_every_slice_counts(conv3d: str) -> None:
    model = built("resnet18_3d", dataset(12, 1, 2, dims=3), stem="imagenet", conv3d=conv3d)
    x = torch.rand(1, 1, 12, 12, 12, requires_grad=True)
    (gradient,) = torch.autograd.grad(model(x)[0, 0], x)
    assert (gradient.abs().amax((0, 1, 3, 4)) > 0).all()


# memory


def test_activation_sizes_are_those_of_the_layers() -> None:
    """By hand: a convolution (1, 8, 8) to (4, 8, 8), its activation, a pool to (4, 4, 4), 10 logits of 64 values."""
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 10))
    found = activation_size(model, torch.zeros(1, 1, 8, 8))
    assert found == ActivationSize(kept=256 + 256 + 64 + 64 + 10, largest=256 + 256)


# classifiers


@pytest.mark.parametrize("name", MODELS)
def test_untrained_classifier_is_drawn_as_a_linear_layer_is(name: str) -> None:
    """No weight beyond ±1/sqrt(inputs), a deviation of 0.02 in a Swin transformer: the loss begins near chance."""
    if name in TIMM:
        pytest.importorskip("timm")
    dims = dims_of(name)
    info = dataset(16 if dims == 3 else 32, 1, 3, dims)
    model = built(name, info)
    head = [module for module in model.modules() if isinstance(module, nn.Linear | nn.Conv3d)][-1]
    inputs = head.weight[0].numel()
    if name.startswith("swin"):
        assert float(head.weight.detach().std()) == pytest.approx(0.02, rel=0.1)
    else:
        assert float(head.weight.detach().abs().max()) <= inputs**-0.5
    if name != "resnet50_3d":  # MedMNIST's own, whose random BatchNorms spread what comes in
        logits = model.train()(torch.randn(16, *(1, *(info.shape[:-1]))))
        chance = float(nn.functional.cross_entropy(logits.detach(), torch.arange(16) % 3))
        assert chance < 1.6, "nats; chance is 1.10, and EfficientNet's own classifiers began at 9"


# training


@dataclass(frozen=True)
class Fit:
    """How a model learns a few images by heart: rate and options, number of images, steps at most.

    Over seeds 0 to 3 each needs less than half of its steps, so that no processor or thread count decides.
    """

    lr: float = 1e-3
    images: int = 32
    steps: int = 80
    side: int = 8
    options: tuple[tuple[str, object], ...] = ()


# Fewer than 32 images where the network is large: each of these learned 32 by heart too, in up to 41 steps, but that
# takes a minute. one_conv3d cannot: one convolution, averaged over the volume, is too little to tell 32 volumes apart.
FITS = {
    "patch_cnn": Fit(lr=1e-2),
    "study_cnn": Fit(side=16),
    "vgg16": Fit(lr=3e-4, images=4, side=32, options=(("dropout", 0.0),)),
    "swin_t": Fit(lr=3e-4, images=16),
    "swin_s": Fit(lr=3e-4, images=4),
    "vit_b_16": Fit(lr=1e-4, images=8),
    "one_conv3d": Fit(lr=0.1, images=8, steps=300),
    "resnet18_3d": Fit(options=(("stem", "imagenet"),)),
    "resnet50_3d": Fit(images=8, options=(("stem", "imagenet"), ("conv3d", "acs"))),
}
SLOW = ("efficientnet_b0", "vgg16", "swin_t", "swin_s", "vit_b_16", "densenet121")


def _digits(fit: Fit) -> tuple[np.ndarray, np.ndarray, int]:
    split = load("digits").splits["train"]
    scale = fit.side // 8
    images = split.images[: fit.images].repeat(scale, axis=1).repeat(scale, axis=2)
    return images, split.labels[: fit.images], 10


def _volumes(fit: Fit, data_root: Path) -> tuple[np.ndarray, np.ndarray, int]:
    """Every second voxel of real adrenal glands, as many of each class."""
    path = data_root / "medmnist" / "adrenalmnist3d.npz"
    if not path.is_file():
        pytest.skip(f"no {path.name}")
    with np.load(path) as arrays:
        images, labels = arrays["train_images"], arrays["train_labels"][:, 0].astype(np.int64)
    rows = np.concatenate([np.flatnonzero(labels == label)[: fit.images // 2] for label in (0, 1)])
    return images[rows, ::2, ::2, ::2, None].copy(), labels[rows], 2


def _split(images: np.ndarray, labels: np.ndarray) -> DeviceSplit:
    channels = images.shape[-1]
    scale, shift = torch.full((channels,), 1 / 127.5), torch.full((channels,), -1.0)
    return DeviceSplit(torch.from_numpy(images), torch.from_numpy(labels), scale, shift)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in MODELS])
def test_trains_two_epochs_and_learns_images_by_heart(name: str, request: pytest.FixtureRequest) -> None:
    if name in TIMM:
        pytest.importorskip("timm")
    fit = FITS.get(name, Fit())
    is_3d = name in NAMES_3D
    images, labels, classes = _volumes(fit, request.getfixturevalue("data_root")) if is_3d else _digits(fit)
    info = DataInfo("few", "multi-class", tuple(map(str, range(classes))), images.shape[1:])
    config = make_config(
        {"model": name, "transfer": "scratch", "optimizer": "adam", "lr": fit.lr, "epochs": 2, "schedule": "constant",
         "batch_size": fit.images, **dict(fit.options)}
    )  # fmt: skip
    everything, few = _split(images, labels), _split(images[-2:], labels[-2:])
    state = start(config, 0, info, torch.device("cpu"))
    epochs = list(train(config, info, {"train": everything, "val": few, "test": few}, state))
    assert [metrics.epoch for metrics in epochs] == [1, 2]
    assert all(metrics.finite for metrics in epochs)
    known = _steps_until_known(state, everything, fit)
    assert known < fit.steps, f"{name} knows {fit.images} images after more than {fit.steps} steps: see FITS"


def _steps_until_known(state: TrainingState, split: DeviceSplit, fit: Fit) -> int:
    """Steps until every image is classified rightly, in training mode."""
    state.learner.train()
    (inputs, labels), *_ = batches(split, fit.images)
    for step in range(fit.steps):
        logits: Tensor = state.learner(inputs)
        if bool((logits.argmax(1) == labels).all()):
            return step
        state.optimizer.zero_grad()
        nn.functional.cross_entropy(logits, labels).backward()  # type: ignore[no-untyped-call]
        state.optimizer.step()
    return fit.steps
