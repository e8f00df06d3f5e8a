//! Which data files a table has.

use std::collections::HashSet;

use iceberg::spec::{ManifestContentType, ManifestFile};

use crate::catalog::{LoadedTable, ReadManifest, manifests, read_manifest};
use crate::error::{Error, Result};

/// Whether a manifest was written after the snapshot with this sequence number. All files added since are in
/// such manifests. With 0, all files of the table are.
pub(super) fn is_after(manifest: &ManifestFile, sequence_number: i64) -> bool {
    // In format v1 all sequence numbers are 0.
    manifest.sequence_number > sequence_number || manifest.sequence_number == 0
}

/// The data manifests of the table's current snapshot.
///
/// # Errors
/// `Storage` when their list cannot be read.
pub(super) async fn data_manifests(table: &LoadedTable) -> Result<Vec<ManifestFile>> {
    let Some(snapshot) = table.metadata.current_snapshot() else {
        return Ok(Vec::new());
    };
    let mut listed = manifests(table, snapshot.manifest_list())
        .await
        .map_err(|cause| unreadable(table, cause))?;
    listed.retain(|manifest| manifest.content == ManifestContentType::Data);
    Ok(listed)
}

/// The paths of the data files that a manifest adds or keeps.
///
/// # Errors
/// `Storage` when it cannot be read.
pub(super) async fn live_in(table: &LoadedTable, manifest: &ManifestFile) -> Result<Vec<String>> {
    let read = read_manifest(&table.file_io, manifest).await;
    match read.map_err(|cause| unreadable(table, cause))? {
        ReadManifest::Whole(manifest) => {
            let live = manifest.entries().iter().filter(|entry| entry.is_alive());
            Ok(live.map(|entry| entry.file_path().to_owned()).collect())
        }
        ReadManifest::Paths { live, .. } => Ok(live),
    }
}

/// The paths of the data files in those manifests of the current snapshot that were written after the
/// snapshot with this sequence number.
///
/// # Errors
/// `Storage` when a manifest cannot be read.
pub(super) async fn live_files(table: &LoadedTable, after: i64) -> Result<HashSet<String>> {
    let mut paths = HashSet::new();
    // One at a time: a large manifest needs much memory, since it has metadata for each file's columns.
    for manifest in data_manifests(table).await? {
        if is_after(&manifest, after) {
            paths.extend(live_in(table, &manifest).await?);
        }
    }
    Ok(paths)
}

fn unreadable(table: &LoadedTable, cause: iceberg::Error) -> Error {
    table.storage_error("cannot read the table's manifests", cause)
}
