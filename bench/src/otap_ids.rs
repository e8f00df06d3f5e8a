//! Makes the ids of OTAP batches unique in a table. They start at 0 in each batch. otel-arrow's Parquet
//! exporter does the same.

use std::sync::Arc;

use otel_arrow_dfe_pdata::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StructArray, UInt32Array};
use otel_arrow_dfe_pdata::arrow::compute::cast;
use otel_arrow_dfe_pdata::arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, UInt32Type};

use crate::Failure;

/// Adds `first` to every id; `next` becomes greater than all of them.
pub fn shifted(batch: &RecordBatch, first: u32, next: &mut u32) -> Result<RecordBatch, Failure> {
    let (fields, columns) = shifted_columns(batch.schema().fields(), batch.columns(), first, next)?;
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

fn shifted_columns(
    fields: &Fields,
    columns: &[ArrayRef],
    first: u32,
    next: &mut u32,
) -> Result<(Fields, Vec<ArrayRef>), Failure> {
    let mut shifted: Vec<(FieldRef, ArrayRef)> = Vec::new();
    for (field, column) in fields.iter().zip(columns) {
        shifted.push(match field.data_type() {
            // The ids of a row's resource and scope.
            DataType::Struct(inner) => {
                let parts = column.as_struct();
                let (inner, columns) = shifted_columns(inner, parts.columns(), first, next)?;
                let column = StructArray::try_new(inner.clone(), columns, parts.nulls().cloned())?;
                let field = field.as_ref().clone().with_data_type(DataType::Struct(inner));
                (Arc::new(field), Arc::new(column))
            }
            _ if matches!(field.name().as_str(), "id" | "parent_id") => {
                let ids = cast(column, &DataType::UInt32)?;
                let ids: UInt32Array = ids.as_primitive::<UInt32Type>().unary(|id| id + first);
                *next = ids.iter().flatten().map(|id| id + 1).fold(*next, u32::max);
                (
                    Arc::new(Field::new(field.name(), DataType::UInt32, true)),
                    Arc::new(ids),
                )
            }
            _ => (field.clone(), column.clone()),
        });
    }
    let (fields, columns): (Vec<_>, Vec<_>) = shifted.into_iter().unzip();
    Ok((fields.into(), columns))
}
