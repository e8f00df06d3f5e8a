//! Default values of columns that only the table has (Iceberg spec, "Default values", format v3).
//!
//! A column that a data file lacks reads as its *initial* default, which is meant for rows from before the
//! column was added. Rows written now must have its *write* default instead. So a column with either default
//! is written into the file.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int32Array, Int64Array,
    StringArray, new_null_array,
};
use arrow_cast::cast;
use arrow_schema::{DataType, TimeUnit};
use iceberg::spec::{Literal, NestedField, PrimitiveLiteral, PrimitiveType, Type};

use crate::schema::UTC;

/// A default value of a type that we cannot build an array for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotWritten;

/// The values of a column that our rows do not have: its write default in each row, null if it has only an
/// initial default, `None` if omitting the column has the same meaning.
///
/// # Errors
/// [`NotWritten`] when omitting the column would be wrong and its default cannot be written.
pub(super) fn written(field: &NestedField, rows: usize) -> Result<Option<ArrayRef>, NotWritten> {
    match (&field.write_default, &field.initial_default) {
        (None, None) => Ok(None),
        (Some(Literal::Primitive(value)), _) => constant(&field.field_type, value, rows).map(Some),
        (Some(_), _) => Err(NotWritten),
        // A required column cannot be null, so it is omitted and reads as its initial default.
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
        PrimitiveLiteral::Int128(value) => return decimals(field_type, *value, rows),
        PrimitiveLiteral::Binary(value) => {
            Arc::new(BinaryArray::from_iter_values(std::iter::repeat_n(value, rows)))
        }
        _ => return Err(NotWritten),
    };
    // Date and time literals hold the numbers of their Arrow types.
    cast(&array, &arrow_type(field_type)?).map_err(|_| NotWritten)
}

fn decimals(field_type: &Type, value: i128, rows: usize) -> Result<ArrayRef, NotWritten> {
    let values = Decimal128Array::from_value(value, rows);
    let DataType::Decimal128(precision, scale) = arrow_type(field_type)? else {
        return Err(NotWritten);
    };
    let values = values.with_precision_and_scale(precision, scale);
    Ok(Arc::new(values.map_err(|_| NotWritten)?))
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
        PrimitiveType::Decimal { precision, scale } => DataType::Decimal128(
            u8::try_from(*precision).map_err(|_| NotWritten)?,
            i8::try_from(*scale).map_err(|_| NotWritten)?,
        ),
        PrimitiveType::Date => DataType::Date32,
        PrimitiveType::Time => DataType::Time64(TimeUnit::Microsecond),
        PrimitiveType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        PrimitiveType::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
        PrimitiveType::TimestampNs => DataType::Timestamp(TimeUnit::Nanosecond, None),
        PrimitiveType::TimestamptzNs => DataType::Timestamp(TimeUnit::Nanosecond, Some(UTC.into())),
        PrimitiveType::String => DataType::Utf8,
        PrimitiveType::Binary => DataType::Binary,
        PrimitiveType::Fixed(bytes) => {
            DataType::FixedSizeBinary(i32::try_from(*bytes).map_err(|_| NotWritten)?)
        }
        // A UUID needs an annotation that arrow's types do not have.
        PrimitiveType::Uuid => return Err(NotWritten),
    })
}
