//! What goes along with one conversion: limits, counts, scratch space and the finished batches.

use std::borrow::Cow;

use super::duplicates::Duplicates;
use super::json::Member;
use super::{ConvertOptions, Converted, Rejection, Repairs, TableBatch};
use crate::decode::Text;

/// How many rejections are told; all are counted.
const REJECTIONS_MAX: usize = 16;
/// The reach of Arrow's 32-bit offsets.
const OFFSET_MAX: usize = i32::MAX as usize;

/// The state of one conversion that every level of it shares.
pub(super) struct Context {
    /// No string column of a batch holds more bytes, and no list more elements.
    pub(super) extent_max: usize,
    /// When the request arrived, nanoseconds since the Unix epoch, in the range of a signed number.
    pub(super) arrival: i64,
    /// What was mended so far.
    pub(super) repairs: Repairs,
    /// Finds keys that come again.
    pub(super) duplicates: Duplicates,
    /// The members of the JSON objects being written, outer ones first.
    pub(super) members: Vec<Member>,
    /// Base64 on its way into a column.
    pub(super) encoded: String,
    /// Whether each text is checked. If not, invalid UTF-8 shows when its column is built.
    checks_text: bool,
    converted: Converted,
}

impl Context {
    /// The start of a conversion.
    pub(super) fn new(options: &ConvertOptions, checks_text: bool) -> Self {
        Self {
            extent_max: options.column_bytes_max.min(OFFSET_MAX),
            arrival: i64::try_from(options.arrival_time_unix_nano).unwrap_or(i64::MAX),
            repairs: Repairs::default(),
            duplicates: Duplicates::default(),
            members: Vec::new(),
            encoded: String::new(),
            checks_text,
            converted: Converted::default(),
        }
    }

    /// All that was converted, batches in table order.
    pub(super) fn into_converted(self) -> Converted {
        let mut converted = self.converted;
        converted.batches.sort_by_key(|batch| batch.table);
        converted.repairs = self.repairs;
        converted
    }

    /// Keeps a finished batch.
    pub(super) fn emit(&mut self, batch: TableBatch) {
        self.converted.batches.push(batch);
    }

    /// Counts a record or point that is left out, and tells of it if it is among the first.
    #[cold]
    pub(super) fn reject(&mut self, path: impl FnOnce() -> String, reason: String) {
        self.converted.rejected += 1;
        if self.converted.rejections.len() < REJECTIONS_MAX {
            self.converted.rejections.push(Rejection { path: path(), reason });
        }
    }

    /// The bytes to store for a text (rule 8).
    #[inline]
    pub(super) fn mended<'a>(&mut self, text: Text<'a>) -> Cow<'a, [u8]> {
        if self.checks_text {
            self.checked(text)
        } else {
            Cow::Borrowed(text.0)
        }
    }

    fn checked<'a>(&mut self, text: Text<'a>) -> Cow<'a, [u8]> {
        match text.to_str_lossy() {
            (Cow::Borrowed(valid), _) => Cow::Borrowed(valid.as_bytes()),
            (Cow::Owned(mended), _) => {
                self.repairs.invalid_utf8 += 1;
                Cow::Owned(mended.into_bytes())
            }
        }
    }
}
