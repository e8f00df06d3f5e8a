"""The corpus of spans. The scope's name describes the case."""

from __future__ import annotations

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from .build import (
    DAY, EVERY_VALUE, INT32_MAX, INT64_MAX, SECOND, SPAN_A, SPAN_B, T0, TRACE_A, TRACE_B, TWICE, UINT32_MAX, UINT64_MAX,
    attributes, resource, scope,
)  # fmt: skip


def request() -> ExportTraceServiceRequest:
    """One request with every case."""
    return ExportTraceServiceRequest(
        resource_spans=[
            ResourceSpans(
                resource=resource({"service.name": "checkout", "deployment.environment.name": "test"}, dropped=1),
                schema_url="https://opentelemetry.io/schemas/1.27.0",
                scope_spans=[
                    ScopeSpans(
                        scope=scope(name, "0.9", {"case": name}, dropped=2),
                        schema_url="https://opentelemetry.io/schemas/1.26.0",
                        spans=[span],
                    )
                    for name, span in _cases()
                ],
            ),
            ResourceSpans(scope_spans=[ScopeSpans(spans=[Span(start_time_unix_nano=T0, name="no resource, no scope")])]),
            ResourceSpans(
                resource=resource(EVERY_VALUE, dropped=UINT32_MAX),
                scope_spans=[
                    ScopeSpans(
                        scope=scope("hard resource and scope", plain=EVERY_VALUE, dropped=UINT32_MAX),
                        spans=[Span(start_time_unix_nano=T0), Span(start_time_unix_nano=T0)],
                    )
                ],
            ),
        ]
    )


def _cases() -> list[tuple[str, Span]]:
    at = {"start_time_unix_nano": T0}
    cases = [
        ("every field", _every_field()),
        ("nothing set", Span()),
        ("no start", Span(end_time_unix_nano=T0)),
        ("no end", Span(**at)),
        ("start out of range", Span(start_time_unix_nano=INT64_MAX + 1, end_time_unix_nano=T0)),
        ("end out of range", Span(start_time_unix_nano=T0, end_time_unix_nano=UINT64_MAX)),
        ("both out of range", Span(start_time_unix_nano=UINT64_MAX, end_time_unix_nano=UINT64_MAX)),
        ("no duration", Span(start_time_unix_nano=T0, end_time_unix_nano=T0)),
        ("one nanosecond", Span(start_time_unix_nano=T0, end_time_unix_nano=T0 + 1)),
        ("ends before it starts", Span(start_time_unix_nano=T0, end_time_unix_nano=T0 - 1_500)),
        ("longest", Span(start_time_unix_nano=1, end_time_unix_nano=INT64_MAX)),
        ("zero ids", Span(**at, trace_id=bytes(16), span_id=bytes(8), parent_span_id=bytes(8))),
        ("highest flags", Span(**at, flags=UINT32_MAX)),
        ("sampled, remote parent", Span(**at, flags=0x301, trace_state="vendor=t61rcWkgMzE,other=00f067aa0ba902b7")),
        ("attributes of every kind", Span(**at, attributes=attributes(EVERY_VALUE))),
        ("attribute twice", Span(**at, attributes=attributes(TWICE))),
        (
            "dropped beyond int",
            Span(
                **at,
                dropped_attributes_count=INT32_MAX + 1,
                dropped_events_count=UINT32_MAX,
                dropped_links_count=INT32_MAX,
            ),
        ),
        ("status without code", Span(**at, status=Status(message="only words"))),
        ("empty event and link", Span(**at, events=[Span.Event()], links=[Span.Link()])),
        ("hard events", Span(**at, events=_hard_events())),
        ("hard links", Span(**at, links=_hard_links())),
        ("other days", Span(start_time_unix_nano=T0 + 1)),
        ("other days", Span(start_time_unix_nano=T0 + DAY)),
    ]
    cases += [(f"kind {kind}", Span(**at, kind=kind)) for kind in (*range(6), 6, 99)]
    cases += [(f"status {code}", Span(**at, status=Status(code=code))) for code in (0, 1, 2, 3, 77)]
    cases += [("order", Span(start_time_unix_nano=T0 - n * SECOND, name=f"order.{n}")) for n in range(20)]
    return cases


def _every_field() -> Span:
    return Span(
        trace_id=TRACE_A,
        span_id=SPAN_A,
        trace_state="rojo=00f067aa0ba902b7",
        parent_span_id=SPAN_B,
        flags=1,
        name="POST /payments",
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=T0,
        end_time_unix_nano=T0 + 12_345_678,
        attributes=attributes({"http.request.method": "POST", "http.response.status_code": 402, "retry": False}),
        dropped_attributes_count=1,
        events=[
            Span.Event(
                time_unix_nano=T0 + 1_000,
                name="exception",
                attributes=attributes({"exception.type": "Declined", "exception.escaped": False}),
                dropped_attributes_count=4,
            ),
            Span.Event(time_unix_nano=T0 + 2_000, name="retry"),
        ],
        dropped_events_count=5,
        links=[
            Span.Link(
                trace_id=TRACE_B,
                span_id=SPAN_B,
                trace_state="k=v",
                attributes=attributes({"link.kind": "follows"}),
                dropped_attributes_count=6,
                flags=0x101,
            )
        ],
        dropped_links_count=7,
        status=Status(message="declined", code=Status.STATUS_CODE_ERROR),
    )


def _hard_events() -> list[Span.Event]:
    return [
        Span.Event(time_unix_nano=UINT64_MAX, name="time out of range"),
        Span.Event(name="attributes of every kind", attributes=attributes(EVERY_VALUE)),
        Span.Event(attributes=attributes(TWICE), dropped_attributes_count=UINT32_MAX),
    ]


def _hard_links() -> list[Span.Link]:
    return [
        Span.Link(trace_id=bytes(16), span_id=bytes(8), flags=UINT32_MAX),
        Span.Link(trace_id=TRACE_A, attributes=attributes(EVERY_VALUE)),
        Span.Link(span_id=SPAN_A, attributes=attributes(TWICE), dropped_attributes_count=UINT32_MAX),
    ]
