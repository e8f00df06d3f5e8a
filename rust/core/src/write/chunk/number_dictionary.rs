//! The dictionary of a chunk of numbers.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::dictionary_memory::DictionaryMemory;
use super::indices::Indices;
use super::number::Number;
use super::values::Share;

/// Numbers below this are found without a hash.
pub(super) const SMALL_NUMBERS: usize = 1024;

/// The distinct values so far, and the open page as indices into them.
pub(super) struct Dictionary<T: Number> {
    /// The values, by index.
    pub values: Vec<T>,
    /// For each small number, one more than its index, or 0 if it is not in the dictionary. Empty, or complete.
    small: Vec<u32>,
    /// The indices of all other numbers, by hash.
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// The index that was appended last.
    last: u32,
    /// The open page.
    pub indices: Indices,
    /// Whether a finished page uses it.
    pub used: bool,
}

impl<T: Number> Dictionary<T> {
    /// A dictionary in the memory of an earlier one.
    pub fn new(memory: DictionaryMemory) -> Self {
        Self {
            values: Vec::new(),
            small: memory.small,
            table: memory.table,
            hasher: DefaultHashBuilder::default(),
            last: 0,
            indices: memory.indices,
            used: false,
        }
    }

    /// See [`super::values::Values::take_dictionary_memory`].
    pub fn take_memory(&mut self) -> DictionaryMemory {
        let mut small = std::mem::take(&mut self.small);
        for place in self.values.iter().filter_map(|value| value.small()) {
            if let Some(index) = small.get_mut(place) {
                *index = 0;
            }
        }
        let (table, indices) = (std::mem::take(&mut self.table), std::mem::take(&mut self.indices));
        DictionaryMemory {
            small,
            ..DictionaryMemory::of(table, indices)
        }
    }

    /// The values, and memory for another dictionary.
    pub fn into_parts(mut self) -> (Vec<T>, DictionaryMemory) {
        let memory = self.take_memory();
        (self.values, memory)
    }

    /// Appends a value to the page `count` times. Returns whether the page's range certainly includes it,
    /// because it equals its neighbour.
    #[inline]
    pub fn push_run(&mut self, value: T, count: usize) -> bool {
        let at_last = self.values.get(self.last as usize);
        let is_known = at_last.is_some_and(|last| last.bits() == value.bits()) && !self.indices.is_empty();
        if !is_known {
            self.last = self.find_or_add(value);
        }
        self.indices.push_run(self.last, count);
        is_known
    }

    /// Appends the first of these values, as far as they are small numbers that the dictionary has; returns how
    /// many. The counts of a histogram mostly are.
    #[inline]
    pub fn push_known(&mut self, values: &[T]) -> usize {
        let small = self.small.as_slice();
        let known = values
            .iter()
            .map_while(|value| small.get(value.small()?)?.checked_sub(1));
        self.indices.extend(known)
    }

    #[inline]
    fn find_or_add(&mut self, value: T) -> u32 {
        let Some(place) = value.small() else {
            return self.find_or_add_large(value);
        };
        match self.small.get(place) {
            Some(known) if *known > 0 => known - 1,
            _ => self.add_small(place, value),
        }
    }

    fn add_small(&mut self, place: usize, value: T) -> u32 {
        if self.small.is_empty() {
            self.small.resize(SMALL_NUMBERS, 0);
        }
        self.values.push(value);
        // The dictionary's bytes are bounded, so it has far fewer than 2^32 values.
        let count = self.values.len() as u32;
        if let Some(index) = self.small.get_mut(place) {
            *index = count;
        }
        count - 1
    }

    fn find_or_add_large(&mut self, value: T) -> u32 {
        let Self {
            values,
            table,
            hasher,
            ..
        } = self;
        let bits = value.bits();
        let hash = hasher.hash_one(bits);
        let is_same = |&index: &u32| {
            values
                .get(index as usize)
                .is_some_and(|known| known.bits() == bits)
        };
        if let Some(&index) = table.find(hash, is_same) {
            return index;
        }
        // The dictionary's bytes are bounded, so it has far fewer than 2^32 values.
        let index = values.len() as u32;
        values.push(value);
        table.insert_unique(hash, index, |&index| {
            hasher.hash_one(values.get(index as usize).copied().unwrap_or_default().bits())
        });
        index
    }

    /// The share of its first page that is new; `None` once a page uses it.
    #[inline]
    pub fn on_trial(&self) -> Option<Share> {
        let (new, all) = (self.values.len(), self.indices.len());
        (!self.used).then_some(Share {
            values: all,
            new,
            all,
        })
    }

    /// The open page's values.
    pub fn page(&self) -> impl Iterator<Item = T> {
        let value = |index| self.values.get(index as usize).copied().unwrap_or_default();
        self.indices.iter().map(value)
    }
}
