//! The manifests of a snapshot.

use iceberg::io::FileIO;
use iceberg::spec::{Manifest, ManifestFile, ManifestList};

use super::LoadedTable;
use super::manifest_header::without_columns;
use crate::cause::IcebergCause;

/// Reads a manifest list of the table. Returns its manifests in the order of the list.
///
/// # Errors
/// When the list cannot be read.
pub(crate) async fn manifests(table: &LoadedTable, list: &str) -> iceberg::Result<Vec<ManifestFile>> {
    let content = table.file_io.new_input(list)?.read().await?;
    let list = ManifestList::parse_with_version(&content, table.metadata.format_version())?;
    Ok(list.consume_entries().into_iter().collect())
}

/// What could be read of a manifest.
#[derive(Debug)]
pub(crate) enum ReadManifest {
    /// Everything.
    Whole(Manifest),
    /// Only which files it adds or keeps: iceberg-rust refuses something else in it, such as a string bound
    /// that another program cut within a character.
    Paths {
        /// The locations of these files.
        live: Vec<String>,
        /// Why the rest was refused.
        cause: iceberg::Error,
    },
}

/// Reads a manifest, or at least the locations of its files.
///
/// # Errors
/// When storage does not return it, or it is damaged. Then it is unknown which files it lists.
pub(crate) async fn read_manifest(
    file_io: &FileIO,
    manifest: &ManifestFile,
) -> iceberg::Result<ReadManifest> {
    let path = &manifest.manifest_path;
    let cause = match manifest.load_manifest(file_io).await {
        Ok(whole) => return Ok(ReadManifest::Whole(whole)),
        Err(cause) => cause,
    };
    let unreadable = |cause: iceberg::Error| {
        iceberg::Error::new(cause.kind(), format!("cannot read the manifest {path}"))
            .with_source(IcebergCause(cause))
    };
    // Such an error does not tell whether storage failed, so the manifest is read once more.
    if manifest.key_metadata.is_some() {
        return Err(unreadable(cause));
    }
    let avro = file_io.new_input(path)?.read().await.map_err(unreadable)?;
    if Manifest::parse_avro(&avro).is_ok() {
        return Err(unreadable(cause));
    }
    match live_paths(&avro) {
        Some(live) => Ok(ReadManifest::Paths { live, cause }),
        None => Err(unreadable(cause)),
    }
}

/// The locations of the files that a manifest adds or keeps, read without its columns.
fn live_paths(avro: &[u8]) -> Option<Vec<String>> {
    let manifest = Manifest::parse_avro(&without_columns(avro)?).ok()?;
    let live = manifest.entries().iter().filter(|entry| entry.is_alive());
    Some(live.map(|entry| entry.file_path().to_owned()).collect())
}
