//! Rules between values; each problem names the key and the accepted values.

use std::collections::BTreeMap;

use super::{
    Config, TablesConfig, attribute_columns, catalog, commit, compaction, dead_letter, limits, parquet,
    properties, storage,
};
use crate::signal::Table;

/// All problems of a configuration that could be parsed.
pub(super) fn problems(config: &Config) -> Vec<String> {
    let mut problems = catalog::rules::problems(&config.catalog);
    storage::problems(&config.storage, &mut problems);
    tables(config, &mut problems);
    parquet::problems(config, &mut problems);
    commit::problems(config, &mut problems);
    compaction::problems(config, &mut problems);
    limits::problems(&config.limits, &mut problems);
    dead_letter::problems(&config.dead_letter, &mut problems);
    problems
}

fn tables(config: &Config, problems: &mut Vec<String>) {
    let tables = &config.tables;
    for (key, name) in &tables.names {
        if !Table::ALL.iter().any(|table| table.default_name() == key) {
            let known: Vec<&str> = Table::ALL.iter().map(|t| t.default_name()).collect();
            problems.push(format!(
                "tables.names.{key}: there is no such table; known are {}",
                known.join(", ")
            ));
        }
        // A table's name is also a folder of the warehouse.
        if matches!(name.as_str(), "" | "." | "..") || name.contains(['/', '\u{1f}']) {
            problems.push(format!(
                "tables.names.{key}: {name:?} cannot name a table; give a name without \"/\" that is not \".\" or \"..\""
            ));
        }
    }
    if config.catalog.is_in_s3_tables() {
        for (key, name) in &tables.names {
            if let Err(rule) = catalog::rules::s3tables_name(name) {
                problems.push(format!("tables.names.{key}: {name:?} {rule}"));
            }
        }
    }
    let mut by_name: BTreeMap<&str, &str> = BTreeMap::new();
    for table in Table::ALL {
        if let Some(other) = by_name.insert(tables.name(table), table.default_name()) {
            problems.push(format!(
                "tables.names.{}: has the same name as {other}: {:?}",
                table.default_name(),
                tables.name(table)
            ));
        }
    }
    properties::problems(&tables.properties, problems);
    let known = problems.len();
    attribute_columns::problems(&tables.attribute_columns, problems);
    // Problems of columns would be reported twice.
    if problems.len() == known {
        partitions(tables, problems);
    }
}

/// Reports the first table that cannot be partitioned as configured: the other tables mostly have the same
/// problem.
fn partitions(tables: &TablesConfig, problems: &mut Vec<String>) {
    let failure = Table::ALL.into_iter().find_map(|table| {
        let spec = tables
            .schema(table)
            .and_then(|schema| tables.partition_by.spec(table, &schema));
        spec.err()
    });
    problems.extend(failure.map(|error| error.to_string()));
}
