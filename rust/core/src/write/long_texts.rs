//! Long texts that rows share, and how often they are stored.
//!
//! A text of a resource is sent once. Each file has it once again, and a request of a few bytes for each
//! partition value would have it stored a hundred times: files are in memory until a call ends. What a call
//! stores beyond some times its own size is left out. So are rows for which the parquet crate, which makes
//! the files of some codecs, would need terabytes of copies.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, Int32Array, MapArray, RecordBatch, StringArray};

use super::partition::{Group, Rows};

/// Shorter texts are not counted. They are those of usual resources, which each partition may repeat.
const LONG_BYTES: usize = 1024;
/// What a call may store of long texts, bytes, whatever its size.
const STORED_BYTES: usize = 32 << 20;
/// What each byte of the call's requests adds. Requests with rows for several days have their resources'
/// texts once for each.
const STORED_PER_BYTE: usize = 8;
/// What a call may copy, where files are made from a copy of the texts for each row, bytes: some seconds.
const COPIED_BYTES: usize = 8 << 30;
/// What each byte of the call's requests adds to that.
const COPIED_PER_BYTE: usize = 1024;

/// What a call has stored of long texts that rows share, in one table.
#[derive(Debug, Default)]
pub(super) struct LongTexts {
    /// Bytes of texts for further partition values: a batch has each text once for free, since it is mostly rows
    /// ([`crate::convert`]).
    stored: usize,
    copied: usize,
}

impl LongTexts {
    /// Takes rows out of the groups whose texts would be stored too often, or copied too often if each row
    /// `has_copies`. The groups with the most rows come first. Returns the rows that were taken out.
    ///
    /// A call has the requests of many clients, so it is decided for each text: rows without it stay.
    pub(super) fn take_out(
        &mut self,
        groups: &mut Vec<Group>,
        batch: &RecordBatch,
        request_bytes: usize,
        has_copies: bool,
    ) -> Vec<u32> {
        if groups.len() < 2 && !has_copies {
            return Vec::new();
        }
        let mut columns = long_columns(batch);
        if columns.is_empty() {
            return Vec::new();
        }
        let max = |fixed: usize, per_byte| fixed.saturating_add(request_bytes.saturating_mul(per_byte));
        let stored_max = max(STORED_BYTES, STORED_PER_BYTE);
        let copied_max = max(COPIED_BYTES, COPIED_PER_BYTE);
        let mut taken_out = Vec::new();
        let mut largest_first: Vec<&mut Group> = groups.iter_mut().collect();
        largest_first.sort_by_key(|group| Reverse(group.rows.len(batch)));
        for group in largest_first {
            let mut has_refused = false;
            for column in &mut columns {
                column.refused.clear();
                for (key, Use { bytes, rows }) in column.uses(&group.rows) {
                    let again = if column.there.contains(&key) { bytes } else { 0 };
                    let copies = if has_copies { bytes.saturating_mul(rows) } else { 0 };
                    let stored = self.stored.saturating_add(again);
                    let copied = self.copied.saturating_add(copies);
                    let fits = |added, sum, max| added == 0 || sum <= max;
                    if fits(again, stored, stored_max) && fits(copies, copied, copied_max) {
                        (self.stored, self.copied) = (stored, copied);
                        column.there.insert(key);
                    } else {
                        column.refused.insert(key);
                        has_refused = true;
                    }
                }
            }
            if has_refused {
                let is_refused = |row: &u32| columns.iter().any(|column| column.refuses(*row));
                let rows = group.rows.numbers(batch).into_iter();
                let (out, stay): (Vec<u32>, Vec<u32>) = rows.partition(is_refused);
                taken_out.extend(out);
                group.rows = Rows::Some(stay.into());
            }
        }
        groups.retain(|group| group.rows.len(batch) > 0);
        taken_out
    }
}

