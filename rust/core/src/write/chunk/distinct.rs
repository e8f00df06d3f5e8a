//! Estimates the number of distinct texts before any of them is encoded.

use arrow_array::{Array, StringArray};
use arrow_buffer::NullBuffer;

use super::text_range::first_bytes;
use super::view::Labels;

/// Bits of the bitmap for each row: enough to estimate thousands within one or two per cent, and tens within
/// ten per cent.
const BITS_PER_ROW: usize = 4;

/// Statistics of a column's rows.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Distinct {
    /// Rows that are not null.
    pub values: usize,
    /// Bytes of their texts.
    pub bytes: usize,
    /// The estimated number of distinct texts.
    pub texts: usize,
}

impl Distinct {
    /// Estimates from the share of a bitmap's bits that no text's hash sets (linear counting: Whang et al.,
    /// "A linear-time probabilistic counting algorithm for database applications", 1990).
    pub fn of(array: &StringArray, rows: &[u32]) -> Self {
        let values = rows.iter().map(|row| *row as usize);
        let valid = values.filter(|row| array.is_valid(*row));
        Self::among(rows.len(), valid.map(|row| array.value(row)))
    }

    /// The same for the texts that keys refer to.
    pub fn of_labels(labels: &Labels<'_>, nulls: Option<&NullBuffer>, rows: &[u32]) -> Self {
        let is_valid = |row: &&u32| nulls.is_none_or(|nulls| nulls.is_valid(**row as usize));
        let keys = rows.iter().filter(is_valid).map(|row| labels.key(*row));
        let texts = keys.filter(|key| *key < labels.texts.len());
        Self::among(rows.len(), texts.map(|key| labels.texts.value(key)))
    }

    fn among<'a>(rows: usize, texts: impl Iterator<Item = &'a str>) -> Self {
        let bits = (rows * BITS_PER_ROW).next_power_of_two().max(64);
        let mut map = vec![0_u64; bits / 64];
        let mut distinct = Self::default();
        for text in texts {
            let text = text.as_bytes();
            distinct.values += 1;
            distinct.bytes += text.len();
            let bit = hash(text) as usize & (bits - 1);
            if let Some(word) = map.get_mut(bit / 64) {
                *word |= 1 << (bit % 64);
            }
        }
        let free = bits - map.iter().map(|word| word.count_ones() as usize).sum::<usize>();
        let share = free.max(1) as f64 / bits as f64;
        distinct.texts = (-share.ln() * bits as f64).round() as usize;
        distinct
    }

    /// Whether a dictionary with its indices would be at least a tenth smaller than the texts. If the texts
    /// are ids, four bits per digit remain after compression, and an index does not compress.
    pub fn is_smaller_as_dictionary(&self) -> bool {
        let index_bits = self.texts.next_power_of_two().trailing_zeros() as usize;
        let text_bits = self.bytes * 4 / self.values.max(1);
        (self.texts * text_bits + self.values * index_bits) * 10 <= self.values * text_bits * 9
    }
}

/// The hash is the same in every process, unlike those of hash tables: a repeated request makes the same
/// file, and this estimate affects the file's content. Ids are random, so their first and last eight digits
/// distinguish them, mixed by splitmix64.
#[inline]
fn hash(text: &[u8]) -> u64 {
    let first = u64::from_le_bytes(first_bytes(text));
    let last = text.last_chunk().map_or(0, |last| u64::from_le_bytes(*last));
    let joined = last ^ (first ^ text.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (joined ^ joined >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_counted_whatever_their_order() {
        for (values, texts) in [
            (1, 1),
            (500, 500),
            (1000, 125),
            (1000, 1000),
            (40_000, 5_000),
            (40_000, 40_000),
        ] {
            let ids = (0..values).map(|row| format!("{:032x}", row % texts));
            let array: StringArray = ids.map(Some).chain([None]).collect();
            let rows: Vec<u32> = (0..=values as u32).rev().collect();
            let found = Distinct::of(&array, &rows);
            assert_eq!((found.values, found.bytes), (values, values * 32));
            assert!(
                found.texts.abs_diff(texts) * 20 <= texts + 20,
                "{found:?} of {texts}"
            );
        }
        assert_eq!(
            Distinct::of(&StringArray::new_null(3), &[0, 2]),
            Distinct::default()
        );
    }

    /// Choices that depend on the hash must not differ between processes.
    #[test]
    fn a_count_is_the_same_in_every_process() {
        let ids: StringArray = (1..=1000_u128)
            .map(|id| {
                Some(format!(
                    "{:032x}",
                    id.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)
                ))
            })
            .collect();
        let rows: Vec<u32> = (0..1000).collect();
        assert_eq!(Distinct::of(&ids, &rows).texts, 996);
    }
}
