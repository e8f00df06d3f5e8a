"""`tables.attribute_columns`: every reader finds the same value in column and map, in old, new and merged files."""

from __future__ import annotations

import math
from pathlib import Path

from pyiceberg.expressions import EqualTo
from pyiceberg.types import BooleanType, DoubleType, LongType, StringType

from catalogs.exporting import settings
from catalogs.reading import load, read_all, wait_for_rows
from catalogs.reference import ReferenceCatalog
from o2i import collector as o2i_collector
from o2i import corpus, readers
from o2i.collector import Collector
from o2i.corpus.build import INT64_MIN
from o2i.tables import TABLES
from test_compaction import EACH_BY_ITSELF, FILES_MIN, OFTEN, partitions, wait_for_files

ROUNDS = 12
# The column, its attribute, the attribute's origin, the type, and the tables that have the column.
COLUMNS = [
    ("HttpRequestMethod", "http.request.method", "record", "string", None),
    ("Least", f"int.{INT64_MIN}", "record", "long", None),
    ("Double12", "double.12", "record", "double", None),
    ("Infinite", "double.15", "record", "double", None),
    ("Double1", "double.1", "resource", "double", None),
    ("StringUnicode", "string.unicode", "record", "string", None),
    ("Key", "ключ", "record", "string", ["logs", "traces"]),
    ("BoolTrue", "bool.true", "record", "boolean", None),
    ("BoolFalse", "bool.false", "resource", "boolean", None),
    ("LibraryFast", "library.fast", "scope", "boolean", None),
    ("Case", "case", "scope", "string", ["logs"]),
    ("HostName", "host.name", "resource", "string", None),
    ("Text", "string.unicode", "resource", "string", ["traces", "metrics_sum"]),
    ("Never", "string", "record", "long", None),
    ("Nothing", "nothing", "record", "string", None),
]
TYPES = {"string": StringType(), "long": LongType(), "double": DoubleType(), "boolean": BooleanType()}


def setting() -> list:
    """The value of the setting."""
    return [
        {"attribute": attribute, "column": column, "from": of, "type": kind, **({"tables": tables} if tables else {})}
        for column, attribute, of, kind, tables in COLUMNS
    ]


def columns_of(name: str) -> list[tuple]:
    """The columns that a table has."""
    return [column for column in COLUMNS if column[4] is None or name in column[4]]


def map_of(name: str, of: str) -> str:
    """The map column in which a table has the attributes of this origin."""
    own = {"logs": "LogAttributes", "traces": "SpanAttributes"}.get(name, "Attributes")
    return {"record": own, "scope": "ScopeAttributes", "resource": "ResourceAttributes"}[of]


def read_as(text: str | None, kind: str):
    """A map's text converted to the type of a column."""
    try:
        match kind:
            case "string":
                return text
            case "boolean":
                return {"true": True, "false": False}.get(text)
            case "long":
                return int(text.removesuffix(".0"))
            case "double":
                return float(text)
    except (AttributeError, TypeError, ValueError):
        return None


def is_same(found, wanted) -> bool:
    if isinstance(wanted, float) and math.isnan(wanted):
        return isinstance(found, float) and math.isnan(found)
    return type(found) is type(wanted) and found == wanted


def send(collector: Collector, fixtures: list, rounds: int) -> None:
    with collector.client() as client:
        for _ in range(rounds):
            for one in fixtures:
                client.send(one.payload, "grpc", one.signal)


