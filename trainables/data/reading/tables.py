"""Columns of a CSV or Parquet file as texts."""

from __future__ import annotations

import csv
import math
import os
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trainables.errors import InputError, unknown_name

DELIMITERS = (",", ";", "\t")
PARQUET = (".parquet", ".pq")
# Cells that hold nothing; "none" and "NA" may be classes.
EMPTY = ("", "nan", "null", "<na>")


@dataclass(frozen=True)
class Table:
    """The columns that were asked for, each of as many texts as the file has rows; an empty cell holds nothing.

    header: the names of all columns.
    """

    path: Path
    header: tuple[str, ...]
    columns: dict[str, list[str]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def column(self, option: str, name: str) -> list[str]:
        """Return a column. Raises `InputError` with the closest match where there is none of that name."""
        if name not in self.columns:
            raise InputError(f"{self.path}: {option}={name}: {unknown_name('column', name, self.header)}")
        return self.columns[name]


def read_table(path: Path, wanted: Collection[str]) -> Table:
    """Read columns of a CSV file (UTF-8; commas, semicolons or tabs, whichever its header has most) or a Parquet file.

    wanted: names of columns; those that the file lacks are left out. Raises `InputError` where it is not there, is
    damaged, or holds no row.
    """
    if not os.path.isfile(path):
        raise InputError(f"{path} is no file: name a CSV or Parquet file with csv:FILE")
    with _readable(path):
        header, n, columns = (_parquet if path.suffix.lower() in PARQUET else _csv)(path, wanted)
    if not n:
        raise InputError(f"{path} holds no rows: give it a header and one row an image")
    return Table(path, tuple(header), columns)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text: save it as UTF-8, or as Parquet") from None
    except (OSError, ValueError, csv.Error) as error:
        text = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise InputError(f"{path} cannot be read ({text}): save it again as CSV or Parquet") from None


Read = tuple[list[str], int, dict[str, list[str]]]


def _csv(path: Path, wanted: Collection[str]) -> Read:
    """Return the header, the number of rows, and the columns."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        first = file.readline()
        file.seek(0)
        delimiter = max(DELIMITERS, key=first.count)
        rows = csv.reader(file, delimiter=delimiter, strict=True)
        header = [name.strip() for name in next(rows, [])]
        _check_header(path, header)
        columns: dict[str, list[str]] = {name: [] for name in header if name in wanted}
        numbers, n = [(number, columns[name]) for number, name in enumerate(header) if name in wanted], 0
        for row in rows:
            if not row:
                continue
            n += 1
            if len(row) != len(header):
                raise InputError(
                    f"{path}, line {rows.line_num}: {len(row)} cells, the header has {len(header)}: put a cell that "
                    "holds the separator in double quotes"
                )
            for number, column in numbers:
                column.append(_text(row[number]))
    return header, n, columns


def _check_header(path: Path, header: list[str]) -> None:
    if twice := [name for name, n in Counter(header).items() if n > 1]:
        raise InputError(f"{path}: the header has {twice[0]!r} twice: give each column a name of its own")


def _parquet(path: Path, wanted: Collection[str]) -> Read:
    try:
        schema = pq.read_schema(path)
        flat = [field.name for field in schema if not pa.types.is_nested(field.type)]
        table = pq.read_table(path, columns=[name for name in flat if name in wanted])
    except pa.ArrowException as error:
        raise InputError(f"{path} cannot be read ({str(error).splitlines()[0]}): write it again as Parquet") from None
    _check_header(path, flat)
    columns = {name: [_text(value) for value in table.column(name).to_pylist()] for name in table.column_names}
    return flat, table.num_rows, columns


def _text(value: Any) -> str:
    """Return a cell as text: whole numbers without a point; empty where it holds nothing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
    return "" if text.strip().lower() in EMPTY else text.strip()
