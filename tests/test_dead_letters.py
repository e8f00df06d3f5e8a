"""Dead letters: records that a table rejects are stored when the table is repaired and curl sends them again."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from pyiceberg.schema import Schema
from pyiceberg.types import LongType, NestedField, TimestamptzType

from catalogs.s3 import S3Server
from o2i import numbered, readers
from o2i.collector import Collector, settings, total


def test_a_dead_letter_is_stored_when_curl_sends_it_again(tmp_path, warehouse):
    make_clashing_logs(warehouse)
    dead = tmp_path / "dead"
    exporter = settings(warehouse, dead_letter={"path": str(dead)})
    collector = Collector(tmp_path / "collector", {"iceberg": exporter}, own_metrics=True)
    with collector:
        with collector.client() as client:
            client.send(numbered.request(range(10)), "grpc")
        letter = wait_for_letter(dead)
        metrics = collector.own_metrics_when(lambda text: total(text, "dead_letter_records", "logs") > 0)
        assert any('reason="table"' in line and line.endswith(" 10") for line in metrics.splitlines()), metrics
    assert readers.row_count(readers.load(warehouse, "logs")) == 0
    why = json.loads(letter.with_name(letter.name.replace(".otlp.pb", ".json")).read_text())
    assert (why["records"], why["runs"][0]["table"]) == (10, "otel.logs")
    assert "Body" in why["runs"][0]["message"]
    kept = ExportLogsServiceRequest.FromString(letter.read_bytes())
    assert len(kept.resource_logs[0].scope_logs[0].log_records) == 10

    # The repair: the exporter creates its own table.
    catalog = readers.catalog(warehouse)
    catalog.drop_table("otel.logs")
    catalog.engine.dispose()
    with collector:
        # The command of docs/delivery.md.
        subprocess.run(
            ["curl", "--silent", "--show-error", "--fail", "--data-binary", f"@{letter}",
             "-H", "content-type: application/x-protobuf", f"http://127.0.0.1:{collector.http_port}/v1/logs"],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip
        numbered.wait_until_stored(warehouse, range(10))
    numbered.once(warehouse, range(10))


def test_a_dead_letter_on_s3_is_stored_when_it_is_sent_again(tmp_path, warehouse, s3):
    """Two kinds: rows for an incompatible table, and a request that is refused as a whole."""
    make_clashing_logs(warehouse)
    s3.make_bucket("dead-letters")
    exporter = settings(
        warehouse,
        dead_letter={"path": "s3://dead-letters/o2i"},
        storage=s3.settings(),
        limits={"records_per_request_max": 20},
    )
    collector = Collector(tmp_path / "collector", {"iceberg": exporter})
    with collector:
        with collector.client() as client:
            client.send(numbered.request(range(10)), "grpc")
            client.send(numbered.request(range(10, 40)), "http/protobuf")
        kept = wait_for_letters(s3, 2)
    by_records = {why["records"]: (why, payload) for why, payload in kept}
    assert set(by_records) == {10, 30}
    for why, payload in kept:
        found = ExportLogsServiceRequest.FromString(payload)
        assert len(found.resource_logs[0].scope_logs[0].log_records) == why["records"]

    # The repair: the exporter creates its own table, and the limit is removed.
    catalog = readers.catalog(warehouse)
    catalog.drop_table("otel.logs")
    catalog.engine.dispose()
    del exporter["limits"]
    collector.config["exporters"]["iceberg"] = exporter
    with collector:
        with collector.client() as client:
            for _, payload in kept:
                client.send(payload, "http/protobuf", "logs")
        numbered.wait_until_stored(warehouse, range(40))
    numbered.once(warehouse, range(40))


def wait_for_letters(s3: S3Server, count: int, seconds_max: float = 60.0) -> list[tuple[dict, bytes]]:
    """Waits for `count` dead letters; returns the description and the bytes of each."""
    deadline = time.monotonic() + seconds_max
    while len(whys := [key for key in s3.keys("dead-letters") if key.endswith(".json")]) < count:
        assert time.monotonic() < deadline, f"no dead letters were written: {s3.keys('dead-letters')}"
        time.sleep(0.1)
    client = s3.client()

    def read(key: str) -> bytes:
        return client.get_object(Bucket="dead-letters", Key=key)["Body"].read()

    letters = [(json.loads(read(key)), read(key.removesuffix(".json") + ".otlp.pb")) for key in whys]
    client.close()
    return letters


def make_clashing_logs(warehouse: Path) -> None:
    """Creates a foreign table whose Body is a number."""
    warehouse.mkdir()
    catalog = readers.catalog(warehouse)
    catalog.create_namespace("otel")
    time_column = NestedField(1, "Timestamp", TimestamptzType(), required=True)
    catalog.create_table("otel.logs", Schema(time_column, NestedField(2, "Body", LongType())))
    catalog.engine.dispose()


def wait_for_letter(dead: Path, seconds_max: float = 60.0) -> Path:
    """Waits for the JSON of the single dead letter, which is written after it, and returns the letter."""
    deadline = time.monotonic() + seconds_max
    while not list(dead.glob("logs/*/*.json")):
        assert time.monotonic() < deadline, "no dead letter was written"
        time.sleep(0.1)
    (letter,) = dead.glob("logs/*/*.otlp.pb")
    return letter
