"""Tables on S3: files and uploads, configured, vended and wrong credentials, a temporary outage of the store, and
connections that it closes during an upload."""

from __future__ import annotations

import os
import random
import re
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from pyiceberg.catalog.sql import SqlCatalog

from catalogs.exporting import at_debug_level, aws_environment, send_numbers, settings, wait_for_line
from catalogs.proxy import Answer, Request
from catalogs.reading import load, wait_for_rows
from catalogs.reference import ReferenceCatalog
from catalogs.s3 import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, S3Server
from catalogs.sigproxy import Key, SignatureProxy
from catalogs.vending import VendingProxy
from o2i import corpus
from o2i.collector import Collector
from o2i.corpus.build import resource, scope, value
from o2i.tables import NAMESPACE

MIB = 1 << 20
# How many uploads fail before one is let through.
CUTS = 4
KEYS = {ACCESS_KEY_ID: Key(SECRET_ACCESS_KEY)}


@pytest.fixture
def front(s3):
    """A proxy that checks the signature of every request to the S3 server and can make requests fail."""
    with SignatureProxy(s3.endpoint, "s3", REGION, KEYS) as proxy:
        yield proxy


@pytest.fixture
def bucket(request) -> str:
    """The name of a bucket that no other test uses. The fixture does not create it."""
    name = re.sub("[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())
    return name[:63].strip("-")


class Lake:
    """A SQLite catalog in a folder, with its tables in a bucket."""

    def __init__(self, folder: Path, bucket: str, s3: S3Server):
        self.database = folder / "catalog.db"
        self.warehouse = f"s3://{bucket}/a lake"
        self._s3 = s3

    def exporter(self, storage: dict, **more) -> dict:
        """Settings of the exporter."""
        return settings({"uri": f"sqlite://{self.database}", "warehouse": self.warehouse}, storage, **more)

    def wait_and_read(self, rows: int, table: str = "logs", column: str = "Body") -> list:
        """Waits for `rows` rows and returns the values of one column."""
        deadline = time.monotonic() + 30
        while not self.database.exists():
            assert time.monotonic() < deadline, "no catalog was made in 30 s"
            time.sleep(0.05)
        catalog = SqlCatalog("default", uri=f"sqlite:///{self.database}", warehouse=self.warehouse, **self._s3.properties())
        try:
            wait_for_rows(catalog, {table: rows})
            return load(catalog, table).scan(selected_fields=(column,)).to_arrow()[column].to_pylist()
        finally:
            catalog.engine.dispose()

    def assert_numbers(self, count: int) -> None:
        """Waits for `count` logs and asserts that each number is there once."""
        assert sorted(map(int, self.wait_and_read(count))) == list(range(count))


@pytest.fixture
def lake(tmp_path, bucket, s3) -> Lake:
    return Lake(tmp_path, bucket, s3)


def test_a_large_file_is_uploaded_in_parts_each_signed(lake, bucket, s3, front, tmp_path):
    s3.make_bucket(bucket)
    payloads = [_random_text(5 * MIB, seed) for seed in range(5)]
    exporter = lake.exporter(s3.settings(front.uri), sending_queue={"batch": {"flush_timeout": "3s"}})
    with Collector(tmp_path / "collector", {"iceberg": exporter}) as collector, collector.client() as client:
        for payload in payloads:
            client.send(_log(payload))
        assert sorted(lake.wait_and_read(5)) == sorted(payloads)
    parts = [request for request, answer in front.seen if request.method == "PUT" and "partNumber=" in request.target]
    assert len(parts) >= 2, "nothing was uploaded in parts"
    assert not front.answered(403)
    assert not s3.unfinished_uploads(bucket)


def test_an_upload_that_fails_is_aborted_and_made_again(lake, bucket, s3, front, tmp_path):
    s3.make_bucket(bucket)
    payloads = [_random_text(5 * MIB, seed) for seed in range(5)]
    front.instead = lambda request: _s3_error(400, "InvalidPart") if "partNumber=2" in request.target else None
    exporter = lake.exporter(s3.settings(front.uri), sending_queue={"batch": {"flush_timeout": "3s"}})
    with Collector(tmp_path / "collector", {"iceberg": exporter}) as collector, collector.client() as client:
        for payload in payloads:
            client.send(_log(payload))
        _wait_for(lambda: any(one.method == "DELETE" and "uploadId=" in one.target for one, _ in front.seen))
        front.instead = lambda request: None
        assert sorted(lake.wait_and_read(5)) == sorted(payloads)
    assert not s3.unfinished_uploads(bucket)


def test_a_bucket_that_does_not_exist_is_named_and_data_arrive_once_it_does(lake, bucket, s3, tmp_path):
    with Collector(tmp_path / "collector", {"iceberg": lake.exporter(s3.settings())}) as collector:
        send_numbers(collector, range(10))
        wait_for_line(collector, ["catalog.warehouse", bucket, "NoSuchBucket"])
        assert collector.healthy()
        s3.make_bucket(bucket)
        lake.assert_numbers(10)


def test_a_store_that_is_not_there_is_named_and_data_arrive_once_it_is(lake, bucket, s3, front, tmp_path):
    s3.make_bucket(bucket)
    front.stop()
    with Collector(tmp_path / "collector", {"iceberg": lake.exporter(s3.settings(front.uri))}) as collector:
        send_numbers(collector, range(10))
        wait_for_line(collector, ["storage.s3.endpoint", f"127.0.0.1:{front.port}"])
        assert collector.healthy()
        front.start()
        lake.assert_numbers(10)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("secret", ["SignatureDoesNotMatch", "storage.s3.secret_access_key"]),
        ("key", ["InvalidAccessKeyId", "storage.s3.access_key_id"]),
        ("expired", ["ExpiredToken", "storage.s3.session_token"]),
        ("region", ["storage.s3.region"]),
    ],
)
def test_wrong_access_is_named_and_data_arrive_once_it_is_right(broken, said, lake, bucket, s3, front, tmp_path):
    s3.make_bucket(bucket)
    if broken == "secret":
        front.keys = {ACCESS_KEY_ID: Key("another")}
    elif broken == "key":
        front.keys = {"AKIAANOTHER": Key("another")}
    elif broken == "expired":
        front.keys = {ACCESS_KEY_ID: Key(SECRET_ACCESS_KEY, valid_until=1.0)}
    else:
        front.region = "us-west-2"
    with Collector(tmp_path / "collector", {"iceberg": lake.exporter(s3.settings(front.uri))}) as collector:
        send_numbers(collector, range(10))
        wait_for_line(collector, said)
        assert collector.healthy()
        front.keys, front.region = KEYS, REGION
        lake.assert_numbers(10)


