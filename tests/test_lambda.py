"""The Lambda with HTTP events: stored rows, answers, and behaviour on failures."""

from __future__ import annotations

import gzip
import json
import os
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
import zstandard
from google.rpc.status_pb2 import Status

from catalogs.proxy import Answer as ProxyAnswer
from catalogs.proxy import Proxy
from catalogs.reading import rows_hash
from lambda_host import events, settings
from lambda_host.bridge import Bridge
from lambda_host.emulator import MEGABYTE, Lambda
from o2i import clients, compare, corpus, otlp, readers
from o2i.collector import Collector
from o2i.collector import settings as collector_settings
from o2i.numbered import request
from o2i.tables import TABLES, TIME_COLUMN

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}
# How long the catalog is down. The promise is a minute; the default is shorter to save time.
OUTAGE_SECONDS = float(os.environ.get("O2I_OUTAGE_SECONDS", "6"))
OUTAGE_REQUESTS_SECONDS = 0.25
FIXTURES = [one for one in corpus.fixtures() if one.rows is not None]
MESSAGES = [one for one in FIXTURES if one.name == one.signal]


@pytest.fixture
def function(tmp_path, warehouse):
    with Lambda(tmp_path / "lambda", settings.sqlite(warehouse)) as environment:
        yield environment


def post(environment, payload: bytes, headers: dict, signal: str = "logs", **more) -> events.Answer:
    """Sends one request and returns the answer."""
    seconds = more.pop("seconds", 60.0)
    return events.answer(environment.invoke(events.http(f"/v1/{signal}", payload, headers, **more), seconds))


def numbers(first: int, count: int = 10) -> bytes:
    """A request with `count` log records, each with its number as body."""
    return request(range(first, first + count)).SerializeToString()


def row_count(warehouse, table: str = "logs") -> int:
    return readers.row_count(readers.load(warehouse, table))


@pytest.mark.parametrize("form", ["protobuf", "json"])
def test_rows_equal_what_was_sent_value_by_value(form, function, warehouse):
    fixtures = FIXTURES if form == "protobuf" else MESSAGES
    begun = time.time_ns() // 1000
    for one in fixtures:
        message = otlp.REQUEST[one.signal].FromString(one.payload) if form == "json" else None
        payload = one.payload if message is None else otlp.encode(message, "http/json")
        answer = post(function, payload, PROTOBUF if form == "protobuf" else JSON, one.signal)
        assert answer.status == 200, (one.name, answer)
    ended = time.time_ns() // 1000
    for table in TABLES:
        expected = [row for one in fixtures for row in one.rows.get(table, [])]
        for name, read in readers.READERS.items():
            found = read(readers.load(warehouse, table))
            difference = compare.difference(expected, found, (begun, ended), TIME_COLUMN[table], any_nan=form == "json")
            assert not difference, f"{table}, read by {name}: {difference}"


