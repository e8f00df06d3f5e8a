//! Reads the output back with prost and opentelemetry-proto's messages. The system tests, which send the
//! fixtures as JSON, check that every field of every message is mapped.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bytes;
mod limits;
mod numbers;
mod objects;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use super::{Form, to_protobuf};

fn logs(text: &str) -> ExportLogsServiceRequest {
    ExportLogsServiceRequest::decode(
        &*to_protobuf(text.as_bytes(), Form::Request, usize::MAX)
            .unwrap()
            .logs
            .unwrap(),
    )
    .unwrap()
}

fn record(fields: &str) -> LogRecord {
    let request = logs(&format!(
        r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{{fields}}}]}}]}}]}}"#
    ));
    request.resource_logs[0].scope_logs[0].log_records[0].clone()
}

fn span(fields: &str) -> Span {
    let text = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{fields}}}]}}]}}]}}"#);
    let bytes = to_protobuf(text.as_bytes(), Form::Request, usize::MAX)
        .unwrap()
        .traces
        .unwrap();
    let request = ExportTraceServiceRequest::decode(&*bytes).unwrap();
    request.resource_spans[0].scope_spans[0].spans[0].clone()
}

fn metric(fields: &str) -> Metric {
    let text = format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{{fields}}}]}}]}}]}}"#);
    let bytes = to_protobuf(text.as_bytes(), Form::Request, usize::MAX)
        .unwrap()
        .metrics
        .unwrap();
    let request = ExportMetricsServiceRequest::decode(&*bytes).unwrap();
    request.resource_metrics[0].scope_metrics[0].metrics[0].clone()
}
