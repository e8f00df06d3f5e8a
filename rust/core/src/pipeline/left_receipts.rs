//! Receipts that earlier processes left in tables that this one gets no rows for.
//!
//! A table's committer looks for receipts and commits them, and a table's first write opens it. Without the work
//! here, receipts of a table that gets no more rows would wait forever, with rows that were acknowledged.

use super::Pipeline;
use crate::config::OnFailure;
use crate::error::Error;
use crate::signal::Table;

impl Pipeline {
    /// Opens every table that exists, if `commit.on_failure` is `accept`, so that receipts that are left in it are
    /// committed without a write. For hosts with background tasks.
    ///
    /// Tries again every `commit.receipts_interval`, until each table is open or the catalog answered that it does
    /// not exist; a table that appears later is opened by its first write. Ends early with
    /// [`Pipeline::begin_shutdown`] or [`Pipeline::close`]. The first failure is logged.
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
        let mut is_logged = false;
        loop {
            let failures = {
                // Held so that closing does not miss a table that is opened meanwhile.
                let Ok(_open) = self.enter().await else {
                    return;
                };
                self.open_existing(unsettled).await
            };
            let Some((table, error)) = failures.first() else {
                return;
            };
            if !is_logged {
                self.log_unopened(*table, error);
                is_logged = true;
            }
            unsettled = failures.into_iter().map(|(table, _)| table).collect();
            tokio::time::sleep(interval).await;
        }
    }

    fn log_unopened(&self, table: Table, error: &Error) {
        tracing::warn!(
            table = %self.ident(table),
            %error,
            "tables cannot be opened to look for receipts of earlier processes, whose rows wait; this is tried again \
             every {:?} without a further warning",
            self.config.commit.receipts_interval
        );
    }
}
