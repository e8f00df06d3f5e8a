//! Columns that hold one attribute each, beside the map that has it too: what `tables.attribute_columns` asks for.

use serde::Deserialize;

use super::{Column, ColumnType};
use crate::signal::Table;

/// A column whose values are those of one attribute. It is optional, and comes after the table's own columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeColumn {
    /// The column's name.
    pub name: String,
    /// The attribute's key.
    pub attribute: String,
    /// Whose attribute it is.
    pub of: AttributesOf,
    /// The type of the values.
    pub value_type: AttributeType,
}

/// Whose attributes.
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

/// The type of a column of one attribute. The value is read from the text that the map has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttributeType {
    /// The text. Iceberg `string`.
    #[default]
    String,
    /// A whole number of 64 bits, signed, with `.0` or without; other text is null. Iceberg `long`.
    Long,
    /// A number; other text is null. Iceberg `double`.
    Double,
    /// `true` or `false`; other text is null. Iceberg `boolean`.
    Boolean,
}

impl AttributeColumn {
    /// The column of the table whose maps have the attribute.
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

    /// The column as one of this table's.
    pub(super) const fn column(&self, table: Table) -> Column<'_> {
        Column {
            name: self.name.as_str(),
            column_type: self.column_type(table),
            required: false,
        }
    }

    /// The text of maps that rows share is there once.
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
