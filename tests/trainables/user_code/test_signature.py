"""Arguments follow the signature: names, types, defaults, and what we pass where it is asked for."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from trainables.errors import InputError
from trainables.user_code.signature import arguments_of, check_arguments, parse_value, passed


class Net:
    def __init__(
        self,
        classes: int,
        width: int = 16,
        rate: float = 0.1,
        kind: Literal["a", "b"] = "a",
        norm: bool | None = None,
        free=None,
    ) -> None: ...


def test_arguments_follow_annotation_and_default() -> None:
    arguments = arguments_of(Net, given=("classes",))
    assert list(arguments) == ["width", "rate", "kind", "norm", "free"]
    assert arguments["width"].annotation is int
    assert arguments["free"].annotation is Any


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"widht": 3}, "did you mean 'width'"),
        ({"width": 1.5}, "a whole number"),
        ({"kind": "c"}, "one of a, b"),
        ({"norm": "x"}, "true or false or none"),
        ({"width": True}, "a whole number"),
    ],
)
def test_a_value_that_does_not_fit_is_named(values: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_arguments("net.py:Net", Net, values, given=("classes",))


def test_values_that_fit() -> None:
    check_arguments("net.py:Net", Net, {"width": 3, "rate": 1, "norm": None, "free": "x"}, given=("classes",))


def test_a_required_argument_is_asked_for() -> None:
    with pytest.raises(InputError, match="needs classes"):
        check_arguments("net.py:Net", Net, {}, given=())


@pytest.mark.parametrize(
    ("text", "annotation", "value"),
    [
        ("3", int, 3),
        ("3", float, 3.0),
        ("none", int | None, None),
        ("true", bool, True),
        ("3", str, "3"),
        ("1e-7", Any, 1e-7),
        ("x", Any, "x"),
        ("none", Any, None),
        ("4", Any, 4),
    ],
)
def test_text_is_read_as_the_type(text: str, annotation: Any, value: Any) -> None:
    assert parse_value(text, annotation) == value
    assert type(parse_value(text, annotation)) is type(value)


def test_only_what_is_asked_for_is_passed() -> None:
    assert passed(Net, {"classes": 3, "channels": 1}) == {"classes": 3}
