//! Views to Arrow: batches for each table that the request fills. Pure: no I/O, no clock.
//!
//! One pass goes from views to column builders. What is the same for all rows of a resource, a scope or
//! a metric is rendered once and referred to. Text is copied unchecked first and validated once per
//! column, when a batch is closed; only if that finds invalid UTF-8 is the request converted
//! again, with each text checked and mended on its way.
//!
//! What all rows of a resource share is in a batch once, and the rows refer to it. Still rows can be larger than their
//! request. Hence batches are given away as they close, and what is open at a time is bounded.
//!
//! The mapping rules are those of `docs/schema.md`; "rule n" in comments is its list.

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
mod keys;
mod labels;
mod lists;
mod logs;
mod memory;
mod metrics;
mod numbers;
mod points;
mod series_map;
mod shared;
mod shared_map;
mod subject;
mod summaries;
mod table;
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
    /// When the request arrived, nanoseconds since the Unix epoch: the time of a record that has none.
    pub arrival_time_unix_nano: u64,
    /// A batch is closed before a string column's bytes pass this (at most `i32::MAX`, the reach of
    /// Arrow's offsets). A record that passes it by itself is rejected.
    pub column_bytes_max: usize,
    /// A batch, the largest, is closed when the columns of all open batches together hold this many
    /// bytes. So no batch is larger than this and one row. It is closed earlier where batches of about one size are no more of
    /// them.
    pub batch_bytes_max: usize,
    /// Bounds on what a record may hold.
    pub values: ValueLimits,
}

/// Bounds on what a record may hold; what is beyond is cut off, counted, and the record is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueLimits {
    /// Attributes in one list; those after the first so many are dropped.
    pub attributes_max: usize,
    /// Bytes of one text as it is stored; it is cut at the end of a character.
    pub text_bytes_max: usize,
    /// Levels of nested values that are kept, at most [`ValueLimits::NESTING_MAX`].
    pub nesting_max: u32,
}

impl ValueLimits {
    /// The deepest nesting that can be kept: it bounds the recursion.
    pub const NESTING_MAX: u32 = 64;
}

/// No limit but that of nesting.
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

/// What was mended on the way, so that it can be counted; the rows are stored.
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
    /// Texts cut at [`ValueLimits::text_bytes_max`].
    pub cut_texts: u64,
    /// Attributes beyond [`ValueLimits::attributes_max`], which are in the counts of dropped ones.
    pub dropped_attributes: u64,
}

/// A record or data point that was left out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Its path, such as `resource_metrics[0].scope_metrics[2].metrics[1].histogram.data_points[4]`,
    /// with the names of its metric and its service: ` (metric "requests" of service "cart")`.
    pub path: String,
    /// Why it cannot be stored, in a word.
    pub code: Reason,
    /// Why it cannot be stored.
    pub reason: String,
}

/// Neighbouring records that were left out for the same reason. Records are counted from 0 in the
/// request's order; a metric without data counts as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RejectedRun {
    /// The first of them.
    pub first: u64,
    /// How many there are.
    pub count: u64,
    /// Why.
    pub code: Reason,
}

/// Takes batches as they close.
pub trait BatchSink {
    /// Takes a batch, which has at least one row. Batches of a table come in the request's order;
    /// those of different tables alternate. Who keeps none of its arrays lets their memory be used again.
    ///
    /// # Errors
    /// Any error ends the conversion, which returns it.
    fn batch(&mut self, batch: &TableBatch) -> Result<()>;

    /// Everything given so far is void, and the request is converted anew: its text turned out to be
    /// invalid UTF-8. Comes at most once, and maybe before any batch.
    fn restart(&mut self);
}

/// What there is to tell of a request besides its rows.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Records and points that were left out.
    pub rejected: u64,
    /// The same by reason.
    pub rejected_by: ReasonCounts,
    /// The first few of them (at most 16), for the message.
    pub rejections: Vec<Rejection>,
    /// Which records were left out, in order.
    pub rejected_runs: Vec<RejectedRun>,
    /// What was mended.
    pub repairs: Repairs,
}

/// Converts a serialized `Export{Logs,Trace,Metrics}ServiceRequest`, giving batches to `sink`.
///
/// # Errors
/// `Decode` (permanent) when the bytes are not a well-formed message; the sink's own error. In either
/// case what the sink was given is void.
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

/// Converts serialized requests of one signal, one after the other, as [`convert_into`] would convert what
/// they are when they are concatenated. Only paths differ: they begin anew in each request. `memory` is that of a
/// conversion before, or none.
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
        // The text was not UTF-8 after all.
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

/// All that one request gives.
#[derive(Debug, Clone, Default)]
pub struct Converted {
    /// Batches in table order; a table has several when one would pass a limit. None is empty.
    pub batches: Vec<TableBatch>,
    /// Records and points that were left out.
    pub rejected: u64,
    /// The first few of them (at most 16), for the message.
    pub rejections: Vec<Rejection>,
    /// What was mended.
    pub repairs: Repairs,
}

/// Converts like [`convert_into`] and collects the batches, all of which are in memory then.
///
/// # Errors
/// `Decode` (permanent) when the bytes are not a well-formed message; nothing is converted then.
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

/// Rule 13: the whole request is refused, with the path of the first bad field.
fn refusal(signal: Signal, error: DecodeError) -> Error {
    Error::new(ErrorKind::Decode, "the request is not well-formed OTLP protobuf")
        .with("signal", signal.as_str())
        .because(error)
}

/// Why conversion ends early.
#[derive(Debug)]
enum Stop {
    /// The bytes are malformed.
    Decode(DecodeError),
    /// A column cannot be built. Offsets, lengths and types fit by construction, so its text is not UTF-8.
    Arrow(ArrowError),
    /// A batch was not taken.
    Sink(Error),
}

impl Stop {
    /// Names the element of a repeated field that holds what was named so far.
    fn in_element(self, name: &'static str, index: usize) -> Self {
        match self {
            Stop::Decode(error) => Stop::Decode(error.in_element(name, index)),
            stop @ (Stop::Arrow(_) | Stop::Sink(_)) => stop,
        }
    }

    /// Names the field that holds what was named so far.
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
