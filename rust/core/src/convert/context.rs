//! What goes along with one conversion: limits, counts, scratch space and where batches go.

use std::borrow::Cow;

use super::duplicates::Duplicates;
use super::json::Member;
use super::{
    BatchSink, ConvertOptions, RejectedRun, Rejection, Repairs, Stop, Summary, TableBatch, ValueLimits,
};
use crate::decode::Text;
use crate::reason::Reason;

/// How many rejections are told; all are counted.
const REJECTIONS_MAX: usize = 16;
/// The reach of Arrow's 32-bit offsets.
const OFFSET_MAX: usize = i32::MAX as usize;

/// The state of one conversion that every level of it shares.
pub(super) struct Context<'s> {
    /// No string column of a batch holds more bytes, and no list more elements.
    pub(super) extent_max: usize,
    /// The bytes that all open batches hold together.
    pub(super) open_bytes: usize,
    /// A batch is closed when the open ones hold so many.
    pub(super) batch_bytes_max: usize,
    /// The length of all requests.
    pub(super) payload_bytes: usize,
    /// When the request arrived, nanoseconds since the Unix epoch, in the range of a signed number.
    pub(super) arrival: i64,
    /// Bounds on what a record may hold.
    pub(super) limits: ValueLimits,
    /// Records so far, those left out included.
    pub(super) records: u64,
    /// What was mended so far.
    pub(super) repairs: Repairs,
    /// Finds keys that come again.
    pub(super) duplicates: Duplicates,
    /// The members of the JSON objects being written, outer ones first.
    pub(super) members: Vec<Member>,
    /// Base64 on its way into a column.
    pub(super) encoded: String,
    /// Where the text that is being written ends at the latest, and whether something was left out for that.
    text_end: usize,
    text_is_short: bool,
    /// Whether each text is checked. If not, invalid UTF-8 shows when its column is built.
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
        Self {
            batch_bytes_max: options.batch_bytes_max,
            payload_bytes,
            extent_max: options.column_bytes_max.min(OFFSET_MAX),
            open_bytes: 0,
            arrival: i64::try_from(options.arrival_time_unix_nano).unwrap_or(i64::MAX),
            limits: ValueLimits {
                nesting_max: options.values.nesting_max.min(ValueLimits::NESTING_MAX),
                ..options.values
            },
            records: 0,
            repairs: Repairs::default(),
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

    /// What there is to tell once all is converted.
    pub(super) fn into_summary(self) -> Summary {
        Summary {
            repairs: self.repairs,
            ..self.summary
        }
    }

    /// Whether the open batches hold so much that one must be closed.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.open_bytes >= self.batch_bytes_max
    }

    /// Has batches be of about one size when all of them together take about so many bytes, as few as they are: a last one of
    /// what is left over is small, for memory that the others fill. A sixteenth is added, for what no guess knows.
    pub(super) fn share_out(&mut self, bytes: usize) {
        let batches = bytes.div_ceil(self.batch_bytes_max.max(1)).max(1);
        let share = bytes / batches;
        if batches > 1 {
            self.batch_bytes_max = self.batch_bytes_max.min(share + share / 16);
        }
    }

    /// Gives a finished batch away.
    ///
    /// # Errors
    /// When it is not taken.
    pub(super) fn emit(&mut self, batch: &TableBatch) -> Result<(), Stop> {
        self.sink.batch(batch).map_err(Stop::Sink)
    }

    /// Counts a record or point that is left out, and tells of it if it is among the first.
    #[cold]
    pub(super) fn reject(&mut self, path: impl FnOnce() -> String, code: Reason, reason: String) {
        let summary = &mut self.summary;
        summary.rejected += 1;
        summary.rejected_by.add(code, 1);
        if summary.rejections.len() < REJECTIONS_MAX {
            let path = path();
            summary.rejections.push(Rejection { path, code, reason });
        }
        // Between two runs is a row, or another reason, so that runs take little beside the rows.
        match summary.rejected_runs.last_mut() {
            Some(run) if run.code == code && run.first + run.count == self.records => run.count += 1,
            _ => summary.rejected_runs.push(RejectedRun {
                first: self.records,
                count: 1,
                code,
            }),
        }
        self.records += 1;
    }

    /// The bytes to store for a text (rules 8 and 15).
    #[inline]
    pub(super) fn mended<'a>(&mut self, text: Text<'a>) -> Cow<'a, [u8]> {
        let is_cut = text.0.len() > self.limits.text_bytes_max;
        let text = if is_cut { Text(self.cut(text.0)) } else { text };
        if self.checks_text {
            self.checked(text, is_cut)
        } else {
            Cow::Borrowed(text.0)
        }
    }

    /// Begins a text that is written piece by piece, at `start` of what it is written to.
    pub(super) fn begin_text(&mut self, start: usize) {
        self.text_end = start.saturating_add(self.limits.text_bytes_max);
        self.text_is_short = false;
    }

    /// Whether the text that is being written is too long already, so that what comes next need not be written. An empty
    /// element of a list takes 2 bytes of a request, and fifteen times that while its list is written.
    #[inline]
    pub(super) fn is_cut_at(&mut self, end: usize) -> bool {
        let is_cut = end > self.text_end;
        self.text_is_short |= is_cut;
        is_cut
    }

    /// Ends the text: cuts off what is too much (rule 15).
    #[inline]
    pub(super) fn end_text(&mut self, start: usize, out: &mut Vec<u8>) {
        if out.len() > self.text_end {
            let kept = self.cut(out.get(start..).unwrap_or_default()).len();
            out.truncate(start + kept);
        } else if self.text_is_short {
            // Of members with the same key one is left, so that what was written fits after all.
            self.repairs.cut_texts += 1;
        }
    }

    /// The start of a text that is too long, up to the end of a character (rule 15).
    #[cold]
    pub(super) fn cut<'a>(&mut self, text: &'a [u8]) -> &'a [u8] {
        self.repairs.cut_texts += 1;
        self.start_of(text)
    }

    fn start_of<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        let continues = |at: &usize| text.get(*at).is_some_and(|byte| byte & 0xc0 == 0x80);
        let max = self.limits.text_bytes_max;
        // A character has at most three continuation bytes; what has more is no UTF-8.
        let end = (max.saturating_sub(3)..=max).rev().find(|at| !continues(at));
        text.get(..end.unwrap_or(max)).unwrap_or(text)
    }

    fn checked<'a>(&mut self, text: Text<'a>, is_cut: bool) -> Cow<'a, [u8]> {
        match text.to_str_lossy() {
            (Cow::Borrowed(valid), _) => Cow::Borrowed(valid.as_bytes()),
            (Cow::Owned(mended), _) => {
                self.repairs.invalid_utf8 += 1;
                let mut mended = mended.into_bytes();
                // What stands for a byte takes three.
                if mended.len() > self.limits.text_bytes_max {
                    mended.truncate(self.start_of(&mended).len());
                    self.repairs.cut_texts += u64::from(!is_cut);
                }
                Cow::Owned(mended)
            }
        }
    }
}
