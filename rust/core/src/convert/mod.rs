//! Converts views to Arrow: batches for each table that the request fills. Pure: no I/O, no clock.
//!
//! One pass goes from views to column builders. Values that all rows of a resource, a scope or a metric share
//! are rendered once and referenced. Text is first copied unchecked, and validated once per column when a
//! batch is closed. Only if that finds invalid UTF-8 is the request converted again, with each text validated
//! and repaired on the way.
//!
//! A batch holds what all rows of a resource share once, and its rows refer to it. Rows can still be larger
//! than their request. Therefore batches are passed on as they close, and the size of open batches is
//! bounded.
//!
//! `docs/schema.md` defines the mapping rules; "rule n" in comments refers to its list.

mod any_value;
mod attribute_columns;
mod attributes;
mod columns;
mod context;
mod dictionary;
mod duplicates;
mod elements;
mod histograms;
mod ids;
mod json;
mod key_order;
mod keys;
mod labels;
mod lists;
mod logs;
mod memory;
mod metrics;
mod numbers;
mod offsets;
mod points;
mod primitive;
mod repetition;
mod series_map;
mod shared;
mod shared_map;
mod subject;
mod summaries;
mod table;
mod text_column;
mod time;
mod traces;
mod used;
mod validity;

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;

pub use self::attribute_columns::with_attribute_columns;
use self::context::Context;
pub use self::memory::Memory;
use crate::decode::DecodeError;
use crate::error::{Error, ErrorKind, Result};
use crate::reason::{Reason, ReasonCounts};
use crate::signal::{Signal, Table};

/// What conversion needs from its caller.
#[derive(Debug, Clone, Copy)]
pub struct ConvertOptions {
    /// The arrival time of the request, nanoseconds since the Unix epoch: the time of a record without one.
    pub arrival_time_unix_nano: u64,
    /// A batch is closed before a string column exceeds this many bytes (at most `i32::MAX`, the limit of
    /// Arrow's offsets). A record that exceeds it alone is rejected.
    pub column_bytes_max: usize,
    /// The largest batch is closed when the columns of all open batches together hold this many bytes. At least
    /// half of what they hold must be rows, without the texts that the first rows share. So no batch is larger
    /// than this plus one row, or twice these texts plus one row. A batch is closed earlier if that makes batches
    /// equal in size without increasing their number.
    pub batch_bytes_max: usize,
    /// Limits on the content of a record.
    pub values: ValueLimits,
}

/// Limits on the content of a record. Content above a limit is cut off and counted; the record is still
/// stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueLimits {
    /// The greatest number of attributes in one list; later ones are dropped.
    pub attributes_max: usize,
    /// The greatest size of one stored text, bytes; it is truncated at a character boundary.
    pub text_bytes_max: usize,
    /// The number of levels of nested values that are kept, at most [`ValueLimits::NESTING_MAX`].
    pub nesting_max: u32,
}

impl ValueLimits {
    /// The greatest number of levels that can be kept: it bounds the recursion.
    pub const NESTING_MAX: u32 = 64;
}

/// No limits except that of nesting.
impl Default for ValueLimits {
    fn default() -> Self {
        Self {
            attributes_max: usize::MAX,
            text_bytes_max: usize::MAX,
            nesting_max: Self::NESTING_MAX,
        }
    }
}

/// The rows of one request for one table, in the schema of [`crate::schema::arrow_schema`].
#[derive(Debug, Clone)]
pub struct TableBatch {
    /// The table.
    pub table: Table,
    /// The rows, in the request's order.
    pub batch: RecordBatch,
}

/// Counts of repairs; the repaired rows are stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Repairs {
    /// Strings with invalid UTF-8, stored with U+FFFD in its place.
    pub invalid_utf8: u64,
    /// Values nested too deeply, stored as null.
    pub nesting: u64,
    /// Trace and span ids of a wrong length or all zero, stored as null. (Absent ids are not counted.)
    pub invalid_ids: u64,
    /// Times above `i64::MAX` nanoseconds, stored as null (or the fallback time).
    pub invalid_times: u64,
    /// Texts truncated at [`ValueLimits::text_bytes_max`].
    pub cut_texts: u64,
    /// Attributes beyond [`ValueLimits::attributes_max`]; the stored counts of dropped attributes include
    /// them.
    pub dropped_attributes: u64,
}

/// A record or data point that was rejected, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Its path, such as `resource_metrics[0].scope_metrics[2].metrics[1].histogram.data_points[4]`,
    /// with the names of its metric and its service: ` (metric "requests" of service "cart")`.
    pub path: String,
    /// Why it cannot be stored.
    pub reason: Reason,
    /// The same in words, with the values concerned.
    pub message: String,
}

/// Consecutive records that were rejected for the same reason. Records are counted from 0 in the request's
/// order; a metric without data counts as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RejectedRun {
    /// The index of the first one.
    pub first: u64,
    /// Their number.
    pub count: u64,
    /// The reason.
    pub reason: Reason,
}

/// Receives batches as they close.
pub trait BatchSink {
    /// Receives a batch, which has at least one row. Batches of a table come in the request's order; those of
    /// different tables alternate. If the sink keeps none of a batch's arrays, their memory is reused.
    ///
    /// # Errors
    /// Any error ends the conversion, which returns it.
    fn batch(&mut self, batch: &TableBatch) -> Result<()>;

    /// Discards everything received so far: the request is converted again, because its text contains invalid
    /// UTF-8. Called at most once, possibly before any batch.
    fn restart(&mut self);
}

