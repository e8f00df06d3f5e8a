//! Deletes data files that our compactions replaced and that no snapshot references any more.
//!
//! A compaction lists the removed files as `DELETED`, in manifests that only its own snapshot has. Once all
//! snapshots before it are expired, a kept snapshot has such a file only if it was added again. A request
//! that comes so late that it is not recognised does that, because its files have the same names. So two
//! kinds of files are kept: those that are in the table now, and those that were written after the
//! compaction, which may be about to be added. Both times are from the storage's clock.

use std::collections::{HashMap, HashSet};

use futures::future::join_all;
use iceberg::spec::{ManifestFile, ManifestStatus, SnapshotRef};

use super::live_files::{data_manifests, is_after, live_in};
use super::summary::chosen_at;
use crate::catalog::{Catalog, LoadedTable, manifests};
use crate::cause::IcebergCause;
use crate::error::{Error, ErrorKind, Result};
use crate::storage;
use crate::write::data_folders;

/// Number of files checked concurrently.
const AT_ONCE: usize = 8;
/// Number of files deleted per reload of the table.
const PER_LOOK: usize = 64;

/// A file that a compaction removed from the table.
#[derive(Debug)]
struct TakenOut {
    path: String,
    /// The partition spec that it belonged to.
    spec_id: i32,
    /// As [`chosen_at`].
    chosen_at: i64,
    /// When the compaction's manifest list was written, in milliseconds since the Unix epoch by the storage's
    /// clock.
    made_ms: i64,
}

/// Deletes all files that may be deleted, and returns their number. `failure` gets the first error; deletion
/// continues with the other files.
pub(super) async fn delete(
    catalog: &dyn Catalog,
    table: &LoadedTable,
    compactions: &[SnapshotRef],
    failure: &mut Option<Error>,
) -> usize {
    let mut taken_out = Vec::new();
    for compaction in compactions {
        match taken_out_by(table, compaction).await {
            Ok(files) => taken_out.extend(files),
            Err(cause) => {
                let message = "cannot read which files a compaction replaced";
                let error = Error::new(ErrorKind::Storage, message);
                let list = compaction.manifest_list();
                failure.get_or_insert(error.with("path", list).because(IcebergCause(cause)));
            }
        }
    }
    // Files elsewhere may also belong to others.
    let folders = data_folders(&table.metadata);
    taken_out.retain(|file| {
        folders
            .iter()
            .any(|folder| file.path.starts_with(folder.as_str()))
    });
    let mut looks = Looks::for_files(&taken_out);
    let mut deleted = 0;
    for some in taken_out.chunks(PER_LOOK) {
        match looks.again(catalog, table).await {
            Ok(live) => {
                let gone: Vec<&TakenOut> = some
                    .iter()
                    .filter(|file| !live.contains(file.path.as_str()))
                    .collect();
                deleted += delete_old(table, &gone, failure).await;
            }
            Err(error) => {
                failure.get_or_insert(error);
                break;
            }
        }
    }
    deleted
}

/// Deletes the files that were not written after the compaction that replaced them, and returns their number.
/// The comparison is as precise as the storage's timestamps (S3: seconds).
async fn delete_old(table: &LoadedTable, files: &[&TakenOut], failure: &mut Option<Error>) -> usize {
    let mut deleted = 0;
    for some in files.chunks(AT_ONCE) {
        let results = join_all(some.iter().map(|file| delete_if_old(table, file))).await;
        for (file, result) in some.iter().zip(results) {
            match result {
                Ok(done) => deleted += usize::from(done),
                Err(cause) => {
                    let message = "cannot delete a file that a compaction replaced";
                    let error = Error::new(ErrorKind::Storage, message);
                    failure.get_or_insert(error.with("path", &file.path).because(IcebergCause(cause)));
                }
            }
        }
    }
    deleted
}

async fn delete_if_old(table: &LoadedTable, file: &TakenOut) -> iceberg::Result<bool> {
    let modified_ms = storage::modified_ms(&table.file_io, &file.path).await?;
    if modified_ms.is_none_or(|at| at > file.made_ms) {
        return Ok(false);
    }
    table.file_io.delete(&file.path).await?;
    Ok(true)
}

/// Repeatedly checks which of some files are in the current table.
struct Looks<'a> {
    files: HashSet<&'a str>,
    /// The lowest [`chosen_at`] of the files. Each was listed once then, among the files of its partition
    /// spec.
    chosen_at: i64,
    /// Their partition spec, if all of them have the same.
    spec_id: Option<i32>,
    /// The files that each manifest lists. Manifests never change, so each is read once.
    by_manifest: HashMap<String, Vec<String>>,
}

impl<'a> Looks<'a> {
    fn for_files(files: &'a [TakenOut]) -> Self {
        let first = files.first().map(|file| file.spec_id);
        Self {
            files: files.iter().map(|file| file.path.as_str()).collect(),
            chosen_at: files.iter().map(|file| file.chosen_at).min().unwrap_or(0),
            spec_id: first.filter(|id| files.iter().all(|file| file.spec_id == *id)),
            by_manifest: HashMap::new(),
        }
    }

    /// Which of the files the table has now.
    ///
    /// # Errors
    /// `Storage` or `Catalog` when this is unknown: then none of them may be deleted.
    async fn again(&mut self, catalog: &dyn Catalog, table: &LoadedTable) -> Result<HashSet<&str>> {
        // Other writers may have committed since.
        let now = catalog.load(&table.ident).await?;
        if now.metadata.uuid() != table.metadata.uuid() {
            let message = "the table was created again under its name";
            return Err(Error::new(ErrorKind::Catalog, message));
        }
        let is_wanted = |manifest: &ManifestFile| {
            // A file that was removed from one spec may be listed in another spec's manifests of any age.
            is_after(manifest, self.chosen_at) || self.spec_id != Some(manifest.partition_spec_id)
        };
        let mut listed = Vec::new();
        for manifest in data_manifests(&now).await?.into_iter().filter(is_wanted) {
            let path = manifest.manifest_path.clone();
            if !self.by_manifest.contains_key(&path) {
                let mut live = live_in(&now, &manifest).await?;
                live.retain(|file| self.files.contains(file.as_str()));
                self.by_manifest.insert(path.clone(), live);
            }
            listed.push(path);
        }
        let live = listed.iter().filter_map(|path| self.by_manifest.get(path));
        Ok(live.flatten().map(String::as_str).collect())
    }
}

/// The files that a snapshot removed from the table.
async fn taken_out_by(table: &LoadedTable, snapshot: &SnapshotRef) -> iceberg::Result<Vec<TakenOut>> {
    let id = snapshot.snapshot_id();
    // The manifest list exists, or reading it fails below.
    let made_ms = storage::modified_ms(&table.file_io, snapshot.manifest_list()).await?;
    let made_ms = made_ms.unwrap_or(i64::MIN);
    let is_its_own =
        |manifest: &ManifestFile| manifest.added_snapshot_id == id && manifest.deleted_files_count != Some(0);
    let mut files = Vec::new();
    let listed = manifests(table, snapshot.manifest_list()).await?;
    for manifest in listed.into_iter().filter(is_its_own) {
        let spec_id = manifest.partition_spec_id;
        let manifest = manifest.load_manifest(&table.file_io).await?;
        let deleted = manifest
            .entries()
            .iter()
            .filter(|entry| entry.status() == ManifestStatus::Deleted && entry.snapshot_id() == Some(id));
        files.extend(deleted.map(|entry| TakenOut {
            path: entry.file_path().to_owned(),
            spec_id,
            chosen_at: chosen_at(snapshot),
            made_ms,
        }));
    }
    Ok(files)
}
