//! The canonical Arrow schema of each table, which `convert` produces and `write` accepts.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, Schema, TimeUnit};

use super::tables::columns;
use super::{AttributeColumn, Column, ColumnType};
use crate::signal::Table;

/// The time zone of every timestamp.
pub const UTC: &str = "+00:00";
/// Name of a map's repeated group, as the Parquet format names it (LogicalTypes.md, "Maps").
pub(crate) const MAP_ENTRIES: &str = "key_value";
/// Name of a map's key.
pub(crate) const MAP_KEY: &str = "key";
/// Name of a map's value.
pub(crate) const MAP_VALUE: &str = "value";
/// Name of a list's element, as the Parquet format names it (LogicalTypes.md, "Lists").
pub(crate) const LIST_ELEMENT: &str = "element";

/// The Arrow schema of a table: our columns in our order, without field ids (those come from the
/// Iceberg table at write time). Columns of single attributes come after them.
#[must_use]
pub fn arrow_schema(table: Table) -> Arc<Schema> {
    let fields: Vec<Field> = columns(table, &[]).iter().map(field).collect();
    Arc::new(Schema::new(fields))
}

/// Marks the fields of columns of single attributes.
const ATTRIBUTE: &str = "otlp2iceberg.attribute";

/// The Arrow field of a table's column of one attribute, with its mark.
pub(crate) fn attribute_field(column: &AttributeColumn, table: Table) -> Field {
    let mark = (ATTRIBUTE.to_owned(), column.attribute.clone());
    field(&column.column(table)).with_metadata(HashMap::from([mark]))
}

/// Whether a field belongs to a column of one attribute: a map also holds its values.
pub(crate) fn is_attribute_field(field: &Field) -> bool {
    field.metadata().contains_key(ATTRIBUTE)
}

fn field(column: &Column<'_>) -> Field {
    Field::new(column.name, data_type(column.column_type), !column.required)
}

fn data_type(column_type: ColumnType) -> DataType {
    match column_type {
        ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
        ColumnType::Text => DataType::Utf8,
        ColumnType::Label => label(),
        ColumnType::Int => DataType::Int32,
        ColumnType::Long => DataType::Int64,
        ColumnType::Double => DataType::Float64,
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::Attributes => {
            let entries = Fields::from(vec![
                Field::new(MAP_KEY, label(), false),
                Field::new(MAP_VALUE, DataType::Utf8, true),
            ]);
            let entries = Field::new(MAP_ENTRIES, DataType::Struct(entries), false);
            DataType::Map(Arc::new(entries), false)
        }
        ColumnType::SharedAttributes => DataType::Dictionary(
            Box::new(DataType::Int32),
            Box::new(data_type(ColumnType::Attributes)),
        ),
        ColumnType::List(element) => {
            DataType::List(Arc::new(Field::new(LIST_ELEMENT, data_type(*element), false)))
        }
        ColumnType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect()),
    }
}

/// Text with few distinct values per batch; each is stored once.
fn label() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}