/// How a group of rows uses a long text.
#[derive(Debug, Clone, Copy)]
struct Use {
    /// The length of the text.
    bytes: usize,
    /// The number of rows that refer to it.
    rows: usize,
}

/// A column whose rows refer to texts of which some are long.
struct LongColumn<'a> {
    keys: &'a Int32Array,
    /// The bytes of each text; 0 for those that are not long.
    bytes: Vec<usize>,
    /// The texts that a group of the batch has.
    there: HashSet<usize>,
    /// The texts that the current group does not get.
    refused: HashSet<usize>,
}

impl LongColumn<'_> {
    /// The key of a row's text; `None` if it is null.
    fn key(&self, row: u32) -> Option<usize> {
        let row = row as usize;
        self.keys
            .is_valid(row)
            .then(|| self.keys.value(row).unsigned_abs() as usize)
    }

    fn refuses(&self, row: u32) -> bool {
        !self.refused.is_empty() && self.key(row).is_some_and(|key| self.refused.contains(&key))
    }

    /// The long texts that these rows refer to, by their keys. In their order, so that the same rows make the same
    /// files.
    fn uses(&self, rows: &Rows) -> BTreeMap<usize, Use> {
        match rows {
            Rows::All => self.uses_at(0..u32::try_from(self.keys.len()).unwrap_or(u32::MAX)),
            Rows::Some(rows) => self.uses_at(rows.values().iter().copied()),
        }
    }

    fn uses_at(&self, rows: impl Iterator<Item = u32>) -> BTreeMap<usize, Use> {
        let mut uses = BTreeMap::new();
        for key in rows.filter_map(|row| self.key(row)) {
            let bytes = self.bytes.get(key).copied().unwrap_or_default();
            if bytes > 0 {
                uses.entry(key).or_insert(Use { bytes, rows: 0 }).rows += 1;
            }
        }
        uses
    }
}

fn long_columns(batch: &RecordBatch) -> Vec<LongColumn<'_>> {
    let columns = batch.columns().iter().filter_map(|column| {
        let shared = column.as_dictionary_opt::<Int32Type>()?;
        let bytes = text_bytes(shared.values());
        let is_long = bytes.iter().any(|bytes| *bytes > 0);
        is_long.then(|| LongColumn {
            keys: shared.keys(),
            bytes,
            there: HashSet::new(),
            refused: HashSet::new(),
        })
    });
    columns.collect()
}

/// The bytes of each text, or of the values of each map; 0 where these are few.
fn text_bytes(values: &ArrayRef) -> Vec<usize> {
    let long = |bytes: usize| if bytes < LONG_BYTES { 0 } else { bytes };
    if let Some(texts) = values.as_string_opt::<i32>() {
        return offsets(texts).map(|(start, end)| long(end - start)).collect();
    }
    let Some((maps, texts)) = values.as_map_opt().and_then(|maps: &MapArray| {
        let texts = maps.values().as_string_opt::<i32>()?;
        Some((maps, texts))
    }) else {
        return Vec::new();
    };
    let ends = texts.value_offsets();
    let at = |entry: i32| {
        ends.get(entry.unsigned_abs() as usize)
            .map_or(0, |at| at.unsigned_abs() as usize)
    };
    let entries = maps.value_offsets().windows(2);
    let bytes = entries.map(|entries| match entries {
        [start, end] => long(at(*end).saturating_sub(at(*start))),
        _ => 0,
    });
    bytes.collect()
}

