"""Pictures of explanations of volumes: the slices that are shown, and the montage of all of them."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.image import AxesImage

from analysis.figures.explanation import Explained, montage, saliency_maps, slices_of


def ball(depth: int = 28, first: int = 10, last: int = 18) -> np.ndarray:
    volume = np.zeros((depth, 9, 9, 1), np.uint8)
    volume[first : last + 1, 3:6, 3:6] = 255
    return volume


def peaked(depth: int, z: int) -> np.ndarray:
    saliency = np.full((depth, 9, 9), 0.2)
    saliency[z, 4, 4] = 1.0
    return saliency


def test_slices_lie_where_the_volume_is_not_empty_and_hold_the_peak() -> None:
    chosen = slices_of(ball(), peaked(28, 12))
    assert 12 in chosen
    assert len(chosen) == 5
    assert all(10 <= z <= 18 for z in chosen)
    assert chosen == sorted(chosen)


def test_a_volume_of_few_slices_is_shown_with_their_neighbours() -> None:
    assert slices_of(ball(28, 12, 13), peaked(28, 13)) == [11, 12, 13, 14, 15]


@pytest.mark.parametrize(("volume", "count"), [(ball(28, 3, 2), 5), (ball(28, 4, 5), 5), (ball(3, 0, 2), 3)])
def test_empty_thin_and_flat_volumes_are_shown_from_end_to_end(volume: np.ndarray, count: int) -> None:
    chosen = slices_of(volume, peaked(len(volume), 1))
    assert 1 in chosen
    assert len(chosen) <= count
    assert 0 <= chosen[0] <= chosen[-1] < len(volume)


def test_every_slice_of_a_montage_is_the_volumes() -> None:
    row = Explained("surest right", ball(), peaked(28, 12), "normal", "hyperplasia", 0.79)
    figure = montage(row, "Grad-CAM", "no explanation")
    shown = [axis for axis in figure.axes if axis.get_title().isdigit()]
    assert [int(axis.get_title()) for axis in shown] == list(range(28))
    for z, axis in enumerate(shown):
        first, second = (child for child in axis.get_children() if isinstance(child, AxesImage))
        np.testing.assert_array_equal(np.asarray(first.get_array()), row.image[z, ..., 0])
        np.testing.assert_allclose(np.asarray(second.get_array()), row.saliency[z])
    assert "said hyperplasia, 79 %" in figure.get_suptitle()
    assert "verdict: no explanation" in figure.get_suptitle()


def test_a_thin_volume_leaves_panels_free() -> None:
    figure = saliency_maps([Explained("least sure", ball(3, 0, 2), peaked(3, 1), "a", "b", 0.5)] * 2, "Grad-CAM", "x")
    assert {"slice 1 *"} <= {axis.get_title() for axis in figure.axes}
