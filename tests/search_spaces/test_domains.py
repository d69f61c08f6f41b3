"""Domains of `ray.tune`, read back: against what Tune itself draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ray import tune

from search_spaces.domains import domain_data, draw, plain, range_of, values_of

RANGES = [
    tune.uniform(0.1, 0.9), tune.loguniform(1e-4, 1e-1), tune.quniform(0.1, 1.0, 0.1), tune.qloguniform(1e-3, 1, 1e-3),
    tune.randint(3, 7), tune.lograndint(1, 9), tune.qrandint(32, 128, 32), tune.qlograndint(10, 45, 10),
    tune.qrandint(3, 7, 1),
]  # fmt: skip


@pytest.mark.parametrize("domain", RANGES, ids=lambda domain: domain.domain_str)
def test_a_range_has_the_ends_that_tune_draws(domain: Any) -> None:
    found = range_of(domain)
    assert found is not None
    rng = np.random.RandomState(0)
    drawn = [draw(domain, rng) for _ in range(2000)]
    assert found.low - 1e-12 <= min(drawn)
    assert max(drawn) <= found.high + 1e-12
    if found.whole or found.step is not None:
        width = found.step or 1
        every = {round(width * k, 10) for k in range(found.first, found.last + 1)}
        assert {round(value, 10) for value in drawn} <= every
        assert (found.low, found.high) == pytest.approx((min(every), max(every)))
        if len(every) < 50:
            assert {round(value, 10) for value in drawn} == every
    for value in drawn[:50]:
        assert found.rounded(value) == pytest.approx(value)
        assert found.value(found.unit(value)) == pytest.approx(value)


def test_numbers_of_numpy_become_pythons() -> None:
    for domain in (tune.grid_search(np.array([4, 8])), tune.grid_search(range(4, 9, 4)), tune.choice(np.array([4, 8]))):
        values = values_of(domain)
        assert values == [4, 8]
        assert {type(value) for value in values} == {int}
    assert domain_data("x", np.float32(0.5)) == 0.5
    assert plain((np.int64(1), [np.float64(2.0)])) == (1, [2.0])
