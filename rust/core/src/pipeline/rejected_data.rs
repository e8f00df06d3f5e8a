//! Selects the parts of a call that become dead letters.

use super::admission::Refused;
use super::dead_letter::{Collector, Selection, Store};
use super::table_files::{Remainder, TableEncoding};
use super::work::Work;
use crate::convert::Summary;
use crate::error::{Error, Result};
use crate::request::RequestId;
use crate::signal::Table;

/// A call whose payload was converted.
#[derive(Debug)]
pub(super) struct RejectedData<'a> {
    /// The requests that were not refused.
    pub work: &'a Work<'a>,
    pub summary: &'a Summary,
    pub remainders: &'a [Remainder<'a>],
}

impl<'a> RejectedData<'a> {
    /// Requests that were refused as a whole, records that conversion left out, and rows beyond the partition
    /// limit. What conversion left out of a request that a table holds was stored before that request was
    /// committed.
    ///
    /// # Errors
    /// `Decode` when the payload is malformed, which conversion would have found.
    pub(super) fn of_rejected<'r>(
        &self,
        store: &Store,
        tables: &[TableEncoding],
        refused: impl Iterator<Item = Refused<'r>>,
    ) -> Result<Collector<'a>> {
        let mut collector = self.collector(store, "");
        refused.for_each(|refused| collector.add_request(&refused));
        let is_remainder = |table| self.remainders.iter().any(|remainder| remainder.table == table);
        let (of_remainders, of_whole): (Vec<_>, Vec<_>) = tables
            .iter()
            .filter(|encoding| !encoding.rejected.is_empty())
            .partition(|encoding| is_remainder(encoding.table));
        if self.summary.rejected > 0 || !of_whole.is_empty() {
            let committed = self.committed(tables);
            let selection = Selection {
                runs: &self.summary.rejected_runs,
                takes_runs: true,
                rows: of_whole
                    .iter()
                    .map(|encoding| (encoding.table, encoding.rejected.as_slice()))
                    .collect(),
                tables: Vec::new(),
            };
            collector.add_records(self.work, &selection, &|id| committed.contains(&id))?;
        }
        for encoding in of_remainders {
            let selection = |runs| Selection {
                runs,
                takes_runs: false,
                rows: vec![(encoding.table, encoding.rejected.as_slice())],
                tables: Vec::new(),
            };
            self.add_remainder(&mut collector, encoding.table, &selection)?;
        }
        Ok(collector)
    }

    /// All rows of a table that cannot take them.
    ///
    /// # Errors
    /// As [`RejectedData::of_rejected`].
    pub(super) fn of_table(
        &self,
        store: &Store,
        table: Table,
        name: &str,
        error: &Error,
    ) -> Result<Collector<'a>> {
        let mut collector = self.collector(store, &format!(".{}", table.default_name()));
        collector.tables = vec![(table, name.to_owned(), error.to_string())];
        let selection = |runs| Selection {
            runs,
            takes_runs: false,
            rows: Vec::new(),
            tables: vec![table],
        };
        if !self.add_remainder(&mut collector, table, &selection)? {
            let selection = selection(&self.summary.rejected_runs);
            collector.add_records(self.work, &selection, &|_| false)?;
        }
        Ok(collector)
    }

    /// Adds the records of the table's remainder. Returns whether it has one.
    fn add_remainder(
        &self,
        collector: &mut Collector<'_>,
        table: Table,
        selection: &dyn Fn(&'a [crate::convert::RejectedRun]) -> Selection<'a>,
    ) -> Result<bool> {
        let Some(remainder) = self.remainders.iter().find(|remainder| remainder.table == table) else {
            return Ok(false);
        };
        let selection = selection(&remainder.rejected_runs);
        collector.add_records(&remainder.work, &selection, &|_| false)?;
        Ok(true)
    }

    fn collector(&self, store: &Store, suffix: &str) -> Collector<'a> {
        let mut collector = Collector::new(self.work, store.object_bytes_max, suffix);
        collector.rejections = &self.summary.rejections;
        collector
    }

    /// The requests that any table holds.
    fn committed(&self, tables: &[TableEncoding]) -> std::collections::HashSet<RequestId> {
        let requests = self.work.requests.iter().enumerate();
        requests
            .filter(|(index, _)| tables.iter().any(|table| table.holds(*index)))
            .map(|(_, request)| request.id)
            .collect()
    }
}
