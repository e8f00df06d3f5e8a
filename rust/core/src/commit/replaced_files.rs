//! Data files that compactions of ours replaced, and that no snapshot has any more.
//!
//! A compaction lists what it took out, as `DELETED`, in manifests that its own snapshot alone has. Once all snapshots
//! before it are expired, what stays has such a file only if it was added again: by a request that came so late that
//! nobody recognised it, whose files have the same names. So a file is left that the table has now, and one that was
//! written since the compaction was made: it may be about to be added. Both times are the storage's.

use std::collections::{HashMap, HashSet};

use futures::future::join_all;
use iceberg::spec::{ManifestFile, ManifestStatus, SnapshotRef};

use super::live_files::{data_manifests, is_after, live_in};
use super::summary::chosen_at;
use crate::catalog::storage::modified;
use crate::catalog::{Catalog, IcebergCause, LoadedTable, manifests};
use crate::error::{Error, ErrorKind, Result};
use crate::write::data_folders;

/// Files looked at a time.
const AT_ONCE: usize = 8;
/// Files that are deleted after one look at the table.
const PER_LOOK: usize = 64;

/// A file that a compaction took out of the table.
#[derive(Debug)]
struct TakenOut {
    path: String,
    /// The partition spec that it was taken out of.
    spec_id: i32,
    /// As [`chosen_at`].
    chosen_at: i64,
    /// When the compaction's manifest list was written, in milliseconds since the Unix epoch by the storage's clock.
    made_ms: i64,
}

/// Deletes what can be; how many files that was. The first failure goes to `failure`, and the others are deleted all the same.
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
    // What is elsewhere may belong to somebody else as well.
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

/// Deletes those files that were not written after the compaction that replaced them was made, as exactly as storage tells (S3: seconds); how many that was.
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
    let modified_ms = modified::modified_ms(&table.file_io, &file.path).await?;
    if modified_ms.is_none_or(|at| at > file.made_ms) {
        return Ok(false);
    }
    table.file_io.delete(&file.path).await?;
    Ok(true)
}

/// Looks for some files in the table as it is now, one after the other.
struct Looks<'a> {
    files: HashSet<&'a str>,
    /// When they were chosen each was listed once, among the files of its partition spec.
    chosen_at: i64,
    /// That spec, if all of them have the same.
    spec_id: Option<i32>,
    /// Those of them that a manifest lists. It never changes, so it is read once.
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

    /// Which of them the table has now.
    ///
    /// # Errors
    /// `Storage` or `Catalog` when it cannot be told: then none of them may be deleted.
    async fn again(&mut self, catalog: &dyn Catalog, table: &LoadedTable) -> Result<HashSet<&str>> {
        // Others may have committed since.
        let now = catalog.load(&table.ident).await?;
        if now.metadata.uuid() != table.metadata.uuid() {
            let message = "the table was made anew under its name";
            return Err(Error::new(ErrorKind::Catalog, message));
        }
        let is_wanted = |manifest: &ManifestFile| {
            // A file that was taken out of one spec may be listed in another one's manifests of any age.
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

/// The files that a snapshot took out of the table.
async fn taken_out_by(table: &LoadedTable, snapshot: &SnapshotRef) -> iceberg::Result<Vec<TakenOut>> {
    let id = snapshot.snapshot_id();
    // It is there, or it could not be read.
    let made_ms = modified::modified_ms(&table.file_io, snapshot.manifest_list()).await?;
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
