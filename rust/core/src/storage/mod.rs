//! The storage of tables' files: local folders and S3, chosen by a location's scheme.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use iceberg::io::FileIO;

use crate::aws::Aws;
use crate::config::{StorageConfig, on_s3};
use crate::error::{Error, ErrorKind, Result};

mod extended_reads;
mod local;
mod s3;

pub(crate) use extended_reads::{list, modified_ms};
pub use local::local_file_io;
pub(crate) use local::{Advice, absolute_path, create_folders, hiding_file_io};
pub(crate) use s3::credentials_refused;
pub use s3::{Content, End, NO_VERSION, ObjectVersion, Objects};

/// Returns a `FileIO` for the files under `location`, which is a path, a `file:` URL, or an `s3://` or
/// `s3a://` URL.
///
/// It does not connect to anything. Connections and credentials live as long as the `FileIO` and its clones,
/// so keep it instead of creating it again.
///
/// `catalog_properties` are a catalog's storage properties (`s3.endpoint`, `s3.access-key-id`, ...), empty
/// without a catalog. The configuration takes precedence.
///
/// # Errors
/// `Config` when the location's scheme is not supported, or its settings do not fit together.
#[expect(clippy::implicit_hasher, reason = "catalogs answer with plain maps")]
pub fn file_io(
    location: &str,
    catalog_properties: &HashMap<String, String>,
    storage: &StorageConfig,
) -> Result<FileIO> {
    let aws = Arc::new(Aws::new(storage.s3.region.clone()));
    Stores::new(storage.clone(), aws).file_io(location, catalog_properties)
}

/// Creates every `FileIO` of a catalog. All share one AWS environment with the catalog's requests.
#[derive(Debug, Clone)]
pub(crate) struct Stores {
    config: StorageConfig,
    aws: Arc<Aws>,
}

impl Stores {
    pub(super) fn new(config: StorageConfig, aws: Arc<Aws>) -> Self {
        Self { config, aws }
    }

    pub(super) fn aws(&self) -> &Arc<Aws> {
        &self.aws
    }

    /// Whether the configuration has credentials, which take precedence over all others.
    pub(super) fn has_credentials(&self) -> bool {
        self.config.s3.access_key_id.is_some()
    }

    /// Like the function [`file_io`].
    pub(super) fn file_io(
        &self,
        location: &str,
        catalog_properties: &HashMap<String, String>,
    ) -> Result<FileIO> {
        match location.split_once(':').map(|(scheme, _)| scheme) {
            Some("s3" | "s3a") => s3::s3_file_io(catalog_properties, &self.config.s3, &self.aws),
            Some(scheme) if scheme != "file" && location.contains("://") => Err(Error::new(
                ErrorKind::Config,
                format!(
                    "there is no storage for {scheme}:// locations, only for local folders and file:///, \
                     and for s3://"
                ),
            )
            .with("location", location)),
            _ => Ok(local_file_io()),
        }
    }
}

/// The storage of tables whose catalog reports only their location.
#[derive(Debug)]
pub(super) struct ByPlace {
    stores: Stores,
    /// The storage of all tables on S3, created for the first of them. It holds connections and credentials.
    s3: OnceLock<FileIO>,
}

impl ByPlace {
    pub(super) fn new(stores: Stores) -> Self {
        Self {
            stores,
            s3: OnceLock::new(),
        }
    }

    /// The storage of a table whose files are under `location`. `location` may also be one of its files.
    ///
    /// # Errors
    /// Like the function [`file_io`].
    pub(super) fn of(&self, location: &str) -> Result<FileIO> {
        let make = || self.stores.file_io(location, &HashMap::new());
        if on_s3(location).is_none() {
            return make();
        }
        if let Some(made) = self.s3.get() {
            return Ok(made.clone());
        }
        let made = make()?;
        Ok(self.s3.get_or_init(|| made).clone())
    }
}

/// Whether two locations are in one bucket, or both in local folders.
pub(crate) fn in_one_storage(one: &str, other: &str) -> bool {
    bucket_of(one) == bucket_of(other)
}

fn bucket_of(location: &str) -> Option<&str> {
    on_s3(location).map(|rest| rest.split('/').next().unwrap_or(rest))
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

    #[test]
    fn one_storage_is_a_bucket_or_this_machine() {
        for (one, other, expected) in [
            ("s3://b/t/data/1.parquet", "s3a://b/meta", true),
            ("s3://b/t", "s3://b2/t", false),
            ("s3://b/t", "/b/t", false),
            ("file:///w/1", "/w/2", true),
        ] {
            assert_eq!(in_one_storage(one, other), expected, "{one} {other}");
        }
    }
}
