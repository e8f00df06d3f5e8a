"""Compaction merges small data files while the Collector writes, and every reader finds each row once."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.table.snapshots import Snapshot

from catalogs.exporting import send_numbers, settings
from catalogs.reading import load, read_all, rows_hash, wait_for_rows
from catalogs.reference import ReferenceCatalog
from o2i import corpus, numbered, readers
from o2i import collector as o2i_collector
from o2i.collector import Collector, total
from o2i.senders import Senders
from o2i.tables import TABLES, TIME_COLUMN

ROUNDS = 12
# The number of files of similar size that triggers a merge, so fewer than this of one size remain.
FILES_MIN = 3
OFTEN = {"compaction": {"interval": "1s", "min_files": FILES_MIN}}
EACH_BY_ITSELF = {"wait_for_result": True, "batch": {"flush_timeout": "10ms"}}
# Old snapshots expire quickly.
KEPT = 20
FORGETFUL = {
    "commit": {"dedup_snapshots": KEPT, "dedup_window": "0s"},
    "tables": {"properties": {"history.expire.max-snapshot-age-ms": "0", "history.expire.min-snapshots-to-keep": "1"}},
}


def wait_for_files(catalog: Catalog, namespace: str, files_max: dict[str, int], seconds_max: float = 60.0) -> None:
    """Waits until no table has more data files than `files_max` gives for it."""
    deadline = time.monotonic() + seconds_max
    while True:
        found = {name: len(files_of(load(catalog, name, namespace))) for name in files_max}
        if all(found[name] <= most for name, most in files_max.items()):
            return
        assert time.monotonic() < deadline, f"after {seconds_max} s there are still {found} files, not {files_max} at most"
        time.sleep(0.2)


def files_of(table) -> list[str]:
    """The table's data files."""
    return [task.file.file_path for task in table.scan().plan_files()]


def partitions(table) -> int:
    """The number of partitions with files."""
    return len({str(task.file.partition) for task in table.scan().plan_files()})


def merges(table) -> list[Snapshot]:
    """The table's snapshots that replaced files by a merged one."""
    return [one for one in table.metadata.snapshots if one.summary.operation.value == "replace"] if table else []


@pytest.mark.parametrize("kind", ["sql", "rest"])
def test_every_reader_finds_the_same_rows_in_fewer_files(kind, warehouse, reference: ReferenceCatalog, namespace, tmp_path):
    """Every column of all seven tables, with the difficult rows of the corpus."""
    if kind == "sql":
        exporter = {"type": "sql", "warehouse": str(warehouse), "namespace": namespace}
    else:
        exporter = reference.settings(namespace=namespace)
    fixtures = [corpus.fixture(name) for name in ("logs", "traces", "metrics")]
    rows = {table: found for one in fixtures for table, found in one.rows.items()}
    begun = time.time_ns() // 1000
    with Collector(tmp_path / "collector", {"iceberg": {**settings(exporter), **OFTEN, "sending_queue": EACH_BY_ITSELF}}) as collector:
        with collector.client() as client:
            for _ in range(ROUNDS):
                for one in fixtures:
                    client.send(one.payload, "grpc", one.signal)
        ended = time.time_ns() // 1000
        catalog = readers.catalog(warehouse) if kind == "sql" else reference.client()
        wait_for_rows(catalog, {table: ROUNDS * len(found) for table, found in rows.items()}, namespace)
        # The corpus spans several days, and each day may keep some files of two sizes.
        files_max = {name: 2 * (FILES_MIN - 1) * partitions(load(catalog, name, namespace)) for name in TABLES}
        wait_for_files(catalog, namespace, files_max)
    assert "otlp2iceberg::" not in collector.log(), f"the library warns\n{collector.log_tail()}"
    spark = reference.spark()
    for name in TABLES:
        table = load(catalog, name, namespace)
        assert merges(table), f"{name}: nothing was merged"
        for merge in merges(table):
            assert merge.summary["added-records"] == merge.summary["deleted-records"]
        expected = rows_hash(rows[name] * ROUNDS)
        if kind == "sql":
            found = {"pyiceberg": readers.read_pyiceberg(table), "duckdb": readers.read_duckdb(table)}
        else:
            found = read_all(catalog, spark, name, namespace=namespace)
        for reader, of_reader in found.items():
            assert rows_hash(of_reader, (begun, ended), TIME_COLUMN[name]) == expected, f"{name}, {reader}"
        # Each snapshot is complete, also those from before a merge.
        for snapshot in table.metadata.snapshots[-10:]:
            planned = list(table.scan(snapshot_id=snapshot.snapshot_id).plan_files())
            assert len(planned) == int(snapshot.summary["total-data-files"])
            assert sum(task.file.record_count for task in planned) == int(snapshot.summary["total-records"])
            assert all(readers.local_path(task.file.file_path).exists() for task in planned)


