//! Tracks which values of a column are null.

use arrow_buffer::{BooleanBufferBuilder, NullBuffer};

/// Which values are not null. The bitmap is created with the first null.
#[derive(Default)]
pub(super) struct Validity {
    /// The number of values, as long as all are valid.
    valid: usize,
    bits: Option<BooleanBufferBuilder>,
}

impl Validity {
    #[inline]
    pub(super) fn append(&mut self, valid: bool) {
        if valid && self.bits.is_none() {
            self.valid += 1;
        } else {
            self.append_bit(valid);
        }
    }

    fn append_bit(&mut self, valid: bool) {
        match &mut self.bits {
            Some(bits) => bits.append(valid),
            None => self.bits_from_now_on().append(valid),
        }
    }

    #[inline]
    pub(super) fn append_valid(&mut self, count: usize) {
        self.append_n(true, count);
    }

    #[inline]
    pub(super) fn append_n(&mut self, valid: bool, count: usize) {
        match &mut self.bits {
            None if valid => self.valid += count,
            Some(bits) => bits.append_n(count, valid),
            None => self.bits_from_now_on().append_n(count, false),
        }
    }

    #[cold]
    fn bits_from_now_on(&mut self) -> &mut BooleanBufferBuilder {
        let mut bits = BooleanBufferBuilder::new(self.valid + 1);
        bits.append_n(self.valid, true);
        self.bits.insert(bits)
    }

    #[inline]
    pub(super) fn is_valid(&self, index: usize) -> bool {
        match &self.bits {
            None => index < self.valid,
            Some(bits) => index < bits.len() && bits.get_bit(index),
        }
    }

    /// Whether a null was ever appended.
    #[inline]
    pub(super) fn may_have_nulls(&self) -> bool {
        self.bits.is_some()
    }

    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.bits.as_ref().map_or(0, |bits| bits.as_slice().len())
    }

    pub(super) fn truncate(&mut self, len: usize) {
        match &mut self.bits {
            None => self.valid = self.valid.min(len),
            Some(bits) => bits.truncate(len),
        }
    }

    pub(super) fn finish(self) -> Option<NullBuffer> {
        self.bits
            .map(|mut bits| NullBuffer::new(bits.finish()))
            .filter(|nulls| nulls.null_count() > 0)
    }
}
