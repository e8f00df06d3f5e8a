//! Settings for new tables that an existing table does not have. They are not applied to it, since other
//! programs may rely on what it has; a setting that was changed later would be ignored without a word.

use iceberg::spec::{Schema, TableMetadata, Transform};

use crate::catalog::{TableSpec, table_spec};
use crate::config::{Config, PartitionBy};
use crate::signal::Table;
use crate::table_properties;

/// Warns of the settings that the configuration gives and the table does not have.
pub(super) fn warn(config: &Config, table: Table, metadata: &TableMetadata) {
    // A definition that does not fit our columns is reported where a table is created from it.
    let Ok(spec) = table_spec(config, table) else {
        return;
    };
    let ignored = ignored(config, &spec, metadata);
    if !ignored.is_empty() {
        tracing::warn!(
            table = config.tables.name(table),
            settings = ignored.join("; "),
            advice = "change the table (ALTER TABLE in Spark or Trino), or the setting to what the table has",
            "the table exists, and settings for new tables do not change it"
        );
    }
}

/// The settings that differ, each with what the table has. Defaults are left out: nobody asked for them.
fn ignored(config: &Config, spec: &TableSpec, metadata: &TableMetadata) -> Vec<String> {
    let mut ignored = Vec::new();
    if config.tables.partition_by != PartitionBy::default() {
        let fields = spec.partition_spec.fields().iter();
        let wanted = fields.map(|field| (field.source_id, field.transform));
        let wanted = names(&spec.schema, wanted);
        let found = metadata.default_partition_spec().fields().iter();
        let found = found.map(|field| (field.source_id, field.transform));
        let found = names(metadata.current_schema(), found);
        if !same(&wanted, &found) {
            let found = if found.is_empty() {
                "not partitioned".to_owned()
            } else {
                format!("partitioned by {}", found.join(", "))
            };
            ignored.push(format!("tables.partition_by: it is {found}"));
        }
    }
    for (key, value) in &config.tables.properties {
        // The format version is no property of the table, and an empty value leaves a property out.
        if key == table_properties::FORMAT_VERSION || value.is_empty() {
            continue;
        }
        let mut properties = metadata.properties().iter();
        let found = properties.find(|(name, _)| name.eq_ignore_ascii_case(key));
        match found {
            Some((_, found)) if found == value => {}
            Some((_, found)) => ignored.push(format!("tables.properties.{key}: it has {found:?}")),
            None => ignored.push(format!("tables.properties.{key}: it does not have it")),
        }
    }
    ignored
}

/// Partition fields as the configuration writes them: `day(Timestamp)`.
fn names(schema: &Schema, fields: impl Iterator<Item = (i32, Transform)>) -> Vec<String> {
    // A field that was removed from a table of format version 1 stays as `void`.
    let fields = fields.filter(|(_, transform)| *transform != Transform::Void);
    let named = fields.map(|(source_id, transform)| {
        let column = schema.name_by_field_id(source_id).unwrap_or("?");
        match transform {
            Transform::Bucket(count) => format!("bucket({count}, {column})"),
            Transform::Truncate(width) => format!("truncate({width}, {column})"),
            other => format!("{other}({column})"),
        }
    });
    named.collect()
}

/// Names of columns are compared in any case: a table found may have them in another.
fn same(wanted: &[String], found: &[String]) -> bool {
    wanted.len() == found.len()
        && wanted
            .iter()
            .zip(found)
            .all(|(wanted, found)| wanted.eq_ignore_ascii_case(found))
}

#[cfg(test)]
mod tests {
    use iceberg::spec::{FormatVersion, TableMetadataBuilder};

    use super::*;

    fn config(tables: &str) -> Config {
        Config::from_json(format!(r#"{{"tables": {tables}}}"#).as_bytes()).expect("valid")
    }

    /// The table that this configuration creates.
    fn created(config: &Config) -> TableMetadata {
        let mut spec = table_spec(config, Table::Logs).expect("spec");
        spec.properties.remove("format-version");
        let builder = TableMetadataBuilder::new(
            spec.schema,
            spec.partition_spec,
            spec.sort_order,
            "file:///t".to_owned(),
            FormatVersion::V2,
            spec.properties,
        );
        let builder = builder.expect("a table");
        builder.build().expect("metadata").metadata
    }

    fn told(given: &str, of: &TableMetadata) -> Vec<String> {
        let config = config(given);
        let spec = table_spec(&config, Table::Logs).expect("spec");
        ignored(&config, &spec, of)
    }

    #[test]
    fn a_table_that_the_settings_made_has_them_in_any_case_of_its_columns() {
        let given = r#"{"partition_by": ["day(timestamp)", "bucket(4, servicename)"], "properties": {
            "owner": "ops", "write.parquet.bloom-filter-fpp.column.traceid": "0.1", "format-version": "2",
            "history.expire.max-snapshot-age-ms": ""
        }}"#;
        let none: &[String] = &[];
        assert_eq!(told(given, &created(&config(given))), none);
        let lower = format!(r#"{{"column_case": "lower", {}"#, given.trim_start_matches('{'));
        assert_eq!(told(given, &created(&config(&lower))), none);
    }

    #[test]
    fn what_was_changed_later_is_told_and_defaults_are_not() {
        let hourly = created(&config(
            r#"{"partition_by": "hour", "properties": {"owner": "ops"}}"#,
        ));
        assert_eq!(told("{}", &hourly), Vec::<String>::new());
        let given = r#"{"partition_by": "month", "properties": {"owner": "dev", "team": "a"}}"#;
        assert_eq!(
            told(given, &hourly),
            [
                "tables.partition_by: it is partitioned by hour(Timestamp)",
                "tables.properties.owner: it has \"ops\"",
                "tables.properties.team: it does not have it",
            ]
        );
        let whole = created(&config(r#"{"partition_by": "none"}"#));
        assert_eq!(
            told(r#"{"partition_by": "hour"}"#, &whole),
            ["tables.partition_by: it is not partitioned"]
        );
    }
}
