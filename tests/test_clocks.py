"""A wall clock that is 20 minutes wrong, and one that jumps back an hour: every record is stored once, in valid order.

The tests shift the clock of the exporter's library (`faults/clock.c`). It affects the times of snapshots and metadata,
the names of receipts, and signatures. The Go side keeps the right time; the seeded schedules (`rust/faults`) cover
jumps of arrival times.
"""

from __future__ import annotations

import re
import time

import pytest

from catalogs.reading import load, wait_for_rows
from faults.clock import MINUTE, Clock
from faults.lake import Lake, assert_once, wait_until_stored
from o2i import numbered, readers
from o2i.collector import Collector, settings

# Right, ahead, an hour back, right.
SHIFTS = (0, 20 * MINUTE, -40 * MINUTE, 0)
COMMIT_IDS = "otlp2iceberg.commit-ids"


@pytest.fixture
def clock(tmp_path) -> Clock:
    return Clock(tmp_path)


def test_on_local_files_while_the_collector_runs_and_over_restarts(clock, warehouse, tmp_path, monkeypatch):
    exporter = {"iceberg": settings(warehouse, flush_timeout="100ms")}
    one = Collector(tmp_path / "collector", exporter, queue_on_disk=True, own_metrics=True)
    sent = 0
    with clock.preloaded(monkeypatch):
        for restarts in (False, True):
            one.start()
            for seconds in SHIFTS:
                clock.shift(seconds)
                asked = clock.asked()
                with one.client() as client:
                    client.send(numbered.request(range(sent, sent + 10)))
                sent += 10
                numbered.wait_until_stored(warehouse, range(sent))
                assert clock.asked() > asked, "the library did not ask the shifted clock"
                if restarts:
                    one.kill()
                    one.start()
            assert_not_negative(one.own_metrics())
            assert one.stop() == 0
    numbered.once(warehouse, range(sent))
    table = readers.load(warehouse, "logs")
    assert len(readers.read_duckdb(table)) == sent
    assert_in_order(table)


def test_beside_a_writer_that_is_ahead_requests_are_recognised_after_a_crash(clock, lake: Lake, namespace, tmp_path, monkeypatch):
    """The clock of the previous writer is 20 minutes ahead. The catalog checks snapshot times as Java does."""
    with lake.doors(tmp_path) as doors:
        exporter = doors.settings(namespace, commit={"dedup_snapshots": 1})
        ahead = Collector(tmp_path / "ahead", {"iceberg": exporter}, queue_on_disk=True)
        right = Collector(tmp_path / "right", {"iceberg": exporter}, queue_on_disk=True)
        clock.shift(20 * MINUTE)
        send(right.start(), range(10))
        wait_until_stored(lake, namespace, map(str, range(10)))
        # The request is committed, but the answer is lost with the process.
        doors.catalog.stall("Commit", "AfterForward")
        send(right, range(10, 20))
        doors.catalog.wait_for_stall()
        right.kill()
        doors.catalog.release()
        with clock.preloaded(monkeypatch), ahead:
            send(ahead, range(20, 30))
            wait_until_stored(lake, namespace, map(str, range(30)))
        assert newest_seconds(lake, namespace) > time.time() + 15 * MINUTE
        with right:
            send(right, range(30, 40))
            wait_for_rows(lake.catalog.client(), {"logs": 40}, namespace)
    assert_once(lake, namespace, map(str, range(40)))
    assert_in_order(load(lake.catalog.client(), "logs", namespace))


def send(one: Collector, numbers: range) -> None:
    with one.client() as client:
        client.send(numbered.request(numbers))


def newest_seconds(lake: Lake, namespace: str) -> float:
    """The time of the current snapshot, in seconds since 1970."""
    return load(lake.catalog.client(), "logs", namespace).current_snapshot().timestamp_ms / 1000


def assert_in_order(table) -> None:
    """Asserts that no snapshot or metadata file is older than its predecessor, and no request is in two snapshots."""
    chain, snapshot = [], table.current_snapshot()
    while snapshot is not None:
        chain.insert(0, snapshot)
        parent = snapshot.parent_snapshot_id
        snapshot = table.snapshot_by_id(parent) if parent is not None else None
    assert len(chain) == len(table.metadata.snapshots)
    metadata = table.metadata
    for times in (
        [one.timestamp_ms for one in chain],
        [entry.timestamp_ms for entry in metadata.snapshot_log],
        [*(entry.timestamp_ms for entry in metadata.metadata_log), metadata.last_updated_ms],
    ):
        assert times == sorted(times)
    requests = []
    for one in chain:
        for text in one.summary[COMMIT_IDS].split(","):
            writer, first, last = re.fullmatch(r"(.+):(\d+)(?:-(\d+))?", text).groups()
            requests += [(writer, number) for number in range(int(first), int(last or first) + 1)]
    assert len(requests) == len(set(requests))


def assert_not_negative(own_metrics: str) -> None:
    """Asserts that none of the exporter's counters and histograms is below zero."""
    values = re.findall(r"^(otelcol_exporter_iceberg_\S+?)(?:\{[^}]*\})? (\S+)$", own_metrics, re.MULTILINE)
    assert values
    assert not [one for one in values if float(one[1]) < 0]
