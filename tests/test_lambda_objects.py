"""The Lambda with notifications: each S3 object with OTLP is loaded once, and bad objects fail alone."""

from __future__ import annotations

import gzip
import json
import struct
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import zstandard

from catalogs.proxy import Proxy
from catalogs.s3 import S3Server
from lambda_host import events, settings
from lambda_host.emulator import Failed, Lambda
from o2i import corpus, otlp, readers
from o2i.numbered import request, stored

BUCKET = "raw"


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        server.make_bucket(BUCKET)
        yield server


@pytest.fixture
def config(s3, warehouse) -> dict[str, str]:
    return {**settings.sqlite(warehouse), **settings.aws(s3)}


@pytest.fixture
def function(tmp_path, config):
    with Lambda(tmp_path / "lambda", config) as environment:
        yield environment


@pytest.fixture
def put(client, request):
    """Puts an object and returns its record; keys are below a prefix of the test."""
    prefix = request.node.name.partition("[")[0]

    def put(key: str, content: bytes, version: bool = False) -> dict:
        key = f"{prefix}/{key}"
        answer = client.put_object(Bucket=BUCKET, Key=key, Body=content)
        return events.s3_record(BUCKET, key, answer["ETag"], answer.get("VersionId"))

    return put


def logs(*numbers: int) -> bytes:
    return request(numbers).SerializeToString()


def json_logs(*numbers: int) -> bytes:
    return otlp.encode(request(numbers), "http/json")


def framed(*messages: bytes) -> bytes:
    """Messages in the format of the Collector's file exporter: each preceded by its length."""
    return b"".join(struct.pack(">I", len(message)) + message for message in messages)


def delimited(*messages: bytes) -> bytes:
    """Messages in the format of CloudWatch's metric streams: each preceded by its length as a varint."""
    return b"".join(varint(len(message)) + message for message in messages)


def varint(number: int) -> bytes:
    return bytes([number]) if number < 0x80 else bytes([number & 0x7F | 0x80]) + varint(number >> 7)


def through(proxy: Proxy, config: dict[str, str]) -> dict[str, str]:
    """The settings of a function whose requests to S3 go through the proxy."""
    return {**config, "AWS_ENDPOINT_URL_S3": proxy.uri}


def snapshots(warehouse, table: str = "logs") -> int:
    return len(readers.load(warehouse, table).metadata.snapshots)


def test_every_form_that_is_written_to_s3_in_one_snapshot(function, put, warehouse):
    records = [
        put("logs_0.binpb", logs(0)),
        put("logs_1.binpb.gz", gzip.compress(logs(1))),
        put("logs_2.binpb.zst", zstandard.compress(logs(2))),
        put("logs_3.json", json_logs(3)),
        put("4.json.gz", gzip.compress(json_logs(4))),
        put("5.jsonl", json_logs(5) + b"\n" + json_logs(6) + b"\n"),
        put("logs_7", framed(logs(7), logs(8))),
        put("logs_9.zst", framed(zstandard.compress(logs(9)))),
        put("metrics/prodlogs_10.binpb", logs(10)),
        put("empty.json", b""),
    ]
    assert function.invoke(events.s3(*records)) is None
    assert stored(warehouse) == dict.fromkeys(range(11), 1)
    assert snapshots(warehouse) == 1


def test_every_signal_in_one_object_and_by_the_key(function, put, warehouse):
    messages = {one.signal: otlp.REQUEST[one.signal].FromString(one.payload) for one in corpus.fixtures()[:3]}
    lines = b"\n".join(otlp.encode(message, "http/json") for message in messages.values())
    records = [put("all.jsonl", lines), *(put(f"{signal}_1", one.SerializeToString()) for signal, one in messages.items())]
    function.invoke(events.s3(*records))
    for one in corpus.fixtures()[:3]:
        for table, rows in one.rows.items():
            assert readers.row_count(readers.load(warehouse, table)) == 2 * len(rows), table


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_metric_streams_of_cloudwatch_through_firehose(compress, function, put, warehouse):
    fixture = corpus.fixture("metrics")
    record = put("metrics/2026/01/02/03/stream-1-2026-01-02-03-04-05-0a1b", compress(delimited(fixture.payload, fixture.payload)))
    function.invoke(events.s3(record))
    for table, rows in fixture.rows.items():
        assert readers.row_count(readers.load(warehouse, table)) == 2 * len(rows), table


def test_lines_of_java_s_logging_exporters(function, put, warehouse):
    lines = [json.dumps(one) for number in range(3) for one in json.loads(json_logs(number))["resourceLogs"]]
    function.invoke(events.s3(put("app/2026-01-02.jsonl", "\n".join(lines).encode())))
    assert stored(warehouse) == dict.fromkeys(range(3), 1)


