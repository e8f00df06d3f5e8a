//! The ABI shared by both sides: numbers, structs, and the calls that compare them.

use std::ffi::{CStr, c_char};
use std::mem::size_of;

use otlp2iceberg::{Error, ErrorKind, Outcome, Part, Reason, RequestId, Signal};

use crate::borrow;
use crate::error::AbiError;
use crate::guard::guard_or;

/// The version of this interface. It changes whenever a caller compiled against the old header could
/// misread the new library; compare it with `o2i_abi_version()` before any other call.
pub const O2I_ABI_VERSION: u32 = 6;

/// The call did what it says.
pub const O2I_OK: i32 = 0;
/// The configuration is wrong; the message lists every problem with its key.
pub const O2I_ERROR_CONFIG: i32 = 1;
/// The payload is not the OTLP message that it should be; the message names the path.
pub const O2I_ERROR_DECODE: i32 = 2;
/// Some records were rejected by themselves and the rest is stored.
pub const O2I_ERROR_REJECTED: i32 = 3;
/// The table that exists cannot hold our rows.
pub const O2I_ERROR_TABLE_MISMATCH: i32 = 4;
/// Reading or writing a file failed.
pub const O2I_ERROR_STORAGE: i32 = 5;
/// The catalog refused, or could not be reached before anything was sent to it.
pub const O2I_ERROR_CATALOG: i32 = 6;
/// A commit was sent and its outcome is not known.
pub const O2I_ERROR_COMMIT_UNKNOWN: i32 = 7;
/// The caller cancelled, or the time allowed ran out, before anything was committed.
pub const O2I_ERROR_CANCELLED: i32 = 8;
/// The handle is closing or closed.
pub const O2I_ERROR_SHUTDOWN: i32 = 9;
/// A configured limit was passed.
pub const O2I_ERROR_LIMIT: i32 = 10;
/// A bug in the library: a caught panic, a broken invariant, a poisoned handle.
pub const O2I_ERROR_INTERNAL: i32 = 11;
/// The caller broke the contract of this interface.
pub const O2I_ERROR_INVALID_ARGUMENT: i32 = 12;

/// No error.
pub const O2I_RETRY_CLASS_NONE: i32 = 0;
/// Send the same request again, not before `retry_after_ms`.
pub const O2I_RETRY_CLASS_RETRY: i32 = 1;
/// Sending it again cannot help.
pub const O2I_RETRY_CLASS_PERMANENT: i32 = 2;
/// All but the rejected records is stored; do not send it again.
pub const O2I_RETRY_CLASS_PARTIAL: i32 = 3;
/// The process is stopping; keep the request for the next one.
pub const O2I_RETRY_CLASS_SHUTDOWN: i32 = 4;

/// The payload is an `ExportLogsServiceRequest`.
pub const O2I_SIGNAL_LOGS: u32 = 1;
/// The payload is an `ExportTraceServiceRequest`.
pub const O2I_SIGNAL_TRACES: u32 = 2;
/// The payload is an `ExportMetricsServiceRequest`.
pub const O2I_SIGNAL_METRICS: u32 = 3;

/// No line of the log.
pub const O2I_LOG_NONE: i32 = 0;
/// A line that asks for somebody.
pub const O2I_LOG_ERROR: i32 = 1;
/// A line that warns.
pub const O2I_LOG_WARN: i32 = 2;

/// Place in `rejected_by`: the request is no well-formed message.
pub const O2I_REASON_MALFORMED: usize = 0;
/// Place in `rejected_by`: the request is above `limits.payload_bytes_max`.
pub const O2I_REASON_PAYLOAD_TOO_LARGE: usize = 1;
/// Place in `rejected_by`: the request has more records than `limits.records_per_request_max`.
pub const O2I_REASON_TOO_MANY_RECORDS: usize = 2;
/// Place in `rejected_by`: a metric without data.
pub const O2I_REASON_NO_DATA: usize = 3;
/// Place in `rejected_by`: a data point that contradicts itself, or with a number no column holds.
pub const O2I_REASON_INVALID_POINT: usize = 4;
/// Place in `rejected_by`: a record that fills a column of a batch by itself.
pub const O2I_REASON_RECORD_TOO_LARGE: usize = 5;
/// Place in `rejected_by`: a row beyond `limits.partitions_max`.
pub const O2I_REASON_TOO_MANY_PARTITIONS: usize = 6;
/// Place in `rejected_by`: the table cannot take its rows.
pub const O2I_REASON_TABLE: usize = 7;
/// Place in `rejected_by`: the request makes the library panic.
pub const O2I_REASON_PANIC: usize = 8;
/// Places in `rejected_by`: the reasons above, and room for more.
pub const O2I_REASON_PLACES: usize = 16;

