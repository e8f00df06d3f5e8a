//! A client of Iceberg's REST catalog protocol (`rest-catalog-open-api.yaml`).
//!
//! Nothing is sent before a table is needed: a process starts while its catalog is down. What an
//! attempt to commit ended as is told by what happened, never by words: see [`outcome`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use iceberg::io::FileIO;
use iceberg::{TableIdent, TableRequirement, TableUpdate};
use reqwest::{Method, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;

use self::client::{Client, Failure, Request};
use self::outcome::{commit_error, outcome_of_failure};
use self::session::{Endpoint, Session, config_url};
use self::types::{
    CommitTableRequest, CommitTableResponse, ConfigResponse, CreateNamespaceRequest,
    CreateTableRequest, LoadTableResult,
};
use super::{Catalog, CommitOutcome, LoadedTable, TableSpec, storage};
use crate::config::{Config, StorageConfig};
use crate::error::{Error, ErrorKind, Result};

mod answer;
mod auth;
mod client;
mod oauth2;
mod outcome;
mod session;
mod settings;
mod types;

/// Tables in a catalog that speaks REST.
#[derive(Debug)]
pub(super) struct RestCatalog {
    client: Client,
    uri: String,
    warehouse: Option<String>,
    delegation: bool,
    storage: StorageConfig,
    /// Asked for with the first request.
    session: OnceCell<Session>,
    /// Storage of each table by what it was made of: it holds connections and credentials.
    file_ios: Mutex<HashMap<TableIdent, KeptFileIo>>,
}

/// A `FileIO` and the catalog's properties that it was made of.
struct KeptFileIo {
    properties: HashMap<String, String>,
    file_io: FileIO,
}

/// Without the properties, which hold secrets.
impl std::fmt::Debug for KeptFileIo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeptFileIo").finish_non_exhaustive()
    }
}

impl RestCatalog {
    /// Sets the client up. Nothing is sent.
    ///
    /// # Errors
    /// `Config` naming the key that cannot be used.
    pub(super) fn open(config: &Config) -> Result<Self> {
        let settings = settings::resolve(&config.catalog)?;
        Ok(Self {
            client: settings.client,
            uri: settings.uri,
            warehouse: config.catalog.warehouse.clone(),
            delegation: config.catalog.vended_credentials.unwrap_or(true),
            storage: config.storage.clone(),
            session: OnceCell::new(),
            file_ios: Mutex::default(),
        })
    }

    async fn session(&self) -> Result<&Session> {
        self.session
            .get_or_try_init(|| async {
                let request = Request {
                    method: Method::GET,
                    url: config_url(&self.uri, self.warehouse.as_deref())?,
                    body: None,
                    idempotency: false,
                    delegation: false,
                    purpose: "read the catalog's configuration",
                };
                let answer = self.client.send(&request).await.map_err(|failure| {
                    let unknown = matches!(failure, Failure::Refused(StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST, _));
                    let error = failure.into_error();
                    if unknown {
                        let message = "the catalog does not know catalog.warehouse, or no Iceberg REST catalog is at catalog.uri";
                        return Error::new(ErrorKind::Catalog, message).class(error.retry_class()).because(error);
                    }
                    error
                })?;
                let config: ConfigResponse = parse(&request, &answer)?;
                Ok(Session::new(&self.uri, config))
            })
            .await
    }

    /// The table, or `None` if there is none.
    async fn find(&self, ident: &TableIdent) -> Result<Option<LoadedTable>> {
        let session = self.session().await?;
        let request = self.request(session, Endpoint::LoadTable, session.table_url(ident)?, None);
        match self.client.send(&request).await {
            Ok(answer) => Ok(Some(self.loaded(session, ident, parse(&request, &answer)?)?)),
            Err(Failure::Refused(StatusCode::NOT_FOUND, _)) => Ok(None),
            Err(failure) => Err(about(failure, ident)),
        }
    }

    /// Makes the table, and its namespace if the catalog misses it. Theirs if somebody else is first.
    async fn create(&self, ident: &TableIdent, spec: &TableSpec) -> Result<LoadedTable> {
        let session = self.session().await?;
        if !session.offers(Endpoint::CreateTable) {
            let message = "the catalog does not let tables be made; make it there first";
            return Err(Error::new(ErrorKind::Catalog, message).with("table", ident.to_string()));
        }
        let body = CreateTableRequest {
            name: &ident.name,
            schema: &spec.schema,
            partition_spec: &spec.partition_spec,
            write_order: &spec.sort_order,
            stage_create: false,
            properties: &spec.properties,
        };
        let url = session.tables_url(&ident.namespace)?;
        let request = self.request(session, Endpoint::CreateTable, url, Some(json(&body)?));
        let mut answer = self.client.send(&request).await;
        if matches!(answer, Err(Failure::Refused(StatusCode::NOT_FOUND, _))) && session.offers(Endpoint::CreateNamespace) {
            self.create_namespace(session, ident).await?;
            answer = self.client.send(&request).await;
        }
        match answer {
            Ok(answer) => self.loaded(session, ident, parse(&request, &answer)?),
            Err(failure) if may_be_made(&failure) => match self.find(ident).await {
                Ok(Some(table)) => Ok(table),
                Ok(None) | Err(_) => Err(about(failure, ident)),
            },
            Err(failure) => Err(about(failure, ident)),
        }
    }

