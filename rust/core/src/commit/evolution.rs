//! The schema of an existing table with our missing columns added. Pure.

use std::sync::Arc;

use iceberg::spec::{ListType, MapType, NestedField, NestedFieldRef, Schema, StructType, Type};

use crate::catalog::LoadedTable;
use crate::cause::IcebergCause;
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{AttributeColumn, field_path, holds, match_fields};

/// A schema to set, and the paths of the fields that the table's own schema lacks.
pub(super) struct Evolved {
    pub schema: Schema,
    pub added: Vec<String>,
}

/// The table's schema with the fields of `wanted` that it lacks, `attributes` being the attribute columns among
/// them. `None` if it lacks none, or if our rows cannot be added to it in any case.
///
/// # Errors
/// `TableMismatch` when a column's type clashes, naming both, or when the columns make no schema.
pub(super) fn evolved(
    table: &LoadedTable,
    wanted: &Schema,
    attributes: &[AttributeColumn],
) -> Result<Option<Evolved>> {
    let current = table.metadata.current_schema();
    // Our rows are refused later, with an error that names that column. The table is not changed in vain.
    if requires_others(current.as_struct(), wanted.as_struct()) {
        return Ok(None);
    }
    let mut evolution = Evolution {
        attributes,
        last_id: table.metadata.last_column_id(),
        added: Vec::new(),
    };
    let named = |error: Error| error.with("table", table.ident.to_string());
    let fields = evolution
        .fields(current.as_struct(), wanted.as_struct(), "")
        .map_err(named)?;
    if evolution.added.is_empty() {
        return Ok(None);
    }
    let schema = Schema::builder()
        .with_schema_id(current.schema_id())
        .with_identifier_field_ids(current.identifier_field_ids())
        .with_fields(fields)
        .build()
        .map_err(|cause| {
            named(Error::new(
                ErrorKind::TableMismatch,
                "our columns cannot be added to the table; set tables.auto_evolve to false, or name another table in tables.names",
            ))
            .because(IcebergCause(cause))
        })?;
    let added = evolution.added;
    Ok(Some(Evolved { schema, added }))
}

/// Whether the table requires a column that is not ours and has no default for our rows.
fn requires_others(have: &StructType, want: &StructType) -> bool {
    let names: Vec<&str> = want.fields().iter().map(|field| field.name.as_str()).collect();
    let Ok(matches) = match_fields(have.fields(), &names) else {
        return false;
    };
    let mut fields = have.fields().iter().zip(matches);
    fields.any(|(field, position)| field.required && field.write_default.is_none() && position.is_none())
}

struct Evolution<'a> {
    attributes: &'a [AttributeColumn],
    last_id: i32,
    /// The paths of the new fields.
    added: Vec<String>,
}

