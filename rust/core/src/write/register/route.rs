//! Which table a file is for.

use std::collections::BTreeSet;

use super::Footer;
use super::columns::mismatch;
use crate::config::TablesConfig;
use crate::error::Result;
use crate::schema::columns;
use crate::signal::Table;

/// The table that the nearest folder of the file's key is named after; without one, the table that has exactly
/// the file's columns.
///
/// # Errors
/// `TableMismatch` when neither tells.
pub fn table_of(key: &str, footer: &Footer, tables: &TablesConfig) -> Result<Table> {
    let named = |folder| Table::ALL.into_iter().find(|table| tables.name(*table) == folder);
    if let Some(table) = key.rsplit('/').skip(1).find_map(named) {
        return Ok(table);
    }
    let found: BTreeSet<&str> = footer.column_names().collect();
    let has = |table: &Table| {
        columns(*table)
            .iter()
            .map(|column| column.name)
            .collect::<BTreeSet<_>>()
            == found
    };
    Table::ALL.into_iter().find(has).ok_or_else(|| {
        let names: Vec<&str> = Table::ALL.into_iter().map(|table| tables.name(table)).collect();
        mismatch(format!(
            "it is not known which table the file is for: no folder in its key is named after one ({}), and no table \
             has exactly its columns",
            names.join(", ")
        ))
    })
}