// The numbers above are literals so that they appear in the header; the library's own numbers are
// authoritative.
const _: () = {
    assert!(O2I_ERROR_CONFIG == ErrorKind::Config.code());
    assert!(O2I_ERROR_DECODE == ErrorKind::Decode.code());
    assert!(O2I_ERROR_REJECTED == ErrorKind::Rejected.code());
    assert!(O2I_ERROR_TABLE_MISMATCH == ErrorKind::TableMismatch.code());
    assert!(O2I_ERROR_STORAGE == ErrorKind::Storage.code());
    assert!(O2I_ERROR_CATALOG == ErrorKind::Catalog.code());
    assert!(O2I_ERROR_COMMIT_UNKNOWN == ErrorKind::CommitUnknown.code());
    assert!(O2I_ERROR_CANCELLED == ErrorKind::Cancelled.code());
    assert!(O2I_ERROR_SHUTDOWN == ErrorKind::Shutdown.code());
    assert!(O2I_ERROR_LIMIT == ErrorKind::Limit.code());
    assert!(O2I_ERROR_INTERNAL == ErrorKind::Internal.code());
    assert!(O2I_ERROR_INVALID_ARGUMENT == ErrorKind::InvalidArgument.code());
    assert!(O2I_REASON_MALFORMED == Reason::Malformed as usize);
    assert!(O2I_REASON_PAYLOAD_TOO_LARGE == Reason::PayloadTooLarge as usize);
    assert!(O2I_REASON_TOO_MANY_RECORDS == Reason::TooManyRecords as usize);
    assert!(O2I_REASON_NO_DATA == Reason::NoData as usize);
    assert!(O2I_REASON_INVALID_POINT == Reason::InvalidPoint as usize);
    assert!(O2I_REASON_RECORD_TOO_LARGE == Reason::RecordTooLarge as usize);
    assert!(O2I_REASON_TOO_MANY_PARTITIONS == Reason::TooManyPartitions as usize);
    assert!(O2I_REASON_TABLE == Reason::Table as usize);
    assert!(O2I_REASON_PANIC == Reason::Panic as usize);
    assert!(Reason::ALL.len() <= O2I_REASON_PLACES);
};

/// One request inside a payload: who it is and how many of the payload's bytes are its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct AbiPart {
    /// The writer's id: random per process start, or the content's hash.
    pub writer: [u8; 16],
    /// The writer's number for this request.
    pub sequence: u64,
    /// Length in bytes of the request's serialized message inside the payload.
    pub len: u64,
}

impl From<AbiPart> for Part {
    fn from(part: AbiPart) -> Self {
        Part {
            id: RequestId {
                writer: part.writer,
                sequence: part.sequence,
            },
            len: part.len,
        }
    }
}

/// What became of a call that stored something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct AbiOutcome {
    /// Rows that are now in tables.
    pub rows: u64,
    /// Records and points left out; the error's message says why.
    pub rejected: u64,
    /// Data files written.
    pub files: u64,
    /// Their bytes.
    pub file_bytes: u64,
    /// Commits that hold them.
    pub commits: u64,
    /// Commit attempts made.
    pub commit_attempts: u64,
    /// Requests that the tables held already and that were left out, counted once per table.
    pub already_committed: u64,
    /// Receipts written because the catalog did not commit (`commit.on_failure: accept`), one per table.
    pub receipts_written: u64,
    /// Rows that are in them, stored and in no table yet.
    pub receipt_rows: u64,
    /// Receipts, of any process and table, that this one committed since the last call.
    pub receipts_committed: u64,
    /// Strings stored with U+FFFD for invalid UTF-8.
    pub repaired_utf8: u64,
    /// Values nested too deeply, stored as null.
    pub repaired_nesting: u64,
    /// Invalid ids, stored as null.
    pub repaired_ids: u64,
    /// Times out of range, stored as null.
    pub repaired_times: u64,
    /// Values left out because their table has no such column.
    pub values_left_out: u64,
    /// Texts cut at `limits.value_bytes_max`.
    pub cut_texts: u64,
    /// Attributes dropped beyond `limits.attributes_max`.
    pub dropped_attributes: u64,
    /// What `rejected` is made of, by `O2I_REASON_*`; places without a reason are 0.
    pub rejected_by: [u64; O2I_REASON_PLACES],
    /// Those of `rejected` that are kept as dead letters.
    pub dead_letter_records: u64,
    /// Dead letters written.
    pub dead_letter_objects: u64,
    /// Microseconds from handing the files to the committers to the last answer; 0 without commits.
    pub commit_micros: u64,
    /// 1 when the call had to wait for `limits.in_flight_bytes_max`.
    pub in_flight_waits: u64,
    /// Files that small ones were merged into since the last call of the same signal.
    pub merges: u64,
    /// Small files that these took the place of.
    pub merged_files: u64,
    /// Rounds of compaction that ended with a failure, once per table.
    pub merge_failures: u64,
}

