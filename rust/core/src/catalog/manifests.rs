//! The manifests of a snapshot.

use iceberg::spec::{ManifestFile, ManifestList};

use super::LoadedTable;

/// Reads a manifest list of the table. Returns its manifests in the order of the list.
///
/// # Errors
/// When the list cannot be read.
pub(crate) async fn manifests(table: &LoadedTable, list: &str) -> iceberg::Result<Vec<ManifestFile>> {
    let content = table.file_io.new_input(list)?.read().await?;
    let list = ManifestList::parse_with_version(&content, table.metadata.format_version())?;
    Ok(list.consume_entries().into_iter().collect())
}
