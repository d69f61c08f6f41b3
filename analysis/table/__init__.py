"""The results tables: their columns, and reading and writing them. Loads without torch and Ray.

>>> from analysis.table import read
>>> trials = read("results")            # every run under a folder, as one pandas frame    # doctest: +SKIP
>>> epochs = read("results", "epochs")                                                    # doctest: +SKIP
"""

from analysis.table.definitions import (
    IDENTITY,
    OF_MODELS,
    REAL,
    SCHEMA_VERSION,
    TEXT,
    WHOLE,
    Kind,
    columns,
    model_measures,
    tensor_measures,
)
from analysis.table.files import (
    complete,
    metadata,
    read,
    read_arrow,
    read_metadata,
    readable,
    texts,
    write,
    write_arrow,
)
from analysis.table.run_columns import columns_of, config_fields, own_fields, schema

__all__ = [
    "IDENTITY",
    "OF_MODELS",
    "REAL",
    "SCHEMA_VERSION",
    "TEXT",
    "WHOLE",
    "Kind",
    "columns",
    "columns_of",
    "complete",
    "config_fields",
    "metadata",
    "model_measures",
    "own_fields",
    "read",
    "read_arrow",
    "read_metadata",
    "readable",
    "schema",
    "tensor_measures",
    "texts",
    "write",
    "write_arrow",
]
