//! Selects the parts of a call that become dead letters.

use super::admission::Refused;
use super::dead_letter::{Collector, Selection, Store, Takes};
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
    /// committed. Rows beyond the limit are in objects of their table: if the call is repeated, a table that
    /// has committed its rows by then does not leave them out again.
    ///
    /// # Errors
    /// `Decode` when the payload is malformed, which conversion would have found.
    pub(super) fn of_rejected<'r>(
        &self,
        store: &Store,
        tables: &[TableEncoding],
        refused: impl Iterator<Item = Refused<'r>>,
    ) -> Result<Collector<'a>> {
        let mut collector = self.collector(store);
        refused.for_each(|refused| collector.add_request(&refused));
        if self.summary.rejected > 0 {
            let committed = self.committed(tables);
            let selection = Selection {
                runs: &self.summary.rejected_runs,
                takes: Takes::LeftOut,
            };
            collector.add_records(self.work, &selection, &|id| committed.contains(&id))?;
        }
        for encoding in tables.iter().filter(|encoding| !encoding.rejected.is_empty()) {
            let table = encoding.table;
            collector.begin(format!(".{}.partitions", table.default_name()));
            self.add_rows(&mut collector, table, Takes::Rows(table, &encoding.rejected))?;
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
        let mut collector = self.collector(store);
        collector.begin(format!(".{}", table.default_name()));
        collector.tables = vec![(table, name.to_owned(), error.to_string())];
        self.add_rows(&mut collector, table, Takes::Table(table))?;
        Ok(collector)
    }

    /// Adds rows of a table: of its remainder, if it has one.
    fn add_rows(&self, collector: &mut Collector<'_>, table: Table, takes: Takes<'_>) -> Result<()> {
        let remainder = self.remainders.iter().find(|remainder| remainder.table == table);
        let (work, runs) = match remainder {
            Some(remainder) => (&remainder.work, &remainder.rejected_runs),
            None => (self.work, &self.summary.rejected_runs),
        };
        let selection = Selection { runs, takes };
        collector.add_records(work, &selection, &|_| false)
    }

    fn collector(&self, store: &Store) -> Collector<'a> {
        let mut collector = Collector::new(self.work, store.object_bytes_max);
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
