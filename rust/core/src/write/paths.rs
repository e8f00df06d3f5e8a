//! Paths of data files: the same request, table layout and settings give the same paths.

use std::fmt::Write;

use iceberg::spec::{Struct, TableMetadata};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::data_location::DataLocation;
use super::internal;
use super::settings::Settings;
use crate::error::Result;
use crate::hex::append_hex;
use crate::request::IdRange;

/// Bytes of the digest in a file's name.
const DIGEST_BYTES: usize = 16;
/// The greatest length of a directory name, bytes: local file systems take 255, S3 takes 1,024 for a whole
/// key.
const DIRECTORY_BYTES_MAX: usize = 128;

/// Paths of the files of one call.
#[derive(Debug)]
pub(super) struct Paths {
    location: DataLocation,
    name: String,
}

impl Paths {
    /// Derives the files' name.
    ///
    /// The name covers everything that shapes a file's bytes: the table with its schema, spec and order, the
    /// ids, our version and the settings. If one of them changed, a repeated request writes other files and
    /// never overwrites a file that a table may already refer to.
    pub fn new(metadata: &TableMetadata, ids: &[IdRange], settings: &Settings) -> Self {
        let mut digest = Sha256::new();
        digest.update(metadata.uuid().as_bytes());
        digest.update(metadata.current_schema_id().to_le_bytes());
        digest.update(metadata.default_partition_spec_id().to_le_bytes());
        digest.update(metadata.default_sort_order_id().to_le_bytes());
        digest.update((ids.len() as u64).to_le_bytes());
        for range in ids {
            digest.update(range.writer);
            digest.update(range.from.to_le_bytes());
            digest.update(range.to.to_le_bytes());
        }
        digest.update(format!("{} {settings:?}", env!("CARGO_PKG_VERSION")));
        let mut name = String::with_capacity(2 * DIGEST_BYTES);
        append_hex(&mut name, &digest.finalize()[..DIGEST_BYTES]);
        Self {
            location: DataLocation::of(metadata),
            name,
        }
    }

    /// The path of a partition value: `field=value` per field of the spec, escaped as in Java Iceberg; empty
    /// in an unpartitioned table.
    ///
    /// # Errors
    /// `Internal` when the value does not fit the spec.
    pub fn partition(metadata: &TableMetadata, partition: &Struct) -> Result<String> {
        let spec = metadata.default_partition_spec();
        let types = metadata.default_partition_type().fields();
        if types.len() != spec.fields().len() || partition.fields().len() != types.len() {
            return Err(internal(
                "a partition value does not fit its spec",
                "fields differ in number",
            ));
        }
        let mut names = Vec::with_capacity(types.len());
        for ((field, result), value) in spec.fields().iter().zip(types).zip(partition.iter()) {
            let text = field.transform.to_human_string(&result.field_type, value);
            let mut name = format!("{}={}", escaped(&field.name), escaped(&text));
            cut(&mut name);
            names.push(name);
        }
        Ok(names.join("/"))
    }

    /// The path of the call's file with this number and these bytes. The name contains their checksum. A
    /// request that is sent again under other conditions (limits, a merge with other requests) therefore
    /// never overwrites a file that a snapshot may refer to.
    ///
    /// # Errors
    /// `Internal` when the name cannot be hashed for an object store.
    pub fn file(&self, partition: &str, number: usize, bytes: &[u8]) -> Result<String> {
        let checksum = crc32fast::hash(bytes);
        let name = format!("{}-{number:05}-{checksum:08x}.parquet", self.name);
        self.location.path(partition, &name)
    }
}

/// The path of a new file of a partition value that does not come from a request: the given name prefix and a
/// unique number.
///
/// # Errors
/// As [`Paths::partition`] and [`Paths::file`].
pub(super) fn new_file(metadata: &TableMetadata, partition: &Struct, name: &str) -> Result<String> {
    let directory = Paths::partition(metadata, partition)?;
    let name = format!("{name}-{}.parquet", Uuid::new_v4().simple());
    DataLocation::of(metadata).path(&directory, &name)
}

/// Truncates a directory name, but never within an escape. Readers take the value from the manifest, so
/// truncation is safe.
fn cut(name: &mut String) {
    if name.len() > DIRECTORY_BYTES_MAX {
        name.truncate(DIRECTORY_BYTES_MAX);
        let end = name.rfind('%').filter(|at| at + 3 > name.len());
        name.truncate(end.unwrap_or(name.len()));
    }
}

/// The form encoding of Java's `URLEncoder`: a value can neither escape its directory nor break a URI.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => {
                escaped.push(char::from(byte));
            }
            b' ' => escaped.push('+'),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(escaped, "%{byte:02X}");
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_value_cannot_leave_its_directory() {
        assert_eq!(escaped("../../etc"), "..%2F..%2Fetc");
        assert_eq!(escaped("a b=é*"), "a+b%3D%C3%A9*");
    }

    #[test]
    fn a_long_name_is_not_cut_within_an_escape() {
        for (before, kept) in [(125, 128), (126, 126), (127, 127), (128, 128)] {
            let mut name = format!("{}%E6{}", "a".repeat(before), "b".repeat(9));
            cut(&mut name);
            assert_eq!(name.len(), kept, "{name}");
        }
        let mut short = "%E6".to_owned();
        cut(&mut short);
        assert_eq!(short, "%E6");
    }
}
