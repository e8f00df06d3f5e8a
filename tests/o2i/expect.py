"""Computes the expected rows of a request by the rules of docs/schema.md, from the protobuf messages of the official
`opentelemetry-proto` package. It follows the rules alone and shares no code with the library under test.

A row is a dict of plain values: a time is an int of microseconds, a map a dict, a list of structs a list of dicts.
"""

from __future__ import annotations

import base64
import json
import math

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from .tables import SIGNAL_TABLES


class Arrival:
    """Stands for the request's time of arrival, which a row gets when its record has no time (rule 2)."""

    def __repr__(self) -> str:
        return "<time of arrival>"


ARRIVAL = Arrival()

INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1
LEVELS_MAX = 64

SPAN_KINDS = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
STATUS_CODES = ("Unset", "Ok", "Error")
TEMPORALITIES = ("Unspecified", "Delta", "Cumulative")

Row = dict[str, object]


def signal_of(request) -> str:
    """`logs`, `traces` or `metrics`."""
    match request:
        case ExportLogsServiceRequest():
            return "logs"
        case ExportTraceServiceRequest():
            return "traces"
        case ExportMetricsServiceRequest():
            return "metrics"
    raise TypeError(f"not an OTLP request: {type(request).__name__}")


def rows(request) -> dict[str, list[Row]]:
    """The rows of each table that the request's signal can fill (an empty list for a table without rows)."""
    signal = signal_of(request)
    found: dict[str, list[Row]] = {table: [] for table in SIGNAL_TABLES[signal]}
    {"logs": _logs, "traces": _traces, "metrics": _metrics}[signal](request, found)
    return found


def merge(requests) -> dict[str, list[Row]]:
    """The rows of several requests together."""
    found: dict[str, list[Row]] = {}
    for request in requests:
        for table, more in rows(request).items():
            found.setdefault(table, []).extend(more)
    return found


# --- the three signals -----------------------------------------------------------------------------------------------


def _logs(request, found) -> None:
    for resource_logs in request.resource_logs:
        for scope_logs in resource_logs.scope_logs:
            shared = _shared(resource_logs, scope_logs)
            for record in scope_logs.log_records:
                found["logs"].append(
                    {
                        "Timestamp": _first_time(record.time_unix_nano, record.observed_time_unix_nano),
                        "ObservedTimestamp": _time(record.observed_time_unix_nano),
                        "TraceId": _id(record.trace_id, 16),
                        "SpanId": _id(record.span_id, 8),
                        "TraceFlags": _bits(record.flags),
                        "SeverityText": _text(record.severity_text),
                        "SeverityNumber": record.severity_number,
                        "EventName": _text(record.event_name),
                        "Body": _value_text(record.body),
                        "LogAttributes": _map(record.attributes),
                        "LogDroppedAttributesCount": _dropped(record.dropped_attributes_count),
                        **shared,
                    }
                )


def _traces(request, found) -> None:
    for resource_spans in request.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            shared = _shared(resource_spans, scope_spans)
            for span in scope_spans.spans:
                start, end = span.start_time_unix_nano, span.end_time_unix_nano
                known = 0 < start <= INT64_MAX and 0 < end <= INT64_MAX
                found["traces"].append(
                    {
                        "Timestamp": _first_time(start, end),
                        "Duration": end - start if known else None,
                        "TraceId": _id(span.trace_id, 16),
                        "SpanId": _id(span.span_id, 8),
                        "ParentSpanId": _id(span.parent_span_id, 8),
                        "TraceState": _text(span.trace_state),
                        "TraceFlags": _bits(span.flags),
                        "SpanName": _text(span.name),
                        "SpanKind": _word(span.kind, SPAN_KINDS),
                        "StatusCode": _word(span.status.code, STATUS_CODES),
                        "StatusMessage": _text(span.status.message),
                        "SpanAttributes": _map(span.attributes),
                        "Events": _list(_event(event) for event in span.events),
                        "Links": _list(_link(link) for link in span.links),
                        "SpanDroppedAttributesCount": _dropped(span.dropped_attributes_count),
                        "DroppedEventsCount": _dropped(span.dropped_events_count),
                        "DroppedLinksCount": _dropped(span.dropped_links_count),
                        **shared,
                    }
                )