def test_every_reader_finds_what_the_maps_have(reference: ReferenceCatalog, namespace, tmp_path):
    """The tables exist before the columns. Later, small files from before and after are merged."""
    exporter = {**settings(reference.settings(namespace=namespace)), "sending_queue": EACH_BY_ITSELF}
    fixtures = [corpus.fixture(name) for name in ("logs", "traces", "metrics")]
    rows = {table: len(found) for one in fixtures for table, found in one.rows.items()}
    catalog = reference.client()
    without = {"iceberg": {**exporter, "compaction": {"enabled": False}}}
    with Collector(tmp_path / "before", without) as collector:
        send(collector, fixtures, ROUNDS)
    wait_for_rows(catalog, {table: ROUNDS * count for table, count in rows.items()}, namespace)
    with Collector(tmp_path / "after", {"iceberg": {**exporter, **OFTEN, "tables": {"attribute_columns": setting()}}}) as collector:
        send(collector, fixtures, ROUNDS)
        wait_for_rows(catalog, {table: 2 * ROUNDS * count for table, count in rows.items()}, namespace)
        # Old and new files are merged separately, and each kind may keep some files of two sizes.
        kinds = {name: 4 * partitions(load(catalog, name, namespace)) for name in TABLES}
        wait_for_files(catalog, namespace, {name: (FILES_MIN - 1) * count for name, count in kinds.items()})
    assert "otlp2iceberg::" not in collector.log(), f"the library warns\n{collector.log_tail()}"
    spark = reference.spark()
    for name in TABLES:
        wanted = columns_of(name)
        table = load(catalog, name, namespace)
        merges = [snapshot for snapshot in table.metadata.snapshots if snapshot.summary.operation.value == "replace"]
        assert merges, f"{name}: nothing was merged"
        fields = table.schema().fields[-len(wanted) :]
        assert [(field.name, field.field_type) for field in fields] == [(column, TYPES[kind]) for column, _, _, kind, _ in wanted]
        for reader, found in read_all(catalog, spark, name, namespace=namespace).items():
            assert len(found) == 2 * ROUNDS * rows[name], (name, reader)
            filled = {}
            for row in found:
                for column, attribute, of, kind, _ in wanted:
                    value = read_as((row[map_of(name, of)] or {}).get(attribute), kind)
                    # A row from before the columns has null.
                    assert row[column] is None or is_same(row[column], value), (name, reader, column, row[column], value)
                    in_map, in_column = filled.get(column, (0, 0))
                    filled[column] = in_map + (value is not None), in_column + (row[column] is not None)
            for column, (in_map, in_column) in filled.items():
                assert in_map == 2 * in_column, (name, reader, column)
            # Only these columns may be null in every row.
            if name in ("logs", "traces"):
                empty = {column for column, (in_map, _) in filled.items() if in_map == 0}
                assert empty <= {"Never", "Nothing", "HostName", "Double1", "BoolFalse", "Case", "LibraryFast", "Text"}, (name, empty)


def test_tables_are_partitioned_and_looked_up_by_them(warehouse: Path, tmp_path):
    fixture = corpus.fixture("logs")
    exporter = o2i_collector.settings(
        warehouse,
        flush_timeout="200ms",
        tables={
            "attribute_columns": [{"attribute": "host.name", "from": "resource"}, {"attribute": "case", "from": "scope", "tables": ["logs"]}],
            "partition_by": ["identity(HostName)"],
        },
        parquet={"bloom_filter_columns": ["TraceId", "Case"]},
    )
    with Collector(tmp_path / "collector", {"iceberg": exporter}) as collector:
        send(collector, [fixture], 1)
        readers.wait_for_rows(warehouse, {"logs": len(fixture.rows["logs"])})
    table = readers.load(warehouse, "logs")
    [partition] = table.spec().fields
    assert (str(partition.transform), partition.name) == ("identity", "HostName")
    hosts = [(row["ResourceAttributes"] or {}).get("host.name") for row in fixture.rows["logs"]]
    planned = list(table.scan(row_filter=EqualTo("HostName", "host-1")).plan_files())
    assert sum(task.file.record_count for task in planned) == hosts.count("host-1") > 0
    assert len(list(table.scan().plan_files())) > len(planned)
    with readers.connect_duckdb(warehouse) as duckdb:
        [[found]] = duckdb.execute("SELECT count(*) FROM logs WHERE HostName = 'host-1'").fetchall()
        assert found == hosts.count("host-1")
        for file in readers.files_of(table):
            filters = duckdb.execute(
                "SELECT bloom_filter_offset FROM parquet_metadata(?) WHERE path_in_schema IN ('Case', 'TraceId')", [str(file)]
            ).fetchall()
            assert len(filters) == 2 and all(offset is not None for (offset,) in filters), file
        assert duckdb.execute("""SELECT count(*) FROM logs WHERE "Case" = 'order'""").fetchall() == [(20,)]
