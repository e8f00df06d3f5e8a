//! Builds columns of single attributes from the attribute maps of a batch.
//!
//! They are built when a batch is closed. The maps' keys are dictionary keys by then, so an attribute is
//! found by comparing numbers, and those of a resource are examined once for all of its rows. A table without
//! such columns has no cost.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, MapArray, RecordBatch,
};
use arrow_schema::{ArrowError, Field, Schema};
use arrow_select::take::take;

use super::TableBatch;
use super::dictionary::{Dictionary, Key};
use super::text_column::TextColumn;
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{AttributeColumn, AttributeType, attribute_field};

/// The batch with these columns after its own, in their order. A row without the attribute has null. So has a
/// row whose value is null or cannot be parsed as the column's type; its map still has the value.
///
/// # Errors
/// `Internal` when the batch does not have its table's schema.
pub fn with_attribute_columns<'a>(
    rows: &'a TableBatch,
    columns: &[AttributeColumn],
) -> Result<Cow<'a, TableBatch>> {
    if columns.is_empty() {
        return Ok(Cow::Borrowed(rows));
    }
    let batch = extended(rows, columns).map_err(|cause| {
        Error::new(ErrorKind::Internal, "columns of attributes cannot be made")
            .with("table", rows.table.default_name())
            .because(cause)
    })?;
    Ok(Cow::Owned(TableBatch {
        table: rows.table,
        batch,
    }))
}

fn extended(rows: &TableBatch, columns: &[AttributeColumn]) -> Result<RecordBatch, ArrowError> {
    let schema = rows.batch.schema();
    let mut fields: Vec<Arc<Field>> = schema.fields().iter().map(Arc::clone).collect();
    let mut arrays = rows.batch.columns().to_vec();
    let mut texts = Vec::new();
    for column in columns {
        let map = column.map(rows.table);
        let maps = rows.batch.column_by_name(map);
        let maps = maps.ok_or_else(|| ArrowError::SchemaError(format!("there is no column {map}")))?;
        fields.push(Arc::new(attribute_field(column, rows.table)));
        arrays.push(array(maps, column, &mut texts)?);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

/// The values of one column. `texts` is a reusable buffer.
fn array<'a>(
    maps: &'a ArrayRef,
    column: &AttributeColumn,
    texts: &mut Vec<Option<&'a str>>,
) -> Result<ArrayRef, ArrowError> {
    texts.clear();
    let Some(shared) = maps.as_dictionary_opt::<Int32Type>() else {
        find_texts(maps, &column.attribute, texts)?;
        return read(texts, column.value_type);
    };
    find_texts(shared.values(), &column.attribute, texts)?;
    if column.value_type == AttributeType::String {
        return labels(texts, shared.keys());
    }
    take(&read(texts, column.value_type)?, shared.keys(), None)
}

/// Finds the text of an attribute in each of the maps.
fn find_texts<'a>(
    maps: &'a ArrayRef,
    attribute: &str,
    texts: &mut Vec<Option<&'a str>>,
) -> Result<(), ArrowError> {
    let no_maps = || ArrowError::SchemaError(format!("{} is no map of texts by label", maps.data_type()));
    let maps: &MapArray = maps.as_map_opt().ok_or_else(no_maps)?;
    let keys = maps.keys().as_dictionary_opt::<Int32Type>().ok_or_else(no_maps)?;
    let known = keys.values().as_string_opt::<i32>().ok_or_else(no_maps)?;
    let values = maps.values().as_string_opt::<i32>().ok_or_else(no_maps)?;
    let Some(wanted) = known.iter().position(|key| key == Some(attribute)) else {
        texts.resize(maps.len(), None);
        return Ok(());
    };
    let mut entry = entry_finder(keys.keys().values(), wanted);
    texts.extend(maps.offsets().windows(2).map(|ends| {
        match ends {
            [start, end] => entry(start.unsigned_abs() as usize, end.unsigned_abs() as usize)
                .filter(|entry| values.is_valid(*entry))
                .map(|entry| values.value(entry)),
            _ => None,
        }
    }));
    Ok(())
}

/// Finds the entry with a key within a range of a map's entries.
fn entry_finder(keys: &[Key], wanted: usize) -> impl FnMut(usize, usize) -> Option<usize> {
    let is_wanted = move |key: &Key| key.unsigned_abs() as usize == wanted;
    // Consecutive rows have the same keys in the same order.
    let mut likely = 0;
    move |start, end| {
        let map = keys.get(start..end)?;
        if !map.get(likely).is_some_and(is_wanted) {
            likely = map.iter().position(is_wanted)?;
        }
        Some(start + likely)
    }
}

/// A dictionary array of distinct texts that rows refer to by `keys`.
fn labels(texts: &[Option<&str>], keys: &Int32Array) -> Result<ArrayRef, ArrowError> {
    let mut labels = Dictionary::default();
    let of_texts: Vec<Option<Key>> = texts
        .iter()
        .map(|text| text.map(|text| labels.intern(text.as_bytes(), 0)))
        .collect();
    let of_row = |key: Option<Key>| *of_texts.get(key?.unsigned_abs() as usize)?;
    let (_, keys, nulls) = keys.iter().map(of_row).collect::<Int32Array>().into_parts();
    Ok(Arc::new(labels.into_array(keys.to_vec(), nulls)?))
}

/// Parses texts as values of a type; null where that fails.
fn read(texts: &[Option<&str>], value_type: AttributeType) -> Result<ArrayRef, ArrowError> {
    let texts = texts.iter().copied();
    Ok(match value_type {
        AttributeType::String => {
            let mut column = TextColumn::default();
            for text in texts {
                column
                    .writer()
                    .extend_from_slice(text.unwrap_or_default().as_bytes());
                column.end_value(text.is_some());
            }
            Arc::new(column.into_array()?)
        }
        AttributeType::Long => Arc::new(texts.map(|text| whole(text?)).collect::<Int64Array>()),
        AttributeType::Double => Arc::new(texts.map(|text| double(text?)).collect::<Float64Array>()),
        AttributeType::Boolean => Arc::new(texts.map(|text| text?.parse().ok()).collect::<BooleanArray>()),
    })
}

/// Parses an integer, which may be the text of a double such as `1.0` or `1e+16` (rule 5).
fn whole(text: &str) -> Option<i64> {
    match text.split_once(['e', 'E']) {
        None => text.strip_suffix(".0").unwrap_or(text).parse().ok(),
        Some((mantissa, exponent)) => scaled(mantissa, exponent.parse().ok()?),
    }
}

/// A decimal number times a power of ten, if that is a whole number that fits. It is exactly the number that
/// is written: the digits are moved, and a double, which would round them, is never made.
fn scaled(mantissa: &str, exponent: i64) -> Option<i64> {
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    let significant = digits.trim_end_matches('0');
    let zeros = digits.len() - significant.len();
    if matches!(significant, "" | "+" | "-") {
        return (zeros > 0).then_some(0);
    }
    let power = exponent
        .checked_sub(i64::try_from(fraction.len()).ok()?)?
        .checked_add(i64::try_from(zeros).ok()?)?;
    let unit = 10_i64.checked_pow(u32::try_from(power).ok()?)?;
    significant.parse::<i64>().ok()?.checked_mul(unit)
}

/// Parses a double. Of the words for numbers that Rust knows, rule 5 writes three.
fn double(text: &str) -> Option<f64> {
    let is_number = text.bytes().any(|byte| byte.is_ascii_digit());
    if is_number || matches!(text, "NaN" | "Infinity" | "-Infinity") {
        text.parse().ok()
    } else {
        None
    }
}
