//! Sorts lists of attributes by their keys. The lists of one client mostly have the same keys in the same order.

/// Lists up to this length are sorted on the stack.
pub(super) const FEW: usize = 32;

/// An attribute as it was sent.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Attribute<'a> {
    pub(super) key: &'a [u8],
    /// The serialized `KeyValue`.
    pub(super) serialized: &'a [u8],
    /// Its place in the list.
    pub(super) index: usize,
}

/// How the last list was sorted: the index of the attribute for each place.
#[derive(Debug, Default)]
pub(super) struct KeyOrder {
    indices: [u8; FEW],
    len: usize,
}

impl KeyOrder {
    /// Writes attributes, whose indices are their places, sorted by their keys; of equal keys the last one stays
    /// last. Both slices have the same length, [`FEW`] at most.
    pub(super) fn sort<'a>(&mut self, unsorted: &[Attribute<'a>], sorted: &mut [Attribute<'a>]) {
        if self.len == unsorted.len() {
            for (place, index) in sorted.iter_mut().zip(self.indices) {
                *place = unsorted.get(usize::from(index)).copied().unwrap_or_default();
            }
            if sorted.is_sorted_by_key(|attribute| (attribute.key, attribute.index)) {
                return;
            }
        }
        sorted.copy_from_slice(unsorted);
        sorted.sort_unstable_by_key(|attribute| (attribute.key, attribute.index));
        self.len = sorted.len();
        for (index, attribute) in self.indices.iter_mut().zip(sorted.iter()) {
            // Less than `FEW`.
            *index = attribute.index as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(order: &mut KeyOrder, keys: &[&'static str]) -> Vec<(&'static str, usize)> {
        let unsorted: Vec<Attribute<'static>> = keys
            .iter()
            .enumerate()
            .map(|(index, key)| Attribute {
                key: key.as_bytes(),
                serialized: b"",
                index,
            })
            .collect();
        let mut sorted = vec![Attribute::default(); keys.len()];
        order.sort(&unsorted, &mut sorted);
        sorted
            .iter()
            .map(|attribute| (std::str::from_utf8(attribute.key).unwrap(), attribute.index))
            .collect()
    }

    #[test]
    fn lists_are_sorted_whatever_came_before() {
        let mut order = KeyOrder::default();
        assert_eq!(sorted(&mut order, &[]), []);
        for _ in 0..2 {
            assert_eq!(
                sorted(&mut order, &["b", "c", "a"]),
                [("a", 2), ("b", 0), ("c", 1)]
            );
        }
        // The same number of others, then fewer, then more.
        assert_eq!(
            sorted(&mut order, &["x", "z", "y"]),
            [("x", 0), ("y", 2), ("z", 1)]
        );
        assert_eq!(sorted(&mut order, &["b", "a"]), [("a", 1), ("b", 0)]);
        assert_eq!(
            sorted(&mut order, &["d", "a", "c", "b"]),
            [("a", 1), ("b", 3), ("c", 2), ("d", 0)]
        );
    }

    #[test]
    fn of_equal_keys_the_last_one_stays_last() {
        let mut order = KeyOrder::default();
        assert_eq!(sorted(&mut order, &["b", "a"]), [("a", 1), ("b", 0)]);
        assert_eq!(sorted(&mut order, &["a", "a"]), [("a", 0), ("a", 1)]);
    }
}