impl Evolution<'_> {
    /// The fields of `have`, each with its missing inner fields, followed by those that only `want` has.
    fn fields(&mut self, have: &StructType, want: &StructType, path: &str) -> Result<Vec<NestedFieldRef>> {
        let names: Vec<&str> = want.fields().iter().map(|field| field.name.as_str()).collect();
        let matches = match_fields(have.fields(), &names).map_err(|ambiguous| {
            let message = format!(
                "{}; rename or drop one of the table's, or give the table another name in tables.names",
                ambiguous.message(path)
            );
            Error::new(ErrorKind::TableMismatch, message)
        })?;
        let mut fields = Vec::with_capacity(want.fields().len());
        for (field, position) in have.fields().iter().zip(&matches) {
            fields.push(match position.and_then(|position| want.fields().get(position)) {
                Some(wanted) if path.is_empty() && self.is_attribute(wanted) => Arc::clone(field),
                Some(wanted) => self.field(field, wanted, path)?,
                None => Arc::clone(field),
            });
        }
        let missing: Vec<&NestedFieldRef> = want
            .fields()
            .iter()
            .enumerate()
            .filter(|(position, _)| !matches.contains(&Some(*position)))
            .map(|(_, field)| field)
            .collect();
        self.added
            .extend(missing.iter().map(|field| field_path(path, &field.name)));
        fields.extend(self.fresh_fields(&missing));
        Ok(fields)
    }

    /// Such a column has no inner fields that could be missing.
    fn is_attribute(&self, column: &NestedField) -> bool {
        self.attributes
            .iter()
            .any(|attribute| attribute.name.eq_ignore_ascii_case(&column.name))
    }

    fn field(&mut self, have: &NestedFieldRef, want: &NestedFieldRef, path: &str) -> Result<NestedFieldRef> {
        let path = field_path(path, &have.name);
        let field_type = match (have.field_type.as_ref(), want.field_type.as_ref()) {
            (Type::Struct(have), Type::Struct(want)) => {
                Type::Struct(StructType::new(self.fields(have, want, &path)?))
            }
            (Type::List(have), Type::List(want)) => {
                let element = self.field(&have.element_field, &want.element_field, &path)?;
                Type::List(ListType::new(element))
            }
            (Type::Map(have), Type::Map(want)) => {
                let key = self.field(&have.key_field, &want.key_field, &path)?;
                let value = self.field(&have.value_field, &want.value_field, &path)?;
                Type::Map(MapType::new(key, value))
            }
            (Type::Primitive(held), Type::Primitive(wanted)) if holds(held, wanted) => {
                return Ok(Arc::clone(have));
            }
            (held, wanted) => {
                let message = format!(
                    "column {path:?} is {held} in the table, and ours is {wanted}; rename the column, or give the \
                     table another name in tables.names"
                );
                return Err(Error::new(ErrorKind::TableMismatch, message));
            }
        };
        let mut field = NestedField::clone(have);
        field.field_type = Box::new(field_type);
        Ok(Arc::new(field))
    }

    /// Creates new fields. All of them get ids before their inner fields, as on table creation. Existing rows
    /// have no value for a new column, so it is optional, even if it is required in our own tables.
    fn fresh_fields(&mut self, fields: &[&NestedFieldRef]) -> Vec<NestedFieldRef> {
        let ids: Vec<i32> = fields.iter().map(|_| self.next_id()).collect();
        fields
            .iter()
            .zip(ids)
            .map(|(field, id)| {
                let field_type = self.fresh_type(&field.field_type);
                Arc::new(NestedField::optional(id, &field.name, field_type))
            })
            .collect()
    }

    fn fresh_type(&mut self, field_type: &Type) -> Type {
        match field_type {
            Type::Primitive(primitive) => Type::Primitive(primitive.clone()),
            Type::Struct(fields) => {
                let fields: Vec<&NestedFieldRef> = fields.fields().iter().collect();
                Type::Struct(StructType::new(self.fresh_fields(&fields)))
            }
            Type::List(list) => Type::List(ListType::new(self.fresh_element(&list.element_field))),
            Type::Map(map) => {
                let key = self.fresh_element(&map.key_field);
                Type::Map(MapType::new(key, self.fresh_element(&map.value_field)))
            }
        }
    }

    /// A list's element or a map's key or value keeps its nullability.
    fn fresh_element(&mut self, element: &NestedFieldRef) -> NestedFieldRef {
        let id = self.next_id();
        let field_type = self.fresh_type(&element.field_type);
        Arc::new(NestedField::new(id, &element.name, field_type, element.required))
    }

    fn next_id(&mut self) -> i32 {
        self.last_id = self.last_id.saturating_add(1);
        self.last_id
    }
}

#[cfg(test)]
mod tests {
    use iceberg::spec::PrimitiveType;

    use super::*;
    use crate::schema::{ColumnCase, iceberg_schema};
    use crate::signal::Table;

