"""Tables that other programs created, change, or write to as well."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.sorting import SortField, SortOrder
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import (
    BooleanType, IntegerType, ListType, LongType, MapType, NestedField, StringType, StructType, TimestamptzType,
)  # fmt: skip

from o2i import compare, corpus, readers
from o2i.collector import Collector, settings
from o2i.tables import TABLES, TIME_COLUMN

LOGS, TRACES = corpus.fixture("logs"), corpus.fixture("traces")

# Fewer columns in another order, two that we do not know, and different nested ids.
THEIR_LOGS = Schema(
    NestedField(1, "theirs", StringType()),
    NestedField(2, "Body", StringType()),
    NestedField(3, "LogAttributes", MapType(40, StringType(), 41, StringType(), value_required=False)),
    NestedField(4, "ServiceName", StringType()),
    NestedField(5, "Timestamp", TimestamptzType(), required=True),
    NestedField(6, "theirs too", ListType(42, BooleanType(), element_required=False)),
)
# A list of structs that lacks some of our fields and has a field of theirs.
THEIR_TRACES = Schema(
    NestedField(1, "Events", ListType(30, StructType(
        NestedField(31, "Name", StringType()),
        NestedField(32, "note", StringType()),
    ), element_required=False)),
    NestedField(2, "Timestamp", TimestamptzType(), required=True),
    NestedField(3, "SpanName", StringType()),
)  # fmt: skip


def test_a_table_found_with_other_columns_is_evolved_and_written_right(tmp_path, warehouse):
    make(warehouse, "logs", THEIR_LOGS)
    begun = time.time_ns() // 1000
    store(tmp_path, warehouse, LOGS)
    table = readers.load(warehouse, "logs")
    names = [field.name for field in table.schema().fields]
    assert names[:6] == [field.name for field in THEIR_LOGS.fields], "their columns stay as they are"
    assert set(names) == {*TABLES["logs"], "theirs", "theirs too"}
    expected = [{**row, "theirs": None, "theirs too": None} for row in LOGS.rows["logs"]]
    same(table, expected, begun)


def test_nested_columns_found_are_evolved_too(tmp_path, warehouse):
    make(warehouse, "traces", THEIR_TRACES)
    begun = time.time_ns() // 1000
    store(tmp_path, warehouse, TRACES)
    expected = [
        {**row, "Events": row["Events"] and [{**event, "note": None} for event in row["Events"]]}
        for row in TRACES.rows["traces"]
    ]
    same(readers.load(warehouse, "traces"), expected, begun)


def test_without_auto_evolve_only_the_columns_found_are_written(tmp_path, warehouse):
    make(warehouse, "logs", THEIR_LOGS)
    begun = time.time_ns() // 1000
    store(tmp_path, warehouse, LOGS, tables={"auto_evolve": False})
    table = readers.load(warehouse, "logs")
    names = [field.name for field in THEIR_LOGS.fields]
    assert [field.name for field in table.schema().fields] == names
    expected = [{name: row.get(name) for name in names} for row in LOGS.rows["logs"]]
    same(table, expected, begun)


def test_a_table_found_keeps_its_partitioning_and_sort_order(tmp_path, warehouse):
    spec = PartitionSpec(PartitionField(4, 1000, IdentityTransform(), "service"))
    order = SortOrder(SortField(5, IdentityTransform()))
    make(warehouse, "logs", THEIR_LOGS, partition_spec=spec, sort_order=order)
    store(tmp_path, warehouse, LOGS)
    table = readers.load(warehouse, "logs")
    assert [field.name for field in table.spec().fields] == ["service"]
    services = {row["ServiceName"] for row in LOGS.rows["logs"]}
    assert {part["service"] for part in table.inspect.partitions()["partition"].to_pylist()} == services
    for service in services - {None}:
        expected = sum(row["ServiceName"] == service for row in LOGS.rows["logs"])
        assert table.scan(row_filter=f"ServiceName = '{service}'").count() == expected


def test_another_writer_appends_beside_us(tmp_path, warehouse):
    count = len(LOGS.rows["logs"])
    store(tmp_path, warehouse, LOGS)
    table = readers.load(warehouse, "logs")
    table.append(their_row(table))
    store(tmp_path, warehouse, LOGS)
    table = readers.load(warehouse, "logs")
    assert readers.row_count(table) == 2 * count + 1
    for name, read in readers.READERS.items():
        rows = read(table)
        assert len(rows) == 2 * count + 1, name
        assert sum(row["Body"] == "written by pyiceberg" for row in rows) == 1, name


def test_another_writer_commits_while_we_do(tmp_path, warehouse):
    """Both write to one table at the same time; the loser of a race must rebase on the other's commit."""
    store(tmp_path, warehouse, LOGS)
    count, rounds = len(LOGS.rows["logs"]), 10
    with Collector(tmp_path / "collector", {"iceberg": settings(warehouse, flush_timeout="50ms")}) as collector:
        with collector.client() as client:
            for _ in range(rounds):
                client.send(LOGS.payload, "grpc", "logs")
                table = readers.load(warehouse, "logs")
                append(table, their_row(table))
        assert collector.stop() == 0
    rows = readers.read_duckdb(readers.load(warehouse, "logs"))
    assert sum(row["Body"] == "written by pyiceberg" for row in rows) == rounds
    assert len(rows) == (rounds + 1) * count + rounds