def _event(event) -> Row:
    return {
        "Timestamp": _time(event.time_unix_nano),
        "Name": _text(event.name),
        "Attributes": _map(event.attributes),
        "DroppedAttributesCount": _dropped(event.dropped_attributes_count),
    }


def _link(link) -> Row:
    return {
        "TraceId": _id(link.trace_id, 16),
        "SpanId": _id(link.span_id, 8),
        "TraceState": _text(link.trace_state),
        "TraceFlags": _bits(link.flags),
        "Attributes": _map(link.attributes),
        "DroppedAttributesCount": _dropped(link.dropped_attributes_count),
    }


def _metrics(request, found) -> None:
    points = {
        "gauge": _number_point,
        "sum": _number_point,
        "histogram": _histogram_point,
        "exponential_histogram": _exponential_histogram_point,
        "summary": _summary_point,
    }
    for resource_metrics in request.resource_metrics:
        for scope_metrics in resource_metrics.scope_metrics:
            shared = _shared(resource_metrics, scope_metrics)
            for metric in scope_metrics.metrics:
                kind = metric.WhichOneof("data")
                if kind is None:
                    continue  # rule 12
                data = getattr(metric, kind)
                of_metric: Row = {
                    "MetricName": _text(metric.name),
                    "MetricDescription": _text(metric.description),
                    "MetricUnit": _text(metric.unit),
                    "MetricMetadata": _map(metric.metadata),
                }
                if kind in ("sum", "histogram", "exponential_histogram"):
                    of_metric["AggregationTemporality"] = _word(data.aggregation_temporality, TEMPORALITIES)
                if kind == "sum":
                    of_metric["IsMonotonic"] = data.is_monotonic
                for point in data.data_points:
                    own = points[kind](point)
                    if own is not None:
                        found[f"metrics_{kind}"].append({**_point(point), **own, **of_metric, **shared})


def _point(point) -> Row:
    common = {
        "TimeUnix": _first_time(point.time_unix_nano),
        "StartTimeUnix": _time(point.start_time_unix_nano),
        "Attributes": _map(point.attributes),
        "Flags": _bits(point.flags),
    }
    if "exemplars" in point.DESCRIPTOR.fields_by_name:
        common["Exemplars"] = _list(_exemplar(exemplar) for exemplar in point.exemplars)
    return common


def _exemplar(exemplar) -> Row:
    return {
        "TimeUnix": _time(exemplar.time_unix_nano),
        **_number(exemplar),
        "SpanId": _id(exemplar.span_id, 8),
        "TraceId": _id(exemplar.trace_id, 16),
        "FilteredAttributes": _map(exemplar.filtered_attributes),
    }


def _number(point) -> Row:
    match point.WhichOneof("value"):
        case "as_int":
            return {"Value": float(point.as_int), "ValueInt": point.as_int}
        case "as_double":
            return {"Value": point.as_double, "ValueInt": None}
    return {"Value": None, "ValueInt": None}


def _number_point(point) -> Row:
    return _number(point)


def _histogram_point(point) -> Row | None:
    counts, bounds = list(point.bucket_counts), list(point.explicit_bounds)
    fits = len(counts) == len(bounds) + 1 or not (counts or bounds)
    if not fits or max([point.count, *counts]) > INT64_MAX:
        return None  # rule 12
    return {
        "Count": point.count,
        **_sum_min_max(point),
        "BucketCounts": _list(counts),
        "ExplicitBounds": _list(bounds),
    }


def _exponential_histogram_point(point) -> Row | None:
    positive, negative = list(point.positive.bucket_counts), list(point.negative.bucket_counts)
    if max([point.count, point.zero_count, *positive, *negative]) > INT64_MAX:
        return None  # rule 12
    return {
        "Count": point.count,
        **_sum_min_max(point),
        "Scale": point.scale,
        "ZeroCount": point.zero_count,
        "ZeroThreshold": point.zero_threshold,
        "PositiveOffset": point.positive.offset,
        "PositiveBucketCounts": _list(positive),
        "NegativeOffset": point.negative.offset,
        "NegativeBucketCounts": _list(negative),
    }


