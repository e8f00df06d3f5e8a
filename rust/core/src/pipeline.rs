//! The whole way, for one request: decode, convert, write, commit.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::error::Result;
use crate::request::Part;
use crate::signal::Signal;

/// One call: a payload and who it is.
#[derive(Debug)]
pub struct Export<'a> {
    /// Which service's request the payload is.
    pub signal: Signal,
    /// A serialized `Export*ServiceRequest`; several may be concatenated, which is their merge.
    pub payload: &'a [u8],
    /// The requests in the payload, in order; their lengths add up to the payload's.
    pub parts: &'a [Part],
    /// Stops the call before its commit is begun.
    pub cancel: CancellationToken,
    /// How long the call may take.
    pub timeout: Duration,
}

/// What became of a call that did not fail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Rows that are now in tables.
    pub rows: u64,
    /// Records and points left out, with `rejection` saying why.
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
    /// Strings stored with U+FFFD for invalid UTF-8.
    pub repaired_utf8: u64,
    /// Values nested too deeply, stored as null.
    pub repaired_nesting: u64,
    /// Invalid ids, stored as null.
    pub repaired_ids: u64,
    /// Times out of range, stored as null.
    pub repaired_times: u64,
    /// The first reasons why records were left out; empty if none was.
    pub rejection: String,
}

/// The library, opened: a catalog and a committer per table.
#[derive(Debug)]
pub struct Pipeline {}

impl Pipeline {
    /// Opens the catalog. Tables are made on the first write of each.
    ///
    /// # Errors
    /// `Config` when the configuration cannot work.
    pub async fn open(_config: Config) -> Result<Self> {
        todo!()
    }

    /// Stores one payload. When it returns `Ok`, the rows are in snapshots.
    ///
    /// # Errors
    /// See [`crate::ErrorKind`]; the error's retry class says what to do.
    pub async fn export(&self, _export: Export<'_>) -> Result<Outcome> {
        todo!()
    }

    /// Refuses new calls and waits for those in flight.
    pub async fn close(&self) {}
}
