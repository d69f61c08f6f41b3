"""The image files of a folder: found by class and split, with what is left out counted and said."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from trainables.data.reading.decoding import SHOWN, printable
from trainables.errors import InputError

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jfif", ".jpe", ".jp2", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pnm",
)  # fmt: skip
# Suffixes of files that a table may name, and a folder may not.
MEDICAL = (".dcm", ".dicom", ".nii", ".nii.gz")
SPLIT_NAMES = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
    "testing": "test",
}  # fmt: skip
# Our own statistics, which lie beside the data.
OURS = ".normalization.json"
MASKS = re.compile(r"(^|[_\- ])(masks?|seg|segmentations?|labels?|gt|ground[_\- ]?truth)$", re.IGNORECASE)


@dataclass(frozen=True)
class ImageFile:
    """One file: its path, its class, its split where the folder is divided already, and what is wrong with it."""

    path: Path
    class_name: str
    split: str = ""
    fault: str = ""


@dataclass
class ImageListing:
    """The image files of a folder by path, and what was met beside them.

    links: image files that are links to files outside of the folder. linked_folders: not followed. left_out: counts by
    suffix, or "hidden".
    """

    root: Path
    images: list[ImageFile] = field(default_factory=list)
    links: int = 0
    linked_folders: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def notes(self) -> Iterator[str]:
        """Yield what the user should know of the folder, a line each."""
        if self.left_out:
            kinds = ", ".join(f"{kind} {n}" for kind, n in self.left_out.most_common(SHOWN))
            more = ", ..." if len(self.left_out) > SHOWN else ""
            yield f"{self.root}: left out: {_files(self.left_out.total())} ({kinds}{more}){_table_hint(self)}"
        if self.linked_folders:
            names = ", ".join(self.linked_folders[:SHOWN]) + ", ..." * (len(self.linked_folders) > SHOWN)
            yield f"{self.root}: left out: linked folders, which are not followed ({names})"
        if self.links:
            yield f"{self.root}: {self.links} of {len(self.images)} images are links to files outside of it"
        masks = [file for file in self.images if _is_mask(file.path, self.root)]
        if masks:
            yield (
                f"{self.root}: {len(masks)} of {len(self.images)} images look like masks and are trained on as images "
                f"(such as {masks[0].path.relative_to(self.root)}): move them out if they are"
            )
        classes = {file.class_name for file in self.images}
        spellings = Counter(name.casefold() for name in classes)
        if alike := sorted(name for name in classes if spellings[name.casefold()] > 1):
            yield f"{self.root}: classes that differ by case only: {', '.join(alike)}"


def find_images(root: Path) -> ImageListing:
    """Look through a folder of class subfolders, or of train, val and test that hold them.

    Hidden files and folders and linked folders are left out. Raises `InputError` where the layout is another one.
    """
    if not root.is_dir():
        raise InputError(f"{root} is no folder: name a folder of class subfolders with folder:PATH")
    listing = ImageListing(root)
    parts = _subfolders(listing, root)
    split_of = {part: SPLIT_NAMES.get(part.name.lower(), "") for part in parts}
    if not parts or (any(split_of.values()) and not all(split_of.values())):
        names = ", ".join(part.name for part in parts) or "nothing"
        raise InputError(f"{root} must hold class subfolders, or train, val and test; found {names}")
    twice = sorted(part.name for part in parts if split_of[part] and [*split_of.values()].count(split_of[part]) > 1)
    if twice:
        raise InputError(f"{root} has several subfolders for one split ({', '.join(twice)}): leave one of them")
    for part in parts:
        if not split_of[part]:
            _add_class(listing, part, "")
            continue
        classes = _subfolders(listing, part)
        if not classes:
            raise InputError(f"{part} holds no class subfolders: put each class's images into one")
        for class_folder in classes:
            _add_class(listing, class_folder, split_of[part])
    _check_case(listing)
    listing.images.sort(key=lambda file: str(file.path))
    return listing


def _subfolders(listing: ImageListing, folder: Path) -> list[Path]:
    """Return the folders in a folder; what else is there is counted as left out."""
    subfolders = []
    for entry in _entries(folder):
        path = Path(entry.path)
        if entry.name.startswith("."):
            _count_hidden(listing, path)
        elif entry.is_dir(follow_symlinks=False):
            if not _is_text(entry.name):
                raise InputError(
                    f"{folder} holds a folder whose name is not UTF-8 ({printable(entry.name)}): rename it"
                )
            subfolders.append(path)
        elif entry.is_dir():
            listing.linked_folders.append(_relative(listing, path))
        else:
            _count(listing, path)
    return sorted(subfolders)


def _add_class(listing: ImageListing, folder: Path, split: str) -> None:
    before = len(listing.images)
    _add_images(listing, folder, folder.name, split)
    if len(listing.images) == before:
        raise InputError(
            f"{folder} holds no image ({' '.join(SUFFIXES)}): add some, or delete the subfolder{_table_hint(listing)}"
        )


def _add_images(listing: ImageListing, folder: Path, class_name: str, split: str) -> None:
    """Add the images of a class folder and of the folders in it."""
    try:
        entries = _entries(folder)
    except InputError as error:
        listing.images.append(ImageFile(folder, class_name, split, str(error)))
        return
    for entry in entries:
        path = Path(entry.path)
        if entry.name.startswith("."):
            _count_hidden(listing, path)
        elif entry.is_dir(follow_symlinks=False):
            _add_images(listing, path, class_name, split)
        elif path.suffix.lower() in SUFFIXES:
            listing.images.append(ImageFile(path, class_name, split, fault_of(path)))
            listing.links += entry.is_symlink() and not _is_inside(listing.root, path)
        elif entry.is_dir():
            listing.linked_folders.append(_relative(listing, path))
        else:
            _count(listing, path)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"{folder} cannot be read ({error.strerror}): change its permissions, or move it") from None


def fault_of(path: Path) -> str:
    """Say why a file cannot be an image; empty where it may be one."""
    if not _is_text(str(path)):
        return "its name is not UTF-8: rename it"
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return f"a link to nothing: {error.strerror}" if os.path.islink(path) else error.strerror or "cannot be read"
    return "" if stat.S_ISREG(mode) else "is no regular file"


def _is_inside(root: Path, path: Path) -> bool:
    """Tell whether a path, its links followed, lies in a folder; a link to itself is no error here."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))


