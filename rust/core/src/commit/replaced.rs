//! Data files that compactions of ours replaced, and that no snapshot has any more.
//!
//! A compaction lists what it took out, as `DELETED`, in manifests that its own snapshot alone has. Once all snapshots
//! before it are expired, what stays has such a file only if it was added again: by a request that came so late that
//! nobody recognised it, whose files have the same names. So a file is left that the table has now, and one that was
//! written after the compaction: it may be about to be added.

use std::collections::HashSet;

use futures::future::join_all;
use iceberg::spec::{ManifestFile, ManifestStatus, SnapshotRef};

use super::live::live_files;
use super::summary::chosen_at;
use crate::catalog::storage::modified;
use crate::catalog::{Catalog, IcebergCause, LoadedTable, manifests};
use crate::error::{Error, ErrorKind, Result};
use crate::write::data_folders;

/// Files looked at a time.
const AT_ONCE: usize = 8;
/// How much the storage's clock may be ahead of ours. A request that comes again within that time is recognised.
const CLOCKS_APART_MS: i64 = 60_000;

/// Deletes what can be; how many files that was. The first failure goes to `failure`, and the others are deleted all the same.
pub(super) async fn delete(
    catalog: &dyn Catalog,
    table: &LoadedTable,
    compactions: &[SnapshotRef],
    failure: &mut Option<Error>,
) -> usize {
    let candidates = match unreachable(catalog, table, compactions).await {
        Ok(candidates) => candidates,
        Err(error) => {
            failure.get_or_insert(error);
            return 0;
        }
    };
    let mut deleted = 0;
    for some in candidates.chunks(AT_ONCE) {
        let results = join_all(
            some.iter()
                .map(|(file, latest_ms)| delete_if_old(table, file, *latest_ms)),
        )
        .await;
        for ((file, _), result) in some.iter().zip(results) {
            match result {
                Ok(done) => deleted += usize::from(done),
                Err(cause) => {
                    let error = Error::new(
                        ErrorKind::Storage,
                        "cannot delete a file that a compaction replaced",
                    );
                    failure.get_or_insert(error.with("path", file).because(IcebergCause(cause)));
                }
            }
        }
    }
    deleted
}

/// Deletes a file that was last written by then; whether it was.
async fn delete_if_old(table: &LoadedTable, file: &str, latest_ms: i64) -> iceberg::Result<bool> {
    let modified_ms = modified::modified_ms(&table.file_io, file).await?;
    if modified_ms.is_none_or(|at| at > latest_ms) {
        return Ok(false);
    }
    table.file_io.delete(file).await?;
    Ok(true)
}

/// The files that were replaced and that the table, as it is now, does not have, with the time after which they must not
/// have been written.
///
/// # Errors
/// `Storage` or `Catalog` when it cannot be told: then nothing of it may be deleted.
async fn unreachable(
    catalog: &dyn Catalog,
    table: &LoadedTable,
    compactions: &[SnapshotRef],
) -> Result<Vec<(String, i64)>> {
    if compactions.is_empty() {
        return Ok(Vec::new());
    }
    let mut taken_out = Vec::new();
    for compaction in compactions {
        let files = taken_out_by(table, compaction).await.map_err(|cause| {
            Error::new(
                ErrorKind::Storage,
                "cannot read which files a compaction replaced",
            )
            .with("path", compaction.manifest_list())
            .because(IcebergCause(cause))
        })?;
        let latest_ms = compaction.timestamp_ms().saturating_add(CLOCKS_APART_MS);
        taken_out.extend(files.into_iter().map(|file| (file, latest_ms)));
    }
    let earliest = compactions.iter().map(|compaction| chosen_at(compaction)).min();
    // Others may have committed since.
    let now = catalog.load(&table.ident).await?;
    if now.metadata.uuid() != table.metadata.uuid() {
        return Ok(Vec::new());
    }
    let live = live_files(&now, earliest.unwrap_or(0)).await?;
    // What is elsewhere may belong to somebody else as well.
    let folders = data_folders(&table.metadata);
    taken_out.retain(|(file, _)| {
        !live.contains(file) && folders.iter().any(|folder| file.starts_with(folder.as_str()))
    });
    Ok(taken_out)
}

/// The files that a snapshot took out of the table.
async fn taken_out_by(table: &LoadedTable, snapshot: &SnapshotRef) -> iceberg::Result<HashSet<String>> {
    let id = snapshot.snapshot_id();
    let is_its_own =
        |manifest: &ManifestFile| manifest.added_snapshot_id == id && manifest.deleted_files_count != Some(0);
    let mut files = HashSet::new();
    let listed = manifests(table, snapshot.manifest_list()).await?;
    for manifest in listed.into_iter().filter(is_its_own) {
        let manifest = manifest.load_manifest(&table.file_io).await?;
        let deleted = manifest
            .entries()
            .iter()
            .filter(|entry| entry.status() == ManifestStatus::Deleted && entry.snapshot_id() == Some(id));
        files.extend(deleted.map(|entry| entry.file_path().to_owned()));
    }
    Ok(files)
}
