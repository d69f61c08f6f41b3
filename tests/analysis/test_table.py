"""The tables: their schema says what every column means, and a reader never sees half a file."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis import table
from analysis.comparison.results import load
from analysis.page.write import write_report
from tests.support.made_results import make_run
from trainables.config import TrialConfig
from trainables.errors import InputError


def row(kind: table.Kind, **values: object) -> dict[str, object]:
    """A row with something legal in every column."""
    samples: dict[pa.DataType, object] = {
        pa.string(): "x", pa.int64(): 1, pa.float64(): 0.5, pa.bool_(): True,
    }  # fmt: skip
    filled = {n: [1] if pa.types.is_list(c.type) else samples[c.type] for n, c in table.columns(kind).items()}
    return {**filled, **values}


@pytest.mark.parametrize("kind", ["trials", "epochs", "weights"])
def test_every_column_has_a_type_a_meaning_a_unit_and_a_direction(tmp_path: Path, kind: table.Kind) -> None:
    table.write(tmp_path / "t.parquet", kind, [row(kind)], {"question": "why?", "roles": {"scientific": ["lr"]}})
    schema = pq.read_schema(tmp_path / "t.parquet")
    for field in schema:
        assert set(field.metadata) >= {b"unit", b"direction", b"meaning"}, field.name
        assert field.metadata[b"meaning"], field.name
        assert field.metadata[b"direction"] in (b"", b"higher", b"lower")
    assert schema.metadata[b"schema_version"] == table.SCHEMA_VERSION.encode()
    assert json.loads(schema.metadata[b"roles"]) == {"scientific": ["lr"]}


def test_the_trials_table_has_every_config_field() -> None:
    assert set(TrialConfig.model_fields) <= set(table.columns("trials"))


def test_missing_values_are_refused_where_one_is_due(tmp_path: Path) -> None:
    with pytest.raises((InputError, pa.ArrowInvalid)):
        table.write(tmp_path / "t.parquet", "trials", [row("trials", status=None)], {})
    assert not list(tmp_path.iterdir())


def test_an_undefined_number_stays_nan(tmp_path: Path) -> None:
    table.write(tmp_path / "t.parquet", "trials", [row("trials", val_auc=math.nan)], {})
    column = pq.read_table(tmp_path / "t.parquet")["val_auc"]
    assert column.null_count == 0
    assert math.isnan(column[0].as_py())


def test_runs_of_several_versions_read_as_one_frame(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        table.write(tmp_path / name / "trials.parquet", "trials", [row("trials", run_id=name)], {})
    older = pq.read_table(tmp_path / "b" / "trials.parquet").drop_columns(["macs"])
    pq.write_table(older, tmp_path / "b" / "trials.parquet")
    frame = table.read(tmp_path)
    assert isinstance(frame, pd.DataFrame)
    assert list(frame["run_id"]) == ["a", "b"]
    assert frame["macs"].isna().tolist() == [False, True]


def test_a_failed_write_leaves_the_old_table(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table.write(path, "epochs", [row("epochs")], {})
    before = path.read_bytes()
    with pytest.raises(pa.ArrowInvalid):
        table.write(path, "epochs", [row("epochs", epoch="not a number")], {})
    assert path.read_bytes() == before


def test_a_missing_table_is_an_error_that_says_where(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no trials\.parquet under"):
        table.read(tmp_path)


# Tables that are damaged or not ours ----------------------------------------------------------------------------------


def _replaced(content: pa.Table, name: str, values: list[Any]) -> pa.Table:
    return content.set_column(content.schema.get_field_index(name), name, [values])


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "no parquet": lambda path: path.write_bytes(b"PAR1 and then nothing of the kind PAR1"),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "empty": lambda path: path.write_bytes(b""),
    "another table": lambda path: pq.write_table(pa.table({"x": [1, 2]}), path),
    "text for numbers": lambda path: pq.write_table(_worded(path), path),
    "nulls": lambda path: pq.write_table(_replaced(pq.read_table(path), "trial_id", [None] * _length(path)), path),
    "a column twice": lambda path: pq.write_table(_doubled(path), path),
}  # fmt: skip


def _length(path: Path) -> int:
    return int(pq.read_metadata(path).num_rows)


def _worded(path: Path) -> pa.Table:
    return _replaced(pq.read_table(path), "seed", ["seven"] * _length(path))


def _doubled(path: Path) -> pa.Table:
    content = pq.read_table(path)
    return content.append_column("trial_id", content["trial_id"])


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", ["trials", "epochs", "weights"])
def test_a_damaged_table_is_one_line(tmp_path: Path, damage: str, kind: str) -> None:
    run = make_run(tmp_path / "s" / "a", {"activation": ["relu", "gelu"]}, {}, lambda c, s, e: 0.8 + 0.01 * s)
    DAMAGES[damage](getattr(run, f"{kind}_table"))
    with pytest.raises(InputError, match=f"{kind}.parquet"):
        write_report([run], tmp_path / "report.html", None)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("metadata", [None, {b"roles": b"[]"}, {b"roles": b'{"scientific": 3}'}, {b"metric": b"3"}])
def test_a_table_that_does_not_say_what_was_compared_is_one_line(tmp_path: Path, metadata: Any) -> None:
    run = make_run(tmp_path / "s" / "a", {"activation": ["relu", "gelu"]}, {}, lambda c, s, e: 0.8)
    content = table.read_arrow(run.trials_table)
    known = {} if metadata is None else {**(content.schema.metadata or {}), **metadata}
    pq.write_table(content.replace_schema_metadata(known), run.trials_table)
    with pytest.raises(InputError, match="does not say"):
        load([run])


def test_a_training_functions_table_has_its_metric_before_any_epoch() -> None:
    """All its trials may fail at once; the summary then still says so."""
    fields = {"width": {"type": "whole", "meaning": "units"}, "status": {"type": "text"}, "a b": {"type": "text"}}
    metadata = {"metric": "val_loss", "mode": "min", "trainable": {"own": True, "fields": fields}}
    found = table.columns_of("trials", metadata)
    assert {"width", "val_loss", "final_val_loss"} <= set(found)
    assert (found["val_loss"].direction, found["width"].unit) == ("lower", "")
    assert {"a b", "model", "lr", "val_auc"}.isdisjoint(found)
    assert found["status"].meaning == table.columns("trials")["status"].meaning
