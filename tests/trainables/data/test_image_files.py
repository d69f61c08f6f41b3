"""What lies in people's image folders: hidden files, links, masks, stacks of pages, other suffixes, bombs, pipes."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.support.generated_data import write_images
from trainables.data.arrays import Data
from trainables.data.dataset_names import folder_options
from trainables.data.datasets import canonical, load
from trainables.errors import InputError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEPS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_images(tmp_path / "images", {"ill": 12, "well": 12})


def names(data: Data) -> set[str]:
    return {name for _, split in data for name in split.names}


def _hidden(root: Path) -> None:
    for folder in (".ipynb_checkpoints", "ill/.ipynb_checkpoints", "ill/.Trash-1000/files", "well/.thumbnails"):
        (root / folder).mkdir(parents=True)
        shutil.copy(root / "well" / "well_00000.png", root / folder / "x.png")
    (root / "ill" / ".DS_Store").write_bytes(b"")


def _first(root: Path, class_name: str) -> Path:
    return sorted((root / class_name).glob("*.png"))[0]


def _others(root: Path) -> None:
    (root / "loose.jpg").write_bytes(b"x")
    (root / "notes").write_text("x")
    (root / "ill" / "scan.dcm").write_bytes(b"x")
    (root / "ill" / "volume.nii.gz").write_bytes(b"x")
    (root / f"images-0123{'.normalization.json'}").write_text("{}")


def _linked(root: Path) -> None:
    far = root.parent / "far"
    write_images(far, {"more": 3})
    (root / "ill" / "second_site").symlink_to(far / "more")
    (root / "third").symlink_to(far / "more")
    (root / "well" / "again").symlink_to(root)
    (root / "well" / "linked.png").symlink_to(_first(far, "more"))


def _masks(root: Path) -> None:
    (root / "ill" / "masks").mkdir()
    for name in ("masks/a.png", "b_mask.png", "c_segmentation.png", "unmasked.png", "masking_tape.png"):
        shutil.copy(_first(root, "ill"), root / "ill" / name)


def _stack(root: Path) -> None:
    pages = [Image.fromarray(np.full((9, 9), level, np.uint8)) for level in (10, 20, 30)]
    pages[0].save(root / "ill" / "stack.tif", save_all=True, append_images=pages[1:])


CASES: dict[str, tuple[Callable[[Path], None], int, str]] = {
    "others": (_others, 24, "left out: 4 files (.jpg outside of the class folders 1, without a suffix 1, .dcm 1, .nii"),
    "linked": (_linked, 25, "left out: linked folders, which are not followed (third, ill/second_site, well/again)"),
    "links": (_linked, 25, "1 of 25 images are links to files outside of it"),
    "masks": (_masks, 29, "3 of 29 images look like masks and are trained on as images (such as ill/b_mask.png)"),
    "stack": (_stack, 25, "1 file(s) hold several pages (ill/stack.tif 3): the first of each is read"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_left_out_or_odd_is_said(case: str, root: Path) -> None:
    make, n, note = CASES[case]
    make(root)
    data = load(f"folder:{root}", 8)
    assert len(names(data)) == n
    assert any(note in line for line in data.notes), data.notes
    again = load(f"folder:{root}", 8)
    assert again.notes == data.notes  # also of a folder that is in the cache


def test_a_folder_of_medical_files_says_where_they_are_read(root: Path) -> None:
    (root / "scans").mkdir()
    (root / "scans" / "a.dcm").write_bytes(b"x")
    with pytest.raises(
        InputError, match=r"scans holds no image .*DICOM and NIfTI files are read from a table .*csv:FI"
    ):
        load(f"folder:{root}", 8)
    shutil.copy(_first(root, "well"), root / "scans")
    data = load(f"folder:{root}", 8)
    assert any("(.dcm 1); DICOM and NIfTI files are read from a table" in note for note in data.notes)


def test_hidden_files_and_folders_are_no_images(root: Path) -> None:
    plain = names(load(f"folder:{root}", 8))
    for folder in (".ipynb_checkpoints", "ill/.ipynb_checkpoints", "ill/.Trash-1000/files", "well/.thumbnails/.x"):
        (root / folder).mkdir(parents=True)
        shutil.copy(_first(root, "well"), root / folder / "x.png")
    (root / "ill" / ".DS_Store").write_bytes(b"")
    data = load(f"folder:{root}", 8)
    assert names(data) == plain
    assert any("left out: 4 files (hidden 4)" in note for note in data.notes)


def test_a_note_follows_what_is_there_now(root: Path) -> None:
    load(f"folder:{root}", 8)
    (root / "ill" / "scan.dcm").write_bytes(b"x")
    assert any(".dcm 1" in note for note in load(f"folder:{root}", 8).notes)


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "JPG", "jp2"])
def test_all_suffixes_of_an_image_are_read(suffix: str, root: Path) -> None:
    kind = "JPEG2000" if suffix == "jp2" else "JPEG"
    Image.new("L", (9, 9), 77).save(root / "ill" / f"more.{suffix}", format=kind)
    data = load(f"folder:{root}", 8)
    (image,) = (i for _, s in data for n, i in zip(s.names, s.images, strict=True) if n == f"ill/more.{suffix}")
    assert abs(int(image.mean()) - 77) <= 1


def _fifo(root: Path) -> None:
    os.mkfifo(root / "ill" / "bad.png")


def _not_text(root: Path) -> None:
    with open(os.fsencode(root / "ill") + b"/bad\xff.png", "wb") as file:
        file.write(_first(root, "well").read_bytes())


def _to_itself(root: Path) -> None:
    (root / "ill" / "bad.png").symlink_to("bad.png")


def _folder(root: Path) -> None:
    (root / "ill" / "x.png").symlink_to(root.parent)


FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "dangling": (lambda root: (root / "ill" / "bad.png").symlink_to("nowhere"), "bad.png (a link to nothing: No such"),
    "itself": (_to_itself, "bad.png (a link to nothing: Too many levels"),
    "pipe": (_fifo, "bad.png (is no regular file)"),
    "not UTF-8": (_not_text, "bad\\udcff.png (its name is not UTF-8: rename it)"),
    "folder": (_folder, "x.png (is no regular file)"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_what_cannot_be_read_is_refused_in_one_line_or_skipped(case: str, root: Path) -> None:
    make, message = FAULTS[case]
    make(root)
    with pytest.raises(InputError) as caught:
        load(f"folder:{root}", 8)
    assert message in str(caught.value)
    str(caught.value).encode()  # it can be printed
    assert "\n" not in str(caught.value)
    data = load(f"folder:{root}?unreadable=skip", 8)
    assert len(names(data)) == 24
    assert "skipped 1 of 25" in data.notes[0]


def _twice(root: Path) -> None:
    for name in ("train", "Train", "test"):
        write_images(root / name, {"a": 3, "b": 3})


def _spelt(root: Path) -> None:
    for name, classes in (("train", ("Ill", "well")), ("val", ("ill", "well")), ("test", ("ill", "well"))):
        write_images(root / name, dict.fromkeys(classes, 3))


def _class_not_text(root: Path) -> None:
    write_images(root, {"a": 3, "b": 3})
    os.mkdir(os.fsencode(root) + b"/\xffclass")


LAYOUTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "two folders for train": (_twice, "several subfolders for one split (Train, train): leave one of them"),
    "a class spelt in two ways": (_spelt, "Ill and ill stand in different splits: spell the class alike"),
    "a class that is not UTF-8": (_class_not_text, "name is not UTF-8 (\\udcffclass): rename it"),
}


@pytest.mark.parametrize("case", LAYOUTS)
def test_a_layout_that_cannot_be_meant_is_refused(case: str, tmp_path: Path) -> None:
    make, message = LAYOUTS[case]
    make(tmp_path / "made")
    with pytest.raises(InputError) as caught:
        load(f"folder:{tmp_path / 'made'}", 8)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_classes_that_differ_by_case_only_are_said(tmp_path: Path) -> None:
    root = write_images(tmp_path / "letters", {"a": 12, "A": 12})
    data = load(f"folder:{root}", 8)
    assert data.info.class_names == ("A", "a")
    assert any("classes that differ by case only: A, a" in note for note in data.notes)


@pytest.mark.skipif(os.getuid() != 0 or shutil.which("setpriv") is None, reason="needs root, to become somebody else")
def test_a_folder_and_a_file_without_permission_are_one_line(tmp_path: Path) -> None:
    root = write_images(Path("/var/tmp") / f"sweeps-{os.getpid()}", {"ill": 12, "well": 12})
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from trainables.data.formats.image_files import find_images\n"
        "from pathlib import Path\n"
        "from trainables.errors import InputError\n"
        "try:\n    print([f.fault for f in find_images(Path(sys.argv[2])).images if f.fault])\n"
        "except InputError as error:\n    print(error)\n"
    )

    def ask() -> str:
        words = ["setpriv", "--reuid", "12345", "--clear-groups", sys.executable, "-c", code, str(ROOT), str(root)]
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout

    try:
        if ask() != "[]\n":
            pytest.skip("another user cannot run this Python")
        (root / "ill" / "deep").mkdir(mode=0o000)
        assert "cannot be read (Permission denied)" in ask()
        root.chmod(0o000)
        assert "cannot be read (Permission denied)" in ask()
    finally:
        root.chmod(0o755)
        shutil.rmtree(root)


def test_large_images_are_decoded_one_at_a_time(root: Path) -> None:
    """Four of 36 million pixels each, 0.1 MB as files, take the memory of one; and Pillow prints nothing."""
    for number in range(4):
        Image.new("RGB", (6000, 6000), (number, 9, 9)).save(root / "ill" / f"large{number}.png")
    code = f"from trainables.data.datasets import load; load('folder:{root}', 8)"
    limit = 2**30  # above what Python and its libraries map
    base = int(subprocess.run(
        [sys.executable, "-c", "import trainables.data.datasets, PIL.Image, resource; "
         "print(int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize())"],
        capture_output=True, text=True, check=True, cwd=ROOT,
    ).stdout)  # fmt: skip

    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (base + limit, base + limit))

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT, preexec_fn=bounded
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_decompression_bomb_is_refused_and_pillows_warnings_are_notes(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    Image.new("L", (120, 120), 3).save(root / "ill" / "wide.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = load(f"folder:{root}", 8)
    assert any("Pillow warns of 1 image(s): Image size (14400 pixels)" in note for note in data.notes)
    Image.new("L", (200, 200), 3).save(root / "ill" / "bomb.png")
    with pytest.raises(InputError, match=r"bomb.png \(Image size \(40000 pixels\) exceeds limit"):
        load(f"folder:{root}", 8)


@pytest.mark.parametrize("place", ["why?", "why?/scans", "a?b=c/d", "MRI, T1 [v2]", "50%"])
def test_a_path_may_hold_any_sign(place: str, tmp_path: Path) -> None:
    root = write_images(tmp_path / place, {"ill": 12, "well": 12})
    if "?b=" in place:  # it reads as an option, and that is said
        with pytest.raises(InputError, match="unknown option 'b'"):
            load(f"folder:{root}", 8)
        return
    name = canonical(f"folder:{root}?unreadable=skip")
    assert folder_options(name).path == root
    assert len(names(load(name, 8))) == 24


def test_a_path_that_is_not_utf8_is_one_line() -> None:
    with pytest.raises(InputError, match="not UTF-8"):
        load("folder:/x\udcff", 8)