def test_json_that_is_not_otlp_fails_with_its_keys_instead_of_vanishing(function, put, warehouse):
    others = {
        "fluent-bit": b'{"date":1.5,"log":"a"}\n{"date":2.5,"log":"b"}\n',
        "metric-stream": b'{"metric_stream_name":"a","namespace":"AWS/EC2"}',
        "cloudtrail": gzip.compress(b'{"Records":[{"eventVersion":"1.08"}]}'),
        "half": json_logs(1) + b'\n{"mine":1}\n',
    }
    records = [put("empty.json", b"{}"), *(put(f"{name}.json", content) for name, content in others.items()), put("good", json_logs(2))]
    assert events.failed(function.invoke(events.sqs(*map(events.s3, records)))) == ["m1", "m2", "m3", "m4"]
    assert stored(warehouse) == {2: 1}
    for name, key in zip(others, ('"date", "log"', '"metric_stream_name"', '"Records"', '"mine" at line 2'), strict=True):
        [error] = [line["error"] for line in function.errors() if f"/{name}.json" in line["object"]]
        assert "JSON, but not OTLP" in error and key in error, error


def test_keys_with_spaces_plus_signs_and_unicode(function, put, warehouse):
    keys = ["a b/logs c", "a+b/logs+c", "é/日本/logs 🌍", "100%/logs%20x", "a=b&c/logs;d", "~'()*!/logs@$,:"]
    records = [put(key, logs(number)) for number, key in enumerate(keys)]
    for record, key in zip(records, keys, strict=True):
        assert record["s3"]["object"]["key"] != key
    function.invoke(events.s3(*records))
    assert stored(warehouse) == dict.fromkeys(range(len(keys)), 1)


@pytest.mark.parametrize("wrapping", ["s3", "sns", "event-bridge", "sqs", "sqs of sns", "sqs of event-bridge"])
def test_an_object_is_loaded_once_however_often_and_however_it_is_told(wrapping, function, put, warehouse):
    record = put("logs plain", logs(1, 2))
    object_ = record["s3"]["object"]
    bridge = events.event_bridge(BUCKET, f"{object_['key'].split('/')[0]}/logs plain", object_["eTag"])
    plain = events.s3(record)
    event = {
        "s3": plain,
        "sns": {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": json.dumps(plain)}}]},
        "event-bridge": bridge,
        "sqs": events.sqs(plain, plain),
        "sqs of sns": events.sqs(events.sns(plain)),
        "sqs of event-bridge": events.sqs(bridge),
    }[wrapping]
    for _ in range(2):
        returned = function.invoke(event)
        assert returned is None or events.failed(returned) == []
    # The same object in another kind of event.
    function.invoke(plain)
    assert stored(warehouse) == {1: 1, 2: 1}


def test_two_environments_given_the_same_event_store_it_once(tmp_path, config, put, warehouse):
    event = events.s3(put("logs_a", logs(1)), put("logs_b", logs(2)))
    with Lambda(tmp_path / "a", config) as one, Lambda(tmp_path / "b", config) as other, ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda environment: environment.invoke(event), (one, other))) == [None, None]
    assert stored(warehouse) == {1: 1, 2: 1}


def test_a_batch_of_ten_reports_exactly_the_poison_and_the_missing_object(function, put, warehouse):
    good = [put(f"logs_{number}", logs(number)) for number in range(7)]
    poison = put("logs_poison", b"\x0a\xff\xff\xff")
    missing = events.s3_record(BUCKET, "logs_missing", "0" * 32)
    empty = put("logs_empty", b"")
    bodies = [*good[:3], poison, *good[3:], missing, empty]
    returned = function.invoke(events.sqs(*(events.s3(record) for record in bodies)))
    assert events.failed(returned) == ["m3", "m8"]
    assert stored(warehouse) == dict.fromkeys(range(7), 1)
    # Redelivered failures fail again, and nothing is stored twice.
    assert events.failed(function.invoke(events.sqs(events.s3(poison), events.s3(missing)))) == ["m0", "m1"]
    assert events.failed(function.invoke(events.sqs(*(events.s3(record) for record in good)))) == []
    assert stored(warehouse) == dict.fromkeys(range(7), 1)
    lines = function.errors()
    assert any("logs_poison" in line["object"] for line in lines)
    assert any("logs_missing" in line["object"] for line in lines)


