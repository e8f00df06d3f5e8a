//! The table property that maps column names to ids, for files without field ids.
//!
//! Iceberg spec, "Name Mapping Serialization". Without it, such a file reads as null in every column.

use iceberg::spec::{
    DEFAULT_SCHEMA_NAME_MAPPING, MappedField, NameMapping, NestedField, StructType, TableMetadata, Type,
};

use super::columns::mismatch;
use crate::error::Result;
use crate::write::internal;

/// The property's name.
pub(crate) const NAME_MAPPING: &str = DEFAULT_SCHEMA_NAME_MAPPING;

/// The mapping that the table needs for a file with these fields; `None` if its current mapping already
/// resolves every field to its id.
///
/// # Errors
/// `TableMismatch` when the table has a mapping that does not.
pub(super) fn needed(metadata: &TableMetadata, fields: &[(Vec<String>, i32)]) -> Result<Option<String>> {
    let Some(text) = metadata.properties().get(NAME_MAPPING) else {
        let mapping = NameMapping::new(of_struct(metadata.current_schema().as_struct()));
        return serde_json::to_string(&mapping)
            .map(Some)
            .map_err(|cause| internal("a name mapping cannot be written", cause));
    };
    let mapping: NameMapping = serde_json::from_str(text).map_err(|cause| {
        mismatch(format!("the table's property {NAME_MAPPING} cannot be read")).because(cause)
    })?;
    for (path, id) in fields {
        if resolved(&mapping, path) != Some(*id) {
            return Err(mismatch(format!(
                "the file has no field ids, and the table's property {NAME_MAPPING} does not lead {} to its field {id}",
                path.join(".")
            )));
        }
    }
    Ok(None)
}

fn resolved(mapping: &NameMapping, path: &[String]) -> Option<i32> {
    let (first, rest) = path.split_first()?;
    let has = |field: &MappedField, name: &String| field.names().contains(name);
    let mut field = mapping.fields().iter().find(|field| has(field, first))?;
    for name in rest {
        field = field.fields().iter().find(|field| has(field, name))?;
    }
    field.field_id()
}

fn of_struct(fields: &StructType) -> Vec<MappedField> {
    fields
        .fields()
        .iter()
        .map(|field| of_field(field, &field.name))
        .collect()
}

fn of_field(field: &NestedField, name: &str) -> MappedField {
    let inside = match field.field_type.as_ref() {
        Type::Primitive(_) => Vec::new(),
        Type::Struct(fields) => of_struct(fields),
        Type::List(list) => vec![of_field(&list.element_field, "element")],
        Type::Map(map) => vec![
            of_field(&map.key_field, "key"),
            of_field(&map.value_field, "value"),
        ],
    };
    MappedField::new(Some(field.id), vec![name.to_owned()], inside)
}
