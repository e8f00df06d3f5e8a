//! Every key of the library's configuration, with the format of its variable. A test compares it with
//! `docs/configuration.md`.

/// A key and the format of its value.
#[derive(Debug)]
pub(super) struct Key {
    /// The key as in the configuration, with dots.
    pub path: &'static str,
    pub kind: Kind,
}

/// The format of a variable's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Bool,
    Integer,
    /// `a,b` or a JSON list.
    List,
    /// `key=value,key=value` or a JSON object.
    Map,
    /// `a,b` or a JSON list, whose items may be objects.
    Items,
    /// A word or a JSON list: its items hold commas.
    WordOrList,
}

impl Key {
    pub(super) fn variable(&self) -> String {
        format!("{}{}", super::PREFIX, self.variable_suffix())
    }

    pub(super) fn variable_suffix(&self) -> String {
        self.path.replace('.', "_").to_ascii_uppercase()
    }
}

const fn key(path: &'static str, kind: Kind) -> Key {
    Key { path, kind }
}

use Kind::{Bool, Integer, Items, List, Map, Text, WordOrList};

pub(super) static KEYS: &[Key] = &[
    key("catalog.type", Text),
    key("catalog.uri", Text),
    key("catalog.warehouse", Text),
    key("catalog.default_location", Text),
    key("catalog.namespace", Text),
    key("catalog.name", Text),
    key("catalog.token", Text),
    key("catalog.oauth2.client_id", Text),
    key("catalog.oauth2.client_secret", Text),
    key("catalog.oauth2.token_uri", Text),
    key("catalog.oauth2.scope", Text),
    key("catalog.oauth2.audience", Text),
    key("catalog.oauth2.resource", Text),
    key("catalog.sigv4.region", Text),
    key("catalog.sigv4.service", Text),
    key("catalog.s3tables_api", Text),
    key("catalog.headers", Map),
    key("catalog.vended_credentials", Bool),
    key("catalog.timeout", Text),
    key("storage.s3.region", Text),
    key("storage.s3.endpoint", Text),
    key("storage.s3.path_style", Bool),
    key("storage.s3.access_key_id", Text),
    key("storage.s3.secret_access_key", Text),
    key("storage.s3.session_token", Text),
    key("tables.names", Map),
    key("tables.names.logs", Text),
    key("tables.names.traces", Text),
    key("tables.names.metrics_gauge", Text),
    key("tables.names.metrics_sum", Text),
    key("tables.names.metrics_histogram", Text),
    key("tables.names.metrics_exponential_histogram", Text),
    key("tables.names.metrics_summary", Text),
    key("tables.auto_create", Bool),
    key("tables.auto_evolve", Bool),
    key("tables.attribute_columns", Items),
    key("tables.column_case", Text),
    key("tables.partition_by", WordOrList),
    key("tables.properties", Map),
    key("parquet.compression", Text),
    key("parquet.compression_level", Integer),
    key("parquet.max_row_group_rows", Integer),
    key("parquet.target_file_size_bytes", Integer),
    key("parquet.bloom_filter_columns", List),
    key("commit.interval", Text),
    key("commit.max_retries", Integer),
    key("commit.dedup_snapshots", Integer),
    key("commit.dedup_window", Text),
    key("commit.on_failure", Text),
    key("commit.receipts_interval", Text),
    key("commit.expire_snapshots", Bool),
    key("limits.column_bytes_max", Integer),
    key("limits.batch_bytes_max", Integer),
    key("limits.payload_bytes_max", Integer),
    key("limits.in_flight_bytes_max", Integer),
    key("limits.records_per_request_max", Integer),
    key("limits.attributes_max", Integer),
    key("limits.value_bytes_max", Integer),
    key("limits.nesting_max", Integer),
    key("limits.partitions_max", Integer),
    key("limits.parallel_calls_max", Integer),
    key("dead_letter.path", Text),
    key("dead_letter.object_bytes_max", Integer),
];
