//! Finds duplicate keys in a list of attributes; the last one is kept (rule 5).

use std::hash::Hash;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::dictionary::Key;

/// Lists up to this length are compared by fingerprints on the stack. Longer ones use a hash map. Its seed is
/// made of addresses in this process: hard to guess from outside, but no protection against keys that are
/// chosen to collide.
const SMALL: usize = 32;

/// Scratch space and the last result.
#[derive(Default)]
pub(super) struct Duplicates {
    /// For each key of the last list that had duplicates: whether it occurs again later.
    again: Vec<bool>,
}

impl Duplicates {
    /// Whether one of `len` keys occurs twice. If so, [`Self::comes_again`] identifies the duplicates.
    #[inline]
    pub(super) fn find<K: Print>(&mut self, len: usize, key: impl Fn(usize) -> K) -> bool {
        match len {
            0 | 1 => false,
            2..=SMALL => self.find_among_few(len, key),
            _ => self.find_among_many(len, key),
        }
    }

    /// Whether the key at `index` occurs again later, in a list where [`Self::find`] found duplicates.
    pub(super) fn comes_again(&self, index: usize) -> bool {
        self.again.get(index).copied().unwrap_or_default()
    }

    #[inline]
    fn find_among_few<K: Print>(&mut self, len: usize, key: impl Fn(usize) -> K) -> bool {
        let mut prints = [0u64; SMALL];
        // One bit per class of fingerprints: a key that is alone in its class needs no comparison.
        let mut classes = 0u64;
        let mut found = false;
        for (index, slot) in prints.iter_mut().take(len).enumerate() {
            *slot = key(index).print();
        }
        for (index, &print) in prints.iter().take(len).enumerate() {
            let class = 1 << (print >> 58);
            if classes & class != 0 {
                let earlier = prints.iter().take(index).enumerate();
                for (other, _) in earlier.filter(|&(_, &other)| other == print) {
                    if key(other) == key(index) {
                        self.mark(other, len, &mut found);
                    }
                }
            }
            classes |= class;
        }
        found
    }

    #[cold]
    fn find_among_many<K: Print>(&mut self, len: usize, key: impl Fn(usize) -> K) -> bool {
        let mut last_seen = HashMap::new();
        let mut found = false;
        for index in 0..len {
            match last_seen.entry(key(index)) {
                Entry::Occupied(mut seen) => self.mark(seen.insert(index), len, &mut found),
                Entry::Vacant(unseen) => {
                    unseen.insert(index);
                }
            }
        }
        found
    }

    #[cold]
    fn mark(&mut self, index: usize, len: usize, found: &mut bool) {
        if !*found {
            *found = true;
            self.again.clear();
            self.again.resize(len, false);
        }
        if let Some(again) = self.again.get_mut(index) {
            *again = true;
        }
    }
}

/// A key with a fingerprint: equal for equal keys, and mostly different for others, especially in the highest
/// bits.
pub(super) trait Print: Eq + Hash {
    fn print(&self) -> u64;
}

/// The index of a key in a dictionary.
impl Print for Key {
    #[inline]
    fn print(&self) -> u64 {
        let key = u64::from(self.unsigned_abs());
        key << 58 | key
    }
}

/// The length, the first and the last bytes, mixed.
impl Print for &[u8] {
    #[inline]
    fn print(&self) -> u64 {
        fingerprint(self)
    }
}

#[inline]
fn fingerprint(key: &[u8]) -> u64 {
    let (first, last) = if let (Some(first), Some(last)) = (key.first_chunk::<8>(), key.last_chunk::<8>()) {
        (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
    } else if let (Some(first), Some(last)) = (key.first_chunk::<4>(), key.last_chunk::<4>()) {
        (
            u64::from(u32::from_le_bytes(*first)),
            u64::from(u32::from_le_bytes(*last)),
        )
    } else {
        let bytes = key.iter().fold(0, |bytes, &byte| bytes << 8 | u64::from(byte));
        (bytes, 0)
    };
    let mixed = first ^ last.rotate_left(23) ^ (key.len() as u64).rotate_left(47);
    // 2^64 divided by the golden ratio spreads the differences into the highest bits.
    mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(keys: &[&str]) -> Option<Vec<usize>> {
        let mut duplicates = Duplicates::default();
        let found = duplicates.find(keys.len(), |index| keys[index].as_bytes());
        found.then(|| {
            (0..keys.len())
                .filter(|&index| duplicates.comes_again(index))
                .collect()
        })
    }

    #[test]
    fn the_last_of_equal_keys_is_not_marked() {
        assert_eq!(again(&["a", "b", "a", "c", "a"]), Some(vec![0, 2]));
        assert_eq!(again(&["", ""]), Some(vec![0]));
        assert_eq!(
            again(&["service.name", "service.names", "service", "", "aervice.name"]),
            None
        );
        assert_eq!(again(&["a"]), None);
        assert_eq!(again(&[]), None);
    }

    #[test]
    fn long_lists_give_the_same_answer() {
        let keys: Vec<String> = (0..100).map(|number| format!("key.{number}")).collect();
        let mut keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        assert_eq!(again(&keys), None);
        keys.extend(["key.7", "key.7", "key.99"]);
        assert_eq!(again(&keys), Some(vec![7, 99, 100]));
    }

    #[test]
    fn places_in_a_dictionary_give_the_same_answer() {
        let mut duplicates = Duplicates::default();
        let keys: [Key; 6] = [0, 64, 1, 64, 128, 0];
        assert!(duplicates.find(keys.len(), |index| keys[index]));
        let again: Vec<bool> = (0..keys.len())
            .map(|index| duplicates.comes_again(index))
            .collect();
        assert_eq!(again, [true, true, false, false, false, false]);
        assert!(!duplicates.find(3, |index| keys[index]));
    }

    #[test]
    fn keys_with_the_same_ends_are_compared_whole() {
        assert_eq!(again(&["12345678-a-12345678", "12345678-b-12345678"]), None);
        assert_eq!(
            again(&[
                "12345678-a-12345678",
                "12345678-b-12345678",
                "12345678-a-12345678"
            ]),
            Some(vec![0])
        );
    }
}
