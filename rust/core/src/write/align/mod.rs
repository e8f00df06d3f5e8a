//! Maps our columns to the table's: matched by name, in the table's order, with the table's field ids.
//!
//! No value is copied; arrays get new fields around the same buffers. A column is cast only if the table
//! holds it in a wider type. A column that only the table has is created only if it has a default value.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, DictionaryArray, ListArray, MapArray, RecordBatch, StructArray};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, FieldRef, Fields, Schema};
use iceberg::spec::{
    ListType, MapType, NestedField, NestedFieldRef, PrimitiveType, StructType, TableMetadata, Type,
};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;

use self::types::{our_primitive, our_type_name, table_type_name, widened};
use super::{LeftOut, internal};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{
    LIST_ELEMENT, MAP_ENTRIES, MAP_KEY, MAP_VALUE, field_path, holds, is_attribute_field, match_fields,
};
use crate::signal::Table;
use crate::table_properties::ENCRYPTION_KEY;

mod default;
mod types;

/// A batch in the table's terms.
#[derive(Debug)]
pub(super) struct Aligned {
    /// The rows; each Arrow field, nested ones too, carries the table's field id.
    pub batch: RecordBatch,
    /// The table's field for each column, in the batch's order.
    pub fields: Vec<NestedFieldRef>,
    /// Values that the table has no column for.
    pub left_out: LeftOut,
}

impl Aligned {
    /// The position of the top-level column with this field id; `None` if our rows do not have it.
    pub fn position(&self, field_id: i32) -> Option<usize> {
        self.fields.iter().position(|field| field.id == field_id)
    }
}

/// Relabels a batch of our canonical schema for the table's current schema.
///
/// Columns that only we have are left out and reported. So are columns of single attributes whose type
/// differs in the table. Columns that only the table has are left out too, unless they have a default value,
/// which is then written.
///
/// # Errors
/// `TableMismatch` when types clash, when names are ambiguous, when the table requires a column that our rows
/// do not have, when it has no column of ours, or when its files must be encrypted.
pub(super) fn align(table: Table, metadata: &TableMetadata, batch: &RecordBatch) -> Result<Aligned> {
    let mut aligner = Aligner {
        table,
        location: metadata.location(),
        left_out: LeftOut::default(),
    };
    if metadata.properties().contains_key(ENCRYPTION_KEY) {
        let what = format!("the table is encrypted ({ENCRYPTION_KEY}), and files are only written in plain");
        return Err(aligner.mismatch(what, "take the property off it"));
    }
    let schema = batch.schema();
    let ours: Vec<Ours<'_>> = schema.fields().iter().zip(batch.columns()).collect();
    let theirs = metadata.current_schema().as_struct();
    let Children { columns, any_of_ours } = aligner.children("", theirs, &ours, batch.num_rows())?;
    if !any_of_ours {
        return Err(aligner.mismatch("the table has no column of ours", ADD));
    }
    let mut fields = Vec::with_capacity(columns.len());
    let mut arrow_fields = Vec::with_capacity(columns.len());
    let mut arrays = Vec::with_capacity(columns.len());
    for (field, arrow_field, array) in columns {
        if field.required && array.logical_null_count() > 0 {
            return Err(aligner.required(&field.name));
        }
        fields.push(field);
        arrow_fields.push(arrow_field);
        arrays.push(array);
    }
    let batch = RecordBatch::try_new(Arc::new(Schema::new(arrow_fields)), arrays)
        .map_err(|cause| internal("columns do not make a batch", cause))?;
    Ok(Aligned {
        batch,
        fields,
        left_out: aligner.left_out,
    })
}

const ADD: &str = "add our columns to it";
const RENAME: &str = "rename or drop one of the table's";
const OPTIONAL: &str = "make it optional";

/// A field of ours with its array.
type Ours<'a> = (&'a FieldRef, &'a ArrayRef);
/// The table's field, and an Arrow field and array for it.
type Column = (NestedFieldRef, FieldRef, ArrayRef);

/// The result for the fields of one struct, or for the top-level columns.
struct Children {
    columns: Vec<Column>,
    /// Whether one of them holds anything of ours.
    any_of_ours: bool,
}

