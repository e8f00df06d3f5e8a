//! Matches a file's columns to a table's: same names, same types, and ids that every reader resolves in the
//! same way.

use std::collections::HashSet;
use std::sync::Arc;

use iceberg::spec::{NestedField, NestedFieldRef, PrimitiveType, StructType, TableMetadata, Type};
use parquet::basic::{ConvertedType, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::schema::types::Type as ParquetType;

use super::footer::Footer;
use crate::error::{Error, ErrorKind, Result};

/// How readers of the table find a file's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resolution {
    /// By the field ids in the file, which equal the table's.
    Ids,
    /// By the table's name mapping: the file has no ids.
    Names,
}

/// A file's columns as the table's fields.
#[derive(Debug)]
pub(super) struct Columns {
    /// How readers find them.
    pub resolution: Resolution,
    /// The id of the table's field for each leaf, in the file's order.
    pub leaf_ids: Vec<i32>,
    /// Columns of a primitive type: the table's field and the number of its leaf.
    pub primitives: Vec<(NestedFieldRef, usize)>,
    /// The path of each of the file's fields, including nested ones, with its id in the table.
    pub names: Vec<(Vec<String>, i32)>,
}

/// Matches a file's columns to the table's current schema.
///
/// # Errors
/// `TableMismatch` with the difference.
pub(super) fn matched(footer: &Footer, metadata: &TableMetadata) -> Result<Columns> {
    let root = footer.metadata.file_metadata().schema_descr().root_schema();
    let theirs = metadata.current_schema().as_struct();
    let mut matching = Matching {
        resolution: None,
        path: Vec::new(),
        leaf_ids: Vec::new(),
        names: Vec::new(),
    };
    let mut primitives = Vec::new();
    let mut found = HashSet::new();
    for column in root.get_fields() {
        let field = matching.field_of(column, theirs)?;
        if !found.insert(field.id) {
            return Err(mismatch(format!("column {} comes twice in the file", field.name)));
        }
        if field.field_type.is_primitive() {
            primitives.push((Arc::clone(field), matching.leaf_ids.len()));
        }
        matching.field(column, field)?;
    }
    if let Some(missing) = missing(theirs, |field| found.contains(&field.id)) {
        return Err(mismatch(format!(
            "column {missing} is required in the table and not in the file"
        )));
    }
    Ok(Columns {
        resolution: matching.resolution.unwrap_or(Resolution::Names),
        leaf_ids: matching.leaf_ids,
        primitives,
        names: matching.names,
    })
}

fn missing(theirs: &StructType, is_there: impl Fn(&NestedField) -> bool) -> Option<&str> {
    let lacks =
        |field: &&NestedFieldRef| field.required && field.initial_default.is_none() && !is_there(field);
    theirs
        .fields()
        .iter()
        .find(lacks)
        .map(|field| field.name.as_str())
}

struct Matching {
    resolution: Option<Resolution>,
    path: Vec<String>,
    leaf_ids: Vec<i32>,
    names: Vec<(Vec<String>, i32)>,
}

impl Matching {
    /// The table's field for a field of the file: by its id, if it has one, and by its name.
    fn field_of<'t>(&mut self, column: &ParquetType, theirs: &'t StructType) -> Result<&'t NestedFieldRef> {
        let name = column.name();
        let by_name = |exact: bool| {
            theirs.fields().iter().find(|field| {
                if exact {
                    field.name == name
                } else {
                    field.name.eq_ignore_ascii_case(name)
                }
            })
        };
        let has_id = id_of(column).is_some();
        // With ids, a name in another case is harmless; a name mapping requires the exact name.
        let field = by_name(true).or_else(|| by_name(false).filter(|_| has_id));
        field.ok_or_else(|| match by_name(false) {
            Some(field) => self.refused(
                name,
                &format!(
                    "is {} in the table, and a file without field ids must have the table's names",
                    field.name
                ),
            ),
            None => self.refused(name, "is in the file and not in the table"),
        })
    }

    fn field(&mut self, column: &ParquetType, field: &NestedField) -> Result<()> {
        self.path.push(column.name().to_owned());
        self.resolve(column, field.id)?;
        self.value(column, &field.field_type, field.id)?;
        self.path.pop();
        Ok(())
    }

    /// Matches a field inside a map or a list, which must have the format's own name. The repeated group
    /// around it may have any name.
    fn inner(&mut self, column: &ParquetType, field: &NestedField, name: &str) -> Result<()> {
        self.path.push(name.to_owned());
        if column.name() != name {
            return Err(self.clash(&format!("has a {} where there should be {name}", column.name())));
        }
        self.resolve(column, field.id)?;
        self.value(column, &field.field_type, field.id)?;
        self.path.pop();
        Ok(())
    }

    fn resolve(&mut self, column: &ParquetType, id: i32) -> Result<()> {
        let here = match id_of(column) {
            None => Resolution::Names,
            Some(found) if found == id => Resolution::Ids,
            Some(found) => {
                return Err(self.clash(&format!(
                    "has the field id {found} in the file and {id} in the table; \
                     write the file without ids, or with those of the table"
                )));
            }
        };
        if *self.resolution.get_or_insert(here) != here {
            return Err(mismatch(
                "some of the file's columns have field ids and some have none",
            ));
        }
        self.names.push((self.path.clone(), id));
        Ok(())
    }

    fn value(&mut self, column: &ParquetType, to: &Type, id: i32) -> Result<()> {
        if column.get_basic_info().repetition() == Repetition::REPEATED {
            return Err(self.clash("is repeated in the file without being a list"));
        }
        match to {
            Type::Primitive(primitive) if column.is_primitive() => {
                if !fits(column, primitive) {
                    return Err(self.clash(&format!(
                        "is {} in the file and {primitive} in the table",
                        type_name(column)
                    )));
                }
                self.leaf_ids.push(id);
                Ok(())
            }
            Type::Struct(fields) if column.is_group() && !is_list(column) && !is_map(column) => {
                let mut found = Vec::new();
                for child in column.get_fields() {
                    let field = self.field_of(child, fields)?;
                    found.push(field.id);
                    self.field(child, field)?;
                }
                match missing(fields, |field| found.contains(&field.id)) {
                    Some(name) => Err(self.refused(name, "is required in the table and not in the file")),
                    None => Ok(()),
                }
            }
            Type::List(list) if is_list(column) => match repeated(column) {
                Some([element]) => self.inner(element, &list.element_field, "element"),
                _ => Err(self.clash(
                    "is a list in two levels in the file; three are needed, with list.element inside",
                )),
            },
            Type::Map(map) if is_map(column) => match repeated(column) {
                Some([key, value]) => {
                    self.inner(key, &map.key_field, "key")?;
                    self.inner(value, &map.value_field, "value")
                }
                _ => Err(self.clash("is a map without key and value in the file")),
            },
            _ => Err(self.clash(&format!(
                "is {} in the file and another type in the table",
                type_name(column)
            ))),
        }
    }

    fn clash(&self, what: &str) -> Error {
        mismatch(format!("column {} {what}", self.path.join(".")))
    }

    fn refused(&self, name: &str, what: &str) -> Error {
        let path: Vec<&str> = self.path.iter().map(String::as_str).chain([name]).collect();
        mismatch(format!("column {} {what}", path.join(".")))
    }
}

