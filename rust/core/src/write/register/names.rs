//! The table property that maps column names to ids, for files without field ids.
//!
//! Iceberg spec, "Name Mapping Serialization". Without it, such a file reads as null in every column.

use iceberg::spec::{MappedField, NameMapping, NestedField, Schema, StructType, TableMetadata, Type};

use super::columns::mismatch;
use crate::error::Result;
use crate::table_properties::NAME_MAPPING;
use crate::write::internal;

/// The mapping that the table needs for a file with these fields; `None` if its current mapping already
/// resolves every field to its id.
///
/// # Errors
/// `TableMismatch` when the table has a mapping that does not.
pub(super) fn needed(metadata: &TableMetadata, fields: &[(Vec<String>, i32)]) -> Result<Option<String>> {
    let Some(text) = metadata.properties().get(NAME_MAPPING) else {
        let fields = of_struct(metadata.current_schema().as_struct());
        let mapping = NameMapping::new(fields.iter().map(mapped_whole).collect());
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

/// The text of a table's mapping with the fields that a new schema adds: those whose ids are above `last_id`.
///
/// Iceberg's own writers do the same when they add columns. A name that an older field still has, because it was
/// renamed, goes to the new one. What the mapping lacks of the older fields stays missing.
///
/// # Errors
/// When the mapping cannot be read.
pub(crate) fn extended_mapping(mapping: &str, schema: &Schema, last_id: i32) -> serde_json::Result<String> {
    let mapping: NameMapping = serde_json::from_str(mapping)?;
    let mapped: Vec<&MappedField> = mapping.fields().iter().collect();
    let fields = with_new(&mapped, &of_struct(schema.as_struct()), last_id);
    serde_json::to_string(&NameMapping::new(fields))
}

fn with_new(mapped: &[&MappedField], fields: &[Named<'_>], last_id: i32) -> Vec<MappedField> {
    let new: Vec<&Named<'_>> = fields.iter().filter(|(_, field)| field.id > last_id).collect();
    let is_taken = |name: &String| new.iter().any(|(taken, _)| taken == name);
    let mut all = Vec::with_capacity(mapped.len() + new.len());
    for old in mapped {
        let names: Vec<String> = old
            .names()
            .iter()
            .filter(|name| !is_taken(name))
            .cloned()
            .collect();
        if names.is_empty() && !old.names().is_empty() {
            continue;
        }
        let inside: Vec<&MappedField> = old.fields().iter().map(AsRef::as_ref).collect();
        let field = fields.iter().find(|(_, field)| old.field_id() == Some(field.id));
        let inside = match field {
            Some((_, field)) => with_new(&inside, &of_type(&field.field_type), last_id),
            None => inside.into_iter().cloned().collect(),
        };
        all.push(MappedField::new(old.field_id(), names, inside));
    }
    all.extend(new.into_iter().map(mapped_whole));
    all
}

/// A field and its name in a mapping.
type Named<'a> = (&'a str, &'a NestedField);

fn mapped_whole((name, field): &Named<'_>) -> MappedField {
    let inside = of_type(&field.field_type).iter().map(mapped_whole).collect();
    MappedField::new(Some(field.id), vec![(*name).to_owned()], inside)
}

fn of_struct(fields: &StructType) -> Vec<Named<'_>> {
    let fields = fields.fields().iter();
    fields
        .map(|field| (field.name.as_str(), field.as_ref()))
        .collect()
}

fn of_type(field_type: &Type) -> Vec<Named<'_>> {
    match field_type {
        Type::Primitive(_) => Vec::new(),
        Type::Struct(fields) => of_struct(fields),
        Type::List(list) => vec![("element", list.element_field.as_ref())],
        Type::Map(map) => vec![
            ("key", map.key_field.as_ref()),
            ("value", map.value_field.as_ref()),
        ],
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use iceberg::spec::{ListType, MapType, NestedFieldRef, PrimitiveType};
    use serde_json::{Value, json};

    use super::*;

    fn optional(id: i32, name: &str, field_type: Type) -> NestedFieldRef {
        Arc::new(NestedField::optional(id, name, field_type))
    }

    fn text(id: i32, name: &str) -> NestedFieldRef {
        optional(id, name, Type::Primitive(PrimitiveType::String))
    }

    fn list(element_id: i32, element: Vec<NestedFieldRef>) -> Type {
        let element = NestedField::list_element(element_id, Type::Struct(StructType::new(element)), true);
        Type::List(ListType::new(Arc::new(element)))
    }

    /// Fields above 9 are new.
    fn schema() -> Schema {
        let map = MapType::new(
            Arc::new(NestedField::map_key_element(
                13,
                Type::Primitive(PrimitiveType::String),
            )),
            Arc::new(NestedField::map_value_element(
                14,
                Type::Primitive(PrimitiveType::String),
                true,
            )),
        );
        let fields = [
            text(1, "message"),
            optional(2, "Events", list(3, vec![text(4, "Name"), text(10, "Note")])),
            text(5, "unmapped"),
            text(11, "Body"),
            optional(12, "Attributes", Type::Map(map)),
        ];
        Schema::builder().with_fields(fields).build().unwrap()
    }

    fn extended(mapping: &Value) -> Value {
        serde_json::from_str(&super::extended_mapping(&mapping.to_string(), &schema(), 9).unwrap()).unwrap()
    }

    #[test]
    fn new_fields_are_added_where_they_are_and_nothing_else_changes() {
        let mapping = json!([
            // Column 1 was renamed once, and keeps its old names.
            {"field-id": 1, "names": ["message", "msg"]},
            {"field-id": 2, "names": ["Events"], "fields": [
                {"field-id": 3, "names": ["element"], "fields": [{"field-id": 4, "names": ["Name"]}]},
            ]},
            {"names": ["ignored"], "fields": [{"field-id": 70, "names": ["x"]}]},
        ]);
        let expected = json!([
            {"field-id": 1, "names": ["message", "msg"]},
            {"field-id": 2, "names": ["Events"], "fields": [
                {"field-id": 3, "names": ["element"], "fields": [
                    {"field-id": 4, "names": ["Name"]},
                    {"field-id": 10, "names": ["Note"]},
                ]},
            ]},
            {"names": ["ignored"], "fields": [{"field-id": 70, "names": ["x"]}]},
            {"field-id": 11, "names": ["Body"]},
            {"field-id": 12, "names": ["Attributes"], "fields": [
                {"field-id": 13, "names": ["key"]},
                {"field-id": 14, "names": ["value"]},
            ]},
        ]);
        assert_eq!(extended(&mapping), expected);
    }

    #[test]
    fn a_name_leads_to_one_field_only() {
        let mapping =
            json!([{"field-id": 1, "names": ["message", "Body"]}, {"field-id": 5, "names": ["Body"]}]);
        let fields = extended(&mapping);
        assert_eq!(fields[0], json!({"field-id": 1, "names": ["message"]}));
        assert_eq!(
            fields[1],
            json!({"field-id": 11, "names": ["Body"]}),
            "field 5 has no name left"
        );
    }

    #[test]
    fn a_mapping_of_another_shape_is_an_error() {
        for mapping in ["", "{}", "[{\"names\": 7}]"] {
            assert!(
                super::extended_mapping(mapping, &schema(), 9).is_err(),
                "{mapping}"
            );
        }
    }
}
