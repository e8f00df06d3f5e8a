"""A full disk for the warehouse, the catalog's database or the queue: no acknowledged record is lost, and it recovers.

Each disk is a small tmpfs, which only root can mount. Without root these tests are skipped with a message, but in
CI (`CI` is set) they fail.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import time
from pathlib import Path

import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NoSuchTableError

from o2i import numbered
from o2i import warehouse as lying_in
from o2i.collector import Collector, settings
from o2i.otlp import Refused

pytestmark = pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="mounting a tmpfs needs root")

MEBIBYTE = 1 << 20


class Disk:
    """A separate tmpfs that can be filled to the last byte."""

    def __init__(self, folder: Path, mebibytes: int):
        folder.mkdir(parents=True)
        self.folder = folder
        self._ballast = folder / "ballast"
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", folder], check=True)

    def __enter__(self) -> Disk:
        return self

    def __exit__(self, *_) -> None:
        subprocess.run(["umount", "-l", self.folder], check=True)

    def fill(self) -> None:
        """Fills the disk."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (MEBIBYTE, 4096):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    pass

    def free(self) -> None:
        """Frees the space again."""
        self._ballast.unlink()


def send(collector: Collector, numbers: range) -> None:
    with collector.client() as client:
        client.send(numbered.request(numbers))


def wait_for(collector: Collector, *parts: str) -> str:
    """Waits for a line of its log that contains all `parts`."""
    deadline = time.monotonic() + 30
    while True:
        for line in collector.log().splitlines():
            if all(part in line for part in parts):
                return line
        assert time.monotonic() < deadline, f"no line says {parts}:\n{collector.log_tail()}"
        time.sleep(0.05)


def quick_retries(exporter: dict) -> dict:
    return {**exporter, "retry_on_failure": {"initial_interval": "200ms", "max_interval": "500ms"}}


def test_a_full_warehouse_is_told_and_filled_once_there_is_room(tmp_path):
    with Disk(tmp_path / "disk", mebibytes=8) as disk:
        warehouse = disk.folder / "warehouse"
        exporter = quick_retries(settings(warehouse, flush_timeout="100ms"))
        # The database is on another disk: only the tables' files hit the full one.
        exporter["catalog"]["uri"] = f"sqlite://{tmp_path}/catalog.db"
        with Collector(tmp_path / "collector", {"iceberg": exporter}, queue_on_disk=True) as collector:
            send(collector, range(10))
            wait_until(lambda: count_in(tmp_path / "catalog.db", warehouse) == 10)
            disk.fill()
            for first in range(10, 60, 10):
                send(collector, range(first, first + 10))
            line = wait_for(collector, "No space left")
            assert str(warehouse) in line, f"what is full is not named: {line}"
            assert collector.healthy()
            disk.free()
            wait_until(lambda: count_in(tmp_path / "catalog.db", warehouse) == 60)
        halves = [path for path in warehouse.rglob("*") if path.is_file() and path.suffix not in (".parquet", ".avro", ".json")]
        assert halves == [], "files that were not finished are left"
        assert bodies(tmp_path / "catalog.db", warehouse) == list(range(60))


def test_a_full_disk_under_the_database_is_told_and_rows_are_stored_once_there_is_room(tmp_path):
    with Disk(tmp_path / "disk", mebibytes=2) as disk:
        warehouse, database = tmp_path / "warehouse", disk.folder / "catalog.db"
        exporter = quick_retries(settings(warehouse, flush_timeout="100ms"))
        exporter["catalog"]["uri"] = f"sqlite://{database}"
        with Collector(tmp_path / "collector", {"iceberg": exporter}, queue_on_disk=True) as collector:
            send(collector, range(10))
            wait_until(lambda: count_in(database, warehouse) == 10)
            disk.fill()
            for first in range(10, 60, 10):
                send(collector, range(first, first + 10))
            wait_for(collector, "full")
            assert collector.healthy()
            disk.free()
            wait_until(lambda: count_in(database, warehouse) == 60)
        assert bodies(database, warehouse) == list(range(60))


def test_a_full_queue_disk_refuses_what_it_cannot_keep(tmp_path, warehouse):
    acknowledged, refused = set(), 0
    with Disk(tmp_path / "disk", mebibytes=4) as disk:
        (tmp_path / "collector").mkdir()
        (tmp_path / "collector" / "queue").symlink_to(disk.folder)
        exporter = quick_retries(settings(warehouse, flush_timeout="100ms"))
        with Collector(tmp_path / "collector", {"iceberg": exporter}, queue_on_disk=True) as collector:
            with collector.client(timeout_seconds=10) as client:
                client.send(numbered.request(range(10)))
                acknowledged.update(range(10))
                disk.fill()
                for first in range(10, 40_000, 1_000):
                    numbers = range(first, first + 1_000)
                    try:
                        client.send(numbered.request(numbers))
                        acknowledged.update(numbers)
                    except Refused:
                        refused += 1
                assert refused, "the disk was never full"
                disk.free()
                more = itertools.count(1_000_000, 10)
                wait_until(lambda: is_taken(client, next(more), acknowledged))
            numbered.wait_until_stored(warehouse, acknowledged)
        found = numbered.stored(warehouse)
        assert all(count == 1 for count in found.values())
        assert acknowledged <= set(found)
        assert "It is lost" not in collector.log(), "a refused request is reported as lost"
        assert lying_in.leftovers(warehouse) == []


def is_taken(client, first: int, acknowledged: set[int]) -> bool:
    """Sends a request; returns whether it is acknowledged, and records its numbers if so."""
    numbers = range(first, first + 10)
    try:
        client.send(numbered.request(numbers))
    except Refused:
        return False
    acknowledged.update(numbers)
    return True


def bodies(database: Path, warehouse: Path) -> list[int]:
    """The numbers in the table of logs, for a database outside the warehouse."""
    catalog = SqlCatalog("default", uri=f"sqlite:///{database}", warehouse=f"file://{warehouse}", init_catalog_tables="false")
    try:
        scan = catalog.load_table("otel.logs").scan(selected_fields=("Body",))
        return sorted(int(body) for body in scan.to_arrow()["Body"].to_pylist())
    except NoSuchTableError:
        return []
    finally:
        catalog.engine.dispose()


def count_in(database: Path, warehouse: Path) -> int:
    return len(set(bodies(database, warehouse)))


def wait_until(ready, seconds_max: float = 60) -> None:
    deadline = time.monotonic() + seconds_max
    while not ready():
        assert time.monotonic() < deadline, f"not so within {seconds_max} s"
        time.sleep(0.2)