def test_messages_that_are_no_notifications_fail_alone(function, put, warehouse):
    test_event = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": BUCKET}
    removed = events.s3(events.s3_record(BUCKET, "logs", "0", name="ObjectRemoved:Delete"))
    returned = function.invoke(events.sqs("hello", test_event, events.s3(put("logs_1", logs(1))), removed, {"a": 1}))
    assert events.failed(returned) == ["m0", "m4"]
    assert stored(warehouse) == {1: 1}
    for event in ({}, {"Records": [{"eventSource": "aws:kinesis"}]}, {"source": "mine"}):
        with pytest.raises(Failed, match="notification|neither"):
            function.invoke(event)
    assert function.invoke(test_event) is None


def test_an_event_of_s3_fails_as_a_whole_and_its_retry_stores_only_the_rest(function, client, put, warehouse):
    good, late = put("logs_good", logs(1)), put("logs_late", logs(2))
    key = late["s3"]["object"]["key"]
    client.delete_object(Bucket=BUCKET, Key=key)
    with pytest.raises(Failed, match="logs_late"):
        function.invoke(events.s3(good, late))
    assert stored(warehouse) == {1: 1}
    client.put_object(Bucket=BUCKET, Key=key, Body=logs(2))
    function.invoke(events.s3(good, put("logs_late", logs(2))))
    assert stored(warehouse) == {1: 1, 2: 1}


def test_an_object_that_was_overwritten_is_loaded_as_what_it_is_now(function, put, warehouse):
    before = put("logs_a", logs(1))
    after = put("logs_a", logs(2))
    function.invoke(events.s3(before, after))
    assert stored(warehouse) == {2: 1}


def test_versions_that_are_kept_are_loaded_each(function, client, s3, warehouse):
    bucket = "versions"
    s3.make_bucket(bucket)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    answers = [client.put_object(Bucket=bucket, Key="logs", Body=logs(number)) for number in (1, 2)]
    function.invoke(events.s3(*(events.s3_record(bucket, "logs", one["ETag"], one["VersionId"]) for one in answers)))
    assert stored(warehouse) == {1: 1, 2: 1}


def test_an_object_that_was_deleted_is_loaded_where_its_version_is_kept(function, client, s3, warehouse):
    bucket = "deleted"
    s3.make_bucket(bucket)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    put = client.put_object(Bucket=bucket, Key="logs", Body=logs(1))
    client.delete_object(Bucket=bucket, Key="logs")
    function.invoke(events.s3(events.s3_record(bucket, "logs", put["ETag"], put["VersionId"])))
    assert stored(warehouse) == {1: 1}
    client.delete_object(Bucket=bucket, Key="logs", VersionId=put["VersionId"])
    with pytest.raises(Failed, match="deleted/logs"):
        function.invoke(events.s3(events.s3_record(bucket, "logs", put["ETag"], put["VersionId"])))


def test_what_is_overwritten_while_versioning_is_suspended_is_loaded_again(function, put, warehouse):
    for number in (1, 2):
        record = put("logs_a", logs(number))
        record["s3"]["object"]["versionId"] = "null"
        function.invoke(events.s3(record))
    assert stored(warehouse) == {1: 1, 2: 1}


def test_folders_of_the_console_are_nothing_to_do_and_keys_that_cannot_be_read_are_named(function, client, put, warehouse):
    folder = put("logs/", b"")
    folder["s3"]["object"]["size"] = 0
    # The key without its first slash names another object.
    client.put_object(Bucket=BUCKET, Key="year=2026/logs_1", Body=logs(1))
    leading = client.put_object(Bucket=BUCKET, Key="/year=2026/logs_1", Body=logs(1))
    records = [folder, events.s3_record(BUCKET, "/year=2026/logs_1", leading["ETag"]), put("logs_2", logs(2))]
    assert events.failed(function.invoke(events.sqs(*(events.s3(record) for record in records)))) == ["m1"]
    assert stored(warehouse) == {2: 1}
    [error] = [line["error"] for line in function.errors()]
    assert '"/year=2026/logs_1"' in error and "slash" in error


def test_bombs_and_objects_that_are_too_large_fail_alone(tmp_path, config, put, warehouse):
    limits = settings.variables({"limits": {"payload_bytes_max": 1 << 20}})
    with Lambda(tmp_path / "lambda", {**config, **limits}) as function:
        records = [
            put("logs_gzip", gzip.compress(b"\0" * 50_000_000)),
            put("logs_zstd", zstandard.compress(b"\0" * 50_000_000)),
            put("logs_large", b"\x0a" * 2_000_000),
            put("logs_parquet", b"PAR1 and so on"),
            put("no signal", logs(1)),
            put("logs_good", logs(2)),
        ]
        returned = function.invoke(events.sqs(*(events.s3(record) for record in records)))
        assert events.failed(returned) == ["m0", "m1", "m2", "m3", "m4"]
    assert stored(warehouse) == {2: 1}


