//! Attributes as `map<string, string>` (rule 5).

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{MapArray, StructArray};
use arrow_schema::{ArrowError, DataType};

use super::any_value;
use super::columns::{Arrays, Columns};
use super::context::Context;
use super::key_order::{Attribute, FEW, KeyOrder};
use super::keys::KeyColumn;
use super::numbers::dropped;
use super::offsets::Offsets;
use super::text_column::TextColumn;
use super::used::Used;
use super::validity::Validity;
use crate::decode::{DecodeError, KeyValue, Message, Repeated};

/// Keys and the texts of their values.
#[derive(Default)]
pub(super) struct Entries {
    keys: KeyColumn,
    values: TextColumn,
    /// The list that was examined last, if its keys are distinct.
    distinct: Range<usize>,
    /// How the list that was sorted last was sorted.
    order: KeyOrder,
}

impl Entries {
    /// Renders attributes that many rows share, sorted by their keys, replacing the previous content.
    ///
    /// # Errors
    /// When the attributes are malformed; `field` is the name of their field.
    pub(super) fn render(
        &mut self,
        attributes: &Repeated<'_, KeyValue<'_>>,
        field: &'static str,
        context: &mut Context,
    ) -> Result<(), DecodeError> {
        self.clear();
        self.append_sorted(attributes, field, context)
    }

    /// Empties it, and keeps its memory unless that is large.
    pub(super) fn clear(&mut self) {
        self.distinct = 0..0;
        self.keys.clear();
        self.values.clear();
    }

    /// The entry with this key.
    pub(super) fn find(&self, key: &[u8]) -> Option<usize> {
        (0..self.len()).find(|&index| self.keys.text(index) == key)
    }

    /// The value of an entry; `None` if it is null.
    pub(super) fn value(&self, index: usize) -> Option<&[u8]> {
        self.values.is_valid(index).then(|| self.values.value(index))
    }

