//! Compacts the tables that this process writes to. Tables are compacted one at a time, so that only one
//! merge uses memory and CPU.

use std::panic::AssertUnwindSafe;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::{Mutex, OnceCell};
use tokio_util::sync::CancellationToken;

use super::Pipeline;
use super::destination::Destination;
use super::outcome::CompactionCounts;
use crate::commit::Committer;
use crate::compact::{Backlog, Budget, Compacted, Compactor};
use crate::error::{Error, ErrorKind, Result, panic_text};
use crate::random::random_part;
use crate::signal::Table;

/// How long closing waits for a merge.
const STOPS_IN: Duration = Duration::from_secs(5);
/// The longest average interval between rounds while work is left over.
const CATCHING_UP: Duration = Duration::from_secs(60);
/// After each further failure, a table is skipped for twice as many rounds, up to this.
const ROUNDS_OUT_MAX: u32 = 64;

/// The state of compaction between rounds.
#[derive(Debug, Default)]
pub(super) struct Compaction {
    tables: Mutex<[OfTable; Table::ALL.len()]>,
    /// Counts that are not yet reported, by table.
    merges: std::sync::Mutex<[CompactionCounts; Table::ALL.len()]>,
    /// Cancelled when the host is about to stop.
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct OfTable {
    compactor: Compactor,
    backlog: Backlog,
    /// Number of consecutive failures.
    failures: u32,
    /// Number of rounds to skip.
    rest: u32,
}

impl Compaction {
    /// Returns the counts of these tables since the last call.
    pub(super) fn take(&self, tables: &[Table]) -> CompactionCounts {
        let mut merges = self.merges.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sum = CompactionCounts::default();
        for table in tables {
            sum.add(std::mem::take(&mut merges[*table as usize]));
        }
        sum
    }

    /// Records a round's counts for the table with this index.
    fn tell(&self, table: usize, of_table: CompactionCounts) {
        let mut merges = self.merges.lock().unwrap_or_else(PoisonError::into_inner);
        merges[table].add(of_table);
    }

    /// Ends a running merge soon, and begins no new one.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until no merge is running, for a limited time. An abandoned merge leaves files that only take up
    /// space; a commit that has begun continues.
    pub(super) async fn stopped(&self) {
        if tokio::time::timeout(STOPS_IN, self.tables.lock()).await.is_err() {
            tracing::debug!("a merge of small files is given up");
        }
    }
}

impl Pipeline {
    /// Merges small data files of the tables that this process has written to, until nothing is left to do.
    ///
    /// # Errors
    /// The first failure of a table. Earlier merges remain. Readers see the failed table unchanged.
    pub async fn compact(&self) -> Result<Compacted> {
        let mut done = Compacted::default();
        let mut tables = self.compaction.tables.lock().await;
        for (committer, table) in self.committers().zip(tables.iter_mut()) {
            if let Some(committer) = committer {
                self.compact_table(&mut table.compactor, committer, Budget::UNLIMITED, &mut done)
                    .await?;
            }
        }
        Ok(done)
    }

    /// Compacts periodically, if `compaction.enabled`, until [`Pipeline::begin_shutdown`] or
    /// [`Pipeline::close`]. For hosts with background tasks. Failures are logged.
    pub async fn keep_compacting(&self) {
        let config = &self.config.compaction;
        if !config.enabled || self.config.catalog.is_in_s3_tables() {
            return;
        }
        let stop = &self.compaction.stop;
        let mut is_left_over = false;
        loop {
            let interval = if is_left_over {
                config.interval.min(CATCHING_UP)
            } else {
                config.interval
            };
            // Random, so that a table's writers do not all compact at once.
            let wait = interval / 2 + random_part(interval);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            is_left_over = self.compact_round().await;
        }
    }

    /// Returns whether a table has work left for the next round.
    async fn compact_round(&self) -> bool {
        let mut is_left_over = false;
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
            let compacting = self.compact_table(&mut table.compactor, committer, Budget::ROUND, &mut done);
            let caught = AssertUnwindSafe(compacting).catch_unwind().await;
            let compacted = caught.unwrap_or_else(|panic| {
                // Its state may be inconsistent.
                table.compactor = Compactor::default();
                let message = "compaction panicked (a bug)";
                Err(Error::new(ErrorKind::Internal, message).with("panic", panic_text(panic.as_ref())))
            });
            let is_failure = |error: &Error| error.kind() != ErrorKind::Cancelled;
            let of_table = CompactionCounts {
                made: done.made,
                replaced: done.replaced,
                failures: u64::from(compacted.as_ref().is_err_and(is_failure)),
            };
            self.compaction.tell(number, of_table);
            match compacted {
                Ok(left) => {
                    table.failures = 0;
                    is_left_over |= left > 0;
                    if table.backlog.is_news(left) {
                        warn_of_backlog(committer, left);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Cancelled => return false,
                // Often another writer replaced or deleted the files first. The next commit reloads the
                // table.
                Err(error) => {
                    table.failures = table.failures.saturating_add(1);
                    // An unreadable file is excluded from now on. The next round may find another one.
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
        is_left_over
    }

    /// Returns how many files are left that could have been merged with a larger budget.
    async fn compact_table(
        &self,
        compactor: &mut Compactor,
        committer: &Committer,
        budget: Budget,
        done: &mut Compacted,
    ) -> Result<u64> {
        // A merge could not be committed now, and its file would be left behind.
        if committer.is_catalog_down() {
            return Ok(0);
        }
        committer.refresh_if_stale().await?;
        let config = (&self.config.compaction, &self.config.parquet);
        let stop = &self.compaction.stop;
        compactor.run(committer, config, budget, stop, done).await
    }

    /// The committers of all tables, in their order; `None` for a table that was not written to, or without a
    /// catalog.
    fn committers(&self) -> impl Iterator<Item = Option<&Committer>> {
        let destinations = self.destinations.iter().zip(&self.written);
        destinations.map(|(cell, is_written)| {
            let cell = is_written.load(Ordering::Relaxed).then_some(cell)?;
            OnceCell::get(cell).and_then(Destination::committer)
        })
    }
}

fn warn_of_backlog(committer: &Committer, left: u64) {
    tracing::warn!(
        table = %committer.table().ident,
        files = left,
        "small files come faster than they are merged, so the table gets more of them, and queries and commits slow \
         down. Partition by fewer values (tables.partition_by for new tables; for this one ALTER TABLE … DROP \
         PARTITION FIELD with an engine), write less often (sending_queue.batch.flush_timeout), or have an engine \
         compact the table (Spark: rewrite_data_files)"
    );
}
