//! Whether partition values have the types that their spec gives them under the table's current schema.
//!
//! An engine may have widened a column since the values were written: `int` to `long`, `float` to `double`.
//! iceberg-rust's manifest writer accepts only values of exactly the spec's types.

use iceberg::spec::{ManifestFile, PrimitiveType, Struct, StructType};

/// Whether a partition has these types.
pub(crate) fn has_types(partition: &Struct, types: &StructType) -> bool {
    let values = partition.fields();
    values.len() == types.fields().len()
        && values
            .iter()
            .zip(types.fields())
            .all(|(value, field)| match value {
                None => true,
                Some(value) => field
                    .field_type
                    .as_primitive_type()
                    .zip(value.as_primitive_literal())
                    .is_some_and(|(primitive, literal)| primitive.compatible(&literal)),
            })
}

/// Whether the partitions in a manifest have these types, judging by its entry in the manifest list: the
/// bounds of narrower values are shorter.
pub(super) fn may_have_types(manifest: &ManifestFile, types: &StructType) -> bool {
    let summaries = manifest.partitions.iter().flatten();
    summaries.zip(types.fields()).all(|(summary, field)| {
        let is_wide = matches!(
            field.field_type.as_primitive_type(),
            Some(PrimitiveType::Long | PrimitiveType::Double)
        );
        let mut bounds = [&summary.lower_bound, &summary.upper_bound].into_iter().flatten();
        !is_wide || bounds.all(|bound| bound.len() == size_of::<i64>())
    })
}
