//! Amazon S3 Tables by its own API: we write the metadata files, and the service stores the newest one's
//! location.
//!
//! A commit writes the next metadata file below the table's warehouse location and swaps the location by the
//! table's version token. The outcome of an attempt is derived from what happened, as for [`super::rest`]. S3
//! Tables removes files that no table points to after some days, so old metadata files are left to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use iceberg::io::FileIO;
use iceberg::{TableIdent, TableRequirement, TableUpdate};
use reqwest::StatusCode;

use self::api::{Api, Position, UpdateFailure};
use super::http::{self, Failure, outcome_of_failure};
use super::metadata::{self, MetadataCache, NextMetadata};
use super::metadata_file::write_metadata_file;
use super::{Catalog, CommitOutcome, LoadedTable, NotCommitted, TableSpec, no_table};
use crate::config::CatalogConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::Stores;

mod api;

/// Tables in a table bucket.
#[derive(Debug)]
pub(super) struct S3TablesCatalog {
    api: Api,
    stores: Stores,
    /// The bucket's region, unless the configuration sets another one for storage.
    region: Option<String>,
    /// The storage of all tables. It holds connections and credentials.
    file_io: OnceLock<FileIO>,
    metadata: MetadataCache,
    /// The version token of each table, with the metadata location that it belongs to.
    tokens: Mutex<HashMap<TableIdent, (String, String)>>,
}

impl S3TablesCatalog {
    /// Sets up the client. Nothing is sent.
    ///
    /// # Errors
    /// `Config` naming the key that cannot be used.
    pub(super) async fn open(config: &CatalogConfig, stores: &Stores) -> Result<Self> {
        let settings = http::resolve(config, stores.aws()).await?;
        let bucket_arn = config.warehouse.as_deref().unwrap_or_default();
        Ok(Self {
            api: Api::new(settings.client, settings.uri, bucket_arn),
            stores: stores.clone(),
            region: settings.region,
            file_io: OnceLock::new(),
            metadata: MetadataCache::default(),
            tokens: Mutex::default(),
        })
    }

    async fn find(&self, ident: &TableIdent) -> Result<Found> {
        let Some(position) = self.position(ident).await? else {
            return Ok(Found::Nothing);
        };
        if position.metadata_location.is_none() {
            return Ok(Found::Empty(position));
        }
        let file_io = self.file_io(&position)?;
        let again = || async {
            let position = self.position(ident).await?;
            Ok(position.and_then(|position| position.metadata_location))
        };
        let newest = self
            .metadata
            .newest(|_| Ok(file_io.clone()), ident, position.metadata_location, again)
            .await?;
        match newest {
            Some((metadata, metadata_location)) => Ok(Found::Table(LoadedTable {
                ident: ident.clone(),
                metadata,
                metadata_location,
                file_io,
            })),
            None => Ok(Found::Nothing),
        }
    }

    async fn position(&self, ident: &TableIdent) -> Result<Option<Position>> {
        let position = self.api.position(ident).await;
        let position = position.map_err(|error| error.with("table", ident.to_string()))?;
        if let Some(position) = &position
            && let Some(location) = &position.metadata_location
        {
            self.keep_token(ident, location, &position.version_token);
        }
        Ok(position)
    }

    fn file_io(&self, position: &Position) -> Result<FileIO> {
        if let Some(file_io) = self.file_io.get() {
            return Ok(file_io.clone());
        }
        let region = self.region.iter();
        let properties = region.map(|region| ("client.region".to_owned(), region.clone()));
        let file_io = self
            .stores
            .file_io(&position.warehouse_location, &properties.collect())?;
        Ok(self.file_io.get_or_init(|| file_io).clone())
    }

    /// Creates the table without metadata, and its namespace if it is missing. Both may already exist, or be
    /// created concurrently.
    async fn create(&self, ident: &TableIdent) -> Result<Position> {
        let about = |failure: Failure| failure.into_error().with("table", ident.to_string());
        let mut made = self.api.create_table(ident).await;
        if matches!(made, Err(Failure::Refused(StatusCode::NOT_FOUND, _))) {
            match self.api.create_namespace(&ident.namespace).await {
                Ok(()) | Err(Failure::Refused(StatusCode::CONFLICT, _)) => {}
                Err(Failure::Refused(StatusCode::NOT_FOUND, error)) => {
                    let message = "the table bucket does not exist; create it, or change catalog.warehouse";
                    return Err(Error::new(ErrorKind::Catalog, message)
                        .with("table", ident.to_string())
                        .because(error));
                }
                Err(failure) => return Err(about(failure)),
            }
            made = self.api.create_table(ident).await;
        }
        match made {
            Err(failure) if !failure.may_be_done() => Err(about(failure)),
            made => match (self.position(ident).await?, made) {
                (Some(position), _) => Ok(position),
                (None, Err(failure)) => Err(about(failure)),
                (None, Ok(())) => Err(no_table(ident)),
            },
        }
    }