def _is_text(name: str) -> bool:
    """Tell whether a file's name is UTF-8; Python reads other bytes as lone surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def _relative(listing: ImageListing, path: Path) -> str:
    return printable(path.relative_to(listing.root).as_posix())


def _count(listing: ImageListing, path: Path) -> None:
    if not path.name.endswith(OURS):
        suffixes = "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
        outside = " outside of the class folders" if suffixes.lower() in SUFFIXES else ""
        listing.left_out[printable(suffixes.lower() or "without a suffix") + outside] += 1


def _table_hint(listing: ImageListing) -> str:
    """Return where DICOM and NIfTI files are read, if some were left out."""
    found = any(listing.left_out[suffix] for suffix in MEDICAL)
    return "; DICOM and NIfTI files are read from a table that names them, csv:FILE" * found


def _count_hidden(listing: ImageListing, path: Path) -> None:
    """Count the hidden images; other hidden files are no one's data."""
    folders = [path] if path.is_dir() and not path.is_symlink() else []
    paths: Iterable[str] = (path.name,) if not folders else (
        name for _, _, names in os.walk(path) for name in names
    )  # fmt: skip
    hidden = sum(Path(name).suffix.lower() in SUFFIXES for name in paths)
    if hidden:
        listing.left_out["hidden"] += hidden


def _is_mask(path: Path, root: Path) -> bool:
    """Judge by the name of the file or of a folder below its class's: `x_mask.png`, `masks/x.png`."""
    inside = path.relative_to(root).parts[1:]
    return any(MASKS.search(part) for part in (*inside[:-1], path.stem))


def _check_case(listing: ImageListing) -> None:
    """Raise `InputError` where a class is spelt in upper case in one split and in lower case in another."""
    splits: dict[str, dict[str, set[str]]] = {}
    for file in listing.images:
        splits.setdefault(file.class_name.casefold(), {}).setdefault(file.class_name, set()).add(file.split)
    for spellings in splits.values():
        if len(spellings) > 1 and len({frozenset(where) for where in spellings.values()}) > 1:
            raise InputError(
                f"{listing.root}: {' and '.join(sorted(spellings))} stand in different splits: spell the class alike"
            )


def _files(n: int) -> str:
    return f"{n} file{'s' * (n != 1)}"
