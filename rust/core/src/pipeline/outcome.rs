//! The outcome of a call, accumulated while it runs.

use super::admission::{Refusal, Refused};
use super::dead_letter::{Kept, Store};
use crate::commit::Stored;
use crate::convert::Summary;
use crate::reason::{Reason, ReasonCounts};

/// Maximum number of refused requests whose reason is reported; all are counted.
const REFUSED_TOLD_MAX: u64 = 16;

/// The outcome of a successful call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Rows that this call added to tables.
    pub rows: u64,
    /// Records and points left out; `rejection` says why. A request that was refused as a whole counts as one
    /// if its records cannot be counted.
    pub rejected: u64,
    /// `rejected` by reason.
    pub rejected_by: ReasonCounts,
    /// Requests that were refused as a whole.
    pub refused_requests: u64,
    /// Rejected records that are kept as dead letters.
    pub dead_letter_records: u64,
    /// Dead letters written.
    pub dead_letter_objects: u64,
    /// Data files written.
    pub files: u64,
    /// Bytes of these files.
    pub file_bytes: u64,
    /// Commits that hold them, one per table.
    pub commits: u64,
    /// Commit attempts made.
    pub commit_attempts: u64,
    /// Microseconds from passing the files to the committers to the last answer; 0 without commits.
    pub commit_micros: u64,
    /// 1 when the call had to wait for `limits.in_flight_bytes_max`.
    pub in_flight_waits: u64,
    /// Requests that were left out because a table, or a receipt, already held them; counted once per table.
    pub already_committed: u64,
    /// Receipts written because the catalog did not commit, one per table.
    pub receipts_written: u64,
    /// Rows in these receipts, which are in no table yet.
    pub receipt_rows: u64,
    /// Receipts of any process and table that this one committed since the last call.
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
    /// What compaction did to the signal's tables since the last call of the same signal.
    pub merges: CompactionCounts,
    /// The first reasons why records were left out; empty if there are none.
    pub rejection: String,
}

/// What compaction did in the background.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CompactionCounts {
    /// Files created.
    pub made: u64,
    /// Files that they replaced.
    pub replaced: u64,
    /// Rounds that failed, counted once per table.
    pub failures: u64,
}

impl CompactionCounts {
    pub(super) fn add(&mut self, more: Self) {
        self.made += more.made;
        self.replaced += more.replaced;
        self.failures += more.failures;
    }
}

/// The result of one append.
pub(super) struct Added {
    pub(super) rows: u64,
    pub(super) files: u64,
    pub(super) file_bytes: u64,
    /// `None` when there is no catalog, and only files are written.
    pub(super) stored: Option<Stored>,
}

impl Outcome {
    /// The counts of a conversion.
    pub(super) fn of(summary: &Summary) -> Self {
        let reasons: Vec<String> = summary
            .rejections
            .iter()
            .map(|rejection| format!("{}: {}", rejection.path, rejection.message))
            .collect();
        Outcome {
            rejected: summary.rejected,
            rejected_by: summary.rejected_by,
            rejection: reasons.join("; "),
            repaired_utf8: summary.repairs.invalid_utf8,
            repaired_nesting: summary.repairs.nesting,
            repaired_ids: summary.repairs.invalid_ids,
            repaired_times: summary.repairs.invalid_times,
            cut_texts: summary.repairs.cut_texts,
            dropped_attributes: summary.repairs.dropped_attributes,
            ..Outcome::default()
        }
    }

    pub(super) fn add(&mut self, added: &Added) {
        self.files += added.files;
        self.file_bytes += added.file_bytes;
        match added.stored {
            None => self.rows += added.rows,
            Some(Stored::Committed(committed)) => {
                self.commits += 1;
                self.commit_attempts += u64::from(committed.attempts);
                if !committed.already_there {
                    self.rows += added.rows;
                }
            }
            Some(Stored::Receipt { written: true }) => {
                self.receipts_written += 1;
                self.receipt_rows += added.rows;
            }
            Some(Stored::Receipt { written: false }) => {}
        }
    }

    /// Counts rows that an earlier attempt with an unknown outcome had added.
    pub(super) fn find(&mut self, added: &Added) {
        self.add(added);
        self.commits += 1;
    }

    pub(super) fn reject(&mut self, reason: Reason, count: u64, message: &str) {
        if count == 0 {
            return;
        }
        self.rejected += count;
        self.rejected_by.add(reason, count);
        self.say(message);
    }

    /// Counts a request that was refused as a whole. Reports the reason for the first few.
    pub(super) fn refuse(&mut self, refused: &Refused<'_>) {
        let Refusal {
            reason,
            message,
            records,
        } = refused.why;
        self.rejected += records;
        self.rejected_by.add(*reason, *records);
        if self.refused_requests < REFUSED_TOLD_MAX {
            self.say(message);
        }
        self.refused_requests += 1;
    }

    /// Counts dead letters and reports their location.
    pub(super) fn keep(&mut self, store: &Store, kept: Kept) {
        if kept.objects == 0 {
            return;
        }
        if self.dead_letter_objects == 0 {
            self.say(&format!("what was left out is kept in {}", store.location()));
        }
        self.dead_letter_objects += kept.objects;
        self.dead_letter_records += kept.records;
    }

    fn say(&mut self, message: &str) {
        if !self.rejection.is_empty() {
            self.rejection.push_str("; ");
        }
        self.rejection.push_str(message);
    }
}
