//! Compaction of the tables that this process writes to: one table after the other, so that no more than one merge takes
//! memory and time.

use std::panic::AssertUnwindSafe;
use std::sync::PoisonError;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::{Mutex, OnceCell};
use tokio_util::sync::CancellationToken;

use super::Pipeline;
use super::destination::Destination;
use super::outcome::Merges;
use crate::commit::Committer;
use crate::compact::{Compacted, Compactor};
use crate::error::{Error, ErrorKind, Result, panic_text};
use crate::random::random_part;
use crate::signal::Table;

/// How long closing waits for a merge.
const STOPS_IN: Duration = Duration::from_secs(5);
/// Merges of a table in one round at most: a table that is found with many small files must not take a core for hours.
const MERGES_PER_ROUND: u64 = 16;
/// After failures a table is left alone for twice as many rounds each time, up to this.
const ROUNDS_OUT_MAX: u32 = 64;

/// What compaction remembers from one time to the next.
#[derive(Debug, Default)]
pub(super) struct Compaction {
    tables: Mutex<[OfTable; Table::ALL.len()]>,
    /// What is still to be told, by table.
    merges: std::sync::Mutex<[Merges; Table::ALL.len()]>,
    /// Cancelled once the host is about to stop.
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct OfTable {
    compactor: Compactor,
    /// Failures one after the other.
    failures: u32,
    /// Rounds to leave out.
    rest: u32,
}

impl Compaction {
    /// What became of these tables since they were last asked for.
    pub(super) fn take(&self, tables: &[Table]) -> Merges {
        let mut merges = self.merges.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sum = Merges::default();
        for table in tables {
            sum.add(std::mem::take(&mut merges[*table as usize]));
        }
        sum
    }

    /// What became of the table of this number in a round.
    fn tell(&self, table: usize, of_table: Merges) {
        let mut merges = self.merges.lock().unwrap_or_else(PoisonError::into_inner);
        merges[table].add(of_table);
    }

    /// Has what is under way end soon, and begins nothing more.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until nothing is under way, but not long: a merge that is given up leaves a file that costs space only, and its
    /// commit goes on by itself.
    pub(super) async fn stopped(&self) {
        if tokio::time::timeout(STOPS_IN, self.tables.lock()).await.is_err() {
            tracing::debug!("a merge of small files is given up");
        }
    }
}

impl Pipeline {
    /// Merges small data files of the tables that this process has written to, now and until nothing is left to do.
    ///
    /// # Errors
    /// The first table's that fails; what was merged before stays. It is as it was for all readers then.
    pub async fn compact(&self) -> Result<Compacted> {
        let mut done = Compacted::default();
        let mut tables = self.compaction.tables.lock().await;
        for (committer, table) in self.committers().zip(tables.iter_mut()) {
            if let Some(committer) = committer {
                self.compact_table(&mut table.compactor, committer, u64::MAX, &mut done)
                    .await?;
            }
        }
        Ok(done)
    }

    /// Does so now and then, if `compaction.enabled`, until [`Pipeline::begin_shutdown`] or [`Pipeline::close`]. For hosts that
    /// have a background; failures are logged.
    pub async fn keep_compacting(&self) {
        let config = &self.config.compaction;
        if !config.enabled || self.config.catalog.is_in_s3_tables() {
            return;
        }
        let stop = &self.compaction.stop;
        loop {
            // Not all writers of a table at once.
            let wait = config.interval / 2 + random_part(config.interval);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            self.compact_round().await;
        }
    }

    async fn compact_round(&self) {
        let mut tables = self.compaction.tables.lock().await;
        for (number, (committer, table)) in self.committers().zip(tables.iter_mut()).enumerate() {
            let Some(committer) = committer else {
                continue;
            };
            if table.rest > 0 {
                table.rest -= 1;
                continue;
            }
            let mut done = Compacted::default();
            let compacting = self.compact_table(&mut table.compactor, committer, MERGES_PER_ROUND, &mut done);
            let caught = AssertUnwindSafe(compacting).catch_unwind().await;
            let compacted = caught.unwrap_or_else(|panic| {
                // What it remembers may be half of it.
                table.compactor = Compactor::default();
                let message = "compaction panicked (a bug)";
                Err(Error::new(ErrorKind::Internal, message).with("panic", panic_text(panic.as_ref())))
            });
            let is_failure = |error: &Error| error.kind() != ErrorKind::Cancelled;
            let of_table = Merges {
                made: done.made,
                replaced: done.replaced,
                failures: u64::from(compacted.as_ref().is_err_and(is_failure)),
            };
            self.compaction.tell(number, of_table);
            match compacted {
                Ok(()) => table.failures = 0,
                Err(error) if error.kind() == ErrorKind::Cancelled => return,
                // Who replaced or deleted files meanwhile was faster; the table is looked at again by the next commit.
                Err(error) => {
                    table.failures = table.failures.saturating_add(1);
                    // A file that cannot be read is left alone from now on, and the next one may be found in the next round.
                    if error.kind() != ErrorKind::Decode {
                        table.rest = (1 << table.failures.min(16)).min(ROUNDS_OUT_MAX) - 1;
                    }
                    committer.mark_stale();
                    let name = &committer.table().ident;
                    if table.failures > 1 || matches!(error.kind(), ErrorKind::Decode | ErrorKind::Internal) {
                        tracing::warn!(table = %name, %error, "small files could not be merged; it is tried again later");
                    } else {
                        tracing::debug!(table = %name, %error, "small files could not be merged");
                    }
                }
            }
        }
    }

    async fn compact_table(
        &self,
        compactor: &mut Compactor,
        committer: &Committer,
        merges_max: u64,
        done: &mut Compacted,
    ) -> Result<()> {
        // What is merged now could not be committed, and its file would be left behind.
        if committer.is_catalog_down() {
            return Ok(());
        }
        committer.refresh_if_stale().await?;
        let config = (&self.config.compaction, &self.config.parquet);
        let stop = &self.compaction.stop;
        compactor.run(committer, config, merges_max, stop, done).await
    }

    /// Those of all tables, in their order; none of a table that was not written to, or has no catalog.
    fn committers(&self) -> impl Iterator<Item = Option<&Committer>> {
        self.destinations
            .iter()
            .map(|cell| OnceCell::get(cell).and_then(Destination::committer))
    }
}
