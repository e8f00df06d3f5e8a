"""Acknowledged records are stored exactly once, across flushes, SIGTERM, kill -9 and restarts."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import threading
import time

import pytest

from o2i import corpus, numbered, readers
from o2i import warehouse as lying_in
from o2i.collector import Collector, settings
from o2i.otlp import DOORS, Refused
from o2i.senders import Senders
from o2i.tables import TABLES

NEVER = "1h"


def test_one_flush_interval_makes_at_most_three_snapshots(tmp_path, warehouse):
    fixtures = [corpus.fixture(signal) for signal in ("logs", "traces", "metrics")]
    rounds, flush_seconds = 20, 5
    with Collector(tmp_path / "collector", {"iceberg": settings(warehouse, flush_timeout=f"{flush_seconds}s")}) as collector:
        begun = time.monotonic()
        with collector.client() as client:
            client.send_all([(one.signal, one.payload, "grpc") for one in fixtures for _ in range(rounds)])
        # Sending takes less than an interval, except on a very busy machine.
        intervals = 1 + int((time.monotonic() - begun) / flush_seconds)
        counts = {table: rounds * len(rows) for one in fixtures for table, rows in one.rows.items()}
        readers.wait_for_rows(warehouse, counts)
    for name in TABLES:
        table = readers.load(warehouse, name)
        assert readers.row_count(table) == counts[name]
        assert len(table.metadata.snapshots) <= 2 + intervals, f"{name} has {len(table.metadata.snapshots)} snapshots"


def test_sigterm_with_pending_batches_stores_all_of_them(tmp_path, warehouse):
    with Collector(tmp_path / "collector", {"iceberg": settings(warehouse, flush_timeout=NEVER)}) as collector:
        with collector.client() as client:
            for number in range(30):
                client.send(numbered.request(range(number * 10, number * 10 + 10)), DOORS[number % len(DOORS)])
        assert not numbered.stored(warehouse), "the test needs a batch that is pending"
        assert collector.stop() == 0
        numbered.once(warehouse, range(300))


def test_sigterm_does_not_wait_for_the_interval_of_commits(tmp_path, warehouse):
    """One batch is in the table's first snapshot; the others would wait an hour for the next one."""
    exporter = {**settings(warehouse, flush_timeout="100ms"), "commit": {"interval": NEVER}, "timeout": "3h"}
    with Collector(tmp_path / "collector", {"iceberg": exporter}) as collector:
        with collector.client() as client:
            client.send(numbered.request(range(10)))
            numbered.wait_until_stored(warehouse, range(10))
            for number in range(1, 10):
                client.send(numbered.request(range(number * 10, number * 10 + 10)), DOORS[number % len(DOORS)])
        assert collector.stop() == 0
        numbered.once(warehouse, range(100))


def test_sigterm_while_requests_arrive_stores_what_was_acknowledged(tmp_path, warehouse):
    collector = Collector(tmp_path / "collector", {"iceberg": settings(warehouse, flush_timeout="200ms")}).start()
    with Senders(collector, count=4) as senders:
        senders.wait_for_acknowledged(400)
        assert collector.stop() == 0
    found = numbered.stored(warehouse)
    assert not senders.acknowledged - set(found), "acknowledged and not stored"
    assert all(count == 1 for count in found.values())
    assert set(found) <= senders.sent


def test_kill_before_the_flush_loses_nothing_with_a_queue_on_disk(tmp_path, warehouse):
    folder = tmp_path / "collector"
    before = Collector(folder, {"iceberg": settings(warehouse, flush_timeout=NEVER)}, queue_on_disk=True).start()
    with before.client() as client:
        for number in range(50):
            client.send(numbered.request(range(number * 10, number * 10 + 10)), DOORS[number % len(DOORS)])
    assert not numbered.stored(warehouse), "the test needs a batch that is pending"
    before.kill()
    with Collector(folder, {"iceberg": settings(warehouse)}, queue_on_disk=True):
        numbered.wait_until_stored(warehouse, range(500))
    numbered.once(warehouse, range(500))


def test_kill_during_a_start_loses_nothing_with_a_queue_on_disk(tmp_path, warehouse):
    """A start writes the requests that were in progress into the queue again, one by one."""
    folder, sent = tmp_path / "collector", range(1500)
    exporter = {"iceberg": settings(warehouse, flush_timeout=NEVER)}
    one = Collector(folder, exporter, queue_on_disk=True).start()
    with one.client() as client:
        for number in sent:
            client.send(numbered.request(range(number, number + 1)))
    one.kill()
    during_start = 0
    for turn in range(4):
        before = len(one.log())
        one.begin()
        while "left for dispatch by consumers" not in one.log()[before:]:
            assert one.process.poll() is None, one.log_tail()
            time.sleep(0.002)
        time.sleep(0.03 * turn)
        one.kill()
        during_start += "Everything is ready" not in one.log()[before:]
    assert during_start, "no kill fell into a start"
    with Collector(folder, {"iceberg": settings(warehouse)}, queue_on_disk=True):
        numbered.wait_until_stored(warehouse, sent)
    numbered.once(warehouse, sent)