    /// Whether there are no entries.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    fn append(
        &mut self,
        attributes: &Repeated<'_, KeyValue<'_>>,
        field: &'static str,
        context: &mut Context,
    ) -> Result<(), DecodeError> {
        let start = self.len();
        let kept = attributes.len() - count_dropped(attributes, context);
        for (index, attribute) in attributes.serialized().take(kept).enumerate() {
            let attribute = attribute?;
            if let Some((key, text)) = KeyValue::short_text(attribute) {
                self.keys.append(&context.repaired(key), index);
                self.values.append(&context.repaired(text));
                continue;
            }
            let attribute =
                KeyValue::parse(attribute).map_err(|error| attributes.in_element(error, index))?;
            self.append_one(&attribute, index, context)
                .map_err(|error| error.in_element(field, index))?;
        }
        self.drop_duplicates(start, context);
        Ok(())
    }

    /// The same, sorted by the keys.
    fn append_sorted(
        &mut self,
        attributes: &Repeated<'_, KeyValue<'_>>,
        field: &'static str,
        context: &mut Context,
    ) -> Result<(), DecodeError> {
        let start = self.len();
        if attributes.len() > FEW || context.checks_text() {
            return self.append_then_sort(attributes, field, context);
        }
        let mut unsorted = [Attribute::default(); FEW];
        let len = attributes.len() - beyond(attributes, context);
        let unsorted = unsorted.get_mut(..len).unwrap_or_default();
        for (index, (slot, serialized)) in unsorted.iter_mut().zip(attributes.serialized()).enumerate() {
            let serialized = serialized?;
            let key = match KeyValue::short_text(serialized) {
                Some((key, _)) => key,
                None => {
                    KeyValue::parse(serialized)
                        .map_err(|error| attributes.in_element(error, index))?
                        .key
                }
            };
            *slot = Attribute {
                key: key.0,
                serialized,
                index,
            };
        }
        let text_bytes_max = context.limits.text_bytes_max;
        if unsorted
            .iter()
            .any(|attribute| attribute.key.len() > text_bytes_max)
        {
            return self.append_then_sort(attributes, field, context);
        }
        count_dropped(attributes, context);
        let mut sorted = [Attribute::default(); FEW];
        let sorted = sorted.get_mut(..len).unwrap_or_default();
        self.order.sort(unsorted, sorted);
        for (place, attribute) in sorted.iter().enumerate() {
            if let Some((key, text)) = KeyValue::short_text(attribute.serialized) {
                self.keys.append(key.0, place);
                self.values.append(&context.repaired(text));
                continue;
            }
            KeyValue::parse(attribute.serialized)
                .and_then(|attribute| self.append_one(&attribute, place, context))
                .map_err(|error| error.in_element(field, attribute.index))?;
        }
        self.drop_duplicates(start, context);
        Ok(())
    }

    /// The same for keys of which some may be repaired or cut. They may then be equal, or have another order.
    #[cold]
    fn append_then_sort(
        &mut self,
        attributes: &Repeated<'_, KeyValue<'_>>,
        field: &'static str,
        context: &mut Context,
    ) -> Result<(), DecodeError> {
        let start = self.len();
        self.append(attributes, field, context)?;
        self.sort(start);
        Ok(())
    }

    /// Appends an attribute at this place of its list.
    fn append_one(
        &mut self,
        attribute: &KeyValue<'_>,
        place: usize,
        context: &mut Context,
    ) -> Result<(), DecodeError> {
        self.keys.append(&context.repaired(attribute.key), place);
        let valid = any_value::write_text(attribute.value, self.values.writer(), context)
            .map_err(|error| error.in_field("value"))?;
        self.values.end_value(valid);
        Ok(())
    }

    /// Keeps only the last of the entries with equal keys, from `start` on.
    #[inline]
    fn drop_duplicates(&mut self, start: usize, context: &mut Context) {
        let keys = self.keys.since(start);
        let this = start..start + keys.len();
        // Consecutive rows have the same keys.
        let is_next = self.distinct.end == start && self.distinct.len() == keys.len();
        if is_next && self.keys.get(self.distinct.clone()) == keys {
            self.distinct = this;
            return;
        }
        let key = |index: usize| keys.get(index).copied().unwrap_or_default();
        if context.duplicates.find(keys.len(), key) {
            let len = keys.len();
            self.rebuild(
                start,
                (0..len).filter(|&index| !context.duplicates.comes_again(index)),
            );
        } else {
            self.distinct = this;
        }
    }

    /// Sorts the entries from `start` on by their keys.
    fn sort(&mut self, start: usize) {
        let key = |index: &usize| self.keys.text(start + index);
        let len = self.len().saturating_sub(start);
        if (0..len).is_sorted_by_key(|index| key(&index)) {
            return;
        }
        let mut order: Vec<usize> = (0..len).collect();
        order.sort_unstable_by(|one, other| key(one).cmp(key(other)));
        self.rebuild(start, order.into_iter());
    }

    /// Replaces the entries from `start` on by these of them, counted from `start`.
    #[cold]
    fn rebuild(&mut self, start: usize, kept: impl Iterator<Item = usize>) {
        self.distinct = 0..0;
        let keys = self.keys.split_off(start);
        let values = self.values.split_off(start);
        for index in kept {
            if let Some(key) = keys.get(index) {
                self.keys.append_key(*key);
                self.values.writer().extend_from_slice(values.value(index));
                self.values.end_value(values.is_valid(index));
            }
        }
    }

    fn append_all(&mut self, other: &Entries) {
        for index in 0..other.len() {
            self.keys.append(other.keys.text(index), index);
        }
        self.values.append_all(&other.values);
    }

    /// Truncates to the first `len` entries; the texts of keys stay in the dictionary.
    fn truncate(&mut self, len: usize) {
        self.distinct = 0..0;
        self.keys.truncate(len);
        self.values.truncate(len);
    }
}

/// Counts the attributes above the limit as dropped (rule 14), and returns their number.
#[inline]
fn count_dropped(attributes: &Repeated<'_, KeyValue<'_>>, context: &mut Context) -> usize {
    let beyond = beyond(attributes, context);
    context.repairs.dropped_attributes += beyond as u64;
    beyond
}

/// The number of attributes above the limit (rule 14).
#[inline]
fn beyond(attributes: &Repeated<'_, KeyValue<'_>>, context: &Context) -> usize {
    attributes.len().saturating_sub(context.limits.attributes_max)
}

/// The dropped attributes count that came with a list, plus the attributes dropped here.
#[inline]
pub(super) fn dropped_attributes(
    count: u32,
    attributes: &Repeated<'_, KeyValue<'_>>,
    context: &Context,
) -> i32 {
    let beyond = u32::try_from(beyond(attributes, context)).unwrap_or(u32::MAX);
    dropped(count.saturating_add(beyond))
}

