//! The inputs: realistic requests. All libraries and all runs get the same bytes.

mod common;
mod logs;
mod metrics;
mod points;
mod traces;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use otlp2iceberg::Signal;
use prost::Message;

use crate::Failure;

/// otel-arrow numbers the spans of a request with 16 bits and refuses more spans.
const OTEL_ARROW_SPANS_MAX: usize = u16::MAX as usize;

/// A kind of input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Log records of about 300 bytes, each with a trace and a span of its own.
    Logs300,
    /// Log records of about 1 KB with ten attributes; four share a trace.
    Logs1k,
    /// Spans, eight to a trace across services, with events and links.
    Spans,
    /// Points of all five metric kinds, as scrapes of the same thousand series give them.
    Metrics,
    /// Log records of 300 bytes, each with a resource of its own.
    LogsManyResources,
    /// Log records of 300 bytes, all of one resource.
    LogsOneResource,
}

impl Kind {
    /// All of them, in the order of the results.
    pub const ALL: [Kind; 6] = [
        Kind::Logs300,
        Kind::Logs1k,
        Kind::Spans,
        Kind::Metrics,
        Kind::LogsManyResources,
        Kind::LogsOneResource,
    ];

    /// Its name in the results and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Logs300 => "logs-300B",
            Kind::Logs1k => "logs-1KB",
            Kind::Spans => "spans",
            Kind::Metrics => "metrics",
            Kind::LogsManyResources => "logs-1000-resources",
            Kind::LogsOneResource => "logs-one-resource",
        }
    }

    /// The numbers of records that it is measured with.
    pub fn batches(self) -> &'static [usize] {
        match self {
            Kind::LogsManyResources => &[1_000],
            Kind::LogsOneResource => &[10_000],
            _ => &[1_000, 8_192, 65_536],
        }
    }

    /// The signal.
    pub fn signal(self) -> Signal {
        match self {
            Kind::Spans => Signal::Traces,
            Kind::Metrics => Signal::Metrics,
            _ => Signal::Logs,
        }
    }
}

/// A serialized request.
#[derive(Debug, Clone)]
pub struct Payload {
    /// The signal.
    pub signal: Signal,
    /// Log records, spans or points.
    pub records: usize,
    /// The request.
    pub bytes: Bytes,
    /// The same records in requests that otel-arrow accepts: one, or two halves.
    pub for_otel_arrow: Vec<Bytes>,
}

/// The records `first..first + records` of an endless stream, as one request.
pub fn payload(kind: Kind, first: usize, records: usize) -> Result<Payload, Failure> {
    payload_of(kind, records, request(kind, first, records))
}

/// The same records in consecutive requests of `each` records, merged like the Collector merges them:
/// concatenated requests are one message.
pub fn merged(kind: Kind, first: usize, records: usize, each: usize) -> Result<Payload, Failure> {
    let end = first + records;
    let requests = (first..end)
        .step_by(each)
        .flat_map(|first| request(kind, first, each.min(end - first)));
    payload_of(kind, records, requests.collect())
}

fn request(kind: Kind, first: usize, records: usize) -> Vec<u8> {
    match kind {
        Kind::Logs300 => logs::small(first, records),
        Kind::Logs1k => logs::large(first, records),
        Kind::LogsManyResources => logs::many_resources(first, records),
        Kind::LogsOneResource => logs::one_resource(first, records),
        Kind::Spans => traces::spans(first, records),
        Kind::Metrics => metrics::points(first, records),
    }
}

fn payload_of(kind: Kind, records: usize, bytes: Vec<u8>) -> Result<Payload, Failure> {
    let bytes = Bytes::from(bytes);
    let for_otel_arrow = if kind == Kind::Spans && records > OTEL_ARROW_SPANS_MAX {
        halves(&bytes)?
    } else {
        vec![bytes.clone()]
    };
    Ok(Payload {
        signal: kind.signal(),
        records,
        bytes,
        for_otel_arrow,
    })
}

fn halves(bytes: &[u8]) -> Result<Vec<Bytes>, Failure> {
    let mut first = ExportTraceServiceRequest::decode(bytes)?;
    let second = first.resource_spans.split_off(first.resource_spans.len() / 2);
    let second = ExportTraceServiceRequest {
        resource_spans: second,
    };
    Ok(vec![first.encode_to_vec().into(), second.encode_to_vec().into()])
}
