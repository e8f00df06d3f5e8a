//! Small requests with every field of every message set, and two elements in the innermost lists.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
    exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
    summary_data_point::ValueAtQuantile,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span, Status,
    span::{Event, Link},
};
use otlp2iceberg::signal::Signal;
use prost::Message;

const TIME: u64 = 1_700_000_000_123_456_789;

/// The serialized sample of a signal.
pub fn sample(signal: Signal) -> Vec<u8> {
    match signal {
        Signal::Logs => logs().encode_to_vec(),
        Signal::Traces => traces().encode_to_vec(),
        Signal::Metrics => metrics().encode_to_vec(),
    }
}

/// Logs whose attributes and bodies hold every type of value.
pub fn logs() -> ExportLogsServiceRequest {
    let scope_logs = ScopeLogs {
        scope: Some(scope()),
        log_records: vec![log_record(); 2],
        schema_url: "https://example.com/scope".to_owned(),
    };
    let resource_logs = ResourceLogs {
        resource: Some(resource()),
        scope_logs: vec![scope_logs],
        schema_url: "https://example.com/resource".to_owned(),
    };
    ExportLogsServiceRequest {
        resource_logs: vec![resource_logs],
    }
}

fn log_record() -> LogRecord {
    LogRecord {
        time_unix_nano: TIME,
        observed_time_unix_nano: TIME + 1,
        severity_number: 17,
        severity_text: "ERROR".to_owned(),
        body: Some(value(Value::KvlistValue(KeyValueList { values: attributes() }))),
        attributes: few_attributes(),
        dropped_attributes_count: 300,
        flags: 1,
        trace_id: (1..=16).collect(),
        span_id: (1..=8).collect(),
        event_name: "event".to_owned(),
    }
}

/// Spans with events, links and a status.
pub fn traces() -> ExportTraceServiceRequest {
    let scope_spans = ScopeSpans {
        scope: Some(scope()),
        spans: vec![span()],
        schema_url: "https://example.com/scope".to_owned(),
    };
    let resource_spans = ResourceSpans {
        resource: Some(resource()),
        scope_spans: vec![scope_spans],
        schema_url: "https://example.com/resource".to_owned(),
    };
    ExportTraceServiceRequest {
        resource_spans: vec![resource_spans],
    }
}

fn span() -> Span {
    let event = Event {
        time_unix_nano: TIME + 2,
        name: "exception".to_owned(),
        attributes: few_attributes(),
        dropped_attributes_count: 1,
    };
    let link = Link {
        trace_id: (17..=32).collect(),
        span_id: (9..=16).collect(),
        trace_state: "k=v".to_owned(),
        attributes: few_attributes(),
        dropped_attributes_count: 2,
        flags: 0x301,
    };
    Span {
        trace_id: (1..=16).collect(),
        span_id: (1..=8).collect(),
        trace_state: "a=b".to_owned(),
        parent_span_id: (9..=16).collect(),
        flags: 0x101,
        name: "GET /".to_owned(),
        kind: 2,
        start_time_unix_nano: TIME,
        end_time_unix_nano: TIME + 1_000_000,
        attributes: few_attributes(),
        dropped_attributes_count: 3,
        events: vec![event; 2],
        dropped_events_count: 4,
        links: vec![link; 2],
        dropped_links_count: 5,
        status: Some(Status {
            message: "not found".to_owned(),
            code: 2,
        }),
    }
}

/// Metrics of all five kinds.
pub fn metrics() -> ExportMetricsServiceRequest {
    let scope_metrics = ScopeMetrics {
        scope: Some(scope()),
        metrics: kinds()
            .into_iter()
            .map(|data| Metric {
                name: "requests".to_owned(),
                description: "how many".to_owned(),
                unit: "1".to_owned(),
                metadata: few_attributes(),
                data: Some(data),
            })
            .collect(),
        schema_url: "https://example.com/scope".to_owned(),
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource()),
            scope_metrics: vec![scope_metrics],
            schema_url: "https://example.com/resource".to_owned(),
        }],
    }
}