def test_rows_equal_those_of_the_collector_hash_for_hash(tmp_path):
    """Sends the same requests to the Collector as protobuf, and to the Lambda as protobuf and as JSON.

    The comparison ignores the bits of NaNs, which JSON cannot carry.
    """
    hashes = {}
    for door in ("collector", "lambda/protobuf", "lambda/json"):
        folder = tmp_path / door.replace("/", "-")
        warehouse, begun = folder / "warehouse", time.time_ns() // 1000
        payloads = [(one.signal, otlp.REQUEST[one.signal].FromString(one.payload)) for one in MESSAGES]
        if door == "collector":
            with Collector(folder, {"iceberg": collector_settings(warehouse)}) as collector, collector.client() as client:
                for signal, message in payloads:
                    client.send(message.SerializeToString(), "http/protobuf", signal)
        else:
            with Lambda(folder, settings.sqlite(warehouse)) as environment:
                for signal, message in payloads:
                    as_json = door == "lambda/json"
                    payload = otlp.encode(message, "http/json") if as_json else message.SerializeToString()
                    assert post(environment, payload, JSON if as_json else PROTOBUF, signal).status == 200
        span = (begun, time.time_ns() // 1000)
        for table in TABLES:
            rows = compare._same_nan(readers.read_duckdb(readers.load(warehouse, table)))
            hashes.setdefault(table, {})[door] = (len(rows), rows_hash(rows, span, TIME_COLUMN[table]))
    for table, by_door in hashes.items():
        assert len(set(by_door.values())) == 1 and by_door["collector"][0] > 0, (table, by_door)


@pytest.mark.parametrize("shape", events.SHAPES)
def test_every_kind_of_http_event(shape, function, warehouse):
    encodings = {"gzip": gzip.compress, "zstd": zstandard.compress, "deflate": zlib.compress, "zlib": zlib.compress}
    for number, (encoding, compress) in enumerate({**encodings, "identity": bytes}.items()):
        headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": encoding}
        answer = post(function, compress(numbers(10 * number)), headers, shape=shape)
        assert (answer.status, answer.body) == (200, b""), (encoding, answer)
        assert answer.headers["content-type"] == "application/x-protobuf"
    lines = b"\n".join(otlp.encode(request(range(first, first + 5)), "http/json") for first in (50, 55))
    answer = post(function, lines, {"Content-Type": "application/x-ndjson"}, shape=shape)
    assert (answer.status, json.loads(answer.body)) == (200, {})
    health = events.answer(function.invoke(events.http("/health", method="GET", shape=shape)))
    assert (health.status, json.loads(health.body)) == (200, {"status": "ok"})
    bodies = [row["Body"] for row in readers.read_duckdb(readers.load(warehouse, "logs"))]
    assert sorted(bodies, key=int) == [str(number) for number in range(60)]


@pytest.mark.parametrize("shape", [shape for shape in events.SHAPES if shape.startswith("api-gateway")])
@pytest.mark.parametrize("stage", ["v1", "$default", "otlp"])
def test_a_stage_may_have_any_name(stage, shape, refusing):
    """In format 1.0 the path excludes the stage, in 2.0 it includes it."""
    assert post(refusing, b"", PROTOBUF, shape=shape, stage=stage).status == 200
    health = events.answer(refusing.invoke(events.http("/health", method="GET", shape=shape, stage=stage)))
    assert health.status == 200


@pytest.mark.parametrize(
    ("status", "path", "method", "payload", "headers", "words"),
    [
        (404, "/v1/profiles", "POST", b"", PROTOBUF, "/v1/logs"),
        (404, "/", "GET", b"", {}, "/v1/logs"),
        (405, "/v1/logs", "GET", b"", {}, "POST"),
        (405, "/health", "POST", b"", {}, "GET"),
        (415, "/v1/logs", "POST", b"", {}, "content-type"),
        (415, "/v1/logs", "POST", b"", {"content-type": "text/plain"}, "text/plain"),
        (415, "/v1/logs", "POST", b"", {**PROTOBUF, "content-encoding": "br"}, "gzip"),
        (400, "/v1/logs", "POST", b"\x0a\xff", PROTOBUF, "resource_logs"),
        (400, "/v1/logs", "POST", b"{", JSON, "line 1"),
        (400, "/v1/logs", "POST", b'{"resourceSpans":[{}]}', JSON, "/v1/traces"),
        (400, "/v1/logs", "POST", b"no gzip", {**PROTOBUF, "content-encoding": "gzip"}, "gzip"),
        (413, "/v1/logs", "POST", gzip.compress(b"\0" * 5_000_000), {**PROTOBUF, "content-encoding": "gzip"}, "4194304"),
        (413, "/v1/logs", "POST", zstandard.compress(b"\0" * 5_000_000), {**JSON, "content-encoding": "zstd"}, "4194304"),
        (413, "/v1/logs", "POST", b"\0" * 4_500_000, PROTOBUF, "4194304"),
        (413, "/v1/metrics", "POST", b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"histogram":{"dataPoints":[{"bucketCounts":[%s]}]}}]}]}]}'
         % b",".join([b"0"] * 600_000), JSON, "bytes as protobuf"),
    ],
)  # fmt: skip
def test_what_cannot_be_stored_is_refused_with_a_status(status, path, method, payload, headers, words, refusing):
    answer = events.answer(refusing.invoke(events.http(path, payload, headers, method=method)))
    assert answer.status == status, answer
    if headers.get("content-type") == "application/x-protobuf":
        assert answer.headers["content-type"] == "application/x-protobuf"
        message = Status.FromString(answer.body).message
    else:
        assert answer.headers["content-type"] == "application/json"
        message = json.loads(answer.body)["message"]
    assert words in message
    assert status != 405 or answer.headers["allow"]
    assert "retry-after" not in answer.headers


