//! zstd, with its match search set by the content of a page.
//!
//! zstd's level 1 searches for matches of 7 bytes in pages of more than 256 KiB, and of 6 bytes in pages of
//! more than 16 KiB. That suits text. Doubles often share only their upper bytes, often 5. With matches of 5
//! bytes, doubles that were decimal numbers become up to a fifth smaller; other doubles stay the same size;
//! the time does not change. Integers and times do not become smaller. Other levels search thoroughly enough
//! by default.

use std::io;

use zstd::bulk;
use zstd::zstd_safe::CParameter;

/// The level for which the search is set by content.
const FASTEST_LEVEL: i32 = 1;
/// Match length for doubles, bytes.
const DOUBLES_MATCH: u32 = 5;
/// zstd's own choice, by level and page size.
const OWN_MATCH: u32 = 0;

/// The content of a page, as far as it matters for compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Text, integers, indices, bits: repeated sequences are a few or many bytes long.
    Alike,
    /// Texts with few similar ones: ids.
    Unlike,
    /// Doubles.
    Doubles,
}

/// A zstd context, configured for the content that it compressed last.
pub(super) struct Zstd {
    context: bulk::Compressor<'static>,
    level: i32,
    /// The match length that was set last, bytes.
    bytes_min: u32,
}

impl Zstd {
    /// A context for this level.
    ///
    /// # Errors
    /// When it cannot allocate memory.
    pub fn new(level: i32) -> io::Result<Self> {
        Ok(Self {
            context: bulk::Compressor::new(level)?,
            level,
            bytes_min: OWN_MATCH,
        })
    }

    /// Compresses into the spare capacity of `out`.
    ///
    /// # Errors
    /// When zstd fails.
    pub fn compress(&mut self, bytes: &[u8], content: Content, out: &mut Vec<u8>) -> io::Result<()> {
        let bytes_min = match content {
            Content::Doubles if self.level == FASTEST_LEVEL => DOUBLES_MATCH,
            _ => OWN_MATCH,
        };
        if self.bytes_min != bytes_min {
            self.context.set_parameter(CParameter::MinMatch(bytes_min))?;
            self.bytes_min = bytes_min;
        }
        self.context.compress_to_buffer(bytes, out)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compressed(zstd: &mut Zstd, bytes: &[u8], content: Content) -> Vec<u8> {
        let mut out = Vec::with_capacity(zstd::zstd_safe::compress_bound(bytes.len()));
        zstd.compress(bytes, content, &mut out).unwrap();
        assert_eq!(zstd::bulk::decompress(&out, bytes.len()).unwrap(), bytes);
        out
    }

    /// Sums of milliseconds with three decimals, of 40 series side by side, in a large page.
    fn sums() -> Vec<u8> {
        let mut sums = [0_u64; 40];
        let mut random = 7_u64;
        let each = (0..60_000).flat_map(|row| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            sums[row % 40] += random >> 48;
            (sums[row % 40] as f64 / 1000.0).to_le_bytes()
        });
        each.collect()
    }

    #[test]
    fn doubles_take_less_and_what_comes_after_them_is_as_before() {
        let bytes = sums();
        let mut zstd = Zstd::new(1).unwrap();
        let alike = compressed(&mut zstd, &bytes, Content::Alike);
        let doubles = compressed(&mut zstd, &bytes, Content::Doubles);
        let sizes = [alike.len(), doubles.len()];
        assert!(sizes[1] * 5 < sizes[0] * 4, "{sizes:?}");
        for content in [Content::Alike, Content::Unlike] {
            assert_eq!(compressed(&mut zstd, &bytes, content), alike);
        }
    }

    #[test]
    fn other_levels_search_in_their_own_way() {
        let bytes = sums();
        let mut zstd = Zstd::new(3).unwrap();
        let alike = compressed(&mut zstd, &bytes, Content::Alike);
        assert_eq!(compressed(&mut zstd, &bytes, Content::Doubles), alike);
    }
}