/// A column of attributes. An empty list is null (rule 1).
#[derive(Default)]
pub(super) struct MapColumn {
    entries: Entries,
    offsets: Offsets,
    validity: Validity,
}

impl MapColumn {
    /// Appends attributes.
    ///
    /// # Errors
    /// When the attributes are malformed; `field` is the name of their field.
    #[inline]
    pub(super) fn append(
        &mut self,
        attributes: &Repeated<'_, KeyValue<'_>>,
        field: &'static str,
        context: &mut Context,
    ) -> Result<(), DecodeError> {
        self.entries.append(attributes, field, context)?;
        self.end_map();
        Ok(())
    }

    /// Appends attributes sorted by their keys. Lists that identify a series are compared as a whole, and
    /// engines compare maps entry by entry.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub(super) fn append_sorted(
        &mut self,
        attributes: &Repeated<'_, KeyValue<'_>>,
        field: &'static str,
        context: &mut Context,
    ) -> Result<(), DecodeError> {
        self.entries.append_sorted(attributes, field, context)?;
        self.end_map();
        Ok(())
    }

    /// Appends rendered attributes.
    #[inline]
    pub(super) fn append_rendered(&mut self, entries: &Entries) {
        if !entries.is_empty() {
            self.entries.append_all(entries);
        }
        self.end_map();
    }

    /// The number of lists.
    pub(super) fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Whether the last list is empty.
    pub(super) fn ends_empty(&self) -> bool {
        let last = self.len().checked_sub(1);
        last.is_none_or(|last| self.offsets.start(last) == self.offsets.end())
    }

    /// Whether the last list equals these attributes.
    pub(super) fn ends_with(&self, entries: &Entries) -> bool {
        let Some(last) = self.len().checked_sub(1) else {
            return false;
        };
        let start = self.offsets.start(last);
        let own = &self.entries;
        own.len() - start == entries.len()
            && (0..entries.len()).all(|index| {
                own.keys.text(start + index) == entries.keys.text(index)
                    && own.value(start + index) == entries.value(index)
            })
    }

    /// The array, with this type.
    ///
    /// # Errors
    /// When the type is not a map type, or a text is not UTF-8.
    pub(super) fn into_array(self, map_type: &DataType) -> Result<MapArray, ArrowError> {
        let DataType::Map(entry, ordered) = map_type else {
            return Err(ArrowError::SchemaError(format!("{map_type} is no map")));
        };
        let DataType::Struct(fields) = entry.data_type() else {
            return Err(ArrowError::SchemaError(format!(
                "{map_type} has no key and value"
            )));
        };
        let keys = Arc::new(self.entries.keys.into_array()?);
        let values = Arc::new(self.entries.values.into_array()?);
        let entries = StructArray::try_new(fields.clone(), vec![keys, values], None)?;
        MapArray::try_new(
            Arc::clone(entry),
            self.offsets.finish(),
            entries,
            self.validity.finish(),
            *ordered,
        )
    }

    #[inline]
    fn end_map(&mut self) {
        self.validity.append(self.entries.len() > self.offsets.end());
        self.offsets.push(self.entries.len());
    }
}

impl Columns for MapColumn {
    fn reserve(&mut self, times: usize) {
        self.entries.keys.reserve(times);
        self.entries.values.reserve(times);
        self.offsets.reserve(times);
    }

    fn truncate(&mut self, len: usize) {
        let entries = self.offsets.truncate(len);
        self.entries.truncate(entries);
        self.validity.truncate(len);
    }

    #[inline]
    fn extent(&self) -> usize {
        let Entries { keys, values, .. } = &self.entries;
        keys.extent().max(values.extent()).max(keys.len())
    }

    #[inline]
    fn bytes(&self) -> usize {
        let Entries { keys, values, .. } = &self.entries;
        keys.bytes() + values.bytes() + self.offsets.bytes() + self.validity.bytes()
    }

    fn finish(self, arrays: &mut Arrays<'_>) -> Result<(), ArrowError> {
        let map_type = arrays.next_type()?;
        arrays.push(Arc::new(self.into_array(map_type)?));
        Ok(())
    }

    fn reuse(&mut self, arrays: &mut Used) {
        if let Some(array) = arrays.next::<MapArray>() {
            let (_, offsets, entries, _, _) = array.into_parts();
            self.offsets = Offsets::reusing(offsets);
            let mut entries = Used::fields(entries);
            self.entries.keys.reuse(&mut entries);
            self.entries.values.reuse(&mut entries);
        }
    }
}
