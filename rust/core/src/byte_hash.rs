//! Hashes of bytes, for hash tables whose texts are stored elsewhere.

use std::hash::{BuildHasher, Hasher};

use hashbrown::DefaultHashBuilder;

/// Hashes bytes; each process, and each hasher, in another way.
#[derive(Debug, Default)]
pub(crate) struct ByteHasher(DefaultHashBuilder);

impl ByteHasher {
    /// The hash of all bytes. [`std::hash::Hash`] hashes the length of a slice in a step of its own, which
    /// doubles the work for a short text; the hasher considers the length of what is written anyway.
    #[inline]
    pub(crate) fn hash(&self, bytes: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(bytes);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn texts_have_different_hashes_even_if_they_differ_in_length_only() {
        let hasher = ByteHasher::default();
        let texts = (0..200).flat_map(|len| [vec![0; len], vec![b'a'; len + 1]]);
        let hashes: HashSet<u64> = texts.map(|text| hasher.hash(&text)).collect();
        assert_eq!(hashes.len(), 400);
        assert_eq!(hasher.hash(b"text"), hasher.hash(b"text"));
    }
}
