"""Reads tables with independent readers, pyiceberg and DuckDB, into rows that can be compared with `expect`."""

from __future__ import annotations

import importlib
import os
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import Table

from .expect import Row
from .tables import NAMESPACE, TABLES

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def catalog(warehouse: Path, name: str = "default") -> SqlCatalog:
    """The SQLite catalog of a local warehouse, opened by pyiceberg."""
    warehouse = Path(warehouse).resolve()
    return SqlCatalog(name, uri=f"sqlite:///{warehouse}/catalog.db", warehouse=f"file://{warehouse}")


def load(warehouse: Path, table: str, namespace: str = NAMESPACE) -> Table | None:
    """The table as it is now, or None when there is none yet (or no catalog yet)."""
    if not (Path(warehouse) / "catalog.db").exists():
        return None
    opened = catalog(warehouse)
    try:
        return opened.load_table(f"{namespace}.{table}")
    except NoSuchTableError:
        return None
    finally:
        opened.engine.dispose()


def row_count(table: Table | None) -> int:
    """The number of rows by the summary of the table's current snapshot."""
    if table is None or table.current_snapshot() is None:
        return 0
    return int(table.current_snapshot().summary["total-records"])


def wait_for_rows(warehouse: Path, wanted: dict[str, int], seconds_max: float = 60.0, still_alive=lambda: True) -> None:
    """Waits until the metadata of each table has at least as many rows as wanted."""
    deadline = time.monotonic() + seconds_max
    while True:
        found = {name: row_count(load(warehouse, name)) for name, count in wanted.items() if count}
        behind = {name: (found[name], wanted[name]) for name in found if found[name] < wanted[name]}
        if not behind:
            return
        assert still_alive(), f"the Collector ended with tables (found, wanted) at {behind}"
        assert time.monotonic() < deadline, f"after {seconds_max} s, tables (found, wanted) are at {behind}"
        time.sleep(0.1)


def read_pyiceberg(table: Table) -> list[Row]:
    """All rows, by pyiceberg.

    pyiceberg (0.11 and 0.12) reads a null list of structs as an empty list: it rebuilds such lists from their offsets
    without their nulls (`ArrowProjectionVisitor.list`). Empty lists are never written (rule 1), so this function
    returns null for them; DuckDB shows that the file has null.
    """
    data = table.scan().to_arrow()
    structs = {field.name for field in data.schema if _is_list(field.type) and pa.types.is_struct(field.type.value_type)}
    return [
        {name: None if name in structs and value == [] else value for name, value in row.items()} for row in rows_of(data)
    ]


def read_duckdb(table: Table) -> list[Row]:
    """All rows, by DuckDB's Iceberg extension."""
    with connect_duckdb() as connection:
        scan = connection.execute("SELECT * FROM iceberg_scan(?)", [table.metadata_location])
        return rows_of(scan.to_arrow_table())


READERS = {"pyiceberg": read_pyiceberg, "duckdb": read_duckdb}


def connect_duckdb(warehouse: Path | None = None) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB with the Iceberg extension and, for a given warehouse, a view for each of its tables."""
    connection = duckdb.connect()
    # In the Python environment, so that the user's own extensions are not changed.
    connection.execute(f"SET extension_directory = '{Path(sys.prefix) / 'duckdb-extensions'}'")
    for extension in ("avro", "iceberg"):
        connection.execute(f"INSTALL '{_extension_file(extension)}'")
        connection.execute(f"LOAD {extension}")
    connection.execute("SET TimeZone = 'UTC'")
    for name in TABLES if warehouse else ():
        table = load(warehouse, name)
        if table is not None:
            connection.execute(f"CREATE VIEW {name} AS SELECT * FROM iceberg_scan('{table.metadata_location}')")
    return connection


def rows_of(data: pa.Table) -> list[Row]:
    """Converts Arrow to plain values: a time is an int of microseconds, a map a dict, a struct a dict."""
    columns = {field.name: _values(data.column(field.name)) for field in data.schema}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _extension_file(name: str) -> Path:
    package = importlib.import_module(f"duckdb_extension_{name}")
    found = list(Path(package.__file__).parent.rglob(f"{name}.duckdb_extension"))
    assert len(found) == 1, f"duckdb_extension_{name} should hold one extension file, found {found}"
    return found[0]


def _values(column: pa.ChunkedArray) -> list:
    return [_plain(value, column.type) for value in column.to_pylist()]


def _plain(value, kind: pa.DataType):
    if value is None:
        return None
    if isinstance(value, datetime):
        return (value - EPOCH) // timedelta(microseconds=1)
    if pa.types.is_map(kind):
        keys = [key for key, _ in value]
        assert len(set(keys)) == len(keys), f"a key comes twice in a map: {value}"
        return dict(value)
    if _is_list(kind):
        return [_plain(item, kind.value_type) for item in value]
    if pa.types.is_struct(kind):
        return {field.name: _plain(value[field.name], field.type) for field in kind}
    return value


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


def files_of(table: Table) -> list[Path]:
    """The data files of the current snapshot."""
    return [local_path(path) for path in table.inspect.files()["file_path"].to_pylist()]


def local_path(location: str) -> Path:
    """A `file:` location as a path."""
    return Path(os.fspath(location.removeprefix("file://")))