def test_a_denied_prefix_is_named_and_holds_up_only_its_table(lake, bucket, s3, front, tmp_path):
    s3.make_bucket(bucket)
    front.instead = lambda request: _s3_error(403, "AccessDenied") if f"/{NAMESPACE}/traces/" in request.path else None
    traces = corpus.fixture("traces")
    with Collector(tmp_path / "collector", {"iceberg": lake.exporter(s3.settings(front.uri))}) as collector:
        with collector.client() as client:
            client.send(traces.payload, "grpc", "traces")
        send_numbers(collector, range(10))
        lake.assert_numbers(10)
        wait_for_line(collector, ["AccessDenied", bucket, f"{NAMESPACE}/traces"])
        assert collector.healthy()
        front.instead = lambda request: None
        assert len(lake.wait_and_read(len(traces.rows["traces"]), "traces", "SpanId")) == len(traces.rows["traces"])


@pytest.mark.parametrize(("status", "code"), [(503, "SlowDown"), (500, "InternalError")])
def test_a_store_that_is_busy_is_asked_again_without_a_word(status, code, lake, bucket, s3, front, tmp_path):
    s3.make_bucket(bucket)
    left = {"PUT": 3, "GET": 2}

    def busy(request: Request) -> Answer | None:
        left[request.method] = left.get(request.method, 0) - 1
        return _s3_error(status, code) if left[request.method] >= 0 else None

    front.instead = busy
    with Collector(tmp_path / "collector", {"iceberg": lake.exporter(s3.settings(front.uri))}) as collector:
        send_numbers(collector, range(10))
        lake.assert_numbers(10)
        assert "Exporting failed" not in collector.log()
    assert len(front.answered(status)) >= 3


def _reads_a_little_and_closes(connection: socket.socket) -> None:
    """The client gets FIN, and RST for what it sends after that."""
    connection.recv(4096)
    connection.shutdown(socket.SHUT_WR)