fn kinds() -> [Data; 5] {
    [
        Data::Gauge(Gauge {
            data_points: [
                number_data_point::Value::AsInt(-7),
                number_data_point::Value::AsDouble(0.5),
            ]
            .map(number_point)
            .into(),
        }),
        Data::Sum(Sum {
            data_points: vec![number_point(number_data_point::Value::AsInt(i64::MAX)); 2],
            aggregation_temporality: 2,
            is_monotonic: true,
        }),
        Data::Histogram(Histogram {
            data_points: vec![histogram_point(); 2],
            aggregation_temporality: 1,
        }),
        Data::ExponentialHistogram(ExponentialHistogram {
            data_points: vec![exponential_histogram_point(); 2],
            aggregation_temporality: 2,
        }),
        Data::Summary(Summary {
            data_points: vec![summary_point(); 2],
        }),
    ]
}

fn number_point(value: number_data_point::Value) -> NumberDataPoint {
    NumberDataPoint {
        attributes: few_attributes(),
        start_time_unix_nano: TIME,
        time_unix_nano: TIME + 1,
        exemplars: exemplars(),
        flags: 1,
        value: Some(value),
    }
}

fn histogram_point() -> HistogramDataPoint {
    HistogramDataPoint {
        attributes: few_attributes(),
        start_time_unix_nano: TIME,
        time_unix_nano: TIME + 1,
        count: 6,
        sum: Some(12.5),
        bucket_counts: vec![1, 2, 3],
        explicit_bounds: vec![1.0, 2.0],
        exemplars: exemplars(),
        flags: 1,
        min: Some(0.5),
        max: Some(5.5),
    }
}

fn exponential_histogram_point() -> ExponentialHistogramDataPoint {
    let buckets = |offset| Buckets {
        offset,
        bucket_counts: vec![1, 300, 70_000],
    };
    ExponentialHistogramDataPoint {
        attributes: few_attributes(),
        start_time_unix_nano: TIME,
        time_unix_nano: TIME + 1,
        count: 140_602,
        sum: Some(1e9),
        scale: -3,
        zero_count: 2,
        positive: Some(buckets(-4)),
        negative: Some(buckets(5)),
        flags: 1,
        exemplars: exemplars(),
        min: Some(-9.0),
        max: Some(1e6),
        zero_threshold: 1e-9,
    }
}

fn summary_point() -> SummaryDataPoint {
    SummaryDataPoint {
        attributes: few_attributes(),
        start_time_unix_nano: TIME,
        time_unix_nano: TIME + 1,
        count: 9,
        sum: 4.5,
        quantile_values: [(0.0, 0.1), (0.99, 2.0)]
            .map(|(quantile, value)| ValueAtQuantile { quantile, value })
            .into(),
        flags: 1,
    }
}

fn exemplars() -> Vec<Exemplar> {
    [exemplar::Value::AsDouble(2.5), exemplar::Value::AsInt(i64::MIN)]
        .map(|value| Exemplar {
            filtered_attributes: few_attributes(),
            time_unix_nano: TIME,
            span_id: (1..=8).collect(),
            trace_id: (1..=16).collect(),
            value: Some(value),
        })
        .into()
}

fn resource() -> Resource {
    Resource {
        attributes: attributes(),
        dropped_attributes_count: 1,
        entity_refs: Vec::new(),
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "scope".to_owned(),
        version: "1.0".to_owned(),
        attributes: few_attributes(),
        dropped_attributes_count: 1,
    }
}

/// Two attributes.
fn few_attributes() -> Vec<KeyValue> {
    attributes().into_iter().take(2).collect()
}

/// An attribute of each type.
fn attributes() -> Vec<KeyValue> {
    let list = vec![value(Value::IntValue(1)), value(Value::BoolValue(false))];
    let pair = KeyValue {
        key: "inner".to_owned(),
        value: Some(value(Value::StringValue("é".to_owned()))),
        ..KeyValue::default()
    };
    [
        Value::StringValue("checkout".to_owned()),
        Value::BoolValue(true),
        Value::IntValue(-1),
        Value::DoubleValue(f64::NAN),
        Value::ArrayValue(ArrayValue { values: list }),
        Value::KvlistValue(KeyValueList { values: vec![pair] }),
        Value::BytesValue(vec![0, 255]),
    ]
    .into_iter()
    .zip([
        "service.name",
        "bool",
        "int",
        "double",
        "array",
        "kvlist",
        "bytes",
    ])
    .map(|(of, key)| KeyValue {
        key: key.to_owned(),
        value: Some(value(of)),
        ..KeyValue::default()
    })
    .collect()
}

fn value(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}
