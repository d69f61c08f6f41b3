"""Work at the end of a block never hides what went wrong in it."""

from __future__ import annotations

import pytest

from trainables.errors import InputError, at_end, unknown_name


@pytest.mark.parametrize("first", [InputError("the cause"), KeyboardInterrupt()])
def test_an_error_of_the_block_is_raised_and_not_that_of_the_work_after_it(first: BaseException) -> None:
    done: list[str] = []

    def save() -> None:
        done.append("saved")
        raise OSError("the disk is full")

    with pytest.raises(type(first)) as raised, at_end(save):
        raise first
    assert raised.value is first
    assert done == ["saved"]
    with pytest.raises(OSError, match="full"), at_end(save):
        pass
    assert done == ["saved", "saved"]


def test_of_many_names_the_nearest_are_shown() -> None:
    names = [f"resnet{number}" for number in range(100)]
    line = unknown_name("model", "resnet1x", [*names, "xception"])
    assert "did you mean 'resnet1'? known: resnet1, " in line
    assert line.endswith(" and 91 more")
    assert "xception" not in line
    assert unknown_name("model", "?", names).endswith("resnet8, resnet9 and 90 more")
