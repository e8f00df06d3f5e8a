"""Wrong configurations and conflicts: each produces one clear line with a remedy."""

from __future__ import annotations

import socket

import pytest
from pyiceberg.schema import Schema
from pyiceberg.types import IntegerType, LongType, NestedField, TimestamptzType

from o2i import corpus, readers
from o2i.collector import Collector, settings


@pytest.mark.parametrize(("exporter", "said"), [
    ({"catalog": {"warehose": "x"}}, ["catalog", "warehose"]),
    ({"partition_by": "day"}, ["iceberg", "partition_by"]),
    ({"tables": {"partition_by": "dy"}}, ["tables.partition_by", "hour, day, month, none"]),
    ({"tables": {"attribute_columns": ["service.name"]}}, ["tables.attribute_columns[0].column", "ServiceName", "another name"]),
    ({"tables": {"attribute_columns": [{"attribute": "a", "kind": "long"}]}}, ["tables.attribute_columns[0].kind", "unknown field"]),
    ({"tables": {"attribute_columns": "http.route"}}, ["attribute_columns"]),
    ({"tables": {"names": {"lgs": "x"}}}, ["tables.names", "lgs", "logs"]),
    ({"catalog": {"type": "sqlite"}}, ["catalog.type", "sqlite", "sql"]),
    ({"parquet": {"compression": "gzip"}}, ["parquet.compression", "gzip", "zstd"]),
    ({"parquet": {"compression_level": 99}}, ["parquet.compression_level", "99", "22"]),
    ({"commit": {"interval": "soon"}}, ["interval", "soon"]),
    ({"catalog": {"warehouse": "ftp://x/y"}}, ["catalog.warehouse", "ftp", "file://"]),
    ({"tables": {"names": {"logs": ".."}}}, ["tables.names.logs", "..", "cannot name a table"]),
    ({"limits": {"column_bytes_max": 1}}, ["limits.column_bytes_max", "65536"]),
    ({"catalog": {"uri": "postgres://x"}}, ["catalog.uri", "postgres", "sqlite://"]),
    ({"catalog": {"uri": "sqlite://./c.db", "warehouse": "s3://my bucket/x"}}, ["catalog.warehouse", "my bucket"]),
    ({"catalog": {"uri": "sqlite://./c.db", "warehouse": "s3:///x"}}, ["catalog.warehouse", "names no bucket"]),
    ({"storage": {"s3": {"region": "eu west"}}}, ["storage.s3.region", "eu west"]),
    ({"storage": {"s3": {"access_key_id": "a\nb", "secret_access_key": "hush"}}}, ["storage.s3.access_key_id", "no header"]),
], ids=lambda value: value[-1] if isinstance(value, list) else None)  # fmt: skip
def test_a_wrong_setting_is_named_with_what_is_accepted(exporter, said, tmp_path):
    code, output = Collector(tmp_path, {"iceberg": exporter}).run_to_end()
    assert code != 0
    line_that_says(output, said)


def test_all_wrong_settings_are_told_at_once(tmp_path):
    exporter = {
        "parquet": {"compression_level": 99, "max_row_group_rows": 0},
        "tables": {"names": {"lgs": "x"}},
        "timeout": "0s",
    }
    code, output = Collector(tmp_path, {"iceberg": exporter}).run_to_end()
    assert code != 0
    for said in ("parquet.compression_level", "parquet.max_row_group_rows", "tables.names", "timeout"):
        assert said in output, f"{said} is not named in\n{output}"


@pytest.mark.parametrize("place", ["/dev/null/x", "/proc/o2i-warehouse", "a-file"])
def test_a_warehouse_that_cannot_be_written_is_named_at_start(place, tmp_path):
    if place == "a-file":
        place = str(tmp_path / "a-file")
        (tmp_path / "a-file").write_text("not a folder")
    code, output = Collector(tmp_path / "collector", {"iceberg": settings(place)}).run_to_end()
    assert code != 0
    line_that_says(output, ["catalog.warehouse", place])


