//! The context of one conversion: limits, counts, scratch space and the sink for batches.

use std::borrow::Cow;

use super::duplicates::Duplicates;
use super::json::Member;
use super::repetition::Repetition;
use super::{
    BatchSink, ConvertOptions, RejectedRun, Rejection, Repairs, Stop, Summary, TableBatch, ValueLimits,
};
use crate::decode::Text;
use crate::reason::Reason;

/// The greatest number of rejections that are reported; all are counted.
const REJECTIONS_MAX: usize = 16;
/// A record's bytes take at most this many times their number in the columns, with much to spare: an empty
/// exemplar of two bytes takes 37, control characters in JSON take six for each, replaced bytes three, ids two.
pub(super) const RENDERED_MAX: usize = 32;
/// The greatest value of Arrow's 32-bit offsets.
const OFFSET_MAX: usize = i32::MAX as usize;

/// The state that all levels of one conversion share.
pub(super) struct Context<'s> {
    /// The greatest byte length of a string column and element count of a list in a batch.
    pub(super) extent_max: usize,
    /// Whether the columns' extents stay below that even if all requests go into one batch.
    pub(super) never_overflows: bool,
    /// The bytes that all open batches hold together.
    pub(super) open_bytes: usize,
    /// Those of them that their first rows got from a resource, scope or metric.
    pub(super) shared_bytes: usize,
    /// A batch is closed when the open ones reach this size, bytes.
    pub(super) batch_bytes_max: usize,
    /// The total length of all requests, bytes.
    pub(super) payload_bytes: usize,
    /// The arrival time of the request, nanoseconds since the Unix epoch, within the range of `i64`.
    pub(super) arrival: i64,
    /// Limits on the content of a record.
    pub(super) limits: ValueLimits,
    /// Records so far, including rejected ones.
    pub(super) records: u64,
    /// The repairs so far.
    pub(super) repairs: Repairs,
    /// Limits the attributes that records of the current request share.
    pub(super) repetition: Repetition,
    /// Finds duplicate keys.
    pub(super) duplicates: Duplicates,
    /// The members of the JSON objects being written, outer objects first.
    pub(super) members: Vec<Member>,
    /// A buffer for base64 before it goes into a column.
    pub(super) encoded: String,
    /// The greatest end of the text being written, and whether something was omitted because of it.
    text_end: usize,
    text_is_short: bool,
    /// Whether each text is validated. If not, invalid UTF-8 is found when its column is built.
    checks_text: bool,
    summary: Summary,
    sink: &'s mut dyn BatchSink,
}

impl<'s> Context<'s> {
    /// The start of a conversion.
    pub(super) fn new(
        options: &ConvertOptions,
        payload_bytes: usize,
        checks_text: bool,
        sink: &'s mut dyn BatchSink,
    ) -> Self {
        let extent_max = options.column_bytes_max.min(OFFSET_MAX);
        Self {
            batch_bytes_max: options.batch_bytes_max,
            payload_bytes,
            extent_max,
            never_overflows: payload_bytes.saturating_mul(RENDERED_MAX) <= extent_max,
            open_bytes: 0,
            shared_bytes: 0,
            arrival: i64::try_from(options.arrival_time_unix_nano).unwrap_or(i64::MAX),
            limits: ValueLimits {
                nesting_max: options.values.nesting_max.min(ValueLimits::NESTING_MAX),
                ..options.values
            },
            records: 0,
            repairs: Repairs::default(),
            repetition: Repetition::new(0),
            duplicates: Duplicates::default(),
            members: Vec::new(),
            encoded: String::new(),
            text_end: usize::MAX,
            text_is_short: false,
            checks_text,
            summary: Summary::default(),
            sink,
        }
    }

    /// The summary at the end of the conversion.
    pub(super) fn into_summary(self) -> Summary {
        Summary {
            repairs: self.repairs,
            ..self.summary
        }
    }

    /// Whether each text is validated, and repaired if necessary.
    pub(super) fn checks_text(&self) -> bool {
        self.checks_text
    }

    /// Starts a request of this many bytes.
    pub(super) fn begin_request(&mut self, bytes: usize) {
        self.repetition = Repetition::new(bytes);
    }

