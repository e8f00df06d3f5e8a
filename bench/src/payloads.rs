//! The inputs: realistic requests, the same bytes for whoever is measured.

#![allow(
    clippy::unnecessary_wraps,
    reason = "protobuf's singular messages are options"
)]

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics,
    metric::Data, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, span};
use prost::Message;

const START_UNIX_NANO: u64 = 1_789_000_000_000_000_000;
const SERVICES: usize = 20;

/// Small numbers from a fixed seed (xorshift64*), so that every run has the same bytes.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| (self.next() >> 32) as u8).collect()
    }
}

fn text(value: impl Into<String>) -> Option<AnyValue> {
    Some(AnyValue {
        value: Some(Value::StringValue(value.into())),
    })
}

fn attribute(key: &str, value: impl Into<String>) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: text(value),
        ..Default::default()
    }
}

fn number(key: &str, value: i64) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue {
            value: Some(Value::IntValue(value)),
        }),
        ..Default::default()
    }
}

fn resource(service: usize) -> Option<Resource> {
    Some(Resource {
        attributes: vec![
            attribute("service.name", format!("service-{service}")),
            attribute("service.version", "1.14.2"),
            attribute("k8s.namespace.name", "production"),
            attribute("k8s.pod.name", format!("service-{service}-6d5f9c7b8-x2k4q")),
            attribute("host.name", format!("ip-10-0-3-{service}")),
        ],
        ..Default::default()
    })
}

fn scope() -> Option<InstrumentationScope> {
    Some(InstrumentationScope {
        name: "com.example.checkout".into(),
        version: "2.1.0".into(),
        ..Default::default()
    })
}

/// Log records of about 300 bytes, 20 services, as one `ExportLogsServiceRequest`.
pub fn logs(records: usize) -> Vec<u8> {
    let mut random = Random(42);
    let resource_logs = (0..SERVICES)
        .map(|service| ResourceLogs {
            resource: resource(service),
            scope_logs: vec![ScopeLogs {
                scope: scope(),
                log_records: (0..share(records, service))
                    .map(|i| log_record(&mut random, i))
                    .collect(),
                ..Default::default()
            }],
            ..Default::default()
        })
        .collect();
    ExportLogsServiceRequest { resource_logs }.encode_to_vec()
}

fn log_record(random: &mut Random, i: usize) -> LogRecord {
    let time = START_UNIX_NANO + i as u64 * 1_000_000 + random.below(900_000);
    let status = [200, 200, 200, 404, 500][random.below(5) as usize];
    LogRecord {
        time_unix_nano: time,
        observed_time_unix_nano: time + 500_000,
        severity_number: 9,
        severity_text: "INFO".into(),
        body: text(format!(
            "GET /api/v1/orders/{} completed with status {status} in {} ms for customer {}",
            random.below(1_000_000),
            random.below(900),
            random.below(50_000)
        )),
        attributes: vec![
            attribute("http.request.method", "GET"),
            attribute("url.path", format!("/api/v1/orders/{}", random.below(1_000_000))),
            number("http.response.status_code", status),
            attribute(
                "client.address",
                format!(
                    "10.{}.{}.{}",
                    random.below(256),
                    random.below(256),
                    random.below(256)
                ),
            ),
        ],
        trace_id: random.bytes(16),
        span_id: random.bytes(8),
        flags: 1,
        ..Default::default()
    }
}

/// Spans with one event each and a link on every tenth, as one `ExportTraceServiceRequest`.
pub fn traces(spans: usize) -> Vec<u8> {
    let mut random = Random(43);
    let resource_spans = (0..SERVICES)
        .map(|service| ResourceSpans {
            resource: resource(service),
            scope_spans: vec![ScopeSpans {
                scope: scope(),
                spans: (0..share(spans, service)).map(|i| span(&mut random, i)).collect(),
                ..Default::default()
            }],
            ..Default::default()
        })
        .collect();
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

fn span(random: &mut Random, i: usize) -> Span {
    let start = START_UNIX_NANO + i as u64 * 1_000_000;
    Span {
        trace_id: random.bytes(16),
        span_id: random.bytes(8),
        parent_span_id: random.bytes(8),
        name: ["GET /orders", "SELECT orders", "POST /pay", "cache.get"][random.below(4) as usize].into(),
        kind: 2,
        start_time_unix_nano: start,
        end_time_unix_nano: start + random.below(80_000_000),
        attributes: vec![
            attribute("http.request.method", "GET"),
            attribute("url.path", format!("/api/v1/orders/{}", random.below(1_000_000))),
            number("http.response.status_code", 200),
        ],
        events: vec![span::Event {
            time_unix_nano: start + 1_000_000,
            name: "cache.miss".into(),
            attributes: vec![attribute(
                "cache.key",
                format!("order:{}", random.below(1_000_000)),
            )],
            ..Default::default()
        }],
        links: if i.is_multiple_of(10) {
            vec![span::Link {
                trace_id: random.bytes(16),
                span_id: random.bytes(8),
                ..Default::default()
            }]
        } else {
            vec![]
        },
        ..Default::default()
    }
}

/// Gauge and histogram points, half each, as one `ExportMetricsServiceRequest`.
pub fn metrics(points: usize) -> Vec<u8> {
    let mut random = Random(44);
    let resource_metrics = (0..SERVICES)
        .map(|service| {
            let share = share(points, service);
            ResourceMetrics {
                resource: resource(service),
                scope_metrics: vec![ScopeMetrics {
                    scope: scope(),
                    metrics: vec![
                        gauge(&mut random, share / 2),
                        histogram(&mut random, share - share / 2),
                    ],
                    ..Default::default()
                }],
                ..Default::default()
            }
        })
        .collect();
    ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()
}

fn gauge(random: &mut Random, points: usize) -> Metric {
    let data_points = (0..points)
        .map(|i| NumberDataPoint {
            attributes: vec![
                attribute("cpu", format!("cpu{}", i % 16)),
                attribute("state", "user"),
            ],
            time_unix_nano: START_UNIX_NANO + i as u64 * 10_000_000,
            value: Some(number_data_point::Value::AsDouble(
                random.below(10_000) as f64 / 10_000.0,
            )),
            ..Default::default()
        })
        .collect();
    Metric {
        name: "system.cpu.utilization".into(),
        unit: "1".into(),
        data: Some(Data::Gauge(Gauge { data_points })),
        ..Default::default()
    }
}

fn histogram(random: &mut Random, points: usize) -> Metric {
    let data_points = (0..points)
        .map(|i| {
            let bucket_counts: Vec<u64> = (0..12).map(|_| random.below(50)).collect();
            HistogramDataPoint {
                attributes: vec![attribute("http.route", format!("/api/v1/{}", i % 30))],
                start_time_unix_nano: START_UNIX_NANO,
                time_unix_nano: START_UNIX_NANO + i as u64 * 10_000_000,
                count: bucket_counts.iter().sum(),
                sum: Some(random.below(100_000) as f64 / 7.0),
                bucket_counts,
                explicit_bounds: vec![
                    5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0,
                ],
                ..Default::default()
            }
        })
        .collect();
    Metric {
        name: "http.server.request.duration".into(),
        unit: "ms".into(),
        data: Some(Data::Histogram(Histogram {
            data_points,
            aggregation_temporality: 2,
        })),
        ..Default::default()
    }
}

fn share(total: usize, service: usize) -> usize {
    total / SERVICES + usize::from(service < total % SERVICES)
}
