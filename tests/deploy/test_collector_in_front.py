"""examples/aws: the built Collector sends to a stand-in for a Function URL, which checks signatures with botocore."""

from __future__ import annotations

import json
import random
import time

import pytest
import yaml
import zstandard
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from catalogs.child import Child
from catalogs.exporting import aws_environment
from o2i import otlp
from o2i.collector import REPOSITORY, binary, free_ports
from o2i.corpus.build import resource, scope, value

from .aws import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, FunctionUrl

EXAMPLES = REPOSITORY / "examples" / "aws"
EVENT_BYTES_MAX = 6_291_456
# The rest of an event besides the body: paths, headers, request context.
ENVELOPE_BYTES_MAX = 4_096
SECONDS_MAX = 60


@pytest.fixture
def collector(tmp_path, monkeypatch):
    """A running Collector with the example's configuration: its destination and its OTLP ports."""
    aws_environment(monkeypatch, ACCESS_KEY_ID, SECRET_ACCESS_KEY)
    grpc, http, health = free_ports(3)
    with FunctionUrl() as url:
        environment = {
            "OTLP2ICEBERG_URL": url.uri,
            "AWS_REGION": REGION,
            "O2I_QUEUE": str(tmp_path / "queue"),
            "O2I_GRPC_PORT": str(grpc),
            "O2I_HTTP_PORT": str(http),
            "O2I_HEALTH_PORT": str(health),
        }
        child = Child(tmp_path / "collector.log")
        child.start([binary(), "--config", EXAMPLES / "collector-lambda.yaml"], "Everything is ready", environment)
        try:
            yield url, grpc, http
        finally:
            child.stop()


def incompressible(numbers: range, bytes_each: int) -> ExportLogsServiceRequest:
    """One log record for each number; its body is the number followed by random text."""
    chance = random.Random(numbers.start)
    records = [LogRecord(body=value(f"{number} {chance.randbytes(bytes_each // 2).hex()}")) for number in numbers]
    scope_logs = ScopeLogs(scope=scope("random"), log_records=records)
    return ExportLogsServiceRequest(resource_logs=[ResourceLogs(resource=resource({}), scope_logs=[scope_logs])])


def test_batches_are_signed_and_fit_into_an_event(collector):
    url, grpc, http = collector
    numbers = range(6_000)
    with otlp.Client(grpc, http) as client:
        for begin in range(0, len(numbers), 500):
            client.send(incompressible(range(begin, begin + 500), 2_000))
        arrived = wait_for(url, len(numbers))
    assert sorted(arrived) == list(numbers)
    assert {answer.status for _, answer in url.seen} == {200}
    assert {(request.path, request.headers["content-encoding"]) for request, _ in url.seen} == {("/v1/logs", "zstd")}
    for request, _ in url.seen:
        assert len(request.body) * 4 / 3 + ENVELOPE_BYTES_MAX < EVENT_BYTES_MAX
    # 12 MB in batches of at most 4.4 MB: fewer batches than the twelve requests.
    assert 3 <= len(url.seen) <= 5


def wait_for(url: FunctionUrl, count: int) -> list[int]:
    deadline = time.monotonic() + SECONDS_MAX
    while True:
        bodies = [zstandard.ZstdDecompressor().decompressobj().decompress(request.body) for request in url.answered(200)]
        arrived = [
            int(record.body.string_value.split()[0])
            for body in bodies
            for resource_logs in ExportLogsServiceRequest.FromString(body).resource_logs
            for scope_logs in resource_logs.scope_logs
            for record in scope_logs.log_records
        ]
        if len(arrived) >= count:
            return arrived
        assert time.monotonic() < deadline, f"{len(arrived)} of {count} after {SECONDS_MAX} s; {url.seen[-1:]}"
        time.sleep(0.2)


def test_both_examples_ask_for_batches_that_can_be():
    for name in ("collector-lambda.yaml", "collector-s3.yaml"):
        config = yaml.safe_load((EXAMPLES / name).read_text())
        (exporter,) = config["exporters"].values()
        queue = exporter["sending_queue"]
        assert queue["batch"]["min_size"] <= queue["batch"]["max_size"] < queue["queue_size"]
        assert queue["sizer"] == queue["batch"]["sizer"] == "bytes"
        assert queue["storage"] in config["service"]["extensions"]


def test_the_sender_policy_is_the_stack_s(aws):
    outputs = aws.make_stack("sending")
    iam = aws.client("iam")
    version = iam.get_policy(PolicyArn=outputs["SenderPolicyArn"])["Policy"]["DefaultVersionId"]
    made = iam.get_policy_version(PolicyArn=outputs["SenderPolicyArn"], VersionId=version)["PolicyVersion"]["Document"]
    written = (EXAMPLES / "sender-policy.json").read_text()
    arn = "arn:aws:lambda:REGION:ACCOUNT:function:otlp2iceberg"
    assert written.count(arn) == 2
    assert json.loads(written.replace(arn, outputs["LambdaFunctionArn"])) == made
