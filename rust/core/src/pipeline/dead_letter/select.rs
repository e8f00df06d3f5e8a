//! Selects the records of a payload that are dead letters.

use std::ops::Range;

use crate::convert::RejectedRun;
use crate::decode::Place;
use crate::reason::Reason;
use crate::signal::Table;

/// Which of a payload's records are dead letters, by the counts of the conversion.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Selection<'a> {
    /// The records that conversion left out. All others are rows of their tables.
    pub runs: &'a [RejectedRun],
    /// The dead letters.
    pub takes: Takes<'a>,
}

/// The records that are dead letters for one reason.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Takes<'a> {
    /// Those that conversion left out.
    LeftOut,
    /// These rows of a table, in order.
    Rows(Table, &'a [Range<u64>]),
    /// All rows of a table.
    Table(Table),
}

/// Iterates over a payload's records.
#[derive(Debug)]
pub(super) struct Selector<'a> {
    selection: &'a Selection<'a>,
    /// The next record.
    record: u64,
    /// The next row of the table.
    row: u64,
    /// The current run, and the current range of rows.
    run: usize,
    range: usize,
}

impl<'a> Selector<'a> {
    pub(super) fn new(selection: &'a Selection<'a>) -> Self {
        Self {
            selection,
            record: 0,
            row: 0,
            run: 0,
            range: 0,
        }
    }

    /// Why the next record is a dead letter; `None` if it is not.
    pub(super) fn next(&mut self, place: &Place) -> Option<Reason> {
        let record = self.record;
        self.record += 1;
        let left_out = self.left_out(record);
        let is_row_of = |table| left_out.is_none() && place.table == Some(table);
        let takes = self.selection.takes;
        match takes {
            Takes::LeftOut => left_out,
            Takes::Rows(table, rows) if is_row_of(table) => {
                self.is_next_in(rows).then_some(Reason::TooManyPartitions)
            }
            Takes::Table(table) if is_row_of(table) => Some(Reason::Table),
            Takes::Rows(..) | Takes::Table(_) => None,
        }
    }

    fn left_out(&mut self, record: u64) -> Option<Reason> {
        while let Some(run) = self.selection.runs.get(self.run) {
            if record < run.first + run.count {
                return (record >= run.first).then_some(run.reason);
            }
            self.run += 1;
        }
        None
    }

    /// Whether the table's next row is one of these.
    fn is_next_in(&mut self, rows: &[Range<u64>]) -> bool {
        let row = self.row;
        self.row += 1;
        while let Some(range) = rows.get(self.range) {
            if row < range.end {
                return row >= range.start;
            }
            self.range += 1;
        }
        false
    }
}
