"""What the log says before data is lost or somebody wonders: a catalog that cannot be reached, settings without effect."""

from __future__ import annotations

import time

from o2i import corpus, readers
from o2i.collector import Collector, free_ports, settings

SECONDS_MAX = 30


def wait_for_line(collector: Collector, *said: str) -> str:
    """The first log line with all of these."""
    until = time.monotonic() + SECONDS_MAX
    while time.monotonic() < until:
        for line in collector.log().splitlines():
            if all(part in line for part in said):
                return line
        time.sleep(0.1)
    raise AssertionError(f"no line with {said} in\n{collector.log_tail()}")


def test_a_catalog_that_cannot_be_reached_is_told_before_any_data_comes(tmp_path):
    (port,) = free_ports(1)
    catalog = {"type": "rest", "uri": f"http://127.0.0.1:{port}/iceberg"}
    with Collector(tmp_path, {"iceberg": {"catalog": catalog}}) as collector:
        line = wait_for_line(collector, "the catalog cannot be reached at the start", f"127.0.0.1:{port}")
        assert "warn" in line
        assert collector.healthy()
        assert collector.stop() == 0, collector.log_tail()


def test_settings_that_do_not_change_an_existing_table_are_told_once(tmp_path, warehouse):
    logs = corpus.fixture("logs")
    first = {"properties": {"owner": "ops"}}
    second = {"partition_by": "hour", "properties": {"owner": "ops", "team": "a"}}
    for number, tables in enumerate((first, second), start=1):
        folder = tmp_path / f"collector-{number}"
        with Collector(folder, {"iceberg": settings(warehouse, tables=tables)}) as collector:
            with collector.client() as client:
                for _ in range(2):
                    client.send(logs.payload, "grpc", "logs")
            readers.wait_for_rows(warehouse, {table: 2 * number * len(rows) for table, rows in logs.rows.items()})
            assert collector.stop() == 0, collector.log_tail()
        told = [line for line in collector.log().splitlines() if "settings for new tables do not change it" in line]
        if number == 1:
            assert told == []
            continue
        (line,) = told
        assert "tables.partition_by: it is partitioned by day(Timestamp)" in line
        assert "tables.properties.team: it does not have it" in line
        assert "tables.properties.owner" not in line