    /// Makes the namespace and those above it. Each may be there, and be made by others meanwhile.
    async fn create_namespace(&self, session: &Session, ident: &TableIdent) -> Result<()> {
        let levels = ident.namespace.as_ref();
        for depth in 1..=levels.len() {
            let namespace = levels.get(..depth).unwrap_or(levels);
            let body = CreateNamespaceRequest {
                namespace,
                properties: HashMap::new(),
            };
            let request = self.request(session, Endpoint::CreateNamespace, session.namespaces_url()?, Some(json(&body)?));
            match self.client.send(&request).await {
                Ok(_) | Err(Failure::Refused(StatusCode::CONFLICT, _)) => {}
                // A catalog may forbid what is above ours, and not need it.
                Err(Failure::Refused(..)) if depth < levels.len() => {}
                Err(failure) => return Err(about(failure, ident)),
            }
        }
        Ok(())
    }

    fn request(&self, session: &Session, endpoint: Endpoint, url: Url, body: Option<Bytes>) -> Request {
        let makes = endpoint.method() != Method::GET;
        Request {
            method: endpoint.method(),
            url,
            body,
            idempotency: makes && session.idempotency,
            delegation: self.delegation && matches!(endpoint, Endpoint::LoadTable | Endpoint::CreateTable),
            purpose: endpoint.purpose(),
        }
    }

    fn loaded(&self, session: &Session, ident: &TableIdent, result: LoadTableResult) -> Result<LoadedTable> {
        let location = result.metadata.location().to_owned();
        let mut properties = session.properties.clone();
        properties.extend(result.config.unwrap_or_default());
        let credential = result
            .storage_credentials
            .unwrap_or_default()
            .into_iter()
            .filter(|credential| location.starts_with(&credential.prefix))
            .max_by_key(|credential| credential.prefix.len());
        if let Some(credential) = credential {
            properties.extend(credential.config);
        }
        let file_io = self.file_io(ident, &location, properties)?;
        Ok(LoadedTable {
            ident: ident.clone(),
            metadata: Arc::new(result.metadata),
            metadata_location: result.metadata_location.unwrap_or_default(),
            file_io,
        })
    }

    fn file_io(&self, ident: &TableIdent, location: &str, properties: HashMap<String, String>) -> Result<FileIO> {
        let mut kept = self.file_ios.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.get(ident)
            && kept.properties == properties
        {
            return Ok(kept.file_io.clone());
        }
        let file_io = storage::file_io(location, &properties, &self.storage)
            .map_err(|error| error.with("table", ident.to_string()))?;
        kept.insert(ident.clone(), KeptFileIo { properties, file_io: file_io.clone() });
        Ok(file_io)
    }

    async fn try_commit(
        &self,
        base: &LoadedTable,
        requirements: &[TableRequirement],
        updates: &[TableUpdate],
    ) -> Result<LoadedTable, CommitOutcome> {
        let refused = |error: Error| CommitOutcome::Refused { conflict: false, error: commit_error(error, base) };
        let session = self.session().await.map_err(refused)?;
        if !session.offers(Endpoint::CommitTable) {
            return Err(refused(Error::new(ErrorKind::Catalog, "the catalog does not let tables be written through REST")));
        }
        let body = json(&CommitTableRequest { identifier: &base.ident, requirements, updates }).map_err(refused)?;
        let url = session.table_url(&base.ident).map_err(refused)?;
        let request = self.request(session, Endpoint::CommitTable, url, Some(body));
        let answer = self.client.send(&request).await.map_err(|failure| outcome_of_failure(failure, base))?;
        // It was taken, but what the table is now has to be looked up.
        let response: CommitTableResponse = parse(&request, &answer)
            .map_err(|error| CommitOutcome::Unknown(commit_error(error, base)))?;
        Ok(LoadedTable {
            ident: base.ident.clone(),
            metadata: Arc::new(response.metadata),
            metadata_location: response.metadata_location,
            file_io: base.file_io.clone(),
        })
    }
}

#[async_trait]
impl Catalog for RestCatalog {
    async fn ensure(&self, ident: &TableIdent, spec: Option<TableSpec>) -> Result<LoadedTable> {
        match (self.find(ident).await?, spec) {
            (Some(table), _) => Ok(table),
            (None, Some(spec)) => self.create(ident, &spec).await,
            (None, None) => Err(no_table(ident)),
        }
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
        match self.try_commit(base, &requirements, &updates).await {
            Ok(table) => CommitOutcome::Committed(table),
            Err(outcome) => outcome,
        }
    }
}

/// Whether the table may be there after an attempt to make it that ended so.
fn may_be_made(failure: &Failure) -> bool {
    match failure {
        Failure::NotSent(_) => false,
        Failure::NoAnswer(_) => true,
        Failure::Refused(status, _) => *status == StatusCode::CONFLICT || !status.is_client_error(),
    }
}

fn no_table(ident: &TableIdent) -> Error {
    let message = "the table does not exist; create it, or let it be created with tables.auto_create";
    Error::new(ErrorKind::Catalog, message).with("table", ident.to_string())
}

fn about(failure: Failure, ident: &TableIdent) -> Error {
    failure.into_error().with("table", ident.to_string())
}

fn json(body: &impl Serialize) -> Result<Bytes> {
    serde_json::to_vec(body).map(Bytes::from).map_err(|cause| {
        Error::new(ErrorKind::Internal, "a request to the catalog cannot be written as JSON").because(cause)
    })
}

fn parse<T: DeserializeOwned>(request: &Request, answer: &[u8]) -> Result<T> {
    serde_json::from_slice(answer).map_err(|cause| {
        // serde's text could repeat a credential of the answer; where it is, is enough.
        let message = format!("cannot {}: the catalog's answer cannot be read; check catalog.uri", request.purpose);
        Error::new(ErrorKind::Catalog, message)
            .with("url", client::place(&request.url))
            .with("line", cause.line().to_string())
            .with("column", cause.column().to_string())
    })
}