/// The field's id, if the file sets one. An id of 0 or -1 is one, too: Java goes by it, and finds no column
/// (`ParquetSchemaUtil.hasIds`).
fn id_of(column: &ParquetType) -> Option<i32> {
    let info = column.get_basic_info();
    info.has_id().then(|| info.id())
}

fn is_list(column: &ParquetType) -> bool {
    let info = column.get_basic_info();
    column.is_group()
        && (matches!(info.logical_type_ref(), Some(LogicalType::List))
            || info.converted_type() == ConvertedType::LIST)
}

fn is_map(column: &ParquetType) -> bool {
    let info = column.get_basic_info();
    column.is_group()
        && (matches!(info.logical_type_ref(), Some(LogicalType::Map))
            || matches!(
                info.converted_type(),
                ConvertedType::MAP | ConvertedType::MAP_KEY_VALUE
            ))
}

/// The fields inside the one repeated group of a list or a map.
fn repeated(column: &ParquetType) -> Option<&[Arc<ParquetType>]> {
    match column.get_fields() {
        [group] if group.is_group() && group.get_basic_info().repetition() == Repetition::REPEATED => {
            Some(group.get_fields())
        }
        _ => None,
    }
}

/// Whether a leaf holds values of the table's type (Iceberg spec, "Parquet"), or of a type that can be
/// promoted to it.
fn fits(column: &ParquetType, to: &PrimitiveType) -> bool {
    let info = column.get_basic_info();
    let (physical, logical, converted) = (
        column.get_physical_type(),
        info.logical_type_ref(),
        info.converted_type(),
    );
    let signed = |bits: i8, old: ConvertedType| match logical {
        Some(LogicalType::Integer { bit_width, is_signed }) => *is_signed && *bit_width <= bits,
        Some(_) => false,
        None => converted == ConvertedType::NONE || converted == old,
    };
    let plain = logical.is_none() && converted == ConvertedType::NONE;
    match (to, physical) {
        (PrimitiveType::Boolean, Physical::BOOLEAN)
        | (PrimitiveType::Float, Physical::FLOAT)
        | (PrimitiveType::Double, Physical::FLOAT | Physical::DOUBLE) => plain,
        (PrimitiveType::Int | PrimitiveType::Long, Physical::INT32) => signed(32, ConvertedType::INT_32),
        (PrimitiveType::Long, Physical::INT64) => signed(64, ConvertedType::INT_64),
        (PrimitiveType::String, Physical::BYTE_ARRAY) => {
            matches!(logical, Some(LogicalType::String))
                || (logical.is_none() && converted == ConvertedType::UTF8)
        }
        (PrimitiveType::Timestamptz, Physical::INT64) => match logical {
            Some(LogicalType::Timestamp {
                is_adjusted_to_u_t_c,
                unit,
            }) => *is_adjusted_to_u_t_c && *unit == TimeUnit::MICROS,
            Some(_) => false,
            None => converted == ConvertedType::TIMESTAMP_MICROS,
        },
        (PrimitiveType::TimestamptzNs, Physical::INT64) => matches!(
            logical,
            Some(LogicalType::Timestamp {
                is_adjusted_to_u_t_c: true,
                unit: TimeUnit::NANOS
            })
        ),
        _ => false,
    }
}

fn type_name(column: &ParquetType) -> String {
    let info = column.get_basic_info();
    match (column.is_primitive(), info.logical_type_ref()) {
        (true, Some(logical)) => format!("{} ({logical:?})", column.get_physical_type()),
        (true, None) => match info.converted_type() {
            ConvertedType::NONE => column.get_physical_type().to_string(),
            converted => format!("{} ({converted})", column.get_physical_type()),
        },
        (false, _) if is_list(column) => "a list".into(),
        (false, _) if is_map(column) => "a map".into(),
        (false, _) => "a struct".into(),
    }
}

pub(super) fn mismatch(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::TableMismatch, what)
}
