//! A sort column as numbers that compare like its values.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, Int32Array};
use arrow_buffer::ScalarBuffer;
use arrow_cast::cast;
use arrow_ord::rank::rank;
use arrow_schema::{ArrowError, DataType, SortOptions};

use super::internal;
use crate::error::Result;

/// Numbers that compare like a column's values, including direction and nulls; one per row, from 0.
#[derive(Debug)]
pub(super) struct Column {
    values: Values,
    /// What is subtracted, so that the minimum is 0.
    least: u64,
    /// Bits of the greatest number.
    pub bits: u32,
}

/// Numbers per row, as far as possible in the memory of the batch.
#[derive(Debug)]
enum Values {
    Ranks(Vec<u32>),
    /// Keys of a dictionary, the rank of each key's value, and the rank of null.
    Labels {
        keys: Int32Array,
        ranks: Vec<u32>,
        null: u32,
    },
    /// Without nulls. The numbers are these with some bits flipped.
    Integers {
        integers: ScalarBuffer<i64>,
        flip: u64,
    },
}

impl Column {
    /// The numbers of an array.
    ///
    /// # Errors
    /// `Internal` when its values cannot be compared.
    pub fn new(array: &ArrayRef, options: SortOptions) -> Result<Self> {
        let values = match array.data_type() {
            DataType::Dictionary(_, _) => labels(array, options)?,
            DataType::Int32 | DataType::Int64 | DataType::Date32 | DataType::Timestamp(_, _)
                if array.null_count() == 0 =>
            {
                integers(array, options.descending)?
            }
            _ => Values::Ranks(ranks(array, options)?),
        };
        let (mut least, mut greatest) = (u64::MAX, 0);
        values.each(|value| {
            least = least.min(value);
            greatest = greatest.max(value);
        });
        Ok(Self {
            values,
            least,
            bits: u64::BITS - greatest.saturating_sub(least).leading_zeros(),
        })
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        match &self.values {
            Values::Ranks(ranks) => ranks.len(),
            Values::Labels { keys, .. } => keys.len(),
            Values::Integers { integers, .. } => integers.len(),
        }
    }

    /// Visits the numbers in the order of the rows.
    pub fn each(&self, mut visit: impl FnMut(u64)) {
        self.values.each(|value| visit(value.wrapping_sub(self.least)));
    }
}

impl Values {
    #[inline]
    fn each(&self, mut visit: impl FnMut(u64)) {
        match self {
            Values::Ranks(ranks) => ranks.iter().for_each(|rank| visit((*rank).into())),
            Values::Labels { keys, ranks, null } => {
                let rank = |key: i32| ranks.get(key.cast_unsigned() as usize).copied().unwrap_or(*null);
                if keys.null_count() == 0 {
                    keys.values().iter().for_each(|key| visit(rank(*key).into()));
                } else {
                    keys.iter().for_each(|key| visit(key.map_or(*null, rank).into()));
                }
            }
            Values::Integers { integers, flip } => {
                integers
                    .iter()
                    .for_each(|integer| visit(integer.cast_unsigned() ^ flip));
            }
        }
    }
}

/// Ranks the few values of the dictionary; rows refer to them.
fn labels(array: &ArrayRef, options: SortOptions) -> Result<Values> {
    let dictionary = array.as_any_dictionary();
    let values = dictionary.values();
    let null = if options.nulls_first { 0 } else { u32::MAX };
    let mut ranks = ranks(values, options)?;
    for (value, rank) in ranks.iter_mut().enumerate() {
        if values.is_null(value) {
            *rank = null;
        }
    }
    let keys = cast(dictionary.keys(), &DataType::Int32).map_err(not_comparable)?;
    Ok(Values::Labels {
        keys: keys.as_primitive::<Int32Type>().clone(),
        ranks,
        null,
    })
}

fn integers(array: &ArrayRef, descending: bool) -> Result<Values> {
    let flip = if descending { u64::MAX >> 1 } else { 1 << 63 };
    let integers = cast(array, &DataType::Int64).map_err(not_comparable)?;
    Ok(Values::Integers {
        integers: integers.as_primitive::<Int64Type>().values().clone(),
        flip,
    })
}

fn ranks(array: &ArrayRef, options: SortOptions) -> Result<Vec<u32>> {
    rank(array, Some(options)).map_err(not_comparable)
}

fn not_comparable(cause: ArrowError) -> crate::error::Error {
    internal("a sort column cannot be compared", cause)
}
