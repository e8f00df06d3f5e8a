//! Arrow to Parquet data files with Iceberg metrics, one or more per partition value.

use iceberg::io::FileIO;
use iceberg::spec::{DataFile, TableMetadata};

use crate::config::ParquetConfig;
use crate::convert::TableBatch;
use crate::error::Result;
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
    _metadata: &TableMetadata,
    _file_io: &FileIO,
    _batch: TableBatch,
    _ids: &[IdRange],
    _ordinal: usize,
    _config: &ParquetConfig,
) -> Result<Written> {
    todo!()
}
