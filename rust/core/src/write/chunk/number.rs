//! Encodes integers, times and doubles: with a dictionary where values repeat, else plain.

use std::hash::Hash;
use std::ops::Range as Span;

use parquet::basic::Encoding;
use parquet::bloom_filter::Sbbf;

use super::bloom::Bloom;
use super::buffer::PageBuffer;
use super::dictionary_memory::DictionaryMemory;
use super::lists::{Lists, until_full};
use super::number_dictionary::{Dictionary, SMALL_NUMBERS};
use super::pages::DictionaryPage;
use super::range::Range;
use super::search::Content;
use super::values::{PageValues, Share};
use super::view::{Numbers as Column, split_run};

/// A number in its Parquet representation.
pub(super) trait Number: Copy + Default {
    /// The content type of plain values, for compression.
    const CONTENT: Content;
    /// The bits by which numbers are compared; NaNs too.
    type Bits: Copy + Eq + Hash;
    /// The number's bits.
    fn bits(self) -> Self::Bits;
    /// Whether it is NaN.
    fn is_nan(self) -> bool;
    /// Its place in a table of small numbers, if it is one: counts mostly are.
    fn small(self) -> Option<usize>;
    /// Appends the plain encoding.
    fn write(self, out: &mut Vec<u8>);
    /// Writes the plain encoding into a slice of exactly its size.
    fn put(self, out: &mut [u8]);
    /// Extends a range by this number; `None` is the empty range.
    fn widen(self, range: &mut Option<(Self, Self)>);
    /// The range for readers.
    fn range(range: (Self, Self)) -> Range;
    /// Adds a plain value to a filter, with all values that readers treat as equal.
    #[inline]
    fn insert(plain: &[u8], bloom: &mut Bloom) {
        bloom.insert(plain);
    }
}

macro_rules! integer {
    ($integer:ty, $range:path) => {
        impl Number for $integer {
            const CONTENT: Content = Content::Alike;
            type Bits = Self;

            #[inline]
            fn bits(self) -> Self {
                self
            }

            #[inline]
            fn is_nan(self) -> bool {
                false
            }

            #[inline]
            fn small(self) -> Option<usize> {
                usize::try_from(self)
                    .ok()
                    .filter(|place| *place < SMALL_NUMBERS)
            }

            #[inline]
            fn write(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            #[inline]
            fn put(self, out: &mut [u8]) {
                if let Some(out) = out.first_chunk_mut() {
                    *out = self.to_le_bytes();
                }
            }

            #[inline]
            fn widen(self, range: &mut Option<(Self, Self)>) {
                match range {
                    Some((least, greatest)) => {
                        *least = self.min(*least);
                        *greatest = self.max(*greatest);
                    }
                    None => *range = Some((self, self)),
                }
            }

            fn range((least, greatest): (Self, Self)) -> Range {
                $range(least, greatest)
            }
        }
    };
}

integer!(i32, Range::Int);
integer!(i64, Range::Long);

impl Number for f64 {
    const CONTENT: Content = Content::Doubles;
    type Bits = u64;

    #[inline]
    fn bits(self) -> u64 {
        self.to_bits()
    }

    #[inline]
    fn is_nan(self) -> bool {
        self.is_nan()
    }

    #[inline]
    fn small(self) -> Option<usize> {
        None
    }

    #[inline]
    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }

    #[inline]
    fn put(self, out: &mut [u8]) {
        if let Some(out) = out.first_chunk_mut() {
            *out = self.to_le_bytes();
        }
    }

    #[inline]
    fn widen(self, range: &mut Option<(Self, Self)>) {
        if self.is_nan() {
            return;
        }
        match range {
            Some((least, greatest)) => {
                if self.total_cmp(least).is_lt() {
                    *least = self;
                }
                if self.total_cmp(greatest).is_gt() {
                    *greatest = self;
                }
            }
            None => *range = Some((self, self)),
        }
    }

    fn range((least, greatest): (Self, Self)) -> Range {
        Range::Double(least, greatest)
    }

    /// The two zeros are equal, and so are all NaNs.
    fn insert(plain: &[u8], bloom: &mut Bloom) {
        bloom.insert(plain);
        let value = plain.try_into().map_or(1.0, f64::from_le_bytes);
        if value == 0.0 {
            bloom.insert(&(-value).to_le_bytes());
        } else if value.is_nan() {
            bloom.insert(&f64::NAN.to_le_bytes());
        }
    }
}

