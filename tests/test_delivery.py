"""What was acknowledged is in the tables, once: over flushes, SIGTERM, kill -9 and restarts."""

from __future__ import annotations

import threading
import time

from o2i import corpus, numbered, readers
from o2i import warehouse as lying_in
from o2i.collector import Collector, settings
from o2i.otlp import DOORS, Refused
from o2i.tables import TABLES

NEVER = "1h"


def test_one_flush_interval_makes_at_most_three_snapshots(tmp_path, warehouse):
    fixtures = [corpus.fixture(signal) for signal in ("logs", "traces", "metrics")]
    rounds = 20
    with Collector(tmp_path / "collector", {"iceberg": settings(warehouse, flush_timeout="5s")}) as collector:
        begun = time.monotonic()
        with collector.client() as client:
            client.send_all([(one.signal, one.payload, "grpc") for one in fixtures for _ in range(rounds)])
        assert time.monotonic() - begun < 5, "sending took longer than a flush interval"
        counts = {table: rounds * len(rows) for one in fixtures for table, rows in one.rows.items()}
        readers.wait_for_rows(warehouse, counts)
    for name in TABLES:
        table = readers.load(warehouse, name)
        assert readers.row_count(table) == counts[name]
        assert len(table.metadata.snapshots) <= 3, f"{name} has {len(table.metadata.snapshots)} snapshots"


def test_sigterm_with_pending_batches_stores_all_of_them(tmp_path, warehouse):
    with Collector(tmp_path / "collector", {"iceberg": settings(warehouse, flush_timeout=NEVER)}) as collector:
        with collector.client() as client:
            for number in range(30):
                client.send(numbered.request(range(number * 10, number * 10 + 10)), DOORS[number % len(DOORS)])
        assert not numbered.stored(warehouse), "the test needs a batch that is pending"
        assert collector.stop() == 0
        numbered.once(warehouse, range(300))


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
    """The kills fall anywhere: into a write, a commit, or between a commit and its acknowledgement to the queue."""
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
                time.sleep(0.3)  # So that several flushes are likely; what is asserted does not depend on it.
        assert collector.stop() == 0
    assert lying_in.leftovers(warehouse) == []


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
    """Both start on nothing, so they race to make the catalog, the namespace and the table, and then to commit."""
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


class Senders:
    """Threads that send numbered logs, ten a request, until the block ends; what is refused is not sent again."""

    def __init__(self, collector: Collector, count: int, first: int = 0):
        self.sent: set[int] = set()
        self.acknowledged: set[int] = set()
        self._client = collector.client(timeout_seconds=10)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._next = first
        self._threads = [threading.Thread(target=self._run, args=(door,)) for door in (DOORS * count)[:count]]

    def __enter__(self) -> Senders:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._client.close()

    def wait_for_acknowledged(self, count: int, seconds_max: float = 60.0) -> None:
        """Waits until so many numbers have been acknowledged."""
        deadline = time.monotonic() + seconds_max
        while len(self.acknowledged) < count:
            assert time.monotonic() < deadline, f"only {len(self.acknowledged)} of {count} acknowledged"
            time.sleep(0.01)

    def _run(self, door: str) -> None:
        while not self._stop.is_set():
            with self._lock:
                numbers = range(self._next, self._next + 10)
                self._next += 10
                self.sent.update(numbers)
            try:
                self._client.send(numbered.request(numbers), door)
            except Refused:
                self._stop.wait(0.05)
                continue
            with self._lock:
                self.acknowledged.update(numbers)
            self._stop.wait(0.002)
