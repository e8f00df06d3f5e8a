//! Derives the single partition value of all rows of a file from its statistics.

use iceberg::spec::{
    Datum, Literal, PartitionField, PrimitiveLiteral, PrimitiveType, Struct, TableMetadata, Transform,
};
use iceberg::transform::create_transform_function;

use super::columns::mismatch;
use super::statistics::ColumnStatistics;
use crate::calendar::date_of_day;
use crate::error::Result;
use crate::write::partition::check_names;

/// The value for the table's default partition spec. `statistics` returns those of a field, `None` if the
/// file does not have it.
///
/// # Errors
/// `TableMismatch` when the rows have several values, or when the statistics cannot exclude that; any error of
/// [`check_names`].
pub(super) fn value<'s>(
    metadata: &TableMetadata,
    statistics: impl Fn(i32) -> Option<&'s ColumnStatistics>,
) -> Result<Struct> {
    check_names(metadata)?;
    metadata
        .default_partition_spec()
        .fields()
        .iter()
        .map(|field| field_value(metadata, field, statistics(field.source_id)))
        .collect()
}

fn field_value(
    metadata: &TableMetadata,
    field: &PartitionField,
    column: Option<&ColumnStatistics>,
) -> Result<Option<Literal>> {
    if field.transform == Transform::Void {
        return Ok(None);
    }
    let schema = metadata.current_schema();
    let source = schema.name_by_field_id(field.source_id).unwrap_or("?");
    let refused = |why: &str| {
        mismatch(format!(
            "all rows of a file must have one value of the partition field {} ({} of column {source}): {why}",
            field.name, field.transform
        ))
    };
    let Some(column) = column else {
        // Readers give rows without the column its initial default (Iceberg spec, "Default values", format v3);
        // without one they are null, and so is any transform of them.
        return match schema.field_by_id(field.source_id) {
            Some(source) if source.initial_default.is_some() => Err(refused(
                "the file does not have that column, which has a default value",
            )),
            _ => Ok(None),
        };
    };
    let Some(nulls) = column.nulls else {
        return Err(refused("its footer does not tell how many nulls there are"));
    };
    if nulls == column.values {
        return Ok(None);
    }
    if nulls > 0 {
        return Err(refused("some rows have no value"));
    }
    let (Some(lower), Some(upper)) = (&column.lower, &column.upper) else {
        return Err(refused("its footer has no least and greatest value"));
    };
    let is_bucket = matches!(field.transform, Transform::Bucket(_));
    if !column.exact {
        return Err(refused("the least and greatest value in its footer are cut"));
    }
    // The library that formats partition values panics on values outside this range; OTLP has no times before
    // 1970.
    if [lower, upper].into_iter().any(is_far) {
        return Err(refused("it has times before 1970 or after 9999"));
    }
    let (first, last) = (transformed(field, lower)?, transformed(field, upper)?);
    // Values between two different ones may fall into any bucket.
    if first != last || (is_bucket && lower != upper) {
        return Err(refused(&format!(
            "its rows go from {} to {}",
            shown(lower),
            shown(upper)
        )));
    }
    Ok(first.map(|value| Literal::Primitive(value.literal().clone())))
}

/// The last microsecond of the year 9999.
const TIME_MAX_MICROS: i64 = 253_402_300_799_999_999;
const MICROS_PER_DAY: i64 = 86_400_000_000;

fn is_far(value: &Datum) -> bool {
    match (value.data_type(), value.literal()) {
        (PrimitiveType::Timestamptz, PrimitiveLiteral::Long(micros)) => {
            !(0..=TIME_MAX_MICROS).contains(micros)
        }
        (PrimitiveType::TimestamptzNs, PrimitiveLiteral::Long(nanos)) => *nanos < 0,
        _ => false,
    }
}

/// A value for error messages. `Datum`'s own formatting panics on times before 1970.
fn shown(value: &Datum) -> String {
    let time = |micros: i64| {
        let (days, rest) = (micros / MICROS_PER_DAY, micros % MICROS_PER_DAY);
        let (year, month, day) = date_of_day(days.unsigned_abs());
        let seconds = rest / 1_000_000;
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    };
    match (value.data_type(), value.literal()) {
        (PrimitiveType::Timestamptz, PrimitiveLiteral::Long(micros)) => time(*micros),
        (PrimitiveType::TimestamptzNs, PrimitiveLiteral::Long(nanos)) => time(*nanos / 1000),
        _ => value.to_string(),
    }
}

fn transformed(field: &PartitionField, value: &Datum) -> Result<Option<Datum>> {
    create_transform_function(&field.transform)
        .and_then(|function| function.transform_literal(value))
        .map_err(|cause| {
            mismatch(format!(
                "the table's partition field {} cannot be computed",
                field.name
            ))
            .because(cause)
        })
}
