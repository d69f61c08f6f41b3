"""Many image files decoded into one array: in threads, with what cannot be read counted and named."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Literal, TypeVar

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from trainables.data.arrays import Data
from trainables.data.downloads import check_room
from trainables.errors import LONGEST, InputError

# Pixels; a larger image is decoded while no other one is, so that memory holds a single one.
ALONE = 2**22
# Values of one image or volume (512 x 512 x 1024); more is refused before it is decoded.
MOST_VALUES = 2**28
# Names that a message shows at most.
SHOWN = 10
# The side of images and of volumes where none is asked for.
SIZE_2D, SIZE_3D = 224, 64
_one_at_a_time = Lock()
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class ImageSource:
    """One image: the name that is shown, its file, and why it cannot be used, or empty.

    is_series: its files are the slices of one volume.
    """

    name: str
    paths: tuple[Path, ...]
    fault: str = ""
    is_series: bool = False


@dataclass(frozen=True)
class Look:
    """The facts in a file's header. fault: why the file cannot be used, or empty. mode: Pillow's.

    pages: of a file whose first page alone is read. depth: slices, of which one can be taken. by_percentiles: its
    values are brought to uint8 by themselves.
    """

    grey: bool = True
    pages: int = 1
    pixels: int = 0
    fault: str = ""
    is_3d: bool = False
    by_percentiles: bool = False
    mode: str = ""
    depth: int = 1


@dataclass(frozen=True)
class Reader:
    """One way to read images: `look` at a header, and `read` pixels as uint8 of (shape of one image).

    errors: what both raise for a file that cannot be read. name: of the library, for notes on its warnings. check:
    raises `InputError` for what the headers of all files show.
    """

    look: Callable[[ImageSource], Look]
    read: Callable[[ImageSource, tuple[int, ...]], NDArray[np.uint8]]
    errors: tuple[type[Exception], ...]
    name: str
    check: Callable[[Sequence[Look]], None] | None = None


@dataclass(frozen=True)
class Decoded:
    """The pixels of all sources, mapped from a file; the rows that could be read; what the user should know."""

    pixels: NDArray[np.uint8]
    readable: NDArray[np.int64]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Wanted:
    """The images that are asked for. where: the data, for messages. size: 0 where none is asked for."""

    where: Path
    size: int
    channels: int | None
    skip_unreadable: bool


def decode(sources: Sequence[ImageSource], reader: Reader, wanted: Wanted, folder: Path) -> Decoded:
    """Decode all sources into `folder/all.npy`. Raises `InputError` for what cannot be read, unless it is skipped."""
    # Warnings are ignored: the same ones come again when the pixels are read.
    looks = in_threads(partial(_look, reader), sources, "ignore")[0]
    usable = [look for look in looks if not look.fault]
    if reader.check is not None and usable:
        reader.check(usable)
    grey = sum(look.grey for look in looks)
    channels = wanted.channels or (1 if grey == len(looks) else 3)
    size, is_3d = _size(wanted, sources, looks), any(look.is_3d for look in usable)
    shape = (len(sources), *(size,) * (3 if is_3d else 2), channels)
    check_room(wanted.where, folder, 2 * int(np.prod(shape)))
    pixels = open_memmap(folder / "all.npy", mode="w+", dtype=np.uint8, shape=shape)
    one = partial(_decode_one, sources, looks, reader, pixels)
    faults, warned = in_threads(one, range(len(sources)), "always")
    notes = (
        *_unreadable(wanted, sources, faults),
        *_mixture(wanted, grey, len(looks), channels),
        *_stacks(wanted, sources, looks),
        *_by_percentiles(wanted, looks),
        *_warned(wanted, reader, warned),
    )
    return Decoded(pixels, np.flatnonzero([not fault for fault in faults]), notes)


def in_threads(
    function: Callable[[Item], Result], items: Sequence[Item], action: Literal["ignore", "always"]
) -> tuple[list[Result], list[str]]:
    """Return results and warnings.

    Pillow lets go of the interpreter while it decodes, and warns in plain text on stderr.
    """
    with warnings.catch_warnings(record=True) as caught, ThreadPoolExecutor() as pool:
        warnings.simplefilter(action)
        return list(pool.map(function, items)), [str(warning.message) for warning in caught]


def copy_splits(decoded: Decoded, rows: Mapping[str, np.ndarray], folder: Path) -> dict[str, NDArray[np.uint8]]:
    """Copy each split's rows of the readable images into a file of its own, and remove that of all."""
    splits = {
        name: _copied(decoded.pixels, decoded.readable[chosen], folder / f"{name}_images.npy")
        for name, chosen in rows.items()
    }
    (folder / "all.npy").unlink()
    return splits


def with_names(data: Data, names: Sequence[str], rows: Mapping[str, np.ndarray], notes: Sequence[str]) -> Data:
    """Return a dataset whose images bear the names of their rows, with notes put before its own."""
    splits = {split: replace(part, names=tuple(names[row] for row in rows[split])) for split, part in data}
    return replace(data, splits=splits, notes=(*notes, *data.notes))