def _sum_min_max(point) -> Row:
    return {
        name.capitalize(): getattr(point, name) if point.HasField(name) else None for name in ("sum", "min", "max")
    }


def _summary_point(point) -> Row | None:
    if point.count > INT64_MAX:
        return None  # rule 12
    return {
        "Count": point.count,
        "Sum": point.sum,
        "ValueAtQuantiles": _list({"Quantile": q.quantile, "Value": q.value} for q in point.quantile_values),
    }


def _shared(of_resource, of_scope) -> Row:
    resource, scope = of_resource.resource, of_scope.scope
    attributes = _map(resource.attributes)
    return {
        "ServiceName": (attributes or {}).get("service.name"),
        "ResourceAttributes": attributes,
        "ResourceSchemaUrl": _text(of_resource.schema_url),
        "ResourceDroppedAttributesCount": _dropped(resource.dropped_attributes_count),
        "ScopeName": _text(scope.name),
        "ScopeVersion": _text(scope.version),
        "ScopeAttributes": _map(scope.attributes),
        "ScopeSchemaUrl": _text(of_scope.schema_url),
        "ScopeDroppedAttributesCount": _dropped(scope.dropped_attributes_count),
    }


# --- the rules for single values -------------------------------------------------------------------------------------


def _text(text: str) -> str | None:
    return text or None


def _list(items) -> list | None:
    return list(items) or None


def _time(nanos: int) -> int | None:
    return nanos // 1000 if 0 < nanos <= INT64_MAX else None


def _first_time(*candidates: int):
    return next((_time(nanos) for nanos in candidates if _time(nanos) is not None), ARRIVAL)


def _id(digits: bytes, length: int) -> str | None:
    return digits.hex() if len(digits) == length and any(digits) else None


def _word(number: int, words) -> str:
    return words[number] if 0 <= number < len(words) else str(number)


def _bits(unsigned: int) -> int:
    return unsigned - 2**32 if unsigned >= 2**31 else unsigned


def _dropped(count: int) -> int:
    return min(count, INT32_MAX)


def _map(attributes) -> dict[str, str | None] | None:
    return {attribute.key: _value_text(attribute.value) for attribute in attributes} or None


def _value_text(value) -> str | None:
    """Rules 5 and 6."""
    kind = value.WhichOneof("value")
    match kind:
        case None:
            return None
        case "string_value":
            return value.string_value
        case "double_value":
            return double_text(value.double_value)
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case "bool_value" | "int_value":
            return json.dumps(getattr(value, kind))
        case "array_value" | "kvlist_value":
            return _json(value, 1)
    raise ValueError(f"{kind} is not part of logs, traces and metrics")


def _json(value, level: int) -> str:
    """The value as compact JSON; `level` is its depth, the attribute's own value being level 1 (rule 7)."""
    if level > LEVELS_MAX:
        return "null"
    match value.WhichOneof("value"):
        case None:
            return "null"
        case "double_value":
            text = double_text(value.double_value)
            return text if math.isfinite(value.double_value) else json.dumps(text)
        case "bytes_value":
            return json.dumps(_value_text(value))
        case "string_value":
            return json.dumps(value.string_value, ensure_ascii=False)
        case "array_value":
            return "[" + ",".join(_json(item, level + 1) for item in value.array_value.values) + "]"
        case "kvlist_value":
            last = {pair.key: _json(pair.value, level + 1) for pair in value.kvlist_value.values}
            return "{" + ",".join(f"{json.dumps(key, ensure_ascii=False)}:{text}" for key, text in last.items()) + "}"
    return _value_text(value)


def double_text(number: float) -> str:
    """The shortest digits that read back as the same double, with a point or an exponent: `1.0`, `1e+300`, `1e-7`."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    digits, exponent_mark, exponent = repr(number).partition("e")
    return f"{digits}e{int(exponent):+d}" if exponent_mark else digits
