//! Our own minimal column builders: plain vectors, with a validity bitmap only once there is a null.
//!
//! An appended value belongs to a row that may still be removed, so every builder can be truncated. Within
//! one row, lengths may exceed the range of 32-bit offsets. The row is then removed before its offsets are
//! used.
//!
//! Here is what all builders have in common; the columns of values are in [`super::primitive`] and
//! [`super::text_column`].

use arrow_array::ArrayRef;
use arrow_schema::{ArrowError, DataType, FieldRef, Fields};

use super::used::Used;

/// A reused buffer releases its capacity above this when it is emptied.
pub(super) const REUSED_BYTES_MAX: usize = 64 * 1024;

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
