"""Tables of other programs that differ from ours: lower-case names, other format versions, other properties."""

from __future__ import annotations

import re
import time

import pyarrow.parquet as pq
import pytest
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import BucketTransform, HourTransform, TruncateTransform
from pyiceberg.types import LongType, MapType, NestedField, StringType, TimestamptzType

from o2i import corpus, readers
from o2i.collector import Collector, settings
from test_other_writers import make, same, store

LOGS = corpus.fixture("logs")

# Lower-case names as in AWS Glue, another order, an unknown column, and one of another width.
LOWER = Schema(
    NestedField(1, "theirs", LongType()),
    NestedField(2, "body", StringType()),
    NestedField(3, "logattributes", MapType(40, StringType(), 41, StringType(), value_required=False)),
    NestedField(4, "servicename", StringType()),
    NestedField(5, "Timestamp", TimestamptzType(), required=True),
    NestedField(6, "severitynumber", LongType()),
)
SPEC = PartitionSpec(
    PartitionField(4, 1000, BucketTransform(4), "service_bucket"),
    PartitionField(2, 1001, TruncateTransform(3), "body_trunc"),
    PartitionField(5, 1002, HourTransform(), "hour"),
)


@pytest.mark.parametrize("version", [1, 2])
def test_names_in_lower_case_several_transforms_and_properties_in_each_version(version, tmp_path, warehouse):
    properties = {
        "format-version": str(version),
        "write.parquet.compression-codec": "snappy",
        "write.object-storage.enabled": "true",
    }
    make(warehouse, "logs", LOWER, partition_spec=SPEC, properties=properties)
    begun = time.time_ns() // 1000
    store(tmp_path, warehouse, LOGS)
    store(tmp_path, warehouse, LOGS)
    table = readers.load(warehouse, "logs")
    assert table.metadata.format_version == version
    theirs = {field.name.lower(): field.name for field in LOWER.fields}
    row_of = lambda row: {theirs.get(name.lower(), name): value for name, value in row.items()} | {"theirs": None}  # noqa: E731
    same(table, 2 * [row_of(row) for row in LOGS.rows["logs"]], begun)
    for service in {row["ServiceName"] for row in LOGS.rows["logs"]} - {None}:
        expected = sum(row["ServiceName"] == service for row in LOGS.rows["logs"])
        assert table.scan(row_filter=f"servicename = '{service}'").count() == 2 * expected, "rows are pruned wrongly"
    for path in readers.files_of(table):
        assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "SNAPPY"
        assert re.search(r"/data/[01]{4}/[01]{4}/[01]{4}/[01]{8}/service_bucket=", str(path)), path


def test_values_without_a_column_are_counted_and_warned_of_once(tmp_path, warehouse):
    make(warehouse, "logs", LOWER)
    rows = LOGS.rows["logs"]
    kept = {field.name.lower() for field in LOWER.fields}
    left_out = sum(value is not None for row in rows for name, value in row.items() if name.lower() not in kept)
    assert left_out > len(rows)
    own = settings(warehouse, "50ms", tables={"auto_evolve": False})
    with Collector(tmp_path / "collector", {"iceberg": own}, own_metrics=True) as collector:
        with collector.client() as client:
            for sent in (1, 2):
                client.send(LOGS.payload, "grpc", "logs")
                readers.wait_for_rows(warehouse, {"logs": sent * len(rows)})
        text = collector.own_metrics_when(lambda text: _left_out(text) >= 2 * left_out)
        assert collector.stop() == 0
    assert _left_out(text) == 2 * left_out
    [warning] = [line for line in collector.log().splitlines() if "the table has no columns for them" in line]
    assert "\twarn\t" in warning and "otlp2iceberg::" in warning, f"not a line of the Collector's log: {warning}"
    assert "TraceId" in warning and "tables.auto_evolve" in warning and "theirs" not in warning, warning


def _left_out(text: str) -> int:
    found = re.findall(r"^otelcol_exporter_iceberg_values_left_out\S*\{[^}]*\} (\S+)$", text, re.MULTILINE)
    return sum(int(float(value)) for value in found)
