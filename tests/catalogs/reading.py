"""Reads tables of any catalog, on local files and on S3, with independent readers. (Spark: `spark.session`.)"""

from __future__ import annotations

import hashlib
import importlib
import time
from pathlib import Path

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import Table

from o2i import compare, readers
from o2i.expect import ARRIVAL, Row
from o2i.tables import NAMESPACE
from spark.session import Spark

from .s3 import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, S3Server


def load(catalog: Catalog, table: str, namespace: str = NAMESPACE) -> Table | None:
    """The table as it is now, or None when there is none yet."""
    try:
        return catalog.load_table((*namespace.split("."), table))
    except NoSuchTableError:
        return None


def wait_for_rows(catalog: Catalog, wanted: dict[str, int], namespace: str = NAMESPACE, seconds_max: float = 60.0) -> None:
    """Waits until the metadata of each table has at least as many rows as wanted."""
    deadline = time.monotonic() + seconds_max
    while True:
        found = {name: readers.row_count(load(catalog, name, namespace)) for name, count in wanted.items() if count}
        behind = {name: (found[name], wanted[name]) for name in found if found[name] < wanted[name]}
        if not behind:
            return
        assert time.monotonic() < deadline, f"after {seconds_max} s, tables (found, wanted) are at {behind}"
        time.sleep(0.1)


def read_duckdb(table: Table, s3: S3Server | None) -> list[Row]:
    """All rows, by DuckDB's Iceberg extension."""
    if s3 is None:
        return readers.read_duckdb(table)
    with readers.connect_duckdb() as connection:
        package = Path(importlib.import_module("duckdb_extension_httpfs").__file__).parent
        [extension] = package.rglob("httpfs.duckdb_extension")
        connection.execute(f"INSTALL '{extension}'")
        connection.execute("LOAD httpfs")
        connection.execute(
            f"CREATE SECRET (TYPE s3, KEY_ID '{ACCESS_KEY_ID}', SECRET '{SECRET_ACCESS_KEY}', REGION '{REGION}', "
            f"ENDPOINT '127.0.0.1:{s3.port}', URL_STYLE 'path', USE_SSL false)"
        )
        scan = connection.execute("SELECT * FROM iceberg_scan(?)", [table.metadata_location])
        return readers.rows_of(scan.to_arrow_table())


def read_all(
    catalog: Catalog, spark: Spark, table: str, s3: S3Server | None = None, namespace: str = NAMESPACE
) -> dict[str, list[Row]]:
    """All rows as each reader returns them, by the reader's name."""
    loaded = load(catalog, table, namespace)
    return {
        "pyiceberg": readers.read_pyiceberg(loaded),
        "duckdb": read_duckdb(loaded, s3),
        "spark": spark.read(table, namespace),
    }


def rows_hash(rows: list[Row], arrival: tuple[int, int] | None = None, time_column: str = "") -> str:
    """A hash that does not depend on the order of the rows.

    `arrival` is the span of microseconds in which the requests arrived: a time in `time_column` within it counts as the
    time of arrival.
    """
    if arrival:
        first, last = arrival
        rows = [{**row, time_column: ARRIVAL} if first <= (row.get(time_column) or 0) <= last else row for row in rows]
    return hashlib.sha256("\n".join(sorted(map(compare.canonical, rows))).encode()).hexdigest()
