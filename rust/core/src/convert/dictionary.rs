//! Stores each of many repeated texts once.

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{DictionaryArray, PrimitiveArray};
use arrow_buffer::NullBuffer;
use arrow_schema::ArrowError;
use hashbrown::HashTable;

use super::columns::Columns;
use super::text_column::TextColumn;
use crate::byte_hash::ByteHasher;

/// The index of a text in a column's dictionary; valid until the batch is closed.
pub(super) type Key = i32;

/// Average index bytes per text: the index is half full after it grew.
const INDEX_BYTES: usize = 2 * (size_of::<Key>() + 1);

/// The distinct texts of a column, per batch.
#[derive(Default)]
pub(super) struct Dictionary {
    texts: TextColumn,
    /// Keys by the text's hash.
    index: HashTable<Key>,
    hasher: ByteHasher,
}

impl Dictionary {
    /// The key of a text; `guess` is tried first.
    #[inline]
    pub(super) fn intern(&mut self, text: &[u8], guess: Key) -> Key {
        if self.texts.len() > 0 && is_same(text_at(&self.texts, guess), text) {
            return guess;
        }
        self.find_or_add(text)
    }

    /// The text of a key.
    #[inline]
    pub(super) fn text(&self, key: Key) -> &[u8] {
        text_at(&self.texts, key)
    }

    /// Not inlined: callers mostly guess right, and need few registers then.
    #[inline(never)]
    fn find_or_add(&mut self, text: &[u8]) -> Key {
        let Self { texts, index, hasher } = self;
        let hash = hasher.hash(text);
        if let Some(&key) = index.find(hash, |&key| text_at(texts, key) == text) {
            return key;
        }
        // There are at most as many texts as rows, groups or entries, which use 32-bit offsets elsewhere.
        let key = Key::try_from(texts.len()).unwrap_or(Key::MAX);
        texts.append(text);
        index.insert_unique(hash, key, |&key| hasher.hash(text_at(texts, key)));
        key
    }

    /// The total bytes of all texts.
    #[inline]
    pub(super) fn extent(&self) -> usize {
        self.texts.extent()
    }

    /// The bytes of the texts as an array, plus those of the index.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.texts.bytes() + self.texts.len() * INDEX_BYTES
    }

    /// Empties it, and keeps its memory unless that is large.
    pub(super) fn clear(&mut self) {
        self.texts.clear();
        self.index.clear();
    }

    /// The dictionary array with these keys. Unused texts at the end are omitted: removed rows leave theirs.
    ///
    /// # Errors
    /// When a text is not UTF-8.
    pub(super) fn into_array(
        mut self,
        keys: Vec<Key>,
        nulls: Option<NullBuffer>,
    ) -> Result<DictionaryArray<Int32Type>, ArrowError> {
        self.texts.truncate(used(&keys));
        let keys = PrimitiveArray::<Int32Type>::try_new(keys.into(), nulls)?;
        DictionaryArray::try_new(keys, Arc::new(self.texts.into_array()?))
    }
}

/// The number of leading values that keys refer to at most.
pub(super) fn used(keys: &[Key]) -> usize {
    let greatest = keys.iter().fold(-1, |greatest: Key, &key| greatest.max(key));
    greatest.cast_unsigned().wrapping_add(1) as usize
}

/// Whether two texts are equal; short ones are compared without a call.
#[inline]
fn is_same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    if let (Some(a), Some(b)) = (ends::<16>(a), ends::<16>(b)) {
        return a == b;
    }
    if let (Some(a), Some(b)) = (ends::<8>(a), ends::<8>(b)) {
        return a == b;
    }
    a == b
}

/// The first and the last `BYTES` bytes, if together they cover the whole text.
#[inline]
fn ends<const BYTES: usize>(text: &[u8]) -> Option<(&[u8; BYTES], &[u8; BYTES])> {
    if text.len() > 2 * BYTES {
        return None;
    }
    text.first_chunk().zip(text.last_chunk())
}

#[inline]
fn text_at(texts: &TextColumn, key: Key) -> &[u8] {
    texts.value(key.cast_unsigned() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_any_length_are_the_same_when_each_byte_is() {
        let text: Vec<u8> = (0..70).collect();
        for len in 0..text.len() {
            let text = &text[..len];
            assert!(is_same(text, text));
            assert!(!is_same(text, &[text, b"x"].concat()));
            for at in 0..len {
                let mut other = text.to_vec();
                other[at] ^= 1;
                assert!(!is_same(text, &other), "byte {at} of {len}");
            }
        }
    }
}
