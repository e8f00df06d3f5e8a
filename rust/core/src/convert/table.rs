//! A table's rows, gathered into batches that keep within Arrow's offsets.

use std::mem;

use arrow_array::RecordBatch;

use super::columns::{Arrays, Columns};
use super::context::Context;
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
}

impl<C: Columns> TableBuilder<C> {
    /// No rows yet.
    pub(super) fn new(table: Table) -> Self {
        Self {
            table,
            columns: C::default(),
            rows: 0,
            bytes: 0,
            expected: 0,
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
    /// touch fresh memory, twice as much as they hold. Room that is not used is never touched.
    #[cold]
    fn make_room(&mut self, context: &Context) {
        let fitting = (context.batch_bytes_max / self.bytes.max(1)).saturating_mul(self.rows);
        let more = self.expected.min(fitting).saturating_sub(self.rows);
        self.columns.reserve(more.div_ceil(self.rows));
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
        let next = self.columns.like();
        self.give_away(next, context)
    }

    /// Gives away a batch of the last rows, if there are any.
    ///
    /// # Errors
    /// As [`Self::close`].
    pub(super) fn finish(mut self, context: &mut Context) -> Result<(), Stop> {
        self.give_away(C::default(), context)
    }

    fn give_away(&mut self, next: C, context: &mut Context) -> Result<(), Stop> {
        let columns = mem::replace(&mut self.columns, next);
        context.open_bytes -= mem::take(&mut self.bytes);
        if mem::take(&mut self.rows) == 0 {
            return Ok(());
        }
        let schema = arrow_schema(self.table);
        let arrays = Arrays::build(schema.fields(), columns)?;
        context.emit(TableBatch {
            table: self.table,
            batch: RecordBatch::try_new(schema, arrays)?,
        })
    }

    /// Brings the total of all open batches up to date.
    #[inline]
    fn account(&mut self, bytes: usize, context: &mut Context) {
        context.open_bytes = context.open_bytes - self.bytes + bytes;
        self.bytes = bytes;
    }
}

#[cold]
fn too_large(extent_max: usize) -> String {
    format!("one of its columns takes more than {extent_max} bytes of text, or as many list elements")
}
