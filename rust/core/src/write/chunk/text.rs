//! Text: a dictionary where it repeats, else plain.

use std::hash::BuildHasher;

use arrow_array::Array;
use hashbrown::{DefaultHashBuilder, HashTable};
use parquet::basic::Encoding;
use parquet::bloom_filter::Sbbf;

use super::distinct::Distinct;
use super::hybrid;
use super::leaf::Repeat;
use super::pages::DictionaryPage;
use super::range::Range;
use super::values::{PageValues, TRIAL_VALUES};
use super::view::Labels;

/// Places in a list that are told apart; what comes after shares the last.
const PLACES: usize = 32;
/// Of fewer values, a dictionary is not worth its page.
const COUNTED_VALUES_MIN: usize = 64;
/// No index of a dictionary.
const UNKNOWN: u32 = u32::MAX;

/// How the texts of a chunk are encoded.
#[derive(Debug, Clone, Copy)]
pub(super) struct TextOptions {
    /// Whether a dictionary is tried. If not, it is only used for texts that were counted and repeat.
    pub with_dictionary: bool,
    /// A dictionary takes no more values from this size on.
    pub dictionary_bytes_max: usize,
    /// Whether readers prune by the least and the greatest value.
    pub with_range: bool,
}

/// A bloom filter that is being filled.
pub(super) struct Bloom {
    /// The filter, large enough for all values that may come.
    pub filter: Sbbf,
    /// The share of false positives that it may have.
    pub false_positives: f64,
}

/// Texts of a chunk.
pub(super) struct Texts {
    options: TextOptions,
    /// While there is one; later pages are plain.
    dictionary: Option<Dictionary>,
    /// Whether a tenth of the texts, or more, are others' like.
    repeats: bool,
    /// The dictionary that earlier pages use.
    closed: Option<DictionaryPage>,
    /// The open page, plain.
    plain: Vec<u8>,
    /// The open page's least and greatest value, when it is plain.
    range: Option<(Vec<u8>, Vec<u8>)>,
    bloom: Option<Bloom>,
    /// The dictionary's index of each key of a label column, as far as it is known.
    of_labels: Vec<u32>,
}

/// Texts that were met, and the open page as indices into them.
#[derive(Default)]
struct Dictionary {
    /// Each text after its length, as its page will be.
    bytes: Vec<u8>,
    /// Where each text is.
    spans: Vec<(u32, u32)>,
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// The index met last at each place of a list.
    last: [u32; PLACES],
    indices: Vec<u32>,
    /// Bytes of the open page, were it plain.
    plain_bytes: usize,
    /// Whether a page that is done uses it.
    used: bool,
    /// Whether it is kept however the values come: they were counted before.
    proven: bool,
}

impl Texts {
    /// Nothing yet.
    pub fn new(options: TextOptions, bloom: Option<Bloom>) -> Self {
        Self {
            options,
            dictionary: options.with_dictionary.then(Dictionary::default),
            repeats: false,
            closed: None,
            plain: Vec::new(),
            range: None,
            bloom,
            of_labels: Vec::new(),
        }
    }

    /// Looks at the values that will come, in whatever order: where they repeat, a dictionary is used though none was to be
    /// tried. Ids do when a trace's spans or a span's log records are together, and after sorting their like are too far
    /// apart for a dictionary to show its worth at the start, or for a codec to find them.
    pub fn look_ahead(&mut self, coming: impl FnOnce() -> Distinct) {
        if self.options.with_dictionary {
            return;
        }
        let coming = coming();
        self.repeats = coming.texts * 10 < coming.values * 9;
        let mean = coming.bytes / coming.values.max(1);
        let fits = coming.texts * (4 + mean) < self.options.dictionary_bytes_max;
        if coming.values >= COUNTED_VALUES_MIN && coming.is_smaller_as_dictionary() && fits {
            self.dictionary = Some(Dictionary {
                proven: true,
                ..Dictionary::default()
            });
        }
    }

