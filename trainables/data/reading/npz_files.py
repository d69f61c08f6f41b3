"""npz files unpacked into .npy files, streamed: the memory taken does not grow with the file, and nothing runs code."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO, Any

from numpy.lib import format as npy

from trainables.atomic_files import check_regular
from trainables.data.downloads import check_room
from trainables.errors import InputError

READ_HEADER: dict[tuple[int, int], Callable[..., Any]] = {
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
}


def array_names(path: Path, remedy: str) -> list[str]:
    """Return the names of a file's arrays. Raises `InputError` where it is no npz file."""
    with _opened(path, remedy) as archive:
        return [member.removesuffix(".npy") for member in archive.namelist() if member.endswith(".npy")]


def array_shape(path: Path, name: str, remedy: str) -> tuple[int, ...]:
    """Return the shape of an array by its header: nothing of it is unpacked, however large it says that it is.

    Raises `InputError`, and `KeyError` where the file has no such array.
    """
    with _opened(path, remedy) as archive, archive.open(f"{name}.npy") as packed:
        shape, _, _ = _header(packed, f"{path}, {name}.npy", remedy)
    return shape


def unpack_arrays(path: Path, folder: Path, names: Sequence[str], remedy: str, any_order: bool = False) -> None:
    """Write arrays of a file as `<name>.npy`. remedy: what to do with a bad file, for messages.

    any_order: arrays in Fortran order are taken, too. Raises `InputError` where the file is truncated, an array is
    empty or holds pickled content.
    """
    with _opened(path, remedy) as archive:
        check_room(path, folder, sum(archive.getinfo(f"{name}.npy").file_size for name in names))
        for name in names:
            with archive.open(f"{name}.npy") as packed, (folder / f"{name}.npy").open("wb") as target:
                _copy_array(packed, target, f"{path}, {name}.npy", remedy, any_order)


@contextmanager
def _opened(path: Path, remedy: str) -> Iterator[zipfile.ZipFile]:
    try:
        check_regular(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): {remedy}") from None
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except InputError:
        raise
    # RuntimeError: a member with a password.
    except (zipfile.BadZipFile, EOFError, ValueError, zlib.error, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{path} cannot be read ({error}): {remedy}") from None


def _copy_array(packed: IO[bytes], target: IO[bytes], where: str, remedy: str, any_order: bool) -> None:
    shape, fortran_order, dtype = _header(packed, where, remedy)
    if shape[:1] in ((), (0,)):
        raise InputError(f"{where} is empty: {remedy}")
    if fortran_order and len(shape) > 1 and not any_order:
        raise InputError(f"{where} is in Fortran order, unlike the published file: {remedy}")
    header = {"descr": npy.dtype_to_descr(dtype), "fortran_order": fortran_order, "shape": shape}
    npy.write_array_header_2_0(target, header)
    start = target.tell()
    shutil.copyfileobj(packed, target, 2**20)
    if target.tell() - start != prod(shape) * dtype.itemsize:
        raise InputError(f"{where} cannot be read (shape {shape}, {target.tell() - start} bytes): {remedy}")


def _header(packed: IO[bytes], where: str, remedy: str) -> tuple[tuple[int, ...], bool, Any]:
    """Return shape, Fortran order and type of an array. Raises `InputError`."""
    version = npy.read_magic(packed)
    if version not in READ_HEADER:
        raise InputError(f"{where} is an array of an unknown version {version}: {remedy}")
    shape, fortran_order, dtype = READ_HEADER[version](packed)
    if dtype.hasobject:
        raise InputError(f"{where} holds pickled objects, which could run code and are refused: {remedy}")
    return shape, fortran_order, dtype
