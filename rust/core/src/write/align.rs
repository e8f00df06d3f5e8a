//! Our columns as the table's: matched by name, in the table's order, with the table's field ids.
//!
//! No value is copied; arrays get new fields around the same buffers. Only an `int` of ours in a
//! `long` of the table is cast.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, ListArray, MapArray, RecordBatch, StructArray};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, FieldRef, Fields, Schema, TimeUnit};
use iceberg::spec::{
    ListType, MapType, NestedField, NestedFieldRef, PrimitiveType, StructType, TableMetadata, Type,
};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;

use super::internal;
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{LIST_ELEMENT, MAP_ENTRIES, MAP_KEY, MAP_VALUE};
use crate::signal::Table;

/// A batch in the table's terms.
#[derive(Debug)]
pub(super) struct Aligned {
    /// The rows; each Arrow field, nested ones too, carries the table's field id.
    pub batch: RecordBatch,
    /// The table's field of each column, in the batch's order.
    pub fields: Vec<NestedFieldRef>,
}

/// Relabels a batch of our canonical schema for the table's current schema.
///
/// Columns that only we have are left out, and so are optional columns that only the table has.
///
/// # Errors
/// `TableMismatch` when types clash, when the table requires what our rows do not have, or when it
/// has no column of ours.
pub(super) fn align(table: Table, metadata: &TableMetadata, batch: &RecordBatch) -> Result<Aligned> {
    let aligner = Aligner {
        table,
        location: metadata.location(),
    };
    let schema = metadata.current_schema().as_struct();
    let mut columns = Vec::new();
    let mut fields = Vec::new();
    for field in schema.fields() {
        let column = match batch.column_by_name(&field.name) {
            Some(array) => aligner.column(&field.name, field, array)?,
            None => None,
        };
        match column {
            Some((_, array)) if field.required && array.logical_null_count() > 0 => {
                return Err(aligner.required(&field.name));
            }
            Some(column) => {
                columns.push(column);
                fields.push(Arc::clone(field));
            }
            None if field.required => return Err(aligner.required(&field.name)),
            None => {}
        }
    }
    if columns.is_empty() {
        return Err(aligner.mismatch("the table has no column of ours"));
    }
    let (arrow_fields, arrays): (Vec<FieldRef>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(arrow_fields)), arrays)
        .map_err(|cause| internal("columns do not make a batch", cause))?;
    Ok(Aligned { batch, fields })
}

/// What error messages need.
struct Aligner<'a> {
    table: Table,
    location: &'a str,
}

/// An array and its field; `None` when there is nothing of ours in the table's field.
type Column = Option<(FieldRef, ArrayRef)>;

