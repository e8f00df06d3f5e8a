//! Builds the new file: computation only.

use std::sync::Arc;

use iceberg::spec::SortOrderRef;

use super::super::internal;
use super::super::layout::Layout;
use super::super::memory::Memory;
use super::super::metrics::Measured;
use super::super::metrics_config::MetricsConfig;
use super::super::parquet::{EncodedFile, FileWriter};
use super::super::partition::Rows;
use super::decode::decode;
use super::fitting::sorter;
use super::plan::ARROW_BYTES;
use super::row_group::Piece;
use super::{copied, guarded, unreadable};
use crate::error::Result;

/// The greatest memory of decoded rows, in case a footer understates it.
const DECODED_BYTES_MAX: usize = 4 * ARROW_BYTES as usize;

/// A growing file.
pub(super) struct Work {
    writer: FileWriter,
    memory: Memory,
    order: SortOrderRef,
    config: Arc<MetricsConfig>,
    sort_order_id: Option<i32>,
}

impl Work {
    /// An empty file.
    ///
    /// # Errors
    /// `Internal` when it cannot be started.
    pub fn new(layout: Arc<Layout>, order: SortOrderRef, config: Arc<MetricsConfig>) -> Result<Self> {
        Ok(Self {
            writer: FileWriter::new(layout)?,
            memory: Memory::default(),
            order,
            config,
            sort_order_id: None,
        })
    }

    /// Appends a row group unchanged. Returns the file's new bytes.
    ///
    /// # Errors
    /// `Decode` when it cannot be copied.
    pub fn copy(mut self, piece: &Piece) -> Result<(Self, Vec<u8>)> {
        guarded(&piece.path, || {
            let appended = copied::append(&mut self.writer, piece);
            appended.map_err(|cause| unreadable(&piece.path, cause))
        })?;
        self.with_bytes()
    }

    /// Appends the rows of row groups, sorted and encoded again. Returns the file's new bytes.
    ///
    /// # Errors
    /// `Decode` when they cannot be decoded, `Internal` when they cannot be encoded.
    pub fn encode(mut self, pieces: Vec<Piece>) -> Result<(Self, Vec<u8>)> {
        let Some(footer) = pieces.first().map(|piece| Arc::clone(&piece.footer)) else {
            return Err(internal("row groups cannot be joined", "there are none"));
        };
        let batch = decode(pieces, DECODED_BYTES_MAX)?;
        let sorter = sorter(&batch, footer.file_metadata().schema_descr(), &self.order)?;
        self.sort_order_id = sorter.sort_order_id();
        let rows = sorter.sort(Rows::All).numbers(&batch);
        drop(sorter);
        let schema = batch.schema();
        // The manifest's metrics are already known from the sources.
        let measured = Measured {
            fields: &[],
            schema: &schema,
            config: &self.config,
        };
        let taken = self.writer.append(&batch, &rows, measured, &mut self.memory)?;
        if taken != rows.len() {
            return Err(internal("row groups cannot be joined", "rows were left over"));
        }
        self.with_bytes()
    }

    fn with_bytes(mut self) -> Result<(Self, Vec<u8>)> {
        let bytes = self.writer.take_bytes()?;
        Ok((self, bytes))
    }

    /// The sort order of the rows that were encoded last.
    pub fn sort_order_id(&self) -> Option<i32> {
        self.sort_order_id
    }

    /// Completes the file.
    ///
    /// # Errors
    /// `Internal` when its footer cannot be written.
    pub fn finish(self) -> Result<EncodedFile> {
        self.writer.finish(&self.config)
    }
}
