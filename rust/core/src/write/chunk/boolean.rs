//! Booleans: plain, one bit each.

use parquet::basic::Encoding;

use super::range::Range;
use super::values::PageValues;

/// Booleans of a chunk.
#[derive(Default)]
pub(super) struct Booleans {
    bytes: Vec<u8>,
    count: usize,
    trues: usize,
}

impl Booleans {
    /// Appends a value.
    #[inline]
    pub fn push(&mut self, value: bool) {
        let bit = self.count % 8;
        if bit == 0 {
            self.bytes.push(0);
        }
        if let Some(byte) = self.bytes.last_mut() {
            *byte |= u8::from(value) << bit;
        }
        self.count += 1;
        self.trues += usize::from(value);
    }

    /// Bytes of the open page.
    pub fn page_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Ends the page.
    pub fn take_page(&mut self) -> PageValues {
        let Self { bytes, count, trues } = std::mem::take(self);
        PageValues {
            bytes,
            encoding: Encoding::PLAIN,
            repeats: true,
            range: (count > 0).then_some(Range::Bool(trues == count, trues > 0)),
        }
    }
}
