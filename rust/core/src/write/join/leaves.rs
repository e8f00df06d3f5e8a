//! Visits arrays and types within lists, maps and structs in the order of Parquet's column chunks.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, ListArray, MapArray, StructArray};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields};

/// An array with each leaf replaced by the result of `leaf`.
///
/// # Errors
/// Any error of `leaf`.
pub(super) fn with_leaves(
    array: &ArrayRef,
    leaf: &mut dyn FnMut(&ArrayRef) -> Result<ArrayRef, ArrowError>,
) -> Result<ArrayRef, ArrowError> {
    Ok(match array.data_type() {
        DataType::List(element) => {
            let list = array.as_list::<i32>();
            let values = with_leaves(list.values(), leaf)?;
            let element = retyped(element, values.data_type());
            let nulls = list.nulls().cloned();
            Arc::new(ListArray::try_new(
                element,
                list.offsets().clone(),
                values,
                nulls,
            )?)
        }
        DataType::Map(entry, sorted) => {
            let map = array.as_map();
            let entries = structure(map.entries(), leaf)?;
            let entry = retyped(entry, entries.data_type());
            let nulls = map.nulls().cloned();
            Arc::new(MapArray::try_new(
                entry,
                map.offsets().clone(),
                entries,
                nulls,
                *sorted,
            )?)
        }
        DataType::Struct(_) => Arc::new(structure(array.as_struct(), leaf)?),
        _ => leaf(array)?,
    })
}

fn structure(
    array: &StructArray,
    leaf: &mut dyn FnMut(&ArrayRef) -> Result<ArrayRef, ArrowError>,
) -> Result<StructArray, ArrowError> {
    let mut columns = Vec::with_capacity(array.num_columns());
    for column in array.columns() {
        columns.push(with_leaves(column, leaf)?);
    }
    let fields = array.fields().iter().zip(&columns);
    let fields: Fields = fields
        .map(|(field, column)| retyped(field, column.data_type()))
        .collect();
    StructArray::try_new(fields, columns, array.nulls().cloned())
}

/// Fields with each leaf type replaced by the result of `leaf`.
pub(super) fn with_types(fields: &Fields, leaf: &mut dyn FnMut(&DataType) -> DataType) -> Fields {
    let fields = fields.iter();
    fields
        .map(|field| retyped(field, &with_type(field.data_type(), leaf)))
        .collect()
}

fn with_type(data_type: &DataType, leaf: &mut dyn FnMut(&DataType) -> DataType) -> DataType {
    match data_type {
        DataType::List(element) => DataType::List(retyped(element, &with_type(element.data_type(), leaf))),
        DataType::Map(entry, sorted) => {
            DataType::Map(retyped(entry, &with_type(entry.data_type(), leaf)), *sorted)
        }
        DataType::Struct(fields) => DataType::Struct(with_types(fields, leaf)),
        other => leaf(other),
    }
}

fn retyped(field: &FieldRef, data_type: &DataType) -> FieldRef {
    let field: &Field = field;
    Arc::new(field.clone().with_data_type(data_type.clone()))
}
