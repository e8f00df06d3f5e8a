//! Sorts rows by the table's default sort order.

use arrow_array::ArrayRef;
use arrow_schema::SortOptions;
use iceberg::spec::{NullOrder, SortDirection, SortField, SortOrder, Transform};

use super::partition::Rows;
use super::sort_column::Column;
use super::sort_keys::Keys;
use super::transform::transformed;
use crate::error::Result;

/// A column that the rows are sorted by without a transform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SortedColumn {
    /// Position in the batch.
    pub position: usize,
    /// Whether the greatest value comes first.
    pub descending: bool,
    /// Whether nulls come before values.
    pub nulls_first: bool,
}

/// Sorts rows of one batch by one order.
#[derive(Debug)]
pub(super) struct Sorter {
    keys: Keys,
    sort_order_id: Option<i32>,
    columns: Vec<SortedColumn>,
}

impl Sorter {
    /// Computes the keys of a batch's columns; `position_of` returns the position of the column with a field
    /// id.
    ///
    /// # Errors
    /// `Internal` when a column cannot be compared.
    pub fn new(
        columns_of_batch: &[ArrayRef],
        position_of: impl Fn(i32) -> Option<usize>,
        order: &SortOrder,
    ) -> Result<Self> {
        let mut sorted = Vec::new();
        let mut columns = Vec::new();
        let mut honoured = !order.is_unsorted();
        for field in &order.fields {
            // A column that our rows do not have is null in each of them, so they are sorted by it already.
            let Some((position, source)) = position_of(field.source_id)
                .and_then(|position| Some((position, columns_of_batch.get(position)?)))
            else {
                continue;
            };
            let Ok(values) = sort_values(field.transform, source) else {
                // An unknown transform: sort by the fields before it, and declare no sort order.
                honoured = false;
                break;
            };
            let (descending, nulls_first) = directions(field);
            sorted.push(Column::new(
                &values,
                SortOptions {
                    descending,
                    nulls_first,
                },
            )?);
            // Parquet's sorting columns can only name whole columns, and only the leading ones of the order.
            if field.transform == Transform::Identity && columns.len() + 1 == sorted.len() {
                columns.push(SortedColumn {
                    position,
                    descending,
                    nulls_first,
                });
            }
        }
        let sort_order_id = i32::try_from(order.order_id).ok().filter(|_| honoured);
        Ok(Self {
            keys: Keys::new(&sorted),
            sort_order_id,
            columns,
        })
    }

    /// The order's id, if every field of the order is applied.
    pub fn sort_order_id(&self) -> Option<i32> {
        self.sort_order_id
    }

    /// The leading columns of the order that have no transform.
    pub fn sorting_columns(&self) -> &[SortedColumn] {
        &self.columns
    }

    /// Sorts rows stably. Rows that are already in order are not copied.
    pub fn sort(&self, rows: Rows) -> Rows {
        self.keys.sort(rows)
    }
}

fn directions(field: &SortField) -> (bool, bool) {
    (
        matches!(field.direction, SortDirection::Descending),
        matches!(field.null_order, NullOrder::First),
    )
}

fn sort_values(transform: Transform, source: &ArrayRef) -> Result<ArrayRef> {
    if transform == Transform::Identity {
        return Ok(source.clone());
    }
    transformed(transform, source)
}
