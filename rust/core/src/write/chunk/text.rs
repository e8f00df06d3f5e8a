//! Encodes text: with a dictionary where values repeat, else plain.

use std::ops::Range as Span;

use arrow_array::{Array, StringArray};
use parquet::basic::Encoding;
use parquet::bloom_filter::Sbbf;

use super::bloom::Bloom;
use super::buffer::PageBuffer;
use super::dictionary_memory::DictionaryMemory;
use super::distinct::Distinct;
use super::expansion::Expansion;
use super::leaf::Repeat;
use super::lists::{Lists, span, until_full};
use super::pages::DictionaryPage;
use super::range::Range;
use super::search::Content;
use super::text_dictionary::Dictionary;
use super::text_range::TextRange;
use super::values::{PageValues, Share};
use super::view::{Labels, split_run};

/// With fewer values, a dictionary does not pay for its page.
const COUNTED_VALUES_MIN: usize = 64;
/// The size of a dictionary whose texts rows repeat, far above that of a batch. Its page must stay below 2
/// GiB.
const REPEATED_BYTES_MAX: usize = 1 << 30;
/// Marks a missing dictionary index.
const UNKNOWN: u32 = u32::MAX;

/// How the texts of a chunk are encoded.
#[derive(Debug, Clone, Copy)]
pub(super) struct TextOptions {
    /// Whether a dictionary is tried. If not, it is used only for texts that were counted and do repeat.
    pub with_dictionary: bool,
    /// From this size on, a dictionary takes no more values.
    pub dictionary_bytes_max: usize,
    /// Whether readers prune by the minimum and the maximum.
    pub with_range: bool,
}

/// The texts of a chunk.
pub(super) struct Texts {
    options: TextOptions,
    /// `None` once it was given up; later pages are plain.
    dictionary: Option<Dictionary>,
    /// Memory of no dictionary at present.
    spare: DictionaryMemory,
    /// The content type of plain texts, for compression.
    content: Content,
    /// The dictionary that earlier pages use.
    closed: Option<DictionaryPage>,
    /// The open page: plain texts; empty until it ends if there is a dictionary.
    pub page: PageBuffer,
    /// The open page's range, when it is plain.
    range: TextRange,
    bloom: Option<Bloom>,
    /// The dictionary index of each key of a label column, as far as known.
    of_labels: Vec<u32>,
    /// The position of the list of labels that was appended last, and its size in plain encoding, bytes.
    last_list: (Span<usize>, usize),
}

impl Texts {
    /// No texts yet; a dictionary gets the memory of an earlier one.
    pub fn new(options: TextOptions, bloom: Option<Bloom>, mut memory: DictionaryMemory) -> Self {
        let of_memory = || Dictionary::new(std::mem::take(&mut memory));
        Self {
            options,
            dictionary: options.with_dictionary.then(of_memory),
            spare: memory,
            content: Content::Unlike,
            closed: None,
            page: PageBuffer::default(),
            range: TextRange::default(),
            bloom,
            of_labels: Vec::new(),
            last_list: (0..0, 0),
        }
    }

    /// Inspects the coming values, in any order. Where they repeat, a dictionary is used even if none was
    /// configured. Ids repeat when a trace's spans or a span's log records are in one batch. After sorting,
    /// equal ids are too far apart for a dictionary to prove useful at the start, or for a codec to find
    /// them.
    pub fn look_ahead(&mut self, coming: impl FnOnce() -> Distinct) {
        if self.options.with_dictionary {
            return;
        }
        let coming = coming();
        // At least a tenth of the texts are repetitions.
        if coming.texts * 10 < coming.values * 9 {
            self.content = Content::Alike;
        }
        let mean = coming.bytes / coming.values.max(1);
        let bytes = coming.texts * (4 + mean);
        let fits = bytes < self.options.dictionary_bytes_max;
        if coming.values >= COUNTED_VALUES_MIN && coming.is_smaller_as_dictionary() && fits {
            let memory = std::mem::take(&mut self.spare);
            self.dictionary = Some(Dictionary::proven(coming.texts, bytes, memory));
        }
    }