def test_requests_that_are_refused_whole_are_counted_and_those_that_come_again_are_not(tmp_path, reference):
    token = {"OTLP2ICEBERG_AUTH_TOKEN": "t0ken", **settings.variables({"limits": {"payload_bytes_max": 1 << 20}})}
    bearer = {"authorization": "Bearer t0ken"}
    with Proxy(reference.uri) as proxy:
        proxy.instead = lambda request: ProxyAnswer(503, b"")
        config = settings.variables({"catalog": {**reference.settings(proxy.uri), "namespace": "refused"}})
        with Lambda(tmp_path / "lambda", {**config, **token}) as environment:
            for status, signal, payload, headers in (
                (401, "logs", numbers(0), PROTOBUF),
                (415, "logs", b"", {**bearer, "content-type": "text/plain"}),
                (413, "traces", b"\0" * 2_000_000, {**bearer, **PROTOBUF}),
                (400, "traces", b"{", {**bearer, **JSON}),
                (404, "profiles/\x1b" + 300 * "x" + "?key=hush", b"", PROTOBUF),
                (503, "metrics", corpus.fixture("metrics").payload, {**bearer, **PROTOBUF}),
            ):
                assert post(environment, payload, headers, signal).status == status
            assert events.answer(environment.invoke(events.http("/health"))).status == 405
            # Probes and browsers are no senders.
            for status, path in ((404, "/favicon.ico"), (405, "/v1/logs")):
                assert events.answer(environment.invoke(events.http(path, method="GET"))).status == status
            proxy.instead = lambda request: None
            assert post(environment, b"\x0a\xff", {**bearer, **PROTOBUF}, "traces").status == 400
            lines, log = environment.log_lines(), environment.log()
    told = [line for line in lines if line.get("message") == "a request is refused"]
    lines = [line for line in lines if "_aws" in line]
    counted = [(line["Signal"], line["RefusedRequests"], line["Failures"]) for line in lines]
    # A path without a signal is counted with the first one. Malformed protobuf is no failure of the function.
    refused = [("logs", 1, 0), ("logs", 1, 0), ("traces", 1, 0), ("traces", 1, 0), ("logs", 1, 0)]
    assert counted == [*refused, ("metrics", 0, 1), ("logs", 1, 0), ("traces", 1, 0)]
    # Lambda drops a line below the function's log level, and a line without a level or time is INFO to it.
    assert {line["level"] for line in lines} == {"ERROR"}
    assert all(line["timestamp"].endswith("Z") for line in lines)
    # One short line for each, with the reason, and without what the client sent except the path.
    assert [line["status"] for line in told] == [401, 415, 413, 400, 404, 405, 400]
    assert all(line["level"] == "WARN" and line["error"] for line in told)
    places = [(line["method"], line["path"]) for line in told if "path" in line]
    [*others, (_, long)] = places[:3]
    assert (others, places[3:]) == ([("POST", "/v1/logs")] * 2, [("POST", "/health")])
    assert long.startswith("/v1/profiles/\\u{1b}xxx") and len(long) == 100
    assert "hush" not in log and "t0ken" not in log and "text/plain" not in log


@pytest.mark.parametrize("headers", [PROTOBUF, {**JSON, "content-encoding": "gzip"}])
def test_a_body_that_a_gateway_made_text_of_is_refused_with_the_setting_that_is_missing(headers, refusing):
    payload = b"\x0a\xff" if headers is PROTOBUF else gzip.compress(b"{}")
    event = events.http("/v1/logs", payload, headers, shape="api-gateway-v1")
    event |= {"body": payload.decode(errors="replace"), "isBase64Encoded": False}
    answer = events.answer(refusing.invoke(event))
    assert answer.status == 400
    assert b"binaryMediaTypes" in answer.body
    # In real text the replacement character is valid.
    event = events.http("/v1/logs", '{"resourceLogs":[{"schemaUrl":"\ufffd"}]}'.encode(), JSON, shape="api-gateway-v1")
    assert event["isBase64Encoded"] is False
    assert events.answer(refusing.invoke(event)).status == 200


