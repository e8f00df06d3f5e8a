//! How much texts take that rows refer to, in a file without a dictionary.
//!
//! A resource's attributes are sent once for any number of records, and written for each. Only a dictionary
//! keeps the file, and the memory that it is made in, from being that many times larger.

use std::ops::Range;

use arrow_array::{Array, StringArray};

use super::view::{Labels, Values};

/// Below this many bytes, it does not matter whether there is a dictionary.
const BYTES_MIN: usize = 8 << 20;

/// With at most one thing for this many rows, all are measured first.
const FEW: usize = 16;
/// Marks what is not measured yet.
const UNKNOWN: usize = usize::MAX;

/// Bytes of texts in plain encoding.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Expansion {
    /// Of the texts of all rows.
    pub all: usize,
    /// Of each text or list of texts once.
    pub once: usize,
}

impl Expansion {
    /// Whether the texts must have a dictionary, however large it is.
    pub fn is_large(self) -> bool {
        self.all >= BYTES_MIN && self.all / 2 >= self.once
    }

    /// The expansion of labels in these rows, of which those that are null may count.
    pub fn of_labels(labels: &Labels<'_>, rows: &[u32]) -> Self {
        let keys = rows.iter().map(|row| labels.key(*row));
        Self::of(labels.texts.len(), rows.len(), keys, |key| {
            size(labels.texts, key)
        })
    }

    /// Whether the expansion of labels can be large, whichever rows have them.
    pub fn may_be_large(labels: &Labels<'_>) -> bool {
        let texts = 0..labels.texts.len();
        let longest = texts.map(|key| size(labels.texts, key)).max().unwrap_or_default();
        labels.keys.len().saturating_mul(longest) >= BYTES_MIN
    }

    /// The expansion of labels in lists, of which those that are null may count.
    pub fn of_elements(labels: &Labels<'_>, elements: &[Range<usize>]) -> Self {
        let count: usize = elements.iter().map(ExactSizeIterator::len).sum();
        let keys = elements.iter().cloned().flatten();
        let keys = keys.map(|index| labels.key(index as u32));
        Self::of(labels.texts.len(), count, keys, |key| size(labels.texts, key))
    }

    /// The expansion of the texts in lists that this many rows refer to. `keys` are the rows' lists, which end
    /// at `offsets`.
    pub fn of_lists(
        values: &Values<'_>,
        offsets: &[i32],
        rows: usize,
        keys: impl Iterator<Item = usize>,
    ) -> Self {
        let end = |list: usize| offsets.get(list).map_or(0, |end| end.unsigned_abs() as usize);
        let lists = offsets.len().saturating_sub(1);
        match values {
            Values::Text(texts) => Self::of(lists, rows, keys, |list| {
                let (start, end) = (end(list), end(list + 1));
                let bytes = text_end(texts, end).saturating_sub(text_end(texts, start));
                4 * end.saturating_sub(start) + bytes
            }),
            Values::Label(labels) => Self::of(lists, rows, keys, |list| {
                let elements = end(list)..end(list + 1);
                elements
                    .map(|index| size(labels.texts, labels.key(index as u32)))
                    .sum()
            }),
            _ => Self::default(),
        }
    }

    /// Adds up what the rows' keys refer to, of `count` things. Each is measured when it comes first.
    fn of(
        count: usize,
        rows: usize,
        keys: impl Iterator<Item = usize>,
        measure: impl Fn(usize) -> usize,
    ) -> Self {
        // Usually there are few, and they are short.
        if count * FEW <= rows {
            let largest = (0..count).map(&measure).max().unwrap_or_default();
            if rows.saturating_mul(largest) < BYTES_MIN {
                return Self::default();
            }
        }
        let mut sizes = vec![UNKNOWN; count];
        let mut expansion = Self::default();
        for key in keys {
            let Some(known) = sizes.get_mut(key) else { continue };
            if *known == UNKNOWN {
                *known = measure(key);
                expansion.once = expansion.once.saturating_add(*known);
            }
            expansion.all = expansion.all.saturating_add(*known);
        }
        expansion
    }
}

/// The plain size of a label's text.
fn size(texts: &StringArray, key: usize) -> usize {
    if key < texts.len() {
        4 + texts.value(key).len()
    } else {
        0
    }
}

/// Where the text before this index ends.
fn text_end(texts: &StringArray, index: usize) -> usize {
    let end = texts.value_offsets().get(index);
    end.map_or(0, |end| end.unsigned_abs() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_many_rows_count_for_each() {
        let long = "x".repeat(1 << 20);
        let texts = StringArray::from(vec!["", long.as_str()]);
        let labels = Labels {
            keys: &[1, 0, 1],
            texts: &texts,
        };
        let rows: Vec<u32> = (0..30).map(|row| row % 3).collect();
        let each = (1 << 20) + 4;
        let found = Expansion::of_labels(&labels, &rows);
        assert_eq!((found.all, found.once), (20 * each + 10 * 4, each + 4));
        assert!(found.is_large());
        let few: Vec<u32> = [0; 32].to_vec();
        let short = Labels {
            keys: &[0],
            texts: &texts,
        };
        assert_eq!(Expansion::of_labels(&short, &few).once, 4);
        // Lists that no row refers to do not count. The third has both texts.
        let keys = || rows.iter().filter(|row| **row > 0).map(|_| 2);
        let offsets = [0, 0, 2, 4];
        let texts_twice = StringArray::from(vec![long.as_str(), long.as_str(), "", long.as_str()]);
        let found = Expansion::of_lists(&Values::Text(&texts_twice), &offsets, rows.len(), keys());
        assert_eq!((found.all, found.once), (20 * (each + 4), each + 4));
        let labels = Labels {
            keys: &[1, 1, 0, 1],
            texts: &texts,
        };
        let found = Expansion::of_lists(&Values::Label(labels), &offsets, rows.len(), keys());
        assert_eq!((found.all, found.once), (20 * (each + 4), each + 4));
    }

    #[test]
    fn labels_in_lists_count_for_each_element() {
        let long = "x".repeat(1 << 20);
        let texts = StringArray::from(vec!["", long.as_str(), "not used"]);
        let keys = [0, 1].repeat(12);
        let labels = Labels {
            keys: &keys,
            texts: &texts,
        };
        let each = (1 << 20) + 4;
        let found = Expansion::of_elements(&labels, &[0..4, 10..10, 12..20]);
        assert_eq!((found.all, found.once), (6 * each + 6 * 4, each + 4));
        assert!(Expansion::may_be_large(&labels));
        let few = Labels {
            keys: &[0, 1, 1],
            texts: &texts,
        };
        assert!(!Expansion::may_be_large(&few));
    }

    #[test]
    fn texts_that_differ_from_row_to_row_need_no_dictionary() {
        let texts: StringArray = (0..9).map(|row| Some(row.to_string().repeat(1 << 20))).collect();
        let keys: Vec<i32> = (0..9).collect();
        let labels = Labels {
            keys: &keys,
            texts: &texts,
        };
        let rows: Vec<u32> = (0..9).collect();
        assert!(!Expansion::of_labels(&labels, &rows).is_large());
    }
}
