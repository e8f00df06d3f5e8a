//! Columns that the parquet crate encodes.

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, Int32Array, UInt32Array};
use arrow_schema::{DataType, Field};
use arrow_select::take::take;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, compute_leaves};
use parquet::errors::Result;

use super::lists::span;

/// The greatest size of shared maps that are copied to their rows at a time, bytes. The crate takes no shared
/// maps, and one array holds no more than 2 GiB of texts.
const COPIED_BYTES_MAX: usize = 16 << 20;

/// Appends rows to the chunks of a column. Returns its values at these rows.
///
/// # Errors
/// Any error of the crate.
pub(super) fn append(
    writers: &mut [ArrowColumnWriter],
    field: &Field,
    array: &ArrayRef,
    rows: &[u32],
) -> Result<ArrayRef> {
    let rows = UInt32Array::from(rows.to_vec());
    let array = take(array, &rows, None)?;
    let shares_maps = matches!(array.data_type(), DataType::Dictionary(_, shared) if shared.is_nested());
    match array.as_dictionary_opt::<Int32Type>() {
        Some(dictionary) if shares_maps => {
            let maps = dictionary.values();
            let mut keys = dictionary.keys().clone();
            while !keys.is_empty() {
                let count = first_rows(&keys, |map| copied_bytes(maps, &(map..map + 1)));
                let piece = take(maps, &keys.slice(0, count), None)?;
                write(writers, field, &piece)?;
                keys = keys.slice(count, keys.len() - count);
            }
        }
        _ => write(writers, field, &array)?,
    }
    Ok(array)
}

fn write(writers: &mut [ArrowColumnWriter], field: &Field, array: &ArrayRef) -> Result<()> {
    let field = field.clone().with_data_type(array.data_type().clone());
    for (writer, leaf) in writers.iter_mut().zip(compute_leaves(&field, array)?) {
        writer.write(&leaf)?;
    }
    Ok(())
}

/// How many of the first rows take at most [`COPIED_BYTES_MAX`] bytes together; at least one.
fn first_rows(keys: &Int32Array, bytes_of: impl Fn(usize) -> usize) -> usize {
    let mut bytes = 0_usize;
    let fits = keys.iter().take_while(|key| {
        bytes = bytes.saturating_add(key.map_or(0, |key| bytes_of(key.unsigned_abs() as usize)));
        bytes <= COPIED_BYTES_MAX
    });
    fits.count().max(1)
}

/// About the bytes of consecutive values when they are copied.
fn copied_bytes(array: &ArrayRef, values: &Range<usize>) -> usize {
    let elements = |offsets: &[i32]| span(offsets, values.start).start..span(offsets, values.end).start;
    let of_columns = |columns: &[ArrayRef], values: &Range<usize>| -> usize {
        let columns = columns.iter();
        columns.map(|column| copied_bytes(column, values)).sum()
    };
    match array.data_type() {
        DataType::Map(_, _) => {
            let map = array.as_map();
            of_columns(map.entries().columns(), &elements(map.value_offsets()))
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            copied_bytes(list.values(), &elements(list.value_offsets()))
        }
        DataType::Struct(_) => of_columns(array.as_struct().columns(), values),
        DataType::Utf8 => 4 * values.len() + elements(array.as_string::<i32>().value_offsets()).len(),
        _ => 8 * values.len(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::builder::{MapBuilder, StringBuilder};
    use arrow_array::{DictionaryArray, StringArray};

    use super::*;

    fn maps(of: &[&[(&str, &str)]]) -> ArrayRef {
        let mut builder = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
        for map in of {
            for (key, value) in *map {
                builder.keys().append_value(key);
                builder.values().append_value(value);
            }
            builder.append(true).unwrap();
        }
        Arc::new(builder.finish())
    }

    #[test]
    fn maps_take_the_bytes_of_their_keys_and_values() {
        let maps = maps(&[&[("a", "bcd")], &[], &[("ef", ""), ("g", "hi")]]);
        let bytes: Vec<usize> = (0..3).map(|map| copied_bytes(&maps, &(map..map + 1))).collect();
        assert_eq!(bytes, [2 * 4 + 4, 0, 4 * 4 + 5]);
        assert_eq!(copied_bytes(&maps, &(0..3)), 33);
        // The entries of a slice are those of the whole array.
        assert_eq!(copied_bytes(&maps.slice(2, 1), &(0..1)), 21);
        let keys = Int32Array::from(vec![0, 0]);
        let labels = DictionaryArray::new(keys, Arc::new(StringArray::from(vec!["x"])));
        let labels: ArrayRef = Arc::new(labels);
        assert_eq!(copied_bytes(&labels, &(0..2)), 16);
    }

    /// Maps of 132 KiB in 16,384 rows are more than an array can hold.
    #[test]
    fn rows_are_taken_as_far_as_their_maps_are_small_together() {
        let keys = Int32Array::from(vec![Some(0); 16_384]);
        assert_eq!(first_rows(&keys, |_| 132 << 10), 124);
        assert_eq!(first_rows(&keys, |_| 20), 16_384);
        // One map is larger by itself.
        assert_eq!(first_rows(&keys, |_| 1 << 30), 1);
        let keys = Int32Array::from(vec![None, Some(1), None, Some(0), Some(1)]);
        let bytes_of = |key: usize| [10 << 20, 7 << 20][key];
        assert_eq!(first_rows(&keys, bytes_of), 3);
        assert_eq!(first_rows(&keys.slice(3, 2), bytes_of), 1);
    }
}
