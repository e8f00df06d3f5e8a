//! Encodes Parquet files of at most the target size in memory.

use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use parquet::arrow::arrow_writer::ArrowRowGroupWriterFactory;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};

use super::chunk::ChunkEncoder;
use super::internal;
use super::layout::Layout;
use super::memory::Memory;
use super::metrics::{Measured, Metrics};
use super::metrics_config::MetricsConfig;
use super::settings::Settings;
use super::split::{split_offsets, start};
use crate::error::{Error, Result};

/// Rows that are encoded at a time, column by column; the file's size is checked after each piece.
const PIECE_ROWS: usize = 16_384;
/// Bytes reserved for a new file. Reserved memory costs nothing before it is written. A buffer that grows by
/// doubling is copied, and briefly held twice.
const FILE_BYTES_RESERVED: usize = 8 << 20;

/// A complete Parquet file.
#[derive(Debug)]
pub(super) struct EncodedFile {
    /// Its bytes, except for those that were taken out before.
    pub bytes: Vec<u8>,
    /// Its size in bytes.
    pub size: u64,
    /// Its footer.
    pub metadata: ParquetMetaData,
    /// Its Iceberg column metrics.
    pub metrics: Metrics,
    /// Its number of rows.
    pub rows: usize,
}

impl EncodedFile {
    /// Where readers may split the file.
    pub fn split_offsets(&self) -> Vec<i64> {
        split_offsets(self.metadata.row_groups().iter().filter_map(start))
    }
}

/// A file that grows row group by row group.
pub(super) struct FileWriter {
    layout: Arc<Layout>,
    writer: SerializedFileWriter<Vec<u8>>,
    metrics: Metrics,
    rows: usize,
}

impl FileWriter {
    /// An empty file.
    ///
    /// # Errors
    /// `Internal` when it cannot be started.
    pub fn new(layout: Arc<Layout>) -> Result<Self> {
        let root = layout.parquet_schema.root_schema_ptr();
        let bytes = Vec::with_capacity(FILE_BYTES_RESERVED);
        Ok(Self {
            writer: SerializedFileWriter::new(bytes, root, layout.properties.clone()).map_err(failed)?,
            layout,
            metrics: Metrics::default(),
            rows: 0,
        })
    }

    /// Appends rows of a batch, in this order, as one row group, or as several when one would be too large.
    /// Returns how many rows were taken: fewer than all when the file reached its target size.
    ///
    /// # Errors
    /// `Internal` when the writer rejects the rows.
    pub fn append(
        &mut self,
        batch: &RecordBatch,
        rows: &[u32],
        of: Measured<'_>,
        memory: &mut Memory,
    ) -> Result<usize> {
        let layout = Arc::clone(&self.layout);
        let settings = &layout.settings;
        let mut rest = rows;
        while !rest.is_empty() && !self.is_full() {
            let room = rest.len().min(settings.row_group_rows_max);
            let mut chunks = ChunkEncoder::new(
                batch.schema(),
                &layout.parquet_schema,
                &layout.properties,
                settings.page_rows,
                memory.compressor(settings.codec).map_err(failed)?,
            );
            let number = self.writer.flushed_row_groups().len();
            let others = || {
                ArrowRowGroupWriterFactory::new(&self.writer, layout.plain_schema.clone())
                    .create_column_writers(number)
            };
            let (mut these, _) = rest.split_at(room);
            let mut row_group = chunks.begin(batch.columns(), these, others).map_err(failed)?;
            while !these.is_empty() {
                let (piece, later) = these.split_at(these.len().min(piece_rows(settings)));
                let others = chunks
                    .append(&mut row_group, batch.columns(), piece)
                    .map_err(failed)?;
                for (column, array) in others {
                    self.metrics.add_array(column, &array, of);
                }
                these = later;
                rest = rest.get(piece.len()..).unwrap_or_default();
                let bytes = row_group.bytes();
                let too_large = settings.row_group_bytes_max.is_some_and(|max| bytes >= max);
                if too_large || (self.writer.bytes_written() + bytes) as u64 >= settings.target_file_bytes {
                    break;
                }
            }
            let mut row_group_writer = self.writer.next_row_group().map_err(failed)?;
            let summaries = chunks.finish(row_group, &mut row_group_writer).map_err(failed)?;
            row_group_writer.close().map_err(failed)?;
            self.metrics.add_summaries(summaries, of);
        }
        let taken = rows.len() - rest.len();
        self.rows += taken;
        Ok(taken)
    }

    /// Appends a row group that is already encoded, chunk by chunk in column order.
    ///
    /// # Errors
    /// Any error of `chunks`; `Internal` when the writer rejects the chunks.
    pub fn append_encoded(
        &mut self,
        rows: usize,
        chunks: impl FnOnce(&mut SerializedRowGroupWriter<'_, Vec<u8>>) -> Result<(), ParquetError>,
    ) -> Result<(), ParquetError> {
        let mut row_group = self.writer.next_row_group()?;
        chunks(&mut row_group)?;
        row_group.close()?;
        self.rows += rows;
        Ok(())
    }

    /// Takes the bytes so far, so that they need not be held until the file is finished.
    ///
    /// # Errors
    /// `Internal` when the writer cannot return them.
    pub fn take_bytes(&mut self) -> Result<Vec<u8>> {
        self.writer.flush().map_err(|cause| failed(cause.into()))?;
        Ok(std::mem::take(self.writer.inner_mut()))
    }

    /// The settings of the file.
    pub fn settings(&self) -> &Settings {
        &self.layout.settings
    }

    /// Whether the file reached its target size.
    pub fn is_full(&self) -> bool {
        self.writer.bytes_written() as u64 >= self.layout.settings.target_file_bytes
    }

    /// Writes the footer.
    ///
    /// # Errors
    /// `Internal` when it cannot be written.
    pub fn finish(mut self, config: &MetricsConfig) -> Result<EncodedFile> {
        let metadata = self.writer.finish().map_err(failed)?;
        self.metrics.add_sizes(&metadata, config)?;
        Ok(EncodedFile {
            size: self.writer.bytes_written() as u64,
            bytes: std::mem::take(self.writer.inner_mut()),
            metadata,
            metrics: self.metrics,
            rows: self.rows,
        })
    }
}

impl fmt::Debug for FileWriter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FileWriter")
            .field("bytes", &self.writer.bytes_written())
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

fn failed(cause: ParquetError) -> Error {
    internal("rows cannot be encoded as Parquet", cause)
}

/// Rows per piece: fewer for a row group with a byte limit, whose size is checked more often.
fn piece_rows(settings: &Settings) -> usize {
    match settings.row_group_bytes_max {
        Some(_) => PIECE_ROWS / 16,
        None => PIECE_ROWS,
    }
}
