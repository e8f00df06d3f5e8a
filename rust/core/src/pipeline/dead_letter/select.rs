//! Selects the records of a payload that are dead letters.

use std::ops::Range;

use crate::convert::RejectedRun;
use crate::decode::Place;
use crate::reason::Reason;
use crate::signal::Table;

/// Which of a payload's records are dead letters, by the counts of the conversion.
#[derive(Debug, Clone)]
pub(crate) struct Selection<'a> {
    /// The records that conversion left out. All others are rows of their tables.
    pub runs: &'a [RejectedRun],
    /// Whether these are dead letters.
    pub takes_runs: bool,
    /// Rows of a table that are dead letters, in order.
    pub rows: Vec<(Table, &'a [Range<u64>])>,
    /// Tables whose rows are all dead letters.
    pub tables: Vec<Table>,
}

/// Iterates over a payload's records.
#[derive(Debug)]
pub(super) struct Selector<'a> {
    selection: &'a Selection<'a>,
    /// The next record.
    record: u64,
    /// The next row in each table.
    rows: [u64; Table::ALL.len()],
    /// The current run, and each table's current range of rows.
    run: usize,
    range: [usize; Table::ALL.len()],
}

impl<'a> Selector<'a> {
    pub(super) fn new(selection: &'a Selection<'a>) -> Self {
        Self {
            selection,
            record: 0,
            rows: [0; Table::ALL.len()],
            run: 0,
            range: [0; Table::ALL.len()],
        }
    }

    /// Why the next record is a dead letter; `None` if it is not.
    pub(super) fn next(&mut self, place: &Place) -> Option<Reason> {
        let record = self.record;
        self.record += 1;
        if let Some(code) = self.left_out(record) {
            return self.selection.takes_runs.then_some(code);
        }
        let table = place.table?;
        let row = self.rows[table as usize];
        self.rows[table as usize] += 1;
        if self.selection.tables.contains(&table) {
            return Some(Reason::Table);
        }
        self.is_beyond(table, row).then_some(Reason::TooManyPartitions)
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

    fn is_beyond(&mut self, table: Table, row: u64) -> bool {
        let ranges = self
            .selection
            .rows
            .iter()
            .find(|(its_table, _)| *its_table == table);
        let Some((_, ranges)) = ranges else { return false };
        let at = &mut self.range[table as usize];
        while let Some(range) = ranges.get(*at) {
            if row < range.end {
                return row >= range.start;
            }
            *at += 1;
        }
        false
    }
}
