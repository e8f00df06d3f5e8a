//! The `SQLite` catalog, in the table layout of Iceberg's JDBC catalog.
//!
//! Java's `JdbcCatalog`, pyiceberg's `SqlCatalog` and iceberg-rust's can read and write the same
//! database beside us: all of them swap `metadata_location` by comparing it first.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use iceberg::io::FileIO;
use iceberg::spec::{FormatVersion, MetadataLog, TableMetadata, TableMetadataBuilder, TableProperties};
use iceberg::{TableIdent, TableRequirement, TableUpdate};
use uuid::Uuid;

use self::database::{Database, Key};
use self::failure::Failure;
use super::cause::IcebergCause;
use super::local_storage::{Advice, create_folders};
use super::location::{Warehouse, config_error, database_path, table_location};
use super::metadata_file::write_metadata_file;
use super::storage::file_io;
use super::{Catalog, CommitOutcome, LoadedTable, TableSpec};
use crate::config::{CatalogConfig, StorageConfig};
use crate::error::{Error, ErrorKind, Result};

mod database;
mod failure;
mod place;

/// How often a table is looked up again when its metadata file was pruned between look and read.
const LOAD_ATTEMPTS: usize = 3;

const REFUSED: &str = "the catalog's database refused the commit";

/// Tables in a `SQLite` database, their files in a local folder or on S3.
#[derive(Debug)]
pub(super) struct SqliteCatalog {
    database: Database,
    warehouse: Warehouse,
    file_io: FileIO,
    /// The newest metadata read of each table, with its location: metadata files never change.
    parsed: Mutex<HashMap<TableIdent, (String, Arc<TableMetadata>)>>,
}

