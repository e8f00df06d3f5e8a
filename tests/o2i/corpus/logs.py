"""The corpus of log records. The scope's name describes the case."""

from __future__ import annotations

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from .build import (
    DAY, EVERY_VALUE, HOUR, INT64_MAX, SECOND, SPAN_A, SPAN_B, T0, TRACE_A, TRACE_B, TWICE, UINT32_MAX, UINT64_MAX, Pairs,
    attributes, resource, scope, value,
)  # fmt: skip


def request() -> ExportLogsServiceRequest:
    """One request with every case."""
    return ExportLogsServiceRequest(
        resource_logs=[
            _checkout(),
            _odd_resources(),
            ResourceLogs(
                scope_logs=[
                    ScopeLogs(log_records=[LogRecord(time_unix_nano=T0, body=value("no resource, no scope"))]),
                ]
            ),
            *(_service_name(name) for name in ("", 42, None, ["list"], True)),
            ResourceLogs(resource=resource({"service.name": "nothing inside"})),
            ResourceLogs(resource=resource({"service.name": "no records"}), scope_logs=[ScopeLogs(scope=scope("empty"))]),
        ]
    )


def _checkout() -> ResourceLogs:
    cases = [
        ("every field", _every_field()),
        ("nothing set", LogRecord()),
        ("observed time only", LogRecord(observed_time_unix_nano=T0 + 3)),
        ("time only", LogRecord(time_unix_nano=T0)),
        ("first microsecond", LogRecord(time_unix_nano=1000)),
        ("below a microsecond", LogRecord(time_unix_nano=999)),
        ("last time", LogRecord(time_unix_nano=INT64_MAX, observed_time_unix_nano=INT64_MAX)),
        ("time out of range", LogRecord(time_unix_nano=INT64_MAX + 1, observed_time_unix_nano=T0)),
        ("both times out of range", LogRecord(time_unix_nano=UINT64_MAX, observed_time_unix_nano=INT64_MAX + 1)),
        ("zero ids", LogRecord(time_unix_nano=T0, trace_id=bytes(16), span_id=bytes(8))),
        ("trace without span", LogRecord(time_unix_nano=T0, trace_id=TRACE_B)),
        ("span without trace", LogRecord(time_unix_nano=T0, span_id=SPAN_B)),
        ("highest flags", LogRecord(time_unix_nano=T0, flags=UINT32_MAX)),
        ("flags 1", LogRecord(time_unix_nano=T0, flags=1)),
        ("unknown severity", LogRecord(time_unix_nano=T0, severity_number=99)),
        ("dropped beyond int", LogRecord(time_unix_nano=T0, dropped_attributes_count=UINT32_MAX)),
        ("attributes of every kind", LogRecord(time_unix_nano=T0, attributes=attributes(EVERY_VALUE))),
        ("attribute twice", LogRecord(time_unix_nano=T0, attributes=attributes(TWICE))),
        ("long body", LogRecord(time_unix_nano=T0, body=value("long " * 2_000))),
        ("other days", LogRecord(time_unix_nano=T0 + 1)),
        ("other days", LogRecord(time_unix_nano=T0 + DAY)),
        ("other days", LogRecord(time_unix_nano=T0 - 400 * DAY)),
        ("same twice", LogRecord(time_unix_nano=T0, body=value("the same record twice is two rows"))),
        ("same twice", LogRecord(time_unix_nano=T0, body=value("the same record twice is two rows"))),
    ]
    cases += [(f"severity {n}", LogRecord(time_unix_nano=T0, severity_number=n, severity_text=f"S{n}")) for n in range(25)]
    cases += [(f"body {name}", LogRecord(time_unix_nano=T0, body=value(body))) for name, body in EVERY_VALUE.items()]
    # In descending order of time, so that a file is in order only if it is sorted.
    cases += [("order", LogRecord(time_unix_nano=T0 - n * SECOND, event_name=f"order.{n}")) for n in range(20)]
    return ResourceLogs(
        resource=resource({"service.name": "checkout", "host.name": "host-1", "k8s.pod.uid": "4f2a"}, dropped=3),
        schema_url="https://opentelemetry.io/schemas/1.27.0",
        scope_logs=[
            ScopeLogs(
                scope=scope(name, "1.2.3", {"case": name, "library.fast": True}, dropped=7),
                schema_url="https://opentelemetry.io/schemas/1.26.0",
                log_records=[record],
            )
            for name, record in cases
        ],
    )


def _every_field() -> LogRecord:
    return LogRecord(
        time_unix_nano=T0,
        observed_time_unix_nano=T0 + 1_234_567,
        severity_number=17,
        severity_text="ERROR",
        body=value("payment 4711 declined"),
        attributes=attributes({"http.request.method": "POST", "http.response.status_code": 402}),
        dropped_attributes_count=2,
        flags=0x0000_0001,
        trace_id=TRACE_A,
        span_id=SPAN_A,
        event_name="payment.declined",
    )


def _odd_resources() -> ResourceLogs:
    """A resource with difficult attributes and no service name, an empty scope, and several records in one scope."""
    return ResourceLogs(
        resource=resource(EVERY_VALUE, dropped=UINT32_MAX),
        scope_logs=[
            ScopeLogs(log_records=[LogRecord(time_unix_nano=T0 + n * HOUR, body=value(n)) for n in range(3)]),
            ScopeLogs(
                scope=scope("scope attributes", plain=EVERY_VALUE, dropped=UINT32_MAX),
                log_records=[LogRecord(time_unix_nano=T0)],
            ),
            ScopeLogs(
                scope=scope("", "2.0"),
                schema_url="urn:scope:without:name",
                log_records=[LogRecord(time_unix_nano=T0)],
            ),
        ],
    )


def _service_name(name) -> ResourceLogs:
    return ResourceLogs(
        resource=resource(Pairs([("service.name", "not the last"), ("service.name", name)])),
        scope_logs=[ScopeLogs(scope=scope("service.name"), log_records=[LogRecord(time_unix_nano=T0)])],
    )
