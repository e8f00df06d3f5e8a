//! Metadata files of attempts that are not in the table, deleted as soon as that is certain.
//!
//! Three things make it certain, all from a state of the table that was loaded after the last attempt: no attempt
//! with an unknown outcome can land any more, the table does not have the snapshot, and its history would show it.
//! Until then the files are remembered.

use std::sync::Arc;

use super::expired_files::ExpiredFiles;
use super::protocol::Protocol;
use super::run::{AttemptBases, Run};
use super::unneeded::delete;
use crate::catalog::LoadedTable;

/// Maximum number of files that are remembered for deletion, some 2 MB for a table. While a catalog loads tables
/// and answers commits with 5xx, each batch leaves about a dozen. Beyond the limit, files become orphans.
const REMEMBERED_MAX: usize = 10_000;
/// After this number of remembered files, the rest waits for the end of the next commit, which waits meanwhile.
const DELETED_AT_ONCE: usize = 100;

/// Metadata files, and new files of a compaction, that are not needed if the table does not contain the snapshot.
#[derive(Debug)]
pub(super) struct PendingCleanup {
    bases: AttemptBases,
    snapshot_id: i64,
    paths: Vec<String>,
}

impl Protocol {
    /// Cleans up after the attempt that is in the table.
    pub(super) async fn finish(&mut self, run: &mut Run, manifest_list: &str) {
        let table = Arc::clone(&self.shared.view().table);
        self.clean(&table, run, Some(manifest_list)).await;
        let won = run
            .attempts
            .iter_mut()
            .find(|attempt| attempt.manifest_list == manifest_list);
        if let Some(won) = won
            && let Some(expired) = won.expired.take()
        {
            let listed = std::mem::take(&mut won.listed);
            self.expiry.clean(ExpiredFiles {
                table,
                expired,
                listed,
            });
        }
    }

    /// Deletes metadata files of attempts that did not win. Without a winner, the table must surely lack all of the
    /// run's attempts, and none of them may land later.
    async fn clean(&self, table: &LoadedTable, run: &Run, winner: Option<&str>) {
        if let Some(producer) = &run.producer {
            delete(table, producer.unused(&run.attempts, winner)).await;
        }
    }

    /// Deletes the metadata files of a run without a winner, or remembers them while one of its attempts may still
    /// land. `looked` says whether the table was loaded after the last attempt.
    pub(super) async fn clean_lost(&mut self, run: &Run, looked: bool) {
        // No attempt of the run can land if none was sent.
        let is_settled = run.bases.is_none() || looked && !self.unknown.is_open();
        if !is_settled {
            self.remember(run);
            return;
        }
        let table = Arc::clone(&self.shared.view().table);
        if run.is_surely_lacking(&table.metadata) {
            self.clean(&table, run, None).await;
        }
    }

    /// Remembers the files of a run's attempts, to delete them once it is certain that none is in the table.
    fn remember(&mut self, run: &Run) {
        let (Some(producer), Some(bases)) = (&run.producer, run.bases) else {
            return;
        };
        let mut paths = producer.unused(&run.attempts, None);
        // No other commit has the new files of a compaction, and nobody writes them again.
        let replacing = run.batch.iter().filter(|queued| queued.removal.is_some());
        let files = replacing.flat_map(|queued| &queued.append.files);
        paths.extend(files.map(|file| file.file_path().to_owned()));
        let remembered: usize = self
            .pending_cleanup
            .iter()
            .map(|pending| pending.paths.len())
            .sum();
        if remembered + paths.len() > REMEMBERED_MAX {
            let files = paths.len();
            tracing::debug!(
                files,
                "too many files of commit attempts wait for their deletion; these stay behind"
            );
            return;
        }
        self.pending_cleanup.push(PendingCleanup {
            bases,
            snapshot_id: producer.snapshot_id(),
            paths,
        });
    }

    /// Deletes remembered files at the end of a commit, when its callers have their answers. Files that the table
    /// needs, or may need later, are kept.
    pub(super) async fn clean_pending(&mut self) {
        // The last loaded state of a stale table may be older than an attempt that landed.
        if self.shared.is_stale() || self.unknown.is_open() {
            return;
        }
        let table = Arc::clone(&self.shared.view().table);
        let mut paths = Vec::new();
        while paths.len() < DELETED_AT_ONCE
            && let Some(pending) = self.pending_cleanup.pop()
        {
            if pending.bases.would_show(&table.metadata, pending.snapshot_id) {
                paths.extend(pending.paths);
            }
        }
        delete(&table, paths).await;
    }
}