    fn evolution(last_id: i32) -> Evolution<'static> {
        Evolution {
            attributes: &[],
            last_id,
            added: Vec::new(),
        }
    }

    fn primitive(id: i32, name: &str, primitive: PrimitiveType) -> NestedFieldRef {
        Arc::new(NestedField::optional(id, name, Type::Primitive(primitive)))
    }

    #[test]
    fn every_missing_column_gets_ids_that_are_new_and_unique() {
        let have = StructType::new(vec![primitive(7, "Theirs", PrimitiveType::String)]);
        let wanted = iceberg_schema(Table::Traces, &[], ColumnCase::Pascal).expect("schema");
        let mut evolution = evolution(40);
        let fields = evolution.fields(&have, wanted.as_struct(), "").expect("no clash");
        let schema = Schema::builder()
            .with_fields(fields)
            .build()
            .expect("ids are unique");
        assert_eq!(schema.field_id_by_name("Theirs"), Some(7));
        assert_eq!(
            schema.as_struct().fields().len(),
            1 + wanted.as_struct().fields().len()
        );
        assert!(
            schema
                .field_id_to_name_map()
                .keys()
                .all(|id| *id == 7 || *id > 40)
        );
        assert!(
            schema
                .field_by_name("Events.element.Name")
                .is_some_and(|field| !field.required)
        );
        assert!(
            schema
                .field_by_name("Timestamp")
                .is_some_and(|field| !field.required)
        );
    }

    #[test]
    fn field_missing_inside_a_list_of_structs_is_added_there() {
        let wanted = iceberg_schema(Table::Traces, &[], ColumnCase::Pascal).expect("schema");
        let event = StructType::new(vec![primitive(3, "Name", PrimitiveType::String)]);
        let element = Arc::new(NestedField::list_element(2, Type::Struct(event), true));
        let events = NestedField::optional(1, "Events", Type::List(ListType::new(element)));
        let have = StructType::new(vec![Arc::new(events)]);
        let mut evolution = evolution(3);
        let fields = evolution.fields(&have, wanted.as_struct(), "").expect("no clash");
        let schema = Schema::builder()
            .with_fields(fields)
            .build()
            .expect("ids are unique");
        assert_eq!(schema.field_id_by_name("Events.element.Name"), Some(3));
        assert!(
            schema
                .field_id_by_name("Events.element.Timestamp")
                .is_some_and(|id| id > 3)
        );
    }

    #[test]
    fn clash_names_the_column_and_both_types() {
        let wanted = iceberg_schema(Table::Logs, &[], ColumnCase::Pascal).expect("schema");
        let have = StructType::new(vec![primitive(1, "Body", PrimitiveType::Long)]);
        let mut evolution = evolution(1);
        let error = evolution
            .fields(&have, wanted.as_struct(), "")
            .expect_err("clash");
        assert_eq!(error.kind(), ErrorKind::TableMismatch);
        let text = error.to_string();
        assert!(
            text.contains("\"Body\" is long") && text.contains("ours is string"),
            "{text}"
        );
    }

    #[test]
    fn wider_column_is_kept_as_it_is() {
        let wanted = iceberg_schema(Table::Logs, &[], ColumnCase::Pascal).expect("schema");
        let have = StructType::new(vec![primitive(1, "SeverityNumber", PrimitiveType::Long)]);
        let mut evolution = evolution(1);
        let fields = evolution.fields(&have, wanted.as_struct(), "").expect("no clash");
        assert_eq!(*fields[0].field_type, Type::Primitive(PrimitiveType::Long));
    }

    #[test]
    fn column_in_another_case_is_ours_and_two_of_them_are_a_mismatch() {
        let wanted = iceberg_schema(Table::Logs, &[], ColumnCase::Pascal).expect("schema");
        let evolve = |names: &[&str]| {
            let fields = (1..)
                .zip(names)
                .map(|(id, name)| primitive(id, name, PrimitiveType::String));
            let have = StructType::new(fields.collect());
            let mut evolution = evolution(10);
            evolution.fields(&have, wanted.as_struct(), "")
        };
        let fields = evolve(&["body", "servicename"]).expect("no clash");
        assert_eq!(fields.len(), wanted.as_struct().fields().len());
        assert!(
            fields
                .iter()
                .all(|field| field.name != "Body" && field.name != "ServiceName")
        );

        let error = evolve(&["body", "BODY"]).expect_err("ambiguous");
        assert_eq!(error.kind(), ErrorKind::TableMismatch);
        assert!(
            error
                .to_string()
                .starts_with("columns body and BODY of the table"),
            "{error}"
        );
    }
}
