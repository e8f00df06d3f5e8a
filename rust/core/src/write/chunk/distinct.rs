//! About how many different texts there are, before any of them is encoded.

use arrow_array::{Array, StringArray};
use arrow_buffer::NullBuffer;

use super::text_range::first_bytes;
use super::view::Labels;

/// Bits of the map for each row: enough to count thousands within a hundredth or two, and tens within a tenth.
const BITS_PER_ROW: usize = 4;

/// What rows of a column hold.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Distinct {
    /// Rows that are not null.
    pub values: usize,
    /// Their bytes.
    pub bytes: usize,
    /// How many texts there are among them, about.
    pub texts: usize,
}

impl Distinct {
    /// Counts by the share of a bitmap's bits that no text's hash falls on (linear counting: Whang et al., "A
    /// linear-time probabilistic counting algorithm for database applications", 1990).
    pub fn of(array: &StringArray, rows: &[u32]) -> Self {
        let values = rows.iter().map(|row| *row as usize);
        let valid = values.filter(|row| array.is_valid(*row));
        Self::among(rows.len(), valid.map(|row| array.value(row)))
    }

    /// The same of the texts of keys.
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

    /// Whether a dictionary and its indices would be smaller than the texts, by a tenth at least: where they are ids, four bits
    /// for a digit are left after compression, and nothing of an index can be saved.
    pub fn is_smaller_as_dictionary(&self) -> bool {
        let index_bits = self.texts.next_power_of_two().trailing_zeros() as usize;
        let text_bits = self.bytes * 4 / self.values.max(1);
        (self.texts * text_bits + self.values * index_bits) * 10 <= self.values * text_bits * 9
    }
}

/// The same in every process, unlike those of hash tables: a request that is written again makes the same file, and what is
/// counted here shapes it. Ids are random, so their first and last eight digits tell them apart, mixed by splitmix64.
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

    /// What is chosen by it must not change from process to process.
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
