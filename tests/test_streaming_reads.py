"""Readers that look back: Spark's streaming reads as the documentation has them, and reads by older metadata files."""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import duckdb
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from catalogs.exporting import send_numbers
from o2i import numbered, pages, readers
from o2i.collector import REPOSITORY, Collector, settings
from spark.session import Spark, rows_of

READERS, MAINTENANCE = REPOSITORY / "docs" / "readers.md", REPOSITORY / "docs" / "operations" / "maintenance.md"
SKIP_DELETES = '.option("streaming-skip-delete-snapshots", "true")'
DAY_NS = 86_400 * 10**9
EACH_BY_ITSELF = {"wait_for_result": True, "batch": {"flush_timeout": "10ms"}}
# Old snapshots expire quickly, unless a test says otherwise.
KEPT = 20
FORGETFUL = {"history.expire.max-snapshot-age-ms": "0", "history.expire.min-snapshots-to-keep": "1"}


def forgetful(warehouse: Path, **properties: str) -> dict:
    """Settings of an exporter whose table keeps only `KEPT` snapshots, and some more until the next expiry."""
    return {
        **settings(warehouse),
        "sending_queue": EACH_BY_ITSELF,
        "compaction": {"enabled": False},
        "commit": {"dedup_snapshots": KEPT, "dedup_window": "0s"},
        "tables": {"properties": {**FORGETFUL, **properties}},
    }


def send_each(collector: Collector, numbers: range) -> None:
    """Sends one log record for each number, each in its own commit."""
    for number in numbers:
        send_numbers(collector, range(number, number + 1))


def old_records(numbers: range) -> ExportLogsServiceRequest:
    """Log records that are old enough for the documented DELETE."""
    request = numbered.request(numbers)
    for record in request.resource_logs[0].scope_logs[0].log_records:
        record.time_unix_nano -= 40 * DAY_NS
    return request


def pasted(spark: Spark, without: str = "") -> tuple:
    """`history` and `stream` as docs/readers.md makes them, perhaps without a part of that code."""
    code = pages.block_with(READERS, "python", "readStream")
    assert without in code
    names = {"spark": spark.session}
    with warnings.catch_warnings():
        # As in `spark.session.rows_of`.
        warnings.simplefilter("ignore", ResourceWarning)
        exec(code.replace(without, ""), names)
    return names["history"], names["stream"]


def documented_delete() -> str:
    """Spark's statement that deletes old rows, for the catalog `default`."""
    block = pages.block_with(MAINTENANCE, "sql", "date_trunc('DAY'")
    [statement] = [line for line in block.splitlines() if line.startswith("DELETE")]
    return statement.rstrip(";").replace(" catalog.", " default.")


def bodies(frame) -> list[int]:
    """The numbers in the rows of a DataFrame, sorted."""
    return sorted(int(row["Body"]) for row in rows_of(frame.select("Body")))


def follow(spark: Spark, stream, folder: Path) -> list[int]:
    """Lets a stream take what is there for it now. Returns the numbers that all its runs in `folder` have found."""
    writing = stream.select("Body").writeStream.format("parquet").option("checkpointLocation", f"{folder}/checkpoint")
    query = writing.trigger(availableNow=True).start(f"{folder}/rows")
    assert query.awaitTermination(60), "the stream does not end"
    return bodies(spark.session.read.schema("Body string").parquet(f"{folder}/rows"))


def operations(warehouse: Path) -> dict[int, str]:
    """The operation of each snapshot of the table of logs, by the snapshot's id."""
    snapshots = readers.load(warehouse, "logs").metadata.snapshots
    return {snapshot.snapshot_id: snapshot.summary.operation.value for snapshot in snapshots}


def wait_for_merge(warehouse: Path, before: dict[int, str], seconds_max: float = 30.0) -> None:
    """Waits until compaction has merged files since `before`."""
    deadline = time.monotonic() + seconds_max
    while "replace" not in [operation for one, operation in operations(warehouse).items() if one not in before]:
        assert time.monotonic() < deadline, f"nothing was merged within {seconds_max} s"
        time.sleep(0.1)


