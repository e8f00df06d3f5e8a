//! A table's rows, gathered into batches that keep within Arrow's offsets.

use std::mem;

use arrow_array::RecordBatch;

use super::columns::{Arrays, Columns, roomy};
use super::context::Context;
use super::memory::Spare;
use super::used::Used;
use super::{Stop, TableBatch};
use crate::decode::{DecodeError, Message, Repeated};
use crate::reason::Reason;
use crate::schema::arrow_schema;
use crate::signal::Table;

/// Rows from which on the others can be guessed.
const SAMPLE_ROWS: usize = 128;

/// What becomes of a row that was appended: `Some` takes it back, with the reason.
pub(super) type Verdict = Result<Option<String>, DecodeError>;

/// The open batch of a table.
pub(super) struct TableBuilder<C> {
    table: Table,
    columns: C,
    rows: usize,
    /// What the columns hold, as of the last row; part of [`Context::open_bytes`].
    bytes: usize,
    /// Rows that all requests give, about; 0 when that is not known.
    expected: usize,
    /// Rows for which the columns have room from a batch before.
    room: usize,
    /// Rows of the batch before.
    last_rows: usize,
    /// The most that was in a batch.
    largest: Size,
    /// The most that was in a batch whose memory the columns began with.
    kept: Size,
}

/// How much is in a batch.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Size {
    rows: usize,
    bytes: usize,
}

impl<C: Columns> TableBuilder<C> {
    /// No rows yet, in spare memory.
    pub(super) fn new(table: Table, spare: Spare<C>) -> Self {
        Self {
            table,
            columns: spare.columns,
            rows: 0,
            bytes: 0,
            expected: 0,
            room: spare.size.rows,
            last_rows: 0,
            largest: Size::default(),
            kept: spare.size,
        }
    }

    /// Guesses how many rows there will be, by records of which each is a row.
    pub(super) fn expect<'a, M: Message<'a>>(&mut self, records: &Repeated<'a, M>, context: &Context) {
        if self.rows < SAMPLE_ROWS {
            self.expected = context.payload_bytes / records.mean_bytes().max(1);
        }
    }

    /// Appends one row with `append`, which may be called again to put the same row into a new batch.
    /// `path` names the row if it is rejected.
    ///
    /// # Errors
    /// When the row is malformed, or the batch that it does not fit into cannot be built.
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
            let bytes = self.columns.bytes();
            // What all columns hold together is more than any of them reaches.
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
            // Labels and lists of rows that were rejected before may be what does not fit.
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
                    // Labels of the row are still in the dictionaries.
                    self.columns = C::default();
                }
                self.account(self.columns.bytes(), context);
                return Ok(());
            }
            self.close(context)?;
        }
    }

    /// Makes room for the rows that are expected, as far as a batch may hold them: columns that grow by doubling copy, and
    /// touch fresh memory, twice as much as they hold. Room that is not used is never touched. Memory of a batch before that
    /// had nearly as many rows is left as it is.
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

    /// What the columns hold.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives away a batch of the rows so far, if there are any; more rows are to come.
    ///
    /// # Errors
    /// When a text is not UTF-8, or the batch is not taken.
    pub(super) fn close(&mut self, context: &mut Context) -> Result<(), Stop> {
        let Some((size, used)) = self.give_away(context)? else {
            return Ok(());
        };
        // Tables that are closed while others hold more are many: what all of them keep is not bounded.
        if 2 * size.bytes >= context.batch_bytes_max {
            self.reuse(used, size);
        }
        Ok(())
    }

    /// Gives away a batch of the last rows, if there are any. Gives memory for the next rows, unless it is far more than
    /// these needed.
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

    /// Gives away a batch, if there are rows; gives what it held, and its arrays after they were used.
    fn give_away(&mut self, context: &mut Context) -> Result<Option<(Size, Used)>, Stop> {
        let columns = mem::take(&mut self.columns);
        let size = Size {
            rows: mem::take(&mut self.rows),
            bytes: mem::take(&mut self.bytes),
        };
        context.open_bytes -= size.bytes;
        if size.rows == 0 {
            return Ok(None);
        }
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

    /// Brings the total of all open batches up to date.
    #[inline]
    fn account(&mut self, bytes: usize, context: &mut Context) {
        context.open_bytes = context.open_bytes - self.bytes + bytes;
        self.bytes = bytes;
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
