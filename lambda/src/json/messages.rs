//! The messages of OTLP 1.x as tables: each field's names in JSON and protobuf, its number and its type.
//!
//! Source: the `.proto` files of opentelemetry-proto. A test compares every field with the messages
//! that prost generates.

use super::enums::{AGGREGATION_TEMPORALITY, EnumNames, SEVERITY_NUMBER, SPAN_KIND, STATUS_CODE};

/// A message.
#[derive(Debug)]
pub(super) struct Message {
    pub name: &'static str,
    pub fields: &'static [Field],
}

/// One field of a message.
#[derive(Debug)]
pub(super) struct Field {
    /// The name in OTLP/JSON, in lowerCamelCase.
    pub json: &'static str,
    /// The name in the `.proto` file, which protobuf's JSON readers also accept.
    pub proto: &'static str,
    pub number: u32,
    pub kind: Kind,
}

/// How a field is read and written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    One(&'static Message),
    Many(&'static Message),
    /// A number or a text; zero is omitted.
    Scalar(Scalar),
    /// The same with presence (`optional`, or in a `oneof`): zero is a value.
    Present(Scalar),
    /// A packed list of numbers.
    Packed(Scalar),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Scalar {
    Text,
    /// An id of so many bytes. Hex in OTLP/JSON, unlike other bytes.
    Id(usize),
    Base64,
    Bool,
    Double,
    /// `uint32`
    U32,
    /// `fixed32`
    Fixed32,
    /// `sint32`
    Sint32,
    /// `int64` in a `oneof`. A number beyond its range goes to the text field `text` there, as its digits.
    I64 {
        text: u32,
    },
    /// `sfixed64` in a `oneof`. A number beyond its range goes to the field `double` there.
    Sfixed64 {
        double: u32,
    },
    /// `uint64`
    U64,
    /// `fixed64`
    Fixed64,
    Enum(&'static EnumNames),
}

impl Message {
    pub(super) fn field(&self, key: &str) -> Option<&'static Field> {
        self.fields
            .iter()
            .find(|field| field.json == key || field.proto == key)
    }
}

macro_rules! message {
    ($static:ident, $name:literal, $($number:literal $json:literal $proto:literal $kind:expr;)*) => {
        pub(super) static $static: Message = Message {
            name: $name,
            fields: &[$(Field { json: $json, proto: $proto, number: $number, kind: $kind },)*],
        };
    };
}

use Kind::{Many, One, Packed, Present, Scalar as Plain};
use Scalar::{Base64, Bool, Double, Enum, Fixed32, Fixed64, I64, Id, Sfixed64, Sint32, Text, U32, U64};

/// Bytes of a trace's id.
const TRACE_ID: usize = 16;
/// Bytes of a span's id.
const SPAN_ID: usize = 8;

message! { RESOURCE_LOGS, "ResourceLogs",
    1 "resource" "resource" One(&RESOURCE);
    2 "scopeLogs" "scope_logs" Many(&SCOPE_LOGS);
    3 "schemaUrl" "schema_url" Plain(Text);
    1000 "instrumentationLibraryLogs" "instrumentation_library_logs" Many(&LIBRARY_LOGS);
}

message! { SCOPE_LOGS, "ScopeLogs",
    1 "scope" "scope" One(&SCOPE);
    2 "logRecords" "log_records" Many(&LOG_RECORD);
    3 "schemaUrl" "schema_url" Plain(Text);
}

message! { LOG_RECORD, "LogRecord",
    1 "timeUnixNano" "time_unix_nano" Plain(Fixed64);
    11 "observedTimeUnixNano" "observed_time_unix_nano" Plain(Fixed64);
    2 "severityNumber" "severity_number" Plain(Enum(&SEVERITY_NUMBER));
    3 "severityText" "severity_text" Plain(Text);
    5 "body" "body" One(&ANY_VALUE);
    6 "attributes" "attributes" Many(&KEY_VALUE);
    7 "droppedAttributesCount" "dropped_attributes_count" Plain(U32);
    8 "flags" "flags" Plain(Fixed32);
    9 "traceId" "trace_id" Plain(Id(TRACE_ID));
    10 "spanId" "span_id" Plain(Id(SPAN_ID));
    12 "eventName" "event_name" Plain(Text);
}

message! { RESOURCE_SPANS, "ResourceSpans",
    1 "resource" "resource" One(&RESOURCE);
    2 "scopeSpans" "scope_spans" Many(&SCOPE_SPANS);
    3 "schemaUrl" "schema_url" Plain(Text);
    1000 "instrumentationLibrarySpans" "instrumentation_library_spans" Many(&LIBRARY_SPANS);
}

message! { SCOPE_SPANS, "ScopeSpans",
    1 "scope" "scope" One(&SCOPE);
    2 "spans" "spans" Many(&SPAN);
    3 "schemaUrl" "schema_url" Plain(Text);
}

message! { SPAN, "Span",
    1 "traceId" "trace_id" Plain(Id(TRACE_ID));
    2 "spanId" "span_id" Plain(Id(SPAN_ID));
    3 "traceState" "trace_state" Plain(Text);
    4 "parentSpanId" "parent_span_id" Plain(Id(SPAN_ID));
    16 "flags" "flags" Plain(Fixed32);
    5 "name" "name" Plain(Text);
    6 "kind" "kind" Plain(Enum(&SPAN_KIND));
    7 "startTimeUnixNano" "start_time_unix_nano" Plain(Fixed64);
    8 "endTimeUnixNano" "end_time_unix_nano" Plain(Fixed64);
    9 "attributes" "attributes" Many(&KEY_VALUE);
    10 "droppedAttributesCount" "dropped_attributes_count" Plain(U32);
    11 "events" "events" Many(&EVENT);
    12 "droppedEventsCount" "dropped_events_count" Plain(U32);
    13 "links" "links" Many(&LINK);
    14 "droppedLinksCount" "dropped_links_count" Plain(U32);
    15 "status" "status" One(&STATUS);
}

message! { EVENT, "Span.Event",
    1 "timeUnixNano" "time_unix_nano" Plain(Fixed64);
    2 "name" "name" Plain(Text);
    3 "attributes" "attributes" Many(&KEY_VALUE);
    4 "droppedAttributesCount" "dropped_attributes_count" Plain(U32);
}

message! { LINK, "Span.Link",
    1 "traceId" "trace_id" Plain(Id(TRACE_ID));
    2 "spanId" "span_id" Plain(Id(SPAN_ID));
    3 "traceState" "trace_state" Plain(Text);
    4 "attributes" "attributes" Many(&KEY_VALUE);
    5 "droppedAttributesCount" "dropped_attributes_count" Plain(U32);
    6 "flags" "flags" Plain(Fixed32);
}

message! { STATUS, "Status",
    2 "message" "message" Plain(Text);
    3 "code" "code" Plain(Enum(&STATUS_CODE));
}

message! { RESOURCE_METRICS, "ResourceMetrics",
    1 "resource" "resource" One(&RESOURCE);
    2 "scopeMetrics" "scope_metrics" Many(&SCOPE_METRICS);
    3 "schemaUrl" "schema_url" Plain(Text);
    1000 "instrumentationLibraryMetrics" "instrumentation_library_metrics" Many(&LIBRARY_METRICS);
}

message! { SCOPE_METRICS, "ScopeMetrics",
    1 "scope" "scope" One(&SCOPE);
    2 "metrics" "metrics" Many(&METRIC);
    3 "schemaUrl" "schema_url" Plain(Text);
}

message! { METRIC, "Metric",
    1 "name" "name" Plain(Text);
    2 "description" "description" Plain(Text);
    3 "unit" "unit" Plain(Text);
    5 "gauge" "gauge" One(&GAUGE);
    7 "sum" "sum" One(&SUM);
    9 "histogram" "histogram" One(&HISTOGRAM);
    10 "exponentialHistogram" "exponential_histogram" One(&EXPONENTIAL_HISTOGRAM);
    11 "summary" "summary" One(&SUMMARY);
    12 "metadata" "metadata" Many(&KEY_VALUE);
}

message! { GAUGE, "Gauge",
    1 "dataPoints" "data_points" Many(&NUMBER_POINT);
}

message! { SUM, "Sum",
    1 "dataPoints" "data_points" Many(&NUMBER_POINT);
    2 "aggregationTemporality" "aggregation_temporality" Plain(Enum(&AGGREGATION_TEMPORALITY));
    3 "isMonotonic" "is_monotonic" Plain(Bool);
}

message! { HISTOGRAM, "Histogram",
    1 "dataPoints" "data_points" Many(&HISTOGRAM_POINT);
    2 "aggregationTemporality" "aggregation_temporality" Plain(Enum(&AGGREGATION_TEMPORALITY));
}

message! { EXPONENTIAL_HISTOGRAM, "ExponentialHistogram",
    1 "dataPoints" "data_points" Many(&EXPONENTIAL_HISTOGRAM_POINT);
    2 "aggregationTemporality" "aggregation_temporality" Plain(Enum(&AGGREGATION_TEMPORALITY));
}

message! { SUMMARY, "Summary",
    1 "dataPoints" "data_points" Many(&SUMMARY_POINT);
}

message! { NUMBER_POINT, "NumberDataPoint",
    2 "startTimeUnixNano" "start_time_unix_nano" Plain(Fixed64);
    3 "timeUnixNano" "time_unix_nano" Plain(Fixed64);
    4 "asDouble" "as_double" Present(Double);
    6 "asInt" "as_int" Present(Sfixed64 { double: 4 });
    5 "exemplars" "exemplars" Many(&EXEMPLAR);
    7 "attributes" "attributes" Many(&KEY_VALUE);
    8 "flags" "flags" Plain(U32);
}

message! { HISTOGRAM_POINT, "HistogramDataPoint",
    2 "startTimeUnixNano" "start_time_unix_nano" Plain(Fixed64);
    3 "timeUnixNano" "time_unix_nano" Plain(Fixed64);
    4 "count" "count" Plain(Fixed64);
    5 "sum" "sum" Present(Double);
    6 "bucketCounts" "bucket_counts" Packed(Fixed64);
    7 "explicitBounds" "explicit_bounds" Packed(Double);
    8 "exemplars" "exemplars" Many(&EXEMPLAR);
    9 "attributes" "attributes" Many(&KEY_VALUE);
    10 "flags" "flags" Plain(U32);
    11 "min" "min" Present(Double);
    12 "max" "max" Present(Double);
}

message! { EXPONENTIAL_HISTOGRAM_POINT, "ExponentialHistogramDataPoint",
    1 "attributes" "attributes" Many(&KEY_VALUE);
    2 "startTimeUnixNano" "start_time_unix_nano" Plain(Fixed64);
    3 "timeUnixNano" "time_unix_nano" Plain(Fixed64);
    4 "count" "count" Plain(Fixed64);
    5 "sum" "sum" Present(Double);
    6 "scale" "scale" Plain(Sint32);
    7 "zeroCount" "zero_count" Plain(Fixed64);
    8 "positive" "positive" One(&BUCKETS);
    9 "negative" "negative" One(&BUCKETS);
    10 "flags" "flags" Plain(U32);
    11 "exemplars" "exemplars" Many(&EXEMPLAR);
    12 "min" "min" Present(Double);
    13 "max" "max" Present(Double);
    14 "zeroThreshold" "zero_threshold" Plain(Double);
}

message! { BUCKETS, "ExponentialHistogramDataPoint.Buckets",
    1 "offset" "offset" Plain(Sint32);
    2 "bucketCounts" "bucket_counts" Packed(U64);
}

message! { SUMMARY_POINT, "SummaryDataPoint",
    2 "startTimeUnixNano" "start_time_unix_nano" Plain(Fixed64);
    3 "timeUnixNano" "time_unix_nano" Plain(Fixed64);
    4 "count" "count" Plain(Fixed64);
    5 "sum" "sum" Plain(Double);
    6 "quantileValues" "quantile_values" Many(&VALUE_AT_QUANTILE);
    7 "attributes" "attributes" Many(&KEY_VALUE);
    8 "flags" "flags" Plain(U32);
}

message! { VALUE_AT_QUANTILE, "SummaryDataPoint.ValueAtQuantile",
    1 "quantile" "quantile" Plain(Double);
    2 "value" "value" Plain(Double);
}

message! { EXEMPLAR, "Exemplar",
    7 "filteredAttributes" "filtered_attributes" Many(&KEY_VALUE);
    2 "timeUnixNano" "time_unix_nano" Plain(Fixed64);
    3 "asDouble" "as_double" Present(Double);
    6 "asInt" "as_int" Present(Sfixed64 { double: 3 });
    4 "spanId" "span_id" Plain(Id(SPAN_ID));
    5 "traceId" "trace_id" Plain(Id(TRACE_ID));
}

message! { RESOURCE, "Resource",
    1 "attributes" "attributes" Many(&KEY_VALUE);
    2 "droppedAttributesCount" "dropped_attributes_count" Plain(U32);
}

message! { SCOPE, "InstrumentationScope",
    1 "name" "name" Plain(Text);
    2 "version" "version" Plain(Text);
    3 "attributes" "attributes" Many(&KEY_VALUE);
    4 "droppedAttributesCount" "dropped_attributes_count" Plain(U32);
}

message! { KEY_VALUE, "KeyValue",
    1 "key" "key" Plain(Text);
    2 "value" "value" One(&ANY_VALUE);
}

message! { ANY_VALUE, "AnyValue",
    1 "stringValue" "string_value" Present(Text);
    2 "boolValue" "bool_value" Present(Bool);
    3 "intValue" "int_value" Present(I64 { text: 1 });
    4 "doubleValue" "double_value" Present(Double);
    5 "arrayValue" "array_value" One(&ARRAY_VALUE);
    6 "kvlistValue" "kvlist_value" One(&KEY_VALUE_LIST);
    7 "bytesValue" "bytes_value" Present(Base64);
}

message! { ARRAY_VALUE, "ArrayValue",
    1 "values" "values" Many(&ANY_VALUE);
}

message! { KEY_VALUE_LIST, "KeyValueList",
    1 "values" "values" Many(&KEY_VALUE);
}

// Scopes before OTLP 0.15. The library reads field 1000 if there is no field 2, so a sender may write both.

message! { LIBRARY_LOGS, "InstrumentationLibraryLogs",
    1 "instrumentationLibrary" "instrumentation_library" One(&SCOPE);
    2 "logRecords" "log_records" Many(&LOG_RECORD);
    // The earlier name of these.
    2 "logs" "logs" Many(&LOG_RECORD);
    3 "schemaUrl" "schema_url" Plain(Text);
}

message! { LIBRARY_SPANS, "InstrumentationLibrarySpans",
    1 "instrumentationLibrary" "instrumentation_library" One(&SCOPE);
    2 "spans" "spans" Many(&SPAN);
    3 "schemaUrl" "schema_url" Plain(Text);
}

message! { LIBRARY_METRICS, "InstrumentationLibraryMetrics",
    1 "instrumentationLibrary" "instrumentation_library" One(&SCOPE);
    2 "metrics" "metrics" Many(&METRIC);
    3 "schemaUrl" "schema_url" Plain(Text);
}