    /// Keeps the dictionary whatever values come, if the coming texts are repeated so often that they must
    /// have one.
    pub fn expect(&mut self, expansion: Expansion) {
        if expansion.is_large() {
            self.options.dictionary_bytes_max = REPEATED_BYTES_MAX;
            let of_memory = || Dictionary::new(std::mem::take(&mut self.spare));
            self.dictionary.get_or_insert_with(of_memory).keep();
        }
    }

    /// Appends consecutive texts; `place` is the position of the first in its list.
    #[inline]
    pub fn push_texts(
        &mut self,
        array: &StringArray,
        indices: Span<usize>,
        place: usize,
        page_bytes_max: usize,
    ) {
        if self.dictionary.is_some() {
            for (place, index) in (place..).zip(indices) {
                self.push(array.value(index).as_bytes(), place);
            }
            return;
        }
        if self.page.is_empty() {
            self.make_room(array, array.len(), page_bytes_max);
        }
        let (bytes, offsets) = (array.value_data(), array.value_offsets());
        indices.for_each(|index| self.push_plain(bytes, span(offsets, index)));
    }

    /// Appends the lists of rows until the open page is full; returns how many rows were taken.
    pub fn extend_lists(
        &mut self,
        array: &StringArray,
        lists: Lists<'_>,
        rows: &[u32],
        page_bytes_max: usize,
    ) -> usize {
        let mut rows_left = rows.iter();
        while self.dictionary.is_some()
            && let Some(row) = rows_left.next()
        {
            for (place, index) in lists.span(*row).enumerate() {
                self.push(array.value(index).as_bytes(), place);
            }
            if self.page_bytes() >= page_bytes_max || self.dictionary_is_full() {
                return rows.len() - rows_left.len();
            }
        }
        if self.page.is_empty() {
            self.make_room(array, array.len(), page_bytes_max);
        }
        let (bytes, offsets) = (array.value_data(), array.value_offsets());
        let only_stored = self.bloom.is_none() && !self.options.with_range;
        let rest = rows_left.as_slice();
        let with_dictionary = rows.len() - rest.len();
        let plain = until_full(rest, |row| {
            for index in lists.span(row) {
                let text = span(offsets, index);
                if only_stored {
                    self.page.push_text(bytes, text);
                } else {
                    self.push_plain(bytes, text);
                }
            }
            self.page.len() >= page_bytes_max
        });
        with_dictionary + plain
    }

    /// Appends the texts of rows until the open page is full; returns how many were taken.
    pub fn extend(&mut self, array: &StringArray, rows: &[u32], page_bytes_max: usize) -> usize {
        let mut rows_left = rows.iter();
        if self.dictionary.is_some() {
            for row in rows_left.by_ref() {
                self.push(array.value(*row as usize).as_bytes(), 0);
                if self.page_bytes() >= page_bytes_max || self.dictionary_is_full() {
                    return rows.len() - rows_left.len();
                }
                if self.dictionary.is_none() {
                    break;
                }
            }
        }
        self.make_room(array, rows_left.len(), page_bytes_max);
        let (bytes, offsets) = (array.value_data(), array.value_offsets());
        for row in rows_left.by_ref() {
            self.push_plain(bytes, span(offsets, *row as usize));
            if self.page.len() >= page_bytes_max {
                break;
            }
        }
        rows.len() - rows_left.len()
    }

    /// Reserves space for this many of an array's texts, plain, as far as a page may hold them.
    fn make_room(&mut self, array: &StringArray, count: usize, page_bytes_max: usize) {
        if self.dictionary.is_none() {
            let mean = 4 + array.value_data().len() / array.len().max(1);
            let bytes = (count * mean).min(page_bytes_max.saturating_sub(self.page.len()));
            self.page.values().reserve(bytes + bytes / 8);
        }
    }

    /// Appends a text; `place` is its position in its list.
    #[inline]
    fn push(&mut self, text: &[u8], place: usize) {
        match &mut self.dictionary {
            Some(dictionary) => {
                if let Some(bloom) = &mut self.bloom {
                    bloom.insert(text);
                }
                let (index, is_new) = dictionary.index_of(text, place);
                dictionary.push_index(index, text.len());
                if is_new {
                    self.try_dictionary();
                }
            }
            None => self.push_plain(text, 0..text.len()),
        }
    }

