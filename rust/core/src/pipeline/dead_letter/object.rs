//! One dead letter: the bytes, and the JSON that gives the reason.

use serde::Serialize;

use super::time::Utc;
use crate::decode::Place;
use crate::error::{Error, ErrorKind, Result};
use crate::reason::Reason;
use crate::request::{IdRange, RequestId};
use crate::signal::Signal;

/// The version of the JSON's layout.
const VERSION: u32 = 1;
/// Maximum number of runs of neighbouring records in the JSON; all records are counted.
const RUNS_MAX: usize = 1_000;

/// A request to be kept, and why.
#[derive(Debug)]
pub(super) struct Object {
    /// Its path under the signal's folder of the day, without a suffix.
    pub name: String,
    /// The serialized request.
    pub bytes: Vec<u8>,
    /// The JSON beside it.
    pub why: Why,
}

/// The JSON beside a dead letter.
#[derive(Debug, Serialize)]
pub(super) struct Why {
    version: u32,
    /// `logs`, `traces` or `metrics`.
    signal: &'static str,
    /// When the exporter received it (RFC 3339); this is the time of records without one.
    received: String,
    /// Whether it is a whole request as received, rather than records of one or more.
    whole_request: bool,
    /// The number of records; 1 for a whole request whose records cannot be counted.
    records: u64,
    /// In the file's order; neighbours with the same reason share a run.
    runs: Vec<Run>,
    /// Records that are in no run above.
    more_records: u64,
}

/// Neighbouring records of one request, left out for the same reason.
#[derive(Debug, Serialize)]
struct Run {
    /// The request's id: its writer in hex and its number.
    request: String,
    /// The first record's path in that request; `None` for a whole request.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    records: u64,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// The report on one record, or on a whole request.
#[derive(Debug, Clone, Copy)]
pub(super) struct RejectionReport<'a> {
    pub request: RequestId,
    /// `None` for a whole request.
    pub place: Option<Place>,
    /// 1 for a record.
    pub records: u64,
    pub reason: Reason,
    pub table: Option<&'a str>,
    pub message: Option<&'a str>,
}

impl Object {
    /// Creates an empty object.
    pub(super) fn new(name: String, signal: Signal, received: Utc, whole_request: bool) -> Self {
        Self {
            name,
            bytes: Vec::new(),
            why: Why {
                version: VERSION,
                signal: signal.as_str(),
                received: received.timestamp(),
                whole_request,
                records: 0,
                runs: Vec::new(),
                more_records: 0,
            },
        }
    }

    /// The number of records.
    pub(super) fn records(&self) -> u64 {
        self.why.records
    }

    /// The JSON's text.
    ///
    /// # Errors
    /// `Internal` when it cannot be written.
    pub(super) fn json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec_pretty(&self.why)
            .map_err(|cause| Error::new(ErrorKind::Internal, "a dead letter's JSON").because(cause))
    }
}

impl Why {
    /// Reports the next record, or the whole request.
    pub(super) fn report(&mut self, report: RejectionReport<'_>) {
        self.records += report.records;
        let request = IdRange {
            writer: report.request.writer,
            from: report.request.sequence,
            to: report.request.sequence,
        };
        let request = request.to_string();
        let reason = report.reason.as_str();
        let is_full = self.runs.len() == RUNS_MAX;
        match self.runs.last_mut() {
            Some(run)
                if self.more_records == 0
                    && run.reason == reason
                    && run.table.as_deref() == report.table
                    && run.message.as_deref() == report.message
                    && run.request == request =>
            {
                run.records += report.records;
            }
            _ if is_full => self.more_records += report.records,
            _ => self.runs.push(Run {
                request,
                path: report.place.map(|place| place.to_string()),
                records: report.records,
                reason,
                table: report.table.map(str::to_owned),
                message: report.message.map(str::to_owned),
            }),
        }
    }
}
