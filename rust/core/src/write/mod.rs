//! Writes Arrow batches to Parquet data files with Iceberg metrics, one or more files per partition value.
//!
//! Modules, in the order in which a batch passes through [`files`]:
//!
//! - [`align`] maps it to the table's columns and field ids.
//! - [`partition`] finds the rows of each partition value.
//! - [`sort`] orders them.
//! - [`parquet`] makes files of at most the target size from [`chunk`]s, using reusable [`memory`].
//! - [`metrics`] measures the content of each file.
//! - [`paths`] names it.
//!
//! [`settings`] holds how the table wants its files, [`layout`] the same for the parquet crate.
//! [`join`](mod@join) merges several files into one.

mod align;
mod bounds;
mod chunk;
mod data_location;
mod files;
mod join;
mod layout;
mod long_texts;
mod memory;
mod metrics;
mod metrics_config;
mod parquet;
mod partition;
mod paths;
pub mod register;
mod rounding;
mod settings;
mod sort;
mod sort_column;
mod sort_keys;
mod split;
mod transform;

use std::collections::BTreeSet;

use arrow_array::{Array, ArrayRef};
use bytes::Bytes;
use futures::future::try_join_all;
use iceberg::io::FileIO;
use iceberg::spec::{DataFile, TableMetadata};

pub(crate) use self::data_location::{data_folders, writers_folders};
pub use self::files::Files;
pub use self::join::{Columns, Join, JoinOptions, Joined, join};
pub use self::memory::Memory;
use self::settings::Settings;
use crate::cause::IcebergCause;
use crate::config::ParquetConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::request::IdRange;

/// Concurrent uploads: enough to hide the latency of storage, few enough for its limits.
const UPLOADS_AT_ONCE: usize = 8;

/// What encoding needs from its caller.
#[derive(Clone, Copy)]
pub struct EncodeOptions<'a> {
    /// The requests whose rows the batches hold. File paths derive from them, so the same request writes the
    /// same files.
    pub ids: &'a [IdRange],
    /// How Parquet files are made.
    pub parquet: &'a ParquetConfig,
    /// The greatest number of partition values with files, over all batches.
    pub partitions_max: usize,
    /// The total size of the requests, bytes. What rows share is stored for each partition value, which is
    /// limited by it.
    pub request_bytes: usize,
    /// Called before each row group; an error ends the work with that error.
    pub proceed: &'a dyn Fn() -> Result<()>,
}

/// A data file that is not in storage yet.
#[derive(Debug, Clone)]
pub struct NewFile {
    /// The whole file.
    pub bytes: Bytes,
    /// The manifest's entry for it: path, metrics, partition value, partition spec id, sort order id.
    pub data_file: DataFile,
}

/// The outcome for a batch besides its files.
#[derive(Debug, Clone, Default)]
pub struct Appended {
    /// Rows left out because they would have opened more than `partitions_max` partitions, because their
    /// partition value has a text of more than 1,024 bytes, or because long texts that they share with others
    /// would have been stored for too many partition values: their indices in the batch, in order.
    pub rejected: Vec<u32>,
    /// Values that the table has no column for.
    pub left_out: LeftOut,
}

/// Values that a table has no column for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Full names of missing columns and of missing fields inside columns, whether or not they have values.
    pub columns: BTreeSet<String>,
    /// Columns of single attributes whose type differs in the table.
    pub other_types: BTreeSet<String>,
    /// The number of non-null values in all of them.
    pub values: u64,
}

impl LeftOut {
    /// Adds a column with its values.
    fn add(&mut self, column: &str, array: &ArrayRef) {
        self.columns.insert(column.to_owned());
        self.count(array);
    }

    /// Adds a column of one attribute with its values.
    fn add_other_type(&mut self, column: &str, array: &ArrayRef) {
        self.other_types.insert(column.to_owned());
        self.count(array);
    }

    fn count(&mut self, array: &ArrayRef) {
        self.values += (array.len() - array.logical_null_count()) as u64;
    }

    /// Adds what another batch left out.
    pub fn merge(&mut self, other: LeftOut) {
        self.columns.extend(other.columns);
        self.other_types.extend(other.other_types);
        self.values += other.values;
    }
}

/// Uploads files to storage, several at a time. They exist then, but no table refers to them yet.
///
/// # Errors
/// `Storage` when a file cannot be written; any error of `proceed`, which is called between files.
pub async fn upload(
    file_io: &FileIO,
    files: Vec<NewFile>,
    proceed: &dyn Fn() -> Result<()>,
) -> Result<Vec<DataFile>> {
    let mut uploaded = Vec::with_capacity(files.len());
    let mut files = files.into_iter().peekable();
    while files.peek().is_some() {
        proceed()?;
        let some = files.by_ref().take(UPLOADS_AT_ONCE);
        uploaded.extend(try_join_all(some.map(|file| upload_one(file_io, file))).await?);
    }
    Ok(uploaded)
}

/// Deletes files that no table will ever refer to. A file that remains only costs space.
pub async fn discard(file_io: &FileIO, paths: &[String]) {
    for path in paths {
        if let Err(cause) = file_io.delete(path).await {
            tracing::warn!(path, %cause, "cannot delete a data file that is not needed");
        }
    }
}

/// The only function that writes a file to storage.
async fn upload_one(file_io: &FileIO, file: NewFile) -> Result<DataFile> {
    let path = file.data_file.file_path();
    let failed = |cause| {
        Error::new(ErrorKind::Storage, "cannot write the data file")
            .with("path", path)
            .because(IcebergCause(cause))
    };
    let output = file_io.new_output(path).map_err(failed)?;
    output.write(file.bytes).await.map_err(failed)?;
    Ok(file.data_file)
}

/// The error of a step that cannot fail on a batch in the canonical schema.
fn internal(
    message: &'static str,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync + 'static>>,
) -> Error {
    Error::new(ErrorKind::Internal, message).because(cause)
}

/// The target size of the table's files, bytes: the table's own property, else the configured value.
///
/// # Errors
/// As [`Settings::of`].
pub(crate) fn target_file_bytes(parquet: &ParquetConfig, metadata: &TableMetadata) -> Result<u64> {
    Ok(Settings::of(parquet, metadata)?.target_file_bytes)
}
