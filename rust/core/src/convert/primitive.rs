//! Columns of numbers, times and booleans.

use std::sync::Arc;

use arrow_array::types::{ArrowPrimitiveType, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{BooleanArray, PrimitiveArray};
use arrow_buffer::BooleanBufferBuilder;
use arrow_schema::ArrowError;

use super::columns::{Arrays, Columns, roomy};
use super::used::{Used, memory};
use super::validity::Validity;

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
