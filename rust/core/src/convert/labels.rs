//! Text with few distinct values, as a dictionary per batch.

use std::sync::Arc;

use arrow_schema::ArrowError;

use super::columns::{Arrays, Columns, roomy};
use super::context::Context;
use super::dictionary::{Dictionary, Key};
use super::used::Used;
use super::validity::Validity;
use crate::decode::Text;

/// A dictionary-encoded column.
#[derive(Default)]
pub(super) struct LabelColumn {
    keys: Vec<Key>,
    validity: Validity,
    dictionary: Dictionary,
    /// The last key: consecutive values are often equal.
    last: Key,
}

impl LabelColumn {
    /// Appends a protobuf string field; an empty one is null (rule 1).
    #[inline]
    pub(super) fn append_field(&mut self, text: Text<'_>, context: &mut Context) {
        let key = if text.is_empty() {
            None
        } else {
            Some(self.intern(&context.repaired(text)))
        };
        self.append_key(key);
    }

    /// Appends a text by its key.
    #[inline]
    pub(super) fn append_key(&mut self, key: Option<Key>) {
        self.keys.push(key.unwrap_or_default());
        self.validity.append(key.is_some());
    }

    /// Appends a text by its key, `count` times.
    #[inline]
    pub(super) fn append_keys(&mut self, key: Option<Key>, count: usize) {
        self.keys.resize(self.keys.len() + count, key.unwrap_or_default());
        self.validity.append_n(key.is_some(), count);
    }

    /// The key of a field's text; `None` if it is empty (rule 1).
    pub(super) fn intern_field(&mut self, text: &[u8]) -> Option<Key> {
        (!text.is_empty()).then(|| self.intern(text))
    }

    /// The key of a text.
    #[inline]
    pub(super) fn intern(&mut self, text: &[u8]) -> Key {
        self.last = self.dictionary.intern(text, self.last);
        self.last
    }
}

/// Truncation keeps the dictionary, because keys may be held elsewhere.
impl Columns for LabelColumn {
    fn reserve(&mut self, times: usize) {
        self.keys.reserve(roomy(self.keys.len() * times));
    }

    fn truncate(&mut self, len: usize) {
        self.keys.truncate(len);
        self.validity.truncate(len);
    }

    #[inline]
    fn extent(&self) -> usize {
        self.dictionary.extent()
    }

    #[inline]
    fn bytes(&self) -> usize {
        size_of_val(self.keys.as_slice()) + self.validity.bytes() + self.dictionary.bytes()
    }

    fn finish(self, arrays: &mut Arrays<'_>) -> Result<(), ArrowError> {
        arrays.next_type()?;
        arrays.push(Arc::new(
            self.dictionary.into_array(self.keys, self.validity.finish())?,
        ));
        Ok(())
    }

    fn reuse(&mut self, arrays: &mut Used) {
        self.keys = arrays.next_keys();
    }
}

/// The greatest number of words of an OTLP enum.
const WORDS_MAX: usize = 8;

/// An enum as words (rule 9).
#[derive(Default)]
pub(super) struct WordColumn {
    labels: LabelColumn,
    /// The keys of the words used so far.
    keys: [Option<Key>; WORDS_MAX],
}

impl WordColumn {
    /// Appends the word for `number`, or the number itself if the proto file does not define it.
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
    fn reserve(&mut self, times: usize) {
        self.labels.reserve(times);
    }

    fn truncate(&mut self, len: usize) {
        self.labels.truncate(len);
    }

    #[inline]
    fn extent(&self) -> usize {
        self.labels.extent()
    }

    #[inline]
    fn bytes(&self) -> usize {
        self.labels.bytes()
    }

    fn finish(self, arrays: &mut Arrays<'_>) -> Result<(), ArrowError> {
        self.labels.finish(arrays)
    }

    fn reuse(&mut self, arrays: &mut Used) {
        self.labels.reuse(arrays);
    }
}
