"""Columns of a CSV or Parquet file as texts."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainables.errors import InputError, unknown_name

DELIMITERS = (",", ";", "\t")
PARQUET = (".parquet", ".pq")
# Cells that hold nothing; "none" and "NA" may be classes.
EMPTY = ("", "nan", "null", "<na>")


@dataclass(frozen=True)
class Table:
    """The columns of a file, each of as many texts as it has rows; a cell that holds nothing is empty."""

    path: Path
    columns: dict[str, list[str]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def column(self, option: str, name: str) -> list[str]:
        """Return a column. Raises `InputError` with the closest match where there is none of that name."""
        if name not in self.columns:
            raise InputError(f"{self.path}: {option}={name}: {unknown_name('column', name, self.columns)}")
        return self.columns[name]


def read_table(path: Path) -> Table:
    """Read a CSV file (UTF-8; divided by comma, semicolon or tab, whichever its header has most) or a Parquet file.

    Raises `InputError` where it is not there, is damaged, or holds no row.
    """
    if not path.is_file():
        raise InputError(f"{path} is no file: name a CSV or Parquet file with csv:FILE")
    with _readable(path):
        columns = _parquet(path) if path.suffix.lower() in PARQUET else _csv(path)
    if not columns or not next(iter(columns.values())):
        raise InputError(f"{path} holds no rows: give it a header and one row an image")
    return Table(path, columns)


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


def _csv(path: Path) -> dict[str, list[str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        first = file.readline()
        file.seek(0)
        delimiter = max(DELIMITERS, key=first.count)
        rows = csv.reader(file, delimiter=delimiter, strict=True)
        header = [name.strip() for name in next(rows, [])]
        _check_header(path, header)
        columns: list[list[str]] = [[] for _ in header]
        for row in rows:
            if not row:
                continue
            if len(row) != len(header):
                raise InputError(
                    f"{path}, line {rows.line_num}: {len(row)} cells, the header has {len(header)}: put a cell that "
                    "holds the separator in double quotes"
                )
            for column, cell in zip(columns, row, strict=True):
                column.append(_text(cell))
    return dict(zip(header, columns, strict=True))


def _check_header(path: Path, header: list[str]) -> None:
    if twice := [name for name, n in Counter(header).items() if n > 1]:
        raise InputError(f"{path}: the header has {twice[0]!r} twice: give each column a name of its own")


def _parquet(path: Path) -> dict[str, list[str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, memory_map=False)
    except pa.ArrowException as error:
        raise InputError(f"{path} cannot be read ({str(error).splitlines()[0]}): write it again as Parquet") from None
    _check_header(path, table.column_names)
    flat = [name for name in table.column_names if not pa.types.is_nested(table.schema.field(name).type)]
    return {name: [_text(value) for value in table.column(name).to_pylist()] for name in flat}


def _text(value: Any) -> str:
    """Return a cell as text: whole numbers without a point; empty where it holds nothing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
    return "" if text.strip().lower() in EMPTY else text.strip()
