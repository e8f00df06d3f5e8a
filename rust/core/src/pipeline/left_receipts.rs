//! Receipts that earlier processes left in tables that this one gets no rows for.
//!
//! A table's committer looks for receipts and commits them, and a table's first write opens it. Without the work
//! here, receipts of a table that gets no more rows would wait forever, with rows that were acknowledged.

use super::Pipeline;
use crate::config::OnFailure;
use crate::error::{Error, ErrorKind};
use crate::signal::Table;

impl Pipeline {
    /// Opens the tables that have receipts or all of our columns, if `commit.on_failure` is `accept`, so that
    /// receipts are committed without a write. For hosts with background tasks.
    ///
    /// Tries again every `commit.receipts_interval`, until the catalog answered about each table; one that appears
    /// later is opened by its first write. Ends early with [`Pipeline::begin_shutdown`] or [`Pipeline::close`].
    /// Each cause of a table is logged once in a row.
    pub async fn commit_left_receipts(&self) {
        if self.config.commit.on_failure != OnFailure::Accept {
            return;
        }
        // Nothing that is dropped in between matters: the next process opens the tables, too.
        tokio::select! {
            biased;
            () = self.shutting_down.cancelled() => {}
            () = self.open_all_existing() => {}
        }
    }

    async fn open_all_existing(&self) {
        let interval = self.config.commit.receipts_interval;
        let mut unsettled = Table::ALL.to_vec();
        let mut told = Told::default();
        loop {
            let failures = {
                // Held so that closing does not miss a table that is opened meanwhile.
                let Ok(_open) = self.enter().await else {
                    return;
                };
                self.open_for_receipts(unsettled).await
            };
            if failures.is_empty() {
                return;
            }
            for (table, error) in told.news(&failures) {
                self.log_unopened(*table, error);
            }
            unsettled = failures.into_iter().map(|(table, _)| table).collect();
            tokio::time::sleep(interval).await;
        }
    }

    fn log_unopened(&self, table: Table, error: &Error) {
        tracing::warn!(
            table = %self.ident(table),
            %error,
            "the table cannot be opened to look for receipts of earlier processes; if there are any, their rows wait; \
             this is tried again every {:?} without a further warning of this cause",
            self.config.commit.receipts_interval
        );
    }
}

/// The causes that were logged last, by table.
#[derive(Debug, Default)]
struct Told([Option<(ErrorKind, String)>; Table::ALL.len()]);

impl Told {
    /// The failures of a round with a cause that is new for their table, and no other's of the round.
    fn news<'a>(&mut self, failures: &'a [(Table, Error)]) -> Vec<&'a (Table, Error)> {
        let mut of_round = Vec::new();
        let mut news = Vec::new();
        for failure in failures {
            let (table, error) = failure;
            let cause = (error.kind(), error.message().to_owned());
            let is_news = self.0[*table as usize].replace(cause.clone()).as_ref() != Some(&cause);
            if is_news && !of_round.contains(&cause) {
                news.push(failure);
            }
            of_round.push(cause);
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_news_once_for_a_table_and_once_in_a_round() {
        let failure = |table, message: &'static str| (table, Error::new(ErrorKind::Catalog, message));
        let mut told = Told::default();
        let mut tables = |failures: &[(Table, Error)]| -> Vec<Table> {
            told.news(failures).into_iter().map(|(table, _)| *table).collect()
        };
        let down = [failure(Table::Logs, "down"), failure(Table::Traces, "down")];
        assert_eq!(tables(&down), [Table::Logs]);
        assert_eq!(tables(&down), []);
        let up = [
            failure(Table::Logs, "clash"),
            failure(Table::Traces, "not allowed"),
        ];
        assert_eq!(tables(&up), [Table::Logs, Table::Traces]);
        assert_eq!(tables(&up), []);
    }
}
