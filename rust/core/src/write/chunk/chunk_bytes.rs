//! A chunk's bytes in two parts, so that the dictionary goes first without moving the pages.

use std::io::{Chain, Read};

use bytes::Bytes;
use parquet::errors::Result;
use parquet::file::reader::{ChunkReader, Length};

use super::reused::Reused;

/// The pages of a chunk, each after its header.
#[derive(Debug, Default)]
pub(super) struct ChunkBytes {
    /// The dictionary page. It comes first in the file but is finished last; may be empty.
    pub dictionary: Reused,
    /// The data pages.
    pub pages: Reused,
}

impl Length for &ChunkBytes {
    fn len(&self) -> u64 {
        (self.dictionary.bytes.len() + self.pages.bytes.len()) as u64
    }
}

impl<'a> ChunkReader for &'a ChunkBytes {
    type T = Chain<&'a [u8], &'a [u8]>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        let in_pages = start.saturating_sub(self.dictionary.bytes.len());
        let dictionary = self.dictionary.bytes.get(start..).unwrap_or_default();
        Ok(dictionary.chain(self.pages.bytes.get(in_pages..).unwrap_or_default()))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let mut bytes = Vec::new();
        self.get_read(start)?
            .take(length as u64)
            .read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_the_dictionary() {
        let chunk = |dictionary: &[u8], pages: &[u8]| {
            let mut chunk = ChunkBytes::default();
            chunk.dictionary.bytes.extend(dictionary);
            chunk.pages.bytes.extend(pages);
            chunk
        };
        let bytes = &chunk(b"abc", b"defg");
        assert_eq!(bytes.len(), 7);
        for start in 0..9 {
            let mut read = String::new();
            bytes.get_read(start).unwrap().read_to_string(&mut read).unwrap();
            assert_eq!(read, "abcdefg"[(start as usize).min(7)..]);
        }
        assert_eq!(bytes.get_bytes(1, 4).unwrap(), "bcde");
        let without = &chunk(b"", b"defg");
        assert_eq!(without.get_bytes(0, 4).unwrap(), "defg");
    }
}
