//! Metadata files that we name and write ourselves.

use std::str::FromStr;

use bytes::Bytes;
use iceberg::compression::CompressionCodec;
use iceberg::io::FileIO;
use iceberg::spec::TableMetadata;
use iceberg::{MetadataLocation, TableIdent};
use uuid::Uuid;

use super::metadata_json::Json;
use crate::cause::IcebergCause;
use crate::error::{Error, ErrorKind, Result};
use crate::table_properties::METADATA_PATH;

/// The folder of a table's metadata files, without a slash at its end.
pub(crate) fn metadata_folder(metadata: &TableMetadata) -> String {
    match metadata.properties().get(METADATA_PATH) {
        Some(path) => path.trim_end_matches('/').to_owned(),
        None => format!("{}/metadata", metadata.location().trim_end_matches('/')),
    }
}

/// Writes the metadata file that follows `current` and returns its location,
/// `<folder>/<version>-<uuid>.metadata.json`. `current` may be named in another tool's way. `json` is the
/// JSON of `metadata`, if it is already known.
///
/// # Errors
/// `Storage` when the file cannot be written.
pub(super) async fn write_metadata_file(
    file_io: &FileIO,
    ident: &TableIdent,
    current: Option<&str>,
    metadata: &TableMetadata,
    json: Option<&Json>,
) -> Result<String> {
    let failed = |cause: iceberg::Error| {
        Error::new(ErrorKind::Storage, "cannot write the table's metadata")
            .with("table", ident.to_string())
            .because(IcebergCause(cause))
    };
    let version = current.map_or(0, |location| version_of(location) + 1);
    let folder = metadata_folder(metadata);
    let name = format!("{folder}/{version:05}-{}.metadata.json", Uuid::new_v4());
    let is_plain = matches!(metadata.metadata_compression_codec(), Ok(CompressionCodec::None));
    // iceberg-rust supports only folders named `metadata`. In others, the file is not compressed.
    if !is_plain && let Ok(location) = MetadataLocation::from_str(&name) {
        // The name shows whether the file is compressed (`write.metadata.compression-codec`).
        let location = location.with_new_metadata(metadata);
        metadata.write_to(file_io, &location).await.map_err(failed)?;
        return Ok(location.to_string());
    }
    let text = match json {
        Some(json) => json.text.clone(),
        None => text_of(metadata, ident)?,
    };
    let output = file_io.new_output(&name).map_err(failed)?;
    output.write(text).await.map_err(failed)?;
    Ok(name)
}

fn text_of(metadata: &TableMetadata, ident: &TableIdent) -> Result<Bytes> {
    let message = "the table's metadata cannot be written as JSON";
    serde_json::to_vec(metadata).map(Bytes::from).map_err(|cause| {
        Error::new(ErrorKind::Internal, message)
            .with("table", ident.to_string())
            .because(cause)
    })
}

/// The version in `00012-<uuid>.metadata.json` or `v12.metadata.json`; 0 if the name has none.
fn version_of(location: &str) -> i32 {
    let name = location.rsplit('/').next().unwrap_or(location);
    let digits = name.strip_prefix('v').unwrap_or(name);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    // One below the maximum, so that the next version fits.
    digits
        .get(..end)
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
        .min(i32::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_read_from_any_tools_file_name() {
        for (location, version) in [
            (
                "file:///t/metadata/00012-9c12d441-03fe-4693-9a96-a0705ddf69c1.metadata.json",
                12,
            ),
            ("file:///t/metadata/v7.metadata.json", 7),
            ("file:///t/metadata/latest.metadata.json", 0),
            ("file:///t/metadata/99999999999-x.metadata.json", 0),
        ] {
            assert_eq!(version_of(location), version, "{location}");
        }
    }
}