@pytest.fixture(scope="module")
def refusing(tmp_path_factory):
    """One environment for all requests that are refused."""
    folder = tmp_path_factory.mktemp("refusing")
    limits = settings.variables({"limits": {"payload_bytes_max": 4 << 20}})
    with Lambda(folder, {**settings.sqlite(folder / "warehouse"), **limits}) as environment:
        yield environment


def test_records_that_are_rejected_are_told_and_the_others_stored(tmp_path, warehouse):
    """Rows beyond the partition limit are rejected: ten days with a limit of one."""
    config = {**settings.sqlite(warehouse), **settings.variables({"limits": {"partitions_max": 1}})}
    with Lambda(tmp_path / "lambda", config) as environment:
        message = request(range(10))
        [scope] = message.resource_logs[0].scope_logs
        for day, record in enumerate(scope.log_records):
            record.time_unix_nano = 1_700_000_000_000_000_000 + day * 86_400_000_000_000
        answer = post(environment, message.SerializeToString(), PROTOBUF)
        partial = otlp.RESPONSE["logs"].FromString(answer.body).partial_success
        assert (answer.status, partial.rejected_log_records) == (200, 9)
        assert "partition" in partial.error_message
        for record in scope.log_records:
            record.body.string_value += "0"
        answer = post(environment, otlp.encode(message, "http/json"), JSON)
        assert json.loads(answer.body)["partialSuccess"]["rejectedLogRecords"] == "9"
        assert sum(environment.metrics("RejectedRecords")) == 18
    assert row_count(warehouse) == 2


def test_the_same_body_sent_three_times_is_stored_once(function, warehouse):
    payload = numbers(0)
    as_gzip = {**PROTOBUF, "content-encoding": "gzip"}
    for body, headers in ((payload, PROTOBUF), (gzip.compress(payload), as_gzip), (payload, PROTOBUF)):
        assert post(function, body, headers).status == 200
    assert row_count(warehouse) == 10
    assert (sum(function.metrics("Rows")), sum(function.metrics("RepeatedRequests"))) == (10, 2)


def test_a_body_sent_to_two_environments_at_once_is_stored_once(tmp_path, warehouse):
    config = settings.sqlite(warehouse)
    with Lambda(tmp_path / "a", config) as one, Lambda(tmp_path / "b", config) as other:
        for first in range(0, 100, 10):
            payload = numbers(first)
            with ThreadPoolExecutor(2) as pool:
                answers = pool.map(post, (one, other), (payload, payload), (PROTOBUF, PROTOBUF))
                assert [answer.status for answer in answers] == [200, 200]
    assert row_count(warehouse) == 100


def test_only_the_bearer_token_is_let_in(tmp_path, warehouse):
    with Lambda(tmp_path / "lambda", {**settings.sqlite(warehouse), "OTLP2ICEBERG_AUTH_TOKEN": "t0ken"}) as environment:
        for authorization, status in (("Bearer t0ken", 200), ("Bearer other", 401), ("", 401)):
            answer = post(environment, numbers(0), {**PROTOBUF, "Authorization": authorization})
            assert answer.status == status
        assert answer.headers["www-authenticate"] == "Bearer"
        assert events.answer(environment.invoke(events.http("/health", method="GET"))).status == 200
        assert "t0ken" not in environment.log()
    assert row_count(warehouse) == 10


def test_settings_that_are_wrong_are_told_with_their_variables(tmp_path):
    code, log = Lambda(
        tmp_path,
        {
            "OTLP2ICEBERG_CATALOG_TYPE": "rest",
            "OTLP2ICEBERG_LIMITS_PARTITIONS_MAX": "many",
            "OTLP2ICEBERG_CATALOG_TYPO": "x",
            "OTLP2ICEBERG_AUTH_TOKEN": " ",
        },
    ).run_to_end()
    assert code == 1
    [line] = [json.loads(line) for line in log.splitlines()]
    assert line["level"] == "ERROR"
    for variable in ("CATALOG_URI", "LIMITS_PARTITIONS_MAX", "CATALOG_TYPO", "AUTH_TOKEN"):
        assert f"OTLP2ICEBERG_{variable}" in line["message"]


