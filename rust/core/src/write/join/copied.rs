//! Copies row groups unchanged: the bytes of their chunks, and all metadata from their file.

use parquet::bloom_filter::Sbbf;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::page_index::column_index::ColumnIndexMetaData;

use super::super::parquet::FileWriter;
use super::row_group::Piece;

/// Appends a row group to a file.
///
/// # Errors
/// When the file rejects it, or when a bloom filter cannot be read.
pub(super) fn append(writer: &mut FileWriter, piece: &Piece) -> Result<()> {
    let Some(row_group) = piece.footer.row_groups().get(piece.number) else {
        return Err(ParquetError::General("there is no such row group".to_owned()));
    };
    let rows = usize::try_from(row_group.num_rows())?;
    writer.append_encoded(rows, |to| {
        for (column, chunk) in row_group.columns().iter().enumerate() {
            to.append_column(&piece.bytes, close(piece, column, chunk, rows)?)?;
        }
        Ok(())
    })
}

/// The metadata that the chunk's writer would have returned.
fn close(
    piece: &Piece,
    column: usize,
    chunk: &ColumnChunkMetaData,
    rows: usize,
) -> Result<ColumnCloseResult> {
    let column_indexes = piece.footer.column_index();
    let column_index = column_indexes.and_then(|indexes| indexes.get(piece.number)?.get(column));
    let offset_indexes = piece.footer.offset_index();
    let offset_index = offset_indexes
        .and_then(|indexes| indexes.get(piece.number)?.get(column))
        // All files that we wrote have one, and the file writer panics if only some chunks have one.
        .ok_or_else(|| ParquetError::General("a column chunk has no offset index".to_owned()))?;
    // Without a length, the filter would have to be searched for.
    let bloom_filter = match chunk.bloom_filter_length() {
        Some(_) => Sbbf::read_from_column_chunk(chunk, &piece.bytes)?,
        None => None,
    };
    Ok(ColumnCloseResult {
        bytes_written: u64::try_from(chunk.compressed_size())?,
        rows_written: rows as u64,
        metadata: chunk.clone(),
        bloom_filter,
        column_index: column_index
            .filter(|index| !matches!(index, ColumnIndexMetaData::NONE))
            .cloned(),
        offset_index: Some(offset_index.clone()),
    })
}
