//! Encodes booleans: plain, one bit each.

use parquet::basic::Encoding;

use super::buffer::PageBuffer;
use super::range::Range;
use super::search::Content;
use super::values::PageValues;

/// The booleans of a chunk.
#[derive(Default)]
pub(super) struct Booleans {
    /// The open page.
    pub page: PageBuffer,
    count: usize,
    trues: usize,
}

impl Booleans {
    /// Appends a value.
    #[inline]
    pub fn push(&mut self, value: bool) {
        let bit = self.count % 8;
        if bit == 0 {
            self.page.values().push(0);
        }
        if let Some(byte) = self.page.values().last_mut() {
            *byte |= u8::from(value) << bit;
        }
        self.count += 1;
        self.trues += usize::from(value);
    }

    /// Bytes of the open page.
    pub fn page_bytes(&self) -> usize {
        self.page.len()
    }

    /// Ends the page; its bytes stay in the buffer.
    pub fn end_page(&mut self) -> PageValues {
        let (count, trues) = (std::mem::take(&mut self.count), std::mem::take(&mut self.trues));
        PageValues {
            encoding: Encoding::PLAIN,
            content: Content::Alike,
            range: (count > 0).then_some(Range::Bool(trues == count, trues > 0)),
        }
    }
}