def test_the_sdk_and_the_collector_deliver_through_a_bridge(tmp_path, function, warehouse):
    with Bridge(function) as bridge:
        wanted = clients.send_with_sdk(bridge, 30, 20, 5, over="http")
        for encoding in ("proto", "json"):
            exporter = {"endpoint": bridge.uri, "encoding": encoding, "compression": "gzip", "sending_queue": {"enabled": False}}
            with Collector(tmp_path / encoding, {"otlphttp": exporter}) as collector, collector.client() as client:
                for one in MESSAGES:
                    client.send(one.payload, "grpc", one.signal)
                    for table, rows in one.rows.items():
                        wanted[table] = wanted.get(table, 0) + len(rows)
        assert {request.method for request, _ in bridge.seen} == {"POST"}
        assert [answer.status for _, answer in bridge.seen if answer.status != 200] == []
    found = {table: row_count(warehouse, table) for table in wanted}
    assert found == wanted


def test_a_catalog_that_is_down_at_the_start_is_no_reason_not_to_start(tmp_path, reference):
    with Proxy(reference.uri) as proxy:
        proxy.instead = lambda request: ProxyAnswer(503, b"")
        config = settings.variables({"catalog": {**reference.settings(proxy.uri), "namespace": "down"}})
        with Lambda(tmp_path / "lambda", config) as environment:
            payload = numbers(0)
            for shape in ("function-url", "api-gateway-v1"):
                answer = post(environment, payload, PROTOBUF, shape=shape)
                assert answer.status == 503 and int(answer.headers["retry-after"]) >= 1
                assert Status.FromString(answer.body).code == 14
                # The reason names what is behind the function. Nobody authenticated this caller.
                *_, line = environment.errors()
                assert Status.FromString(answer.body).message == (
                    f"the request is not stored ({line['kind']}); the function's log has the details of requestId {line['requestId']}"
                )
            signed = events.http("/v1/logs", payload, PROTOBUF)
            signed["requestContext"]["authorizer"] = {"iam": {"userArn": "arn:aws:iam::111122223333:role/sender"}}
            answer = events.answer(environment.invoke(signed))
            *_, line = environment.errors()
            assert (answer.status, Status.FromString(answer.body).message) == (503, line["error"])
            proxy.instead = lambda request: None
            assert post(environment, payload, PROTOBUF).status == 200
    assert readers.row_count(reference.client().load_table("down.logs")) == 10


def test_nothing_is_sent_to_the_catalog_that_cannot_finish(tmp_path, reference):
    """The time is used up: no commit starts, and the answer tells the client to retry."""
    with Proxy(reference.uri) as proxy:
        catalog = {**reference.settings(proxy.uri), "namespace": "late"}
        config = settings.variables({"catalog": catalog, "commit": {"on_failure": "retry"}})
        with Lambda(tmp_path / "lambda", config) as environment:
            assert post(environment, numbers(0), PROTOBUF).status == 200

            payload = numbers(10)
            released = threading.Event()

            def hangs(request):
                # Longer than an answer is waited for, so an answer that waits for the catalog fails the test.
                released.wait(60)

            def posts(requests) -> list:
                return [request for request in requests if request.method == "POST"]

            proxy.instead = hangs
            proxy.arrived.clear()
            proxy.seen.clear()
            # Less than is reserved for the answer, so no time is left for a commit.
            answer = post(environment, payload, PROTOBUF, seconds=0.1)
            assert answer.status == 503 and "retry-after" in answer.headers
            assert posts(proxy.arrived) == []
            # A hanging commit does not delay the answer; the retried request finds it.
            answer = post(environment, payload, PROTOBUF, seconds=2.0)
            assert answer.status == 503, answer
            assert (len(posts(proxy.arrived)), posts(request for request, _ in proxy.seen)) == (1, [])
            released.set()
            proxy.instead = lambda request: None
            assert post(environment, payload, PROTOBUF).status == 200
    assert readers.row_count(reference.client().load_table("late.logs")) == 20


