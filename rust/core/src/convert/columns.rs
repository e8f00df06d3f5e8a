//! Our own minimal column builders: plain vectors, with a validity bitmap only once there is a null.
//!
//! An appended value belongs to a row that may still be removed, so every builder can be truncated. Within
//! one row, lengths may exceed the range of 32-bit offsets. The row is then removed before its offsets are
//! used.

use std::sync::Arc;

use arrow_array::types::{ArrowPrimitiveType, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{ArrayRef, BooleanArray, PrimitiveArray, StringArray};
use arrow_buffer::{BooleanBufferBuilder, Buffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, FieldRef, Fields};

use super::context::Context;
use super::used::{Used, memory};
use super::validity::Validity;
use crate::decode::Text;

/// A reused buffer releases its capacity above this when it is emptied.
const REUSED_BYTES_MAX: usize = 64 * 1024;

/// One or several columns of the same length.
pub(super) trait Columns: Default {
    /// Reserves space for `times` times as many values as there are.
    fn reserve(&mut self, times: usize);
    /// Removes all values except the first `len`.
    fn truncate(&mut self, len: usize);
    /// The greatest byte length of a string column, or element count of a list: what offsets must be able to
    /// address.
    fn extent(&self) -> usize;
    /// The bytes of the values in Arrow arrays.
    fn bytes(&self) -> usize;
    /// Builds the arrays, in the schema's order.
    fn finish(self, arrays: &mut Arrays<'_>) -> Result<(), ArrowError>;
    /// Reuses the memory of arrays that such columns built, in the same order. These columns are empty, and
    /// stay so.
    fn reuse(&mut self, arrays: &mut Used);
}

/// Arrays under construction for fields, in order.
pub(super) struct Arrays<'f> {
    fields: std::slice::Iter<'f, FieldRef>,
    built: Vec<ArrayRef>,
}

impl<'f> Arrays<'f> {
    /// Builds columns for exactly these fields.
    pub(super) fn build(fields: &'f Fields, columns: impl Columns) -> Result<Vec<ArrayRef>, ArrowError> {
        let mut arrays = Self {
            fields: fields.iter(),
            built: Vec::with_capacity(fields.len()),
        };
        columns.finish(&mut arrays)?;
        Ok(arrays.built)
    }

    /// The type of the field of the next array.
    pub(super) fn next_type(&mut self) -> Result<&'f DataType, ArrowError> {
        match self.fields.next() {
            Some(field) => Ok(field.data_type()),
            None => Err(ArrowError::SchemaError("more columns than fields".to_owned())),
        }
    }

    /// Adds the array for the field whose type was returned last.
    pub(super) fn push(&mut self, array: ArrayRef) {
        self.built.push(array);
    }
}

/// Declares a struct of columns in the schema's order, with state that is not a column.
macro_rules! columns {
    (
        $(#[$attribute:meta])*
        $name:ident { $($column:ident: $column_type:ty,)* }
        $(state { $($state:ident: $state_type:ty,)* })?
    ) => {
        $(#[$attribute])*
        #[derive(Default)]
        pub(super) struct $name {
            $(pub(super) $column: $column_type,)*
            $($($state: $state_type,)*)?
        }

        impl $crate::convert::columns::Columns for $name {
            fn reserve(&mut self, times: usize) {
                $(self.$column.reserve(times);)*
            }

            fn truncate(&mut self, len: usize) {
                $(self.$column.truncate(len);)*
            }

            #[inline]
            fn extent(&self) -> usize {
                let mut extent = 0;
                $(extent = extent.max(self.$column.extent());)*
                extent
            }

            #[inline]
            fn bytes(&self) -> usize {
                let mut bytes = 0;
                $(bytes += self.$column.bytes();)*
                bytes
            }

            fn finish(
                self,
                arrays: &mut $crate::convert::columns::Arrays<'_>,
            ) -> Result<(), arrow_schema::ArrowError> {
                $(self.$column.finish(arrays)?;)*
                Ok(())
            }

            fn reuse(&mut self, arrays: &mut $crate::convert::used::Used) {
                $(self.$column.reuse(arrays);)*
            }
        }
    };
}
pub(super) use columns;

/// Reserves a bit more, since batches differ. Unused reserved memory is never touched.
pub(super) fn roomy(len: usize) -> usize {
    len + len / 8
}

/// Fixed-width values.
pub(super) struct PrimitiveColumn<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    validity: Validity,
}

/// 32-bit integers.
pub(super) type IntColumn = PrimitiveColumn<Int32Type>;
/// 64-bit integers.
pub(super) type LongColumn = PrimitiveColumn<Int64Type>;
/// Doubles, bit by bit.
pub(super) type DoubleColumn = PrimitiveColumn<Float64Type>;
/// Microseconds since the Unix epoch.
pub(super) type TimeColumn = PrimitiveColumn<TimestampMicrosecondType>;

impl<T: ArrowPrimitiveType> Default for PrimitiveColumn<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            validity: Validity::default(),
        }
    }
}