impl Aligner<'_> {
    fn column(&self, path: &str, field: &NestedField, array: &ArrayRef) -> Result<Column> {
        let array = match (field.field_type.as_ref(), array.data_type()) {
            (Type::Primitive(primitive), _) => Some(self.primitive(path, primitive, array)?),
            (Type::Struct(fields), DataType::Struct(_)) => self.structure(path, fields, array.as_struct())?,
            (Type::List(list), DataType::List(_)) => self.list(path, list, array.as_list())?,
            (Type::Map(map), DataType::Map(_, _)) => self.map(path, map, array.as_map())?,
            (table_type, ours) => return Err(self.clash(path, table_type, ours)),
        };
        Ok(array.map(|array| (labelled(&field.name, field, array.data_type()), array)))
    }

    fn primitive(&self, path: &str, to: &PrimitiveType, array: &ArrayRef) -> Result<ArrayRef> {
        match (to, array.data_type()) {
            (PrimitiveType::Boolean, DataType::Boolean)
            | (PrimitiveType::Int, DataType::Int32)
            | (PrimitiveType::Long, DataType::Int64)
            | (PrimitiveType::Double, DataType::Float64)
            | (PrimitiveType::String, DataType::Utf8)
            | (PrimitiveType::Timestamptz, DataType::Timestamp(TimeUnit::Microsecond, Some(_))) => {
                Ok(Arc::clone(array))
            }
            (PrimitiveType::String, DataType::Dictionary(_, value)) if **value == DataType::Utf8 => {
                Ok(Arc::clone(array))
            }
            (PrimitiveType::Long, DataType::Int32) => cast(array, &DataType::Int64)
                .map_err(|cause| internal("an int column cannot be widened", cause)),
            (_, ours) => Err(self.clash(path, &Type::Primitive(to.clone()), ours)),
        }
    }

    fn structure(&self, path: &str, to: &StructType, array: &StructArray) -> Result<Option<ArrayRef>> {
        let mut columns = Vec::new();
        for field in to.fields() {
            let child_path = format!("{path}.{}", field.name);
            let column = match array.column_by_name(&field.name) {
                Some(child) => self.column(&child_path, field, child)?,
                None => None,
            };
            match column {
                Some(column) => columns.push(column),
                None if field.required => return Err(self.required(&child_path)),
                None => {}
            }
        }
        // Parquet has no empty groups.
        if columns.is_empty() {
            return Ok(None);
        }
        let (fields, arrays): (Vec<FieldRef>, Vec<ArrayRef>) = columns.into_iter().unzip();
        let array = StructArray::try_new(Fields::from(fields), arrays, array.nulls().cloned())
            .map_err(|cause| self.required(path).because(cause))?;
        Ok(Some(Arc::new(array)))
    }

    fn list(&self, path: &str, to: &ListType, array: &ListArray) -> Result<Option<ArrayRef>> {
        let path = format!("{path}.{LIST_ELEMENT}");
        let Some((element, values)) = self.column(&path, &to.element_field, array.values())? else {
            return Ok(None);
        };
        let element = renamed(&element, LIST_ELEMENT);
        let nulls = array.nulls().cloned();
        let array = ListArray::try_new(element, array.offsets().clone(), values, nulls)
            .map_err(|cause| self.required(&path).because(cause))?;
        Ok(Some(Arc::new(array)))
    }

    fn map(&self, path: &str, to: &MapType, array: &MapArray) -> Result<Option<ArrayRef>> {
        let key = self.column(&format!("{path}.{MAP_KEY}"), &to.key_field, array.keys())?;
        let value = self.column(&format!("{path}.{MAP_VALUE}"), &to.value_field, array.values())?;
        let (Some((key, keys)), Some((value, values))) = (key, value) else {
            return Ok(None);
        };
        let fields = Fields::from(vec![renamed(&key, MAP_KEY), renamed(&value, MAP_VALUE)]);
        let entries = StructArray::try_new(fields.clone(), vec![keys, values], None)
            .map_err(|cause| self.required(&format!("{path}.{MAP_VALUE}")).because(cause))?;
        let entry = Arc::new(Field::new(MAP_ENTRIES, DataType::Struct(fields), false));
        let nulls = array.nulls().cloned();
        let array = MapArray::try_new(entry, array.offsets().clone(), entries, nulls, false)
            .map_err(|cause| internal("a map cannot be relabelled", cause))?;
        Ok(Some(Arc::new(array)))
    }

    fn clash(&self, path: &str, table_type: &Type, ours: &DataType) -> Error {
        self.mismatch(format!(
            "column {path} is {} in the table and {} in ours",
            table_type_name(table_type),
            our_type_name(ours)
        ))
    }

    fn required(&self, path: &str) -> Error {
        self.mismatch(format!(
            "column {path} is required in the table and our rows have no value for it; make it optional"
        ))
    }

    /// Names the table and the way out that always works.
    fn mismatch(&self, what: impl AsRef<str>) -> Error {
        let table = self.table.default_name();
        let message = format!(
            "{}, or name another table under tables.names.{table}",
            what.as_ref()
        );
        Error::new(ErrorKind::TableMismatch, message).with("location", self.location)
    }
}

/// An Arrow field for a table's field, with its id.
fn labelled(name: &str, field: &NestedField, data_type: &DataType) -> FieldRef {
    let id = (PARQUET_FIELD_ID_META_KEY.to_owned(), field.id.to_string());
    let labelled = Field::new(name, data_type.clone(), !field.required);
    Arc::new(labelled.with_metadata(HashMap::from([id])))
}

/// Names of what is repeated are the Parquet format's, whatever the catalog calls them.
fn renamed(field: &FieldRef, name: &str) -> FieldRef {
    Arc::new(field.as_ref().clone().with_name(name))
}

fn table_type_name(table_type: &Type) -> String {
    match table_type {
        Type::Primitive(primitive) => primitive.to_string(),
        Type::Struct(_) => "a struct".into(),
        Type::List(list) => format!("list<{}>", table_type_name(&list.element_field.field_type)),
        Type::Map(map) => format!(
            "map<{}, {}>",
            table_type_name(&map.key_field.field_type),
            table_type_name(&map.value_field.field_type)
        ),
    }
}

/// The Iceberg type that we would create the column with.
fn our_type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "boolean".into(),
        DataType::Int32 => "int".into(),
        DataType::Int64 => "long".into(),
        DataType::Float64 => "double".into(),
        DataType::Utf8 | DataType::Dictionary(_, _) => "string".into(),
        DataType::Timestamp(_, _) => "timestamptz".into(),
        DataType::Struct(_) => "a struct".into(),
        DataType::List(element) => format!("list<{}>", our_type_name(element.data_type())),
        DataType::Map(_, _) => "map<string, string>".into(),
        other => other.to_string(),
    }
}
