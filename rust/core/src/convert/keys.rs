//! Keys of attributes. There are few distinct keys, and consecutive rows have the same key at the same
//! position.

use std::ops::Range;

use arrow_array::DictionaryArray;
use arrow_array::types::Int32Type;
use arrow_schema::ArrowError;

use super::columns::roomy;
use super::dictionary::{Dictionary, Key};
use super::used::Used;

/// The greatest number of keys for which memory is kept on clearing.
const REUSED_KEYS_MAX: usize = 1024;
/// Positions in a list whose last key is recorded.
const PLACES: usize = 32;

/// The keys of lists, one list after the other.
#[derive(Default)]
pub(super) struct KeyColumn {
    keys: Vec<Key>,
    dictionary: Dictionary,
    /// The last key at each position.
    last: [Key; PLACES],
}

impl KeyColumn {
    /// Reserves space for `times` times as many keys as there are.
    pub(super) fn reserve(&mut self, times: usize) {
        self.keys.reserve(roomy(self.keys.len() * times));
    }

    /// Appends the key at this position of its list.
    #[inline]
    pub(super) fn append(&mut self, text: &[u8], place: usize) {
        let mut beyond = 0;
        let last = self.last.get_mut(place).unwrap_or(&mut beyond);
        let key = self.dictionary.intern(text, *last);
        *last = key;
        self.keys.push(key);
    }

    /// Appends a key that was split off.
    pub(super) fn append_key(&mut self, key: Key) {
        self.keys.push(key);
    }

    /// Splits off the keys from `start` on; their texts stay.
    pub(super) fn split_off(&mut self, start: usize) -> Vec<Key> {
        self.keys.split_off(start)
    }

    /// The keys from `start` on: equal ones have equal texts.
    #[inline]
    pub(super) fn since(&self, start: usize) -> &[Key] {
        self.keys.get(start..).unwrap_or_default()
    }

    /// The keys in this range.
    #[inline]
    pub(super) fn get(&self, places: Range<usize>) -> &[Key] {
        self.keys.get(places).unwrap_or_default()
    }

    #[inline]
    pub(super) fn text(&self, index: usize) -> &[u8] {
        self.keys.get(index).map_or(&[], |&key| self.dictionary.text(key))
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Removes all but the first `len` keys; their texts stay.
    pub(super) fn truncate(&mut self, len: usize) {
        self.keys.truncate(len);
    }

    /// Empties it, and keeps its memory unless that is large.
    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.keys.shrink_to(REUSED_KEYS_MAX);
        self.dictionary.clear();
        self.last = [0; PLACES];
    }

    /// The total bytes of all texts.
    #[inline]
    pub(super) fn extent(&self) -> usize {
        self.dictionary.extent()
    }

    #[inline]
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.keys.as_slice()) + self.dictionary.bytes()
    }

    /// The array.
    ///
    /// # Errors
    /// When a text is not UTF-8.
    pub(super) fn into_array(self) -> Result<DictionaryArray<Int32Type>, ArrowError> {
        self.dictionary.into_array(self.keys, None)
    }

    /// See [`super::columns::Columns::reuse`].
    pub(super) fn reuse(&mut self, arrays: &mut Used) {
        self.keys = arrays.next_keys();
    }
}
