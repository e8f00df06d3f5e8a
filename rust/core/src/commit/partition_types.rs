//! Whether partition values have the types that their spec gives them under the table's current schema.
//!
//! An engine may have widened a column since the values were written: `int` to `long`, `float` to `double`.
//! iceberg-rust's manifest writer accepts only values of exactly the spec's types.

use std::cmp::Reverse;

use iceberg::spec::{DataFile, ManifestFile, PartitionSpec, PrimitiveType, SchemaRef, Struct, StructType};

use crate::catalog::LoadedTable;
use crate::error::{Error, ErrorKind, Result};

/// Files that one manifest can list.
pub(super) struct Typed<'a> {
    /// Their partition spec.
    pub(super) spec_id: i32,
    /// A schema of the table that gives the spec the types of their partitions.
    pub(super) schema: &'a SchemaRef,
    pub(super) files: Vec<&'a DataFile>,
}

/// Divides files of a partition spec by the schema that their manifest needs: the current one, or the newest
/// other one that fits. Readers convert the values of such a manifest, as those of the manifests that the
/// table had when its column was widened.
///
/// # Errors
/// `Internal` when no schema of the table fits a file. The manifest writer panics on such partitions.
pub(super) fn by_schema<'a>(
    table: &'a LoadedTable,
    spec: &PartitionSpec,
    files: &'a [DataFile],
) -> Result<Vec<Typed<'a>>> {
    let current_id = table.metadata.current_schema_id();
    let mut schemas: Vec<&SchemaRef> = table.metadata.schemas_iter().collect();
    schemas.sort_by_key(|schema| Reverse((schema.schema_id() == current_id, schema.schema_id())));
    let mut typed = Vec::new();
    let mut rest: Vec<&DataFile> = files.iter().collect();
    for schema in schemas {
        if rest.is_empty() {
            break;
        }
        // A schema may lack a column of the spec.
        let Ok(types) = spec.partition_type(schema) else {
            continue;
        };
        let (fitting, others): (Vec<_>, Vec<_>) = rest
            .into_iter()
            .partition(|file| has_types(file.partition(), &types));
        rest = others;
        if !fitting.is_empty() {
            typed.push(Typed {
                spec_id: spec.spec_id(),
                schema,
                files: fitting,
            });
        }
    }
    match rest.first() {
        None => Ok(typed),
        Some(file) => Err(Error::new(
            ErrorKind::Internal,
            "a data file's partition does not fit the table's partition spec",
        )
        .with("table", table.ident.to_string())
        .with("file", file.file_path())),
    }
}

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
