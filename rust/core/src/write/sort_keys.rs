//! The sort keys of a batch's rows, in one number per row where they fit.

use std::ops::{BitOr, Shl};

use arrow_array::UInt32Array;

use super::partition::Rows;
use super::sort_column::Column;

/// The sort keys; one entry per row of the batch.
#[derive(Debug)]
pub(super) enum Keys {
    /// Nothing to sort by.
    None,
    /// A few columns of one request: a service of some, and a time within minutes.
    Short(Packed<u64>),
    Long(Packed<u128>),
    /// Keys that do not fit one number, most significant first.
    Wide(Vec<Vec<u64>>),
}

/// All keys of a row in one number, with the row's number in the low bits.
#[derive(Debug)]
pub(super) struct Packed<N> {
    keys: Vec<N>,
    row_bits: u32,
}

/// An unsigned number that keys are packed into.
pub(super) trait Word:
    Copy + Ord + From<u64> + Shl<u32, Output = Self> + BitOr<Output = Self>
{
    /// Bits of a number.
    const BITS: u32;

    /// The low 32 bits.
    fn low(self) -> u32;
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits are asked for")]
impl Word for u64 {
    const BITS: u32 = u64::BITS;

    fn low(self) -> u32 {
        self as u32
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits are asked for")]
impl Word for u128 {
    const BITS: u32 = u128::BITS;

    fn low(self) -> u32 {
        self as u32
    }
}

impl Keys {
    /// The keys of all rows; the first column is the most significant.
    pub fn new(columns: &[Column]) -> Self {
        let Some(first) = columns.first() else {
            return Keys::None;
        };
        let rows = first.len();
        if let Some(packed) = Packed::new(columns, rows) {
            return Keys::Short(packed);
        }
        if let Some(packed) = Packed::new(columns, rows) {
            return Keys::Long(packed);
        }
        let numbers = |column: &Column| {
            let mut numbers = Vec::with_capacity(rows);
            column.each(|number| numbers.push(number));
            numbers
        };
        Keys::Wide(columns.iter().map(numbers).collect())
    }

    /// Sorts rows stably. Rows that are already in order are not copied.
    pub fn sort(&self, rows: Rows) -> Rows {
        match self {
            Keys::None => rows,
            Keys::Short(keys) => keys.sort(rows),
            Keys::Long(keys) => keys.sort(rows),
            Keys::Wide(keys) => sort_wide(keys, rows),
        }
    }
}

impl<N: Word> Packed<N> {
    /// `None` if the keys and the rows' numbers do not fit.
    fn new(columns: &[Column], rows: usize) -> Option<Self> {
        let row_bits = usize::BITS - rows.saturating_sub(1).leading_zeros();
        let key_bits: u32 = columns.iter().map(|column| column.bits).sum();
        if row_bits > u32::BITS || key_bits + row_bits > N::BITS {
            return None;
        }
        let mut keys = vec![N::from(0); rows];
        for column in columns {
            let mut keys = keys.iter_mut();
            column.each(|number| {
                if let Some(key) = keys.next() {
                    *key = shifted(*key, column.bits) | N::from(number);
                }
            });
        }
        for (key, row) in keys.iter_mut().zip(0_u64..) {
            *key = shifted(*key, row_bits) | N::from(row);
        }
        Some(Self { keys, row_bits })
    }

    fn sort(&self, rows: Rows) -> Rows {
        let mut picked: Vec<N> = match &rows {
            Rows::All if self.keys.is_sorted() => return rows,
            Rows::All => self.keys.clone(),
            Rows::Some(numbers) => {
                let key = |row: &u32| self.keys.get(*row as usize).copied();
                let picked: Vec<N> = numbers.values().iter().filter_map(key).collect();
                if picked.is_sorted() {
                    return rows;
                }
                picked
            }
        };
        // A stable sort merges runs that are sorted already, which the records of each resource mostly are. Row
        // numbers are unique, so no two keys are equal, and equal rows keep their order.
        picked.sort();
        let mask = u32::MAX.checked_shr(u32::BITS - self.row_bits).unwrap_or(0);
        Rows::Some(picked.into_iter().map(|key| key.low() & mask).collect())
    }
}

/// Makes room for this many low bits. A key that takes all bits is the only one, and the number is still 0.
fn shifted<N: Word>(number: N, bits: u32) -> N {
    if bits < N::BITS {
        number << bits
    } else {
        N::from(0)
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array};
    use arrow_schema::SortOptions;

    use super::*;

    /// Columns of descending numbers from these to 0.
    fn columns(greatest: &[i64], rows: usize) -> Vec<Column> {
        let column = |greatest: &i64| {
            let numbers = (1..=rows).map(|row| {
                let number = (greatest - (row as i64 - 1)).max(0);
                if row < rows { number } else { 0 }
            });
            let array: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers));
            Column::new(&array, SortOptions::default()).unwrap()
        };
        greatest.iter().map(column).collect()
    }

    fn order(keys: &Keys, rows: Rows) -> Vec<u32> {
        match keys.sort(rows) {
            Rows::All => panic!("not sorted"),
            Rows::Some(numbers) => numbers.values().to_vec(),
        }
    }

    #[test]
    fn keys_take_the_narrowest_form_that_holds_them() {
        let cases: [(&[i64], usize, &str); 7] = [
            (&[(1 << 62) - 1], 4, "short"),
            (&[(1 << 62) - 1], 5, "long"),
            (&[(1 << 31) - 1, (1 << 31) - 1], 4, "short"),
            (&[i64::MAX], 3, "long"),
            (&[i64::MAX, i64::MAX], 4, "long"),
            (&[i64::MAX, i64::MAX, 1], 2, "long"),
            (&[i64::MAX, i64::MAX, 3], 4, "wide"),
        ];
        for (greatest, rows, form) in cases {
            let keys = Keys::new(&columns(greatest, rows));
            let found = match &keys {
                Keys::None => "none",
                Keys::Short(_) => "short",
                Keys::Long(_) => "long",
                Keys::Wide(_) => "wide",
            };
            assert_eq!(found, form, "{greatest:?}, {rows} rows");
            let backwards: Vec<u32> = (0..rows as u32).rev().collect();
            assert_eq!(order(&keys, Rows::All), backwards, "{greatest:?}");
        }
    }

    #[test]
    fn some_rows_are_sorted_as_all_are() {
        for greatest in [&[9_i64][..], &[i64::MAX], &[i64::MAX, i64::MAX, 9]] {
            let keys = Keys::new(&columns(greatest, 8));
            let rows = Rows::Some(UInt32Array::from(vec![1, 4, 6]));
            assert_eq!(order(&keys, rows), [6, 4, 1], "{greatest:?}");
        }
    }

    #[test]
    fn rows_in_order_and_rows_of_no_order_are_left() {
        let keys = Keys::new(&columns(&[0, 0], 1000));
        assert!(matches!(keys.sort(Rows::All), Rows::All));
        assert!(matches!(Keys::new(&[]).sort(Rows::All), Rows::All));
        assert!(matches!(Keys::new(&columns(&[5], 0)).sort(Rows::All), Rows::All));
    }
}
