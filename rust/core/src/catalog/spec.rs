//! The definition of a new table.

use std::collections::HashMap;

use iceberg::spec::{NullOrder, Schema, SortDirection, SortField, SortOrder, Transform};

use super::TableSpec;
use crate::cause::IcebergCause;
use crate::config::{Compression, Config, ParquetConfig};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{iceberg_schema, sort_columns};
use crate::signal::Table;

/// The schema, partitioning, sort order and properties of a new table, from the configuration.
///
/// # Errors
/// `Config` when a transform of `tables.partition_by` does not fit its column.
pub fn table_spec(config: &Config, table: Table) -> Result<TableSpec> {
    let schema = iceberg_schema(table, config.tables.attribute_columns.of(table))?;
    let partition_spec = config.tables.partition_by.spec(table, &schema)?;
    let sort_order = sort_order(table, &schema)?;
    let properties = properties(config, &schema);
    Ok(TableSpec {
        schema,
        partition_spec,
        sort_order,
        properties,
    })
}

fn sort_order(table: Table, schema: &Schema) -> Result<SortOrder> {
    let mut builder = SortOrder::builder();
    let unfit = || {
        let message = "the table's sort order does not fit its schema";
        Error::new(ErrorKind::Internal, message).with("table", table.default_name())
    };
    for column in sort_columns(table) {
        builder.with_sort_field(SortField {
            source_id: schema.field_id_by_name(column).ok_or_else(unfit)?,
            transform: Transform::Identity,
            direction: SortDirection::Ascending,
            null_order: NullOrder::First,
        });
    }
    let order = builder.build(schema);
    order.map_err(|cause| unfit().because(IcebergCause(cause)))
}

/// Our table properties, overridden by the user's. Other writers of the table, such as compaction, follow
/// them. An empty value leaves a property out: some catalogs refuse tables with properties that they manage.
fn properties(config: &Config, schema: &Schema) -> HashMap<String, String> {
    let parquet = &config.parquet;
    let mut properties: HashMap<String, String> = HashMap::new();
    let mut set = |key: &str, value: String| properties.insert(key.to_owned(), value);
    // Each commit writes a metadata file, and without this their number grows without limit. Each file also
    // lists the previous ones. A reader needs the file it started with only until it has read it.
    set("write.metadata.delete-after-commit.enabled", "true".to_owned());
    set("write.metadata.previous-versions-max", "20".to_owned());
    let commit = &config.commit;
    // S3 Tables stops expiring snapshots of a table whose properties keep them longer than the service does.
    // Our commits expire snapshots there without these properties.
    if commit.expire_snapshots && !config.catalog.is_in_s3_tables() {
        set(
            "history.expire.max-snapshot-age-ms",
            commit.max_snapshot_age_ms().to_string(),
        );
        // Also for engines: requests are recognised by these snapshots. Java reads an int here.
        let count = i32::try_from(commit.dedup_snapshots).unwrap_or(i32::MAX);
        set("history.expire.min-snapshots-to-keep", count.to_string());
    }
    match parquet.compression.unwrap_or(ParquetConfig::COMPRESSION) {
        Compression::Zstd => {
            let level = parquet
                .compression_level
                .unwrap_or(ParquetConfig::COMPRESSION_LEVEL);
            set("write.parquet.compression-codec", "zstd".to_owned());
            set("write.parquet.compression-level", level.to_string());
        }
        Compression::None => {
            set("write.parquet.compression-codec", "uncompressed".to_owned());
        }
    }
    let target_bytes = parquet
        .target_file_size_bytes
        .unwrap_or(ParquetConfig::TARGET_FILE_SIZE_BYTES);
    set("write.target-file-size-bytes", target_bytes.to_string());
    let bloom_filter_columns: Vec<&str> = match &parquet.bloom_filter_columns {
        Some(columns) => columns.iter().map(String::as_str).collect(),
        None => ParquetConfig::BLOOM_FILTER_COLUMNS.to_vec(),
    };
    for column in bloom_filter_columns {
        if schema.field_id_by_name(column).is_some() {
            set(
                &format!("write.parquet.bloom-filter-enabled.column.{column}"),
                "true".to_owned(),
            );
        }
    }
    properties.extend(config.tables.properties.clone());
    properties.retain(|_, value| !value.is_empty());
    properties
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Unity Catalog refuses new tables with properties of Parquet files.
    #[test]
    fn empty_values_leave_properties_out() {
        let json = br#"{"tables": {"properties": {
            "write.parquet.compression-codec": "", "write.parquet.compression-level": "",
            "write.parquet.bloom-filter-enabled.column.TraceId": "", "write.target-file-size-bytes": "",
            "owner": "ops", "write.metadata.metrics.default": ""
        }}}"#;
        let config = Config::from_json(json).expect("valid");
        let spec = table_spec(&config, Table::Logs).expect("spec");
        let mut keys: Vec<&str> = spec.properties.keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            [
                "history.expire.max-snapshot-age-ms",
                "history.expire.min-snapshots-to-keep",
                "owner",
                "write.metadata.delete-after-commit.enabled",
                "write.metadata.previous-versions-max",
            ]
        );
    }
}
