"""Sample Entropy in PyTorch: on the processor here, count for count what brute force and the compiled method find."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.measures import _match_counts, _torch_counts
from analysis.measures._torch_counts import match_counts
from analysis.measures._values import deviation
from analysis.measures.sample_entropy import sample_entropy_counts
from tests.analysis.measures.test_sample_entropy import SERIES, normal

HERE = torch.device("cpu")


@pytest.mark.parametrize("name", SERIES)
def test_counts_are_those_of_brute_force(name: str) -> None:
    for n in (4, 5, 17, 400):
        values = np.asarray(SERIES[name](n), np.float64)
        for m in (1, 2, 3):
            for reach in (0.0, 0.2 * deviation(values), 1.0):
                if n > m + 1:
                    assert match_counts(values, m, reach, HERE) == _match_counts.brute_counts(values, m, reach), (
                        n,
                        m,
                        reach,
                    )


@pytest.mark.parametrize("name", SERIES)
def test_blocks_are_exact_at_their_edges(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.asarray(SERIES[name](80), np.float64)
    expected = _match_counts.brute_counts(values, 2, 0.2 * deviation(values))
    for rows, pairs in ((1, 1), (3, 7), (512, 50), (7, 1 << 24)):
        monkeypatch.setattr(_torch_counts, "ROWS", rows)
        monkeypatch.setattr(_torch_counts, "PAIRS_AT_ONCE", pairs)
        assert match_counts(values, 2, 0.2 * deviation(values), HERE) == expected, (rows, pairs)


@pytest.mark.parametrize("name", ["normal", "mostly zero", "float32", "exact steps"])
def test_counts_are_those_of_the_compiled_method(name: str) -> None:
    values = np.asarray(SERIES[name](6_000), np.float64)
    reach = 0.2 * deviation(values)
    assert match_counts(values, 2, reach, HERE) == _match_counts.match_counts(values, 2, reach, 1)


def test_a_block_is_no_larger_than_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """One tie group takes in everything: the stretch of partners is as long as the series."""
    seen = []
    block = _torch_counts._block

    def look(spans: object, ends: object, rows: tuple[int, int], columns: tuple[int, int], m: int) -> object:
        seen.append((rows[1] - rows[0]) * (columns[1] - columns[0]))
        return block(spans, ends, rows, columns, m)  # type: ignore[arg-type]

    monkeypatch.setattr(_torch_counts, "_block", look)
    monkeypatch.setattr(_torch_counts, "PAIRS_AT_ONCE", 1000)
    assert match_counts(np.zeros(3000), 2, 0.0, HERE)[1] == 2998 * 2997 // 2
    assert max(seen) <= 1000


def test_counts_beyond_32_bits_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_torch_counts, "_pairs", lambda *arguments: (0, 0))  # slow here, and summed in int64 as well
    assert match_counts(np.zeros(70_000), 2, 0.0, HERE)[2] == 70_000 * 69_999 // 2 > 2**31


@pytest.mark.parametrize("m", [1, 2, 3])
def test_the_public_function_gives_the_same_whole(m: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values = normal(2000)
    expected = sample_entropy_counts(values, m)
    monkeypatch.setattr(_torch_counts, "device_for", lambda device, n, m: HERE)
    assert sample_entropy_counts(values, m, device="cuda") == expected
    assert sample_entropy_counts(values, m, device="cuda", strict=True) == sample_entropy_counts(values, m, strict=True)


def test_a_device_that_is_not_there_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="finds no GPU here"):
        sample_entropy_counts(normal(100), device="cuda")
    with pytest.raises(ValueError, match="choose 'cpu', 'cuda' or 'auto'"):
        sample_entropy_counts(normal(100), device="gpu")


@pytest.mark.parametrize(
    ("n", "m", "gpu", "chosen"),
    [(40_000, 3, True, True), (40_000, 3, False, False), (100, 3, True, False), (200_000, 2, True, False)],
)
def test_auto_takes_a_gpu_where_it_should_pay(
    n: int, m: int, gpu: bool, chosen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert (_torch_counts.device_for("auto", n, m) is not None) == chosen


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("m", [2, 3])
def test_a_gpu_counts_what_the_processor_counts(m: int) -> None:
    values = normal(20_000)
    assert sample_entropy_counts(values, m, device="cuda") == sample_entropy_counts(values, m)
