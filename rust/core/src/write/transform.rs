//! Iceberg transforms over our arrays, dictionaries included.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use arrow_select::take::take;
use iceberg::spec::Transform;
use iceberg::transform::create_transform_function;

use super::internal;
use crate::error::{Error, ErrorKind, Result};

/// The transformed values, one per row, never a dictionary.
///
/// # Errors
/// `TableMismatch` when the transform is not known or not for this type.
pub(super) fn transformed(transform: Transform, array: &ArrayRef) -> Result<ArrayRef> {
    // A dictionary has few values: transform those and look each row's up.
    if let DataType::Dictionary(_, _) = array.data_type() {
        let dictionary = array.as_any_dictionary();
        let values = apply(transform, dictionary.values())?;
        return take(&values, dictionary.keys(), None)
            .map_err(|cause| internal("a dictionary column cannot be expanded", cause));
    }
    apply(transform, array)
}

fn apply(transform: Transform, array: &ArrayRef) -> Result<ArrayRef> {
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
