//! The interface to a catalog: create a table, load it, commit to it.

use std::sync::Arc;

use async_trait::async_trait;
use iceberg::io::FileIO;
use iceberg::spec::{Schema, SortOrder, TableMetadata, UnboundPartitionSpec};
use iceberg::{TableIdent, TableRequirement, TableUpdate};

use crate::aws::Aws;
use crate::cause::IcebergCause;
use crate::config::{CatalogType, Config, S3TablesApi};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::Stores;

mod http;
mod location;
mod manifest_header;
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

pub(crate) use manifests::{ReadManifest, manifests, read_manifest};
pub(crate) use metadata_file::metadata_folder;
pub(crate) use references::References;

/// A table as loaded from the catalog.
#[derive(Debug, Clone)]
pub struct LoadedTable {
    /// Namespace and name.
    pub ident: TableIdent,
    /// The metadata.
    pub metadata: Arc<TableMetadata>,
    /// The location of the metadata file: the compare-and-swap token of catalogs that store it. Empty when
    /// the catalog does not report it.
    pub metadata_location: String,
    /// Storage for the table's files.
    pub file_io: FileIO,
}

impl LoadedTable {
    /// The files that the table always has: the current snapshot's manifest list, and the metadata file if
    /// there is one. If storage shows none of them, the storage is probably not available.
    pub(crate) fn own_files(&self) -> impl Iterator<Item = &str> {
        let list = self
            .metadata
            .current_snapshot()
            .map(|snapshot| snapshot.manifest_list());
        let files = list.into_iter().chain([self.metadata_location.as_str()]);
        files.filter(|path| !path.is_empty())
    }

    /// The error for a file of the table that could not be read or written.
    pub(crate) fn storage_error(&self, message: &str, cause: iceberg::Error) -> Error {
        Error::new(ErrorKind::Storage, message)
            .with("table", self.ident.to_string())
            .because(IcebergCause(cause))
    }
}

/// The definition of a table to create.
#[derive(Debug, Clone)]
pub struct TableSpec {
    /// The schema. Its field ids are only a proposal.
    pub schema: Schema,
    /// The partition spec, in terms of the schema's field ids.
    pub partition_spec: UnboundPartitionSpec,
    /// The sort order, in terms of the schema's field ids.
    pub sort_order: SortOrder,
    /// Table properties.
    pub properties: std::collections::HashMap<String, String>,
}

/// The outcome of one commit attempt.
#[derive(Debug)]
pub enum CommitOutcome {
    /// The catalog committed it. Contains the table after the commit.
    Committed(LoadedTable),
    /// The catalog did not commit this attempt and never will: a conflict, or a definite refusal.
    Refused {
        /// Whether reloading the table and trying again can help (a conflict).
        conflict: bool,
        /// The catalog's error.
        error: Error,
    },
    /// The outcome is unknown: the commit may or may not be made. Reload the table, search it for our ids,
    /// then decide.
    Unknown(Error),
}

/// Why an attempt is not known to be committed: the outcomes other than [`CommitOutcome::Committed`].
#[derive(Debug)]
enum NotCommitted {
    /// As [`CommitOutcome::Refused`].
    Refused { conflict: bool, error: Error },
    /// As [`CommitOutcome::Unknown`].
    Unknown(Error),
}

impl NotCommitted {
    /// The outcome of an attempt that failed before it was sent.
    fn not_sent(error: Error) -> Self {
        Self::Refused {
            conflict: false,
            error,
        }
    }

    /// The outcome of an attempt after which the table has the metadata of another writer.
    fn overtaken(ident: &TableIdent) -> Self {
        Self::Refused {
            conflict: true,
            error: Error::new(ErrorKind::Catalog, "another writer was first")
                .with("table", ident.to_string()),
        }
    }

    /// The outcome of an attempt that was sent and got no answer that says what became of it.
    fn unknown(error: Error, ident: &TableIdent) -> Self {
        Self::Unknown(
            Error::new(ErrorKind::CommitUnknown, "the commit's outcome is not known")
                .with("table", ident.to_string())
                .class(error.retry_class())
                .because(error),
        )
    }
}

impl From<NotCommitted> for CommitOutcome {
    fn from(not_committed: NotCommitted) -> Self {
        match not_committed {
            NotCommitted::Refused { conflict, error } => CommitOutcome::Refused { conflict, error },
            NotCommitted::Unknown(error) => CommitOutcome::Unknown(error),
        }
    }
}

/// A catalog of Iceberg tables.
#[async_trait]
pub trait Catalog: Send + Sync + std::fmt::Debug {
    /// Loads a table, and creates it and its namespace if they are missing and `spec` is given.
    ///
    /// Several writers may call this at the same time without an error.
    async fn ensure(&self, ident: &TableIdent, spec: Option<TableSpec>) -> Result<LoadedTable>;

    /// Loads the current state of an existing table.
    async fn load(&self, ident: &TableIdent) -> Result<LoadedTable>;

    /// Makes one commit attempt on `base`. It never retries by itself.
    async fn commit(
        &self,
        base: &LoadedTable,
        requirements: Vec<TableRequirement>,
        updates: Vec<TableUpdate>,
    ) -> CommitOutcome;

    /// Whether there is a catalog at all. Without one, there are only the data files.
    fn keeps_tables(&self) -> bool {
        true
    }

    /// Whether loaded metadata is guaranteed to list every retained snapshot with its parent.
    ///
    /// A REST catalog does not guarantee it: Nessie exposes only the current snapshot, without its parent.
    /// What such a catalog exposes is not known before a table has a second snapshot.
    fn tells_history(&self) -> bool {
        true
    }

    /// Whether the catalog accepts a commit only if the table's metadata is still exactly that of `base`.
    ///
    /// If false, the main branch must still be at the same snapshot, but everything else may have changed.
    fn compares_metadata(&self) -> bool {
        true
    }

    /// Whether the service itself deletes files that no snapshot references. If true, others need not and
    /// must not delete them.
    fn deletes_files(&self) -> bool {
        false
    }

    /// Makes the request that the first call for this table would begin with, and changes nothing. The table need
    /// not exist. A catalog without a service has nothing to ask.
    ///
    /// # Errors
    /// What that call would return: the service does not answer, or refuses us.
    async fn reach(&self, ident: &TableIdent) -> Result<()>;

    /// Does the deferred work of past commits, such as deleting unused files. No caller of a commit waits for
    /// it.
    async fn tidy(&self) {}

    /// Releases the catalog's resources, such as open connections. Call it after the last use of the catalog.
    async fn close(&self) {}
}

/// What a catalog's answer that it has no such table says. No failure says it.
const NO_TABLE: &str = "the table does not exist; create it, or let it be created with tables.auto_create";

fn no_table(ident: &TableIdent) -> Error {
    Error::new(ErrorKind::Catalog, NO_TABLE).with("table", ident.to_string())
}

/// Whether the catalog answered that it has no such table. Any other error may hide one.
pub(crate) fn is_no_table(error: &Error) -> bool {
    error.kind() == ErrorKind::Catalog && error.message() == NO_TABLE
}

/// Opens the configured catalog.
///
/// # Errors
/// `Config` when it cannot work as configured, for example when the warehouse is not writable. The message
/// names the key and the remedy.
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