/// How the numbers of a chunk are encoded.
#[derive(Debug, Clone, Copy)]
pub(super) struct NumberOptions {
    /// Whether a dictionary is tried; not for values that are known not to repeat.
    pub with_dictionary: bool,
    /// From this size on, a dictionary takes no more values.
    pub dictionary_bytes_max: usize,
    /// Whether readers prune by the minimum and the maximum.
    pub with_range: bool,
}

/// Numbers of a chunk.
pub(super) struct Numbers<T: Number> {
    options: NumberOptions,
    /// `None` once it was given up; later pages are plain.
    dictionary: Option<Dictionary<T>>,
    /// Memory of no dictionary at present.
    spare: DictionaryMemory,
    /// The dictionary that earlier pages use.
    closed: Option<Vec<T>>,
    /// The open page: plain values; empty until it ends if there is a dictionary.
    pub page: PageBuffer,
    range: Option<(T, T)>,
    /// NaNs among the chunk's values.
    nans: u64,
    /// The position of the list that was appended last.
    last_list: Span<usize>,
    /// Filled from each plain page as it ends, and from the dictionary.
    bloom: Option<Bloom>,
}

impl<T: Number> Numbers<T> {
    /// No numbers yet; a dictionary gets the memory of an earlier one.
    pub fn new(options: NumberOptions, bloom: Option<Bloom>, mut memory: DictionaryMemory) -> Self {
        let of_memory = || Dictionary::new(std::mem::take(&mut memory));
        Self {
            options,
            dictionary: options.with_dictionary.then(of_memory),
            spare: memory,
            closed: None,
            page: PageBuffer::default(),
            range: None,
            nans: 0,
            last_list: 0..0,
            bloom,
        }
    }

    /// NaNs among the chunk's values.
    pub fn nans(&self) -> u64 {
        self.nans
    }

    /// Appends consecutive values, which often equal the previous ones: a histogram's bounds.
    #[inline]
    pub fn push_list(&mut self, values: &Column<'_, T>, list: Span<usize>) {
        let these = values.span(list.clone());
        if these.len() > 1
            && let Some(dictionary) = &mut self.dictionary
            && are_same(these, values.span(self.last_list.clone()))
            && dictionary.indices.repeat_last(these.len())
        {
            self.nans += nans(these);
            return;
        }
        let mut rest = these;
        loop {
            if let Some(dictionary) = &mut self.dictionary
                && !self.options.with_range
            {
                let known = dictionary.push_known(rest);
                rest = rest.get(known..).unwrap_or_default();
            }
            let Some((value, later)) = rest.split_first() else {
                break;
            };
            self.push_run(*value, 1);
            rest = later;
        }
        self.last_list = list;
    }

    /// Appends the lists of rows until the open page is full; returns how many rows were taken.
    pub fn extend_lists(
        &mut self,
        values: &Column<'_, T>,
        lists: Lists<'_>,
        rows: &[u32],
        page_bytes_max: usize,
    ) -> usize {
        until_full(rows, |row| {
            self.push_list(values, lists.span(row));
            self.page_bytes() >= page_bytes_max
        })
    }

    /// Appends a value `count` times.
    #[inline]
    fn push_run(&mut self, value: T, count: usize) {
        self.nans += if value.is_nan() { count as u64 } else { 0 };
        let Some(dictionary) = &mut self.dictionary else {
            if self.options.with_range {
                value.widen(&mut self.range);
            }
            (0..count).for_each(|_| value.write(self.page.values()));
            return;
        };
        // The range already includes a repeated value.
        if !dictionary.push_run(value, count) {
            if self.options.with_range {
                value.widen(&mut self.range);
            }
            if dictionary.on_trial().is_some_and(Share::is_seen_to_be_new) {
                self.give_up_dictionary();
            }
        }
    }

