//! Arrow to Parquet data files with Iceberg metrics, one or more per partition value.
//!
//! The way of a batch: [`align`] relabels it to the table's columns and field ids, [`partition`] finds
//! which rows belong to which partition value, [`sort`] orders them, [`parquet`] encodes files of at
//! most the target size, [`metrics`] measures what went into each, [`paths`] names it. [`settings`] says how
//! the table wants its files.

mod align;
mod bounds;
mod data_location;
mod metrics;
mod metrics_config;
mod parquet;
mod partition;
mod paths;
pub mod register;
mod settings;
mod sort;
mod transform;

use std::collections::BTreeSet;

use arrow_array::{Array, ArrayRef};
use bytes::Bytes;
use futures::future::try_join_all;
use iceberg::io::FileIO;
use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, Struct, TableMetadata};

use self::align::Aligned;
use self::metrics::Metrics;
use self::metrics_config::MetricsConfig;
use self::parquet::{EncodedFile, Encoder};
use self::paths::Paths;
use self::settings::Settings;
use self::sort::Sorter;
use crate::cause::IcebergCause;
use crate::config::ParquetConfig;
use crate::convert::TableBatch;
use crate::error::{Error, ErrorKind, Result};
use crate::request::IdRange;

/// Files on their way to storage at once: enough to hide its latency, few enough for its limits.
const UPLOADS_AT_ONCE: usize = 8;

/// What encoding needs from its caller.
#[derive(Clone, Copy)]
pub struct EncodeOptions<'a> {
    /// The requests whose rows the batch holds. They and `ordinal` make the files' paths, so the same
    /// request writes the same files.
    pub ids: &'a [IdRange],
    /// The batch's number within its request and table.
    pub ordinal: usize,
    /// How Parquet files are made.
    pub parquet: &'a ParquetConfig,
    /// Partition values that the batch and `earlier` together may have files for.
    pub partitions_max: usize,
    /// The files that earlier batches of the same call became.
    pub earlier: &'a [NewFile],
    /// Asked before each file; an error ends the work with it.
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

/// What one batch became.
#[derive(Debug, Clone, Default)]
pub struct Encoded {
    /// The files.
    pub files: Vec<NewFile>,
    /// Rows left out because they would have opened more than `partitions_max` partitions: their numbers
    /// in the batch, in order.
    pub rejected: Vec<u32>,
    /// What the table has no column for.
    pub left_out: LeftOut,
}

/// Values that a table has no column for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Full names of the columns, and of fields inside columns, that are missing, with values or without.
    pub columns: BTreeSet<String>,
    /// Values for them that were not null.
    pub values: u64,
}

impl LeftOut {
    /// Adds a column with its values.
    fn add(&mut self, column: &str, array: &ArrayRef) {
        self.columns.insert(column.to_owned());
        self.values += (array.len() - array.logical_null_count()) as u64;
    }

    /// Adds what another batch left out.
    pub fn merge(&mut self, other: LeftOut) {
        self.columns.extend(other.columns);
        self.values += other.values;
    }
}

/// Encodes a batch for a table as it was loaded: columns matched by name, ids from the table, split by
/// the table's default partition spec, each file sorted by its default sort order. Pure computation.
///
/// When the rows have more than `partitions_max` partition values, those that have files already and
/// then those with most rows are kept, and the others' rows are left out: a client whose clock is
/// broken must not open thousands of files.
///
/// # Errors
/// `TableMismatch` (permanent) when the table cannot hold our rows; what `proceed` gives.
pub fn encode(metadata: &TableMetadata, batch: TableBatch, options: &EncodeOptions<'_>) -> Result<Encoded> {
    let mut encoded = Encoded::default();
    if batch.batch.num_rows() == 0 {
        return Ok(encoded);
    }
    let mut aligned = align::align(batch.table, metadata, &batch.batch)?;
    drop(batch);
    encoded.left_out = std::mem::take(&mut aligned.left_out);
    let sorter = Sorter::new(&aligned, metadata.default_sort_order())?;
    let settings = Settings::of(options.parquet, metadata)?;
    let encoder = Encoder::new(&aligned, sorter.sorting_columns(), &settings)?;
    let paths = Paths::new(metadata, options.ids, options.ordinal, &settings);
    let metrics_config = MetricsConfig::new(metadata);

    let groups = partition::split(&aligned, metadata)?;
    let (groups, rejected) = partition::most_rows(groups, &aligned.batch, options);
    encoded.rejected = rejected;
    for group in groups {
        let partition = Paths::partition(metadata, &group.partition)?;
        let order = sorter.sort(group.rows);
        let row_count = order.len(&aligned.batch);
        let mut from = 0;
        while from < row_count {
            (options.proceed)()?;
            let mut metrics = Metrics::default();
            let file = encoder.encode(from..row_count, |range| {
                let rows = order.pick(&aligned.batch, range)?;
                metrics.add_rows(&aligned.fields, &rows, &metrics_config);
                Ok(rows)
            })?;
            from += file.rows;
            metrics.add_sizes(&file.metadata, &metrics_config)?;
            let path = paths.file(&partition, encoded.files.len(), &file.bytes)?;
            let data_file = describe(&path, &file, metrics, &group.partition, metadata, &sorter)?;
            encoded.files.push(NewFile {
                bytes: file.bytes.into(),
                data_file,
            });
        }
    }
    Ok(encoded)
}