def send_until_told(collector: Collector, catalog: Catalog, sent: int) -> int:
    """Sends numbers until the Collector's own metrics agree with the table's number of files; returns how many it sent.

    The metrics report merges with the next batch.
    """
    for sent in range(sent + 1, sent + 30):
        send_numbers(collector, range(sent - 1, sent))
        files = len(files_of(load(catalog, "logs")))
        text = collector.own_metrics()
        made, replaced = total(text, "compactions", "logs"), total(text, "compacted_files", "logs")
        if files == sent - replaced + made:
            assert made > 0 and total(text, "compaction_failures", "logs") == 0, text
            return sent
        time.sleep(0.3)
    raise AssertionError(f"{files} files after {sent} flushes are not what the metrics tell\n{text}")


def test_what_was_replaced_is_deleted_with_the_snapshots_that_had_it(warehouse, tmp_path):
    commits = 100
    exporter = {**o2i_collector.settings(warehouse), **OFTEN, **FORGETFUL, "sending_queue": EACH_BY_ITSELF}
    with Collector(tmp_path / "collector", {"iceberg": exporter}, own_metrics=True) as collector:
        for number in range(commits):
            send_numbers(collector, range(number, number + 1))
            time.sleep(0.05)
        catalog = readers.catalog(warehouse)
        wait_for_files(catalog, "otel", {"logs": 10})
        # Only commits expire snapshots.
        for number in range(commits, commits + 2 * KEPT):
            send_numbers(collector, range(number, number + 1))
        sent = send_until_told(collector, catalog, commits + 2 * KEPT)
    numbered.once(warehouse, range(sent))
    table = load(catalog, "logs")
    data = {task.file.file_path for snapshot in table.metadata.snapshots for task in table.scan(snapshot_id=snapshot.snapshot_id).plan_files()}
    folder = Path(readers.local_path(table.location())) / "data"
    there = {str(path) for path in folder.rglob("*.parquet")}
    assert there == {str(readers.local_path(path)) for path in data}
    assert len(table.metadata.snapshots) < 3 * KEPT


def test_kills_and_restarts_lose_and_double_nothing(warehouse, tmp_path):
    exporter = {**o2i_collector.settings(warehouse, flush_timeout="30ms"), **OFTEN, **FORGETFUL}
    # A request that is redelivered after a kill must be recognised.
    exporter["commit"] = {"dedup_snapshots": 500, "dedup_window": "0s"}
    collector = Collector(tmp_path / "collector", {"iceberg": exporter}, queue_on_disk=True).start()
    acknowledged: set[int] = set()
    sent: set[int] = set()
    known: set[int] = set()
    for number in itertools.count():
        with Senders(collector, count=2, first=number * 1_000_000, pause_seconds=0.02) as senders:
            deadline = time.monotonic() + 60
            while known.issuperset(one.snapshot_id for one in merges(readers.load(warehouse, "logs"))):
                assert time.monotonic() < deadline, f"nothing was merged\n{collector.log_tail()}"
                time.sleep(0.1)
            # The next merge follows after 0.5 to 1.5 s: the kills are before it, in it and after it.
            time.sleep(0.3 * number)
            collector.kill()
        known = {one.snapshot_id for one in merges(readers.load(warehouse, "logs"))}
        acknowledged |= senders.acknowledged
        sent |= senders.sent
        collector.start()
        if number == 4:
            break
    numbered.wait_until_stored(warehouse, acknowledged)
    assert collector.stop() == 0
    found = numbered.stored(warehouse)
    assert set(found) <= sent and acknowledged <= set(found)
    assert max(found.values()) == 1
    assert merges(readers.load(warehouse, "logs")), "nothing was merged"


def test_two_collectors_merge_one_table(reference: ReferenceCatalog, namespace, tmp_path):
    exporter = {**settings(reference.settings(namespace=namespace)), **OFTEN, "sending_queue": EACH_BY_ITSELF}
    one, other = (Collector(tmp_path / name, {"iceberg": exporter}).start() for name in ("one", "other"))
    rounds = 40
    for number in range(rounds):
        send_numbers(one, range(2 * number, 2 * number + 1))
        send_numbers(other, range(2 * number + 1, 2 * number + 2))
        time.sleep(0.05)
    catalog = reference.client()
    wait_for_files(catalog, namespace, {"logs": 3 * (FILES_MIN - 1)})
    assert one.stop() == 0
    assert other.stop() == 0
    table = load(catalog, "logs", namespace)
    for rows in (readers.read_pyiceberg(table), readers.read_duckdb(table)):
        assert sorted(int(row["Body"]) for row in rows) == list(range(2 * rounds))


def test_it_is_off_where_it_is_switched_off(warehouse, tmp_path):
    exporter = {**o2i_collector.settings(warehouse), "compaction": {**OFTEN["compaction"], "enabled": False}, "sending_queue": EACH_BY_ITSELF}
    with Collector(tmp_path / "collector", {"iceberg": exporter}) as collector:
        for number in range(2 * FILES_MIN):
            send_numbers(collector, range(number, number + 1))
        time.sleep(4)
    assert len(files_of(load(readers.catalog(warehouse), "logs"))) == 2 * FILES_MIN
