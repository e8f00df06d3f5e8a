//! The columns of each table, in order.

use super::ColumnType::{
    Attributes, Boolean, Double, Int, Label, List, Long, SharedAttributes, Struct, Text, Timestamp,
};
use super::{AttributeColumn, Column, ColumnType};
use crate::signal::Table;

const fn optional(name: &'static str, column_type: ColumnType) -> Column<'static> {
    Column {
        name,
        column_type,
        required: false,
    }
}

const fn required(name: &'static str, column_type: ColumnType) -> Column<'static> {
    Column {
        name,
        column_type,
        required: true,
    }
}

/// Columns of every table: the resource (resource/v1/resource.proto) and the scope (common/v1/common.proto).
const SHARED: &[Column<'static>] = &[
    optional("ServiceName", Label),
    optional("ResourceAttributes", SharedAttributes),
    optional("ResourceSchemaUrl", Label),
    optional("ResourceDroppedAttributesCount", Int),
    optional("ScopeName", Label),
    optional("ScopeVersion", Label),
    optional("ScopeAttributes", SharedAttributes),
    optional("ScopeSchemaUrl", Label),
    optional("ScopeDroppedAttributesCount", Int),
];

/// `LogRecord`, logs/v1/logs.proto.
const LOGS: &[Column<'static>] = &[
    required("Timestamp", Timestamp),
    optional("ObservedTimestamp", Timestamp),
    optional("TraceId", Text),
    optional("SpanId", Text),
    optional("TraceFlags", Int),
    optional("SeverityText", Label),
    optional("SeverityNumber", Int),
    optional("EventName", Label),
    optional("Body", Text),
    optional("LogAttributes", Attributes),
    optional("LogDroppedAttributesCount", Int),
];

/// `Span.Event`, trace/v1/trace.proto.
const EVENT: &[Column<'static>] = &[
    optional("Timestamp", Timestamp),
    optional("Name", Text),
    optional("Attributes", Attributes),
    optional("DroppedAttributesCount", Int),
];

/// `Span.Link`, trace/v1/trace.proto.
const LINK: &[Column<'static>] = &[
    optional("TraceId", Text),
    optional("SpanId", Text),
    optional("TraceState", Text),
    optional("TraceFlags", Int),
    optional("Attributes", Attributes),
    optional("DroppedAttributesCount", Int),
];

/// `Span`, trace/v1/trace.proto.
const TRACES: &[Column<'static>] = &[
    required("Timestamp", Timestamp),
    optional("Duration", Long),
    optional("TraceId", Text),
    optional("SpanId", Text),
    optional("ParentSpanId", Text),
    optional("TraceState", Text),
    optional("TraceFlags", Int),
    optional("SpanName", Label),
    optional("SpanKind", Label),
    optional("StatusCode", Label),
    optional("StatusMessage", Text),
    optional("SpanAttributes", Attributes),
    optional("Events", List(&Struct(EVENT))),
    optional("Links", List(&Struct(LINK))),
    optional("SpanDroppedAttributesCount", Int),
    optional("DroppedEventsCount", Int),
    optional("DroppedLinksCount", Int),
];

/// The fields of all data points and of their `Metric` (metrics/v1/metrics.proto).
const POINT: &[Column<'static>] = &[
    required("TimeUnix", Timestamp),
    optional("StartTimeUnix", Timestamp),
    optional("MetricName", Label),
    optional("MetricDescription", Label),
    optional("MetricUnit", Label),
    optional("MetricMetadata", SharedAttributes),
    optional("Attributes", SharedAttributes),
    optional("Flags", Int),
];

/// `Exemplar`, metrics/v1/metrics.proto.
const EXEMPLAR: &[Column<'static>] = &[
    optional("TimeUnix", Timestamp),
    optional("Value", Double),
    optional("ValueInt", Long),
    optional("SpanId", Text),
    optional("TraceId", Text),
    optional("FilteredAttributes", Attributes),
];

const EXEMPLARS: &[Column<'static>] = &[optional("Exemplars", List(&Struct(EXEMPLAR)))];

/// `NumberDataPoint`, metrics/v1/metrics.proto.
const NUMBER: &[Column<'static>] = &[optional("Value", Double), optional("ValueInt", Long)];

const SUM: &[Column<'static>] = &[
    optional("AggregationTemporality", Label),
    optional("IsMonotonic", Boolean),
];

/// `HistogramDataPoint`, metrics/v1/metrics.proto.
const HISTOGRAM: &[Column<'static>] = &[
    optional("Count", Long),
    optional("Sum", Double),
    optional("Min", Double),
    optional("Max", Double),
    optional("BucketCounts", List(&Long)),
    optional("ExplicitBounds", List(&Double)),
    optional("AggregationTemporality", Label),
];

/// `ExponentialHistogramDataPoint`, metrics/v1/metrics.proto.
const EXPONENTIAL_HISTOGRAM: &[Column<'static>] = &[
    optional("Count", Long),
    optional("Sum", Double),
    optional("Min", Double),
    optional("Max", Double),
    optional("Scale", Int),
    optional("ZeroCount", Long),
    optional("ZeroThreshold", Double),
    optional("PositiveOffset", Int),
    optional("PositiveBucketCounts", List(&Long)),
    optional("NegativeOffset", Int),
    optional("NegativeBucketCounts", List(&Long)),
    optional("AggregationTemporality", Label),
];

/// `SummaryDataPoint.ValueAtQuantile`, metrics/v1/metrics.proto.
const VALUE_AT_QUANTILE: &[Column<'static>] = &[optional("Quantile", Double), optional("Value", Double)];

const SUMMARY: &[Column<'static>] = &[
    optional("Count", Long),
    optional("Sum", Double),
    optional("ValueAtQuantiles", List(&Struct(VALUE_AT_QUANTILE))),
];

/// The columns of a table, in order: its own, those of the resource and scope, then those of single
/// attributes.
#[must_use]
pub fn columns(table: Table, attributes: &[AttributeColumn]) -> Vec<Column<'_>> {
    let own: &[&[Column<'static>]] = match table {
        Table::Logs => &[LOGS],
        Table::Traces => &[TRACES],
        Table::Gauge => &[POINT, NUMBER, EXEMPLARS],
        Table::Sum => &[POINT, NUMBER, SUM, EXEMPLARS],
        Table::Histogram => &[POINT, HISTOGRAM, EXEMPLARS],
        Table::ExponentialHistogram => &[POINT, EXPONENTIAL_HISTOGRAM, EXEMPLARS],
        Table::Summary => &[POINT, SUMMARY],
    };
    let own = own.iter().copied().chain([SHARED]).flatten().copied();
    own.chain(attributes.iter().map(|column| column.column(table)))
        .collect()
}

/// The required time that partitions the table.
#[must_use]
pub const fn time_column(table: Table) -> &'static str {
    match table {
        Table::Logs | Table::Traces => "Timestamp",
        _ => "TimeUnix",
    }
}

/// The table's sort order: ascending, nulls first.
#[must_use]
pub const fn sort_columns(table: Table) -> &'static [&'static str] {
    match table {
        Table::Logs | Table::Traces => &["ServiceName", "Timestamp"],
        _ => &["ServiceName", "MetricName", "TimeUnix"],
    }
}
