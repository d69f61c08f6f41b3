"""Settings of a trial that do not go together, or that have no effect. Reads no code of a user's."""

from __future__ import annotations

from typing import Any

from trainables.registries import registry
from trainables.user_code.part_names import OWN_ACTIVATION, field_of, is_own

# `trainables.config.TrialConfig`, which imports this file.
TrialConfig = Any
MODEL_OPTIONS = ("hidden_dims", "width", "depth", "blocks", "skips", "stem", "conv3d", "dropout")


def check_settings(config: TrialConfig) -> None:
    """Raise `ValueError` of one line for the first setting that has no effect or that does not go with another."""
    for check in (
        _arguments_have_a_part, _transfer_uses_its_options, _loss_uses_its_options, _model_uses_its_options,
        _settings_have_an_effect, _check_stochastic, _check_batches,
    ):  # fmt: skip
        check(config)


def _arguments_have_a_part(config: TrialConfig) -> None:
    for name in config.__pydantic_extra__ or ():
        part = getattr(config, field_of(name))
        if not is_own(field_of(name), part) and field_of(name) != "optimizer":
            raise ValueError(
                f"{name} has no effect on {field_of(name)}={part!r}: leave it out, or choose {field_of(name)}="
                "FILE.py:NAME"
            )
    if config.activation == OWN_ACTIVATION and not is_own("model", config.model):
        raise ValueError(f"activation={OWN_ACTIVATION!r} is that of a model of your own: choose another")
    if config.lr is None:
        raise ValueError(f"lr: optimizer {config.optimizer!r} has no default of its own: set it")


def _transfer_uses_its_options(config: TrialConfig) -> None:
    if config.transfer == "scratch" and config.weights is not None:
        raise ValueError("weights has no effect with transfer='scratch': choose frozen, partial:N or full")
    if config.transfer in ("scratch", "frozen") and config.backbone_lr_scale != 1:
        raise ValueError(f"backbone_lr_scale has no effect with transfer={config.transfer!r}: leave it out")


def _loss_uses_its_options(config: TrialConfig) -> None:
    if config.focal_gamma is not None and config.loss != "focal":
        raise ValueError(f"focal_gamma has no effect with loss={config.loss!r}: leave it out, or choose loss=focal")
    for name in ("class_weights", "label_smoothing"):
        if is_own("loss", config.loss) and getattr(config, name) != type(config).model_fields[name].default:
            raise ValueError(f"{name} has no effect with loss={config.loss!r}: leave it out")


def _model_uses_its_options(config: TrialConfig) -> None:
    used = options_of(config.model)
    for name in MODEL_OPTIONS:
        if getattr(config, name) != type(config).model_fields[name].default and name not in used:
            raise ValueError(f"{name} has no effect on model {config.model!r}: leave it out, or choose another model")


def _settings_have_an_effect(config: TrialConfig) -> None:
    for name, needed, has_effect in (
        ("stochastic_temperature", f"stochastic={config.stochastic!r}", _entry_reads(config, "stochastic")),
        ("kl_weight", f"stochastic={config.stochastic!r}", _entry_reads(config, "stochastic")),
        ("momentum", f"optimizer={config.optimizer!r}", _entry_reads(config, "optimizer")),
        ("min_delta", "patience=None", {"min_delta"} if config.patience else set()),
        ("early_stopping_metric", "patience=None", {"early_stopping_metric"} if config.patience else set()),
    ):
        if getattr(config, name) != type(config).model_fields[name].default and name not in has_effect:
            raise ValueError(f"{name} has no effect with {needed}: leave it out")


def _check_batches(config: TrialConfig) -> None:
    if config.save_every > config.epochs:
        raise ValueError(f"save_every={config.save_every} keeps nothing of {config.epochs} epochs: choose less, or 0")
    if config.optimizer == "sgd_nesterov" and config.momentum == 0:
        raise ValueError("momentum=0: sgd_nesterov needs some; choose optimizer=sgd")
    if config.batch_size < 2 * config.accumulate:
        raise ValueError(f"batch_size={config.batch_size}: accumulate={config.accumulate} leaves parts of one image")


def _check_stochastic(config: TrialConfig) -> None:
    strength, entry = config.stochastic_strength, registry("stochastic").get(config.stochastic)
    if strength is not None and (entry is None or entry.strength is None):
        raise ValueError(f"stochastic_strength has no effect with stochastic={config.stochastic!r}: leave it out")
    if entry is None:
        return
    if strength is not None and strength >= entry.below:
        raise ValueError(f"stochastic_strength={strength}: {config.stochastic} needs a rate below {entry.below}")
    if entry.kind == "stochastic matrix" and config.transfer != "scratch":
        raise ValueError(f"stochastic={config.stochastic!r} replaces all weights: it needs transfer=scratch")


def _entry_reads(config: TrialConfig, field: str) -> set[str]:
    if is_own(field, getattr(config, field)):
        # `trainables.parts` knows the signature.
        return {"momentum"}
    return set(registry(field)[getattr(config, field)].options)


def options_of(model: str) -> tuple[str, ...]:
    """Return the names of the options that a model reads."""
    return () if is_own("model", model) else tuple(registry("model")[model].OPTIONS)
