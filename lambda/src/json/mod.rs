//! The JSON door: OTLP/JSON to the protobuf bytes that the library reads.
//!
//! OTLP/JSON is protobuf's JSON mapping with changes: ids are hex, enums are numbers, unknown fields
//! are passed over (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>). The text is
//! read once and written as protobuf while it is read, so that memory holds the two and no tree.

mod enums;
mod messages;
mod read;
mod scalar;
mod write;

use std::fmt;

use otlp2iceberg::Signal;
use serde::de::DeserializeSeed;

use self::read::EnvelopeSeed;

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
    /// The signals that are there, each with its request.
    pub fn into_signals(self) -> impl Iterator<Item = (Signal, Vec<u8>)> {
        [
            (Signal::Logs, self.logs),
            (Signal::Traces, self.traces),
            (Signal::Metrics, self.metrics),
        ]
        .into_iter()
        .filter_map(|(signal, payload)| Some((signal, payload?)))
    }

    /// The bytes of all requests.
    pub(crate) fn bytes(&self) -> usize {
        let requests = [&self.logs, &self.traces, &self.metrics];
        requests.into_iter().flatten().map(Vec::len).sum()
    }

    /// `room` is for what may come, so that it need not move; memory that is not written to costs nothing.
    fn of(&mut self, signal: Signal, room: usize) -> &mut Vec<u8> {
        let payload = match signal {
            Signal::Logs => &mut self.logs,
            Signal::Traces => &mut self.traces,
            Signal::Metrics => &mut self.metrics,
        };
        payload.get_or_insert_with(|| Vec::with_capacity(room))
    }
}

/// Why there is no protobuf.
#[derive(Debug)]
pub enum Failure {
    /// It would have more bytes than allowed.
    TooLarge {
        /// What is allowed.
        bytes_max: usize,
    },
    /// What is wrong and where (line and column): the text is no JSON, or a known field has a value of a wrong type.
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

/// Reads a request, or any number of them one after the other, such as JSON lines.
///
/// # Errors
/// When the text is malformed, or the protobuf larger than `bytes_max`: a number takes 8 bytes there that takes 2 in JSON.
pub fn to_protobuf(text: &[u8], bytes_max: usize) -> Result<Payloads, Failure> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut payloads = Payloads::default();
    let mut json = serde_json::Deserializer::from_slice(text);
    // Only attribute values nest without end, and those are bounded by `read`.
    json.disable_recursion_limit();
    while json.end().is_err() {
        let read = EnvelopeSeed {
            payloads: &mut payloads,
            // Protobuf is nearly always the shorter of the two.
            room: text.len(),
            bytes_max,
        }
        .deserialize(&mut json);
        if payloads.bytes() > bytes_max {
            return Err(Failure::TooLarge { bytes_max });
        }
        read.map_err(|cause| Failure::Malformed(format!("not OTLP/JSON: {cause}")))?;
    }
    Ok(payloads)
}

#[cfg(test)]
mod tests;