fn offsets(texts: &StringArray) -> impl Iterator<Item = (usize, usize)> {
    let offsets = texts.value_offsets().windows(2);
    offsets.map(|offsets| match offsets {
        [start, end] => (start.unsigned_abs() as usize, end.unsigned_abs() as usize),
        _ => (0, 0),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::builder::{MapBuilder, StringBuilder};
    use arrow_array::{DictionaryArray, UInt32Array};
    use arrow_schema::{Field, Schema};
    use iceberg::spec::Struct;

    use super::*;

    const MIB: usize = 1 << 20;

    /// A row for each key, in a column of these texts and one of maps with them.
    fn batch(texts: &[String], keys: &[Option<i32>]) -> RecordBatch {
        let keys = Int32Array::from(keys.to_vec());
        let labels = DictionaryArray::new(keys.clone(), Arc::new(StringArray::from(texts.to_vec())));
        let mut maps = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
        for text in texts {
            let (first, second) = text.split_at(text.len() / 2);
            for (key, value) in [("a", first), ("b", second)] {
                maps.keys().append_value(key);
                maps.values().append_value(value);
            }
            maps.append(true).unwrap();
        }
        let maps = DictionaryArray::new(keys, Arc::new(maps.finish()));
        let columns: Vec<ArrayRef> = vec![Arc::new(labels), Arc::new(maps)];
        let field = |(name, column): (&str, &ArrayRef)| Field::new(name, column.data_type().clone(), true);
        let fields: Vec<Field> = ["labels", "maps"].into_iter().zip(&columns).map(field).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    }

    fn group(rows: std::ops::Range<u32>) -> Group {
        Group {
            partition: Struct::empty(),
            rows: Rows::Some(UInt32Array::from_iter_values(rows)),
        }
    }

    /// How many groups and rows stay, and how many rows do not.
    fn after(texts: &mut LongTexts, mut groups: Vec<Group>, batch: &RecordBatch, bytes: usize) -> [usize; 3] {
        let out = texts.take_out(&mut groups, batch, bytes, false);
        let rows = groups.iter().map(|group| group.rows.len(batch));
        [groups.len(), rows.sum(), out.len()]
    }

    #[test]
    fn a_text_is_free_once_and_counts_for_each_further_group() {
        let texts = ["x".repeat(4 * MIB), "y".repeat(LONG_BYTES - 1)];
        let keys: Vec<Option<i32>> = [Some(0), None, Some(1), Some(0), Some(0)].repeat(8);
        let batch = batch(&texts, &keys);
        let groups = || (0..8).map(|at| group(5 * at..5 * at + 5)).collect::<Vec<_>>();
        // Each group has the text in both columns: 8 MiB. The rows without it stay.
        let mut texts = LongTexts::default();
        assert_eq!(after(&mut texts, groups(), &batch, 0), [8, 5 * 5 + 3 * 2, 3 * 3]);
        assert_eq!(texts.stored, 32 * MIB);
        // The call's own size adds to it, and a later batch goes on where this one ended.
        assert_eq!(
            after(&mut texts, groups(), &batch, 2 * MIB),
            [8, 3 * 5 + 5 * 2, 5 * 3]
        );
        // Rows without a long text are not affected, nor is a batch of one partition value.
        assert_eq!(
            after(&mut texts, vec![group(1..3), group(6..8)], &batch, 0),
            [2, 4, 0]
        );
        assert_eq!(after(&mut texts, vec![group(0..40)], &batch, 0), [1, 40, 0]);
        // A group that has nothing else goes away. The larger one comes first.
        assert_eq!(
            after(&mut texts, vec![group(3..4), group(8..10)], &batch, 0),
            [1, 2, 1]
        );
        assert_eq!(texts.copied, 0);
    }

    #[test]
    fn copies_count_for_each_row() {
        let batch = batch(&["x".repeat(4 * MIB)], &[Some(0); 2_000]);
        let mut texts = LongTexts::default();
        // 8 MiB for each row.
        let mut out = |rows, bytes| {
            texts
                .take_out(&mut vec![group(0..rows)], &batch, bytes, true)
                .len()
        };
        assert_eq!(out(1_000, 0), 0);
        assert_eq!(out(25, 0), 25);
        assert_eq!(out(5, 0), 0);
        assert_eq!(out(128, MIB), 0);
        assert_eq!(texts.stored, 0);
    }
}
