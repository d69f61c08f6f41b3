"""Texts of config values: the same on the terminal, in a table of the browser and in a comparison."""

from __future__ import annotations

import math

import pytest

from analysis.comparison.labels import distinct_texts, show_value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e-320, "1e-320"), (-2.5e-320, "-2.5e-320"), (5e-324, "5e-324"), (1e-300, "1e-300"), (0.001, "0.001"),
        (123456789.0, "1.23457e+08"), (100000.0, "100000"), (1e6, "1e+06"), (0.1 + 0.2, "0.3"), (-0.0, "-0"),
        (math.inf, "inf"), (math.nan, "-"), (None, "-"), ([512, 1e-320], "512-1e-320"), (True, "True"),
    ],
)  # fmt: skip
def test_a_number_is_written_in_one_way(value: object, text: str) -> None:
    assert show_value(value) == text
    if isinstance(value, float) and 0 < abs(value) < 1e-200:
        assert distinct_texts([value]) == [text]


def test_tiny_numbers_are_still_told_apart() -> None:
    assert distinct_texts([1e-320, 2e-320, 5e-324]) == ["1e-320", "2e-320", "5e-324"]
    assert distinct_texts([0.9995, 0.9999]) == ["0.9995", "0.9999"]