struct Aligner<'a> {
    table: Table,
    location: &'a str,
    left_out: LeftOut,
}

impl Aligner<'_> {
    /// The fields of a table's struct that have a value. `rows` is the number of its values.
    fn children(
        &mut self,
        path: &str,
        theirs: &StructType,
        ours: &[Ours<'_>],
        rows: usize,
    ) -> Result<Children> {
        let names: Vec<&str> = ours.iter().map(|(field, _)| field.name().as_str()).collect();
        let matches = match_fields(theirs.fields(), &names)
            .map_err(|ambiguous| self.mismatch(ambiguous.message(path), RENAME))?;
        let mut columns = Vec::with_capacity(theirs.fields().len());
        let mut any_of_ours = false;
        for (field, position) in theirs.fields().iter().zip(&matches) {
            let child_path = field_path(path, &field.name);
            let of_ours = match position.and_then(|position| ours.get(position)) {
                // The attribute map still holds the value.
                Some((ours, array)) if is_attribute_field(ours) && !is_held(&field.field_type, array) => {
                    self.left_out.add_other_type(&child_path, array);
                    None
                }
                Some((_, array)) => self.array(&child_path, &field.field_type, array)?,
                None => None,
            };
            any_of_ours |= of_ours.is_some();
            let array = match of_ours {
                Some(array) => Some(array),
                None => self.absent(&child_path, field, rows)?,
            };
            if let Some(array) = array {
                let arrow_field = labelled(&field.name, field, array.data_type());
                columns.push((Arc::clone(field), arrow_field, array));
            }
        }
        for (position, (field, array)) in ours.iter().enumerate() {
            if !matches.contains(&Some(position)) {
                self.left_out.add(&field_path(path, field.name()), array);
            }
        }
        Ok(Children { columns, any_of_ours })
    }

    /// Our array as the table's type; `None` when it has nothing of ours.
    fn array(&mut self, path: &str, to: &Type, array: &ArrayRef) -> Result<Option<ArrayRef>> {
        match (to, array.data_type()) {
            (Type::Primitive(primitive), _) => self.primitive(path, primitive, array).map(Some),
            (Type::Struct(fields), DataType::Struct(_)) => self.structure(path, fields, array.as_struct()),
            (Type::List(list), DataType::List(_)) => self.list(path, list, array.as_list()),
            (Type::Map(map), DataType::Map(_, _)) => self.map(path, map, array.as_map()),
            (Type::Map(_), DataType::Dictionary(_, shared)) if shared.is_nested() => {
                self.shared(path, to, array.as_dictionary())
            }
            (table_type, ours) => Err(self.clash(path, table_type, ours)),
        }
    }

    /// Shared values that rows refer to; the rows still refer to them afterwards.
    fn shared(
        &mut self,
        path: &str,
        to: &Type,
        array: &DictionaryArray<Int32Type>,
    ) -> Result<Option<ArrayRef>> {
        let Some(values) = self.array(path, to, array.values())? else {
            return Ok(None);
        };
        let array = DictionaryArray::try_new(array.keys().clone(), values)
            .map_err(|cause| internal("shared values cannot be relabelled", cause))?;
        Ok(Some(Arc::new(array)))
    }

    /// The value of a table's field that we have no data for: its default value, or nothing.
    fn absent(&self, path: &str, field: &NestedField, rows: usize) -> Result<Option<ArrayRef>> {
        match default::written(field, rows) {
            Ok(None) if field.required => Err(self.required(path)),
            Ok(array) => Ok(array),
            Err(default::NotWritten) => {
                let what = format!(
                    "column {path} has a default value of type {}, which cannot be written",
                    table_type_name(&field.field_type)
                );
                Err(self.mismatch(what, "drop the default"))
            }
        }
    }

    fn primitive(&self, path: &str, to: &PrimitiveType, array: &ArrayRef) -> Result<ArrayRef> {
        let ours = array.data_type();
        match our_primitive(ours) {
            Some(primitive) if primitive == *to => Ok(Arc::clone(array)),
            Some(primitive) if holds(to, &primitive) => {
                cast(array, &widened(to, ours)).map_err(|cause| internal("a column cannot be widened", cause))
            }
            _ => Err(self.clash(path, &Type::Primitive(to.clone()), ours)),
        }
    }

    fn structure(&mut self, path: &str, to: &StructType, array: &StructArray) -> Result<Option<ArrayRef>> {
        let ours: Vec<Ours<'_>> = array.fields().iter().zip(array.columns()).collect();
        let Children { columns, any_of_ours } = self.children(path, to, &ours, array.len())?;
        // Parquet has no empty groups.
        if !any_of_ours {
            return Ok(None);
        }
        let (fields, arrays): (Vec<FieldRef>, Vec<ArrayRef>) = columns
            .into_iter()
            .map(|(_, field, array)| (field, array))
            .unzip();
        let array = StructArray::try_new(Fields::from(fields), arrays, array.nulls().cloned())
            .map_err(|cause| self.required(path).because(cause))?;
        Ok(Some(Arc::new(array)))
    }

    fn list(&mut self, path: &str, to: &ListType, array: &ListArray) -> Result<Option<ArrayRef>> {
        let path = format!("{path}.{LIST_ELEMENT}");
        let Some(values) = self.array(&path, &to.element_field.field_type, array.values())? else {
            return Ok(None);
        };
        // Names of repeated fields are set by the Parquet format, whatever the catalog calls them.
        let element = labelled(LIST_ELEMENT, &to.element_field, values.data_type());
        let nulls = array.nulls().cloned();
        let array = ListArray::try_new(element, array.offsets().clone(), values, nulls)
            .map_err(|cause| self.required(&path).because(cause))?;
        Ok(Some(Arc::new(array)))
    }

    fn map(&mut self, path: &str, to: &MapType, array: &MapArray) -> Result<Option<ArrayRef>> {
        let value_path = field_path(path, MAP_VALUE);
        let keys = self.array(&field_path(path, MAP_KEY), &to.key_field.field_type, array.keys())?;
        let values = self.array(&value_path, &to.value_field.field_type, array.values())?;
        let (Some(keys), Some(values)) = (keys, values) else {
            return Ok(None);
        };
        let fields = Fields::from(vec![
            labelled(MAP_KEY, &to.key_field, keys.data_type()),
            labelled(MAP_VALUE, &to.value_field, values.data_type()),
        ]);
        let entries = StructArray::try_new(fields.clone(), vec![keys, values], None)
            .map_err(|cause| self.required(&value_path).because(cause))?;
        let entry = Arc::new(Field::new(MAP_ENTRIES, DataType::Struct(fields), false));
        let nulls = array.nulls().cloned();
        let array = MapArray::try_new(entry, array.offsets().clone(), entries, nulls, false)
            .map_err(|cause| internal("a map cannot be relabelled", cause))?;
        Ok(Some(Arc::new(array)))
    }

    fn clash(&self, path: &str, table_type: &Type, ours: &DataType) -> Error {
        let what = format!(
            "column {path} is {} in the table and {} in ours",
            table_type_name(table_type),
            our_type_name(ours)
        );
        self.mismatch(what, "rename or drop the table's")
    }

    fn required(&self, path: &str) -> Error {
        let what = format!("column {path} is required in the table and our rows have no value for it");
        self.mismatch(what, OPTIONAL)
    }

    /// An error that names the table and a remedy that always works.
    fn mismatch(&self, what: impl AsRef<str>, way_out: &str) -> Error {
        let table = self.table.default_name();
        let message = format!(
            "{}; {way_out}, or name another table under tables.names.{table}",
            what.as_ref()
        );
        Error::new(ErrorKind::TableMismatch, message).with("location", self.location)
    }
}

/// Whether a table's field can hold all of our values.
fn is_held(field_type: &Type, array: &ArrayRef) -> bool {
    match (field_type, our_primitive(array.data_type())) {
        (Type::Primitive(held), Some(ours)) => holds(held, &ours),
        _ => false,
    }
}

/// An Arrow field for a table's field, with its id.
fn labelled(name: &str, field: &NestedField, data_type: &DataType) -> FieldRef {
    let id = (PARQUET_FIELD_ID_META_KEY.to_owned(), field.id.to_string());
    let labelled = Field::new(name, data_type.clone(), !field.required);
    Arc::new(labelled.with_metadata(HashMap::from([id])))
}
