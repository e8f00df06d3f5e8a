//! Arrow to Parquet data files with Iceberg metrics, one or more per partition value.
//!
//! The way of a batch: [`align`] relabels it to the table's columns and field ids, [`partition`] finds
//! which rows belong to which partition value, [`sort`] orders them, [`parquet`] encodes files of at
//! most the target size, [`metrics`] measures what went into each, [`paths`] names it.

mod align;
mod bounds;
mod metrics;
mod metrics_config;
mod parquet;
mod partition;
mod paths;
mod sort;
mod transform;

use bytes::Bytes;
use iceberg::io::FileIO;
use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, Struct, TableMetadata};

use self::align::Aligned;
use self::metrics::Metrics;
use self::metrics_config::MetricsConfig;
use self::parquet::{EncodedFile, Encoder};
use self::paths::Paths;
use self::sort::Sorter;
use crate::config::ParquetConfig;
use crate::convert::TableBatch;
use crate::error::{Error, ErrorKind, Result};
use crate::request::IdRange;

/// What one batch became: files that exist in storage and no table knows yet.
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

/// Writes a batch for a table as it was loaded: columns matched by name, ids from the table, split by
/// the table's default partition spec, each file sorted by its default sort order.
///
/// `ids` (and the batch's `ordinal` within its request and table) make the files' paths, so the
/// same request writes the same files.
///
/// # Errors
/// `TableMismatch` (permanent) when the table cannot hold our rows; `Storage` when a file cannot be
/// written.
pub async fn write(
    metadata: &TableMetadata,
    file_io: &FileIO,
    batch: TableBatch,
    ids: &[IdRange],
    ordinal: usize,
    config: &ParquetConfig,
) -> Result<Written> {
    let mut written = Written {
        partition_spec_id: metadata.default_partition_spec_id(),
        ..Written::default()
    };
    if batch.batch.num_rows() == 0 {
        return Ok(written);
    }
    let aligned = align::align(batch.table, metadata, &batch.batch)?;
    drop(batch);
    let sorter = Sorter::new(&aligned, metadata.default_sort_order())?;
    let encoder = Encoder::new(&aligned, sorter.sorting_columns(), config)?;
    let paths = Paths::new(metadata, ids, ordinal, config);
    let metrics_config = MetricsConfig::new(metadata);

    for group in partition::split(&aligned, metadata)? {
        let directory = paths.partition_directory(metadata, &group.partition)?;
        let order = sorter.sort(group.rows);
        let row_count = order.len(&aligned.batch);
        let mut from = 0;
        while from < row_count {
            let mut metrics = Metrics::default();
            let file = encoder.encode(from..row_count, |range| {
                let rows = order.pick(&aligned.batch, range)?;
                metrics.add_rows(&aligned.fields, &rows, &metrics_config);
                Ok(rows)
            })?;
            from += file.rows;
            metrics.add_sizes(&file.metadata, &metrics_config)?;
            let path = paths.file(&directory, written.files.len());
            let data_file = describe(&path, &file, metrics, &group.partition, metadata, &sorter)?;
            written.rows += data_file.record_count();
            written.bytes += data_file.file_size_in_bytes();
            upload(file_io, &path, file.bytes).await?;
            written.files.push(data_file);
        }
    }
    Ok(written)
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
async fn upload(file_io: &FileIO, path: &str, bytes: Vec<u8>) -> Result<()> {
    let failed = |cause| {
        Error::new(ErrorKind::Storage, "cannot write the data file")
            .with("path", path)
            .because(cause)
    };
    let output = file_io.new_output(path).map_err(failed)?;
    output.write(Bytes::from(bytes)).await.map_err(failed)
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
