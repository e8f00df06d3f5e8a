//! Columns of texts.

use std::sync::Arc;

use arrow_array::StringArray;
use arrow_buffer::Buffer;
use arrow_schema::ArrowError;

use super::columns::{Arrays, Columns, REUSED_BYTES_MAX, roomy};
use super::context::Context;
use super::offsets::Offsets;
use super::used::{Used, memory};
use super::validity::Validity;
use crate::decode::Text;

/// Text with mostly distinct values.
#[derive(Default)]
pub(super) struct TextColumn {
    bytes: Vec<u8>,
    offsets: Offsets,
    validity: Validity,
}

impl TextColumn {
    /// Appends a protobuf string field; an empty one is null (rule 1).
    #[inline]
    pub(super) fn append_field(&mut self, text: Text<'_>, context: &mut Context) {
        if text.is_empty() {
            self.append_null();
        } else {
            self.append(&context.repaired(text));
        }
    }

    #[inline]
    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.end_value(true);
    }

    #[inline]
    pub(super) fn append_null(&mut self) {
        self.end_value(false);
    }

    /// The buffer for the next value; [`Self::end_value`] ends it.
    #[inline]
    pub(super) fn writer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Ends the value that was written since the last one; a null value must have written nothing.
    #[inline]
    pub(super) fn end_value(&mut self, valid: bool) {
        self.offsets.push(self.bytes.len());
        self.validity.append(valid);
    }

    /// Appends all values of another column.
    #[inline]
    pub(super) fn append_all(&mut self, other: &TextColumn) {
        self.offsets.extend_shifted(self.bytes.len(), &other.offsets);
        self.bytes.extend_from_slice(&other.bytes);
        if other.validity.may_have_nulls() {
            (0..other.len()).for_each(|index| self.validity.append(other.is_valid(index)));
        } else {
            self.validity.append_valid(other.len());
        }
    }

    /// Moves the values from `start` on into a column of their own.
    pub(super) fn split_off(&mut self, start: usize) -> TextColumn {
        let mut tail = TextColumn::default();
        for index in start..self.len() {
            tail.bytes.extend_from_slice(self.value(index));
            tail.end_value(self.is_valid(index));
        }
        self.truncate(start);
        tail
    }

    /// The bytes of a value; `None` if it is null.
    #[inline]
    pub(super) fn value(&self, index: usize) -> &[u8] {
        let span = self.offsets.start(index)..self.offsets.start(index + 1);
        self.bytes.get(span).unwrap_or_default()
    }

    #[inline]
    pub(super) fn is_valid(&self, index: usize) -> bool {
        self.validity.is_valid(index)
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Empties it, and keeps its memory unless that is large.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(REUSED_BYTES_MAX);
        self.offsets.clear();
        self.validity = Validity::default();
    }

    /// The array. Text is validated here: an error means invalid UTF-8.
    pub(super) fn into_array(self) -> Result<StringArray, ArrowError> {
        StringArray::try_new(
            self.offsets.finish(),
            Buffer::from_vec(self.bytes),
            self.validity.finish(),
        )
    }
}

impl Columns for TextColumn {
    fn reserve(&mut self, times: usize) {
        self.bytes.reserve(roomy(self.bytes.len() * times));
        self.offsets.reserve(times);
    }

    fn truncate(&mut self, len: usize) {
        let end = self.offsets.truncate(len);
        self.bytes.truncate(end);
        self.validity.truncate(len);
    }

    #[inline]
    fn extent(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    fn bytes(&self) -> usize {
        self.bytes.len() + self.offsets.bytes() + self.validity.bytes()
    }

    fn finish(self, arrays: &mut Arrays<'_>) -> Result<(), ArrowError> {
        arrays.next_type()?;
        arrays.push(Arc::new(self.into_array()?));
        Ok(())
    }

    fn reuse(&mut self, arrays: &mut Used) {
        if let Some(array) = arrays.next::<StringArray>() {
            let (offsets, bytes, _) = array.into_parts();
            self.offsets = Offsets::reusing(offsets);
            self.bytes = memory(bytes);
        }
    }
}
