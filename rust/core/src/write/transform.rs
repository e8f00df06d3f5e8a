//! Iceberg transforms over our arrays, including dictionaries.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampNanosecondType;
use arrow_array::{Array, ArrayRef, Int32Array};
use arrow_schema::DataType;
use arrow_select::take::take;
use iceberg::spec::Transform;
use iceberg::transform::create_transform_function;

use super::internal;
use crate::error::{Error, ErrorKind, Result};

const NANOS_PER_HOUR: i64 = 3_600_000_000_000;

/// The transformed values, one per row. Texts that rows share stay shared: written for each row, they could
/// be more than an array can hold.
///
/// # Errors
/// `TableMismatch` when the transform is unknown or does not support this type.
pub(super) fn transformed(transform: Transform, array: &ArrayRef) -> Result<ArrayRef> {
    // A dictionary has few values: transform those, then look up each row's.
    if let DataType::Dictionary(_, _) = array.data_type() {
        let dictionary = array.as_any_dictionary();
        let values = apply(transform, dictionary.values())?;
        if !values.data_type().is_primitive() {
            return Ok(dictionary.with_values(values));
        }
        return take(&values, dictionary.keys(), None)
            .map_err(|cause| internal("a dictionary column cannot be expanded", cause));
    }
    apply(transform, array)
}

fn apply(transform: Transform, array: &ArrayRef) -> Result<ArrayRef> {
    // iceberg-rust implements all transforms of nanoseconds except this one.
    if transform == Transform::Hour
        && let Some(nanos) = array.as_primitive_opt::<TimestampNanosecondType>()
    {
        let hours: Int32Array = nanos.unary_opt(|nanos| i32::try_from(nanos.div_euclid(NANOS_PER_HOUR)).ok());
        return Ok(Arc::new(hours));
    }
    create_transform_function(&transform)
        .and_then(|function| function.transform(Arc::clone(array)))
        .map_err(|cause| {
            Error::new(
                ErrorKind::TableMismatch,
                "the table uses a transform that cannot be computed; give it another partition spec, or name another table in tables.names",
            )
            .with("transform", transform.to_string())
            .because(cause)
        })
}

#[cfg(test)]
mod tests {
    use arrow_array::types::Int32Type;
    use arrow_array::{DictionaryArray, TimestampNanosecondArray};

    use super::*;

    #[test]
    fn hours_of_nanoseconds_begin_at_the_full_hour_also_before_1970() {
        const HOUR: i64 = NANOS_PER_HOUR;
        let nanos = [
            Some(0),
            Some(HOUR - 1),
            Some(HOUR),
            None,
            Some(-1),
            Some(-HOUR),
            Some(-HOUR - 1),
        ];
        let nanos: ArrayRef = Arc::new(TimestampNanosecondArray::from(nanos.to_vec()).with_timezone("UTC"));
        let hours = transformed(Transform::Hour, &nanos).unwrap();
        let expected = [Some(0), Some(0), Some(1), None, Some(-1), Some(-1), Some(-2)];
        assert_eq!(
            *hours.as_primitive::<Int32Type>(),
            Int32Array::from(expected.to_vec())
        );
    }

    #[test]
    fn texts_that_rows_share_stay_shared() {
        let labels = [Some("iceberg"), None, Some("ice"), Some("iceberg")];
        let labels: ArrayRef = Arc::new(labels.into_iter().collect::<DictionaryArray<Int32Type>>());
        let truncated = transformed(Transform::Truncate(4), &labels).unwrap();
        let truncated = truncated.as_dictionary::<Int32Type>();
        let values = truncated.values().as_string::<i32>();
        assert_eq!(values.iter().collect::<Vec<_>>(), [Some("iceb"), Some("ice")]);
        assert_eq!(
            *truncated.keys(),
            Int32Array::from(vec![Some(0), None, Some(1), Some(0)])
        );
        // The spec's 32-bit hash of "iceberg" is 1210000089.
        let buckets = transformed(Transform::Bucket(16), &labels).unwrap();
        let buckets = buckets.as_primitive::<Int32Type>();
        assert_eq!(
            (buckets.value(0), buckets.value(3)),
            (1_210_000_089 % 16, 1_210_000_089 % 16)
        );
        assert!(buckets.is_null(1));
    }
}