def _answers_early_and_closes(connection: socket.socket) -> None:
    """A server that is too busy to read the body."""
    connection.sendall(b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    connection.shutdown(socket.SHUT_WR)


def _resets(connection: socket.socket) -> None:
    """The client gets RST and no FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize("way", [_reads_a_little_and_closes, _answers_early_and_closes, _resets], ids=["fin", "503", "rst"])
def test_an_upload_that_is_cut_off_does_not_end_the_process(way, lake, bucket, s3, front, tmp_path):
    """A write to a closed connection raises SIGPIPE. On a thread that Go did not start, Go's runtime lets its default
    action happen, which ends the process without a line in the log. As a shell does, Python's `Popen` starts the
    Collector with that default (`restore_signals`), though Python itself ignores the signal."""
    s3.make_bucket(bucket)
    bodies = [_random_text(MIB // 8, seed) for seed in range(80)]
    cuts: list[int] = []

    def cut(head: Request, connection: socket.socket) -> bool:
        length = int(head.headers.get("content-length", 0))
        if head.method != "PUT" or length < MIB or len(cuts) == CUTS:
            return False
        cuts.append(length)
        way(connection)
        # The server's handler has the connection open, too, so `close` alone would wait for it.
        os.close(connection.detach())
        return True

    front.cut = cut
    # One batch, which is complete with the last request.
    batch = {"flush_timeout": "30s", "sizer": "bytes", "min_size": sum(map(len, bodies))}
    exporter = lake.exporter(s3.settings(front.uri), sending_queue={"batch": batch})
    with Collector(tmp_path / "collector", {"iceberg": exporter}) as collector, collector.client() as client:
        process = collector.process
        for first in range(0, len(bodies), 8):
            client.send(_log(*bodies[first : first + 8]))
        _wait_for(lambda: process.poll() is not None or any(len(one.body) >= MIB for one in front.answered(200)))
        assert process.poll() is None, f"the Collector ended with {process.poll()}\n{collector.log_tail()}"
        assert sorted(lake.wait_and_read(len(bodies))) == sorted(bodies)
        assert collector.process is process
        assert collector.healthy()
    assert len(cuts) == CUTS
    assert min(cuts) > 6_000_000, "no large file was uploaded at once"
    assert not s3.unfinished_uploads(bucket)


def test_credentials_of_the_aws_chain_are_used_when_none_are_given(lake, bucket, s3, front, tmp_path, monkeypatch):
    aws_environment(monkeypatch, "ASIACHAIN", "secret of the chain")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session of the chain")
    monkeypatch.setenv("AWS_REGION", REGION)
    front.keys = {"ASIACHAIN": Key("secret of the chain", "session of the chain")}
    s3.make_bucket(bucket)
    with Collector(tmp_path / "collector", {"iceberg": lake.exporter({"s3": {"endpoint": front.uri}})}) as collector:
        send_numbers(collector, range(10))
        lake.assert_numbers(10)
    assert front.seen
    assert not front.answered(403)


def test_vended_credentials_are_used_by_prefix_and_renewed_before_they_expire(bucket, s3, front, tmp_path, monkeypatch):
    aws_environment(monkeypatch)
    warehouse = s3.make_bucket(bucket) + "/lake"
    front.keys = {}
    storage = {"s3.endpoint": front.uri, "s3.path-style-access": "true", "client.region": REGION}
    with (
        ReferenceCatalog(tmp_path / "reference", warehouse, s3) as reference,
        # Renewal is due five minutes before expiry, so 1 s after the credentials were issued.
        VendingProxy(reference.uri, storage, seconds=301, learn=front.keys.__setitem__) as vending,
    ):
        exporter = settings(reference.settings(vending.uri))
        with Collector(tmp_path / "collector", {"iceberg": exporter}, change=at_debug_level) as collector:
            for first in (0, 10):
                # By the second batch, the credentials of the first are due for renewal.
                time.sleep(first / 5)
                send_numbers(collector, range(first, first + 10))
                catalog = reference.client()
                wait_for_rows(catalog, {"logs": first + 10})
                found = load(catalog, "logs").scan(selected_fields=("Body",)).to_arrow()["Body"].to_pylist()
                assert sorted(map(int, found)) == list(range(first + 10))
                catalog.close()
        assert "Exporting failed" not in collector.log()
        for secret in ("vended-secret-", "vended-session-"):
            assert secret not in collector.log()
    used = set(re.findall(r"Credential=(\w+)/", " ".join(request.headers["authorization"] for request, _ in front.seen)))
    assert len(used) >= 2, "they were not renewed"
    assert used <= set(vending.vended)
    assert not front.answered(400)
    assert not front.answered(403)


def test_no_storage_secret_reaches_the_log_at_debug_level(lake, bucket, s3, front, tmp_path):
    front.keys = {ACCESS_KEY_ID: Key("planted-storage-secret-91c2", "planted-session-91c2")}
    storage = s3.settings(front.uri)
    storage["s3"] |= {"secret_access_key": "planted-storage-secret-91c2", "session_token": "planted-session-91c2"}
    with Collector(tmp_path / "collector", {"iceberg": lake.exporter(storage)}, change=at_debug_level) as collector:
        send_numbers(collector, range(10))
        wait_for_line(collector, ["NoSuchBucket"])
        s3.make_bucket(bucket)
        lake.assert_numbers(10)
    log = collector.log()
    assert "\tdebug\t" in log
    assert "91c2" not in log


def _log(*bodies: str) -> ExportLogsServiceRequest:
    records = [LogRecord(time_unix_nano=time.time_ns(), body=value(body)) for body in bodies]
    logs = ResourceLogs(resource=resource({"service.name": "large"}), scope_logs=[ScopeLogs(scope=scope("large"), log_records=records)])
    return ExportLogsServiceRequest(resource_logs=[logs])


def _random_text(length: int, seed: int) -> str:
    """Text that zstd cannot make much smaller."""
    return random.Random(seed).randbytes(length).translate(bytes(33 + code % 94 for code in range(256))).decode("ascii")


def _s3_error(status: int, code: str) -> Answer:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>made by the test</Message></Error>"
    return Answer(status, body.encode(), {"Content-Type": "application/xml"})


def _wait_for(ready: Callable[[], bool], seconds_max: float = 30.0) -> None:
    deadline = time.monotonic() + seconds_max
    while not ready():
        assert time.monotonic() < deadline, f"did not happen in {seconds_max} s"
        time.sleep(0.05)
