//! Decodes small row groups into one batch.
//!
//! Texts with a dictionary in the file are read as dictionary keys. Expanded, the attributes of a resource,
//! which are equal in each row, would take many times the memory.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Fields, Schema, SchemaRef};
use arrow_select::concat::concat;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::parquet_to_arrow_schema;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::schema::types::SchemaDescriptor;

use super::leaves::{with_leaves, with_types};
use super::row_group::Piece;
use super::texts::Texts;
use super::{failed, guarded, unreadable};
use crate::error::{Error, ErrorKind, Result};

/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 8192;

/// A file's schema in Arrow.
///
/// # Errors
/// When a column has no Arrow type.
pub(super) fn arrow_schema(schema: &SchemaDescriptor) -> ParquetResult<Schema> {
    parquet_to_arrow_schema(schema, None)
}

/// Decodes row groups of one schema, in order.
///
/// # Errors
/// `Decode` with the path of a file that cannot be decoded; without a path when the rows together exceed
/// `bytes_max` in memory.
pub(super) fn decode(pieces: Vec<Piece>, bytes_max: usize) -> Result<RecordBatch> {
    let mut parts = Parts::new(&pieces).map_err(failed)?;
    for piece in pieces {
        let path = piece.path.clone();
        let fits = guarded(&path, || {
            let added = parts.add(piece, bytes_max);
            added.map_err(|cause| unreadable(&path, cause))
        })?;
        if !fits {
            let message = "the rows of some data files take more memory than their footers tell";
            return Err(Error::new(ErrorKind::Decode, message).with("the last of them", path));
        }
    }
    parts.whole().map_err(|cause| failed(cause.into()))
}

/// The columns of a batch, in parts.
struct Parts {
    schema: SchemaRef,
    columns: Vec<Vec<ArrayRef>>,
    leaves: Leaves,
    bytes: usize,
}

impl Parts {
    fn new(pieces: &[Piece]) -> ParquetResult<Self> {
        let Some(first) = pieces.first() else {
            return Err(ParquetError::General("no row group is to be decoded".to_owned()));
        };
        let plain = arrow_schema(first.footer.file_metadata().schema_descr())?;
        let leaves = Leaves::of(&plain, pieces);
        let schema = Arc::new(Schema::new(leaves.fields(&plain)));
        Ok(Self {
            columns: vec![Vec::new(); schema.fields().len()],
            schema,
            leaves,
            bytes: 0,
        })
    }

    /// Adds a piece; returns whether all rows so far are within `bytes_max`. It stops when they are not.
    fn add(&mut self, piece: Piece, bytes_max: usize) -> ParquetResult<bool> {
        let options = ArrowReaderOptions::new().with_schema(SchemaRef::clone(&self.schema));
        let metadata = ArrowReaderMetadata::try_new(piece.footer, options)?;
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(piece.bytes, metadata)
            .with_row_groups(vec![piece.number])
            .with_batch_size(BATCH_ROWS)
            .build()?;
        for batch in reader {
            let mut numbers = 0..;
            for (column, array) in self.columns.iter_mut().zip(batch?.columns()) {
                let array = with_leaves(array, &mut |leaf| self.leaves.take(numbers.next(), leaf))?;
                self.bytes += array.get_array_memory_size();
                column.push(array);
            }
            if self.bytes.saturating_add(self.leaves.bytes()) > bytes_max {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Concatenates each column's parts and releases them before the next column.
    fn whole(mut self) -> Result<RecordBatch, ArrowError> {
        let mut numbers = 0..;
        let mut columns = Vec::with_capacity(self.columns.len());
        for parts in self.columns {
            let references: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
            let array = concat(&references)?;
            drop(parts);
            columns.push(with_leaves(&array, &mut |leaf| {
                self.leaves.give(numbers.next(), leaf)
            })?);
        }
        RecordBatch::try_new(self.schema, columns)
    }
}

/// The dictionaries of the leaves that have one.
struct Leaves(Vec<Option<Texts>>);

impl Leaves {
    /// A text leaf has a dictionary if at least one row group has one for it.
    fn of(schema: &Schema, pieces: &[Piece]) -> Self {
        let has_dictionary = |leaf: usize| {
            pieces.iter().any(|piece| {
                let row_group = piece.footer.row_groups().get(piece.number);
                let chunk = row_group.and_then(|row_group| row_group.columns().get(leaf));
                chunk.is_some_and(|chunk| chunk.dictionary_page_offset().is_some())
            })
        };
        let mut leaves = Vec::new();
        with_types(schema.fields(), &mut |data_type| {
            let is_shared = *data_type == DataType::Utf8 && has_dictionary(leaves.len());
            leaves.push(is_shared.then(Texts::default));
            data_type.clone()
        });
        Self(leaves)
    }

    /// The fields of the decoded batch.
    fn fields(&self, plain: &Schema) -> Fields {
        let mut leaves = self.0.iter();
        with_types(plain.fields(), &mut |data_type| match leaves.next() {
            Some(Some(_)) => Texts::data_type(),
            _ => data_type.clone(),
        })
    }

    /// Converts a part of a leaf for storage in the parts.
    fn take(&mut self, leaf: Option<usize>, array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        match leaf.and_then(|leaf| self.0.get_mut(leaf)) {
            Some(Some(texts)) => texts.keys_of(array),
            _ => Ok(Arc::clone(array)),
        }
    }

    /// Converts a concatenated leaf to its final form.
    fn give(&mut self, leaf: Option<usize>, array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        match leaf.and_then(|leaf| self.0.get_mut(leaf)) {
            Some(Some(texts)) => texts.array(array),
            _ => Ok(Arc::clone(array)),
        }
    }

    fn bytes(&self) -> usize {
        self.0.iter().flatten().map(Texts::bytes).sum()
    }
}
