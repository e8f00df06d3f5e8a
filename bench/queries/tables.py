"""The files of one writer, as DuckDB tables."""

from pathlib import Path

import duckdb

WHO = ("ours", "otlp2records", "otel-arrow")
# The same rows as ours, in order of arrival and without bloom filters.
PLAIN = "plain"


def connect(folder: Path, who: str, kind: str) -> duckdb.DuckDBPyConnection:
    """DuckDB on one thread with a view for each table of this kind of payload."""
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    connection.execute("SET TimeZone = 'UTC'")
    # Every query reads its files again, so that the bytes read can be counted.
    connection.execute("SET enable_external_file_cache = false")
    for table in sorted((folder / who / kind).iterdir()):
        files = f"{table}/**/*.parquet"
        connection.execute(
            f"CREATE VIEW {table.name} AS SELECT * FROM read_parquet('{files}', hive_partitioning = false)"
        )
    return connection


def size(folder: Path, who: str, kind: str) -> int:
    """Bytes of all files."""
    return sum(file.stat().st_size for file in (folder / who / kind).rglob("*.parquet"))
