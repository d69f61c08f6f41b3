"""Tables of image files: columns, splits, groups, labels, volumes, hostile paths, and mistakes in one line each."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import nibabel
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.support.generated_data import write_images
from tests.support.medical_files import write_dicom, write_series, write_tiff
from trainables.config import make_config
from trainables.data import cache
from trainables.data.arrays import MULTI_LABEL, SPLITS, Data
from trainables.data.check import check
from trainables.data.datasets import canonical, load
from trainables.data.formats import table_of_files
from trainables.data.normalization import save, verify
from trainables.errors import InputError
from trainables.trial_key import without_paths

Columns = Mapping[str, Sequence[object]]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEPS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_images(tmp_path / "images", {"ill": 30, "well": 30})


def table(root: Path) -> dict[str, list[object]]:
    """A row for each file: its path from the root, its class, its patient (three files to each), its split."""
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.png"))
    patients = [re.search(r"p(\w+)_", file).group(1) for file in files]  # type: ignore[union-attr]
    order = {patient: number for number, patient in enumerate(sorted(set(patients)))}
    folds = [("training", "Valid", "test", "train", "train")[order[patient] % 5] for patient in patients]
    return {"path": files, "dx": [file.split("/")[0] for file in files], "patient_id": patients, "fold": folds}


def write(path: Path, columns: Columns, delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def name_of(root: Path, columns: Columns | None = None, options: str = "", label: str = "dx") -> str:
    path = write(root.parent / "train.csv", columns if columns is not None else table(root))
    return f"csv:{path}?image=path&label={label}&root=images{options}"


def by_name(data: Data) -> dict[str, tuple[str, np.ndarray, np.ndarray]]:
    return {
        name: (split, image, label)
        for split, part in data
        for name, image, label in zip(part.names, part.images, part.labels, strict=True)
    }


def test_a_table_holds_what_the_folder_does(root: Path) -> None:
    from_folder, from_table = load(f"folder:{root}", 8), load(name_of(root), 8)
    assert from_table.digest == from_folder.digest
    assert from_table.info.class_names == from_folder.info.class_names
    assert from_table.splits["test"].names == from_folder.splits["test"].names
    assert any("split 70/15/15 by class with seed 42" in note for note in from_table.notes)


def test_splits_and_groups_are_kept(root: Path) -> None:
    columns = table(root)
    data = load(name_of(root, columns, "&split=fold&group=patient_id"), 8)
    split_of = {"training": "train", "Valid": "val", "test": "test", "train": "train"}
    for path, dx, fold in zip(columns["path"], columns["dx"], columns["fold"], strict=True):
        split, image, label = by_name(data)[str(path)]
        assert split == split_of[str(fold)]
        assert data.info.class_names[label] == dx
        expected = Image.open(root / str(path)).resize((8, 8), Image.Resampling.BILINEAR)
        assert np.array_equal(image[..., 0], np.asarray(expected))


def test_patients_are_never_shared(root: Path) -> None:
    columns = table(root)
    patient = dict(zip(columns["path"], columns["patient_id"], strict=True))
    data = load(name_of(root, columns, "&group=patient_id"), 8)
    members = [{patient[name] for name in part.names} for _, part in data]
    assert sum(map(len, members)) == len(set().union(*members)) == 20
    columns["fold"][0] = "test"
    with pytest.raises(InputError, match=r"1 group\(s\) stand in both train and test \(ill00\): keep each group in"):
        load(name_of(root, columns, "&split=fold&group=patient_id"), 8)


def test_a_missing_split_is_cut_from_train_without_sharing_groups(root: Path) -> None:
    columns = table(root)
    columns["fold"] = ["train" if fold != "test" else "test" for fold in columns["fold"]]
    data = load(name_of(root, columns, "&split=fold&group=patient_id"), 8)
    assert any("has no val: 15 % of train, drawn by class and group with seed 42" in note for note in data.notes)
    patient = dict(zip(columns["path"], columns["patient_id"], strict=True))
    members = [{patient[name] for name in part.names} for _, part in data]
    assert sum(map(len, members)) == 20
    with pytest.raises(InputError, match="has no train"):
        load(name_of(root, {**columns, "fold": ["test"] * 60}, "&split=fold"), 8)


@pytest.mark.parametrize("kind", ["csv", "semicolons", "tabs", "bom", "parquet", "windows"])
def test_every_kind_of_table(kind: str, root: Path) -> None:
    columns, folder = table(root), root.parent
    options = "?image=path&label=dx&split=fold&root=images"
    usual = load(f"csv:{write(folder / 'a.csv', columns)}{options}", 8)
    if kind == "parquet":
        path = folder / "b.parquet"
        pq.write_table(pa.table({**columns, "nested": [[1]] * 60, "weight": [1.5] * 60}), path)
    elif kind == "windows":
        path = write(folder / "b.csv", {**columns, "path": [str(p).replace("/", "\\") for p in columns["path"]]})
    else:
        path = write(folder / "b.csv", columns, {"semicolons": ";", "tabs": "\t"}.get(kind, ","))
        if kind == "bom":
            path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    data = load(f"csv:{path}{options}", 8)
    assert data.digest == usual.digest
    assert data.splits["test"].names == usual.splits["test"].names


def test_numbers_of_a_parquet_file_are_classes(root: Path) -> None:
    columns = table(root)
    values = pa.array([1.0 if dx == "ill" else 10.0 if n % 2 else 9.0 for n, dx in enumerate(columns["dx"])])
    pq.write_table(pa.table({**columns, "dx": values}), root.parent / "a.parquet")
    data = load(f"csv:{root.parent / 'a.parquet'}?image=path&label=dx&root=images", 8)
    assert data.info.class_names == ("1", "9", "10")


def test_an_order_makes_the_task_ordinal(root: Path) -> None:
    columns = table(root)
    columns["grade"] = [("none", "mild", "severe")[n % 3] for n in range(60)]
    data = load(name_of(root, columns, "&order=none<mild<severe", "grade"), 8)
    assert (data.info.task, data.info.class_names) == ("ordinal-regression", ("none", "mild", "severe"))
    assert load(name_of(root, columns, "", "grade"), 8).info.class_names == ("mild", "none", "severe")
    with pytest.raises(InputError, match=r"has mild, which order=none<severe lacks"):
        load(name_of(root, columns, "&order=none<severe", "grade"), 8)


def test_several_labels_in_columns_or_in_one(root: Path) -> None:
    columns, rng = table(root), np.random.default_rng(0)
    truth = rng.integers(0, 2, (60, 3))
    names = ["edema", "mass", "nodule"]
    for number, name in enumerate(names):
        columns[name] = [("no", "yes")[value] if number == 1 else int(value) for value in truth[:, number]]
    columns["findings"] = ["|".join(np.array(names)[row.astype(bool)]) for row in truth]
    in_columns = load(name_of(root, columns, "", ",".join(names)), 8)
    in_one = load(name_of(root, columns, "", "findings"), 8)
    assert in_columns.info.task == in_one.info.task == MULTI_LABEL
    assert in_columns.info.class_names == in_one.info.class_names == tuple(names)
    assert in_columns.digest == in_one.digest
    for number, path in enumerate(columns["path"]):
        assert by_name(in_one)[str(path)][2].tolist() == truth[number].tolist()
    none = int((truth.sum(axis=1) == 0).sum())
    assert any(f"{none} of 60 images have no label" in note for note in in_one.notes)
    one_hot = {**columns, "ill": [int(dx == "ill") for dx in columns["dx"]]}
    one_hot["well"] = [1 - int(str(value)) for value in one_hot["ill"]]
    notes = load(name_of(root, one_hot, "", "ill,well"), 8).notes
    assert any("every image has one label of 2: if they are classes, write them into one column" in n for n in notes)
    with pytest.raises(InputError, match="column dx holds ill, well: several label columns must hold 0 and 1"):
        load(name_of(root, columns, "", "edema,dx"), 8)
    with pytest.raises(InputError, match="order= has no effect on several labels"):
        load(name_of(root, columns, "&order=edema<mass", "findings"), 8)


def test_regression_is_refused(root: Path) -> None:
    columns = table(root)
    columns["volume"] = list(np.linspace(1, 2, 60))
    columns["age"] = [*range(20, 80)]
    for label in ("volume", "age"):
        with pytest.raises(InputError, match=rf"column {label} holds measurements .* regression is not supported"):
            load(name_of(root, columns, "", label), 8)


# what a row may name, and what is said of it
HOSTILE: dict[str, tuple[Callable[[Path], str], str]] = {
    "up": (lambda root: "../secret.png", "../secret.png (lies outside of"),
    "far up": (lambda root: "../" * 40 + "etc/passwd", "etc/passwd (lies outside of"),
    "absolute": (lambda root: "/etc/passwd", "/etc/passwd (lies outside of"),
    "a link out": (lambda root: _link(root, root.parent / "secret.png"), "link.png (lies outside of"),
    "through a linked folder": (
        lambda root: _link(root, root.parent, "out") + "/secret.png",
        "secret.png (lies outsid",
    ),
    "a pipe": (lambda root: _pipe(root), "pipe.png (is no regular file)"),
    "a device": (lambda root: "/dev/zero", "/dev/zero (lies outside of"),
    "NUL": (lambda root: "a\0b.png", "(its row names no file)"),
    "nothing": (lambda root: "", "a row (its row names no file)"),
    "missing": (lambda root: "ill/none.png", "ill/none.png (No such file or directory)"),
    "control characters": (lambda root: "\x1b[31mred\n.png", "\\x1b[31mred\\n.png (No such file"),
    "a long name": (lambda root: "x" * 5000, "xxx... (File name too long)"),
    "a folder of links": (lambda root: _linked_slices(root), "slices (holds links that lead out of"),
    "an empty folder": (lambda root: _folder(root), "empty (a folder without a DICOM file or an image)"),
    "text": (lambda root: _text(root), "text.png (cannot identify image file"),
}


def _link(root: Path, target: Path, name: str = "link.png") -> str:
    Image.new("L", (9, 9), 3).save(root.parent / "secret.png")
    (root / name).symlink_to(target)
    return name


def _pipe(root: Path) -> str:
    os.mkfifo(root / "pipe.png")
    return "pipe.png"


def _folder(root: Path) -> str:
    (root / "empty").mkdir()
    return "empty"


def _linked_slices(root: Path) -> str:
    (root / "slices").mkdir()
    (root / "slices" / "a.png").symlink_to(root.parent / "secret.png")
    return "slices"


def _text(root: Path) -> str:
    (root / "text.png").write_text("no image")
    return "text.png"


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_and_unreadable_rows_are_named_and_refused_or_skipped(case: str, root: Path) -> None:
    make, message = HOSTILE[case]
    columns = table(root)
    Image.new("L", (9, 9), 3).save(root.parent / "secret.png")
    columns["path"][0] = make(root)
    if case == "NUL":  # no CSV holds one
        pq.write_table(pa.table(columns), root.parent / "a.parquet")
        name = f"csv:{root.parent / 'a.parquet'}?image=path&label=dx&root=images"
    else:
        name = name_of(root, columns)
    with pytest.raises(InputError) as caught:
        load(name, 8)
    assert "1 of 60 images cannot be read: " in str(caught.value)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()
    data = load(f"{name}&unreadable=skip", 8)
    assert len(by_name(data)) == 59
    assert "skipped 1 of 60" in data.notes[0]


def test_rows_without_label_group_or_split_are_named(root: Path) -> None:
    columns = table(root)
    columns["dx"][0], columns["patient_id"][1], columns["fold"][2], columns["dx"][3] = "", "NaN", "", "NA"
    with pytest.raises(InputError) as caught:
        load(name_of(root, columns, "&split=fold&group=patient_id"), 8)
    assert "3 of 60 images cannot be read" in str(caught.value)
    for lacking in ("label", "group", "split"):
        assert f"(its row has no {lacking})" in str(caught.value)


def test_links_inside_of_the_root_and_a_linked_root_are_fine(root: Path) -> None:
    columns = table(root)
    (root / "link.png").symlink_to(root / str(columns["path"][0]))
    columns["path"][0] = "link.png"
    (root.parent / "linked").symlink_to(root)
    data = load(name_of(root, columns).replace("root=images", "root=linked"), 8)
    assert "link.png" in by_name(data)
    inside = {**columns, "path": [str(root / str(path)) for path in columns["path"]]}
    assert load(name_of(root, inside), 8).digest == data.digest


def test_tiff_of_16_bits(root: Path) -> None:
    columns, rng = table(root), np.random.default_rng(0)
    deep = {f"{n}.tif": rng.integers(0, 4000, (8, 8)).astype(np.uint16) for n in range(60)}
    for file, values in deep.items():
        write_tiff(root / file, values)
    columns["path"] = list(deep)
    data = load(name_of(root, columns), 8)
    assert any("60 of 60 images have more than 8 bits and no window" in note for note in data.notes)
    by_window = load(name_of(root, columns, "&window=2000/4000"), 8)
    assert not any("no window" in note for note in by_window.notes)
    for file, values in deep.items():
        low, high = np.percentile(values, (0.5, 99.5))
        expected = np.rint(np.clip((values - low) / (high - low), 0, 1) * 255)
        assert np.array_equal(by_name(data)[file][1][..., 0], expected)
        assert np.array_equal(by_name(by_window)[file][1][..., 0], np.rint(values / 4000 * 255))


def ct(root: Path, n: int = 20) -> dict[str, list[object]]:
    """Volumes as DICOM folders, and the same ones as NIfTI files; a table of the folders."""
    columns: dict[str, list[object]] = {"path": [], "nifti": [], "dx": []}
    for number in range(n):
        values = np.random.default_rng(number).integers(-200, 300, (5, 6, 6)).astype(np.int16)
        write_series(root / f"s{number}", values, seed=number, SeriesInstanceUID=f"1.2.{number + 1}")
        image = nibabel.Nifti1Image(values.transpose(2, 1, 0), np.diag([-1.0, -1.0, 2.5, 1.0]))
        nibabel.save(image, root / f"{number}.nii.gz")
        columns["path"].append(f"s{number}")
        columns["nifti"].append(f"{number}.nii.gz")
        columns["dx"].append("ab"[number % 2])
    return columns


def test_a_folder_of_slices_rows_of_a_series_and_nifti_are_the_same_volumes(root: Path) -> None:
    columns = ct(root)
    folders = load(name_of(root, columns, "&window=40/401"), 6)
    assert folders.info.shape == (6, 6, 6, 1)
    rows: dict[str, list[object]] = {"path": [], "dx": [], "scan": []}
    for folder, dx in zip(columns["path"], columns["dx"], strict=True):
        for file in sorted((root / str(folder)).iterdir()):
            rows["path"].append(file.relative_to(root).as_posix())
            rows["dx"].append(dx)
            rows["scan"].append(folder)
    series = load(name_of(root, rows, "&window=40/401&series=scan"), 6)
    assert series.digest == folders.digest
    assert series.splits["train"].names == folders.splits["train"].names
    files = load(name_of(root, {**columns, "path": columns["nifti"]}, "&window=39.5/400"), 6)
    assert files.digest == folders.digest
    assert load(name_of(root, columns, "&window=40/401")).info.shape == (64, 64, 64, 1)
    middle = load(name_of(root, columns, "&window=40/401&frame=middle"), 6)
    assert middle.info.shape == (6, 6, 1)
    rows["dx"][0] = "b"
    with pytest.raises(InputError, match=r"s0 \(its rows have 2 labels\)"):
        load(name_of(root, rows, "&series=scan"), 6)


def test_what_lies_beside_the_slices_is_left_out(root: Path) -> None:
    columns = ct(root)
    before = load(name_of(root, columns), 6)
    for file in ("notes.txt", ".DS_Store", "DICOMDIR", "preview.png"):
        (root / "s0" / file).write_bytes(b"x" * 200)
    assert load(name_of(root, columns), 6).digest == before.digest


def test_slices_of_other_formats_are_a_volume_by_name(root: Path) -> None:
    columns: dict[str, list[object]] = {"path": [], "dx": []}
    for number in range(12):
        (root / f"stack{number}").mkdir()
        for z in range(4):
            Image.new("L", (4, 4), 60 * z + number).save(root / f"stack{number}" / f"{z}.png")
        columns["path"].append(f"stack{number}")
        columns["dx"].append("ab"[number % 2])
    data = load(name_of(root, columns), 4)
    assert by_name(data)["stack3"][1][:, 0, 0, 0].tolist() == [3, 63, 123, 183]


def test_flat_images_and_volumes_do_not_mix(root: Path) -> None:
    columns = table(root)
    ct(root, 2)
    columns["path"][0] = "s0"
    with pytest.raises(InputError, match=r"1 volumes \(s0\) and 59 flat images .* take a slice of each volume with fr"):
        load(name_of(root, columns), 8)
    data = load(name_of(root, columns, "&frame=middle"), 8)
    assert len(by_name(data)) == 60


def test_grey_and_colour_are_brought_to_one(root: Path) -> None:
    columns = table(root)
    values = np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)
    write_dicom(root / "rgb.dcm", values)
    columns["path"][0] = "rgb.dcm"
    data = load(name_of(root, columns), 9)
    assert data.info.channels == 3
    assert np.array_equal(by_name(data)["rgb.dcm"][1], values)
    assert any("59 grey and 1 colour files, all brought to RGB" in note for note in data.notes)
    grey = load(name_of(root, columns), 9, channels=1)
    assert np.array_equal(by_name(grey)["rgb.dcm"][1][..., 0], np.asarray(Image.fromarray(values).convert("L")))


MISTAKES: dict[str, tuple[str, str]] = {
    "column": ("?image=path&label=dz&root=images", "label=dz: unknown column 'dz': did you mean 'dx'"),
    "image column": ("?label=dx", "image=image: unknown column 'image'"),
    "group column": ("?image=path&label=dx&group=patient&root=images", "did you mean 'patient_id'"),
    "option": ("?image=path&lable=dx", "unknown option 'lable': did you mean 'label'"),
    "root": ("?image=path&label=dx&root=imags", "imags is no folder: name it from the table's folder on"),
    "no root": ("?image=path&label=dx", "none of its 60 files is there, such as"),
    "split": (
        "?image=path&label=dx&split=dx&root=images",
        "split=dx: the column holds ill, well: write train, val and",
    ),
    "window": ("?image=path&label=dx&window=40&root=images", "write CENTER/WIDTH"),
    "frame": ("?image=path&label=dx&frame=0&root=images", "frame=0: write middle, or a number from 1 on"),
    "frame of flat images": ("?image=path&label=dx&frame=2&root=images", "has 1 slice(s), and frame=2 is asked for"),
    "frame without effect": ("?image=path&label=dx&frame=1&root=images", "frame=1 has no effect: no file holds sever"),
    "unreadable": ("?image=path&label=dx&unreadable=ignore", "choose skip or refuse"),
    "empty": ("?image=path&label=", "label= is empty"),
    "order": ("?image=path&label=dx&order=ill<ill&root=images", "name each class once, the least first"),
    "one class": ("?image=path&label=same&root=images", "nothing can be learned from one class"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_one_line(case: str, root: Path) -> None:
    options, message = MISTAKES[case]
    path = write(root.parent / "train.csv", {**table(root), "same": ["x"] * 60})
    with pytest.raises(InputError) as caught:
        load(f"csv:{path}{options}", 8)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_tables_that_are_none_are_one_line(root: Path) -> None:
    folder = root.parent
    (folder / "ragged.csv").write_text("path,dx\na.png,ill\nb.png,ill,more\n")
    (folder / "twice.csv").write_text("path,path\na,b\n")
    (folder / "empty.csv").write_text("")
    (folder / "header.csv").write_text("path,dx\n")
    (folder / "latin.csv").write_bytes("path,dx\na.png,krank \xe4\n".encode("latin-1"))
    (folder / "quote.csv").write_text('path,dx\n"a.png,ill\n')
    (folder / "no.parquet").write_text("path,dx\n")
    for file, message in (
        ("ragged.csv", "line 3: 3 cells, the header has 2"),
        ("twice.csv", "the header has 'path' twice"),
        ("empty.csv", "holds no rows"),
        ("header.csv", "holds no rows"),
        ("latin.csv", "is not UTF-8 text"),
        ("quote.csv", "cannot be read"),
        ("no.parquet", "cannot be read"),
        ("none.csv", "is no file: name a CSV or Parquet file"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            load(f"csv:{folder / file}?image=path&label=dx", 8)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="names no file: write csv:PATH"):
        load("csv:?image=path")


@pytest.mark.parametrize("place", ["why?", "why?/scans", "a&b", "MRI, T1 [v2]", "50%"])
def test_a_path_may_hold_any_sign(place: str, tmp_path: Path) -> None:
    root = write_images(tmp_path / place / "images", {"ill": 12, "well": 12})
    name = canonical(name_of(root))
    assert len(by_name(load(name, 8))) == 24


def _unwanted(*args: object) -> None:
    raise AssertionError("nothing may be decoded again")


def test_cache_key_and_normalization_are_as_of_other_sets(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = name_of(root, options="&group=patient_id")
    first = load(name, 8)
    monkeypatch.setattr(table_of_files, "_decode", _unwanted)
    assert load(name, 8).digest == first.digest
    monkeypatch.setattr(cache, "MAPPED_FROM", 0)
    mapped = load(name, 8)
    assert mapped.notes == first.notes
    assert [part.names for _, part in mapped] == [part.names for _, part in first]
    monkeypatch.undo()
    Image.new("L", (12, 12), 7).save(root / str(table(root)["path"][0]))
    assert load(name, 8).digest != first.digest
    assert save(first).parent == root.parent
    assert verify(first)[0].name.startswith("train-")
    assert check(name, 8).sizes == {split: len(part) for split, part in first}
    monkeypatch.chdir(root.parent)
    config = make_config({"dataset": f"csv:train.csv?image=path&label=dx&root={root}&group=patient_id"})
    assert config.dataset.startswith(f"csv:{root.parent}/train.csv?")
    assert without_paths(config.model_dump(mode="json"))["dataset"] == "csv:?image=path&label=dx&group=patient_id"


def test_brain_mri_by_a_table_with_made_up_patients(data_root: Path, tmp_path: Path) -> None:
    """60 files of each of three classes, four to a patient; the table lies elsewhere, and its root is the folder."""
    files = sorted(path.relative_to(data_root / "brain_mri").as_posix() for path in data_root.glob("brain_mri/*/*.jpg"))
    rows = {
        "path": files,
        "dx": [file.split("/")[0] for file in files],
        "patient_id": [f"{file[:2]}{number // 4}" for number, file in enumerate(files)],
    }
    path = write(tmp_path / "train.csv", rows)
    name = f"csv:{path}?image=path&label=dx&group=patient_id&root={data_root / 'brain_mri'}"
    found = check(name, 64, channels=1)
    assert sum(found.sizes.values()) == 180
    data = load(name, 64, channels=1)
    patient = dict(zip(rows["path"], rows["patient_id"], strict=True))
    members = [{patient[file] for file in data.splits[split].names} for split in SPLITS]
    assert sum(map(len, members)) == 45
    # Of the 15 patients of each class 70 % are 10.5, and 15 % are 2.25.
    assert [len(part) for _, part in data] == [3 * 4 * 11, 3 * 4 * 2, 3 * 4 * 2]
