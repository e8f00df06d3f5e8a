"""Sent values equal read values: every column of every table, through every door, in both readers."""

from __future__ import annotations

import time

import pytest

from o2i import compare, corpus, otlp, readers
from o2i.collector import Collector, settings
from o2i.corpus import Fixture, raw
from o2i.otlp import Refused
from o2i.tables import TABLES, TIME_COLUMN

ACCEPTED = [one for one in corpus.fixtures() if one.receiver == "passes on"]
REFUSED = [one for one in corpus.fixtures() if one.receiver == "refuses"]
# Fixtures made by a protobuf library; only these can be encoded as JSON.
MESSAGES = [one for one in ACCEPTED if one.name == one.signal]


def test_the_corpus_fills_every_column_of_every_table():
    filled = {
        (table, column)
        for one in ACCEPTED
        for table, rows in one.rows.items()
        for row in rows
        for column in row
        if row[column] is not None
    }
    assert filled == {(table, column) for table, columns in TABLES.items() for column in columns}


@pytest.mark.parametrize("door", otlp.DOORS)
def test_rows_equal_what_was_sent(door, tmp_path, warehouse):
    fixtures = MESSAGES if "json" in door else ACCEPTED
    begun = _now()
    with Collector(tmp_path / "collector", {"iceberg": settings(warehouse)}) as collector:
        with collector.client() as client:
            for one in fixtures:
                client.send(_payload(one, door), door, one.signal)
        expected = _expected(fixtures)
        readers.wait_for_rows(warehouse, {table: len(rows) for table, rows in expected.items()})
    for table, rows in expected.items():
        for name, read in readers.READERS.items():
            found = read(readers.load(warehouse, table))
            arrival = (begun, _now())
            # JSON has a single NaN, so a NaN's bits are lost.
            difference = compare.difference(rows, found, arrival, TIME_COLUMN[table], any_nan="json" in door)
            assert not difference, f"{table}, read by {name}, sent over {door}: {difference}"


def test_a_request_that_is_not_well_formed_is_refused_and_the_next_one_stored(tmp_path, warehouse):
    with Collector(tmp_path / "collector", {"iceberg": settings(warehouse)}) as collector:
        with collector.client() as client:
            for one in REFUSED:
                for door in ("grpc", "http/protobuf"):
                    with pytest.raises(Refused):
                        client.send(one.payload, door, one.signal)
            client.send(corpus.fixture("logs").payload, "grpc", "logs")
        expected = corpus.fixture("logs").rows["logs"]
        readers.wait_for_rows(warehouse, {"logs": len(expected)})
    assert readers.row_count(readers.load(warehouse, "logs")) == len(expected)


def test_a_value_nested_100_000_deep_neither_breaks_nor_delays(tmp_path, warehouse):
    with Collector(tmp_path / "collector", {"iceberg": settings(warehouse)}) as collector:
        begun = time.monotonic()
        with collector.client() as client:
            client.send(raw.nested_beyond_reason(), "grpc", "logs")
        readers.wait_for_rows(warehouse, {"logs": 1}, seconds_max=15)
        assert time.monotonic() - begun < 15
    [row] = readers.read_pyiceberg(readers.load(warehouse, "logs"))
    assert row == {**raw.row("nested beyond reason"), "Body": "[" * 64 + "null" + "]" * 64}


def _payload(one: Fixture, door: str) -> bytes:
    if "json" not in door:
        return one.payload
    return otlp.encode(otlp.REQUEST[one.signal].FromString(one.payload), door)


def _expected(fixtures: list[Fixture]) -> dict[str, list]:
    expected: dict[str, list] = {}
    for one in fixtures:
        for table, rows in one.rows.items():
            expected.setdefault(table, []).extend(rows)
    return expected


def _now() -> int:
    return time.time_ns() // 1000
