//! The `SQLite` catalog, in the table layout of Iceberg's JDBC catalog.
//!
//! Java's `JdbcCatalog`, pyiceberg's `SqlCatalog` and iceberg-rust's can read and write the same database
//! concurrently: all of them swap `metadata_location` by compare-and-swap.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use iceberg::io::FileIO;
use iceberg::spec::FormatVersion;
use iceberg::{TableIdent, TableRequirement, TableUpdate};

use self::database::{Database, Key};
use self::failure::Failure;
use self::place::Placed;
use super::location::{Warehouse, config_error, database_path, prepare_warehouse};
use super::metadata::{self, MetadataCache, NextMetadata, refused};
use super::metadata_file::write_metadata_file;
use super::references::References;
use super::{Catalog, CommitOutcome, LoadedTable, NotCommitted, TableSpec, no_table};
use crate::cause::IcebergCause;
use crate::config::CatalogConfig;
use crate::error::{Error, ErrorKind, Result, RetryClass};
use crate::storage::{Advice, ByPlace, Stores, create_folders};

mod database;
mod database_file;
mod failure;
mod place;

const REFUSED: &str = "the catalog's database refused the commit";

/// Tables in a `SQLite` database. The files of each are in a local folder or on S3.
#[derive(Debug)]
pub(super) struct SqliteCatalog {
    database: Database,
    /// Where new tables are created. Existing tables stay where they are.
    warehouse: Warehouse,
    storage: ByPlace,
    metadata: MetadataCache,
    /// Metadata files that were removed from their tables' logs.
    outdated: Mutex<Vec<String>>,
}

impl SqliteCatalog {
    /// Opens the warehouse and the database. Missing folders and a missing database are created. S3 is not
    /// contacted yet, because problems there can be fixed while the process runs.
    ///
    /// # Errors
    /// `Config` naming `catalog.warehouse` or `catalog.uri` when it cannot be used.
    pub(super) async fn open(config: &CatalogConfig, stores: &Stores) -> Result<Self> {
        let warehouse = Warehouse::new(config.local_warehouse())?;
        let database_path = database_path(config.uri.as_deref(), &warehouse)?;
        let storage = ByPlace::new(stores.clone());
        storage.of(config.local_warehouse())?;
        prepare_warehouse(&warehouse)?;
        let unusable = |advice: Advice| {
            config_error(format!(
                "catalog.uri: cannot open the database {}{advice}",
                database_path.display()
            ))
        };
        if let Some(folder) = database_path.parent() {
            create_folders(folder).map_err(|cause| unusable(Advice(cause.kind())).because(cause))?;
        }
        let database = Database::open(&database_path, config.sql_name().to_owned())
            .await
            .map_err(|cause| unusable(Advice(std::io::ErrorKind::Other)).because(cause))?;
        Ok(Self {
            database,
            warehouse,
            storage,
            metadata: MetadataCache::default(),
            outdated: Mutex::default(),
        })
    }

    /// The table, or `None` if it does not exist.
    async fn find(&self, ident: &TableIdent) -> Result<Option<LoadedTable>> {
        let found = self.locate(ident).await?;
        let newest = self
            .metadata
            .newest(
                |location| self.file_io(ident, location),
                ident,
                found,
                || self.locate(ident),
            )
            .await?;
        let Some((metadata, metadata_location)) = newest else {
            return Ok(None);
        };
        Ok(Some(LoadedTable {
            ident: ident.clone(),
            file_io: self.file_io(ident, &metadata_location)?,
            metadata,
            metadata_location,
        }))
    }

    /// The storage of the table's metadata location. The warehouse may be another one by now, and the table
    /// may have been created by another tool.
    fn file_io(&self, ident: &TableIdent, metadata_location: &str) -> Result<FileIO> {
        self.storage
            .of(metadata_location)
            // Not permanent, unlike a configuration error: the catalog can be repaired.
            .map_err(|error| {
                error
                    .with("table", ident.to_string())
                    .class(RetryClass::Retry { after: None })
            })
    }

    async fn locate(&self, ident: &TableIdent) -> Result<Option<String>> {
        let row = self
            .database
            .table(&key(ident))
            .await
            .map_err(|cause| look_up_failed(ident, cause))?;
        let Some(row) = row else { return Ok(None) };
        if !row.is_table {
            let message = "there is a view of the table's name; give the table another name in tables.names";
            // Not permanent, unlike other mismatches: the view can be dropped or renamed.
            return Err(Error::new(ErrorKind::TableMismatch, message)
                .with("table", ident.to_string())
                .class(RetryClass::Retry { after: None }));
        }
        if row.metadata_location.is_none() {
            let message =
                "the catalog has the table without a metadata location; drop it there or set it right";
            return Err(Error::new(ErrorKind::Catalog, message).with("table", ident.to_string()));
        }
        Ok(row.metadata_location)
    }

    /// Creates the table. If another writer creates it first, that table is left unchanged.
    async fn create(&self, ident: &TableIdent, spec: TableSpec) -> Result<()> {
        let failed = |cause: Failure| {
            Error::new(ErrorKind::Catalog, "cannot create the table")
                .with("table", ident.to_string())
                .because(cause)
        };
        let key = key(ident);
        let Placed { metadata, neighbour } = self.placed(ident, spec).await?;
        // What is in the folder may be this very table, which another writer has created and used meanwhile.
        if neighbour.is_some() && self.locate(ident).await?.is_some() {
            return Ok(());
        }
        let file_io = self.file_io(ident, metadata.location())?;
        self.database
            .insert_namespace(&key.namespace)
            .await
            .map_err(failed)?;
        let location = write_metadata_file(&file_io, ident, None, &metadata, None).await?;
        match self.database.insert_table(&key, &location).await {
            Ok(true) => {
                if let Some(neighbour) = neighbour {
                    neighbour.log(ident, metadata.location());
                }
                Ok(())
            }
            Ok(false) => {
                self.discard(&location).await;
                Ok(())
            }
            Err(cause) => {
                if cause.surely_undone() {
                    self.discard(&location).await;
                }
                Err(failed(cause))
            }
        }
    }