def test_a_catalog_that_goes_down_costs_no_request_and_its_rows_come_back(tmp_path, reference):
    with Proxy(reference.uri) as proxy:
        config = settings.variables({"catalog": {**reference.settings(proxy.uri), "namespace": "accept"}})
        with Lambda(tmp_path / "lambda", config) as environment:
            assert post(environment, numbers(0), PROTOBUF).status == 200
            proxy.instead = lambda request: ProxyAnswer(503, b"")
            begun, sent = time.monotonic(), 10
            # The last one is sent some seconds before the end, because not every call retries receipts.
            while sent < 60 or time.monotonic() - begun < OUTAGE_SECONDS - 3:
                assert post(environment, numbers(sent), PROTOBUF).status == 200
                sent += 10
                time.sleep(OUTAGE_REQUESTS_SECONDS)
            assert readers.row_count(reference.client().load_table("accept.logs")) == 10
            receipts = sent // 10 - 1
            assert sum(environment.metrics("ReceiptsWritten")) == receipts
            assert sum(environment.metrics("ReceiptRows")) == 10 * receipts
            assert any("receipt" in line.get("message", "") for line in environment.log_lines())
            time.sleep(max(2.1, OUTAGE_SECONDS - (time.monotonic() - begun)))
            proxy.instead = lambda request: None
            assert post(environment, numbers(sent), PROTOBUF).status == 200
            # The first call after the outage commits all receipts.
            found = readers.read_duckdb(reference.client().load_table("accept.logs"))
    assert sorted(int(row["Body"]) for row in found) == list(range(sent + 10))


def test_a_function_url_without_a_body(function):
    for headers in (PROTOBUF, JSON):
        assert post(function, b"", headers).status == 200


def test_a_bomb_and_a_body_of_six_megabytes_take_bounded_memory(tmp_path, warehouse):
    """The optimised program needs far less: `python -m lambda_host.figures`."""
    with Lambda(tmp_path / "lambda", settings.sqlite(warehouse)) as environment:
        as_gzip = {**PROTOBUF, "content-encoding": "gzip"}
        bomb = gzip.compress(b"\0" * 1_000_000_000, 1)
        assert post(environment, bomb, as_gzip).status == 413
        assert environment.peak_memory_bytes() < 300 * MEGABYTE
        assert post(environment, numbers(0), PROTOBUF).status == 200


def test_a_text_in_the_place_of_something_else_is_not_repeated(tmp_path, warehouse):
    """It is telemetry. Escaped it would be six times as long, and Lambda takes answers of 6 MB."""
    text = "hush" + "\x7f" * 20_000_000
    with Lambda(tmp_path / "lambda", settings.sqlite(warehouse)) as environment:
        for wrapping in (
            '"%s"',
            '{"resourceLogs":"%s"}',
            '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"%s"}]}]}]}',
            '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"intValue":"%s"}}]}]}]}',
        ):
            body = gzip.compress((wrapping % text).encode(), 1)
            answer = post(environment, body, {**JSON, "content-encoding": "gzip"})
            assert answer.status == 400 and len(answer.body) < 2048, (wrapping, answer.status, len(answer.body))
            assert "a string of 20000004 bytes" in json.loads(answer.body)["message"]
        assert environment.peak_memory_bytes() < 200 * MEGABYTE
        log = environment.log()
    assert max(map(len, log.splitlines())) < 4096
    assert "hush" not in log and "\x7f" not in log


