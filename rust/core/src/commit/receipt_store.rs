//! Where a table's receipts lie: a folder under the table's location. Engines that clean up orphan files
//! pass over names that begin with an underscore.

use bytes::Bytes;
use iceberg::spec::TableMetadata;

use crate::catalog::storage::listing;
use crate::catalog::{IcebergCause, LoadedTable};
use crate::error::{Error, ErrorKind, Result};

/// What this program keeps in a table's location beside the table's files.
pub(crate) const OWN_FOLDER: &str = "_otlp2iceberg";
/// The folder in it.
const FOLDER: &str = "receipts";
/// The ending of a receipt's name.
pub(super) const ENDING: &str = ".json";
/// The ending of a receipt's name that a person gave it to say that it is not in the table.
pub(super) const APPROVED: &str = ".approved.json";

/// The names of all receipts, oldest first.
pub(super) async fn list(table: &LoadedTable) -> Result<Vec<String>> {
    let folder = folder(&table.metadata);
    let mut names = listing::list(&table.file_io, &folder).await.map_err(|cause| {
        let message =
            "cannot look for receipts; the right to list the folder is needed (on S3: s3:ListBucket)";
        failed(message, table, &folder, cause)
    })?;
    // Names begin with the time. One that begins with a dot is somebody's half copy.
    names.retain(|name| name.ends_with(ENDING) && !name.starts_with('.'));
    names.sort_unstable();
    Ok(names)
}

/// A receipt's content; `None` if it is not there any more.
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

/// Whether storage gives out the table's own files.
pub(super) async fn can_read_table(table: &LoadedTable) -> bool {
    let Some(path) = table.own_files().next() else {
        return false;
    };
    let read = async { table.file_io.new_input(path)?.read().await };
    read.await.is_ok()
}

/// Stores a receipt. It is durable then.
pub(super) async fn write(table: &LoadedTable, name: &str, content: Vec<u8>) -> Result<()> {
    let path = path(&table.metadata, name);
    // Who is told of success sends nothing again. A table without a snapshot was looked for before its data files were written, as far
    // as its metadata is for us to see.
    if table.metadata.current_snapshot().is_some() {
        table.look_before_writing(&path).await?;
    }
    let write = async { table.file_io.new_output(&path)?.write(content.into()).await };
    write
        .await
        .map_err(|cause| failed("cannot write a receipt", table, &path, cause))
}

/// Deletes a receipt; one that is not there is as good as deleted.
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