def reason(error: Exception) -> str:
    """Return an error's text in one line, for a list of files that cannot be read."""
    if isinstance(error, MemoryError):
        return "too large for this machine's memory"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def printable(name: str) -> str:
    """Return a file's name with bytes that are no UTF-8, and control characters, as escapes; a long one is cut."""
    escaped = name.encode(errors="backslashreplace").decode()
    text = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in escaped[:LONGEST])
    return f"{text}..." if len(escaped) > LONGEST else text


def some(names: Sequence[str], most: int = SHOWN, between: str = ", ") -> str:
    """Return the first names, and a sign that there are more."""
    return between.join(names[:most]) + f"{between}..." * (len(names) > most)


def _look(reader: Reader, source: ImageSource) -> Look:
    if source.fault:
        return Look(fault=source.fault)
    try:
        look = reader.look(source)
    except InputError:
        # Not of the file: a library is missing.
        raise
    except reader.errors as error:
        return Look(fault=reason(error))
    if look.pixels > MOST_VALUES:
        return Look(fault=f"{look.pixels:,} values; at most {MOST_VALUES:,} are read")
    return look


def _decode_one(
    sources: Sequence[ImageSource], looks: Sequence[Look], reader: Reader, pixels: np.ndarray, row: int
) -> str:
    """Decode a source into its row. Returns what is wrong with it, or an empty text."""
    look = looks[row]
    if look.fault:
        return look.fault
    try:
        if look.pixels <= ALONE:
            pixels[row] = reader.read(sources[row], pixels.shape[1:])
        else:
            with _one_at_a_time:
                pixels[row] = reader.read(sources[row], pixels.shape[1:])
    except reader.errors as error:
        return reason(error)
    return ""


def _size(wanted: Wanted, sources: Sequence[ImageSource], looks: Sequence[Look]) -> int:
    """Return the side of the images. Raises `InputError` where some are flat and others are volumes."""
    kinds: dict[bool, list[str]] = {False: [], True: []}
    for source, look in zip(sources, looks, strict=True):
        if not look.fault:
            kinds[look.is_3d].append(printable(source.name))
    if kinds[True] and kinds[False]:
        raise InputError(
            f"{wanted.where}: {len(kinds[True])} volumes ({some(kinds[True], 2)}) and {len(kinds[False])} flat images "
            f"({some(kinds[False], 2)}): leave one kind out, or take a slice of each volume with frame=middle"
        )
    return wanted.size or (SIZE_3D if kinds[True] else SIZE_2D)


def _unreadable(wanted: Wanted, sources: Sequence[ImageSource], faults: Sequence[str]) -> tuple[str, ...]:
    """Return a note that lists the unreadable images; raise `InputError` where they are not to be skipped."""
    bad = [f"{printable(source.name)} ({fault})" for source, fault in zip(sources, faults, strict=True) if fault]
    if not bad:
        return ()
    shown = some(bad, between="; ")
    if wanted.skip_unreadable and len(bad) < len(sources):
        return (f"{wanted.where}: skipped {len(bad)} of {len(sources)} images that cannot be read: {shown}",)
    raise InputError(
        f"{wanted.where}: {len(bad)} of {len(sources)} images cannot be read: {shown}: "
        "repair or delete them, or add unreadable=skip to the options in the dataset's name"
    )


def _mixture(wanted: Wanted, grey: int, n: int, channels: int) -> Iterator[str]:
    if 0 < grey < n:
        mode = "grey" if channels == 1 else "RGB"
        yield f"{wanted.where}: {grey} grey and {n - grey} colour files, all brought to {mode}"


def _stacks(wanted: Wanted, sources: Sequence[ImageSource], looks: Sequence[Look]) -> Iterator[str]:
    stacks = [
        f"{printable(source.name)} {look.pages}" for source, look in zip(sources, looks, strict=True) if look.pages > 1
    ]
    if stacks:
        yield f"{wanted.where}: {len(stacks)} file(s) hold several pages ({some(stacks)}): the first of each is read"


def _by_percentiles(wanted: Wanted, looks: Sequence[Look]) -> Iterator[str]:
    if n := sum(look.by_percentiles and not look.fault for look in looks):
        yield (
            f"{wanted.where}: {n} of {len(looks)} images have more than 8 bits and no window: each is stretched from "
            "its 0.5th to its 99.5th percentile; window=CENTER/WIDTH gives all the same scale"
        )


def _warned(wanted: Wanted, reader: Reader, messages: Sequence[str]) -> Iterator[str]:
    """Yield a line for each kind of warning that the library gave."""
    for message, n in Counter(text.splitlines()[0][:200] for text in messages if text).most_common(SHOWN):
        yield f"{wanted.where}: {reader.name} warns of {n} image(s): {message}"


def _copied(pixels: np.ndarray, rows: np.ndarray, path: Path) -> np.ndarray:
    """Copy rows of a mapped array into a file of their own, piece by piece."""
    if len(rows) == 0:
        return pixels[:0]
    target = open_memmap(path, mode="w+", dtype=np.uint8, shape=(len(rows), *pixels.shape[1:]))
    step = max(1, 2**26 // max(1, pixels[0].nbytes))
    for start in range(0, len(rows), step):
        target[start : start + step] = pixels[rows[start : start + step]]
    target.flush()
    return target
