"""Paths as a user writes them: each is an absolute path that a file could have, or one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.config import make_config
from trainables.data.dataset_names import absolute
from trainables.data.datasets import load
from trainables.errors import InputError
from trainables.user_code.source import read_source
from trainables.user_code.user_paths import user_path

NAMES = st.text(st.characters(), max_size=12) | st.sampled_from(
    ["x" * 300, "~nobody-of-this-name", "..", "a/" * 3000, "~"]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(NAMES, min_size=1, max_size=3).map("/".join))
def test_a_path_is_absolute_and_could_be_a_files_or_is_refused(text: str) -> None:
    try:
        path = user_path(text)
    except InputError:
        return
    assert path.is_absolute()
    # Raises where no file can have the name.
    os.path.lexists(path)
    path.exists()


@pytest.mark.parametrize("path", ["~nobody-of-this-name/x", "x" * 300, "a\0b"])
def test_a_path_that_cannot_be_is_one_line_at_every_door(path: str) -> None:
    doors = [
        lambda: absolute(f"folder:{path}"),
        lambda: absolute(f"npz:{path}"),
        lambda: absolute(f"{path}.py:data"),
        lambda: read_source(f"{path}.py:Net"),
        lambda: load("digits", data_root=Path(path)),
        lambda: make_config({"model": "efficientnet_lite0", "transfer": "full", "weights": path}),
    ]
    for door in doors:
        with pytest.raises(InputError, match=r"no such home folder|no file can have this name") as error:
            door()
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 700
