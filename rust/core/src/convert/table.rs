//! Collects a table's rows into batches within the limits of Arrow's offsets.

use std::mem;

use arrow_array::RecordBatch;

use super::columns::{Arrays, Columns, roomy};
use super::context::{Context, RENDERED_MAX};
use super::memory::Spare;
use super::used::Used;
use super::{Stop, TableBatch};
use crate::decode::{DecodeError, Message, Repeated};
use crate::reason::Reason;
use crate::schema::arrow_schema;
use crate::signal::Table;

/// The number of rows from which on the total can be estimated.
const SAMPLE_ROWS: usize = 128;

/// Columns are measured after this many rows of short records, since measuring takes as long as appending to
/// several of them; [`SAMPLE_ROWS`] is a multiple. Other rows, and those near the limit, are measured one by
/// one.
const MEASURED_ROWS: usize = 8;
/// Records of up to this many serialized bytes are short.
const SHORT_RECORD_BYTES: usize = 4096;
/// More than [`MEASURED_ROWS`] short records take in the columns ([`RENDERED_MAX`]).
const NEAR_BYTES: usize = MEASURED_ROWS * SHORT_RECORD_BYTES * RENDERED_MAX;

/// The result of appending a row: `Some` removes the row again, for the given reason.
pub(super) type Verdict = Result<Option<String>, DecodeError>;

/// The open batch of a table.
pub(super) struct TableBuilder<C> {
    table: Table,
    columns: C,
    rows: usize,
    /// Bytes of the columns when they were measured last; part of [`Context::open_bytes`].
    bytes: usize,
    /// What they took of these when they were measured first, besides the records themselves; part of
    /// [`Context::shared_bytes`]. `None` before.
    shared_bytes: Option<usize>,
    /// The estimated number of rows of all requests; 0 when unknown.
    expected: usize,
    /// Whether all records that the next rows are of are short.
    has_short_records: bool,
    /// The greatest size of these records, serialized, bytes.
    longest: usize,
    /// Rows for which the columns have memory from an earlier batch.
    room: usize,
    /// Rows of the previous batch.
    last_rows: usize,
    /// The size of the largest batch.
    largest: Size,
    /// The size of the largest batch whose memory the columns started with.
    kept: Size,
}

/// The size of a batch.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Size {
    rows: usize,
    bytes: usize,
}

impl<C: Columns> TableBuilder<C> {
    /// No rows yet, in reusable memory.
    pub(super) fn new(table: Table, spare: Spare<C>) -> Self {
        Self {
            table,
            columns: spare.columns,
            rows: 0,
            bytes: 0,
            shared_bytes: None,
            expected: 0,
            has_short_records: false,
            longest: 0,
            room: spare.size.rows,
            last_rows: 0,
            largest: Size::default(),
            kept: spare.size,
        }
    }

    /// Announces the records that the next rows are of.
    #[inline]
    pub(super) fn begin<'a, M: Message<'a>>(&mut self, records: &Repeated<'a, M>) {
        self.longest = records.longest_bytes();
        self.has_short_records = self.longest <= SHORT_RECORD_BYTES;
    }

    /// Estimates the number of rows from repeated records; each record is a row.
    pub(super) fn expect<'a, M: Message<'a>>(&mut self, records: &Repeated<'a, M>, context: &Context) {
        if self.rows < SAMPLE_ROWS {
            self.expected = context.payload_bytes / records.mean_bytes().max(1);
        }
    }

    /// Appends one row with `append`, which may be called again to append the same row to a new batch. `path`
    /// identifies the row if it is rejected.
    ///
    /// # Errors
    /// When the row is malformed, or when the batch that it does not fit into cannot be built.
    #[inline]
    pub(super) fn row(
        &mut self,
        context: &mut Context,
        path: impl Fn() -> String,
        mut append: impl FnMut(&mut C, &mut Context) -> Verdict,
    ) -> Result<(), Stop> {
        let repairs = context.repairs;
        let mut begun_anew = false;
        loop {
            let rejection = append(&mut self.columns, context)?;
            if rejection.is_none() && !self.is_measured(context) {
                self.rows += 1;
                context.records += 1;
                return Ok(());
            }
            let bytes = self.columns.bytes();
            // The total of all columns is an upper bound for each of them.
            let fits = bytes <= context.extent_max || self.columns.extent() <= context.extent_max;
            if fits && rejection.is_none() {
                self.rows += 1;
                context.records += 1;
                self.account(bytes, context);
                if self.rows == SAMPLE_ROWS {
                    self.make_room(context);
                }
                return Ok(());
            }
            context.repairs = repairs;
            self.columns.truncate(self.rows);
            // Labels and lists of previously rejected rows may be the cause.
            if !fits && self.rows == 0 && !begun_anew {
                begun_anew = true;
                self.columns = C::default();
                continue;
            }
            if fits || self.rows == 0 {
                let (code, reason) = match rejection {
                    Some(reason) => (Reason::InvalidPoint, reason),
                    None => (Reason::RecordTooLarge, too_large(context.extent_max)),
                };
                context.reject(path, code, reason);
                if !fits {
                    // The dictionaries still contain labels of the row.
                    self.columns = C::default();
                }
                self.account(self.columns.bytes(), context);
                return Ok(());
            }
            self.close(context)?;
        }
    }

