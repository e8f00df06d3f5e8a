//! Converts OTLP/JSON to the protobuf bytes that the library reads.
//!
//! OTLP/JSON is protobuf's JSON mapping with changes: ids are hex, enums are numbers, unknown fields are
//! ignored (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>). The text is parsed once, and
//! protobuf is written meanwhile. Memory holds the text and the protobuf, but no tree.

mod bytes;
mod enums;
mod envelope;
mod integer;
mod messages;
mod read;
mod scalar;
mod unexpected;
mod write;

use std::fmt;

use otlp2iceberg::Signal;
use serde::de::DeserializeSeed;

use self::envelope::EnvelopeSeed;

/// Serialized requests of each signal; concatenating two requests is their merge.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Payloads {
    /// `ExportLogsServiceRequest`; `None` when the text has no `resourceLogs`.
    pub logs: Option<Vec<u8>>,
    /// `ExportTraceServiceRequest`; `None` when the text has no `resourceSpans`.
    pub traces: Option<Vec<u8>>,
    /// `ExportMetricsServiceRequest`; `None` when the text has no `resourceMetrics`.
    pub metrics: Option<Vec<u8>>,
}

impl Payloads {
    /// The signals with a request, each with its bytes.
    pub fn into_signals(self) -> impl Iterator<Item = (Signal, Vec<u8>)> {
        [
            (Signal::Logs, self.logs),
            (Signal::Traces, self.traces),
            (Signal::Metrics, self.metrics),
        ]
        .into_iter()
        .filter_map(|(signal, payload)| Some((signal, payload?)))
    }

    /// The total bytes of all requests.
    pub(crate) fn bytes(&self) -> usize {
        let requests = [&self.logs, &self.traces, &self.metrics];
        requests.into_iter().flatten().map(Vec::len).sum()
    }

    /// `room` is the expected size: reserving it avoids reallocation, and memory that is not written costs
    /// nothing.
    fn of(&mut self, signal: Signal, room: usize) -> &mut Vec<u8> {
        let payload = match signal {
            Signal::Logs => &mut self.logs,
            Signal::Traces => &mut self.traces,
            Signal::Metrics => &mut self.metrics,
        };
        payload.get_or_insert_with(|| Vec::with_capacity(room))
    }
}

/// Where a text is from, which decides what is taken beside requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The body of an OTLP request. Unknown fields are ignored, as the specification says.
    Request,
    /// Something that was stored. An object may also be one `ResourceLogs`, `ResourceSpans` or
    /// `ResourceMetrics` by itself, as Java's `OtlpJsonLogging*Exporter` writes them. An object that has keys
    /// but no telemetry is an error: it is something else, which would count as loaded.
    Object,
}

/// Why the conversion failed.
#[derive(Debug)]
pub enum Failure {
    /// The protobuf would exceed the limit.
    TooLarge {
        /// The limit, bytes.
        bytes_max: usize,
    },
    /// The error with line and column: the text is not valid JSON, it holds no OTLP ([`Form::Object`]), or a
    /// known field has a value of a wrong type. It is short, and has no text of a value.
    Malformed(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::TooLarge { bytes_max } => write!(
                f,
                "more than {bytes_max} bytes as protobuf (limits.payload_bytes_max); send smaller batches"
            ),
            Failure::Malformed(problem) => f.write_str(problem),
        }
    }
}

/// Converts a request, or any number of consecutive ones, such as JSON lines.
///
/// # Errors
/// When the text is malformed or, as an object, has no OTLP, or when the protobuf is larger than
/// `bytes_max`: a number that takes 2 bytes in JSON can take 8 there.
pub fn to_protobuf(text: &[u8], form: Form, bytes_max: usize) -> Result<Payloads, Failure> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut payloads = Payloads::default();
    let mut json = serde_json::Deserializer::from_slice(text);
    // Only attribute values nest without limit, and `read` bounds those.
    json.disable_recursion_limit();
    while json.end().is_err() {
        let read = EnvelopeSeed {
            payloads: &mut payloads,
            // Protobuf is nearly always shorter than JSON.
            room: text.len(),
            bytes_max,
            form,
        }
        .deserialize(&mut json);
        if payloads.bytes() > bytes_max {
            return Err(Failure::TooLarge { bytes_max });
        }
        read.map_err(|cause| {
            let what = if cause.is_data() {
                "JSON, but not OTLP"
            } else {
                "not JSON"
            };
            Failure::Malformed(format!("{what}: {cause}"))
        })?;
    }
    Ok(payloads)
}

#[cfg(test)]
mod tests;