def test_an_object_with_too_many_records_fails_unless_it_is_kept_as_a_dead_letter(tmp_path, config, put, warehouse):
    limits = settings.variables({"limits": {"records_per_request_max": 3}})
    event = events.sqs(events.s3(put("logs_many", logs(*range(10)))), events.s3(put("logs_few", logs(7))))
    with Lambda(tmp_path / "without", {**config, **limits}) as function:
        assert events.failed(function.invoke(event)) == ["m0"]
        # A second pass finds out which of the two failed; it does not count anything again.
        counted = [sum(function.metrics(name)) for name in ("Rows", "RejectedRecords", "RepeatedRequests")]
        assert counted == [1, 10, 0]
    kept = settings.variables({"dead_letter": {"path": str(tmp_path / "dead")}})
    with Lambda(tmp_path / "with", {**config, **limits, **kept}) as function:
        assert events.failed(function.invoke(event)) == []
        counted = [sum(function.metrics(name)) for name in ("Rows", "RejectedRecords", "RepeatedRequests")]
        assert counted == [0, 10, 1]
    assert stored(warehouse) == {7: 1}
    assert list((tmp_path / "dead").rglob("*.pb"))


def test_objects_that_the_time_is_not_enough_for_are_given_back(function, put, warehouse):
    records = [put(f"logs_{number}", logs(number)) for number in range(3)]
    returned = function.invoke(events.sqs(*(events.s3(record) for record in records)), seconds=0.1)
    assert events.failed(returned) == ["m0", "m1", "m2"]
    assert events.failed(function.invoke(events.sqs(*(events.s3(record) for record in records)))) == []
    assert stored(warehouse) == dict.fromkeys(range(3), 1)


def test_slow_reading_leaves_time_to_store_what_was_read(tmp_path, config, s3, put, warehouse):
    """Objects that take 4 s to read, in an invocation of 3 s: some are stored, the others are reported."""
    records = [put(f"logs_{number}", logs(number)) for number in range(16)]
    with Proxy(s3.endpoint) as proxy, Lambda(tmp_path / "lambda", through(proxy, config)) as function:
        # The table is there, so storing is quick.
        function.invoke(events.s3(put("logs_before", logs(99))))
        proxy.instead = lambda request: time.sleep(0.25)
        returned = function.invoke(events.sqs(*(events.s3(record) for record in records)), seconds=3)
        failed = [int(name.removeprefix("m")) for name in events.failed(returned)]
        loaded = set(range(16)) - set(failed)
        assert loaded and failed
        assert stored(warehouse) == dict.fromkeys([*loaded, 99], 1)
        proxy.instead = lambda request: None
        returned = function.invoke(events.sqs(*(events.s3(records[number]) for number in failed)))
        assert events.failed(returned) == []
    assert stored(warehouse) == dict.fromkeys([*range(16), 99], 1)


def test_no_object_fails_while_there_is_time_for_another_round(tmp_path, config, s3, put, warehouse):
    """Objects that take 5 s to read and more, in an invocation of 10 s: the first round ends before the last one."""
    records = [put(f"logs_{number}", logs(number)) for number in range(20)]
    with Proxy(s3.endpoint) as proxy, Lambda(tmp_path / "lambda", through(proxy, config)) as function:
        function.invoke(events.s3(put("logs_before", logs(99))))
        proxy.instead = lambda request: time.sleep(0.25)
        returned = function.invoke(events.sqs(*(events.s3(record) for record in records)), seconds=10)
        assert events.failed(returned) == []
    assert stored(warehouse) == dict.fromkeys([*range(20), 99], 1)


def test_a_large_object_is_stored_before_the_next_one_is_read(tmp_path, config, s3, put, warehouse):
    """Memory then holds one of them at a time."""
    # A second `ResourceLogs`, which only has an unknown field of 32 MiB.
    padding = b"\x0a" + delimited(b"\x7a" + delimited(b"\0" * (32 << 20)))
    large = put("logs_1.gz", gzip.compress(logs(1) + padding, 1))
    small = put("logs_2", logs(2))
    before = []

    def look(request) -> None:
        if request.path.endswith("/logs_2"):
            before.append(stored(warehouse))

    with Proxy(s3.endpoint) as proxy, Lambda(tmp_path / "lambda", through(proxy, config)) as function:
        proxy.instead = look
        function.invoke(events.s3(large, small))
    assert before[0] == {1: 1}
    assert stored(warehouse) == {1: 1, 2: 1}
