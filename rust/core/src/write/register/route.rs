//! Determines the table of a file.

use std::collections::BTreeSet;

use super::Footer;
use super::columns::mismatch;
use crate::config::TablesConfig;
use crate::error::Result;
use crate::schema::{AttributeColumn, columns};
use crate::signal::Table;

/// The table that the nearest folder in the file's key is named after. Without such a folder, the table with
/// exactly the file's columns, in any case, where either all or none of the columns of single attributes are present.
///
/// # Errors
/// `TableMismatch` when neither identifies a table.
pub fn table_of(key: &str, footer: &Footer, tables: &TablesConfig) -> Result<Table> {
    let named = |folder| Table::ALL.into_iter().find(|table| tables.name(*table) == folder);
    if let Some(table) = key.rsplit('/').skip(1).find_map(named) {
        return Ok(table);
    }
    // Either case: another process may have written the file with another `tables.column_case`.
    let found: BTreeSet<String> = footer.column_names().map(str::to_ascii_lowercase).collect();
    let has = |table: &Table, attributes: &[AttributeColumn]| {
        let columns = columns(*table, attributes);
        let names = columns.iter().map(|column| column.name.to_ascii_lowercase());
        names.collect::<BTreeSet<_>>() == found
    };
    let own = Table::ALL.into_iter().find(|table| has(table, &[]));
    let found = own.or_else(|| {
        let mut tables_of = Table::ALL.into_iter();
        tables_of.find(|table| has(table, tables.attribute_columns.of(*table)))
    });
    found.ok_or_else(|| {
        let names: Vec<&str> = Table::ALL.into_iter().map(|table| tables.name(table)).collect();
        mismatch(format!(
            "it is not known which table the file is for: no folder in its key is named after one ({}), and no table \
             has exactly its columns",
            names.join(", ")
        ))
    })
}