/// The result of converting a request, besides its rows.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Rejected records and points.
    pub rejected: u64,
    /// The same by reason.
    pub rejected_by: ReasonCounts,
    /// The first few of them (at most 16), for the message.
    pub rejections: Vec<Rejection>,
    /// The rejected records, in order.
    pub rejected_runs: Vec<RejectedRun>,
    /// The repairs.
    pub repairs: Repairs,
}

/// Converts a serialized `Export{Logs,Trace,Metrics}ServiceRequest` and passes batches to `sink`.
///
/// # Errors
/// `Decode` (permanent) when the bytes are not a well-formed message; the sink's own error. In either case
/// the batches passed to the sink are invalid.
pub fn convert_into(
    signal: Signal,
    payload: &[u8],
    options: &ConvertOptions,
    sink: &mut dyn BatchSink,
) -> Result<Summary> {
    convert_all_into(
        signal,
        std::iter::once(payload),
        options,
        &mut Memory::default(),
        sink,
    )
}

/// Converts serialized requests of one signal in order, as [`convert_into`] would convert their
/// concatenation. Only paths differ: they start again in each request. `memory` comes from an earlier
/// conversion or is empty.
///
/// # Errors
/// As [`convert_into`].
pub fn convert_all_into<'a>(
    signal: Signal,
    requests: impl Iterator<Item = &'a [u8]> + Clone,
    options: &ConvertOptions,
    memory: &mut Memory,
    sink: &mut dyn BatchSink,
) -> Result<Summary> {
    let bytes = requests.clone().map(<[u8]>::len).sum();
    let context = Context::new(options, bytes, false, sink);
    let summary = match convert_with(signal, requests.clone(), memory, context) {
        // Some text is not UTF-8.
        Err(Stop::Arrow(_)) => {
            sink.restart();
            let context = Context::new(options, bytes, true, sink);
            convert_with(signal, requests, memory, context)
        }
        summary => summary,
    };
    summary.map_err(|stop| match stop {
        Stop::Decode(error) => refusal(signal, error),
        Stop::Arrow(cause) => {
            Error::new(ErrorKind::Internal, "the rows do not make an Arrow batch").because(cause)
        }
        Stop::Sink(error) => error,
    })
}

/// The complete result for one request.
#[derive(Debug, Clone, Default)]
pub struct Converted {
    /// Batches in table order; a table has several when one would exceed a limit. None is empty.
    pub batches: Vec<TableBatch>,
    /// Rejected records and points.
    pub rejected: u64,
    /// The first few of them (at most 16), for the message.
    pub rejections: Vec<Rejection>,
    /// The repairs.
    pub repairs: Repairs,
}

/// Converts like [`convert_into`] and collects all batches in memory.
///
/// # Errors
/// `Decode` (permanent) when the bytes are not a well-formed message; there is no result then.
pub fn convert(signal: Signal, payload: &[u8], options: &ConvertOptions) -> Result<Converted> {
    let mut batches = Collected::default();
    let summary = convert_into(signal, payload, options, &mut batches)?;
    let Collected(mut batches) = batches;
    batches.sort_by_key(|batch| batch.table);
    Ok(Converted {
        batches,
        rejected: summary.rejected,
        rejections: summary.rejections,
        repairs: summary.repairs,
    })
}

#[derive(Default)]
struct Collected(Vec<TableBatch>);

impl BatchSink for Collected {
    fn batch(&mut self, batch: &TableBatch) -> Result<()> {
        self.0.push(batch.clone());
        Ok(())
    }

    fn restart(&mut self) {
        self.0.clear();
    }
}

fn convert_with<'a>(
    signal: Signal,
    requests: impl Iterator<Item = &'a [u8]>,
    memory: &mut Memory,
    mut context: Context,
) -> Result<Summary, Stop> {
    match signal {
        Signal::Logs => logs::convert(requests, memory, &mut context)?,
        Signal::Traces => traces::convert(requests, memory, &mut context)?,
        Signal::Metrics => metrics::convert(requests, memory, &mut context)?,
    }
    Ok(context.into_summary())
}

/// Rule 13: rejects the whole request, with the path of the first invalid field.
fn refusal(signal: Signal, error: DecodeError) -> Error {
    Error::new(ErrorKind::Decode, "the request is not well-formed OTLP protobuf")
        .with("signal", signal.as_str())
        .because(error)
}

/// Why conversion stops early.
#[derive(Debug)]
enum Stop {
    /// The bytes are malformed.
    Decode(DecodeError),
    /// A column cannot be built. Offsets, lengths and types fit by construction, so its text is not UTF-8.
    Arrow(ArrowError),
    /// The sink returned an error.
    Sink(Error),
}

impl Stop {
    /// Prepends the element of a repeated field to the path.
    fn in_element(self, name: &'static str, index: usize) -> Self {
        match self {
            Stop::Decode(error) => Stop::Decode(error.in_element(name, index)),
            stop @ (Stop::Arrow(_) | Stop::Sink(_)) => stop,
        }
    }

    /// Prepends a field to the path.
    fn in_field(self, name: &'static str) -> Self {
        match self {
            Stop::Decode(error) => Stop::Decode(error.in_field(name)),
            stop @ (Stop::Arrow(_) | Stop::Sink(_)) => stop,
        }
    }
}

impl From<DecodeError> for Stop {
    fn from(error: DecodeError) -> Self {
        Stop::Decode(error)
    }
}

impl From<ArrowError> for Stop {
    fn from(error: ArrowError) -> Self {
        Stop::Arrow(error)
    }
}
