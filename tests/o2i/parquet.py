"""Parquet files with a table's rows as other writers make them, without Iceberg field ids."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq


def without_ids(schema: pa.Schema) -> pa.Schema:
    """The schema without the metadata that an Iceberg reader added."""
    return pa.schema([pa.field(field.name, _plain(field.type), field.nullable) for field in schema])


def _plain(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_map(kind):
        return pa.map_(_plain(kind.key_type), pa.field("value", _plain(kind.item_type)))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(pa.field("element", _plain(kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, _plain(field.type)) for field in kind])
    return pa.string() if pa.types.is_large_string(kind) else kind


def by_pyarrow(data: pa.Table) -> bytes:
    """As pyarrow writes it."""
    written = io.BytesIO()
    pq.write_table(data, written)
    return written.getvalue()


def by_duckdb(data: pa.Table) -> bytes:
    """As DuckDB writes it."""
    with duckdb.connect() as connection, tempfile.TemporaryDirectory() as folder:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("data", data)
        path = Path(folder) / "file.parquet"
        connection.execute(f"COPY data TO '{path}' (FORMAT parquet)")
        return path.read_bytes()
