"""The tables as other programs see them: columns, types, partitioning, sort order, files and their statistics."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from pyiceberg.conversions import from_bytes
from pyiceberg.expressions import EqualTo
from pyiceberg.types import DoubleType, ListType, MapType, PrimitiveType, StringType, StructType

from o2i import corpus, readers
from o2i.collector import Collector, settings
from o2i.corpus.build import DAY, SECOND, T0, resource, scope, value
from o2i.tables import SORT_COLUMNS, TABLES, TIME_COLUMN


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> dict:
    """All seven tables, filled with the corpus by one flush, as pyiceberg loads them."""
    folder = tmp_path_factory.mktemp("tables")
    warehouse = folder / "warehouse"
    fixtures = [corpus.fixture(signal) for signal in ("logs", "traces", "metrics")]
    with Collector(folder / "collector", {"iceberg": settings(warehouse, flush_timeout="2s")}) as collector:
        with collector.client() as client:
            for one in fixtures:
                client.send(one.payload, "grpc", one.signal)
        counts = {table: len(rows) for one in fixtures for table, rows in one.rows.items()}
        readers.wait_for_rows(warehouse, counts)
    return {name: readers.load(warehouse, name) for name in TABLES}


@pytest.mark.parametrize("name", TABLES)
def test_columns_types_and_their_order(tables, name):
    schema = tables[name].schema()
    assert {field.name: _type(field.field_type) for field in schema.fields} == TABLES[name]
    assert [field.name for field in schema.fields] == list(TABLES[name])
    assert [field.name for field in schema.fields if field.required] == [TIME_COLUMN[name]]
    assert tables[name].metadata.format_version == 2


@pytest.mark.parametrize("name", TABLES)
def test_partitioned_by_day_and_sorted(tables, name):
    table = tables[name]
    [partition] = table.spec().fields
    assert (str(partition.transform), table.schema().find_column_name(partition.source_id)) == ("day", TIME_COLUMN[name])
    order = table.sort_order().fields
    assert [table.schema().find_column_name(field.source_id) for field in order] == list(SORT_COLUMNS[name])
    assert {(str(field.direction), str(field.null_order)) for field in order} == {("ASC", "NULLS FIRST")}


@pytest.mark.parametrize("name", TABLES)
def test_one_sorted_zstd_file_per_day_for_one_flush(tables, name):
    table = tables[name]
    entries = table.inspect.entries()["data_file"].to_pylist()
    partitions = [str(entry["partition"]) for entry in entries]
    assert len(set(partitions)) == len(partitions), "a partition has several files after one flush"
    assert {entry["sort_order_id"] for entry in entries} == {table.sort_order().order_id}
    for path in readers.files_of(table):
        file = pq.ParquetFile(path)
        chunks = [
            file.metadata.row_group(group).column(column)
            for group in range(file.num_row_groups)
            for column in range(file.metadata.num_columns)
        ]
        # Sizes include page headers. Small chunks are not compressed, because a zstd frame would be mostly overhead.
        assert {chunk.compression for chunk in chunks if chunk.total_uncompressed_size > 200} <= {"ZSTD"}
        assert {chunk.compression for chunk in chunks if chunk.total_uncompressed_size < 128} <= {"UNCOMPRESSED"}
        rows = readers.rows_of(file.read(columns=list(SORT_COLUMNS[name])))
        keys = [
            tuple((row[column] is not None, row[column] if row[column] is not None else 0) for column in SORT_COLUMNS[name])
            for row in rows
        ]
        assert keys == sorted(keys)
        assert len({row[TIME_COLUMN[name]] // (DAY // 1000) for row in rows}) == 1, "a file holds rows of several days"


@pytest.mark.parametrize("name", ["logs", "traces"])
def test_trace_ids_have_a_bloom_filter_that_knows_them(tables, name):
    known = [row["TraceId"] for row in readers.read_pyiceberg(tables[name]) if row["TraceId"]]
    with readers.connect_duckdb() as duckdb:
        probe = "SELECT bloom_filter_excludes FROM parquet_bloom_probe(?, 'TraceId', ?)"
        excluded_known = excluded_other = 0
        for path in readers.files_of(tables[name]):
            offsets = duckdb.execute(
                "SELECT bloom_filter_offset FROM parquet_metadata(?) WHERE path_in_schema = 'TraceId'", [str(path)]
            ).fetchall()
            assert all(offset is not None for (offset,) in offsets), f"{path} has a row group without a bloom filter"
            excluded_other += all(row[0] for row in duckdb.execute(probe, [str(path), "ab" * 16]).fetchall())
        for trace_id in set(known):
            holding = [
                path
                for path in readers.files_of(tables[name])
                if trace_id in pq.read_table(path, columns=["TraceId"])["TraceId"].to_pylist()
            ]
            for path in holding:
                excluded_known += all(row[0] for row in duckdb.execute(probe, [str(path), trace_id]).fetchall())
    assert known and excluded_known == 0
    assert excluded_other > 0, "no filter excludes an id that is nowhere"


@pytest.mark.parametrize("name", TABLES)
def test_bounds_and_counts_in_manifests_hold_for_every_value(tables, name):
    table = tables[name]
    primitive = {field.field_id: field for field in table.schema().fields if isinstance(field.field_type, PrimitiveType)}
    checked = 0
    for manifest in table.current_snapshot().manifests(table.io):
        for entry in manifest.fetch_manifest_entry(table.io):
            file = entry.data_file
            names = [field.name for field in primitive.values()]
            rows = readers.rows_of(pq.read_table(readers.local_path(file.file_path), columns=names))
            assert file.record_count == len(rows)
            assert {*(file.lower_bounds or {}), *(file.upper_bounds or {})} <= set(primitive), "bounds inside lists or maps"
            for field_id, field in primitive.items():
                values = [row[field.name] for row in rows if row[field.name] is not None]
                assert file.null_value_counts[field_id] == len(rows) - len(values), field.name
                assert file.value_counts[field_id] == len(rows), field.name
                if isinstance(field.field_type, DoubleType):
                    assert file.nan_value_counts[field_id] == sum(v != v for v in values), field.name
                    values = [v for v in values if v == v]
                low, high = (file.lower_bounds or {}).get(field_id), (file.upper_bounds or {}).get(field_id)
                assert values or (low is None and high is None), f"{field.name} has bounds and no values"
                for bound, holds in ((low, lambda v, b: b <= v), (high, lambda v, b: v <= b)):
                    if bound is None:
                        continue
                    decoded = from_bytes(field.field_type, bound)
                    if isinstance(field.field_type, StringType):
                        wrong = [v for v in values if not holds(v.encode(), decoded.encode())]
                    else:
                        assert decoded == decoded, f"{field.name} has NaN as a bound"
                        wrong = [v for v in values if not holds(v, decoded)]
                    assert not wrong, f"{field.name}: bound {decoded!r} does not hold for {wrong[:3]}"
                    checked += 1
    assert checked > 10


@pytest.mark.parametrize("name", TABLES)
def test_filters_find_every_row_although_files_are_pruned(tables, name):
    table = tables[name]
    rows = readers.read_duckdb(table)
    for field in table.schema().fields:
        if not isinstance(field.field_type, StringType):
            continue
        for wanted in {row[field.name] for row in rows if row[field.name]}:
            expected = sum(row[field.name] == wanted for row in rows)
            found = table.scan(row_filter=EqualTo(field.name, wanted), selected_fields=(field.name,)).count()
            assert found == expected, f"{field.name} = {wanted[:80]!r}"


def test_bounds_hold_over_row_groups_with_short_and_long_text(tmp_path, warehouse):
    """Ten short bodies in one row group, ten long ones in the next. Bounds must cover both row groups."""
    bodies = [f"a{number}" for number in range(10)] + [f"{'z' * 100}{number}" for number in range(10)]
    records = [LogRecord(time_unix_nano=T0 - (20 - n) * SECOND, body=value(body)) for n, body in enumerate(bodies)]
    request = ExportLogsServiceRequest(
        resource_logs=[
            ResourceLogs(
                resource=resource({"service.name": "s"}),
                scope_logs=[ScopeLogs(scope=scope("bounds"), log_records=records)],
            )
        ]
    )
    parquet = {"max_row_group_rows": 10}
    with Collector(tmp_path / "collector", {"iceberg": settings(warehouse, parquet=parquet)}) as collector:
        with collector.client() as client:
            client.send(request)
        readers.wait_for_rows(warehouse, {"logs": 20})
    table = readers.load(warehouse, "logs")
    [path] = readers.files_of(table)
    assert pq.ParquetFile(path).num_row_groups == 2
    for body in bodies:
        assert table.scan(row_filter=EqualTo("Body", body)).to_arrow().num_rows == 1, body
    assert table.scan(row_filter="Body > 'zz'").to_arrow().num_rows == 10


@pytest.mark.parametrize(("partition_by", "expected"), [
    ("hour", [("hour", "Timestamp")]),
    ("month", [("month", "Timestamp")]),
    ("none", []),
    (["day(Timestamp)", "bucket(16, ServiceName)"], [("day", "Timestamp"), ("bucket[16]", "ServiceName")]),
])  # fmt: skip
def test_partitioned_as_configured(partition_by, expected, tmp_path, warehouse):
    one = corpus.fixture("logs")
    changed = settings(warehouse, tables={"partition_by": partition_by})
    with Collector(tmp_path / "collector", {"iceberg": changed}) as collector:
        with collector.client() as client:
            client.send(one.payload, "grpc", "logs")
        readers.wait_for_rows(warehouse, {"logs": len(one.rows["logs"])})
    table = readers.load(warehouse, "logs")
    fields = [(str(field.transform), table.schema().find_column_name(field.source_id)) for field in table.spec().fields]
    assert fields == expected
    assert len(readers.read_pyiceberg(table)) == len(readers.read_duckdb(table)) == len(one.rows["logs"])


def _type(kind):
    match kind:
        case MapType():
            assert (str(kind.key_type), str(kind.value_type), kind.value_required) == ("string", "string", False)
            return "map"
        case ListType():
            return [_type(kind.element_type)]
        case StructType():
            return {field.name: _type(field.field_type) for field in kind.fields}
    return str(kind)
