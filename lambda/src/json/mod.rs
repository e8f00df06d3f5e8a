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

/// Reads a request, or any number of them one after the other, such as JSON lines.
///
/// # Errors
/// What is wrong and where (line and column), when the text is no JSON or a known field has a value
/// of a wrong type.
pub fn to_protobuf(text: &[u8]) -> Result<Payloads, String> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut payloads = Payloads::default();
    let mut json = serde_json::Deserializer::from_slice(text);
    // Only attribute values nest without end, and those are bounded by `read`.
    json.disable_recursion_limit();
    while json.end().is_err() {
        EnvelopeSeed {
            payloads: &mut payloads,
            // Protobuf is the shorter of the two.
            room: text.len(),
        }
        .deserialize(&mut json)
        .map_err(|cause| format!("not OTLP/JSON: {cause}"))?;
    }
    Ok(payloads)
}

#[cfg(test)]
mod tests;