    /// Appends the texts of the rows' keys until the open page is full; returns how many were taken. All keys
    /// of a chunk refer to one dictionary.
    pub fn extend_labels(&mut self, labels: &Labels<'_>, rows: &[u32], page_bytes_max: usize) -> usize {
        let mut rest = rows;
        while let Some(first) = rest.first() {
            let key = labels.key(*first);
            // An index counts as two bytes, as in the page's size.
            let room = page_bytes_max.saturating_sub(self.page_bytes()) / 2 + 1;
            let (these, _) = rest.split_at(rest.len().min(room));
            let (these, _) = split_run(these, |row| labels.key(row) == key);
            let taken = self.push_label(labels, key, these.len());
            rest = rest.get(taken..).unwrap_or_default();
            if self.page_bytes() >= page_bytes_max || self.dictionary_is_full() {
                break;
            }
        }
        rows.len() - rest.len()
    }

    /// Appends the text of a key up to `count` times; returns how often it was appended.
    #[inline]
    pub fn push_label(&mut self, labels: &Labels<'_>, key: usize, count: usize) -> usize {
        let known = self.of_labels.get(key).copied().unwrap_or(UNKNOWN);
        match &mut self.dictionary {
            Some(dictionary) if known != UNKNOWN => {
                dictionary.push_run(known, count);
                count
            }
            _ => self.push_new_label(labels, key, count),
        }
    }

    /// Appends the texts of the keys of rows' lists until the open page is full; returns how many rows were
    /// taken.
    pub fn extend_label_lists(
        &mut self,
        labels: &Labels<'_>,
        lists: Lists<'_>,
        rows: &[u32],
        page_bytes_max: usize,
    ) -> usize {
        until_full(rows, |row| {
            self.push_labels(labels, lists.span(row));
            self.page_bytes() >= page_bytes_max || self.dictionary_is_full()
        })
    }

    /// Appends the texts of consecutive keys. They often equal those of the previous list, because rows share
    /// attributes.
    #[inline]
    pub fn push_labels(&mut self, labels: &Labels<'_>, list: Span<usize>) {
        let (last, plain_bytes) = self.last_list.clone();
        if let Some(dictionary) = &mut self.dictionary
            && labels.keys.get(list.clone()) == labels.keys.get(last)
            && dictionary.indices.repeat_last(list.len())
        {
            dictionary.plain_bytes += plain_bytes;
            return;
        }
        let before = self.plain_bytes();
        for index in list.clone() {
            self.push_label(labels, labels.key(index as u32), 1);
        }
        self.last_list = (list, self.plain_bytes().saturating_sub(before));
    }

    fn plain_bytes(&self) -> usize {
        self.dictionary
            .as_ref()
            .map_or(0, |dictionary| dictionary.plain_bytes)
    }

    fn push_new_label(&mut self, labels: &Labels<'_>, key: usize, count: usize) -> usize {
        let text = match labels.texts {
            texts if key < texts.len() => texts.value(key).as_bytes(),
            _ => b"",
        };
        let Some(dictionary) = &mut self.dictionary else {
            self.push(text, 0);
            return 1;
        };
        if let Some(bloom) = &mut self.bloom {
            bloom.insert(text);
        }
        let (index, is_new) = dictionary.index_of(text, 0);
        dictionary.push_run(index, count);
        if self.of_labels.len() < labels.texts.len() {
            self.of_labels.resize(labels.texts.len(), UNKNOWN);
        }
        if let Some(known) = self.of_labels.get_mut(key) {
            *known = index;
        }
        if is_new {
            self.try_dictionary();
        }
        count
    }

    /// The number of texts in the dictionary, if there is one.
    pub fn dictionary_values(&self) -> Option<usize> {
        self.dictionary.as_ref().map(Dictionary::len)
    }

    /// See [`super::values::Values::has_dictionary`].
    #[inline]
    pub fn has_dictionary(&self) -> bool {
        self.dictionary.is_some()
    }

    /// See [`super::values::Values::repeat`].
    pub fn repeat(&mut self, repeat: &Repeat, times: usize) {
        if let Some(dictionary) = &mut self.dictionary {
            dictionary.indices.push_list(&repeat.indices, times);
            dictionary.plain_bytes += repeat.plain_bytes * times;
            self.last_list = (0..0, 0);
        }
    }

