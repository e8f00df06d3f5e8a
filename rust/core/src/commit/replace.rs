//! Replaces files with others that have the same rows, in a snapshot of its own.

use std::sync::Arc;
use std::time::Duration;

use iceberg::spec::DataFile;
use tokio::time::Instant;
use uuid::Uuid;

use super::live_files::live_files;
use super::queue::{Origin, Queued};
use super::removal::Removal;
use super::{Append, Committed, Committer};
use crate::clock::now_ms;
use crate::error::Result;

/// No attempt begins after this time.
const TIME_MAX: Duration = Duration::from_secs(10);

/// New files, and the files whose rows they hold.
#[derive(Debug)]
pub struct Replacement {
    /// The new files, in storage. Together they have as many rows as the replaced ones.
    pub files: Vec<DataFile>,
    /// The partition spec of all these files.
    pub partition_spec_id: i32,
    /// The locations of the replaced files, with the location of the manifest that listed each when they were
    /// chosen.
    pub replaced: Vec<(String, String)>,
    /// The table that the files were written for.
    pub table_id: Uuid,
    /// The table's last sequence number when the files were chosen. Each was listed once then.
    pub chosen_at: i64,
}

impl Committer {
    /// Replaces files with others, in one snapshot with the operation `replace`. Appends wait meanwhile.
    ///
    /// Each manifest that lists some of the files is written again once, however many it lists.
    ///
    /// The replaced files stay in storage for the snapshots that have them, and are deleted when those are
    /// expired.
    ///
    /// # Errors
    /// As [`Committer::append`]. After `Catalog`, `Storage` and `TableMismatch`, the new files are not in the
    /// table and never will be, as far as the table's history shows, unless another call was to add them as
    /// well. `Catalog` also when files to replace are no longer in the table or have another number of rows than
    /// the new ones, or rows were deleted from the table. Then none of them is replaced.
    pub async fn replace(&self, replacement: Replacement) -> Result<Committed> {
        let records = replacement.files.iter().map(DataFile::record_count);
        let records = records.fold(0, u64::saturating_add);
        let append = Append {
            files: replacement.files,
            partition_spec_id: replacement.partition_spec_id,
            ids: Vec::new(),
            table_id: Some(replacement.table_id),
            request_bytes: 0,
        };
        let deadline = Instant::now() + TIME_MAX;
        let (mut queued, waiting) = Queued::new(append, replacement.table_id, deadline, Origin::Call);
        queued.removal = Some(Removal {
            partition_spec_id: replacement.partition_spec_id,
            chosen_at: replacement.chosen_at,
            files: Arc::new(replacement.replaced.into_iter().collect()),
            records,
        });
        // It cannot be withdrawn, and it continues if the caller does not.
        queued.begin();
        let protocol = Arc::clone(&self.protocol);
        tokio::spawn(async move { protocol.lock().await.commit_guarded(vec![queued]).await });
        waiting.answer().await
    }

    /// Whether this table, after a reload, surely lacks files that it did not have at sequence number `since`.
    /// False if it has one of them, or was replaced by another table of the same name: nothing is known of the
    /// first one then.
    pub(crate) async fn surely_lacks(&self, paths: &[String], table_id: Uuid, since: i64) -> bool {
        if self.protocol.lock().await.refresh().await.is_err() {
            return false;
        }
        let table = self.table();
        if table.metadata.uuid() != table_id {
            return false;
        }
        let live = live_files(&table, since).await;
        live.is_ok_and(|live| paths.iter().all(|path| !live.contains(path)))
    }

    /// The age at which the table's snapshots are expired here, so that replaced files can be deleted; `None`
    /// if they are not expired.
    #[must_use]
    pub fn snapshot_age_max(&self) -> Option<Duration> {
        super::expire_plan::age_max(&self.table().metadata, self.shared.window, now_ms())
            .filter(|_| self.expires)
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_table::TestTable;

    #[tokio::test]
    async fn a_table_that_was_made_anew_says_nothing_of_the_one_before() {
        let table = TestTable::open().await;
        let (paths, committer) = (["file:///nowhere/joined.parquet".to_owned()], &table.committer);
        let id = committer.table().metadata.uuid();
        assert!(committer.surely_lacks(&paths, id, 0).await);
        table.drop_from_catalog().await;
        assert!(!committer.surely_lacks(&paths, id, 0).await);
        let new_id = committer.table().metadata.uuid();
        assert_ne!(new_id, id);
        assert!(committer.surely_lacks(&paths, new_id, 0).await);
    }
}