impl From<&Outcome> for AbiOutcome {
    fn from(outcome: &Outcome) -> Self {
        AbiOutcome {
            rows: outcome.rows,
            rejected: outcome.rejected,
            files: outcome.files,
            file_bytes: outcome.file_bytes,
            commits: outcome.commits,
            commit_attempts: outcome.commit_attempts,
            already_committed: outcome.already_committed,
            receipts_written: outcome.receipts_written,
            receipt_rows: outcome.receipt_rows,
            receipts_committed: outcome.receipts_committed,
            repaired_utf8: outcome.repaired_utf8,
            repaired_nesting: outcome.repaired_nesting,
            repaired_ids: outcome.repaired_ids,
            repaired_times: outcome.repaired_times,
            values_left_out: outcome.values_left_out,
            cut_texts: outcome.cut_texts,
            dropped_attributes: outcome.dropped_attributes,
            rejected_by: std::array::from_fn(|place| {
                let reason = Reason::ALL.get(place);
                reason.map_or(0, |reason| outcome.rejected_by.of(*reason))
            }),
            dead_letter_records: outcome.dead_letter_records,
            dead_letter_objects: outcome.dead_letter_objects,
            commit_micros: outcome.commit_micros,
            in_flight_waits: outcome.in_flight_waits,
            merges: outcome.merges.made,
            merged_files: outcome.merges.replaced,
            merge_failures: outcome.merges.failures,
        }
    }
}

/// The signal of one of the `O2I_SIGNAL_*` numbers.
pub(crate) fn signal(number: u32) -> Result<Signal, Error> {
    match number {
        O2I_SIGNAL_LOGS => Ok(Signal::Logs),
        O2I_SIGNAL_TRACES => Ok(Signal::Traces),
        O2I_SIGNAL_METRICS => Ok(Signal::Metrics),
        other => Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("signal is {other}; it must be 1 (logs), 2 (traces) or 3 (metrics)"),
        )),
    }
}

/// Converts the parts to the library's type, after checking that they cover the payload.
pub(crate) fn parts_of(parts: &[AbiPart], payload: &[u8]) -> Result<Vec<Part>, Error> {
    let total = parts
        .iter()
        .try_fold(0_u64, |total, part| total.checked_add(part.len));
    if total != u64::try_from(payload.len()).ok() {
        return Err(borrow::invalid(format!(
            "the lengths of the parts add up to {}, but the payload has {} bytes",
            total.map_or("more than 64 bits hold".into(), |total| total.to_string()),
            payload.len(),
        )));
    }
    Ok(parts.iter().copied().map(Part::from).collect())
}

/// Gives the version of the interface that the library was built with.
///
/// # Returns
/// `O2I_ABI_VERSION` as the library knows it. A caller refuses to go on when it differs from its own.
#[unsafe(no_mangle)]
pub extern "C" fn o2i_abi_version() -> u32 {
    guard_or(0, || O2I_ABI_VERSION)
}

/// Gives the sizes of the structs as the library was built with, to be compared with the caller's.
///
/// # Returns
/// `sizeof(o2i_part) | sizeof(o2i_outcome) << 16 | sizeof(o2i_error) << 32`, in 64 bits.
#[unsafe(no_mangle)]
pub extern "C" fn o2i_abi_layout() -> u64 {
    const LAYOUT: u64 = size_of::<AbiPart>() as u64
        | (size_of::<AbiOutcome>() as u64) << 16
        | (size_of::<AbiError>() as u64) << 32;
    guard_or(0, || LAYOUT)
}

/// Gives the library's version, such as `0.1.0`.
///
/// # Returns
/// A NUL-terminated ASCII string that lives as long as the process; never null, not to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn o2i_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => panic!("the version has a NUL inside"),
        };
    guard_or(c"".as_ptr(), || VERSION.as_ptr())
}