    /// Writes the first metadata of a table. If another writer is first, its metadata is used.
    async fn begin(&self, ident: &TableIdent, position: Position, spec: TableSpec) -> Result<LoadedTable> {
        let file_io = self.file_io(&position)?;
        let location = position.warehouse_location.trim_end_matches('/').to_owned();
        let first = Arc::new(metadata::first_metadata(location, spec, ident)?);
        let location = write_metadata_file(&file_io, ident, None, &first, None).await?;
        let failed = match self.swap(ident, &position.version_token, &location).await {
            Ok(()) => {
                self.metadata.remember(ident, &location, &first, None);
                return Ok(LoadedTable {
                    ident: ident.clone(),
                    metadata: first,
                    metadata_location: location,
                    file_io,
                });
            }
            Err(NotCommitted::Refused { conflict, error }) => {
                discard(&file_io, &location).await;
                if !conflict {
                    return Err(error);
                }
                error
            }
            Err(NotCommitted::Unknown(error)) => error,
        };
        match self.find(ident).await {
            Ok(Found::Table(table)) => Ok(table),
            Ok(Found::Empty(_) | Found::Nothing) | Err(_) => Err(failed),
        }
    }

    /// The version token for `base`, or `None` if the table has other metadata by now.
    async fn token(&self, base: &LoadedTable) -> Result<Option<String>> {
        if let Some((location, token)) = self.tokens().get(&base.ident)
            && *location == base.metadata_location
        {
            return Ok(Some(token.clone()));
        }
        let position = self.position(&base.ident).await?;
        Ok(position
            .filter(|position| position.metadata_location.as_ref() == Some(&base.metadata_location))
            .map(|position| position.version_token))
    }

    async fn swap(&self, ident: &TableIdent, token: &str, location: &str) -> Result<(), NotCommitted> {
        match self.api.update(ident, token, location).await {
            Ok(next) => {
                self.keep_token(ident, location, &next);
                Ok(())
            }
            Err(UpdateFailure::Failed(failure)) => Err(outcome_of_failure(failure, ident)),
            // It is not even certain that this service answered.
            Err(UpdateFailure::Unreadable(error)) => Err(NotCommitted::unknown(error, ident)),
        }
    }

    async fn try_commit(
        &self,
        base: &LoadedTable,
        requirements: &[TableRequirement],
        updates: Vec<TableUpdate>,
    ) -> Result<LoadedTable, NotCommitted> {
        let ident = &base.ident;
        let NextMetadata { metadata, json, .. } = self.metadata.next(base, requirements, updates)?;
        let token = self.token(base).await.map_err(NotCommitted::not_sent)?;
        let token = token.ok_or_else(|| NotCommitted::overtaken(ident))?;
        let current = Some(base.metadata_location.as_str());
        let location = write_metadata_file(&base.file_io, ident, current, &metadata, Some(&json))
            .await
            .map_err(NotCommitted::not_sent)?;
        if let Err(not_committed) = self.swap(ident, &token, &location).await {
            if matches!(not_committed, NotCommitted::Refused { .. }) {
                discard(&base.file_io, &location).await;
            }
            return Err(not_committed);
        }
        self.metadata.remember(ident, &location, &metadata, Some(json));
        Ok(LoadedTable {
            ident: ident.clone(),
            metadata,
            metadata_location: location,
            file_io: base.file_io.clone(),
        })
    }

    fn keep_token(&self, ident: &TableIdent, location: &str, token: &str) {
        self.tokens()
            .insert(ident.clone(), (location.to_owned(), token.to_owned()));
    }

    fn tokens(&self) -> std::sync::MutexGuard<'_, HashMap<TableIdent, (String, String)>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was found of a table.
enum Found {
    Nothing,
    /// The table has no metadata yet.
    Empty(Position),
    Table(LoadedTable),
}

#[async_trait]
impl Catalog for S3TablesCatalog {
    async fn ensure(&self, ident: &TableIdent, spec: Option<TableSpec>) -> Result<LoadedTable> {
        let (position, spec) = match (self.find(ident).await?, spec) {
            (Found::Table(table), _) => return Ok(table),
            (_, None) => return Err(no_table(ident)),
            (Found::Empty(position), Some(spec)) => (position, spec),
            (Found::Nothing, Some(spec)) => (self.create(ident).await?, spec),
        };
        // Another writer may have created the table and its metadata meanwhile.
        if position.metadata_location.is_some() {
            return self.load(ident).await;
        }
        self.begin(ident, position, spec).await
    }

    async fn load(&self, ident: &TableIdent) -> Result<LoadedTable> {
        match self.find(ident).await? {
            Found::Table(table) => Ok(table),
            Found::Empty(_) | Found::Nothing => Err(no_table(ident)),
        }
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

    /// Looks up where the table's metadata is.
    async fn reach(&self, ident: &TableIdent) -> Result<()> {
        self.position(ident).await.map(drop)
    }

    fn deletes_files(&self) -> bool {
        true
    }
}

/// Deletes a metadata file that no table points to. If that is not allowed, the service removes the file.
async fn discard(file_io: &FileIO, location: &str) {
    if let Err(cause) = file_io.delete(location).await {
        tracing::debug!(location, %cause, "a metadata file that is not needed is left to S3 Tables to remove");
    }
}
