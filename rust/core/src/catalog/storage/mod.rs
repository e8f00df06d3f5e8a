//! The seam between catalogs and storage: a location and what the catalog said about it, to a `FileIO`.

use std::collections::HashMap;

use iceberg::io::FileIO;

use super::local_storage::local_file_io;
use crate::config::StorageConfig;
use crate::error::{Error, ErrorKind, Result};

/// Storage for the files below a location.
///
/// `properties` are what the catalog said: its own configuration, then the table's, then the storage
/// credentials whose prefix fits best, later ones over earlier ones; empty for a catalog that says
/// nothing. Keys are Iceberg's, such as `s3.access-key-id`. `storage` is what the user said.
///
/// # Errors
/// `Config` when the location's scheme is not supported or the settings do not fit together.
pub(crate) fn file_io(
    location: &str,
    _properties: &HashMap<String, String>,
    _storage: &StorageConfig,
) -> Result<FileIO> {
    match location.split_once("://") {
        None | Some(("file", _)) => Ok(local_file_io()),
        Some((scheme, _)) => Err(Error::new(
            ErrorKind::Config,
            format!("files at {scheme}:// cannot be reached; local files can"),
        )
        .with("location", location)),
    }
}
