//! The lower bound: a reader that skips over every tag and length of every message, and does nothing else.

use otlp2iceberg::Signal;

use crate::Failure;
use crate::contestants::Made;
use crate::payloads::Payload;

/// Counts the records while skipping over everything in them.
pub fn records(payload: &Payload) -> Result<Made, Failure> {
    let shape = match payload.signal {
        Signal::Logs => Shape::LogsRequest,
        Signal::Traces => Shape::TracesRequest,
        Signal::Metrics => Shape::MetricsRequest,
    };
    let mut scan = Scan::default();
    scan.message(&payload.bytes, shape)
        .ok_or("not well-formed protobuf")?;
    std::hint::black_box(scan.fields);
    Ok(Made::records(scan.records))
}

/// Which messages a message contains. Its other fields are skipped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    LogsRequest,
    TracesRequest,
    MetricsRequest,
    /// `ResourceLogs`, `ResourceSpans`, `ResourceMetrics`, by what their scopes hold.
    Group(&'static Shape),
    /// `ScopeLogs`, `ScopeSpans`, `ScopeMetrics`.
    Scoped(&'static Shape),
    /// `Resource`: attributes in field 1.
    Resource,
    /// `InstrumentationScope`: attributes in field 3.
    Scope,
    LogRecord,
    Span,
    Event,
    Link,
    Metric,
    /// `Gauge` and so on, by the field that holds their points' attributes.
    Points(u64),
    /// A data point, by the field that holds its attributes.
    Point(u64),
    KeyValue,
    AnyValue,
    /// `ArrayValue`.
    Array,
}

impl Shape {
    fn is_record(self) -> bool {
        matches!(self, Shape::LogRecord | Shape::Span | Shape::Point(_))
    }

    /// The content of a length-delimited field.
    #[inline]
    fn child(self, field: u64) -> Option<Shape> {
        Some(match (self, field) {
            (Shape::LogsRequest, 1) => Shape::Group(&Shape::LogRecord),
            (Shape::TracesRequest, 1) => Shape::Group(&Shape::Span),
            (Shape::MetricsRequest, 1) => Shape::Group(&Shape::Metric),
            (Shape::Group(_), 1) => Shape::Resource,
            (Shape::Group(records), 2) => Shape::Scoped(records),
            (Shape::Scoped(_), 1) => Shape::Scope,
            (Shape::Scoped(record), 2) => *record,
            (Shape::Resource, 1)
            | (Shape::Scope | Shape::Event, 3)
            | (Shape::LogRecord, 6)
            | (Shape::Span, 9)
            | (Shape::Link, 4) => Shape::KeyValue,
            (Shape::Point(attributes), field) if attributes == field => Shape::KeyValue,
            (Shape::LogRecord, 5) | (Shape::KeyValue, 2) | (Shape::Array, 1) => Shape::AnyValue,
            (Shape::AnyValue, 5) => Shape::Array,
            (Shape::Span, 11) => Shape::Event,
            (Shape::Span, 13) => Shape::Link,
            (Shape::Metric, 5 | 7 | 11) => Shape::Points(7),
            (Shape::Metric, 9) => Shape::Points(9),
            (Shape::Metric, 10) => Shape::Points(1),
            (Shape::Points(attributes), 1) => Shape::Point(attributes),
            _ => return None,
        })
    }
}

#[derive(Default)]
struct Scan {
    records: usize,
    fields: usize,
}

impl Scan {
    fn message(&mut self, mut rest: &[u8], shape: Shape) -> Option<()> {
        if shape.is_record() {
            self.records += 1;
        }
        while !rest.is_empty() {
            let tag;
            (tag, rest) = varint(rest)?;
            self.fields += 1;
            match tag & 7 {
                0 => (_, rest) = varint(rest)?,
                1 => rest = rest.get(8..)?,
                2 => {
                    let length;
                    (length, rest) = varint(rest)?;
                    let value;
                    (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                    if let Some(shape) = shape.child(tag >> 3) {
                        self.message(value, shape)?;
                    }
                }
                5 => rest = rest.get(4..)?,
                _ => return None,
            }
        }
        Some(())
    }
}

#[inline]
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    if let [first, rest @ ..] = bytes
        && *first < 0x80
    {
        return Some((u64::from(*first), rest));
    }
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if *byte < 0x80 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}
