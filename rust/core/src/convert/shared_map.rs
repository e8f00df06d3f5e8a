//! Attributes that consecutive rows share: each list is stored once, and rows refer to it.

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{DictionaryArray, PrimitiveArray};
use arrow_schema::{ArrowError, DataType};

use super::attributes::{Entries, MapColumn};
use super::columns::{Arrays, Columns, roomy};
use super::context::Context;
use super::dictionary::{Key, used};
use super::used::{Used, memory};
use super::validity::Validity;
use crate::decode::{DecodeError, KeyValue, Repeated};

/// A column of attributes as a dictionary. An empty list is null (rule 1).
#[derive(Default)]
pub(super) struct SharedMapColumn {
    keys: Vec<Key>,
    validity: Validity,
    maps: MapColumn,
}

impl SharedMapColumn {
    /// The key of attributes, valid for rows until the batch is closed; `None` if they are empty.
    pub(super) fn intern(&mut self, entries: &Entries) -> Option<Key> {
        if entries.is_empty() {
            return None;
        }
        // Merged requests of one client have equal resources one after another.
        if !self.maps.ends_with(entries) {
            self.maps.append_rendered(entries);
        }
        self.last_key()
    }

    /// Renders attributes and returns their key, valid for rows until the batch is closed; `None` if there
    /// are no attributes.
    ///
    /// # Errors
    /// When the attributes are malformed; `field` is the name of their field.
    pub(super) fn render(
        &mut self,
        attributes: &Repeated<'_, KeyValue<'_>>,
        field: &'static str,
        context: &mut Context,
    ) -> Result<Option<Key>, DecodeError> {
        self.maps.append_sorted(attributes, field, context)?;
        Ok(self.last_key().filter(|_| !self.maps.ends_empty()))
    }

    /// The key of the last list. There are at most as many lists as rows, which use 32-bit offsets elsewhere.
    fn last_key(&self) -> Option<Key> {
        let last = self.maps.len().checked_sub(1)?;
        Some(Key::try_from(last).unwrap_or(Key::MAX))
    }

    /// Appends attributes by their key.
    #[inline]
    pub(super) fn append_key(&mut self, key: Option<Key>) {
        self.append_keys(key, 1);
    }

    /// Appends attributes by their key, `count` times.
    #[inline]
    pub(super) fn append_keys(&mut self, key: Option<Key>, count: usize) {
        self.keys.resize(self.keys.len() + count, key.unwrap_or_default());
        self.validity.append_n(key.is_some(), count);
    }
}

/// Truncation keeps the lists, because keys may be held elsewhere. [`Columns::finish`] removes lists at the
/// end that no row uses.
impl Columns for SharedMapColumn {
    fn reserve(&mut self, times: usize) {
        self.keys.reserve(roomy(self.keys.len() * times));
    }

    fn truncate(&mut self, len: usize) {
        self.keys.truncate(len);
        self.validity.truncate(len);
    }

    #[inline]
    fn extent(&self) -> usize {
        self.maps.extent()
    }

    #[inline]
    fn bytes(&self) -> usize {
        size_of_val(self.keys.as_slice()) + self.validity.bytes() + self.maps.bytes()
    }

    fn finish(mut self, arrays: &mut Arrays<'_>) -> Result<(), ArrowError> {
        let dictionary_type = arrays.next_type()?;
        let DataType::Dictionary(_, map_type) = dictionary_type else {
            return Err(ArrowError::SchemaError(format!(
                "{dictionary_type} is no dictionary"
            )));
        };
        self.maps.truncate(used(&self.keys));
        let keys = PrimitiveArray::<Int32Type>::try_new(self.keys.into(), self.validity.finish())?;
        let maps = Arc::new(self.maps.into_array(map_type)?);
        arrays.push(Arc::new(DictionaryArray::try_new(keys, maps)?));
        Ok(())
    }

    fn reuse(&mut self, arrays: &mut Used) {
        if let Some(array) = arrays.next::<DictionaryArray<Int32Type>>() {
            let (keys, maps) = array.into_parts();
            self.keys = memory(keys.into_parts().1);
            self.maps.reuse(&mut Used::values(maps));
        }
    }
}