    /// Appends a text; see [`super::values::Values::push`].
    #[inline]
    pub fn push(&mut self, text: &[u8], place: usize) {
        if let Some(bloom) = &mut self.bloom {
            bloom.filter.insert(text);
        }
        match &mut self.dictionary {
            Some(dictionary) => {
                if dictionary.push(text, place.min(PLACES - 1)) {
                    self.try_dictionary();
                }
            }
            None => self.push_plain(text),
        }
    }

    /// Appends the text of a key. The keys of a chunk are all of one dictionary.
    #[inline]
    pub fn push_label(&mut self, labels: &Labels<'_>, index: usize) {
        let key = labels
            .keys
            .get(index)
            .map_or(0, |key| key.unsigned_abs() as usize);
        let known = self.of_labels.get(key).copied().unwrap_or(UNKNOWN);
        match &mut self.dictionary {
            Some(dictionary) if known != UNKNOWN => dictionary.push_index(known),
            _ if key < labels.texts.len() => self.push_new_label(labels, key),
            _ => self.push(b"", 0),
        }
    }

    fn push_new_label(&mut self, labels: &Labels<'_>, key: usize) {
        self.push(labels.texts.value(key).as_bytes(), 0);
        if let Some(dictionary) = &self.dictionary {
            if self.of_labels.len() < labels.texts.len() {
                self.of_labels.resize(labels.texts.len(), UNKNOWN);
            }
            if let (Some(known), Some(index)) = (self.of_labels.get_mut(key), dictionary.indices.last()) {
                *known = *index;
            }
        }
    }

    /// See [`super::values::Values::repeat`].
    #[inline]
    pub fn repeat(&mut self, repeat: &Repeat) -> bool {
        let Some(dictionary) = &mut self.dictionary else {
            return false;
        };
        dictionary.indices.extend_from_slice(&repeat.indices);
        dictionary.plain_bytes += repeat.plain_bytes;
        true
    }

    /// See [`super::values::Values::last`].
    pub fn last(&self, count: usize) -> Option<Repeat> {
        let dictionary = self.dictionary.as_ref()?;
        let start = dictionary.indices.len().checked_sub(count)?;
        let indices = dictionary.indices.get(start..)?;
        Some(Repeat {
            indices: indices.into(),
            plain_bytes: indices
                .iter()
                .map(|index| 4 + dictionary.text(*index).len())
                .sum(),
        })
    }

    #[inline]
    fn push_plain(&mut self, text: &[u8]) {
        write_plain(text, &mut self.plain);
        if self.options.with_range {
            match &mut self.range {
                Some((least, greatest)) => {
                    if text < least.as_slice() {
                        text.clone_into(least);
                    } else if text > greatest.as_slice() {
                        text.clone_into(greatest);
                    }
                }
                None => self.range = Some((text.to_vec(), text.to_vec())),
            }
        }
    }

    /// Gives the dictionary up when most of its page is new text, which shows before a page is done.
    #[cold]
    fn try_dictionary(&mut self) {
        let gives_up = |dictionary: &Dictionary| {
            !dictionary.used
                && !dictionary.proven
                && dictionary.indices.len() >= TRIAL_VALUES
                && dictionary.bytes.len() * 2 > dictionary.plain_bytes
        };
        if self.dictionary.as_ref().is_some_and(gives_up)
            && let Some(dictionary) = self.dictionary.take()
        {
            for index in &dictionary.indices {
                self.push_plain(dictionary.text(*index));
            }
        }
    }

    /// Bytes of the open page, about.
    #[inline]
    pub fn page_bytes(&self) -> usize {
        let indices = self
            .dictionary
            .as_ref()
            .map_or(0, |dictionary| dictionary.indices.len());
        self.plain.len() + 2 * indices
    }

    /// Bytes of the dictionary so far.
    pub fn dictionary_bytes(&self) -> usize {
        let open = self
            .dictionary
            .as_ref()
            .map_or(0, |dictionary| dictionary.bytes.len());
        open + self.closed.as_ref().map_or(0, |closed| closed.bytes.len())
    }

