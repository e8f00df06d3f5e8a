//! Long texts that rows share, and how often they are stored.
//!
//! A text of a resource is sent once. Each file has it once again, and a request of a few bytes for each
//! partition value would have it stored a hundred times: files are in memory until a call ends. What a call
//! stores beyond some times its own size is left out. So are rows for which the parquet crate, which makes
//! the files of some codecs, would need terabytes of copies.

use std::collections::HashSet;

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
    stored: usize,
    copied: usize,
}

impl LongTexts {
    /// Splits off the groups for which too much would be stored, or copied if each row `has_copies`. Batches
    /// with a single partition value are not counted as stored: each is mostly rows ([`crate::convert`]).
    pub(super) fn within(
        &mut self,
        groups: Vec<Group>,
        batch: &RecordBatch,
        request_bytes: usize,
        has_copies: bool,
    ) -> (Vec<Group>, Vec<Group>) {
        if groups.len() < 2 && !has_copies {
            return (groups, Vec::new());
        }
        let columns = long_columns(batch);
        if columns.is_empty() {
            return (groups, Vec::new());
        }
        let repeats = groups.len() > 1;
        let max = |fixed: usize, per_byte| fixed.saturating_add(request_bytes.saturating_mul(per_byte));
        let stored_max = max(STORED_BYTES, STORED_PER_BYTE);
        let copied_max = max(COPIED_BYTES, COPIED_PER_BYTE);
        groups.into_iter().partition(|group| {
            let (mut stored, mut copied) = (self.stored, self.copied);
            for column in &columns {
                let (once, each) = column.bytes_of(&group.rows);
                stored += if repeats { once } else { 0 };
                copied += if has_copies { each } else { 0 };
            }
            let fits_in = |sum, so_far, max| sum == so_far || sum <= max;
            let fits = fits_in(stored, self.stored, stored_max) && fits_in(copied, self.copied, copied_max);
            if fits {
                (self.stored, self.copied) = (stored, copied);
            }
            fits
        })
    }
}

/// A column whose rows refer to texts of which some are long.
struct LongColumn<'a> {
    keys: &'a Int32Array,
    /// The bytes of each text; 0 for those that are not long.
    bytes: Vec<usize>,
}

impl LongColumn<'_> {
    /// The bytes of the long texts that these rows refer to, each text once, and for each row.
    fn bytes_of(&self, rows: &Rows) -> (usize, usize) {
        match rows {
            Rows::All => self.bytes_at(0..self.keys.len()),
            Rows::Some(rows) => self.bytes_at(rows.values().iter().map(|row| *row as usize)),
        }
    }

    fn bytes_at(&self, rows: impl Iterator<Item = usize>) -> (usize, usize) {
        let mut seen = HashSet::new();
        // Neighbouring rows mostly have the same text.
        let mut last = None;
        let (mut once, mut each) = (0, 0);
        for row in rows.filter(|row| self.keys.is_valid(*row)) {
            let key = self.keys.value(row).unsigned_abs() as usize;
            let bytes = self.bytes.get(key).copied().unwrap_or_default();
            each += bytes;
            if bytes > 0 && last.replace(key) != Some(key) && seen.insert(key) {
                once += bytes;
            }
        }
        (once, each)
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

    fn kept(of: &(Vec<Group>, Vec<Group>)) -> (usize, usize) {
        (of.0.len(), of.1.len())
    }

    #[test]
    fn a_text_counts_once_for_each_group_and_short_ones_do_not() {
        let texts = ["x".repeat(4 * MIB), "y".repeat(LONG_BYTES - 1)];
        let keys: Vec<Option<i32>> = [Some(0), None, Some(1), Some(0), Some(0)].repeat(8);
        let batch = batch(&texts, &keys);
        let groups = || (0..8).map(|at| group(5 * at..5 * at + 5)).collect::<Vec<_>>();
        // Each group has the text in both columns: 8 MiB.
        let mut texts = LongTexts::default();
        assert_eq!(kept(&texts.within(groups(), &batch, 0, false)), (4, 4));
        assert_eq!(texts.stored, 32 * MIB);
        // The call's own size adds to it, and a later batch goes on where this one ended.
        assert_eq!(kept(&texts.within(groups(), &batch, 2 * MIB, false)), (2, 6));
        // Rows without a long text are not affected, nor is a batch of one partition value.
        let short = vec![group(1..3), group(6..8)];
        assert_eq!(kept(&texts.within(short, &batch, 0, false)), (2, 0));
        assert_eq!(kept(&texts.within(vec![group(0..40)], &batch, 0, false)), (1, 0));
        assert_eq!(texts.copied, 0);
    }

    #[test]
    fn copies_count_for_each_row() {
        let batch = batch(&["x".repeat(4 * MIB)], &[Some(0); 2_000]);
        let rows = |count| vec![group(0..count)];
        let mut texts = LongTexts::default();
        // 8 MiB for each row.
        assert_eq!(kept(&texts.within(rows(1_000), &batch, 0, true)), (1, 0));
        assert_eq!(kept(&texts.within(rows(25), &batch, 0, true)), (0, 1));
        assert_eq!(kept(&texts.within(rows(24), &batch, 0, true)), (1, 0));
        assert_eq!(kept(&texts.within(rows(128), &batch, MIB, true)), (1, 0));
        assert_eq!(texts.stored, 0);
    }
}
