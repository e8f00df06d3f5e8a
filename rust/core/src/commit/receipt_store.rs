//! Storage of a table's receipts: a folder under the table's location. Its name begins with an underscore,
//! because Spark's orphan-file cleanup skips such names. Trino's and others do not.

use bytes::Bytes;
use iceberg::spec::TableMetadata;

use crate::catalog::LoadedTable;
use crate::cause::IcebergCause;
use crate::error::{Error, ErrorKind, Result};
use crate::storage;

/// The folder in a table's location for this program's own files.
pub(crate) const OWN_FOLDER: &str = "_otlp2iceberg";
/// The receipts' folder in it.
const FOLDER: &str = "receipts";
/// The ending of a receipt's name.
pub(super) const ENDING: &str = ".json";
/// The ending of a receipt's name with which a person confirms that the receipt is not in the table.
pub(super) const APPROVED: &str = ".approved.json";

/// The name that a receipt has once a person approved it.
pub(super) fn approved(name: &str) -> String {
    format!("{}{APPROVED}", name.strip_suffix(ENDING).unwrap_or(name))
}

/// The names of all receipts, oldest first.
pub(super) async fn list(table: &LoadedTable) -> Result<Vec<String>> {
    let folder = folder(&table.metadata);
    let mut names = storage::list(&table.file_io, &folder).await.map_err(|cause| {
        let message =
            "cannot look for receipts; the right to list the folder is needed (on S3: s3:ListBucket)";
        failed(message, table, &folder, cause)
    })?;
    // Names begin with the time. A name that begins with a dot is an incomplete copy.
    names.retain(|name| name.ends_with(ENDING) && !name.starts_with('.'));
    names.sort_unstable();
    Ok(names)
}

/// Whether receipts wait in a table's folder.
///
/// # Errors
/// As [`list`].
pub(crate) async fn has_receipts(table: &LoadedTable) -> Result<bool> {
    Ok(!list(table).await?.is_empty())
}

/// A receipt's content; `None` if it no longer exists.
pub(super) async fn read(table: &LoadedTable, name: &str) -> Result<Option<Bytes>> {
    let path = path(&table.metadata, name);
    let read = async {
        let input = table.file_io.new_input(&path)?;
        match input.read().await {
            Ok(content) => Ok(Some(content)),
            Err(_) if !input.exists().await? => Ok(None),
            Err(cause) => Err(cause),
        }
    };
    read.await
        .map_err(|cause| failed("cannot read a receipt", table, &path, cause))
}

/// Whether the table's own files can be read.
pub(super) async fn can_read_table(table: &LoadedTable) -> bool {
    let Some(path) = table.own_files().next() else {
        return false;
    };
    let read = async { table.file_io.new_input(path)?.read().await };
    read.await.is_ok()
}

/// Stores a receipt. It is durable when this returns.
pub(super) async fn write(table: &LoadedTable, name: &str, content: Vec<u8>) -> Result<()> {
    let path = path(&table.metadata, name);
    // A caller that gets a success does not send the data again, so the storage is checked first. A table
    // without a snapshot was checked before its data files were written, as far as we can see its metadata.
    if table.metadata.current_snapshot().is_some() {
        table.check_storage(&path).await?;
    }
    let write = async { table.file_io.new_output(&path)?.write(content.into()).await };
    write
        .await
        .map_err(|cause| failed("cannot write a receipt", table, &path, cause))
}

/// Deletes a receipt. A missing one counts as deleted.
pub(super) async fn delete(table: &LoadedTable, name: &str) -> Result<()> {
    let path = path(&table.metadata, name);
    table
        .file_io
        .delete(&path)
        .await
        .map_err(|cause| failed("cannot delete a receipt", table, &path, cause))
}

/// The location of a receipt.
pub(super) fn path(metadata: &TableMetadata, name: &str) -> String {
    format!("{}/{name}", folder(metadata))
}

fn folder(metadata: &TableMetadata) -> String {
    format!(
        "{}/{OWN_FOLDER}/{FOLDER}",
        metadata.location().trim_end_matches('/')
    )
}

fn failed(message: &str, table: &LoadedTable, path: &str, cause: iceberg::Error) -> Error {
    Error::new(ErrorKind::Storage, message)
        .with("table", table.ident.to_string())
        .with("path", path)
        .because(IcebergCause(cause))
}