def test_history_and_stream_have_each_row_once(warehouse, tmp_path):
    """Over appends, merged manifests, our compaction and the documented DELETE."""
    exporter = {
        **settings(warehouse),
        "sending_queue": EACH_BY_ITSELF,
        "compaction": {"interval": "1s", "min_files": 3},
        "tables": {"properties": {"commit.manifest.min-count-to-merge": "3"}},
    }
    with Collector(tmp_path / "collector", {"iceberg": exporter}) as collector:
        with collector.client() as client:
            client.send(old_records(range(2)))
        send_each(collector, range(2, 6))
        spark = Spark.documented(tmp_path)
        history, stream = pasted(spark)
        _, careless = pasted(spark, without=SKIP_DELETES)
        seen = bodies(history)
        assert seen == list(range(6))

        before = operations(warehouse)
        send_each(collector, range(6, 12))
        wait_for_merge(warehouse, before)
        spark.sql(documented_delete())
        send_each(collector, range(12, 15))
        since = {one: operation for one, operation in operations(warehouse).items() if one not in before}
        assert {"append", "replace", "delete"} == set(since.values())
        assert seen + follow(spark, stream, tmp_path / "stream") == list(range(15))
        send_each(collector, range(15, 17))
        assert seen + follow(spark, stream, tmp_path / "stream") == list(range(17))
        with pytest.raises(Exception, match="Cannot process delete snapshot"):
            follow(spark, careless, tmp_path / "careless")
    assert bodies(spark.session.table("default.otel.logs")) == list(range(2, 17))


def test_a_stream_goes_back_as_far_as_snapshots_are_retained(warehouse, tmp_path):
    """A new one misses the rest without an error; one that stopped for longer says so."""
    with Collector(tmp_path / "collector", {"iceberg": forgetful(warehouse)}) as collector:
        send_each(collector, range(2 * KEPT))
        spark = Spark.documented(tmp_path)
        found = follow(spark, spark.session.readStream.table("default.otel.logs"), tmp_path / "alone")
        assert KEPT <= len(found) < 2 * KEPT
        assert found == list(range(2 * KEPT))[-len(found) :]
        history, stream = pasted(spark)
        seen = bodies(history)
        send_each(collector, range(2 * KEPT, 2 * KEPT + 3))
        assert seen + follow(spark, stream, tmp_path / "stream") == list(range(2 * KEPT + 3))
        send_each(collector, range(2 * KEPT + 3, 4 * KEPT + 3))
        with pytest.raises(Exception, match="the snapshot was expired or removed"):
            follow(spark, stream, tmp_path / "stream")


@pytest.mark.parametrize("age", ["86400000", "0"], ids=["with the snapshots", "alone"])
def test_older_metadata_files_serve_as_long_as_their_snapshots_are_there(age, warehouse, tmp_path):
    versions = {"write.metadata.previous-versions-max": "1000"}
    exporter = forgetful(warehouse, **versions, **{"history.expire.max-snapshot-age-ms": age})
    with Collector(tmp_path / "collector", {"iceberg": exporter}) as collector:
        send_each(collector, range(1))
        first = readers.load(warehouse, "logs")
        send_each(collector, range(1, 2 * KEPT))
        assert readers.local_path(first.metadata_location).exists()
        if age != "0":
            assert [row["Body"] for row in readers.read_duckdb(first)] == ["0"]
            return
        # Expired snapshots' files are deleted in the background.
        listed = readers.local_path(first.current_snapshot().manifest_list)
        deadline = time.monotonic() + 30
        while listed.exists():
            assert time.monotonic() < deadline, "the manifest list of an expired snapshot is still there after 30 s"
            time.sleep(0.1)
        with pytest.raises(duckdb.Error, match=listed.name):
            readers.read_duckdb(first)
