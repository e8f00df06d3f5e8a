//! Views to Arrow: one batch per table that the request fills. Pure: no I/O, no clock.

use arrow_array::RecordBatch;

use crate::error::Result;
use crate::signal::{Signal, Table};

/// What conversion needs from its caller.
#[derive(Debug, Clone, Copy)]
pub struct ConvertOptions {
    /// When the request arrived, nanoseconds since the Unix epoch: the time of a record that has none.
    pub arrival_time_unix_nano: u64,
    /// A batch is closed before a string column's bytes pass this (below `i32::MAX`, the reach of Arrow's offsets).
    pub column_bytes_max: usize,
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
    /// Values nested deeper than 64 levels, stored as null.
    pub nesting: u64,
    /// Trace and span ids of a wrong length or all zero, stored as null. (Absent ids are not counted.)
    pub invalid_ids: u64,
    /// Times above `i64::MAX` nanoseconds, stored as null (or the fallback time).
    pub invalid_times: u64,
}

/// A record or data point that was left out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Its path, such as `resource_metrics[0].scope_metrics[2].metrics[1].histogram.data_points[4]`.
    pub path: String,
    /// Why it cannot be stored.
    pub reason: String,
}

/// All that one request gives.
#[derive(Debug, Clone, Default)]
pub struct Converted {
    /// Batches in table order; a table has several when one would pass `column_bytes_max`. None is empty.
    pub batches: Vec<TableBatch>,
    /// Records and points that were left out.
    pub rejected: u64,
    /// The first few of them (at most 16), for the message.
    pub rejections: Vec<Rejection>,
    /// What was mended.
    pub repairs: Repairs,
}

/// Converts a serialized `Export{Logs,Trace,Metrics}ServiceRequest`.
///
/// # Errors
/// `Decode` (permanent) when the bytes are not a well-formed message; nothing is converted then.
pub fn convert(_signal: Signal, _payload: &[u8], _options: &ConvertOptions) -> Result<Converted> {
    todo!()
}
