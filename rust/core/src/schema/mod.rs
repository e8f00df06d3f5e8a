//! The seven tables: one definition of their columns, with the Arrow and Iceberg schemas derived from it, and
//! the columns of single attributes that a configuration adds.
//!
//! `docs/schema.md` is the user documentation. Column names follow the Collector's ClickHouse exporter;
//! `tables.column_case` can have them in lower case.

mod arrow;
mod attributes;
mod case;
mod iceberg;
mod matching;
mod partition_names;
mod tables;

pub(crate) use self::arrow::{LIST_ELEMENT, MAP_ENTRIES, MAP_KEY, MAP_VALUE};
pub use self::arrow::{UTC, arrow_schema};
pub(crate) use self::arrow::{attribute_field, is_attribute_field};
pub use self::attributes::{AttributeColumn, AttributeType, AttributesOf};
pub use self::case::ColumnCase;
pub(crate) use self::case::field_in_any_case;
pub use self::iceberg::iceberg_schema;
pub(crate) use self::matching::{field_path, holds, match_fields};
pub(crate) use self::partition_names::name_not_in_avro;
pub use self::tables::{columns, sort_columns, time_column};

/// The type of a column, of a struct's field or of a list's element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// Microseconds since the Unix epoch, UTC. Arrow `Timestamp(us, "+00:00")`, Iceberg `timestamptz`.
    Timestamp,
    /// Text with mostly distinct values. Arrow `Utf8`, Iceberg `string`.
    Text,
    /// Text with few distinct values. Arrow `Dictionary<Int32, Utf8>`, Iceberg `string`.
    Label,
    /// 32 bits, signed. Iceberg `int`.
    Int,
    /// 64 bits, signed. Iceberg `long`.
    Long,
    /// IEEE 754 binary64. Iceberg `double`.
    Double,
    /// Iceberg `boolean`.
    Boolean,
    /// `map<string, string>`; keys required, values optional.
    Attributes,
    /// The same, shared by rows: attributes of the resource, the scope or a series. Arrow `Dictionary<Int32,
    /// Map>`.
    SharedAttributes,
    /// `list<T>`; elements required.
    List(&'static ColumnType),
    /// A struct; its fields are optional.
    Struct(&'static [Column<'static>]),
}

/// A column of a table, or a field of a struct.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column<'a> {
    /// The name in queries.
    pub name: &'a str,
    /// The type.
    pub column_type: ColumnType,
    /// Whether it must not be null. Only the time that partitions the table is required.
    pub required: bool,
}