def test_sigterm_before_the_flush_loses_nothing_with_a_queue_on_disk(tmp_path, warehouse):
    folder = tmp_path / "collector"
    with Collector(folder, {"iceberg": settings(warehouse, flush_timeout=NEVER)}, queue_on_disk=True) as before:
        with before.client() as client:
            for number in range(20):
                client.send(numbered.request(range(number * 10, number * 10 + 10)))
    with Collector(folder, {"iceberg": settings(warehouse)}, queue_on_disk=True) as after:
        with after.client() as client:
            client.send(numbered.request(range(200, 210)))
        numbered.wait_until_stored(warehouse, range(210))
    numbered.once(warehouse, range(210))


def test_kill_again_and_again_stores_what_was_acknowledged_once(tmp_path, warehouse):
    """The kills happen at random: in a write, in a commit, or between a commit and its acknowledgement to the queue."""
    folder = tmp_path / "collector"
    exporter = {"iceberg": settings(warehouse, flush_timeout="100ms")}
    sent, acknowledged = set(), set()
    for round_ in range(5):
        collector = Collector(folder, exporter, queue_on_disk=True).start()
        with Senders(collector, count=3, first=round_ * 1_000_000) as senders:
            senders.wait_for_acknowledged(200 + 37 * round_)
            collector.kill()
        sent |= senders.sent
        acknowledged |= senders.acknowledged
    with Collector(folder, exporter, queue_on_disk=True):
        numbered.wait_until_stored(warehouse, acknowledged)
    found = numbered.stored(warehouse)
    assert all(count == 1 for count in found.values()), f"{sum(c > 1 for c in found.values())} numbers are there twice"
    assert acknowledged <= set(found) <= sent


def test_with_wait_for_result_the_client_is_answered_after_the_commit(tmp_path, warehouse):
    exporter = settings(warehouse, flush_timeout="300ms")
    exporter["sending_queue"]["wait_for_result"] = True
    with Collector(tmp_path / "collector", {"iceberg": exporter}) as collector, collector.client() as client:
        for number, door in enumerate(DOORS):
            client.send(numbered.request(range(number * 10, number * 10 + 10)), door)
            numbered.once(warehouse, range((number + 1) * 10))


def test_after_a_stop_nothing_is_left_but_the_tables(tmp_path, warehouse):
    fixtures = [corpus.fixture(signal) for signal in ("logs", "traces", "metrics")]
    with Collector(tmp_path / "collector", {"iceberg": settings(warehouse, flush_timeout="200ms")}) as collector:
        with collector.client() as client:
            for _ in range(3):
                for one in fixtures:
                    client.send(one.payload, "grpc", one.signal)
                time.sleep(0.3)  # Makes several flushes likely; the assertions do not depend on it.
        assert collector.stop() == 0
    assert lying_in.leftovers(warehouse) == []


def test_after_sigterm_the_database_has_no_journals(tmp_path, warehouse):
    with Collector(tmp_path / "collector", {"iceberg": settings(warehouse)}) as collector:
        with collector.client() as client:
            client.send(numbered.request(range(10)))
        assert collector.stop() == 0
    assert sorted(path.name for path in warehouse.glob("catalog.db*")) == ["catalog.db"]
    numbered.once(warehouse, range(10))


def test_a_record_without_a_time_keeps_its_time_of_arrival_over_kill_and_restart(tmp_path, warehouse):
    folder = tmp_path / "collector"
    request = numbered.request(range(10))
    for record in request.resource_logs[0].scope_logs[0].log_records:
        record.ClearField("time_unix_nano")
    before = Collector(folder, {"iceberg": settings(warehouse, flush_timeout=NEVER)}, queue_on_disk=True).start()
    first = time.time_ns() // 1000
    with before.client() as client:
        client.send(request)
    last = time.time_ns() // 1000
    before.kill()
    with Collector(folder, {"iceberg": settings(warehouse)}, queue_on_disk=True):
        numbered.wait_until_stored(warehouse, range(10))
    times = [row["Timestamp"] for row in readers.read_pyiceberg(readers.load(warehouse, "logs"))]
    assert len(times) == 10
    assert all(first <= at <= last for at in times), f"arrived in {first}..{last}, stored with {sorted(set(times))}"


