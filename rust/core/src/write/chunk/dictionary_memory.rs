//! Memory of a chunk's dictionary, for reuse.

use hashbrown::HashTable;

use super::indices::Indices;

/// A larger table is released: few columns have one, and filling it takes longer than its allocation.
const KEPT_TABLE_VALUES_MAX: usize = 8192;

/// The table that finds values in a dictionary, and the indices of a page. Both grow by copying, so most of
/// their cost is that of a fresh start.
#[derive(Debug, Default)]
pub(super) struct DictionaryMemory {
    /// Zeros for small numbers, or nothing.
    pub small: Vec<u32>,
    /// Indices of values, by their hash.
    pub table: HashTable<u32>,
    /// The indices of a page.
    pub indices: Indices,
}

impl DictionaryMemory {
    /// Empties what a dictionary had, and keeps its memory unless that is large.
    pub fn of(mut table: HashTable<u32>, mut indices: Indices) -> Self {
        table.clear();
        if table.capacity() > KEPT_TABLE_VALUES_MAX {
            table = HashTable::new();
        }
        indices.clear();
        Self {
            small: Vec::new(),
            table,
            indices,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_values(count: u32) -> DictionaryMemory {
        let mut memory = DictionaryMemory::default();
        for value in 0..count {
            let hash = |value: &u32| u64::from(*value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            memory.table.insert_unique(hash(&value), value, hash);
            memory.indices.push(value);
        }
        DictionaryMemory::of(memory.table, memory.indices)
    }

    #[test]
    fn memory_is_kept_without_its_content_unless_it_is_large() {
        let memory = with_values(1000);
        assert!(memory.table.is_empty() && memory.indices.is_empty());
        assert!(memory.table.capacity() >= 1000);
        assert_eq!(with_values(10_000).table.capacity(), 0);
    }
}