    /// Whether the open page must end so that the dictionary stays small.
    #[inline]
    pub fn dictionary_is_full(&self) -> bool {
        let max = self.options.dictionary_bytes_max;
        self.dictionary
            .as_ref()
            .is_some_and(|dictionary| dictionary.bytes.len() >= max)
    }

    /// Ends the page.
    pub fn take_page(&mut self) -> PageValues {
        let full = self.dictionary_is_full();
        let Some(dictionary) = &mut self.dictionary else {
            let range = self.range.take();
            return PageValues {
                bytes: std::mem::take(&mut self.plain),
                encoding: Encoding::PLAIN,
                repeats: self.repeats,
                range: range.map(|(least, greatest)| Range::Text(least, greatest)),
            };
        };
        let range = if self.options.with_range {
            dictionary.range()
        } else {
            None
        };
        let bytes = hybrid::index_page(&dictionary.indices, dictionary.spans.len());
        dictionary.indices.clear();
        dictionary.plain_bytes = 0;
        dictionary.used = true;
        if full {
            self.closed = self.dictionary.take().map(Dictionary::into_page);
        }
        PageValues {
            bytes,
            encoding: Encoding::RLE_DICTIONARY,
            repeats: true,
            range,
        }
    }

    /// The dictionary, if a page uses it, and the bloom filter, folded to what its values need.
    pub fn finish(self) -> (Option<DictionaryPage>, Option<Sbbf>) {
        let open = self.dictionary.filter(|dictionary| dictionary.used);
        let bloom = self.bloom.map(|mut bloom| {
            bloom.filter.fold_to_target_fpp(bloom.false_positives);
            bloom.filter
        });
        (self.closed.or(open.map(Dictionary::into_page)), bloom)
    }
}

impl Dictionary {
    /// Appends a text to the page; says whether the dictionary grew so much that it must prove itself.
    #[inline]
    fn push(&mut self, text: &[u8], place: usize) -> bool {
        let guess = self.last.get(place).copied().unwrap_or_default();
        if !self.spans.is_empty() && self.text(guess) == text {
            self.push_index(guess);
            return false;
        }
        let before = self.spans.len();
        let index = self.find_or_add(text);
        if let Some(last) = self.last.get_mut(place) {
            *last = index;
        }
        self.push_index(index);
        self.spans.len() > before && self.indices.len() >= TRIAL_VALUES
    }

    #[inline]
    fn push_index(&mut self, index: u32) {
        self.indices.push(index);
        let (_, len) = self.spans.get(index as usize).copied().unwrap_or_default();
        self.plain_bytes += 4 + len as usize;
    }

    #[inline]
    fn text(&self, index: u32) -> &[u8] {
        text_at(&self.bytes, &self.spans, index)
    }

    fn find_or_add(&mut self, text: &[u8]) -> u32 {
        let Self {
            bytes,
            spans,
            table,
            hasher,
            ..
        } = self;
        let hash = hasher.hash_one(text);
        if let Some(&index) = table.find(hash, |&index| text_at(bytes, spans, index) == text) {
            return index;
        }
        // A page ends when these bytes are many, and no text passes what an Arrow array holds.
        let index = spans.len() as u32;
        write_plain(text, bytes);
        spans.push(((bytes.len() - text.len()) as u32, text.len() as u32));
        table.insert_unique(hash, index, |&index| {
            hasher.hash_one(text_at(bytes, spans, index))
        });
        index
    }

    /// The least and the greatest text of the open page. Each is compared once, however often it comes.
    fn range(&self) -> Option<Range> {
        let mut used = vec![false; self.spans.len()];
        for index in &self.indices {
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

    fn into_page(self) -> DictionaryPage {
        DictionaryPage {
            bytes: self.bytes,
            values: self.spans.len(),
        }
    }
}

#[inline]
fn text_at<'a>(bytes: &'a [u8], spans: &[(u32, u32)], index: u32) -> &'a [u8] {
    let (start, len) = spans.get(index as usize).copied().unwrap_or_default();
    let start = start as usize;
    bytes.get(start..start + len as usize).unwrap_or_default()
}

/// Encodings.md, "Plain": the length in 4 bytes, then the bytes.
#[inline]
fn write_plain(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text);
}
