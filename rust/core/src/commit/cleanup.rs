//! Metadata files of attempts that are not in the table, deleted as soon as that is certain.

use std::sync::Arc;

use super::expired_files::ExpiredFiles;
use super::producer::delete;
use super::protocol::Protocol;
use super::run::{AttemptBases, Run};
use crate::catalog::LoadedTable;

/// Maximum number of runs whose leftover files are remembered for deletion.
const PENDING_MAX: usize = 64;

/// Metadata files that are not needed if the table does not contain the snapshot.
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

    /// Deletes metadata files of attempts that did not win. Without a winner, the table must [surely
    /// lack](Run::is_surely_lacking) the run, and nothing is deleted while an attempt may still land.
    pub(super) async fn clean(&self, table: &LoadedTable, run: &Run, winner: Option<&str>) {
        let Some(producer) = &run.producer else {
            return;
        };
        if winner.is_none() && self.unknown.is_open() {
            return;
        }
        delete(table, producer.unused(&run.attempts, winner)).await;
    }

    /// Remembers the files of a run's attempts, to delete them after the next load.
    pub(super) fn clean_later(&mut self, run: &Run) {
        if let (Some(producer), Some(bases)) = (&run.producer, run.bases)
            && self.pending_cleanup.len() < PENDING_MAX
        {
            self.pending_cleanup.push(PendingCleanup {
                bases,
                snapshot_id: producer.snapshot_id(),
                paths: producer.unused(&run.attempts, None),
            });
        }
    }

    /// Deletes the remembered files after a load. Files that the table needs, or may need later, are kept.
    pub(super) async fn clean_pending(&mut self) {
        if self.pending_cleanup.is_empty() || self.unknown.is_open() {
            return;
        }
        let table = Arc::clone(&self.shared.view().table);
        for pending in std::mem::take(&mut self.pending_cleanup) {
            if pending.bases.would_show(&table.metadata, pending.snapshot_id) {
                delete(&table, pending.paths).await;
            }
        }
    }
}