    /// Whether the open batches are so large that one must be closed. A long text of a resource is in each
    /// batch again. So at least half of a batch, and half of the limit, are rows.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        let rows = self.open_bytes.saturating_sub(self.shared_bytes);
        self.open_bytes >= self.batch_bytes_max && rows >= self.shared_bytes.max(self.batch_bytes_max / 2)
    }

    /// Sets batches of about equal size for an estimated total of `bytes`, without increasing their number.
    /// Otherwise the last batch would be small, while the others use more memory than necessary. A sixteenth
    /// is added for the error of the estimate.
    pub(super) fn share_out(&mut self, bytes: usize) {
        let batches = bytes.div_ceil(self.batch_bytes_max.max(1)).max(1);
        let share = bytes / batches;
        if batches > 1 {
            self.batch_bytes_max = self.batch_bytes_max.min(share + share / 16);
        }
    }

    /// Passes a finished batch to the sink.
    ///
    /// # Errors
    /// Any error of the sink.
    pub(super) fn emit(&mut self, batch: &TableBatch) -> Result<(), Stop> {
        self.sink.batch(batch).map_err(Stop::Sink)
    }

    /// Counts a rejected record or point, and reports it if it is among the first.
    #[cold]
    pub(super) fn reject(&mut self, path: impl FnOnce() -> String, reason: Reason, message: String) {
        let summary = &mut self.summary;
        summary.rejected += 1;
        summary.rejected_by.add(reason, 1);
        if summary.rejections.len() < REJECTIONS_MAX {
            let path = path();
            summary.rejections.push(Rejection {
                path,
                reason,
                message,
            });
        }
        // A row or another reason separates two runs, so runs take little memory compared with the rows.
        match summary.rejected_runs.last_mut() {
            Some(run) if run.reason == reason && run.first + run.count == self.records => run.count += 1,
            _ => summary.rejected_runs.push(RejectedRun {
                first: self.records,
                count: 1,
                reason,
            }),
        }
        self.records += 1;
    }

    /// The bytes to store for a text (rules 8 and 15).
    #[inline]
    pub(super) fn repaired<'a>(&mut self, text: Text<'a>) -> Cow<'a, [u8]> {
        let is_cut = text.0.len() > self.limits.text_bytes_max;
        let text = if is_cut { Text(self.cut(text.0)) } else { text };
        if self.checks_text {
            self.checked(text, is_cut)
        } else {
            Cow::Borrowed(text.0)
        }
    }

    /// Starts a text that is written in pieces; `start` is its offset in the output.
    pub(super) fn begin_text(&mut self, start: usize) {
        self.text_end = start.saturating_add(self.limits.text_bytes_max);
        self.text_is_short = false;
    }

    /// Whether the text being written is already too long, so that the rest need not be written. An empty
    /// element of a list takes 2 bytes of a request, and fifteen times that while its list is written.
    #[inline]
    pub(super) fn is_cut_at(&mut self, end: usize) -> bool {
        let is_cut = end > self.text_end;
        self.text_is_short |= is_cut;
        is_cut
    }

    /// Ends the text and truncates it if necessary (rule 15).
    #[inline]
    pub(super) fn end_text(&mut self, start: usize, out: &mut Vec<u8>) {
        if out.len() > self.text_end {
            let kept = self.cut(out.get(start..).unwrap_or_default()).len();
            out.truncate(start + kept);
        } else if self.text_is_short {
            // Only one of the members with the same key remains, so the text fits after all.
            self.repairs.cut_texts += 1;
        }
    }

    /// The prefix of a text that is too long, ending at a character boundary (rule 15).
    #[cold]
    pub(super) fn cut<'a>(&mut self, text: &'a [u8]) -> &'a [u8] {
        self.repairs.cut_texts += 1;
        self.start_of(text)
    }

    fn start_of<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        let continues = |at: &usize| text.get(*at).is_some_and(|byte| byte & 0xc0 == 0x80);
        let max = self.limits.text_bytes_max;
        // A character has at most three continuation bytes; a longer sequence is not UTF-8.
        let end = (max.saturating_sub(3)..=max).rev().find(|at| !continues(at));
        text.get(..end.unwrap_or(max)).unwrap_or(text)
    }

    fn checked<'a>(&mut self, text: Text<'a>, is_cut: bool) -> Cow<'a, [u8]> {
        match text.to_str_lossy() {
            (Cow::Borrowed(valid), _) => Cow::Borrowed(valid.as_bytes()),
            (Cow::Owned(repaired), _) => {
                self.repairs.invalid_utf8 += 1;
                let mut repaired = repaired.into_bytes();
                // The replacement of a byte takes three bytes.
                if repaired.len() > self.limits.text_bytes_max {
                    repaired.truncate(self.start_of(&repaired).len());
                    self.repairs.cut_texts += u64::from(!is_cut);
                }
                Cow::Owned(repaired)
            }
        }
    }
}
