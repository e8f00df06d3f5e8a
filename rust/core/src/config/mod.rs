//! The configuration: one shape for every host, given as JSON.
//!
//! `docs/configuration.md` tells the same for users. Unknown keys are refused. [`Config::from_json`]
//! reports every problem at once, each with its key's path.

mod catalog;
mod commit;
mod duration;
mod parquet;
mod partition;
mod read;
mod secret;
mod storage;
mod validate;

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};
use crate::signal::Table;

pub use catalog::{CatalogConfig, CatalogType, OAuth2Config, S3TablesApi, SigV4Config};
pub use commit::{CommitConfig, OnFailure};
pub use parquet::{Compression, ParquetConfig};
pub use partition::{PartitionBy, PartitionField};
pub use secret::Secret;
pub use storage::{S3Config, StorageConfig};

pub(crate) use catalog::rules::TableBucketArn;

/// Everything the library can be told. `{}` is a whole configuration.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Where tables are kept track of.
    pub catalog: CatalogConfig,
    /// How the tables' files are reached.
    pub storage: StorageConfig,
    /// Names, creation and evolution of tables.
    pub tables: TablesConfig,
    /// Parquet files.
    pub parquet: ParquetConfig,
    /// Commits.
    pub commit: CommitConfig,
    /// Bounds on what one request may cost.
    pub limits: LimitsConfig,
}

/// `tables`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TablesConfig {
    /// Table names by their default name.
    pub names: BTreeMap<String, String>,
    /// Whether a missing table (and namespace) is made. Default true.
    pub auto_create: bool,
    /// Whether our missing columns are added to a table that is found. Default true.
    pub auto_evolve: bool,
    /// Partitioning of tables that are made. Default `day`.
    pub partition_by: PartitionBy,
    /// Extra Iceberg table properties at creation.
    pub properties: BTreeMap<String, String>,
}

impl Default for TablesConfig {
    fn default() -> Self {
        Self {
            names: BTreeMap::new(),
            auto_create: true,
            auto_evolve: true,
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
}

/// `limits`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// A batch is closed before a string column passes this many bytes. Default 1 GiB, at most 2 GiB - 1.
    pub column_bytes_max: usize,
    /// Rows are encoded when they take this many bytes in memory, in all tables together. Default 256 MiB.
    pub batch_bytes_max: usize,
    /// Payload bytes of one call at most, after merging. Default 1 GiB.
    pub payload_bytes_max: usize,
    /// Partition values that one batch may open files for. Default 1,000.
    pub partitions_max: usize,
    /// Calls that convert and encode at the same time. Default 2.
    pub parallel_calls_max: usize,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            column_bytes_max: 1 << 30,
            batch_bytes_max: 256 << 20,
            payload_bytes_max: 1 << 30,
            partitions_max: 1_000,
            parallel_calls_max: 2,
        }
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
