//! Lists of numbers or structs.

use std::sync::Arc;

use arrow_array::{ArrayRef, ArrowPrimitiveType, ListArray, StructArray};
use arrow_schema::{ArrowError, DataType, Fields};

use super::columns::{Arrays, Columns};
use super::offsets::Offsets;
use super::primitive::PrimitiveColumn;
use super::used::Used;
use super::validity::Validity;
use crate::decode::{DecodeError, PackedOrNot, Scalar};

/// A list column over its element columns. An empty list is null (rule 1).
#[derive(Default)]
pub(super) struct ListColumn<C> {
    elements: C,
    len: usize,
    offsets: Offsets,
    validity: Validity,
}

impl<C: Columns> ListColumn<C> {
    /// The element columns, for appending one element.
    #[inline]
    pub(super) fn element(&mut self) -> &mut C {
        self.len += 1;
        &mut self.elements
    }

    /// Ends a list: its elements are those appended since the last list.
    #[inline]
    pub(super) fn end_list(&mut self) {
        self.validity.append(self.len > self.offsets.end());
        self.offsets.push(self.len);
    }

    /// The number of elements since the end of the last list.
    #[inline]
    pub(super) fn open_len(&self) -> usize {
        self.len - self.offsets.end()
    }
}

impl<T: ArrowPrimitiveType> ListColumn<PrimitiveColumn<T>> {
    /// Appends elements, and returns them; the caller ends their list.
    ///
    /// # Errors
    /// When they are malformed.
    #[inline]
    pub(super) fn append_scalars<S: Scalar>(
        &mut self,
        scalars: &PackedOrNot<'_, S>,
        value: impl Fn(S) -> T::Native,
    ) -> Result<&[T::Native], DecodeError> {
        let (result, added) = self
            .elements
            .append_each(|values| scalars.append_to(values, value));
        self.len += added.len();
        result.map(|()| added)
    }
}

impl<C: Columns> Columns for ListColumn<C> {
    fn reserve(&mut self, times: usize) {
        self.elements.reserve(times);
        self.offsets.reserve(times);
    }

    fn truncate(&mut self, len: usize) {
        self.len = self.offsets.truncate(len);
        self.elements.truncate(self.len);
        self.validity.truncate(len);
    }

    #[inline]
    fn extent(&self) -> usize {
        self.elements.extent().max(self.len)
    }

    #[inline]
    fn bytes(&self) -> usize {
        self.elements.bytes() + self.offsets.bytes() + self.validity.bytes()
    }

    fn finish(self, arrays: &mut Arrays<'_>) -> Result<(), ArrowError> {
        let list_type = arrays.next_type()?;
        let DataType::List(element) = list_type else {
            return Err(ArrowError::SchemaError(format!("{list_type} is no list")));
        };
        let elements: ArrayRef = if let DataType::Struct(fields) = element.data_type() {
            let fields_built = Arrays::build(fields, self.elements)?;
            Arc::new(StructArray::try_new(fields.clone(), fields_built, None)?)
        } else {
            let only = Fields::from(vec![Arc::clone(element)]);
            let mut built = Arrays::build(&only, self.elements)?;
            built
                .pop()
                .ok_or_else(|| ArrowError::SchemaError("a list without elements".to_owned()))?
        };
        arrays.push(Arc::new(ListArray::try_new(
            Arc::clone(element),
            self.offsets.finish(),
            elements,
            self.validity.finish(),
        )?));
        Ok(())
    }

    fn reuse(&mut self, arrays: &mut Used) {
        if let Some(array) = arrays.next::<ListArray>() {
            let (_, offsets, elements, _) = array.into_parts();
            self.offsets = Offsets::reusing(offsets);
            self.elements.reuse(&mut Used::elements(elements));
        }
    }
}
