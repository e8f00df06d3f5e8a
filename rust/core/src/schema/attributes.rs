//! Columns that hold one attribute each, which the attribute map also holds: see `tables.attribute_columns`.

use serde::Deserialize;

use super::{Column, ColumnType};
use crate::signal::Table;

/// A column with the values of one attribute. It is optional, and follows the table's own columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeColumn {
    /// The column's name.
    pub name: String,
    /// The attribute's key.
    pub attribute: String,
    /// The owner of the attribute.
    pub of: AttributesOf,
    /// The type of the values.
    pub value_type: AttributeType,
}

/// The owner of attributes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttributesOf {
    /// The log record's, the span's, or the data point's.
    #[default]
    Record,
    /// The scope's.
    Scope,
    /// The resource's.
    Resource,
}

/// The type of a column of one attribute. Values are parsed from the text in the map.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttributeType {
    /// The text. Iceberg `string`.
    #[default]
    String,
    /// A whole number that fits 64 bits with a sign, also written with `.0` or an exponent; other text is null.
    /// Iceberg `long`.
    Long,
    /// A number, `NaN`, `Infinity` or `-Infinity`; other text is null. Iceberg `double`.
    Double,
    /// `true` or `false`; other text is null. Iceberg `boolean`.
    Boolean,
}

impl AttributeColumn {
    /// The table's column with the map that has the attribute.
    #[must_use]
    pub const fn map(&self, table: Table) -> &'static str {
        match (self.of, table) {
            (AttributesOf::Resource, _) => "ResourceAttributes",
            (AttributesOf::Scope, _) => "ScopeAttributes",
            (AttributesOf::Record, Table::Logs) => "LogAttributes",
            (AttributesOf::Record, Table::Traces) => "SpanAttributes",
            (AttributesOf::Record, _) => "Attributes",
        }
    }

    /// The column as one of this table's columns.
    pub(super) const fn column(&self, table: Table) -> Column<'_> {
        Column {
            name: self.name.as_str(),
            column_type: self.column_type(table),
            required: false,
        }
    }

    /// Maps that rows share are stored once, and so is the text of their values.
    const fn column_type(&self, table: Table) -> ColumnType {
        match (self.value_type, self.of, table) {
            (AttributeType::String, AttributesOf::Record, Table::Logs | Table::Traces) => ColumnType::Text,
            (AttributeType::String, _, _) => ColumnType::Label,
            (AttributeType::Long, _, _) => ColumnType::Long,
            (AttributeType::Double, _, _) => ColumnType::Double,
            (AttributeType::Boolean, _, _) => ColumnType::Boolean,
        }
    }
}
