"""Messages that a queue redelivered often are loaded in separate processes, so that one cannot end the others."""

from __future__ import annotations

import json
import stat
import struct
import time

import pytest
import zstandard

from catalogs.proxy import Proxy
from catalogs.s3 import S3Server
from lambda_host import events, settings
from lambda_host.emulator import Ended, Lambda, binary
from o2i import readers
from o2i.numbered import request, stored

BUCKET = "raw"
MEMORY_KIB = 8 << 20
BOMB_BYTES = 32 << 30
GIBIBYTE = 1 << 30


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        server.make_bucket(BUCKET)
        yield server


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """Declares a size above the available memory but within the limits: allocating it ends the program."""
    compressor = zstandard.ZstdCompressor().compressobj(size=BOMB_BYTES)
    return compressor.compress(b"a") + compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)


@pytest.fixture(scope="module")
def slow() -> bytes:
    """Takes minutes and blocks everything else: gibibytes of empty messages."""
    compressor = zstandard.ZstdCompressor().compressobj(size=GIBIBYTE)
    zeros = b"\0" * (1 << 24)
    compressed = b"".join(compressor.compress(zeros) for _ in range(GIBIBYTE // len(zeros))) + compressor.flush()
    return (struct.pack(">I", len(compressed)) + compressed) * 50


@pytest.fixture
def put(s3, request):
    client = s3.client()
    prefix = request.node.name.partition("[")[0]

    def put(key: str, content: bytes) -> dict:
        key = f"{prefix}/{key}"
        answer = client.put_object(Bucket=BUCKET, Key=key, Body=content)
        return events.s3(events.s3_record(BUCKET, key, answer["ETag"]))

    yield put
    client.close()


@pytest.fixture
def function(tmp_path, s3, warehouse):
    """A function with a memory limit set by the shell."""
    program = tmp_path / "program"
    program.write_text(f'#!/bin/sh\nulimit -c 0\nulimit -v {MEMORY_KIB}\nexec {binary()} "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    limits = settings.variables({"limits": {"payload_bytes_max": 2 * BOMB_BYTES}})
    config = {**settings.sqlite(warehouse), **settings.aws(s3), **limits, "TMPDIR": str(tmp_path)}
    with Lambda(tmp_path / "lambda", config, program=program) as environment:
        yield environment


def logs(*numbers: int) -> bytes:
    return request(numbers).SerializeToString()


def received(event: dict, *counts: int) -> dict:
    """The batch with the given receive count for each message."""
    for record, count in zip(event["Records"], counts, strict=True):
        record["attributes"]["ApproximateReceiveCount"] = str(count)
    return event


def snapshots(warehouse) -> int:
    return len(readers.load(warehouse, "logs").metadata.snapshots)


def test_a_message_that_ends_the_program_takes_the_batch_along_at_first(function, put, bomb):
    batch = events.sqs(put("logs_0", logs(0)), put("logs_bomb", bomb))
    with pytest.raises(Ended):
        function.invoke(received(batch, 2, 2))


@pytest.mark.parametrize("at", [0, 3, 6])
def test_it_fails_alone_from_the_third_time_on(at, function, put, bomb, warehouse, tmp_path):
    bodies = [put(f"logs_{number}", logs(number)) for number in range(6)]
    bodies.insert(at, put("logs_bomb", bomb))
    bodies.append(put("logs_poison", b"\x0a\xff\xff\xff"))
    batch = received(events.sqs(*bodies), *[3] * at, 4, *[1] * (7 - at))
    assert events.failed(function.invoke(batch)) == [f"m{at}", "m7"]
    assert stored(warehouse) == dict.fromkeys(range(6), 1)
    # The function is still alive and answers the next event.
    assert events.failed(function.invoke(events.sqs(put("logs_9", logs(9))))) == []
    assert stored(warehouse) == dict.fromkeys([*range(6), 9], 1)
    # The line is among the last output of a process.
    [line] = [json.loads(line) for line in function.log().splitlines() if "it alone is given back" in line]
    assert line["message_id"] == f"m{at}"
    assert not list(tmp_path.glob("otlp2iceberg-batch-*"))


def test_a_batch_that_came_often_without_fault_is_one_commit(function, put, warehouse):
    batch = events.sqs(*(put(f"logs_{number}", logs(number)) for number in range(20)))
    for _ in range(2):
        assert events.failed(function.invoke(received(batch, *[3] * 20))) == []
    assert stored(warehouse) == dict.fromkeys(range(20), 1)
    assert snapshots(warehouse) == 1
    assert (sum(function.metrics("Rows")), sum(function.metrics("RepeatedRequests"))) == (20, 20)
    # The lines of the separate processes belong to the invocation too.
    assert all(line["requestId"] for line in function.log_lines() if "_aws" in line)


# A slow message at the beginning uses up the time of two parts before the other parts get theirs.
@pytest.mark.parametrize(("at", "seconds"), [(0, 24), (4, 12)])
def test_one_that_takes_all_the_time_fails_alone(at, seconds, function, put, slow, warehouse):
    bodies = [put(f"logs_{number}", logs(number)) for number in range(4)]
    bodies.insert(at, put("logs_slow", slow))
    assert events.failed(function.invoke(received(events.sqs(*bodies), *[3] * 5), seconds=seconds)) == [f"m{at}"]
    assert stored(warehouse) == dict.fromkeys(range(4), 1)
    [line] = [json.loads(line) for line in function.log().splitlines() if "in the time that was left for it" in line]
    assert line["message_id"] == f"m{at}"


def test_a_batch_that_needs_most_of_the_time_gets_on(tmp_path, s3, warehouse, put):
    """Objects that are slow to read, 3 s in total. Three deliveries suffice to load all of them."""
    with Slow(s3.endpoint) as proxy:
        config = {**settings.sqlite(warehouse), **settings.aws(s3), "AWS_ENDPOINT_URL_S3": proxy.uri, "TMPDIR": str(tmp_path)}
        bodies = [put(f"logs_{number}", logs(number)) for number in range(12)]
        with Lambda(tmp_path / "lambda", config) as function:
            for count in (3, 4, 5):
                batch = received(events.sqs(*bodies), *[count] * len(bodies))
                failed = events.failed(function.invoke(batch, seconds=7))
                bodies = [bodies[int(name[1:])] for name in failed]
                if not bodies:
                    break
    assert bodies == []
    assert stored(warehouse) == dict.fromkeys(range(12), 1)


class Slow(Proxy):
    """A proxy that delays every request by 0.25 s."""

    def check(self, request):
        time.sleep(0.25)
        return None


def test_what_the_time_is_not_enough_for_is_given_back(function, put, warehouse):
    batch = received(events.sqs(put("logs_0", logs(0)), put("logs_1", logs(1))), 3, 3)
    assert events.failed(function.invoke(batch, seconds=0.1)) == ["m0", "m1"]
    assert events.failed(function.invoke(batch)) == []
    assert stored(warehouse) == {0: 1, 1: 1}
