//! Attributes of data points, which repeat with each point of their series.

use arrow_schema::ArrowError;
use hashbrown::HashTable;

use super::columns::{Arrays, Columns};
use super::context::Context;
use super::dictionary::Key;
use super::shared_map::SharedMapColumn;
use super::used::Used;
use crate::byte_hash::ByteHasher;
use crate::decode::{DecodeError, KeyValue, Repeated};

/// The greatest number of known lists.
const LISTS_MAX: usize = 32 * 1024;
/// Their greatest total size, bytes.
const BYTES_MAX: usize = 4 << 20;

/// A column of attributes as a dictionary; each distinct list is rendered once. An empty list is null (rule
/// 1).
#[derive(Default)]
pub(super) struct SeriesMapColumn {
    maps: SharedMapColumn,
    known: Known,
}

impl SeriesMapColumn {
    /// Appends attributes.
    ///
    /// # Errors
    /// When the attributes are malformed; `field` is the name of their field.
    #[inline]
    pub(super) fn append(
        &mut self,
        attributes: &Repeated<'_, KeyValue<'_>>,
        field: &'static str,
        context: &mut Context,
    ) -> Result<(), DecodeError> {
        let serialized = attributes.region();
        let key = match self.known.find(serialized) {
            Some(key) => Some(key),
            None => self.render(serialized, attributes, field, context)?,
        };
        self.maps.append_key(key);
        Ok(())
    }

    #[inline(never)]
    fn render(
        &mut self,
        serialized: &[u8],
        attributes: &Repeated<'_, KeyValue<'_>>,
        field: &'static str,
        context: &mut Context,
    ) -> Result<Option<Key>, DecodeError> {
        if attributes.is_empty() {
            return Ok(None);
        }
        let repairs = context.repairs;
        let key = self.maps.render(attributes, field, context)?;
        // Repairs are counted for each occurrence.
        if let Some(key) = key
            && context.repairs == repairs
        {
            self.known.add(serialized, key);
        }
        Ok(key)
    }
}

impl Columns for SeriesMapColumn {
    fn reserve(&mut self, times: usize) {
        self.maps.reserve(times);
    }

    fn truncate(&mut self, len: usize) {
        self.maps.truncate(len);
    }

    #[inline]
    fn extent(&self) -> usize {
        self.maps.extent()
    }

    #[inline]
    fn bytes(&self) -> usize {
        self.maps.bytes() + self.known.bytes()
    }

    fn finish(self, arrays: &mut Arrays<'_>) -> Result<(), ArrowError> {
        self.maps.finish(arrays)
    }

    fn reuse(&mut self, arrays: &mut Used) {
        self.maps.reuse(arrays);
    }
}

/// The keys of serialized lists.
#[derive(Default)]
struct Known {
    /// The lists, concatenated.
    bytes: Vec<u8>,
    lists: Vec<List>,
    /// Indices into `lists`.
    index: HashTable<u32>,
    hasher: ByteHasher,
    /// The index of the next list, if points come in the same order as before.
    guess: usize,
    /// The number of lookups that found a list.
    found: usize,
    /// Set when there is no space left, or when caching does not pay off.
    is_full: bool,
}

/// A serialized list with the key of its attributes.
#[derive(Clone, Copy)]
struct List {
    start: u32,
    end: u32,
    key: Key,
}

impl Known {
    /// The key of this list, if it was added.
    #[inline]
    fn find(&mut self, serialized: &[u8]) -> Option<Key> {
        if let Some(list) = self.lists.get(self.guess).copied()
            && self.bytes.get(list.span()) == Some(serialized)
        {
            self.found(self.guess);
            return Some(list.key);
        }
        self.look_up(serialized)
    }

    fn look_up(&mut self, serialized: &[u8]) -> Option<Key> {
        if self.lists.is_empty() {
            return None;
        }
        let hash = self.hasher.hash(serialized);
        let Self { bytes, lists, .. } = self;
        let is_this = |place: &u32| {
            let list = lists.get(*place as usize);
            list.and_then(|list| bytes.get(list.span())) == Some(serialized)
        };
        let place = *self.index.find(hash, is_this)? as usize;
        let key = lists.get(place)?.key;
        self.found(place);
        Some(key)
    }

    #[inline]
    fn found(&mut self, place: usize) {
        self.found += 1;
        self.guess = if place + 1 < self.lists.len() {
            place + 1
        } else {
            0
        };
    }

    /// Adds an unknown list. When there is no space left and most lists occurred only once, all lists are
    /// removed.
    fn add(&mut self, serialized: &[u8], key: Key) {
        if self.is_full {
            return;
        }
        if self.lists.len() == LISTS_MAX || self.bytes.len() + serialized.len() > BYTES_MAX {
            let repeats = self.found >= self.lists.len();
            *self = Self {
                is_full: true,
                ..if repeats {
                    std::mem::take(self)
                } else {
                    Self::default()
                }
            };
            return;
        }
        let Self {
            bytes,
            lists,
            index,
            hasher,
            ..
        } = self;
        // Both are far below 2^32.
        let start = bytes.len() as u32;
        let place = lists.len() as u32;
        bytes.extend_from_slice(serialized);
        lists.push(List {
            start,
            end: bytes.len() as u32,
            key,
        });
        index.insert_unique(hasher.hash(serialized), place, |place| {
            let list = lists.get(*place as usize);
            hasher.hash(list.and_then(|list| bytes.get(list.span())).unwrap_or_default())
        });
    }

    /// Bytes in memory.
    #[inline]
    fn bytes(&self) -> usize {
        self.bytes.len() + self.lists.len() * (size_of::<List>() + 2 * size_of::<u32>())
    }
}

impl List {
    #[inline]
    fn span(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}
