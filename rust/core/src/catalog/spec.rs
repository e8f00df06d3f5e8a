//! The definition of a new table.

use std::collections::HashMap;

use iceberg::spec::{NullOrder, Schema, SortDirection, SortField, SortOrder, Transform};

use super::TableSpec;
use crate::cause::IcebergCause;
use crate::config::{Compression, Config, ParquetConfig};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{field_in_any_case, sort_columns};
use crate::signal::Table;
use crate::table_properties::{
    BLOOM_FILTER_ENABLED_PREFIX, COMPRESSION_CODEC, COMPRESSION_LEVEL, MAX_SNAPSHOT_AGE_MS,
    METADATA_DELETE_AFTER_COMMIT_ENABLED, METADATA_PREVIOUS_VERSIONS_MAX, MIN_SNAPSHOTS_TO_KEEP,
    TARGET_FILE_SIZE_BYTES,
};

/// The schema, partitioning, sort order and properties of a new table, from the configuration.
///
/// # Errors
/// `Config` when a transform of `tables.partition_by` does not fit its column.
pub fn table_spec(config: &Config, table: Table) -> Result<TableSpec> {
    let schema = config.tables.schema(table)?;
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
        let (source_id, _) = field_in_any_case(schema, column).ok_or_else(unfit)?;
        builder.with_sort_field(SortField {
            source_id,
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
    set(METADATA_DELETE_AFTER_COMMIT_ENABLED, "true".to_owned());
    set(METADATA_PREVIOUS_VERSIONS_MAX, "20".to_owned());
    let commit = &config.commit;
    // S3 Tables stops expiring snapshots of a table whose properties keep them longer than the service does.
    // Our commits expire snapshots there without these properties.
    if commit.expire_snapshots && !config.catalog.is_in_s3_tables() {
        set(MAX_SNAPSHOT_AGE_MS, commit.max_snapshot_age_ms().to_string());
        // Also for engines: requests are recognised by these snapshots. Java reads an int here.
        let count = i32::try_from(commit.dedup_snapshots).unwrap_or(i32::MAX);
        set(MIN_SNAPSHOTS_TO_KEEP, count.to_string());
    }
    match parquet.compression.unwrap_or(ParquetConfig::COMPRESSION) {
        Compression::Zstd => {
            let level = parquet
                .compression_level
                .unwrap_or(ParquetConfig::COMPRESSION_LEVEL);
            set(COMPRESSION_CODEC, "zstd".to_owned());
            set(COMPRESSION_LEVEL, level.to_string());
        }
        Compression::None => {
            set(COMPRESSION_CODEC, "uncompressed".to_owned());
        }
    }
    let target_bytes = parquet
        .target_file_size_bytes
        .unwrap_or(ParquetConfig::TARGET_FILE_SIZE_BYTES);
    set(TARGET_FILE_SIZE_BYTES, target_bytes.to_string());
    let bloom_filter_columns: Vec<&str> = match &parquet.bloom_filter_columns {
        Some(columns) => columns.iter().map(String::as_str).collect(),
        None => ParquetConfig::BLOOM_FILTER_COLUMNS.to_vec(),
    };
    for column in bloom_filter_columns {
        if let Some((_, name)) = field_in_any_case(schema, column) {
            set(&format!("{BLOOM_FILTER_ENABLED_PREFIX}{name}"), "true".to_owned());
        }
    }
    let given = config.tables.properties.iter();
    properties.extend(given.map(|(key, value)| (with_column_of(schema, key), value.clone())));
    properties.retain(|_, value| !value.is_empty());
    properties
}

/// The part of a property's key before a column's name.
const COLUMN: &str = ".column.";

/// A property's key; a column in it gets its name in the schema. Other programs go by the exact name, and Java refuses
/// metrics of a column that it does not find.
fn with_column_of(schema: &Schema, key: &str) -> String {
    let named = key.split_once(COLUMN).and_then(|(property, column)| {
        let (_, name) = field_in_any_case(schema, column)?;
        Some(format!("{property}{COLUMN}{name}"))
    });
    named.unwrap_or_else(|| key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What names a column, with the configuration's names in any case.
    #[test]
    fn names_of_columns_are_those_of_the_schema_everywhere() {
        let named = |case: &str| {
            let json = format!(
                r#"{{"tables": {{
                    "column_case": "{case}", "attribute_columns": ["http.route"],
                    "partition_by": ["day(timestamp)", "bucket(4, SERVICENAME)", "identity(HttpRoute)"],
                    "properties": {{
                        "write.metadata.metrics.column.duration": "none", "write.metadata.metrics.column.Events.element.Name": "counts",
                        "write.parquet.bloom-filter-enabled.column.traceId": "", "write.parquet.bloom-filter-fpp.column.Other": "0.1"
                    }}
                }}, "parquet": {{"bloom_filter_columns": ["TraceId", "spanid", "HTTPROUTE"]}}}}"#
            );
            let config = Config::from_json(json.as_bytes()).expect("valid");
            let spec = table_spec(&config, Table::Traces).expect("spec");
            let name = |id| spec.schema.name_by_field_id(id).expect("a column").to_owned();
            let fields = spec.partition_spec.fields().iter();
            let mut names: Vec<String> = fields
                .map(|field| format!("{} of {}", field.name, name(field.source_id)))
                .collect();
            names.extend(spec.sort_order.fields.iter().map(|field| name(field.source_id)));
            let mut keys: Vec<String> = spec.properties.into_keys().collect();
            keys.retain(|key| key.contains(COLUMN));
            keys.sort_unstable();
            names.extend(keys);
            names
        };
        assert_eq!(
            named("lower"),
            [
                "timestamp_day of timestamp",
                "servicename_bucket of servicename",
                "httproute of httproute",
                "servicename",
                "timestamp",
                "write.metadata.metrics.column.duration",
                "write.metadata.metrics.column.events.element.name",
                "write.parquet.bloom-filter-enabled.column.httproute",
                "write.parquet.bloom-filter-enabled.column.spanid",
                "write.parquet.bloom-filter-fpp.column.Other",
            ]
        );
        assert_eq!(
            named("pascal"),
            [
                "Timestamp_day of Timestamp",
                "ServiceName_bucket of ServiceName",
                "HttpRoute of HttpRoute",
                "ServiceName",
                "Timestamp",
                "write.metadata.metrics.column.Duration",
                "write.metadata.metrics.column.Events.element.Name",
                "write.parquet.bloom-filter-enabled.column.HttpRoute",
                "write.parquet.bloom-filter-enabled.column.SpanId",
                "write.parquet.bloom-filter-fpp.column.Other",
            ]
        );
    }

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
