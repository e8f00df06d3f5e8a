//! Default values of columns that only the table has (Iceberg spec, "Default values", format v3).
//!
//! A column that a data file lacks reads as its *initial* default, which is for the rows from before the
//! column was added. Rows written now are to have its *write* default instead. So a column that has
//! either is put into the file.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array, StringArray,
    new_null_array,
};
use arrow_cast::cast;
use arrow_schema::{DataType, TimeUnit};
use iceberg::spec::{Literal, NestedField, PrimitiveLiteral, PrimitiveType, Type};

use crate::schema::UTC;

/// A default of a type that we have no array for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotWritten;

/// The values of a column that our rows do not have: its write default in each row, null where there is only
/// an initial one, `None` where leaving the column out says the same.
///
/// # Errors
/// [`NotWritten`]: leaving the column out would be wrong.
pub(super) fn written(field: &NestedField, rows: usize) -> Result<Option<ArrayRef>, NotWritten> {
    match (&field.write_default, &field.initial_default) {
        (None, None) => Ok(None),
        (Some(Literal::Primitive(value)), _) => constant(&field.field_type, value, rows).map(Some),
        (Some(_), _) => Err(NotWritten),
        // Nothing else could be written into it.
        (None, Some(_)) if field.required => Ok(None),
        (None, Some(_)) => nulls(&field.field_type, rows).map(Some),
    }
}

fn constant(field_type: &Type, value: &PrimitiveLiteral, rows: usize) -> Result<ArrayRef, NotWritten> {
    let array: ArrayRef = match value {
        PrimitiveLiteral::Boolean(value) => Arc::new(BooleanArray::from(vec![*value; rows])),
        PrimitiveLiteral::Int(value) => Arc::new(Int32Array::from_value(*value, rows)),
        PrimitiveLiteral::Long(value) => Arc::new(Int64Array::from_value(*value, rows)),
        PrimitiveLiteral::Float(value) => Arc::new(Float32Array::from_value(value.0, rows)),
        PrimitiveLiteral::Double(value) => Arc::new(Float64Array::from_value(value.0, rows)),
        PrimitiveLiteral::String(value) => {
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(value, rows)))
        }
        PrimitiveLiteral::Binary(value) => {
            Arc::new(BinaryArray::from_iter_values(std::iter::repeat_n(value, rows)))
        }
        _ => return Err(NotWritten),
    };
    // Dates and times are the numbers that their literals hold.
    cast(&array, &arrow_type(field_type)?).map_err(|_| NotWritten)
}

fn nulls(field_type: &Type, rows: usize) -> Result<ArrayRef, NotWritten> {
    Ok(new_null_array(&arrow_type(field_type)?, rows))
}

fn arrow_type(field_type: &Type) -> Result<DataType, NotWritten> {
    let Type::Primitive(primitive) = field_type else {
        return Err(NotWritten);
    };
    Ok(match primitive {
        PrimitiveType::Boolean => DataType::Boolean,
        PrimitiveType::Int => DataType::Int32,
        PrimitiveType::Long => DataType::Int64,
        PrimitiveType::Float => DataType::Float32,
        PrimitiveType::Double => DataType::Float64,
        PrimitiveType::Date => DataType::Date32,
        PrimitiveType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        PrimitiveType::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
        PrimitiveType::TimestampNs => DataType::Timestamp(TimeUnit::Nanosecond, None),
        PrimitiveType::TimestamptzNs => DataType::Timestamp(TimeUnit::Nanosecond, Some(UTC.into())),
        PrimitiveType::String => DataType::Utf8,
        PrimitiveType::Binary => DataType::Binary,
        _ => return Err(NotWritten),
    })
}
