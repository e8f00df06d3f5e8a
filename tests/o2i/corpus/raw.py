"""Requests that no protobuf library writes, built byte by byte, with their expected rows written by hand."""

from __future__ import annotations

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Histogram, HistogramDataPoint, Metric, ResourceMetrics, ScopeMetrics

from .. import expect
from ..expect import Row
from .build import SPAN_A, T0, TRACE_A, TRACE_B, field, nested_array, one_log, value, varint

# Field numbers of LogRecord, logs/v1/logs.proto.
SEVERITY_TEXT, BODY, ATTRIBUTES, TRACE_ID, SPAN_ID = 3, 5, 6, 9, 10
# Field numbers of AnyValue, common/v1/common.proto.
STRING_VALUE, INT_VALUE, KVLIST_VALUE = 1, 3, 6

TIME = LogRecord(time_unix_nano=T0).SerializeToString()
INNERMOST = value("x").SerializeToString()


def nesting() -> tuple[bytes, list[Row]]:
    """Values nested to the limit of 64 levels and beyond (rule 7)."""
    arrays = {
        "array at level 64": (63, '["x"]'),
        "array at level 65": (64, "[null]"),
        "array at level 66": (65, "[null]"),
        "array at level 500": (499, "[null]"),
    }
    payload, rows = b"", []
    for name, (levels, innermost) in arrays.items():
        outer = min(levels, 64) - 1
        add_payload, add_row = _log(name, field(BODY, 2, nested_array(levels, INNERMOST)))
        payload += add_payload
        rows.append({**add_row, "Body": "[" * outer + innermost + "]" * outer})
    for name, levels, innermost in (("kvlist at level 64", 63, '"x"'), ("kvlist at level 65", 64, "null")):
        attribute = field(1, 2, b"deep") + field(2, 2, _nested_kvlist(levels))
        add_payload, add_row = _log(name, field(ATTRIBUTES, 2, attribute))
        payload += add_payload
        rows.append({**add_row, "LogAttributes": {"deep": '{"k":' * levels + innermost + "}" * levels}})
    return payload, rows


def invalid_utf8() -> tuple[bytes, list[Row]]:
    """Text with bytes that are not UTF-8: each ill-formed sequence becomes U+FFFD (rule 8)."""
    cases = {
        "body": (field(BODY, 2, field(STRING_VALUE, 2, b"caf\xe9 ok")), {"Body": "caf\ufffd ok"}),
        "cut sequence": (field(BODY, 2, field(STRING_VALUE, 2, b"\xe4\xb8 \xf0\x9f\x8c")), {"Body": "\ufffd \ufffd"}),
        "surrogate": (field(BODY, 2, field(STRING_VALUE, 2, b"\xed\xa0\x80")), {"Body": "\ufffd" * 3}),
        "overlong": (field(BODY, 2, field(STRING_VALUE, 2, b"\xc0\xaf")), {"Body": "\ufffd" * 2}),
        "severity text": (field(SEVERITY_TEXT, 2, b"\xffERROR"), {"SeverityText": "\ufffdERROR"}),
        "attribute": (
            field(ATTRIBUTES, 2, field(1, 2, b"k\x80") + field(2, 2, field(STRING_VALUE, 2, b"v\x80"))),
            {"LogAttributes": {"k\ufffd": "v\ufffd"}},
        ),
    }
    return _logs(cases)


def invalid_ids() -> tuple[bytes, list[Row]]:
    """Ids of a wrong length become null (rule 4). The Collector's receiver refuses these; the library must not."""
    cases = {
        "trace id of 15 bytes": (field(TRACE_ID, 2, b"\x01" * 15) + field(SPAN_ID, 2, SPAN_A), {"SpanId": SPAN_A.hex()}),
        "trace id of 17 bytes": (field(TRACE_ID, 2, b"\x01" * 17), {}),
        "span id of 16 bytes": (field(TRACE_ID, 2, TRACE_A) + field(SPAN_ID, 2, TRACE_A), {"TraceId": TRACE_A.hex()}),
        "ids of no bytes": (field(TRACE_ID, 2, b"") + field(SPAN_ID, 2, b""), {}),
    }
    return _logs(cases)


def wire_variants() -> tuple[bytes, list[Row]]:
    """Valid protobuf that encoders rarely write: unknown fields, fields given twice, overlong varints."""
    unknown = field(1000, 0, varint(2**64 - 1)) + field(1001, 1, bytes(8)) + field(1002, 2, b"??") + field(1003, 5, bytes(4))
    body = field(BODY, 2, field(STRING_VALUE, 2, b"text"))
    cases = {
        "unknown fields": (unknown + body + unknown, {"Body": "text"}),
        "trace id twice": (field(TRACE_ID, 2, TRACE_A) + field(TRACE_ID, 2, TRACE_B), {"TraceId": TRACE_B.hex()}),
        "severity text twice": (field(SEVERITY_TEXT, 2, b"first") + field(SEVERITY_TEXT, 2, b"last"), {"SeverityText": "last"}),
        "value set twice": (
            field(BODY, 2, field(STRING_VALUE, 2, b"first") + field(INT_VALUE, 0, varint(7))),
            {"Body": "7"},
        ),
        "overlong varint": (varint(2 << 3) + b"\x91\x80\x80\x00", {"SeverityNumber": 17}),
    }
    return _logs(cases)