impl SqliteCatalog {
    /// Opens the warehouse and the database; folders and the database are made if missing. S3 is not
    /// asked yet: what is wrong there can be mended while the process runs.
    ///
    /// # Errors
    /// `Config` naming `catalog.warehouse` or `catalog.uri` when one cannot be used.
    pub(super) async fn open(config: &CatalogConfig, storage: &StorageConfig) -> Result<Self> {
        let warehouse = Warehouse::new(config.sql_warehouse())?;
        let database_path = database_path(config.uri.as_deref(), &warehouse)?;
        let file_io = file_io(config.sql_warehouse(), &HashMap::new(), storage)?;
        if let Warehouse::Local(folder) = &warehouse {
            prepare_folder(folder).map_err(|cause| {
                config_error(format!(
                    "catalog.warehouse: cannot write to {}{}",
                    folder.display(),
                    Advice(cause.kind())
                ))
                .because(cause)
            })?;
        }
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
            file_io,
            parsed: Mutex::default(),
        })
    }

    /// The table, or `None` if there is none.
    async fn find(&self, ident: &TableIdent) -> Result<Option<LoadedTable>> {
        let key = key(ident);
        let mut failure: Option<(String, Error)> = None;
        for _ in 0..LOAD_ATTEMPTS {
            let row = self
                .database
                .table(&key)
                .await
                .map_err(|cause| look_up_failed(ident, cause))?;
            let Some(row) = row else { return Ok(None) };
            if !row.is_table {
                let message =
                    "there is a view of the table's name; give the table another name in tables.names";
                return Err(Error::new(ErrorKind::TableMismatch, message).with("table", ident.to_string()));
            }
            let Some(location) = row.metadata_location else {
                let message =
                    "the catalog has the table without a metadata location; drop it there or set it right";
                return Err(Error::new(ErrorKind::Catalog, message).with("table", ident.to_string()));
            };
            // A commit beside us may have pruned the file that was read; then the row names another now.
            if failure.as_ref().is_some_and(|(failed, _)| *failed == location) {
                break;
            }
            match self.read(ident, &location).await {
                Ok(metadata) => return Ok(Some(self.loaded(ident, metadata, location))),
                Err(error) => failure = Some((location, error)),
            }
        }
        Err(failure.map_or_else(
            || Error::new(ErrorKind::Internal, "a table was looked up zero times"),
            |(_, error)| error,
        ))
    }

    async fn read(&self, ident: &TableIdent, location: &str) -> Result<Arc<TableMetadata>> {
        if let Some((known, metadata)) = self.parsed().get(ident)
            && known == location
        {
            return Ok(Arc::clone(metadata));
        }
        let metadata = TableMetadata::read_from(&self.file_io, location)
            .await
            .map_err(|cause| {
                Error::new(ErrorKind::Storage, "cannot read the table's metadata")
                    .with("table", ident.to_string())
                    .with("location", location)
                    .because(IcebergCause(cause))
            })?;
        let metadata = Arc::new(metadata);
        self.remember(ident, location, &metadata);
        Ok(metadata)
    }

    fn loaded(
        &self,
        ident: &TableIdent,
        metadata: Arc<TableMetadata>,
        metadata_location: String,
    ) -> LoadedTable {
        LoadedTable {
            ident: ident.clone(),
            metadata,
            metadata_location,
            file_io: self.file_io.clone(),
        }
    }

    fn remember(&self, ident: &TableIdent, location: &str, metadata: &Arc<TableMetadata>) {
        self.parsed()
            .insert(ident.clone(), (location.to_owned(), Arc::clone(metadata)));
    }

    fn parsed(&self) -> std::sync::MutexGuard<'_, HashMap<TableIdent, (String, Arc<TableMetadata>)>> {
        self.parsed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the table unless somebody else does so first; then theirs is left as it is.
    async fn create(&self, ident: &TableIdent, spec: TableSpec) -> Result<()> {
        let failed = |cause: Failure| {
            Error::new(ErrorKind::Catalog, "cannot create the table")
                .with("table", ident.to_string())
                .because(cause)
        };
        let key = key(ident);
        let metadata = new_metadata(table_location(&self.warehouse, ident), spec, ident)?;
        self.database
            .insert_namespace(&key.namespace)
            .await
            .map_err(failed)?;
        let location = write_metadata_file(&self.file_io, ident, None, &metadata).await?;
        match self.database.insert_table(&key, &location).await {
            Ok(true) => Ok(()),
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

    /// Deletes a metadata file that no table points to. A file left behind harms nobody.
    async fn discard(&self, location: &str) {
        if let Err(cause) = self.file_io.delete(location).await {
            tracing::warn!(location, %cause, "cannot delete a metadata file that is not needed");
        }
    }

    /// Deletes the metadata files that fell out of the metadata log, if the table wants that.
    async fn prune(&self, metadata: &TableMetadata, expired: Vec<MetadataLog>) {
        let enabled = metadata
            .properties()
            .get("write.metadata.delete-after-commit.enabled")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"));
        if enabled {
            for entry in expired {
                self.discard(&entry.metadata_file).await;
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
        self.find(ident).await?.ok_or_else(|| {
            let message = "the table does not exist; create it, or let it be created with tables.auto_create";
            Error::new(ErrorKind::Catalog, message).with("table", ident.to_string())
        })
    }

    async fn commit(
        &self,
        base: &LoadedTable,
        requirements: Vec<TableRequirement>,
        updates: Vec<TableUpdate>,
    ) -> CommitOutcome {
        let ident = &base.ident;
        for requirement in &requirements {
            if let Err(cause) = requirement.check(Some(&base.metadata)) {
                return refused(true, "the table has changed", ident, IcebergCause(cause));
            }
        }
        let builder = TableMetadata::clone(&base.metadata).into_builder(Some(base.metadata_location.clone()));
        let built = updates
            .into_iter()
            .try_fold(builder, |builder, update| update.apply(builder))
            .and_then(TableMetadataBuilder::build);
        let built = match built {
            Ok(built) => built,
            Err(cause) => {
                return refused(
                    false,
                    "the change does not fit the table",
                    ident,
                    IcebergCause(cause),
                );
            }
        };
        // Before anything is written into a folder that may be gone with the database.
        if let Err(cause) = self.database.check_place(false).await {
            return refused(false, REFUSED, ident, cause);
        }
        let metadata = Arc::new(built.metadata);
        let current = Some(base.metadata_location.as_str());
        let location = match write_metadata_file(&self.file_io, ident, current, &metadata).await {
            Ok(location) => location,
            // The database was not touched.
            Err(error) => {
                return CommitOutcome::Refused {
                    conflict: false,
                    error,
                };
            }
        };
        match self
            .database
            .swap_metadata(&key(ident), &base.metadata_location, &location)
            .await
        {
            Ok(true) => {
                self.remember(ident, &location, &metadata);
                self.prune(&metadata, built.expired_metadata_logs).await;
                CommitOutcome::Committed(self.loaded(ident, metadata, location))
            }
            Ok(false) => {
                self.discard(&location).await;
                let error = Error::new(ErrorKind::Catalog, "another writer was first")
                    .with("table", ident.to_string());
                CommitOutcome::Refused {
                    conflict: true,
                    error,
                }
            }
            Err(cause) if cause.surely_undone() => {
                self.discard(&location).await;
                refused(cause.is_busy(), REFUSED, ident, cause)
            }
            Err(cause) => CommitOutcome::Unknown(
                Error::new(
                    ErrorKind::CommitUnknown,
                    "the catalog's database failed during the commit",
                )
                .with("table", ident.to_string())
                .because(cause),
            ),
        }
    }

    async fn close(&self) {
        self.database.close().await;
    }
}

/// Makes a folder and tries to write a file in it.
fn prepare_folder(folder: &Path) -> std::io::Result<()> {
    create_folders(folder)?;
    let probe = folder.join(format!(".probe-{}.tmp", Uuid::new_v4().simple()));
    std::fs::write(&probe, b"")?;
    std::fs::remove_file(&probe)
}

fn key(ident: &TableIdent) -> Key {
    Key {
        namespace: ident.namespace.to_string(),
        table: ident.name.clone(),
    }
}

/// The first metadata of a table. The reserved property `format-version` chooses the format, as in Java.
fn new_metadata(location: String, spec: TableSpec, ident: &TableIdent) -> Result<TableMetadata> {
    let mut properties = spec.properties;
    let format_version = match properties
        .remove(TableProperties::PROPERTY_FORMAT_VERSION)
        .as_deref()
    {
        Some("1") => FormatVersion::V1,
        None | Some("2") => FormatVersion::V2,
        Some("3") => FormatVersion::V3,
        Some(other) => {
            return Err(config_error(format!(
                "tables.properties.format-version: {other:?} is no format version; give 1, 2 or 3"
            )));
        }
    };
    let (schema, partitions, order) = (spec.schema, spec.partition_spec, spec.sort_order);
    TableMetadataBuilder::new(schema, partitions, order, location, format_version, properties)
        .and_then(TableMetadataBuilder::build)
        .map(|built| built.metadata)
        .map_err(|cause| {
            config_error(
                "the table cannot be made as configured; look at tables.partition_by and tables.properties",
            )
            .with("table", ident.to_string())
            .because(IcebergCause(cause))
        })
}

fn look_up_failed(ident: &TableIdent, cause: Failure) -> Error {
    Error::new(
        ErrorKind::Catalog,
        "cannot look up the table in the catalog's database",
    )
    .with("table", ident.to_string())
    .because(cause)
}

fn refused(
    conflict: bool,
    message: &str,
    ident: &TableIdent,
    cause: impl std::error::Error + Send + Sync + 'static,
) -> CommitOutcome {
    let error = Error::new(ErrorKind::Catalog, message)
        .with("table", ident.to_string())
        .because(cause);
    CommitOutcome::Refused { conflict, error }
}
