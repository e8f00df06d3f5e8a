//! Offsets of lists and texts.

use arrow_buffer::{OffsetBuffer, ScalarBuffer};

use super::columns::{REUSED_BYTES_MAX, roomy};
use super::used::memory;

/// The end offsets of variable-length items; there is one more offset than items.
pub(super) struct Offsets(Vec<i32>);

impl Default for Offsets {
    fn default() -> Self {
        Self(vec![0])
    }
}

impl Offsets {
    /// See [`Columns::reserve`].
    pub(super) fn reserve(&mut self, times: usize) {
        self.0.reserve(roomy(self.len() * times));
    }

    /// The number of items.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.0.len() - 1
    }

    /// Ends an item. An end out of range is clamped: its row is about to be removed.
    #[inline]
    pub(super) fn push(&mut self, end: usize) {
        self.0.push(i32::try_from(end).unwrap_or(i32::MAX));
    }

    /// The start of the item at `index`, which is the end of the item before it.
    #[inline]
    pub(super) fn start(&self, index: usize) -> usize {
        self.0
            .get(index)
            .map_or(0, |&offset| offset.cast_unsigned() as usize)
    }

    /// The end of the last item.
    #[inline]
    pub(super) fn end(&self) -> usize {
        self.start(self.len())
    }

    /// Appends the items of `others` (with offsets from 0) after the end `base`.
    #[inline]
    pub(super) fn extend_shifted(&mut self, base: usize, others: &Offsets) {
        let base = i32::try_from(base).unwrap_or(i32::MAX);
        let ends = others.0.iter().skip(1);
        self.0.extend(ends.map(|&end| base.saturating_add(end)));
    }

    #[inline]
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.0.as_slice())
    }

    /// Removes all items, and keeps the memory unless that is large.
    pub(super) fn clear(&mut self) {
        self.0.truncate(1);
        self.0.shrink_to(REUSED_BYTES_MAX / size_of::<i32>());
    }

    /// Removes all items except the first `len`; returns the end of the last remaining one.
    pub(super) fn truncate(&mut self, len: usize) -> usize {
        self.0.truncate(len + 1);
        self.end()
    }

    pub(super) fn finish(self) -> OffsetBuffer<i32> {
        OffsetBuffer::new(ScalarBuffer::from(self.0))
    }

    /// No items, in the memory of other offsets.
    pub(super) fn reusing(others: OffsetBuffer<i32>) -> Self {
        let mut offsets = memory(others.into_inner());
        offsets.push(0);
        Self(offsets)
    }
}