def unpacked() -> tuple[bytes, list[Row]]:
    """A histogram whose bucket counts and bounds are not packed, or packed in several pieces."""
    counts = [number.to_bytes(8, "little") for number in (1, 2, 3)]
    zero, one = bytes(8), bytes.fromhex("000000000000f03f")
    variants = {
        "unpacked": b"".join(field(6, 1, count) for count in counts) + field(7, 1, zero) + field(7, 1, one),
        "packed in pieces": field(6, 2, counts[0] + counts[1]) + field(6, 2, counts[2]) + field(7, 2, zero) + field(7, 2, one),
        "both ways": field(6, 1, counts[0]) + field(6, 2, counts[1] + counts[2]) + field(7, 2, zero) + field(7, 1, one),
    }
    payload, rows = b"", []
    for name, extra in variants.items():
        point = HistogramDataPoint(time_unix_nano=T0, count=6)
        metric = Metric(name=name, histogram=Histogram(aggregation_temporality=2))
        request = ExportMetricsServiceRequest(resource_metrics=[ResourceMetrics(scope_metrics=[ScopeMetrics(metrics=[metric])])])
        of_histogram = field(1, 2, point.SerializeToString() + extra) + metric.histogram.SerializeToString()
        of_metric = field(1, 2, name.encode()) + field(9, 2, of_histogram)
        payload += field(1, 2, field(2, 2, field(2, 2, of_metric)))
        metric.histogram.data_points.append(point)
        metric.histogram.data_points[0].MergeFrom(HistogramDataPoint(bucket_counts=[1, 2, 3], explicit_bounds=[0.0, 1.0]))
        request.resource_metrics[0].scope_metrics[0].metrics[0].CopyFrom(metric)
        rows += expect.rows(request)["metrics_histogram"]
    return payload, rows


def malformed() -> dict[str, tuple[bytes, str]]:
    """Requests that must be refused as a whole (rule 13), with the path of the first bad field."""
    record = "resource_logs[0].scope_logs[0].log_records[0]"
    whole = one_log(TIME + field(BODY, 2, INNERMOST), "cut")
    return {
        "truncated": (whole[:-3], "resource_logs[0]"),
        "length_beyond_end": (field(1, 2, b"")[:-1] + varint(2**31), "resource_logs[0]"),
        "wrong_wire_type": (_payload("wrong", field(BODY, 0, b"\x01")), f"{record}.body"),
        "group": (_payload("group", varint(BODY << 3 | 3) + varint(BODY << 3 | 4)), f"{record}.body"),
        "field_number_zero": (_payload("zero", b"\x02\x00"), record),
        "endless_varint": (_payload("varint", varint(2 << 3) + b"\xff" * 11), f"{record}.severity_number"),
    }


def nested_beyond_reason(levels: int = 100_000) -> bytes:
    """One log whose body is 100,000 nested arrays. It is built on demand because it is too large to store."""
    tags: list[bytes] = []
    length = len(INNERMOST)
    for _ in range(levels):
        for number in (1, 5):
            tag = varint(number << 3 | 2) + varint(length)
            tags.append(tag)
            length += len(tag)
    return _payload("nested beyond reason", field(BODY, 2, b"".join(reversed(tags)) + INNERMOST))


def row(name: str) -> Row:
    """The row of a raw log record that has only a time."""
    request = ExportLogsServiceRequest.FromString(one_log(TIME, name))
    return expect.rows(request)["logs"][0]


def _logs(cases: dict[str, tuple[bytes, Row]]) -> tuple[bytes, list[Row]]:
    payload, rows = b"", []
    for name, (extra, columns) in cases.items():
        payload += _payload(name, extra)
        rows.append({**row(name), **columns})
    return payload, rows


def _log(name: str, extra: bytes) -> tuple[bytes, Row]:
    return _payload(name, extra), row(name)


def _payload(name: str, extra: bytes) -> bytes:
    return one_log(TIME + extra, name)


def _nested_kvlist(levels: int) -> bytes:
    content = INNERMOST
    for _ in range(levels):
        pair = field(1, 2, b"k") + field(2, 2, content)
        content = field(KVLIST_VALUE, 2, field(1, 2, pair))
    return content