    /// Whether the columns must be measured after the next row.
    #[inline]
    fn is_measured(&self, context: &Context) -> bool {
        !context.never_overflows
            || (self.rows + 1).is_multiple_of(MEASURED_ROWS)
            || !self.has_short_records
            || context.open_bytes + NEAR_BYTES > context.batch_bytes_max
    }

    /// Reserves memory for the expected rows, up to the size of a batch. Columns that grow by doubling copy
    /// their content, and touch twice as much fresh memory as they hold. Unused reserved memory is never
    /// touched. Memory of an earlier batch with nearly as many rows is left as it is.
    #[cold]
    fn make_room(&mut self, context: &mut Context) {
        let all = self.expected.saturating_mul(self.bytes) / self.rows;
        context.share_out(all);
        let fitting = (context.batch_bytes_max / self.bytes.max(1)).saturating_mul(self.rows);
        let expected = self.expected.max(self.last_rows).min(fitting);
        if expected > roomy(self.room) {
            let more = expected.saturating_sub(self.rows);
            self.columns.reserve(more.div_ceil(self.rows));
        }
    }

    /// Bytes of the columns when they were measured last.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Passes on a batch of the rows so far, if there are any; more rows will follow. Without rows, it drops
    /// what rejected ones have left.
    ///
    /// # Errors
    /// When a text is not UTF-8, or when the sink returns an error.
    pub(super) fn close(&mut self, context: &mut Context) -> Result<(), Stop> {
        let Some((size, used)) = self.give_away(context)? else {
            self.columns = C::default();
            self.release(context);
            return Ok(());
        };
        // Many tables may be closed while others hold more; keeping the memory of all of them would be
        // unbounded.
        if 2 * size.bytes >= context.batch_bytes_max {
            self.reuse(used, size);
        }
        Ok(())
    }

    /// Passes on a batch of the last rows, if there are any. Returns memory for the next rows, unless it is
    /// far larger than these rows needed.
    ///
    /// # Errors
    /// As [`Self::close`].
    pub(super) fn finish(mut self, context: &mut Context) -> Result<Spare<C>, Stop> {
        let Some((size, used)) = self.give_away(context)? else {
            return Ok(Spare::default());
        };
        self.reuse(used, size);
        if 2 * self.largest.bytes < self.kept.bytes {
            return Ok(Spare::default());
        }
        Ok(Spare {
            columns: self.columns,
            size: self.largest.or_more(self.kept),
        })
    }

    /// Passes on a batch, if there are rows; returns its size, and its arrays after their use.
    fn give_away(&mut self, context: &mut Context) -> Result<Option<(Size, Used)>, Stop> {
        // The columns may have labels that the next rows have, too.
        if self.rows == 0 {
            return Ok(None);
        }
        self.release(context);
        let size = Size {
            rows: mem::take(&mut self.rows),
            bytes: self.columns.bytes(),
        };
        let columns = mem::take(&mut self.columns);
        self.largest = self.largest.or_more(size);
        self.last_rows = size.rows;
        self.room = 0;
        let schema = arrow_schema(self.table);
        let arrays = Arrays::build(schema.fields(), columns)?;
        let batch = TableBatch {
            table: self.table,
            batch: RecordBatch::try_new(schema, arrays)?,
        };
        context.emit(&batch)?;
        Ok(Some((size, Used::batch(batch.batch))))
    }

    fn reuse(&mut self, mut used: Used, size: Size) {
        self.columns.reuse(&mut used);
        self.room = size.rows;
    }

    /// Subtracts the columns from the total of all open batches.
    fn release(&mut self, context: &mut Context) {
        context.open_bytes -= mem::take(&mut self.bytes);
        context.shared_bytes -= self.shared_bytes.take().unwrap_or_default();
    }

    /// Updates the total of all open batches.
    #[inline]
    fn account(&mut self, bytes: usize, context: &mut Context) {
        context.open_bytes = context.open_bytes - self.bytes + bytes;
        self.bytes = bytes;
        if self.shared_bytes.is_none() {
            let records = self.longest.saturating_mul(RENDERED_MAX * self.rows.max(1));
            let shared = bytes.saturating_sub(records);
            context.shared_bytes += shared;
            self.shared_bytes = Some(shared);
        }
    }
}

impl Size {
    fn or_more(self, other: Self) -> Self {
        Self {
            rows: self.rows.max(other.rows),
            bytes: self.bytes.max(other.bytes),
        }
    }
}

#[cold]
fn too_large(extent_max: usize) -> String {
    format!("one of its columns takes more than {extent_max} bytes of text, or as many list elements")
}