    /// Appends the values of rows until the open page is full; returns how many were taken.
    pub fn extend(&mut self, rows: &[u32], values: &Column<'_, T>, page_bytes_max: usize) -> usize {
        if self.dictionary.is_some() {
            let mut rest = rows;
            while let Some(first) = rest.first() {
                let value = values.get(*first as usize);
                let is_same = |row: u32| values.get(row as usize).bits() == value.bits();
                let (same, later) = split_run(rest, is_same);
                self.push_run(value, same.len());
                rest = later;
            }
            return rows.len();
        }
        let room = page_bytes_max.saturating_sub(self.page.len()) / size_of::<T>() + 1;
        let rows = rows.get(..room).unwrap_or(rows);
        let mut range = self.range.take();
        let plain = self.page.values();
        let start = plain.len();
        plain.resize(start + rows.len() * size_of::<T>(), 0);
        let places = plain.get_mut(start..).unwrap_or_default();
        for (place, row) in places.chunks_exact_mut(size_of::<T>()).zip(rows) {
            let value = values.get(*row as usize);
            value.widen(&mut range);
            value.put(place);
            self.nans += u64::from(value.is_nan());
        }
        self.range = range;
        rows.len()
    }

    /// Switches to plain encoding, including the open page's values.
    #[cold]
    fn give_up_dictionary(&mut self) {
        if let Some(dictionary) = self.dictionary.take() {
            for value in dictionary.page() {
                value.write(self.page.values());
            }
            self.spare = dictionary.into_parts().1;
        }
    }

    /// See [`super::values::Values::take_dictionary_memory`].
    pub fn take_dictionary_memory(&mut self) -> DictionaryMemory {
        let open = self.dictionary.as_mut().map(Dictionary::take_memory);
        open.unwrap_or_else(|| std::mem::take(&mut self.spare))
    }

    /// The number of the dictionary's values, if there is one.
    pub fn dictionary_values(&self) -> Option<usize> {
        self.dictionary.as_ref().map(|dictionary| dictionary.values.len())
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
            .map_or(0, |dictionary| dictionary.values.len());
        (open + self.closed.as_ref().map_or(0, Vec::len)) * size_of::<T>()
    }

    /// Ends the page; its bytes stay in the buffer.
    pub fn end_page(&mut self) -> PageValues {
        let range = self.range.take().map(T::range);
        let on_trial = self.dictionary.as_ref().and_then(Dictionary::on_trial);
        if on_trial.is_some_and(Share::is_new) {
            self.give_up_dictionary();
        }
        let Some(dictionary) = &mut self.dictionary else {
            if let Some(bloom) = &mut self.bloom {
                let values = self.page.written().chunks_exact(size_of::<T>());
                values.for_each(|value| T::insert(value, bloom));
            }
            return PageValues {
                encoding: Encoding::PLAIN,
                content: T::CONTENT,
                range,
            };
        };
        let values = dictionary.values.len();
        dictionary.indices.take_encoded(values, self.page.values());
        dictionary.used = true;
        if dictionary.values.len() * size_of::<T>() >= self.options.dictionary_bytes_max
            && let Some(dictionary) = self.dictionary.take()
        {
            let (values, memory) = dictionary.into_parts();
            (self.closed, self.spare) = (Some(values), memory);
        }
        PageValues {
            encoding: Encoding::RLE_DICTIONARY,
            content: Content::Alike,
            range,
        }
    }

    /// The dictionary, if a page uses it, and the bloom filter, if there is one.
    pub fn finish(self) -> (Option<DictionaryPage>, Option<Sbbf>) {
        let open = self.dictionary.filter(|dictionary| dictionary.used);
        let values = self.closed.or(open.map(|dictionary| dictionary.values));
        let dictionary = values.map(|values| {
            let mut bytes = Vec::with_capacity(values.len() * size_of::<T>());
            for value in &values {
                value.write(&mut bytes);
            }
            DictionaryPage {
                bytes,
                values: values.len(),
                content: T::CONTENT,
            }
        });
        let bloom = self.bloom.map(|mut bloom| {
            let values = dictionary
                .iter()
                .flat_map(|page| page.bytes.chunks_exact(size_of::<T>()));
            values.for_each(|value| T::insert(value, &mut bloom));
            bloom.finish()
        });
        (dictionary, bloom)
    }
}

fn nans<T: Number>(values: &[T]) -> u64 {
    values.iter().filter(|value| value.is_nan()).count() as u64
}

/// Whether two values are equal bit by bit.
#[inline]
fn are_same<T: Number>(these: &[T], last: &[T]) -> bool {
    these.len() == last.len() && these.iter().zip(last).all(|(a, b)| a.bits() == b.bits())
}
