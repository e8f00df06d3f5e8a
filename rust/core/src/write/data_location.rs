//! The folder of a table's data files, as Java Iceberg's `LocationProviders` chooses it.

use iceberg::spec::{Datum, TableMetadata, Transform};
use iceberg::transform::create_transform_function;

use super::internal;
use crate::error::Result;
use crate::table_properties::{
    DATA_PATH, FOLDER_STORAGE_PATH, OBJECT_STORAGE_ENABLED, OBJECT_STORAGE_PARTITIONED_PATHS,
    OBJECT_STORAGE_PATH, Properties,
};

/// Bits of a name's hash that go into its path; each of the first three folders takes four.
const ENTROPY_BITS: u32 = 20;

/// The location of a table's data files.
#[derive(Debug)]
pub(super) struct DataLocation {
    folder: String,
    entropy: Option<Entropy>,
}

/// Every folder that may hold the table's own data files, whichever of its properties applied when they were
/// written. Each ends in a slash.
pub(crate) fn data_folders(metadata: &TableMetadata) -> Vec<String> {
    let location = format!("{}/", metadata.location().trim_end_matches('/'));
    chosen_folders(metadata).chain([location]).collect()
}

/// The folders where only writers of the table put data files; each ends in a slash. The whole table location
/// is not among them: it also holds files that were written without a catalog.
pub(crate) fn writers_folders(metadata: &TableMetadata) -> Vec<String> {
    let usual = format!("{}/data/", metadata.location().trim_end_matches('/'));
    chosen_folders(metadata).chain([usual]).collect()
}

/// The folders that the table's properties name.
fn chosen_folders(metadata: &TableMetadata) -> impl Iterator<Item = String> {
    [DATA_PATH, FOLDER_STORAGE_PATH, OBJECT_STORAGE_PATH]
        .iter()
        .filter_map(|key| metadata.properties().get(*key))
        .map(|folder| format!("{}/", folder.trim_end_matches('/')))
}

/// Inserts folders from a hash before the file's own folder, so that a bucket spreads the files over its
/// partitions.
#[derive(Debug)]
struct Entropy {
    /// Namespace and table; set when the folder is outside of the table's location.
    context: Option<String>,
    partitioned: bool,
}

impl DataLocation {
    /// Reads the table's properties.
    pub fn of(metadata: &TableMetadata) -> Self {
        let (properties, paths) = (Properties::of(metadata), metadata.properties());
        let location = metadata.location().trim_end_matches('/');
        let hashed = properties.flag(OBJECT_STORAGE_ENABLED, false);
        let folder = paths
            .get(DATA_PATH)
            .or_else(|| paths.get(OBJECT_STORAGE_PATH).filter(|_| hashed))
            .or_else(|| paths.get(FOLDER_STORAGE_PATH))
            .map_or_else(
                || format!("{location}/data"),
                |path| path.trim_end_matches('/').to_owned(),
            );
        let entropy = hashed.then(|| Entropy {
            context: (!folder.starts_with(location)).then(|| last_two(location)),
            partitioned: properties.flag(OBJECT_STORAGE_PARTITIONED_PATHS, true),
        });
        Self { folder, entropy }
    }

    /// The path of a partition's file. `partition` is empty in an unpartitioned table.
    ///
    /// # Errors
    /// `Internal` when the name cannot be hashed.
    pub fn path(&self, partition: &str, file_name: &str) -> Result<String> {
        let folder = &self.folder;
        let in_partition = || {
            if partition.is_empty() {
                file_name.to_owned()
            } else {
                format!("{partition}/{file_name}")
            }
        };
        let Some(entropy) = &self.entropy else {
            return Ok(format!("{folder}/{}", in_partition()));
        };
        let name = if entropy.partitioned {
            in_partition()
        } else {
            file_name.to_owned()
        };
        let hash = hash_folders(&name)?;
        Ok(match &entropy.context {
            Some(context) => format!("{folder}/{hash}/{context}/{name}"),
            None if entropy.partitioned => format!("{folder}/{hash}/{name}"),
            None => format!("{folder}/{hash}-{name}"),
        })
    }
}

/// The last two parts of a location.
fn last_two(location: &str) -> String {
    let mut parts = location.rsplit('/').filter(|part| !part.is_empty());
    let table = parts.next().unwrap_or_default();
    match parts.next() {
        Some(namespace) if !namespace.ends_with(':') => format!("{namespace}/{table}"),
        _ => table.to_owned(),
    }
}

/// `1001/1001/1001/10011001`: the low bits of the name's 32-bit Murmur3 hash. They equal the result of
/// Iceberg's bucket transform with that many buckets.
fn hash_folders(name: &str) -> Result<String> {
    let failed = |cause| internal("a file's name cannot be hashed", cause);
    let bucket = create_transform_function(&Transform::Bucket(1 << ENTROPY_BITS))
        .and_then(|bucket| bucket.transform_literal(&Datum::string(name)))
        .map_err(failed)?
        .map_or_else(|| "0".to_owned(), |bucket| bucket.to_string());
    let number: u32 = bucket
        .parse()
        .map_err(|cause| internal("a bucket is no number", cause))?;
    let bits = |from: u32, count: u32| (number >> from) & ((1 << count) - 1);
    Ok(format!(
        "{:04b}/{:04b}/{:04b}/{:08b}",
        bits(16, 4),
        bits(12, 4),
        bits(8, 4),
        bits(0, 8)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names and hashes are those of Java Iceberg's `TestLocationProvider.testHashInjection`.
    #[test]
    fn hashes_are_javas() {
        for (name, folders) in [
            ("a", "0101/0110/1001/10110010"),
            ("b", "1110/0111/1110/00000011"),
            ("c", "0010/1101/0110/01011111"),
            ("d", "1001/0001/0100/01110011"),
        ] {
            assert_eq!(hash_folders(name).expect("hashed"), folders, "{name}");
        }
    }

    #[test]
    fn context_is_namespace_and_table() {
        assert_eq!(last_two("s3://bucket/lake/otel/logs"), "otel/logs");
        assert_eq!(last_two("s3://bucket"), "bucket");
    }
}
