//! OTLP requests in which every row is distinguishable from all others.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric::Data, number_data_point,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use otlp2iceberg::{RequestId, Signal};
use prost::Message;

use crate::random::Random;

/// 2 January 2026, 23:59:59: rows a few seconds later belong to the next partition.
const BEFORE_MIDNIGHT_UNIX_NANO: u64 = 1_767_398_399_000_000_000;

/// One request with the rows it must produce.
#[derive(Debug, Clone)]
pub struct OtlpRequest {
    /// Its id.
    pub id: RequestId,
    /// Its service.
    pub signal: Signal,
    /// The serialized message.
    pub payload: Vec<u8>,
    /// When its host received it, by a clock that jumps.
    pub received_unix_nano: u64,
    /// Table and key of each row.
    pub rows: Vec<(&'static str, String)>,
}

/// The column that holds a row's key.
#[must_use]
pub fn key_column(table: &str) -> &'static str {
    match table {
        "logs" => "Body",
        "traces" => "SpanName",
        _ => "MetricName",
    }
}

/// A request of a random kind with a few rows, in one or two partitions.
#[must_use]
pub fn draw(id: RequestId, random: &mut Random) -> OtlpRequest {
    let [process, generation, ..] = id.writer;
    let name = format!("{process}.{generation}-{}", id.sequence);
    let keys: Vec<String> = (0..random.between(1, 3))
        .map(|row| format!("{name}-{row}"))
        .collect();
    let mut time = || BEFORE_MIDNIGHT_UNIX_NANO + random.below(2) * 2_000_000_000;
    let timed: Vec<(String, u64)> = keys.into_iter().map(|key| (key, time())).collect();
    let mut request = match random.below(10) {
        0 => spans(id, timed),
        1 | 2 => points(id, timed),
        _ => {
            // Records without a time get the arrival time.
            let mut sometimes = |time| if random.permille(100) { 0 } else { time };
            let timed = timed
                .into_iter()
                .map(|(key, time)| (key, sometimes(time)))
                .collect();
            logs(id, timed)
        }
    };
    request.received_unix_nano = BEFORE_MIDNIGHT_UNIX_NANO.saturating_add_signed(
        random.pick(&[0, 0, 0, 3_600, -3_600, 315_360_000, -315_360_000]) * 1_000_000_000,
    );
    request
}

fn logs(id: RequestId, keys: Vec<(String, u64)>) -> OtlpRequest {
    let rows = keys.iter().map(|(key, _)| ("logs", key.clone())).collect();
    let log_records = keys.into_iter().map(|(key, time_unix_nano)| LogRecord {
        time_unix_nano,
        body: Some(AnyValue {
            value: Some(Value::StringValue(key)),
        }),
        ..LogRecord::default()
    });
    let payload = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: log_records.collect(),
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    };
    OtlpRequest {
        id,
        signal: Signal::Logs,
        payload: payload.encode_to_vec(),
        received_unix_nano: 0,
        rows,
    }
}

fn spans(id: RequestId, keys: Vec<(String, u64)>) -> OtlpRequest {
    let rows = keys.iter().map(|(key, _)| ("traces", key.clone())).collect();
    let spans = keys.into_iter().map(|(name, time)| Span {
        name,
        trace_id: vec![7; 16],
        span_id: vec![7; 8],
        start_time_unix_nano: time,
        end_time_unix_nano: time + 1,
        ..Span::default()
    });
    let payload = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans: spans.collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    };
    OtlpRequest {
        id,
        signal: Signal::Traces,
        payload: payload.encode_to_vec(),
        received_unix_nano: 0,
        rows,
    }
}

/// Each row once in the gauge table and once in the sum table: one request, two commits.
fn points(id: RequestId, keys: Vec<(String, u64)>) -> OtlpRequest {
    let mut rows = Vec::new();
    let mut metrics = Vec::new();
    for (key, time_unix_nano) in keys {
        let data_points = vec![NumberDataPoint {
            time_unix_nano,
            value: Some(number_data_point::Value::AsInt(1)),
            ..NumberDataPoint::default()
        }];
        let gauge = Data::Gauge(Gauge {
            data_points: data_points.clone(),
        });
        let sum = Data::Sum(Sum {
            data_points,
            ..Sum::default()
        });
        for (table, data) in [("metrics_gauge", gauge), ("metrics_sum", sum)] {
            rows.push((table, key.clone()));
            metrics.push(Metric {
                name: key.clone(),
                data: Some(data),
                ..Metric::default()
            });
        }
    }
    let payload = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            scope_metrics: vec![ScopeMetrics {
                metrics,
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    };
    OtlpRequest {
        id,
        signal: Signal::Metrics,
        payload: payload.encode_to_vec(),
        received_unix_nano: 0,
        rows,
    }
}
