//! Which data files a table has.

use std::collections::HashSet;

use futures::future::try_join_all;
use iceberg::spec::{ManifestContentType, ManifestFile, ManifestStatus};

use crate::catalog::{IcebergCause, LoadedTable, manifests};
use crate::error::{Error, ErrorKind, Result};

/// Manifests read at a time.
const READS_MAX: usize = 8;

/// The paths of the data files in the table's current snapshot. Reads every manifest: for
/// the rare cases in which that must be known.
pub(super) async fn live_files(table: &LoadedTable) -> Result<HashSet<String>> {
    let Some(snapshot) = table.metadata.current_snapshot() else {
        return Ok(HashSet::new());
    };
    let paths = async {
        let listed = manifests(table, snapshot.manifest_list()).await?;
        let manifests: Vec<ManifestFile> = listed
            .into_iter()
            .filter(|manifest| manifest.content == ManifestContentType::Data)
            .collect();
        let mut paths = HashSet::new();
        for some in manifests.chunks(READS_MAX) {
            for live in try_join_all(some.iter().map(|manifest| live_in(table, manifest))).await? {
                paths.extend(live);
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
    let live = manifest
        .entries()
        .iter()
        .filter(|entry| entry.status() != ManifestStatus::Deleted);
    Ok(live.map(|entry| entry.file_path().to_owned()).collect())
}