def test_another_program_changes_the_table_while_we_run(tmp_path, warehouse):
    """Columns and a partition field are added between two flushes of one Collector."""
    count = len(LOGS.rows["logs"])
    with Collector(tmp_path / "collector", {"iceberg": settings(warehouse, flush_timeout="50ms")}) as collector:
        with collector.client() as client:
            client.send(LOGS.payload, "grpc", "logs")
            readers.wait_for_rows(warehouse, {"logs": count})
            table = readers.load(warehouse, "logs")
            with table.update_schema() as update:
                update.add_column("team", StringType())
            with table.update_spec() as update:
                update.add_field("ServiceName", IdentityTransform(), "service")
            client.send(LOGS.payload, "grpc", "logs")
            readers.wait_for_rows(warehouse, {"logs": 2 * count})
    table = readers.load(warehouse, "logs")
    assert len(readers.read_pyiceberg(table)) == len(readers.read_duckdb(table)) == 2 * count
    assert table.scan(row_filter="ServiceName = 'checkout'").count() == 2 * sum(
        row["ServiceName"] == "checkout" for row in LOGS.rows["logs"]
    )


@pytest.mark.parametrize("found", [LongType(), IntegerType()])
def test_numbers_of_another_width(found, tmp_path, warehouse):
    """A long column accepts our ints; see test_mistakes for incompatible types."""
    make(warehouse, "logs", Schema(
        NestedField(1, "Timestamp", TimestamptzType(), required=True), NestedField(2, "SeverityNumber", found)
    ))  # fmt: skip
    store(tmp_path, warehouse, LOGS)
    rows = readers.read_duckdb(readers.load(warehouse, "logs"))
    assert sorted(row["SeverityNumber"] for row in rows) == sorted(row["SeverityNumber"] for row in LOGS.rows["logs"])


def make(warehouse, name: str, schema: Schema, **options) -> None:
    """Creates a foreign table in the same catalog."""
    warehouse.mkdir()
    catalog = readers.catalog(warehouse)
    catalog.create_namespace("otel")
    catalog.create_table(f"otel.{name}", schema, **options)
    catalog.engine.dispose()


def store(tmp_path, warehouse, one: corpus.Fixture, **more) -> None:
    """Sends the fixture to a Collector and stops it."""
    with Collector(tmp_path / "collector", {"iceberg": settings(warehouse, **more)}) as collector:
        with collector.client() as client:
            client.send(one.payload, "grpc", one.signal)
        assert collector.stop() == 0, collector.log_tail()


def same(table, expected: list, begun: int) -> None:
    """Asserts that both readers find these rows."""
    name = table.name()[-1]
    for reader, read in readers.READERS.items():
        difference = compare.difference(expected, read(table), (begun, time.time_ns() // 1000), TIME_COLUMN[name])
        assert not difference, f"read by {reader}: {difference}"


def their_row(table) -> pa.Table:
    """One row for the table, with only a time and a body."""
    schema = table.schema().as_arrow()
    values = {"Timestamp": [datetime(2024, 3, 1, tzinfo=UTC)], "Body": ["written by pyiceberg"]}
    return pa.table({field.name: pa.array(values.get(field.name, [None]), field.type) for field in schema}, schema=schema)


def append(table, rows: pa.Table) -> None:
    """Appends with pyiceberg, which fails when it loses a race. Retries on the reloaded table then."""
    for _ in range(20):
        try:
            table.append(rows)
            return
        except CommitFailedException:
            table.refresh()
    raise AssertionError("pyiceberg lost 20 races in a row")
