//! Sorts rows by the table's default sort order.

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, UInt32Array};
use arrow_cast::cast;
use arrow_ord::rank::rank;
use arrow_schema::{DataType, SortOptions};
use iceberg::spec::{NullOrder, SortDirection, SortField, SortOrder, Transform};

use super::internal;
use super::partition::Rows;
use super::transform::transformed;
use crate::error::Result;

/// Bits that the packed keys of a row may take, besides the 32 of its row number.
const PACKED_BITS: u32 = 96;

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

/// The sort keys; one entry per row of the batch.
#[derive(Debug)]
enum Keys {
    /// All keys in one number, with the row number in the low 32 bits.
    Packed(Vec<u128>),
    /// Keys that do not fit one number, most significant first.
    Wide(Vec<Vec<u64>>),
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
        let mut keys = Vec::new();
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
            keys.push(Key::new(
                &values,
                SortOptions {
                    descending,
                    nulls_first,
                },
            )?);
            // Parquet's sorting columns can only name whole columns, and only the leading ones of the order.
            if field.transform == Transform::Identity && columns.len() + 1 == keys.len() {
                columns.push(SortedColumn {
                    position,
                    descending,
                    nulls_first,
                });
            }
        }
        let sort_order_id = i32::try_from(order.order_id).ok().filter(|_| honoured);
        Ok(Self {
            keys: Keys::new(keys),
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
        match &self.keys {
            Keys::Packed(keys) => sort_packed(keys, rows),
            Keys::Wide(keys) => sort_wide(keys, rows),
        }
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

fn sort_packed(keys: &[u128], rows: Rows) -> Rows {
    let mut picked: Vec<u128> = match &rows {
        Rows::All if keys.is_sorted() => return rows,
        Rows::All => keys.to_vec(),
        Rows::Some(numbers) => {
            let picked: Vec<u128> = numbers
                .values()
                .iter()
                .filter_map(|row| keys.get(*row as usize).copied())
                .collect();
            if picked.is_sorted() {
                return rows;
            }
            picked
        }
    };
    #[expect(
        clippy::stable_sort_primitive,
        reason = "it merges runs that are sorted already, which the records of each resource mostly are"
    )]
    // Row numbers are unique, so no two keys are equal, and equal rows keep their order.
    picked.sort();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the low 32 bits are the row's number"
    )]
    Rows::Some(picked.into_iter().map(|key| key as u32).collect())
}

fn sort_wide(keys: &[Vec<u64>], rows: Rows) -> Rows {
    let row_count = keys.first().map_or(0, Vec::len);
    let mut numbers: Vec<u32> = match rows {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "partitioning has counted the rows"
        )]
        Rows::All => (0..row_count as u32).collect(),
        Rows::Some(numbers) => numbers.values().to_vec(),
    };
    let row_keys = |row: u32| keys.iter().map(move |key| key.get(row as usize));
    numbers.sort_by(|a, b| row_keys(*a).cmp(row_keys(*b)));
    Rows::Some(UInt32Array::from(numbers))
}

impl Keys {
    fn new(keys: Vec<Key>) -> Self {
        let Some(rows) = keys.first().map(|key| key.values.len()) else {
            return Keys::Packed(Vec::new());
        };
        if keys.iter().map(|key| key.bits).sum::<u32>() > PACKED_BITS {
            return Keys::Wide(keys.into_iter().map(|key| key.values).collect());
        }
        let mut packed = vec![0u128; rows];
        for key in keys {
            for (packed, value) in packed.iter_mut().zip(key.values) {
                *packed = (*packed << key.bits) | u128::from(value);
            }
        }
        for (packed, row) in packed.iter_mut().zip(0u128..) {
            *packed = (*packed << 32) | row;
        }
        Keys::Packed(packed)
    }
}

/// Numbers that compare like a column's values, including direction and nulls.
struct Key {
    /// One per row; the minimum is 0.
    values: Vec<u64>,
    /// Bits of the greatest number.
    bits: u32,
}

impl Key {
    fn new(array: &ArrayRef, options: SortOptions) -> Result<Self> {
        let mut values = match array.data_type() {
            DataType::Dictionary(_, _) => dictionary_ranks(array, options)?,
            DataType::Int32 | DataType::Int64 | DataType::Date32 | DataType::Timestamp(_, _)
                if array.null_count() == 0 =>
            {
                integers(array, options.descending)?
            }
            _ => ranks(array, options)?.into_iter().map(u64::from).collect(),
        };
        let least = values.iter().copied().min().unwrap_or(0);
        let mut greatest = 0;
        for value in &mut values {
            *value -= least;
            greatest = greatest.max(*value);
        }
        Ok(Self {
            values,
            bits: u64::BITS - greatest.leading_zeros(),
        })
    }
}

/// Ranks the few values of the dictionary, then looks up the rank of each row.
fn dictionary_ranks(array: &ArrayRef, options: SortOptions) -> Result<Vec<u64>> {
    let dictionary = array.as_any_dictionary();
    let values = dictionary.values();
    let null_rank = if options.nulls_first {
        0
    } else {
        u64::from(u32::MAX)
    };
    let mut value_ranks: Vec<u64> = ranks(values, options)?.into_iter().map(u64::from).collect();
    for (value, value_rank) in value_ranks.iter_mut().enumerate() {
        if values.is_null(value) {
            *value_rank = null_rank;
        }
    }
    let keys = dictionary.keys();
    let normalized = if value_ranks.is_empty() {
        vec![0; keys.len()]
    } else {
        dictionary.normalized_keys()
    };
    let row_ranks = normalized.into_iter().enumerate().map(|(row, key)| {
        if keys.is_null(row) {
            null_rank
        } else {
            value_ranks.get(key).copied().unwrap_or(null_rank)
        }
    });
    Ok(row_ranks.collect())
}

fn integers(array: &ArrayRef, descending: bool) -> Result<Vec<u64>> {
    let flip = if descending { u64::MAX >> 1 } else { 1 << 63 };
    let integers = cast(array, &DataType::Int64)
        .map_err(|cause| internal("a sort column cannot be read as integers", cause))?;
    let values = integers.as_primitive::<Int64Type>().values();
    Ok(values.iter().map(|value| value.cast_unsigned() ^ flip).collect())
}

fn ranks(array: &ArrayRef, options: SortOptions) -> Result<Vec<u32>> {
    rank(array, Some(options)).map_err(|cause| internal("a sort column cannot be compared", cause))
}