/// Puts files into storage, some at a time. They exist then, and no table knows them yet.
///
/// # Errors
/// `Storage` when a file cannot be written; what `proceed` gives, asked between files.
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

/// Deletes files that no table will ever know. What is left behind costs space only.
pub async fn discard(file_io: &FileIO, paths: &[String]) {
    for path in paths {
        if let Err(cause) = file_io.delete(path).await {
            tracing::warn!(path, %cause, "cannot delete a data file that is not needed");
        }
    }
}

/// Encodes a batch and uploads its files, without limits: [`encode`], then [`upload`].
///
/// # Errors
/// As both.
pub async fn write(
    metadata: &TableMetadata,
    file_io: &FileIO,
    batch: TableBatch,
    ids: &[IdRange],
    ordinal: usize,
    parquet: &ParquetConfig,
) -> Result<Written> {
    let options = EncodeOptions {
        ids,
        ordinal,
        parquet,
        partitions_max: usize::MAX,
        earlier: &[],
        proceed: &|| Ok(()),
    };
    let encoded = encode(metadata, batch, &options)?;
    let files = upload(file_io, encoded.files, &|| Ok(())).await?;
    Ok(Written {
        rows: files.iter().map(DataFile::record_count).sum(),
        bytes: files.iter().map(DataFile::file_size_in_bytes).sum(),
        partition_spec_id: metadata.default_partition_spec_id(),
        files,
    })
}

/// Files that exist in storage and no table knows yet.
#[derive(Debug, Clone, Default)]
pub struct Written {
    /// The files, with metrics, partition value, partition spec id and sort order id.
    pub files: Vec<DataFile>,
    /// Rows in all files.
    pub rows: u64,
    /// Bytes in all files.
    pub bytes: u64,
    /// The partition spec that the files were written with; a `DataFile` does not tell.
    pub partition_spec_id: i32,
}

/// The manifest's entry for one file.
fn describe(
    path: &str,
    file: &EncodedFile,
    metrics: Metrics,
    partition: &Struct,
    metadata: &TableMetadata,
    sorter: &Sorter,
) -> Result<DataFile> {
    let mut builder = DataFileBuilder::default();
    builder
        .content(DataContentType::Data)
        .file_path(path.to_owned())
        .file_format(DataFileFormat::Parquet)
        .partition(partition.clone())
        .partition_spec_id(metadata.default_partition_spec_id())
        .record_count(file.rows as u64)
        .file_size_in_bytes(file.bytes.len() as u64)
        .split_offsets(Some(file.split_offsets()))
        .column_sizes(metrics.column_sizes)
        .value_counts(metrics.value_counts)
        .null_value_counts(metrics.null_value_counts)
        .nan_value_counts(metrics.nan_value_counts)
        .lower_bounds(metrics.lower_bounds)
        .upper_bounds(metrics.upper_bounds);
    if let Some(sort_order_id) = sorter.sort_order_id() {
        builder.sort_order_id(sort_order_id);
    }
    builder
        .build()
        .map_err(|cause| internal("a data file's description is incomplete", cause))
}

/// The one place that puts a file into storage.
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

/// A step that cannot fail on a batch in the canonical schema did.
fn internal(
    message: &'static str,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync + 'static>>,
) -> Error {
    Error::new(ErrorKind::Internal, message).because(cause)
}

/// Columns of a batch with the table's fields, for the stage's modules.
impl Aligned {
    /// The position of the top-level column with this field id; `None` if our rows do not have it.
    fn position(&self, field_id: i32) -> Option<usize> {
        self.fields.iter().position(|field| field.id == field_id)
    }
}
