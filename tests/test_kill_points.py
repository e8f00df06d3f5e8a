"""kill -9 at named points in the processing of a batch, with the queue on disk: nothing is lost or stored twice.

The test runs the shipped Collector without hooks: a faultbox holds one of its requests at a point, and the test then
kills the Collector. `O2I_KILLS` is the number of tries per point (default 1).
"""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
from dataclasses import dataclass

import pytest

from faults.lake import Doors, assert_once, wait_until_stored
from o2i import numbered
from o2i.collector import Collector
from o2i.corpus import build
from o2i.otlp import Refused
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum

TIMES = int(os.environ.get("O2I_KILLS", "1"))
NAMESPACES = itertools.count()


@dataclass(frozen=True)
class KillPoint:
    """A request of the Collector and a point in its transfer."""

    kind: str
    point: str
    # Which of these requests, counted from when the point is set.
    nth: int = 1
    # The held request continues after the Collector is dead.
    goes_on: bool = False


# In the order in which a batch passes them.
POINTS = {
    "before_anything_is_written": KillPoint("Load", "AfterForward"),
    "half_of_an_upload": KillPoint("PutData", "HalfRequest"),
    "before_an_upload": KillPoint("PutData", "BeforeForward"),
    "after_an_upload": KillPoint("PutData", "AfterForward"),
    "before_a_manifest": KillPoint("PutMetadata", "BeforeForward"),
    "after_a_manifest_list": KillPoint("PutMetadata", "AfterForward", nth=2),
    "half_of_a_commit": KillPoint("Commit", "HalfRequest"),
    "before_a_commit": KillPoint("Commit", "BeforeForward"),
    "before_a_commit_that_lands_after_the_restart": KillPoint("Commit", "BeforeForward", goes_on=True),
    "after_a_commit_before_its_answer": KillPoint("Commit", "AfterForward"),
    "half_of_a_commits_answer": KillPoint("Commit", "HalfAnswer"),
}


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test uses."""
    return f"kills_{next(NAMESPACES)}"


def collector(folder, doors: Doors, namespace: str) -> Collector:
    return Collector(folder, {"iceberg": doors.settings(namespace)}, queue_on_disk=True)


def send(one: Collector, numbers: range) -> None:
    """Sends a request for every ten numbers."""
    with one.client() as client:
        for first in range(numbers.start, numbers.stop, 10):
            client.send(numbered.request(range(first, first + 10)))


@pytest.mark.parametrize("turn", range(TIMES))
@pytest.mark.parametrize("name", POINTS)
def test_killed_at(name, turn, lake, namespace, tmp_path):
    at = POINTS[name]
    with lake.doors(tmp_path) as doors:
        door = doors.catalog if at.kind in ("Load", "Commit") else doors.storage
        one = collector(tmp_path / "collector", doors, namespace)
        # The table has rows already, except where the point is in its creation.
        first = 0
        if at.kind != "Load":
            one.start()
            send(one, range(50))
            wait_until_stored(lake, namespace, map(str, range(50)))
            assert one.stop() == 0
            first = 50
        door.stall(at.kind, at.point, nth=at.nth)
        one.start()
        send(one, range(first, first + 50))
        door.wait_for_stall()
        # These are only in the queue, and are merged with the others after the restart.
        send(one, range(first + 50, first + 100))
        one.kill()
        with one:
            if at.goes_on:
                door.release()
            send(one, range(first + 100, first + 110))
            wait_until_stored(lake, namespace, map(str, range(first + 110)))
        assert_once(lake, namespace, map(str, range(first + 110)))


@pytest.mark.parametrize("turn", range(TIMES))
def test_killed_between_a_commit_and_its_acknowledgement_to_the_queue(turn, lake, namespace, tmp_path):
    """The answer passes, and the kill follows at a random moment while the queue processes the acknowledgement."""
    with lake.doors(tmp_path) as doors:
        one = collector(tmp_path / "collector", doors, namespace).start()
        doors.catalog.stall("Commit", "AfterForward")
        send(one, range(100))
        doors.catalog.wait_for_stall()
        doors.catalog.release()
        time.sleep(random.Random(turn).uniform(0, 0.01))
        one.kill()
        with one:
            wait_until_stored(lake, namespace, map(str, range(100)))
            send(one, range(100, 110))
            wait_until_stored(lake, namespace, map(str, range(110)))
        assert_once(lake, namespace, map(str, range(110)))


@pytest.mark.parametrize("turn", range(TIMES))
def test_killed_while_requests_are_put_into_the_queue(turn, lake, namespace, tmp_path):
    """Acknowledged records are stored once; others at most once."""
    with lake.doors(tmp_path) as doors:
        one = collector(tmp_path / "collector", doors, namespace).start()
        sent, acknowledged, over = set(), set(), threading.Event()

        def load(first: int) -> None:
            with one.client(timeout_seconds=5) as client:
                while not over.is_set():
                    numbers = range(first, first + 10)
                    first += 10
                    sent.update(numbers)
                    try:
                        client.send(numbered.request(numbers))
                    except Refused:
                        return
                    acknowledged.update(numbers)

        threads = [threading.Thread(target=load, args=(1_000_000 * n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        while len(acknowledged) < 300:
            time.sleep(0.005)
        time.sleep(random.Random(turn).uniform(0, 0.5))
        one.kill()
        over.set()
        for thread in threads:
            thread.join()
        with one:
            wait_until_stored(lake, namespace, map(str, acknowledged))
        assert_once(lake, namespace, map(str, acknowledged), maybe=map(str, sent))


@pytest.mark.parametrize("turn", range(TIMES))
def test_killed_again_while_what_was_left_is_delivered(turn, lake, namespace, tmp_path):
    with lake.doors(tmp_path) as doors:
        one = collector(tmp_path / "collector", doors, namespace)
        for round_, point in enumerate(("BeforeForward", "AfterForward", "HalfAnswer")):
            with lake.doors(tmp_path) as held:
                one.config["exporters"]["iceberg"]["catalog"]["uri"] = held.catalog.url
                held.catalog.stall("Commit", point)
                one.start()
                send(one, range(round_ * 50, round_ * 50 + 50))
                held.catalog.wait_for_stall()
                one.kill()
        one.config["exporters"]["iceberg"]["catalog"]["uri"] = doors.catalog.url
        with one:
            wait_until_stored(lake, namespace, map(str, range(150)))
        assert_once(lake, namespace, map(str, range(150)))


@pytest.mark.parametrize("turn", range(TIMES))
def test_killed_when_one_of_two_tables_has_its_rows(turn, lake, namespace, tmp_path):
    """One request fills two tables. The commit to one table is held until the other table has its rows."""
    names = [f"m{number}" for number in range(20)]
    with lake.doors(tmp_path) as doors:
        one = collector(tmp_path / "collector", doors, namespace).start()
        doors.catalog.stall("Commit", "BeforeForward", part="/metrics_sum")
        with one.client() as client:
            for name in names:
                client.send(gauge_and_sum(name))
        doors.catalog.wait_for_stall()
        deadline = time.monotonic() + 30
        while not lake.bodies(namespace, "metrics_gauge", "MetricName"):
            assert time.monotonic() < deadline, "the other table never got its rows"
            time.sleep(0.05)
        one.kill()
        with one:
            for table in ("metrics_gauge", "metrics_sum"):
                wait_until_stored(lake, namespace, names, table, "MetricName")
        for table in ("metrics_gauge", "metrics_sum"):
            assert_once(lake, namespace, names, table=table, column="MetricName")


def gauge_and_sum(name: str) -> ExportMetricsServiceRequest:
    """One point in each of two tables."""
    points = [NumberDataPoint(time_unix_nano=time.time_ns(), as_int=1)]
    metrics = [
        Metric(name=name, gauge=Gauge(data_points=points)),
        Metric(name=name, sum=Sum(data_points=points, aggregation_temporality=2, is_monotonic=True)),
    ]
    scope_metrics = ScopeMetrics(scope=build.scope("points"), metrics=metrics)
    return ExportMetricsServiceRequest(
        resource_metrics=[ResourceMetrics(resource=build.resource({"service.name": "points"}), scope_metrics=[scope_metrics])]
    )
