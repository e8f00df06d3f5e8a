//! The configuration: one structure for every host, given as JSON.
//!
//! `docs/configuration.md` is its user documentation. Unknown keys are rejected. [`Config::from_json`]
//! reports every problem at once, each with its key's path.

mod attribute_columns;
mod bucket;
mod catalog;
mod commit;
mod compaction;
mod dead_letter;
mod duration;
mod header;
mod limits;
mod parquet;
mod partition;
mod place;
mod properties;
mod read;
mod secret;
mod storage;
mod validate;

use std::collections::BTreeMap;

use iceberg::spec::Schema;
use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};
use crate::schema::{ColumnCase, iceberg_schema};
use crate::signal::Table;

pub use attribute_columns::AttributeColumns;
pub(crate) use bucket::{is_name as is_bucket_name, on_s3};
pub use catalog::{CatalogConfig, CatalogType, OAuth2Config, S3TablesApi, SigV4Config};
pub use commit::{CommitConfig, OnFailure};
pub use compaction::CompactionConfig;
pub use dead_letter::DeadLetterConfig;
pub(crate) use header::can_carry as header_can_carry;
pub use limits::LimitsConfig;
pub use parquet::{Compression, ParquetConfig};
pub use partition::{PartitionBy, PartitionField};
pub(crate) use place::local as local_place;
pub use secret::Secret;
pub use storage::{RequestTimes, S3Config, StorageConfig, UploadSizes};

pub(crate) use catalog::rules::TableBucketArn;

/// All settings of the library. `{}` is a complete configuration.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The catalog of the tables.
    pub catalog: CatalogConfig,
    /// Access to the tables' files.
    pub storage: StorageConfig,
    /// Names, creation and evolution of tables.
    pub tables: TablesConfig,
    /// Parquet files.
    pub parquet: ParquetConfig,
    /// Commits.
    pub commit: CommitConfig,
    /// Compaction of small data files.
    pub compaction: CompactionConfig,
    /// Bounds on the cost of one request.
    pub limits: LimitsConfig,
    /// Where rejected data is stored.
    pub dead_letter: DeadLetterConfig,
}

/// `tables`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TablesConfig {
    /// Table names by their default name.
    pub names: BTreeMap<String, String>,
    /// Whether a missing table (and namespace) is created. Default true.
    pub auto_create: bool,
    /// Whether our missing columns are added to an existing table. Default true.
    pub auto_evolve: bool,
    /// Attributes with columns of their own, besides the maps. None by default.
    pub attribute_columns: AttributeColumns,
    /// The case of names in tables that are created, and of columns that are added. Default `pascal`.
    pub column_case: ColumnCase,
    /// Partitioning of new tables. Default `day`.
    pub partition_by: PartitionBy,
    /// Extra Iceberg table properties at creation. An empty value leaves one of ours out.
    pub properties: BTreeMap<String, String>,
}

impl Default for TablesConfig {
    fn default() -> Self {
        Self {
            names: BTreeMap::new(),
            auto_create: true,
            auto_evolve: true,
            attribute_columns: AttributeColumns::default(),
            column_case: ColumnCase::default(),
            partition_by: PartitionBy::default(),
            properties: BTreeMap::new(),
        }
    }
}

impl TablesConfig {
    /// The configured name of a table.
    #[must_use]
    pub fn name(&self, table: Table) -> &str {
        self.names
            .get(table.default_name())
            .map_or(table.default_name(), String::as_str)
    }

    /// The schema of a new table, which is also that of the columns that an existing one should have.
    ///
    /// # Errors
    /// As [`iceberg_schema`].
    pub(crate) fn schema(&self, table: Table) -> Result<Schema> {
        iceberg_schema(table, self.attribute_columns.of(table), self.column_case)
    }
}

impl Config {
    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// `Config`; the message lists every problem with its key and what is accepted.
    pub fn from_json(json: &[u8]) -> Result<Config> {
        let mut problems = Vec::new();
        let config = read::sections(json, &mut problems);
        problems.extend(validate::problems(&config));
        if problems.is_empty() {
            return Ok(config);
        }
        Err(Error::new(ErrorKind::Config, problems.join("; ")))
    }
}

#[cfg(test)]
mod tests;
