//! prost and opentelemetry-proto: the generated message types.

use std::hint::black_box;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use otlp2iceberg::Signal;
use prost::Message;

use super::Made;
use crate::Failure;
use crate::payloads::Payload;

/// Decodes and drops the messages.
pub fn decode(payload: &Payload) -> Result<Made, Failure> {
    let bytes = payload.bytes.as_ref();
    let records = match payload.signal {
        Signal::Logs => {
            let request = black_box(ExportLogsServiceRequest::decode(bytes)?);
            let scopes = request
                .resource_logs
                .iter()
                .flat_map(|resource| &resource.scope_logs);
            scopes.map(|scope| scope.log_records.len()).sum()
        }
        Signal::Traces => {
            let request = black_box(ExportTraceServiceRequest::decode(bytes)?);
            let scopes = request
                .resource_spans
                .iter()
                .flat_map(|resource| &resource.scope_spans);
            scopes.map(|scope| scope.spans.len()).sum()
        }
        Signal::Metrics => {
            let request = black_box(ExportMetricsServiceRequest::decode(bytes)?);
            let scopes = request
                .resource_metrics
                .iter()
                .flat_map(|resource| &resource.scope_metrics);
            let metrics = scopes.flat_map(|scope| &scope.metrics);
            metrics.map(|metric| metric.data.as_ref().map_or(0, points)).sum()
        }
    };
    Ok(Made::records(records))
}

fn points(data: &Data) -> usize {
    match data {
        Data::Gauge(data) => data.data_points.len(),
        Data::Sum(data) => data.data_points.len(),
        Data::Histogram(data) => data.data_points.len(),
        Data::ExponentialHistogram(data) => data.data_points.len(),
        Data::Summary(data) => data.data_points.len(),
    }
}
