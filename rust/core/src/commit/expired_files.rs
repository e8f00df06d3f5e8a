//! Files that no snapshot has any more, deleted after the commit that expired their snapshots.
//!
//! A manifest list belongs to its snapshot alone. A manifest is in the lists of many snapshots; but every
//! writer makes its list of the list of its parent, out of what it keeps of it and of manifests that it writes
//! anew. So one that was dropped from the list never comes back, and one that is neither in the list of the
//! oldest snapshot that stays nor in the newest is in none between. Of data files only those are deleted that a compaction
//! of ours replaced (`replaced_files.rs`): elsewhere expiry stops where one could become unreachable.
//!
//! A process that ends in between leaves files that cost space only.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use futures::future::join_all;
use tokio::sync::mpsc;

use super::expire_plan::{Expired, may_delete};
use super::replaced_files;
use crate::catalog::{Catalog, IcebergCause, LoadedTable, manifests, metadata_folder};
use crate::error::{Error, ErrorKind, Result};

/// Files read or deleted at a time.
const AT_ONCE: usize = 8;

/// What a commit that succeeded has expired.
#[derive(Debug)]
pub(super) struct ExpiredFiles {
    /// The table after the commit.
    pub(super) table: Arc<LoadedTable>,
    pub(super) expired: Expired,
    /// The manifests that the commit's own snapshot lists.
    pub(super) listed: HashSet<String>,
}

/// Deletes what is sent to it, until nobody can send any more.
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
    /// Deletes all that can be; how many files that was.
    ///
    /// # Errors
    /// The first failure. The others' files are deleted all the same.
    async fn delete(self, catalog: &dyn Catalog) -> Result<usize> {
        let metadata = &self.table.metadata;
        // A catalog that passed over what it was told keeps the snapshots, and they keep their files.
        let is_there = |id: i64| metadata.snapshot_by_id(id).is_some();
        if self.expired.ids().into_iter().any(is_there) {
            let message = "the catalog did not expire the snapshots that it was told to";
            return Err(Error::new(ErrorKind::Catalog, message));
        }
        // It may have come between our look and our commit, and the catalog has kept both.
        if !may_delete(metadata) {
            let message =
                "the table has a tag, another branch or other properties since its snapshots were expired";
            return Err(Error::new(ErrorKind::Catalog, message));
        }
        let mut failure = None;
        // Before the manifests that tell of its files.
        let compactions = &self.expired.compactions;
        let mut deleted = replaced_files::delete(catalog, &self.table, compactions, &mut failure).await;
        let mut paths = self.manifests(&mut failure).await;
        let kept: HashSet<&str> = metadata.snapshots().map(|kept| kept.manifest_list()).collect();
        let lists = self
            .expired
            .snapshots
            .iter()
            .map(|expired| expired.manifest_list());
        paths.extend(lists.filter(|list| !kept.contains(list)).map(str::to_owned));
        // What is elsewhere belongs to somebody else as well.
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

    /// The manifests that only expired snapshots list. None if it cannot be told what is still listed.
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
