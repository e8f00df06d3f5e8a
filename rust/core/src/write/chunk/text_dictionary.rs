//! The dictionary of a chunk of text.

use std::ops::Range as Span;

use hashbrown::HashTable;

use super::dictionary_memory::DictionaryMemory;
use super::indices::Indices;
use super::pages::DictionaryPage;
use super::range::Range;
use super::search::Content;
use super::values::Share;
use crate::byte_hash::ByteHasher;

/// Distinguished positions in a list; later positions share the last one.
const PLACES: usize = 32;

/// The distinct texts so far, and the open page as indices into them.
#[derive(Default)]
pub(super) struct Dictionary {
    /// Each text after its length, in the format of the dictionary page.
    pub bytes: Vec<u8>,
    /// The position of each text.
    spans: Vec<(u32, u32)>,
    table: HashTable<u32>,
    hasher: ByteHasher,
    /// The last index at each position of a list.
    last: [u32; PLACES],
    pub indices: Indices,
    /// Bytes of the open page in plain encoding.
    pub plain_bytes: usize,
    /// Whether a finished page uses it.
    used: bool,
    /// Whether it is kept whatever values come, because they were counted before.
    proven: bool,
}

impl Dictionary {
    /// A dictionary in the memory of an earlier one.
    pub fn new(memory: DictionaryMemory) -> Self {
        Self {
            table: memory.table,
            indices: memory.indices,
            ..Self::default()
        }
    }

    /// A dictionary that is kept whatever values come, because they were counted before. Reserves space for
    /// about this many texts and bytes.
    pub fn proven(texts: usize, bytes: usize, memory: DictionaryMemory) -> Self {
        // The estimate is accurate to one or two per cent.
        let texts = texts + texts / 32;
        let mut table = memory.table;
        if table.capacity() < texts {
            table = HashTable::with_capacity(texts);
        }
        Self {
            bytes: Vec::with_capacity(bytes + bytes / 32),
            spans: Vec::with_capacity(texts),
            table,
            indices: memory.indices,
            proven: true,
            ..Self::default()
        }
    }

    /// Keeps it whatever values come.
    pub fn keep(&mut self) {
        self.proven = true;
    }

    /// The number of texts.
    #[inline]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether a finished page uses it.
    pub fn is_used(&self) -> bool {
        self.used
    }

    /// The share of its first page that is new, by bytes; `None` once a page uses it, or if it was proven
    /// before.
    pub fn on_trial(&self) -> Option<Share> {
        (!self.used && !self.proven).then_some(Share {
            values: self.indices.len(),
            new: self.bytes.len(),
            all: self.plain_bytes,
        })
    }

    /// The index of a text, and whether the text is new.
    #[inline]
    pub fn index_of(&mut self, text: &[u8], place: usize) -> (u32, bool) {
        let place = place.min(PLACES - 1);
        let guess = self.last.get(place).copied().unwrap_or_default();
        if !self.spans.is_empty() && self.text(guess) == text {
            return (guess, false);
        }
        let before = self.spans.len();
        let index = self.find_or_add(text);
        if let Some(last) = self.last.get_mut(place) {
            *last = index;
        }
        (index, self.spans.len() > before)
    }

    /// Appends a text of `len` bytes to the page.
    #[inline]
    pub fn push_index(&mut self, index: u32, len: usize) {
        self.indices.push(index);
        self.plain_bytes += 4 + len;
    }

    /// Appends a text to the page, `count` times.
    #[inline]
    pub fn push_run(&mut self, index: u32, count: usize) {
        self.indices.push_run(index, count);
        self.plain_bytes += count * self.plain_len(index);
    }

    /// Bytes of a text in plain encoding.
    #[inline]
    fn plain_len(&self, index: u32) -> usize {
        4 + span_at(&self.spans, index).len()
    }

    #[inline]
    fn text(&self, index: u32) -> &[u8] {
        text_at(&self.bytes, &self.spans, index)
    }

    /// The open page's texts, as spans of bytes.
    pub fn page(&self) -> impl Iterator<Item = (&[u8], Span<usize>)> {
        let span = |index| (self.bytes.as_slice(), span_at(&self.spans, index));
        self.indices.iter().map(span)
    }

    /// Bytes of the texts in plain encoding.
    pub fn plain_bytes_of(&self, indices: &[u32]) -> usize {
        indices.iter().map(|index| self.plain_len(*index)).sum()
    }

    /// Ends the open page: appends its values to `out`.
    pub fn end_page(&mut self, out: &mut Vec<u8>) {
        self.indices.take_encoded(self.spans.len(), out);
        self.plain_bytes = 0;
        self.used = true;
    }

    fn find_or_add(&mut self, text: &[u8]) -> u32 {
        let Self {
            bytes,
            spans,
            table,
            hasher,
            ..
        } = self;
        let hash = hasher.hash(text);
        if let Some(&index) = table.find(hash, |&index| text_at(bytes, spans, index) == text) {
            return index;
        }
        // The page ends before these bytes become too many, and no text exceeds the limit of an Arrow array.
        let index = spans.len() as u32;
        write_plain(text, bytes);
        spans.push(((bytes.len() - text.len()) as u32, text.len() as u32));
        table.insert_unique(hash, index, |&index| hasher.hash(text_at(bytes, spans, index)));
        index
    }

    /// The minimum and the maximum text of the open page. Each distinct text is compared once.
    pub fn range(&self) -> Option<Range> {
        let mut used = vec![false; self.spans.len()];
        for index in self.indices.occurring() {
            if let Some(used) = used.get_mut(*index as usize) {
                *used = true;
            }
        }
        let mut texts = (0..)
            .zip(used)
            .filter(|(_, used)| *used)
            .map(|(index, _)| self.text(index));
        let first = texts.next()?;
        let (least, greatest) = texts.fold((first, first), |(least, greatest), text| {
            (least.min(text), greatest.max(text))
        });
        Some(Range::Text(least.to_vec(), greatest.to_vec()))
    }

    /// See [`super::values::Values::take_dictionary_memory`].
    pub fn take_memory(&mut self) -> DictionaryMemory {
        DictionaryMemory::of(std::mem::take(&mut self.table), std::mem::take(&mut self.indices))
    }

    /// The dictionary page, and memory for another dictionary.
    pub fn into_parts(mut self) -> (DictionaryPage, DictionaryMemory) {
        let memory = self.take_memory();
        let page = DictionaryPage {
            bytes: self.bytes,
            values: self.spans.len(),
            content: Content::Unlike,
        };
        (page, memory)
    }
}

#[inline]
fn text_at<'a>(bytes: &'a [u8], spans: &[(u32, u32)], index: u32) -> &'a [u8] {
    bytes.get(span_at(spans, index)).unwrap_or_default()
}

#[inline]
fn span_at(spans: &[(u32, u32)], index: u32) -> Span<usize> {
    let (start, len) = spans.get(index as usize).copied().unwrap_or_default();
    start as usize..start as usize + len as usize
}

/// Encodings.md, "Plain": the length in 4 bytes, then the bytes.
#[inline]
fn write_plain(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text);
}