def test_what_is_repaired_is_counted_logged_and_told_to_the_client(function, warehouse):
    now = time.time_ns()
    message = otlp.REQUEST["traces"]()
    spans = message.resource_spans.add().scope_spans.add().spans
    for name, length in (("short", 15), ("good", 16)):
        spans.add(name=name, trace_id=b"t" * length, span_id=b"s" * 8, start_time_unix_nano=now, end_time_unix_nano=now)
    answer = post(function, message.SerializeToString(), PROTOBUF, "traces")
    partial = otlp.RESPONSE["traces"].FromString(answer.body).partial_success
    # OTLP's form of a warning: clients log it, and do not send again.
    assert (answer.status, partial.rejected_spans) == (200, 0)
    assert "1 invalid_id" in partial.error_message
    spans[1].trace_id = b"u" * 17
    answer = post(function, otlp.encode(message, "http/json"), JSON, "traces")
    assert answer.status == 200
    [(key, warning)] = json.loads(answer.body)["partialSuccess"].items()
    assert key == "errorMessage" and "2 invalid_id" in warning
    assert post(function, numbers(0), PROTOBUF).body == b""

    lines = function.log_lines()
    counted = [line.get("Repairs") for line in lines if "_aws" in line]
    assert counted == [{"invalid_id": 1}, {"invalid_id": 2}, None]
    warnings = [(line["signal"], line["repairs"]) for line in lines if line["level"] == "WARN" and "repairs" in line]
    assert [(signal, repairs.split(" (")[0]) for signal, repairs in warnings] == [
        ("traces", "1 invalid_id"),
        ("traces", "2 invalid_id"),
    ]
    assert sum(function.metrics("RejectedRecords")) == 0
    rows = readers.read_duckdb(readers.load(warehouse, "traces"))
    ids = sorted((row["SpanName"], row["TraceId"] or "") for row in rows)
    assert ids == [("good", ""), ("good", (b"t" * 16).hex()), ("short", ""), ("short", "")]


def test_json_with_numbers_beyond_their_type_costs_no_neighbour(function, warehouse):
    now = str(time.time_ns())

    def send(signal: str, resource: str, scope: str, records: str, values: list[dict]) -> dict:
        payload = {resource: [{scope: [{records: values}]}]}
        answer = post(function, json.dumps(payload).encode(), JSON, signal)
        assert answer.status == 200, answer
        return json.loads(answer.body)

    whole = [18446744073709552000, 10**21, -9223372036854775809, "18446744073709551616", 7]
    records = [{"timeUnixNano": now, "body": {"intValue": number}} for number in whole]
    records.append({"timeUnixNano": -1, "body": {"stringValue": "before 1970"}})
    answer = send("logs", "resourceLogs", "scopeLogs", "logRecords", records)
    assert "1 time_range" in answer["partialSuccess"]["errorMessage"]
    rows = readers.read_duckdb(readers.load(warehouse, "logs"))
    assert sorted(row["Body"] for row in rows) == sorted([*map(str, whole), "before 1970"])

    points = [{"timeUnixNano": now, "asInt": 1e21}, {"timeUnixNano": now, "asInt": "7"}]
    gauge = [{"name": "g", "gauge": {"dataPoints": points}}]
    assert send("metrics", "resourceMetrics", "scopeMetrics", "metrics", gauge) == {}
    rows = readers.read_duckdb(readers.load(warehouse, "metrics_gauge"))
    assert sorted((row["Value"], row["ValueInt"]) for row in rows) == [(7.0, 7), (1e21, None)]

    points = [{"timeUnixNano": now, "count": count} for count in (-1, "3")]
    histogram = [{"name": "h", "histogram": {"dataPoints": points}}]
    answer = send("metrics", "resourceMetrics", "scopeMetrics", "metrics", histogram)
    assert answer["partialSuccess"]["rejectedDataPoints"] == "1"
    assert [row["Count"] for row in readers.read_duckdb(readers.load(warehouse, "metrics_histogram"))] == [3]


def test_json_with_the_scopes_of_before_otlp_0_15_is_stored_once(function, warehouse):
    span = {
        "traceId": "7+8py1sPlLqG5c9Xm8WBgQ==",
        "spanId": "ABEiM0RVZnc=",
        "name": "a",
        "startTimeUnixNano": str(time.time_ns()),
    }
    old = {"instrumentationLibrarySpans": [{"instrumentationLibrary": {"name": "old"}, "spans": [span]}]}
    new = {"scopeSpans": [{"scope": {"name": "new"}, "spans": [span]}]}
    for resource in (old, {**old, **new}):
        answer = post(function, json.dumps({"resourceSpans": [resource]}).encode(), JSON, "traces")
        assert (answer.status, answer.body) == (200, b"{}")
    rows = readers.read_duckdb(readers.load(warehouse, "traces"))
    ids = ("efef29cb5b0f94ba86e5cf579bc58181", "0011223344556677")
    found = sorted((row["ScopeName"], row["TraceId"], row["SpanId"]) for row in rows)
    assert found == [("new", *ids), ("old", *ids)]
