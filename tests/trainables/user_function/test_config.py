"""The config of a training function: fields from a dataclass, a pydantic model or a dict; each mistake in one line."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from trainables.errors import InputError
from trainables.user_code.in_use import use_sources
from trainables.user_code.source import Source
from trainables.user_function.config import make, own_config, signature_of

NUMBERS: Iterator[int] = count()
HEAD = """
from dataclasses import dataclass
from typing import Annotated, Literal
from pydantic import BaseModel, Field
"""
DATACLASS = """
@dataclass(frozen=True)
class Config:
    width: Annotated[int, Field(ge=1, le=64, description="units of the hidden layer")] = 8
    rate: float = 0.1
    kind: Literal["a", "b"] = "a"
    sizes: tuple[int, ...] = (1, 2)
    epochs: int = 3

    def __post_init__(self):
        if self.width == 13:
            raise ValueError("13 is unlucky")

def train(config: Config, trial):
    yield {}
"""
MODEL = """
class Config(BaseModel):
    width: int = Field(8, ge=1, le=64)
    epochs: int = 3

def train(config: Config, trial):
    yield {}
"""
DICT = "def train(config, trial):\n    yield {}\n"


def spec_of(text: str) -> str:
    """Return the spec of a module's `train`, whose text no file holds."""
    name = f"config_{next(NUMBERS)}.py"
    use_sources({f"{name}:train": Source(name, {name: HEAD + text})})
    return f"{name}:train"


def refused(spec: str, values: dict[str, Any]) -> str:
    with pytest.raises(InputError) as error:
        make(spec, values)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("text", [DATACLASS, MODEL])
def test_a_class_gives_fields_with_defaults_limits_and_typo_help(text: str) -> None:
    spec = spec_of(text)
    config = make(spec, {"width": "16", "seeds": (0, 1)})
    assert (config.width, config.epochs, config.seeds) == (16, 3, (0, 1))  # type: ignore[attr-defined]
    assert own_config(spec, config).width == 16
    assert not hasattr(own_config(spec, config), "seeds")
    assert "less than or equal to 64" in refused(spec, {"width": 65})
    assert "did you mean 'width'" in refused(spec, {"widht": 1})
    assert hash(config) == hash(make(spec, {"width": 16, "seeds": [0, 1]}))


def test_the_dataclass_itself_may_refuse_values() -> None:
    assert "Config refuses these values (ValueError: 13 is unlucky)" in refused(spec_of(DATACLASS), {"width": 13})
    assert "'a' or 'b'" in refused(spec_of(DATACLASS), {"kind": "c"})


def test_a_dict_takes_any_field_of_plain_values() -> None:
    spec = spec_of(DICT)
    config = make(spec, {"C": 0.5, "kernel": "rbf", "shrinking": True, "sizes": (3, 4), "epochs": 2})
    assert own_config(spec, config) == {"C": 0.5, "kernel": "rbf", "shrinking": True, "sizes": (3, 4), "epochs": 2}
    assert signature_of(spec).own is None
    assert make(spec, {"C": 0.5}) != make(spec, {"C": 0.6})
    refused(spec, {"C": {"nested": 1}})
    refused(spec, {"C": float("inf")})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def train(config, trial):\n    return 1\n", "is no generator function"),
        ("train = 3\n", "is no generator function"),
        ("def train(config):\n    yield {}\n", "takes config: write def NAME(config, trial)"),
        ("def train(config: 'Missing', trial):\n    yield {}\n", "annotations cannot be read"),
        (DATACLASS.replace("rate: float = 0.1", "status: str = 'x'"), "cannot be named 'status'"),
        (DATACLASS.replace("rate: float = 0.1", "seeds: int = 3"), "a trial's seed is trial.seed"),
        ("def train(config, trial:\n", "config_"),
    ],
)
def test_a_function_that_does_not_fit_is_refused(text: str, said: str) -> None:
    assert said in refused(spec_of(text), {})
