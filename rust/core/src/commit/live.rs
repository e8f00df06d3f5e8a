//! Which data files a table has.

use std::collections::HashSet;

use iceberg::spec::{ManifestContentType, ManifestFile};

use crate::catalog::{IcebergCause, LoadedTable, manifests};
use crate::error::{Error, ErrorKind, Result};

/// Of manifests those that were written after the snapshot with this sequence number: all that was added since is in one of
/// them. Every file is in one that was written after 0.
pub(super) fn is_after(manifest: &ManifestFile, sequence_number: i64) -> bool {
    // In format v1 all sequence numbers are 0.
    manifest.sequence_number > sequence_number || manifest.sequence_number == 0
}

/// The paths of the data files in those manifests of the table's current snapshot that are wanted.
///
/// # Errors
/// `Storage` when a manifest cannot be read.
pub(super) async fn live_files(
    table: &LoadedTable,
    is_wanted: impl Fn(&ManifestFile) -> bool,
) -> Result<HashSet<String>> {
    let Some(snapshot) = table.metadata.current_snapshot() else {
        return Ok(HashSet::new());
    };
    let paths = async {
        let mut paths = HashSet::new();
        let is_data = |manifest: &ManifestFile| manifest.content == ManifestContentType::Data;
        let listed = manifests(table, snapshot.manifest_list()).await?;
        // One after the other: what a large one tells of each file's columns takes much memory.
        for manifest in listed {
            if is_data(&manifest) && is_wanted(&manifest) {
                paths.extend(live_in(table, &manifest).await?);
            }
        }
        Ok(paths)
    };
    paths.await.map_err(|cause: iceberg::Error| {
        Error::new(ErrorKind::Storage, "cannot read the table's manifests")
            .with("table", table.ident.to_string())
            .because(IcebergCause(cause))
    })
}

async fn live_in(table: &LoadedTable, manifest: &ManifestFile) -> iceberg::Result<Vec<String>> {
    let manifest = manifest.load_manifest(&table.file_io).await?;
    let live = manifest.entries().iter().filter(|entry| entry.is_alive());
    Ok(live.map(|entry| entry.file_path().to_owned()).collect())
}