def test_a_port_in_use_is_named_at_start(tmp_path, warehouse):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        collector = Collector(tmp_path, {"iceberg": settings(warehouse)})
        collector.grpc_port = taken.getsockname()[1]
        endpoint = f"127.0.0.1:{collector.grpc_port}"
        collector.config["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"] = endpoint
        code, output = collector.run_to_end()
    assert code != 0
    line_that_says(output, [endpoint, "address already in use"])


def test_a_table_with_a_clashing_type_is_named_and_the_others_are_written(tmp_path, warehouse):
    make_table(warehouse, "logs", NestedField(2, "Body", LongType()), NestedField(3, "SeverityNumber", IntegerType()))
    logs, traces = corpus.fixture("logs"), corpus.fixture("traces")
    with Collector(tmp_path / "collector", {"iceberg": settings(warehouse)}) as collector:
        with collector.client() as client:
            client.send(logs.payload, "grpc", "logs")
            client.send(traces.payload, "grpc", "traces")
        readers.wait_for_rows(warehouse, {"traces": len(traces.rows["traces"])})
        assert collector.healthy()
        assert collector.stop() == 0
    line_that_says(collector.log(), ["logs", "Body", "long", "string"])
    assert readers.row_count(readers.load(warehouse, "logs")) == 0


def test_a_missing_table_is_named_when_none_may_be_made(tmp_path, warehouse):
    exporter = settings(warehouse, tables={"auto_create": False})
    one = corpus.fixture("traces")
    with Collector(tmp_path / "collector", {"iceberg": exporter}) as collector:
        with collector.client() as client:
            client.send(one.payload, "grpc", "traces")
        assert collector.stop() == 0
    line_that_says(collector.log(), ["traces", "auto_create"])
    assert readers.load(warehouse, "traces") is None


def test_no_settings_at_all_write_to_the_working_directory(tmp_path):
    one = corpus.fixture("traces")
    with Collector(tmp_path, {"iceberg": None}) as collector:
        with collector.client() as client:
            client.send(one.payload, "grpc", "traces")
        assert collector.stop() == 0
    assert readers.row_count(readers.load(tmp_path / "warehouse", "traces")) == len(one.rows["traces"])


def make_table(warehouse, name: str, *columns: NestedField) -> None:
    """Creates a foreign table in the same catalog."""
    warehouse.mkdir()
    catalog = readers.catalog(warehouse)
    catalog.create_namespace("otel")
    catalog.create_table(f"otel.{name}", Schema(NestedField(1, "Timestamp", TimestamptzType(), required=True), *columns))
    catalog.engine.dispose()


def line_that_says(output: str, parts: list[str]) -> None:
    """Asserts that a line contains all `parts`, and that at most one such line begins with `Error: `, which is how the
    Collector's last line begins. (Before that line it logs why a component did not start.)
    """
    lines = [line for line in output.splitlines() if all(part in line for part in parts)]
    assert lines, f"no line says {parts}:\n{output}"
    assert sum(line.startswith("Error: ") for line in lines) <= 1, f"said more than once: {lines}"


def test_a_database_that_was_lost_is_told_when_tables_are_made_over_those_that_it_had(tmp_path, warehouse):
    fixture = corpus.fixture("logs")
    for life in ("first", "second"):
        with Collector(tmp_path / life, {"iceberg": settings(warehouse)}) as collector:
            with collector.client() as client:
                client.send(fixture.payload, "grpc", fixture.signal)
            assert collector.stop() == 0
        told = [line for line in collector.log().splitlines() if "in the folder of another one" in line]
        assert len(told) == (1 if life == "second" else 0), told
        for database in warehouse.glob("catalog.db*"):
            database.unlink()
    assert "otel.logs" in told[0] and ".metadata.json" in told[0], told