impl<T: ArrowPrimitiveType> PrimitiveColumn<T> {
    #[inline]
    pub(super) fn append(&mut self, value: T::Native) {
        self.values.push(value);
        self.validity.append_valid(1);
    }

    /// Appends the values that `add` adds, and returns them.
    #[inline]
    pub(super) fn append_each<R>(&mut self, add: impl FnOnce(&mut Vec<T::Native>) -> R) -> (R, &[T::Native]) {
        let start = self.values.len();
        let result = add(&mut self.values);
        let added = self.values.get(start..).unwrap_or_default();
        self.validity.append_valid(added.len());
        (result, added)
    }

    /// Appends a value `count` times.
    #[inline]
    pub(super) fn append_n(&mut self, value: T::Native, count: usize) {
        self.values.resize(self.values.len() + count, value);
        self.validity.append_valid(count);
    }

    #[inline]
    pub(super) fn append_option(&mut self, value: Option<T::Native>) {
        self.values.push(value.unwrap_or_default());
        self.validity.append(value.is_some());
    }
}

impl<T: ArrowPrimitiveType> Columns for PrimitiveColumn<T> {
    fn reserve(&mut self, times: usize) {
        self.values.reserve(roomy(self.values.len() * times));
    }

    fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        self.validity.truncate(len);
    }

    #[inline]
    fn extent(&self) -> usize {
        0
    }

    #[inline]
    fn bytes(&self) -> usize {
        size_of_val(self.values.as_slice()) + self.validity.bytes()
    }

    fn finish(self, arrays: &mut Arrays<'_>) -> Result<(), ArrowError> {
        let data_type = arrays.next_type()?;
        if !PrimitiveArray::<T>::is_compatible(data_type) {
            return Err(ArrowError::SchemaError(format!(
                "{} is no {data_type}",
                T::DATA_TYPE
            )));
        }
        let array = PrimitiveArray::<T>::try_new(self.values.into(), self.validity.finish())?;
        arrays.push(Arc::new(array.with_data_type(data_type.clone())));
        Ok(())
    }

    fn reuse(&mut self, arrays: &mut Used) {
        if let Some(array) = arrays.next::<PrimitiveArray<T>>() {
            self.values = memory(array.into_parts().1);
        }
    }
}

/// Booleans without nulls.
pub(super) struct BooleanColumn(BooleanBufferBuilder);

impl Default for BooleanColumn {
    fn default() -> Self {
        Self(BooleanBufferBuilder::new(0))
    }
}

impl BooleanColumn {
    #[inline]
    pub(super) fn append(&mut self, value: bool) {
        self.0.append(value);
    }
}

impl Columns for BooleanColumn {
    fn reserve(&mut self, times: usize) {
        self.0.reserve(roomy(self.0.len() * times));
    }

    fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    fn extent(&self) -> usize {
        0
    }

    #[inline]
    fn bytes(&self) -> usize {
        self.0.as_slice().len()
    }

    fn finish(self, arrays: &mut Arrays<'_>) -> Result<(), ArrowError> {
        arrays.next_type()?;
        arrays.push(Arc::new(BooleanArray::new(self.0.build(), None)));
        Ok(())
    }

    /// One bit per row is not worth reusing.
    fn reuse(&mut self, arrays: &mut Used) {
        arrays.skip();
    }
}

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
            .map_or(0, |&offset| offset.unsigned_abs() as usize)
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
        self.offsets.truncate(0);
        self.offsets.0.shrink_to(REUSED_BYTES_MAX / size_of::<i32>());
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
