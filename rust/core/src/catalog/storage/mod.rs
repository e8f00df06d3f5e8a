//! Where tables' files are: local folders and S3, chosen by a location's scheme.

use std::collections::HashMap;

use iceberg::io::FileIO;

use super::local_storage::local_file_io;
use crate::config::StorageConfig;
use crate::error::{Error, ErrorKind, Result};

pub(crate) mod listing;
mod s3;

/// A `FileIO` for the files under `location`, which is a path, a `file:` URL or an `s3://` or
/// `s3a://` URL. Nothing is connected to. Connections and credentials live as long as the `FileIO`
/// and its clones: keep it rather than make it anew.
///
/// `catalog_properties` are what a catalog says about storage (`s3.endpoint`, `s3.access-key-id`,
/// ...), empty without one; what the configuration says goes before it.
///
/// # Errors
/// `Config` when there is no storage for the location's scheme, or its settings do not fit together.
#[expect(clippy::implicit_hasher, reason = "catalogs answer with plain maps")]
pub fn file_io(
    location: &str,
    catalog_properties: &HashMap<String, String>,
    storage: &StorageConfig,
) -> Result<FileIO> {
    match location.split_once(':').map(|(scheme, _)| scheme) {
        Some("s3" | "s3a") => s3::s3_file_io(catalog_properties, &storage.s3),
        Some(scheme) if scheme != "file" && location.contains("://") => Err(Error::new(
            ErrorKind::Config,
            format!(
                "catalog.warehouse: there is no storage for {scheme}:// locations; use a directory, file:// or s3://"
            ),
        )
        .with("location", location)),
        _ => Ok(local_file_io()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_chooses_the_storage() {
        let file_io = |location| file_io(location, &HashMap::new(), &StorageConfig::default());
        for (location, storage) in [
            ("/w", "LocalStorage"),
            ("./a:b", "LocalStorage"),
            ("file:///w", "LocalStorage"),
            ("file:/w", "LocalStorage"),
            ("s3://b/w", "S3Storage"),
            ("s3a://b/w", "S3Storage"),
        ] {
            let debug = format!("{:?}", file_io(location).expect("known"));
            assert!(debug.contains(storage), "{location}: {debug}");
        }
        let error = file_io("gs://b/w").expect_err("unknown");
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("gs://"), "{error}");
    }
}
