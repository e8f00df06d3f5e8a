//! The narrow seam to a catalog: make a table, load it, commit to it.

use std::sync::Arc;

use async_trait::async_trait;
use iceberg::io::FileIO;
use iceberg::spec::{Schema, SortOrder, TableMetadata, UnboundPartitionSpec};
use iceberg::{TableIdent, TableRequirement, TableUpdate};

use crate::aws::Aws;
use crate::cause;
use crate::config::{CatalogType, Config, S3TablesApi};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::Stores;

mod http;
mod location;
mod manifests;
mod metadata;
mod metadata_file;
mod metadata_json;
mod metadata_time;
mod none;
mod references;
mod rest;
mod s3tables;
mod spec;
mod sqlite;
mod storage_check;

pub use spec::table_spec;

pub(crate) use cause::IcebergCause;
pub(crate) use manifests::manifests;
pub(crate) use metadata_file::metadata_folder;
pub(crate) use references::References;

/// A table as the catalog gave it.
#[derive(Debug, Clone)]
pub struct LoadedTable {
    /// Namespace and name.
    pub ident: TableIdent,
    /// The metadata.
    pub metadata: Arc<TableMetadata>,
    /// Where the metadata was read from; the compare-and-swap token of catalogs that have it.
    pub metadata_location: String,
    /// Storage for the table's files.
    pub file_io: FileIO,
}

impl LoadedTable {
    /// Files that the table cannot be without: the current snapshot's list of manifests, and the metadata where it is a file. What storage
    /// shows of them tells whether it shows anything.
    pub(crate) fn own_files(&self) -> impl Iterator<Item = &str> {
        let list = self
            .metadata
            .current_snapshot()
            .map(|snapshot| snapshot.manifest_list());
        let files = list.into_iter().chain([self.metadata_location.as_str()]);
        files.filter(|path| !path.is_empty())
    }
}

/// What a table is created with.
#[derive(Debug, Clone)]
pub struct TableSpec {
    /// The schema; its field ids are only a proposal.
    pub schema: Schema,
    /// The partition spec, in terms of the schema's field ids.
    pub partition_spec: UnboundPartitionSpec,
    /// The sort order, in terms of the schema's field ids.
    pub sort_order: SortOrder,
    /// Table properties.
    pub properties: std::collections::HashMap<String, String>,
}

/// How one commit attempt ended. There is no fourth way.
#[derive(Debug)]
pub enum CommitOutcome {
    /// The catalog took it; the table as it is now.
    Committed(LoadedTable),
    /// The catalog did not and never will take this attempt: a conflict, or a clean refusal.
    Refused {
        /// Whether reloading the table and trying again can help (a conflict).
        conflict: bool,
        /// What the catalog said.
        error: Error,
    },
    /// It may have been taken or not. Reload, look for our ids, then decide.
    Unknown(Error),
}

/// A catalog.
#[async_trait]
pub trait Catalog: Send + Sync + std::fmt::Debug {
    /// Loads a table; makes its namespace and itself if they are missing and `spec` is given. Many
    /// writers may do this at once without an error.
    async fn ensure(&self, ident: &TableIdent, spec: Option<TableSpec>) -> Result<LoadedTable>;

    /// Loads a table that must exist, fresh.
    async fn load(&self, ident: &TableIdent) -> Result<LoadedTable>;

    /// Makes one commit attempt on `base`. Never repeats it by itself.
    async fn commit(
        &self,
        base: &LoadedTable,
        requirements: Vec<TableRequirement>,
        updates: Vec<TableUpdate>,
    ) -> CommitOutcome;

    /// Whether there is a catalog at all: without one, files that are written are all there is.
    fn keeps_tables(&self) -> bool {
        true
    }

    /// Whether it surely tells of all snapshots of a table, and of their parents. Not known of catalogs of others before a table has a
    /// second one.
    fn tells_history(&self) -> bool {
        true
    }

    /// Whether it takes a commit only on the very metadata that the commit was built on. If not, on any whose main branch is
    /// at the same snapshot, whatever else was changed meanwhile.
    fn compares_metadata(&self) -> bool {
        true
    }

    /// Whether the service deletes files that no snapshot has any more, so that nobody else may or must.
    fn deletes_files(&self) -> bool {
        false
    }

    /// Does what commits left to do that no caller waits for, such as to delete files that fell out of use.
    async fn tidy(&self) {}

    /// Lets go of what the catalog holds open, once nobody uses it any more.
    async fn close(&self) {}
}

fn no_table(ident: &TableIdent) -> Error {
    let message = "the table does not exist; create it, or let it be created with tables.auto_create";
    Error::new(ErrorKind::Catalog, message).with("table", ident.to_string())
}

/// Opens the catalog that the configuration names.
///
/// # Errors
/// `Config` when it cannot work as configured, such as a warehouse that cannot be written; the
/// message names the key and what to do.
pub async fn open(config: &Config) -> Result<Arc<dyn Catalog>> {
    let catalog = &config.catalog;
    let region = http::region(catalog).or_else(|| config.storage.s3.region.clone());
    let stores = Stores::new(config.storage.clone(), Arc::new(Aws::new(region)));
    match (catalog.r#type, catalog.s3tables_api) {
        (CatalogType::None, _) => Ok(Arc::new(none::NoCatalog::open(catalog, &stores)?)),
        (CatalogType::Sql, _) => Ok(Arc::new(sqlite::SqliteCatalog::open(catalog, &stores).await?)),
        (CatalogType::S3Tables, Some(S3TablesApi::Native)) => {
            Ok(Arc::new(s3tables::S3TablesCatalog::open(catalog, &stores).await?))
        }
        (CatalogType::Rest | CatalogType::Glue | CatalogType::S3Tables, _) => {
            Ok(rest::RestCatalog::open(catalog, stores).await?)
        }
    }
}