    /// See [`super::values::Values::last`].
    pub fn last(&self, count: usize) -> Option<Repeat> {
        let dictionary = self.dictionary.as_ref()?;
        let indices = dictionary.indices.last(count)?;
        Some(Repeat {
            indices: indices.into(),
            plain_bytes: dictionary.plain_bytes_of(indices),
        })
    }

    /// Appends a text of `bytes`.
    #[inline]
    fn push_plain(&mut self, bytes: &[u8], span: Span<usize>) {
        let text = self.page.push_text(bytes, span);
        if let Some(bloom) = &mut self.bloom {
            bloom.insert(text);
        }
        if self.options.with_range {
            self.range.widen(text);
        }
    }

    /// Gives up the dictionary if most of its first page turns out to be new.
    fn try_dictionary(&mut self) {
        let on_trial = self.dictionary.as_ref().and_then(Dictionary::on_trial);
        if on_trial.is_some_and(Share::is_seen_to_be_new) {
            self.give_up_dictionary();
        }
    }

    /// Switches to plain encoding, including the open page's texts.
    #[cold]
    fn give_up_dictionary(&mut self) {
        if let Some(dictionary) = self.dictionary.take() {
            // The filter already contains them.
            let bloom = self.bloom.take();
            for (bytes, span) in dictionary.page() {
                self.push_plain(bytes, span);
            }
            self.bloom = bloom;
            self.spare = dictionary.into_parts().1;
        }
    }

    /// See [`super::values::Values::take_dictionary_memory`].
    pub fn take_dictionary_memory(&mut self) -> DictionaryMemory {
        let open = self.dictionary.as_mut().map(Dictionary::take_memory);
        open.unwrap_or_else(|| std::mem::take(&mut self.spare))
    }

    /// Approximate bytes of the open page.
    #[inline]
    pub fn page_bytes(&self) -> usize {
        let indices = self
            .dictionary
            .as_ref()
            .map_or(0, |dictionary| dictionary.indices.len());
        self.page.len() + 2 * indices
    }

    /// Bytes of the dictionary so far.
    pub fn dictionary_bytes(&self) -> usize {
        let open = self
            .dictionary
            .as_ref()
            .map_or(0, |dictionary| dictionary.bytes.len());
        open + self.closed.as_ref().map_or(0, |closed| closed.bytes.len())
    }

    /// Whether the open page must end to keep the dictionary small.
    #[inline]
    pub fn dictionary_is_full(&self) -> bool {
        let max = self.options.dictionary_bytes_max;
        self.dictionary
            .as_ref()
            .is_some_and(|dictionary| dictionary.bytes.len() >= max)
    }

    /// Ends the page; its bytes stay in the buffer.
    pub fn end_page(&mut self) -> PageValues {
        let full = self.dictionary_is_full();
        let on_trial = self.dictionary.as_ref().and_then(Dictionary::on_trial);
        if on_trial.is_some_and(Share::is_new) {
            self.give_up_dictionary();
        }
        let Some(dictionary) = &mut self.dictionary else {
            let range = self.range.take();
            return PageValues {
                encoding: Encoding::PLAIN,
                content: self.content,
                range: range.map(|(least, greatest)| Range::Text(least, greatest)),
            };
        };
        let range = if self.options.with_range {
            dictionary.range()
        } else {
            None
        };
        dictionary.end_page(self.page.values());
        if full && let Some(dictionary) = self.dictionary.take() {
            let (page, memory) = dictionary.into_parts();
            (self.closed, self.spare) = (Some(page), memory);
        }
        PageValues {
            encoding: Encoding::RLE_DICTIONARY,
            content: Content::Alike,
            range,
        }
    }

    /// The dictionary, if a page uses it, and the bloom filter, if there is one.
    pub fn finish(self) -> (Option<DictionaryPage>, Option<Sbbf>) {
        let open = self.dictionary.filter(Dictionary::is_used);
        (
            self.closed.or(open.map(|dictionary| dictionary.into_parts().0)),
            self.bloom.map(Bloom::finish),
        )
    }
}
