//! When a page ends.

use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

/// From so many rows and bytes on, before compression, a page is worth a read of its own. Smaller ones save readers little
/// and cost as much for their headers and their entries in the page index, of which a narrow column has few to give:
/// its pages grow until they have these bytes. With fewer rows, codecs have too little to go by.
const WORTH_ROWS: usize = 768;
const WORTH_BYTES: usize = 10 << 10;
/// Rows that are appended between two looks at the page's bytes.
const STEP_ROWS: usize = 128;

/// The limits of the pages of one column chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageLimits {
    /// Rows at most.
    rows_max: usize,
    /// Bytes before compression that end it.
    pub bytes_max: usize,
    /// Whether it ends once it is worth a read of its own: for files in which single rows are looked up.
    small: bool,
}

impl PageLimits {
    /// Those of a column.
    pub fn new(properties: &WriterProperties, column: &ColumnPath, small: bool) -> Self {
        Self {
            rows_max: properties.data_page_row_count_limit().max(1),
            bytes_max: properties.column_data_page_size_limit(column),
            small,
        }
    }

    /// Whether a page of so many rows and bytes ends.
    #[inline]
    pub fn end(&self, rows: usize, bytes: usize) -> bool {
        rows >= self.rows_max
            || bytes >= self.bytes_max
            || (self.small && rows >= WORTH_ROWS && bytes >= WORTH_BYTES)
    }

    /// How many more rows a page takes before it is asked again whether it ends.
    #[inline]
    pub fn room(&self, rows: usize) -> usize {
        let room = self.rows_max.saturating_sub(rows).max(1);
        if self.small {
            room.min(STEP_ROWS - rows % STEP_ROWS)
        } else {
            room
        }
    }
}