def test_what_comes_while_another_process_locks_the_catalog_is_stored_after(tmp_path, warehouse):
    exporter = settings(warehouse, flush_timeout="100ms")
    with Collector(tmp_path / "collector", {"iceberg": exporter}) as collector, collector.client() as client:
        client.send(numbered.request(range(10)))
        numbered.wait_until_stored(warehouse, range(10))
        with locked(warehouse):
            client.send(numbered.request(range(10, 20)))
            time.sleep(3)  # Long enough for many flushes; the assertions also hold without any.
            numbered.once(warehouse, range(10))
            assert collector.healthy()
        numbered.wait_until_stored(warehouse, range(20))
        numbered.once(warehouse, range(20))


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGHUP])
def test_a_stop_and_a_reload_store_what_waits_for_its_next_attempt(tmp_path, warehouse, end):
    exporter = settings(warehouse, flush_timeout="100ms", timeout="2s")
    exporter["retry_on_failure"] = {"initial_interval": NEVER, "max_interval": NEVER}
    with Collector(tmp_path / "collector", {"iceberg": exporter}) as collector, collector.client() as client:
        client.send(numbered.request(range(10)))
        numbered.wait_until_stored(warehouse, range(10))
        with locked(warehouse):
            client.send(numbered.request(range(10, 20)))
            until(lambda: "Will retry the request after interval" in collector.log())
        numbered.once(warehouse, range(10))
        if end == signal.SIGTERM:
            assert collector.stop() == 0
        else:
            os.kill(collector.pid, end)
            until(lambda: collector.log().count("Everything is ready") == 2)
            assert collector.healthy()
        numbered.once(warehouse, range(20))
        assert "is stored after all" in collector.log()


def test_a_warehouse_removed_while_running_is_told_and_nothing_counts_as_stored(tmp_path, warehouse):
    exporter = settings(warehouse, flush_timeout="100ms", timeout="5s")
    exporter["sending_queue"]["wait_for_result"] = True
    exporter["retry_on_failure"] = {"enabled": False}
    with Collector(tmp_path / "collector", {"iceberg": exporter}) as collector, collector.client() as client:
        client.send(numbered.request(range(10)))
        shutil.rmtree(warehouse)
        with pytest.raises(Refused):
            client.send(numbered.request(range(10, 20)))
        line = log_line(collector, "Exporting failed")
        assert str(warehouse) in line, f"what is gone is not named: {line}"


def test_two_exporters_in_one_collector_on_one_warehouse(tmp_path, warehouse):
    exporters = {f"iceberg/{name}": settings(warehouse, flush_timeout="100ms") for name in ("a", "b")}
    with Collector(tmp_path / "collector", exporters) as collector:
        with collector.client() as client:
            for number in range(20):
                client.send(numbered.request(range(number * 10, number * 10 + 10)))
                time.sleep(0.05)
        assert collector.stop() == 0
    assert numbered.stored(warehouse) == dict.fromkeys(range(200), 2), "each exporter stores each row once"


def test_two_collectors_at_once_on_one_warehouse(tmp_path, warehouse):
    """Both start on an empty folder, so they race to create the catalog, the namespace and the table, and to commit."""
    collectors = [
        Collector(tmp_path / name, {"iceberg": settings(warehouse, flush_timeout="100ms")}) for name in ("a", "b")
    ]
    starting = [threading.Thread(target=collector.start) for collector in collectors]
    for thread in starting:
        thread.start()
    for thread in starting:
        thread.join()
    senders = [Senders(collector, count=2, first=n * 1_000_000) for n, collector in enumerate(collectors)]
    with senders[0], senders[1]:
        for one in senders:
            one.wait_for_acknowledged(600)
    for collector in collectors:
        assert collector.stop() == 0
    numbered.once(warehouse, senders[0].acknowledged | senders[1].acknowledged)
    assert len(readers.read_duckdb(readers.load(warehouse, "logs"))) == sum(len(one.acknowledged) for one in senders)


@contextlib.contextmanager
def locked(warehouse):
    """Locks the catalog's database as another writing process would."""
    connection = sqlite3.connect(warehouse / "catalog.db", isolation_level=None, timeout=10)
    try:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")
    finally:
        connection.close()


def until(holds, seconds_max: float = 60.0) -> None:
    """Waits until `holds()` is true."""
    deadline = time.monotonic() + seconds_max
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.05)


def log_line(collector: Collector, part: str) -> str:
    """The first line of its log that contains `part`."""
    lines = [line for line in collector.log().splitlines() if part in line]
    assert lines, f"no line says {part!r}:\n{collector.log_tail()}"
    return lines[0]
