//! Answers that contain a table. Its metadata may be of a later format than we can read.

use iceberg::TableIdent;
use iceberg::spec::{NestedField, TableMetadata};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::http::{Request, parse};
use crate::error::{Error, ErrorKind, Result};

/// Parses the answer to `request`, which contains the metadata of a table.
///
/// # Errors
/// `Catalog`. If only the metadata cannot be read, it shows the cause: metadata contains no credentials, unlike
/// the rest of an answer.
pub(super) fn parse_table<T: DeserializeOwned>(
    request: &Request,
    ident: &TableIdent,
    answer: &[u8],
) -> Result<T> {
    let error = match parse(request, answer) {
        Ok(parsed) => return Ok(parsed),
        Err(error) => error,
    };
    // The answer is parsed again only after an error. Metadata can be large.
    let error = unreadable_metadata(request, answer).unwrap_or(error);
    Err(error.with("table", ident.to_string()))
}

/// Any answer that contains a table.
#[derive(Deserialize)]
struct WithTable {
    metadata: Value,
}

/// The error if the metadata is at fault, and not the answer.
fn unreadable_metadata(request: &Request, answer: &[u8]) -> Option<Error> {
    let WithTable { metadata } = serde_json::from_slice(answer).ok()?;
    // Another server may have something else under this name.
    let version = metadata.get("format-version")?;
    let cause = TableMetadata::deserialize(&metadata).err()?;
    let message = format!(
        "cannot {}: its metadata cannot be read by this version of otlp2iceberg; change the table, or write to another \
         one (tables.names)",
        request.purpose
    );
    let mut error = Error::new(ErrorKind::Catalog, message).with("format-version", version.to_string());
    if let Some(column) = unreadable_column(&metadata) {
        error = error.with("column", column);
    }
    Some(error.because(cause.to_string()))
}

/// The first column that cannot be read, by its name and type. The error of the metadata as a whole does not
/// name it.
fn unreadable_column(metadata: &Value) -> Option<String> {
    let schemas = metadata.get("schemas")?.as_array()?;
    let mut columns = schemas
        .iter()
        .filter_map(|schema| schema.get("fields")?.as_array())
        .flatten();
    let column = columns.find(|column| NestedField::deserialize(*column).is_err())?;
    let name = column.get("name")?.as_str()?;
    Some(match column.get("type").and_then(Value::as_str) {
        Some(kind) => format!("{name} {kind}"),
        None => name.to_owned(),
    })
}
