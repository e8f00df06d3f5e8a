"""The same body five times, over gRPC and HTTP, plain and compressed: five requests, so its rows are stored five times.

A Collector gives each arriving request its own id, independent of the content (docs/delivery.md). The Lambda derives
ids from the content, because its senders repeat unanswered requests (test_lambda.py).
"""

from __future__ import annotations

import http.client
import re
from collections import Counter

import pyarrow as pa

from o2i import compare, numbered, readers
from o2i.collector import Collector, settings

DOORS = ("grpc", "grpc+gzip", "http/protobuf", "http/protobuf+gzip")
COMMIT_IDS = "otlp2iceberg.commit-ids"


def test_each_arrival_is_a_request_of_its_own(tmp_path, warehouse):
    payload, expected = numbered.request(range(10)).SerializeToString(), 10
    with Collector(tmp_path / "collector", {"iceberg": settings(warehouse, flush_timeout="200ms")}) as one:
        with one.client() as client:
            for door in DOORS:
                client.send(payload, door, "logs")
        assert post_zstd(one.http_port, payload) == 200
        readers.wait_for_rows(warehouse, {"logs": 5 * expected})
    table = readers.load(warehouse, "logs")
    for rows in (readers.read_pyiceberg(table), readers.read_duckdb(table)):
        counts = Counter(map(compare.canonical, rows))
        assert len(rows) == 5 * expected
        assert list(counts.values()) == [5] * expected, "what one arrival gave, another did not"
    requests = [number for snapshot in table.metadata.snapshots for number in numbers_of(snapshot.summary[COMMIT_IDS])]
    assert len(set(requests)) == len(requests) == 5


def post_zstd(port: int, payload: bytes) -> int:
    """Sends the payload compressed with zstd; returns the status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "zstd"}
    try:
        connection.request("POST", "/v1/logs", pa.compress(payload, codec="zstd", asbytes=True), headers)
        return connection.getresponse().status
    finally:
        connection.close()


def numbers_of(ids: str) -> list[tuple[str, int]]:
    """Writer and number of each request in a snapshot's summary."""
    ranges = [re.fullmatch(r"(.+):(\d+)(?:-(\d+))?", text).groups() for text in ids.split(",")]
    return [(writer, number) for writer, first, last in ranges for number in range(int(first), int(last or first) + 1)]
