//! The Iceberg schema that a table is created with.

use std::sync::Arc;

use iceberg::spec::{ListType, MapType, NestedField, PrimitiveType, Schema, StructType, Type};

use super::tables::columns;
use super::{AttributeColumn, Column, ColumnCase, ColumnType};
use crate::error::{Error, ErrorKind, Result};
use crate::signal::Table;

/// The Iceberg schema for creating a table, with names in this case. Its field ids are only unique within it: catalogs assign their
/// own on creation, so writers take ids from the loaded table.
///
/// # Errors
/// `Internal` if a definition violates Iceberg's rules, which does not occur with the current tables.
pub fn iceberg_schema(table: Table, attributes: &[AttributeColumn], case: ColumnCase) -> Result<Schema> {
    let columns = columns(table, attributes);
    let fields = struct_fields(&columns, case, &mut Ids(0));
    Schema::builder().with_fields(fields).build().map_err(|cause| {
        Error::new(ErrorKind::Internal, "the table's definition is no Iceberg schema")
            .with("table", table.default_name())
            .because(cause)
    })
}

struct Ids(i32);

impl Ids {
    fn next(&mut self) -> i32 {
        self.0 += 1;
        self.0
    }
}

/// All fields of a struct get their ids before nested fields, as in Java's `AssignFreshIds`.
fn struct_fields(columns: &[Column<'_>], case: ColumnCase, ids: &mut Ids) -> Vec<Arc<NestedField>> {
    let own_ids: Vec<i32> = columns.iter().map(|_| ids.next()).collect();
    columns
        .iter()
        .zip(own_ids)
        .map(|(column, id)| {
            let field_type = iceberg_type(column.column_type, case, ids);
            Arc::new(NestedField::new(
                id,
                case.of(column.name),
                field_type,
                column.required,
            ))
        })
        .collect()
}

fn iceberg_type(column_type: ColumnType, case: ColumnCase, ids: &mut Ids) -> Type {
    match column_type {
        ColumnType::Timestamp => Type::Primitive(PrimitiveType::Timestamptz),
        ColumnType::Text | ColumnType::Label => Type::Primitive(PrimitiveType::String),
        ColumnType::Int => Type::Primitive(PrimitiveType::Int),
        ColumnType::Long => Type::Primitive(PrimitiveType::Long),
        ColumnType::Double => Type::Primitive(PrimitiveType::Double),
        ColumnType::Boolean => Type::Primitive(PrimitiveType::Boolean),
        ColumnType::Attributes | ColumnType::SharedAttributes => {
            let string = || Type::Primitive(PrimitiveType::String);
            let key = NestedField::map_key_element(ids.next(), string());
            let value = NestedField::map_value_element(ids.next(), string(), false);
            Type::Map(MapType::new(Arc::new(key), Arc::new(value)))
        }
        ColumnType::List(element) => {
            let id = ids.next();
            let element = NestedField::list_element(id, iceberg_type(*element, case, ids), true);
            Type::List(ListType::new(Arc::new(element)))
        }
        ColumnType::Struct(fields) => Type::Struct(StructType::new(struct_fields(fields, case, ids))),
    }
}
