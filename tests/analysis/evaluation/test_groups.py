"""Groups of images: by class, brightness and contrast, and by a CSV that must match."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.evaluation.bootstrap import Interval
from analysis.evaluation.group_table import MOST_COLUMNS, match_groups, read_group_table
from analysis.evaluation.groups import GroupRow, gaps, group_rows, image_groups
from analysis.evaluation.predictions import Predictions
from trainables.errors import InputError

RNG = np.random.default_rng(4)
LABELS = np.arange(60) % 2
SCORES = np.stack([1 - 0.8 * LABELS, 0.8 * LABELS], axis=1)
SCORES[:10] = SCORES[:10, ::-1]  # the first ten are wrong
FILES = tuple(f"{n:02d}.png" for n in range(60))
FOUND = Predictions("seed_0", "test", "binary-class", ("no", "yes"), LABELS, SCORES, FILES)


def test_rows_are_the_figures_of_their_images() -> None:
    rows = group_rows([FOUND], {"site": np.array(["a"] * 10 + ["b"] * 50)})
    assert [(row.group, row.n, row.figures["acc"]) for row in rows] == [("a", 10, 0.0), ("b", 50, 1.0)]
    assert [row.too_small for row in rows] == [True, False]
    (gap,) = gaps(rows)
    assert (gap.best, gap.worst, gap.difference) == ("b", "a", 1.0)
    assert gap.interval.low > 0.6


def test_the_gap_of_many_groups_is_corrected_for_all_their_pairs() -> None:
    """The largest gap of 12 groups alike is clearly apart from 0 in fewer than 5 % of 400 samples."""
    rng = np.random.default_rng(0)
    rows = [GroupRow("site", str(n), 60, {"acc": 0.0}, Interval(), False) for n in range(12)]
    clear = 0
    for _ in range(400):
        drawn = [replace(row, figures={"acc": rng.binomial(60, 0.8) / 60}) for row in rows]
        clear += gaps(drawn)[0].interval.low > 0
    assert clear < 20


def test_images_that_are_all_alike_have_no_thirds() -> None:
    assert set(image_groups(FOUND, np.full((60, 5, 5, 1), 7, np.uint8))) == {"class"}


def test_brightness_and_contrast_part_the_images_in_thirds() -> None:
    images = np.broadcast_to(np.arange(60, dtype=np.uint8)[:, None, None, None] * 4, (60, 5, 5, 1)).copy()
    images[:, 0] = 0
    groups = image_groups(FOUND, images)
    assert set(groups) == {"class", "brightness", "contrast"}
    assert {name: int((groups["brightness"] == name).sum()) for name in np.unique(groups["brightness"])} == {
        "lowest third": 20, "middle third": 20, "highest third": 20,
    }  # fmt: skip
    assert groups["brightness"][0] == groups["contrast"][0] == "lowest third"
    of_class = [row for row in group_rows([FOUND], groups) if row.column == "class"]
    assert [row.figures["acc"] for row in of_class] == [pytest.approx(25 / 30)] * 2
    assert math.isnan(of_class[0].figures["f1_macro"])


def matched(path: Path) -> dict[str, np.ndarray]:
    return match_groups(read_group_table(path, FOUND.split), FOUND)


def write(path: Path, rows: list[str]) -> Path:
    path.write_text("\n".join(rows) + "\n")
    return path


def test_a_csv_may_name_files_or_numbers_and_other_splits(tmp_path: Path) -> None:
    by_file = write(tmp_path / "f.csv", ["file,sex", *(f"{name},{'fm'[n % 2]}" for n, name in enumerate(FILES))])
    assert matched(by_file)["sex"].tolist() == ["f", "m"] * 30
    lines = [f"test,{n},s{n // 30}" for n in reversed(range(60))]
    by_number = write(tmp_path / "n.csv", ["split,index,scanner", "train,0,s9", *lines])
    assert matched(by_number)["scanner"].tolist() == ["s0"] * 30 + ["s1"] * 30


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["file,sex", *(f"{name},f" for name in FILES[1:])], "1 of the split's 60 images are missing.*'00.png'"),
        (["file,sex", *(f"{name},f" for name in (*FILES, FILES[0]))], "stands twice"),
        (["file,sex", *(f"{name},f" for name in (*FILES, "x.png"))], "not in the split"),
        (["file", *FILES], "one or more to group by"),
        (["name,sex", *(f"{name},f" for name in FILES)], "a column file or index"),
        (["file,sex", *(f"{name},f,1" for name in FILES)], "line 2"),
        (["file,age", *(f"{name},{n}" for n, name in enumerate(FILES))], "has 60 values"),
        (["file,sex"], "holds no rows"),
        (["file,split,sex", *(f"{name},val,f" for name in FILES)], "no row of the split test"),
        (["file,sex", *(f"{name},f\0" for name in FILES)], "line 2: 'sex' holds a control character"),
        (["file,sex", "", f'{FILES[0]},"f\ngate: pass"'], "line 4: 'sex' holds a control character"),
        (["file,s\x1b[31m", *(f"{name},f" for name in FILES)], "the header: .*control character"),
        (["file,sex", *(f"{name},{'f' * 201}" for name in FILES)], "more than 200 characters"),
        (
            [",".join(["file", *(f"c{n}" for n in range(MOST_COLUMNS + 1))]), ",".join(["a"] * (MOST_COLUMNS + 2))],
            f"has {MOST_COLUMNS + 1} columns to group by",
        ),
    ],
)
def test_a_csv_that_does_not_match_is_refused_in_one_line(rows: list[str], said: str, tmp_path: Path) -> None:
    path = write(tmp_path / "groups.csv", rows)
    with pytest.raises(InputError, match=said) as error:
        matched(path)
    assert "\n" not in str(error.value)
    (tmp_path / "bad.csv").write_bytes(b"file,sex\n\xff,f\n")
    with pytest.raises(InputError, match="UTF-8"):
        matched(tmp_path / "bad.csv")
    with pytest.raises(InputError, match="cannot be read"):
        matched(tmp_path / "none.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(InputError, match="is no regular file"):
        matched(tmp_path / "pipe.csv")


@pytest.mark.parametrize(
    ("header", "said"),
    [("file,site,site", "'site' stands twice"), ("file,class", "'class' is made here"), ("file,contrast", "made here")],
)
def test_a_column_that_would_take_another_ones_place_is_refused(header: str, said: str, tmp_path: Path) -> None:
    columns = header.count(",")
    path = write(tmp_path / "g.csv", [header, *(f"{name}{',a' * columns}" for name in FILES)])
    with pytest.raises(InputError, match=said):
        matched(path)


def test_a_gap_is_between_two_groups_also_where_all_are_alike() -> None:
    rows = [GroupRow("site", name, 9, {"acc": 0.5}, Interval(), False) for name in ("a", "b", "c")]
    (gap,) = gaps(rows)
    assert gap.best != gap.worst
    assert gap.interval.low < 0 < gap.interval.high


def test_names_of_files_are_no_groups_and_may_be_long(tmp_path: Path) -> None:
    long = tuple(f"{'folder/' * 40}{name}" for name in FILES)
    path = write(tmp_path / "g.csv", ["file,site", *(f"{name},[red]" for name in long)])
    assert set(match_groups(read_group_table(path, "test"), replace(FOUND, files=long))["site"]) == {"[red]"}
