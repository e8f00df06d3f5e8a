"""kill -9 while the catalog is down and calls end with receipts (`commit.on_failure: accept`): records are stored once.

A faultbox holds a receipt on its way to storage, or a commit or a deletion when the catalog is back. The test then
kills the Collector. `O2I_KILLS` is the number of tries per point (default 1).
"""

from __future__ import annotations

import itertools
import os
import time
from dataclasses import dataclass

import pytest

from faults.lake import STORED_SECONDS_MAX, Doors, Lake, assert_once, wait_until_stored
from o2i import numbered
from o2i.collector import Collector

TIMES = int(os.environ.get("O2I_KILLS", "1"))
NAMESPACES = itertools.count()


@dataclass(frozen=True)
class KillPoint:
    """A request and a point in its transfer."""

    kind: str
    point: str
    # The held request continues after the Collector is dead.
    goes_on: bool = False


# While the catalog is down.
OF_THE_RECEIPT = {
    "half_of_a_receipt": KillPoint("PutReceipt", "HalfRequest"),
    "before_a_receipt": KillPoint("PutReceipt", "BeforeForward"),
    "before_a_receipt_that_lands_after_the_restart": KillPoint("PutReceipt", "BeforeForward", goes_on=True),
    "after_a_receipt_before_it_is_acknowledged": KillPoint("PutReceipt", "AfterForward"),
}
# When it is back.
OF_ITS_COMMIT = {
    "before_its_commit": KillPoint("Commit", "BeforeForward"),
    "before_its_commit_that_lands_after_the_restart": KillPoint("Commit", "BeforeForward", goes_on=True),
    "after_its_commit": KillPoint("Commit", "AfterForward"),
    "before_its_deletion": KillPoint("Delete", "BeforeForward"),
    "after_its_deletion": KillPoint("Delete", "AfterForward"),
}


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test uses."""
    return f"receipts_{next(NAMESPACES)}"


def collector(folder, doors: Doors, namespace: str, on_failure: str = "accept") -> Collector:
    commit = {"on_failure": on_failure, "max_retries": 1, "receipts_interval": "1s"}
    return Collector(folder, {"iceberg": doors.settings(namespace, commit=commit)}, queue_on_disk=True)


def send(one: Collector, numbers: range) -> None:
    """Sends a request for every ten numbers."""
    with one.client() as client:
        for first in range(numbers.start, numbers.stop, 10):
            client.send(numbered.request(range(first, first + 10)))


def receipts(lake: Lake, namespace: str) -> list[str]:
    """The keys of the receipts in a namespace."""
    bucket = lake.catalog.warehouse.removeprefix("s3://")
    return [key for key in lake.s3.keys(bucket, f"{namespace}/") if "/_otlp2iceberg/receipts/" in key]


def wait_for_receipts(lake: Lake, namespace: str, are_there: bool) -> None:
    """Waits until there is a receipt, or until there is none."""
    deadline = time.monotonic() + STORED_SECONDS_MAX
    while bool(found := receipts(lake, namespace)) != are_there:
        assert time.monotonic() < deadline, f"receipts: {found}"
        time.sleep(0.1)


@pytest.mark.parametrize("turn", range(TIMES))
@pytest.mark.parametrize("name", OF_THE_RECEIPT)
def test_killed_at_a_receipt(name, turn, lake, namespace, tmp_path):
    at = OF_THE_RECEIPT[name]
    with lake.doors(tmp_path) as doors:
        one = collector(tmp_path / "collector", doors, namespace).start()
        send(one, range(50))
        wait_until_stored(lake, namespace, map(str, range(50)))
        doors.catalog.down()
        doors.storage.stall(at.kind, at.point, part=namespace)
        send(one, range(50, 100))
        doors.storage.wait_for_stall()
        # These are only in the queue, or get their own receipt.
        send(one, range(100, 150))
        one.kill()
        # A restart while the catalog is still down; after it, calls cannot end with receipts.
        one.start()
        send(one, range(150, 160))
        if at.goes_on:
            doors.storage.release()
        one.kill()
        with one:
            doors.catalog.up()
            send(one, range(160, 170))
            wait_until_stored(lake, namespace, map(str, range(170)))
            wait_for_receipts(lake, namespace, are_there=False)
        assert_once(lake, namespace, map(str, range(170)))


@pytest.mark.parametrize("turn", range(TIMES))
@pytest.mark.parametrize("name", OF_ITS_COMMIT)
def test_killed_while_a_receipt_is_committed(name, turn, lake, namespace, tmp_path):
    """A second Collector, which writes no receipts itself, uses the same table and finds them too."""
    at = OF_ITS_COMMIT[name]
    with lake.doors(tmp_path) as doors, lake.doors(tmp_path) as others:
        one = collector(tmp_path / "collector", doors, namespace).start()
        send(one, range(50))
        wait_until_stored(lake, namespace, map(str, range(50)))
        doors.catalog.down()
        send(one, range(50, 100))
        wait_for_receipts(lake, namespace, are_there=True)
        # A deletion names its file in the request's body.
        part = "" if at.kind == "Delete" else namespace
        door = doors.catalog if at.kind == "Commit" else doors.storage
        door.stall(at.kind, at.point, part=part)
        doors.catalog.up()
        door.wait_for_stall()
        one.kill()
        with collector(tmp_path / "other", others, namespace, "retry") as other:
            send(other, range(100, 150))
            with one:
                if at.goes_on:
                    door.release()
                send(one, range(150, 160))
                wait_until_stored(lake, namespace, map(str, range(160)))
                wait_for_receipts(lake, namespace, are_there=False)
        assert_once(lake, namespace, map(str, range(160)))
