//! Metadata files of tables whose catalog only stores the location of the newest one. We create, read and
//! delete the files.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use iceberg::io::FileIO;
use iceberg::spec::{
    FormatVersion, MetadataLog, TableMetadata, TableMetadataBuildResult, TableMetadataBuilder,
};
use iceberg::{TableIdent, TableRequirement, TableUpdate};

use super::location::config_error;
use super::metadata_json::Json;
use super::metadata_time::updated;
use super::{LoadedTable, NotCommitted, TableSpec};
use crate::cause::IcebergCause;
use crate::error::{Error, ErrorKind, Result};
use crate::table_properties::{FORMAT_VERSION, METADATA_DELETE_AFTER_COMMIT_ENABLED, Properties};

/// How often the table's location may change between looking it up and reading the file, before an error.
const MOVES_MAX: usize = 2;

/// The last metadata that was read or written of each table, with its location. Metadata files never change.
#[derive(Debug, Default)]
pub(super) struct MetadataCache {
    parsed: Mutex<HashMap<TableIdent, Known>>,
}

/// A cached metadata file.
#[derive(Debug)]
struct Known {
    location: String,
    metadata: Arc<TableMetadata>,
    /// Its JSON, if we wrote the file.
    json: Option<Json>,
}

impl MetadataCache {
    /// Reads the metadata at the location `found`. Returns it with its location, or `None` if there is none.
    ///
    /// When the file cannot be read, `locate` is asked for the table's current location, since a concurrent
    /// commit may have pruned the file. `storage` returns the storage of a location.
    ///
    /// # Errors
    /// Those of `locate` and `storage`; `Storage` when the file cannot be read.
    pub(super) async fn newest<F>(
        &self,
        storage: impl Fn(&str) -> Result<FileIO> + Send + Sync,
        ident: &TableIdent,
        found: Option<String>,
        locate: impl Fn() -> F + Send,
    ) -> Result<Option<(Arc<TableMetadata>, String)>>
    where
        F: Future<Output = Result<Option<String>>> + Send,
    {
        let mut found = found;
        let mut moves = 0;
        while let Some(location) = found {
            let error = match self.read(&storage, ident, &location).await {
                Ok(metadata) => return Ok(Some((metadata, location))),
                Err(error) => error,
            };
            found = locate().await?;
            moves += 1;
            if moves > MOVES_MAX || found.as_ref() == Some(&location) {
                return Err(error);
            }
        }
        Ok(None)
    }

    async fn read(
        &self,
        storage: impl Fn(&str) -> Result<FileIO>,
        ident: &TableIdent,
        location: &str,
    ) -> Result<Arc<TableMetadata>> {
        if let Some(known) = self.parsed().get(ident)
            && known.location == location
        {
            return Ok(Arc::clone(&known.metadata));
        }
        let file_io = storage(location)?;
        let metadata = TableMetadata::read_from(&file_io, location)
            .await
            .map_err(|cause| {
                Error::new(ErrorKind::Storage, "cannot read the table's metadata")
                    .with("table", ident.to_string())
                    .with("location", location)
                    .because(IcebergCause(cause))
            })?;
        let metadata = Arc::new(metadata);
        self.remember(ident, location, &metadata, None);
        Ok(metadata)
    }

    /// Checks the requirements against `base` and applies the updates to it. Nothing is written.
    ///
    /// # Errors
    /// A refusal. It is a conflict when a requirement is not met.
    pub(super) fn next(
        &self,
        base: &LoadedTable,
        requirements: &[TableRequirement],
        updates: Vec<TableUpdate>,
    ) -> Result<NextMetadata, NotCommitted> {
        let last = self.json(base);
        let references = last
            .as_ref()
            .and_then(|last| last.references.as_ref())
            .map(|known| known.updated(&updates));
        let built = built_on(base, requirements, updates)?;
        let references = references.and_then(|known| known.confirmed(&built.metadata));
        let json = Json::of(&built.metadata, references.map(Arc::new), last.as_ref())
            .map_err(|cause| refused(false, "the table's metadata has no JSON", &base.ident, cause))?;
        Ok(NextMetadata {
            metadata: Arc::new(built.metadata),
            json,
            expired: built.expired_metadata_logs,
        })
    }

    /// The JSON of the table's metadata, if we wrote it.
    fn json(&self, table: &LoadedTable) -> Option<Json> {
        let parsed = self.parsed();
        let known = parsed.get(&table.ident)?;
        known
            .json
            .clone()
            .filter(|_| known.location == table.metadata_location)
    }

    /// Caches metadata that was just read or written.
    pub(super) fn remember(
        &self,
        ident: &TableIdent,
        location: &str,
        metadata: &Arc<TableMetadata>,
        json: Option<Json>,
    ) {
        let known = Known {
            location: location.to_owned(),
            metadata: Arc::clone(metadata),
            json,
        };
        self.parsed().insert(ident.clone(), known);
    }

    fn parsed(&self) -> std::sync::MutexGuard<'_, HashMap<TableIdent, Known>> {
        self.parsed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Builds the first metadata of a table. As in Java, the reserved property `format-version` sets the format.
///
/// # Errors
/// `Config` when the table cannot be created as configured.
pub(super) fn first_metadata(location: String, spec: TableSpec, ident: &TableIdent) -> Result<TableMetadata> {
    let mut properties = spec.properties;
    let format_version = match properties.remove(FORMAT_VERSION).as_deref() {
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

/// The metadata after a change.
pub(super) struct NextMetadata {
    pub(super) metadata: Arc<TableMetadata>,
    pub(super) json: Json,
    /// Entries that were removed from its metadata log.
    pub(super) expired: Vec<MetadataLog>,
}

fn built_on(
    base: &LoadedTable,
    requirements: &[TableRequirement],
    updates: Vec<TableUpdate>,
) -> Result<TableMetadataBuildResult, NotCommitted> {
    let ident = &base.ident;
    for requirement in requirements {
        requirement
            .check(Some(&base.metadata))
            .map_err(|cause| refused(true, "the table has changed", ident, IcebergCause(cause)))?;
    }
    updated(&base.metadata, &base.metadata_location, updates).map_err(|cause| {
        let message = "the change does not fit the table";
        refused(false, message, ident, IcebergCause(cause))
    })
}

/// Deletes a metadata file that no table points to. A file that stays behind does no harm.
pub(super) async fn discard(file_io: &FileIO, location: &str) {
    if let Err(cause) = file_io.delete(location).await {
        tracing::warn!(location, %cause, "cannot delete a metadata file that is not needed");
    }
}

/// Those files of expired metadata log entries that the table's properties let us delete.
pub(super) fn outdated(metadata: &TableMetadata, expired: Vec<MetadataLog>) -> impl Iterator<Item = String> {
    let enabled = Properties::of(metadata).flag(METADATA_DELETE_AFTER_COMMIT_ENABLED, false);
    expired
        .into_iter()
        .filter(move |_| enabled)
        .map(|entry| entry.metadata_file)
}

/// The outcome of a refused attempt, which changed nothing.
pub(super) fn refused(
    conflict: bool,
    message: &str,
    ident: &TableIdent,
    cause: impl std::error::Error + Send + Sync + 'static,
) -> NotCommitted {
    let error = Error::new(ErrorKind::Catalog, message)
        .with("table", ident.to_string())
        .because(cause);
    NotCommitted::Refused { conflict, error }
}
