//! Which records of a payload are dead letters.

use std::ops::Range;

use crate::convert::RejectedRun;
use crate::decode::Place;
use crate::reason::Reason;
use crate::signal::Table;

/// What is known of a payload's records, counted as conversion counts them.
#[derive(Debug, Clone)]
pub(crate) struct Selection<'a> {
    /// The records that conversion left out; all others are rows, each of its table.
    pub runs: &'a [RejectedRun],
    /// Whether these are dead letters.
    pub takes_runs: bool,
    /// Rows of a table that are dead letters, in order.
    pub rows: Vec<(Table, &'a [Range<u64>])>,
    /// Tables all of whose rows are.
    pub tables: Vec<Table>,
}

/// Walks through a payload's records.
#[derive(Debug)]
pub(super) struct Selector<'a> {
    selection: &'a Selection<'a>,
    /// The record that comes next.
    record: u64,
    /// The row that comes next in each table.
    rows: [u64; Table::ALL.len()],
    /// The run and the range of rows of each table that were not passed yet.
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

    /// Why the record that comes next is a dead letter; none if it is not.
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
                return (record >= run.first).then_some(run.code);
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