    async fn try_commit(
        &self,
        base: &LoadedTable,
        requirements: &[TableRequirement],
        updates: Vec<TableUpdate>,
    ) -> Result<LoadedTable, NotCommitted> {
        let ident = &base.ident;
        let NextMetadata {
            metadata,
            json,
            expired,
        } = self.metadata.next(base, requirements, updates)?;
        Self::refuse_references_of_v1(base)
            .await
            .map_err(NotCommitted::not_sent)?;
        // Checked before anything is written into a folder that may have been removed with the database.
        self.database
            .check_place(false)
            .await
            .map_err(|cause| refused(false, REFUSED, ident, cause))?;
        let current = Some(base.metadata_location.as_str());
        let location = write_metadata_file(&base.file_io, ident, current, &metadata, Some(&json))
            .await
            .map_err(NotCommitted::not_sent)?;
        if let Err(not_committed) = self.swap(base, &location).await {
            if matches!(not_committed, NotCommitted::Refused { .. }) {
                self.discard(&location).await;
            }
            return Err(not_committed);
        }
        self.metadata.remember(ident, &location, &metadata, Some(json));
        self.outdated().extend(metadata::outdated(&metadata, expired));
        Ok(LoadedTable {
            ident: ident.clone(),
            metadata,
            metadata_location: location,
            file_io: base.file_io.clone(),
        })
    }

    /// Makes the metadata at `location` the table's, if that of `base` still is.
    async fn swap(&self, base: &LoadedTable, location: &str) -> Result<(), NotCommitted> {
        let ident = &base.ident;
        let swapped = self
            .database
            .swap_metadata(&key(ident), &base.metadata_location, location)
            .await;
        match swapped {
            Ok(true) => Ok(()),
            Ok(false) => Err(NotCommitted::overtaken(ident)),
            Err(cause) if cause.surely_undone() => Err(refused(cause.is_busy(), REFUSED, ident, cause)),
            Err(cause) => {
                let message = "the catalog's database failed during the commit";
                let error = Error::new(ErrorKind::CommitUnknown, message).with("table", ident.to_string());
                Err(NotCommitted::Unknown(error.because(cause)))
            }
        }
    }

    /// Refuses tables of format v1 with branches or tags: iceberg-rust does not read them, so our metadata
    /// would lose them, and the files that they keep would be deleted later.
    async fn refuse_references_of_v1(base: &LoadedTable) -> Result<()> {
        if base.metadata.format_version() != FormatVersion::V1 {
            return Ok(());
        }
        let about = |error: Error| error.with("table", base.ident.to_string());
        let text = base.file_io.new_input(&base.metadata_location);
        let text = async { text?.read().await }.await.map_err(|cause| {
            let message = "cannot look for branches and tags of a table in format v1";
            about(Error::new(ErrorKind::Storage, message)).because(IcebergCause(cause))
        })?;
        if References::in_json(&text).is_some_and(|references| references.are_main_alone()) {
            return Ok(());
        }
        let message = "the table is in format v1 and has branches, tags or a retention of its own, or metadata that cannot be searched for \
                       them, which this catalog would lose; set \
                       its property format-version to 2 with an engine";
        Err(about(
            Error::new(ErrorKind::TableMismatch, message).class(RetryClass::Retry { after: None }),
        ))
    }

    fn outdated(&self) -> MutexGuard<'_, Vec<String>> {
        self.outdated.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn discard(&self, location: &str) {
        match self.storage.of(location) {
            Ok(file_io) => metadata::discard(&file_io, location).await,
            Err(error) => {
                tracing::warn!(location, %error, "cannot delete a metadata file that is not needed");
            }
        }
    }
}

#[async_trait]
impl Catalog for SqliteCatalog {
    async fn ensure(&self, ident: &TableIdent, spec: Option<TableSpec>) -> Result<LoadedTable> {
        if let Some(table) = self.find(ident).await? {
            return Ok(table);
        }
        if let Some(spec) = spec {
            self.create(ident, spec).await?;
        }
        self.load(ident).await
    }

    async fn load(&self, ident: &TableIdent) -> Result<LoadedTable> {
        self.find(ident).await?.ok_or_else(|| no_table(ident))
    }

    async fn commit(
        &self,
        base: &LoadedTable,
        requirements: Vec<TableRequirement>,
        updates: Vec<TableUpdate>,
    ) -> CommitOutcome {
        let attempt = self.try_commit(base, &requirements, updates).await;
        attempt.map_or_else(CommitOutcome::from, CommitOutcome::Committed)
    }

    /// The database was reached when it was opened.
    async fn reach(&self, _ident: &TableIdent) -> Result<()> {
        Ok(())
    }

    async fn tidy(&self) {
        let outdated = std::mem::take(&mut *self.outdated());
        for location in outdated {
            self.discard(&location).await;
        }
    }

    async fn close(&self) {
        self.tidy().await;
        self.database.close().await;
    }
}

fn key(ident: &TableIdent) -> Key {
    Key {
        namespace: ident.namespace.to_string(),
        table: ident.name.clone(),
    }
}

fn look_up_failed(ident: &TableIdent, cause: Failure) -> Error {
    Error::new(
        ErrorKind::Catalog,
        "cannot look up the table in the catalog's database",
    )
    .with("table", ident.to_string())
    .because(cause)
}
