//! Small OTLP requests for the tests of the boundary; what is in them is the core's business.

#![allow(dead_code, reason = "each test binary uses its own part")]

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Histogram, HistogramDataPoint, Metric, ResourceMetrics, ScopeMetrics, metric::Data,
};
use prost::Message;

/// 2026-01-02 03:04:05 UTC.
const TIME_UNIX_NANO: u64 = 1_767_323_045_000_000_000;

/// A logs request with so many records.
pub fn logs(records: usize) -> Vec<u8> {
    let record = |number: usize| LogRecord {
        time_unix_nano: TIME_UNIX_NANO + number as u64,
        severity_text: "INFO".into(),
        body: Some(AnyValue {
            value: Some(Value::StringValue(format!("message {number}"))),
        }),
        ..LogRecord::default()
    };
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: (0..records).map(record).collect(),
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    }
    .encode_to_vec()
}

/// A metrics request with two histogram points, the second of which cannot be stored: it has as many
/// bounds as buckets.
pub fn histogram_with_one_bad_point() -> Vec<u8> {
    let point = |bounds: &[f64]| HistogramDataPoint {
        time_unix_nano: TIME_UNIX_NANO,
        count: 3,
        bucket_counts: vec![1, 2],
        explicit_bounds: bounds.to_vec(),
        ..HistogramDataPoint::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            scope_metrics: vec![ScopeMetrics {
                metrics: vec![Metric {
                    name: "latency".into(),
                    data: Some(Data::Histogram(Histogram {
                        data_points: vec![point(&[1.0]), point(&[1.0, 2.0])],
                        aggregation_temporality: 2,
                    })),
                    ..Metric::default()
                }],
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
    .encode_to_vec()
}
