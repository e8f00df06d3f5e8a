//! Text with few distinct values, as a dictionary made per batch.

use std::hash::BuildHasher;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{DictionaryArray, PrimitiveArray};
use arrow_schema::ArrowError;
use hashbrown::{DefaultHashBuilder, HashTable};

use super::columns::{Arrays, Columns, TextColumn, Validity};
use super::context::Context;
use crate::decode::Text;

/// The place of a text in a column's dictionary; it holds until the batch is closed.
pub(super) type Key = i32;

/// A dictionary-encoded column.
#[derive(Default)]
pub(super) struct LabelColumn {
    keys: Vec<Key>,
    validity: Validity,
    dictionary: TextColumn,
    /// Indices into the dictionary by the text's hash.
    index: HashTable<Key>,
    hasher: DefaultHashBuilder,
    /// The key that was found last: neighbours are often equal.
    last: Key,
}

impl LabelColumn {
    /// Appends a protobuf string field, for which empty is null (rule 1).
    #[inline]
    pub(super) fn append_field(&mut self, text: Text<'_>, context: &mut Context) {
        let key = if text.is_empty() {
            None
        } else {
            Some(self.intern(&context.mended(text)))
        };
        self.append_key(key);
    }

    /// Appends a text by its key.
    #[inline]
    pub(super) fn append_key(&mut self, key: Option<Key>) {
        self.keys.push(key.unwrap_or_default());
        self.validity.append(key.is_some());
    }

    /// The key of a field's text; none if it is empty (rule 1).
    pub(super) fn intern_field(&mut self, text: &[u8]) -> Option<Key> {
        (!text.is_empty()).then(|| self.intern(text))
    }

    /// The key of a text.
    #[inline]
    pub(super) fn intern(&mut self, text: &[u8]) -> Key {
        if self.dictionary.len() > 0 && dictionary_text(&self.dictionary, self.last) == text {
            return self.last;
        }
        self.last = self.find_or_add(text);
        self.last
    }

    fn find_or_add(&mut self, text: &[u8]) -> Key {
        let Self {
            dictionary,
            index,
            hasher,
            ..
        } = self;
        let hash = hasher.hash_one(text);
        if let Some(&key) = index.find(hash, |&key| dictionary_text(dictionary, key) == text) {
            return key;
        }
        // There are no more texts than rows and groups, and those have 32-bit offsets elsewhere.
        let key = Key::try_from(dictionary.len()).unwrap_or(Key::MAX);
        dictionary.append(text);
        index.insert_unique(hash, key, |&key| {
            hasher.hash_one(dictionary_text(dictionary, key))
        });
        key
    }
}

#[inline]
fn dictionary_text(dictionary: &TextColumn, key: Key) -> &[u8] {
    dictionary.value(key.unsigned_abs() as usize)
}

/// Truncation leaves the dictionary as it is, for keys that are held elsewhere; [`Columns::finish`]
/// cuts the texts off its end that no row uses.
impl Columns for LabelColumn {
    fn truncate(&mut self, len: usize) {
        self.keys.truncate(len);
        self.validity.truncate(len);
    }

    #[inline]
    fn extent(&self) -> usize {
        self.dictionary.extent()
    }

    fn finish(mut self, arrays: &mut Arrays<'_>) -> Result<(), ArrowError> {
        arrays.next_type()?;
        let used = self
            .keys
            .iter()
            .max()
            .map_or(0, |&key| key.unsigned_abs() as usize + 1);
        self.dictionary.truncate(used);
        let keys = PrimitiveArray::<Int32Type>::try_new(self.keys.into(), self.validity.finish())?;
        let values = Arc::new(self.dictionary.into_array()?);
        arrays.push(Arc::new(DictionaryArray::try_new(keys, values)?));
        Ok(())
    }
}

/// The most words that an enum of OTLP's has.
const WORDS_MAX: usize = 8;

/// An enum as words (rule 9).
#[derive(Default)]
pub(super) struct WordColumn {
    labels: LabelColumn,
    /// The keys of the words met so far.
    keys: [Option<Key>; WORDS_MAX],
}

impl WordColumn {
    /// Appends the word at `number`, or the number itself if the proto file does not know it.
    #[inline]
    pub(super) fn append(&mut self, number: i32, words: &[&str]) {
        let key = self.key(number, words);
        self.labels.append_key(Some(key));
    }

    #[inline]
    fn key(&mut self, number: i32, words: &[&str]) -> Key {
        let known = usize::try_from(number)
            .ok()
            .and_then(|at| Some((at, *words.get(at)?)));
        let Some((at, word)) = known else {
            return self.labels.intern(itoa::Buffer::new().format(number).as_bytes());
        };
        match self.keys.get_mut(at) {
            Some(Some(key)) => *key,
            Some(empty) => *empty.insert(self.labels.intern(word.as_bytes())),
            None => self.labels.intern(word.as_bytes()),
        }
    }
}

impl Columns for WordColumn {
    fn truncate(&mut self, len: usize) {
        self.labels.truncate(len);
    }

    #[inline]
    fn extent(&self) -> usize {
        self.labels.extent()
    }

    fn finish(self, arrays: &mut Arrays<'_>) -> Result<(), ArrowError> {
        self.labels.finish(arrays)
    }
}
