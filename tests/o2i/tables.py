"""The seven tables of docs/schema.md, written by hand, so that the expected schema does not come from the code under
test."""

from __future__ import annotations

NAMESPACE = "otel"

SHARED = {
    "ServiceName": "string",
    "ResourceAttributes": "map",
    "ResourceSchemaUrl": "string",
    "ResourceDroppedAttributesCount": "int",
    "ScopeName": "string",
    "ScopeVersion": "string",
    "ScopeAttributes": "map",
    "ScopeSchemaUrl": "string",
    "ScopeDroppedAttributesCount": "int",
}

POINT = {
    "TimeUnix": "timestamptz",
    "StartTimeUnix": "timestamptz",
    "MetricName": "string",
    "MetricDescription": "string",
    "MetricUnit": "string",
    "MetricMetadata": "map",
    "Attributes": "map",
    "Flags": "int",
}

EXEMPLARS = {
    "Exemplars": [
        {
            "TimeUnix": "timestamptz",
            "Value": "double",
            "ValueInt": "long",
            "SpanId": "string",
            "TraceId": "string",
            "FilteredAttributes": "map",
        }
    ]
}

# A column's type is its Iceberg name ("map" is map<string, string>), `[type]` for a list, a dict for a struct.
TABLES: dict[str, dict] = {
    "logs": {
        "Timestamp": "timestamptz",
        "ObservedTimestamp": "timestamptz",
        "TraceId": "string",
        "SpanId": "string",
        "TraceFlags": "int",
        "SeverityText": "string",
        "SeverityNumber": "int",
        "EventName": "string",
        "Body": "string",
        "LogAttributes": "map",
        "LogDroppedAttributesCount": "int",
        **SHARED,
    },
    "traces": {
        "Timestamp": "timestamptz",
        "Duration": "long",
        "TraceId": "string",
        "SpanId": "string",
        "ParentSpanId": "string",
        "TraceState": "string",
        "TraceFlags": "int",
        "SpanName": "string",
        "SpanKind": "string",
        "StatusCode": "string",
        "StatusMessage": "string",
        "SpanAttributes": "map",
        "Events": [
            {
                "Timestamp": "timestamptz",
                "Name": "string",
                "Attributes": "map",
                "DroppedAttributesCount": "int",
            }
        ],
        "Links": [
            {
                "TraceId": "string",
                "SpanId": "string",
                "TraceState": "string",
                "TraceFlags": "int",
                "Attributes": "map",
                "DroppedAttributesCount": "int",
            }
        ],
        "SpanDroppedAttributesCount": "int",
        "DroppedEventsCount": "int",
        "DroppedLinksCount": "int",
        **SHARED,
    },
    "metrics_gauge": {**POINT, "Value": "double", "ValueInt": "long", **EXEMPLARS, **SHARED},
    "metrics_sum": {
        **POINT,
        "Value": "double",
        "ValueInt": "long",
        "AggregationTemporality": "string",
        "IsMonotonic": "boolean",
        **EXEMPLARS,
        **SHARED,
    },
    "metrics_histogram": {
        **POINT,
        "Count": "long",
        "Sum": "double",
        "Min": "double",
        "Max": "double",
        "BucketCounts": ["long"],
        "ExplicitBounds": ["double"],
        "AggregationTemporality": "string",
        **EXEMPLARS,
        **SHARED,
    },
    "metrics_exponential_histogram": {
        **POINT,
        "Count": "long",
        "Sum": "double",
        "Min": "double",
        "Max": "double",
        "Scale": "int",
        "ZeroCount": "long",
        "ZeroThreshold": "double",
        "PositiveOffset": "int",
        "PositiveBucketCounts": ["long"],
        "NegativeOffset": "int",
        "NegativeBucketCounts": ["long"],
        "AggregationTemporality": "string",
        **EXEMPLARS,
        **SHARED,
    },
    "metrics_summary": {
        **POINT,
        "Count": "long",
        "Sum": "double",
        "ValueAtQuantiles": [{"Quantile": "double", "Value": "double"}],
        **SHARED,
    },
}

TIME_COLUMN = {table: "Timestamp" if table in ("logs", "traces") else "TimeUnix" for table in TABLES}

SORT_COLUMNS = {
    table: ("ServiceName", "Timestamp") if table in ("logs", "traces") else ("ServiceName", "MetricName", "TimeUnix")
    for table in TABLES
}



def in_lower_case(table: str, row: dict) -> dict:
    """A row of a table whose column names are in lower case, also those in structs. Keys of maps stay as they are."""
    return _struct_in_lower_case(row, TABLES[table])


def _struct_in_lower_case(row: dict, kinds: dict) -> dict:
    return {name.lower(): _in_lower_case(value, kinds.get(name)) for name, value in row.items()}


def _in_lower_case(value, kind):
    match kind:
        case [dict() as fields] if value is not None:
            return [_struct_in_lower_case(one, fields) for one in value]
    return value


# The tables that a request of each signal can fill.
SIGNAL_TABLES = {
    "logs": ("logs",),
    "traces": ("traces",),
    "metrics": tuple(table for table in TABLES if table.startswith("metrics_")),
}
