//! Deletes files that no snapshot references any more, after the commit that expired their snapshots.
//!
//! A manifest list belongs to a single snapshot. A manifest may be in the lists of many snapshots. Every
//! writer builds its list from its parent's list: it keeps some manifests and adds newly written ones. So a
//! manifest that was dropped from the list never comes back. A manifest that is neither in the list of the
//! oldest kept snapshot nor in that of the newest is in none between. The only data files deleted are those
//! that a compaction of ours replaced (`replaced_files.rs`). Otherwise, expiry stops where a data file could
//! become unreachable.
//!
//! Other programs write statistics files for single snapshots. One is deleted when the table's metadata no
//! longer names it, as Java's `ExpireSnapshots` does.
//!
//! A process that ends in between leaves orphan files, which only take up space.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use futures::future::join_all;
use iceberg::spec::TableMetadata;
use tokio::sync::mpsc;

use super::expire_plan::{Expired, may_delete};
use super::replaced_files;
use crate::catalog::{Catalog, LoadedTable, manifests, metadata_folder};
use crate::cause::IcebergCause;
use crate::error::{Error, ErrorKind, Result};

/// Number of files read or deleted concurrently.
const AT_ONCE: usize = 8;

/// What a successful commit expired.
#[derive(Debug)]
pub(super) struct ExpiredFiles {
    /// The table after the commit.
    pub(super) table: Arc<LoadedTable>,
    pub(super) expired: Expired,
    /// The manifests that the commit's own snapshot lists.
    pub(super) listed: HashSet<String>,
}

/// Deletes the files that it receives, until all senders are dropped.
pub(super) async fn sweep(catalog: Arc<dyn Catalog>, mut leftovers: mpsc::Receiver<ExpiredFiles>) {
    while let Some(leftover) = leftovers.recv().await {
        let table = Arc::clone(&leftover.table);
        match leftover.delete(catalog.as_ref()).await {
            Ok(deleted) => {
                tracing::debug!(table = %table.ident, deleted, "files of expired snapshots are deleted");
            }
            Err(error) => {
                tracing::warn!(table = %table.ident, %error, "some files of expired snapshots are left behind");
            }
        }
    }
}

impl ExpiredFiles {
    /// Deletes all files that may be deleted. Returns their number.
    ///
    /// # Errors
    /// The first failure. Deletion continues with the other files.
    async fn delete(self, catalog: &dyn Catalog) -> Result<usize> {
        let metadata = &self.table.metadata;
        // If the catalog ignored the expiry, the snapshots are still there and need their files.
        let is_there = |id: i64| metadata.snapshot_by_id(id).is_some();
        if self.expired.ids().into_iter().any(is_there) {
            let message = "the catalog did not expire the snapshots that it was told to";
            return Err(Error::new(ErrorKind::Catalog, message));
        }
        // Another writer's change may have come between our load and our commit, and the catalog kept both.
        if !may_delete(metadata) {
            let message =
                "the table has a tag, another branch or other properties since its snapshots were expired";
            return Err(Error::new(ErrorKind::Catalog, message));
        }
        let mut failure = None;
        // Before the manifests that list these files.
        let compactions = &self.expired.compactions;
        let mut deleted = replaced_files::delete(catalog, &self.table, compactions, &mut failure).await;
        let mut paths = self.manifests(&mut failure).await;
        let kept_lists = metadata.snapshots().map(|kept| kept.manifest_list());
        let kept: HashSet<&str> = kept_lists.chain(statistics_paths(metadata)).collect();
        let lists = self
            .expired
            .snapshots
            .iter()
            .map(|expired| expired.manifest_list());
        let statistics = self.expired.statistics.iter().map(String::as_str);
        let dropped = lists.chain(statistics).filter(|path| !kept.contains(path));
        paths.extend(dropped.map(str::to_owned));
        // Files elsewhere may also belong to others.
        let folder = format!("{}/", metadata_folder(metadata));
        paths.retain(|path| path.starts_with(&folder));

        for some in paths.into_iter().collect::<Vec<_>>().chunks(AT_ONCE) {
            let results = join_all(some.iter().map(|path| self.table.file_io.delete(path))).await;
            for (path, result) in some.iter().zip(results) {
                match result {
                    Ok(()) => deleted += 1,
                    Err(cause) => {
                        let error = Error::new(ErrorKind::Storage, "cannot delete a file").with("path", path);
                        failure.get_or_insert(error.because(IcebergCause(cause)));
                    }
                }
            }
        }
        failure.map_or(Ok(deleted), Err)
    }

    /// The manifests that only expired snapshots list. Empty if it is unknown which are still listed.
    async fn manifests(&self, failure: &mut Option<Error>) -> BTreeSet<String> {
        let oldest_kept = match self.listed_in(self.expired.oldest_kept.manifest_list()).await {
            Ok(listed) => listed,
            Err(error) => {
                failure.get_or_insert(error);
                return BTreeSet::new();
            }
        };
        let mut dropped = BTreeSet::new();
        for some in self.expired.snapshots.chunks(AT_ONCE) {
            let lists = some.iter().map(|expired| self.listed_in(expired.manifest_list()));
            for listed in join_all(lists).await {
                match listed {
                    Ok(listed) => dropped.extend(
                        listed
                            .into_iter()
                            .filter(|path| !oldest_kept.contains(path) && !self.listed.contains(path)),
                    ),
                    Err(error) => {
                        failure.get_or_insert(error);
                    }
                }
            }
        }
        dropped
    }

    /// The manifests in a manifest list.
    async fn listed_in(&self, list: &str) -> Result<HashSet<String>> {
        let listed = manifests(&self.table, list).await.map_err(|cause| {
            Error::new(ErrorKind::Storage, "cannot read a manifest list")
                .with("path", list)
                .because(IcebergCause(cause))
        })?;
        Ok(listed
            .into_iter()
            .map(|manifest| manifest.manifest_path)
            .collect())
    }
}

/// The paths of all statistics files that the metadata names.
fn statistics_paths(metadata: &TableMetadata) -> impl Iterator<Item = &str> {
    let of_table = metadata
        .statistics_iter()
        .map(|file| file.statistics_path.as_str());
    let of_partitions = metadata.partition_statistics_iter();
    of_table.chain(of_partitions.map(|file| file.statistics_path.as_str()))
}
