//! A client of Iceberg's REST catalog protocol (`rest-catalog-open-api.yaml`).
//!
//! Nothing is sent before a table is needed, so a process can start while its catalog is down. The outcome of
//! a commit attempt is derived from what happened, never from message texts: see [`super::http`].

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use iceberg::{TableIdent, TableRequirement, TableUpdate};
use reqwest::{Method, StatusCode, Url};

use self::answer::parse_table;
use self::glue::Places;
use self::session::{Endpoint, Session, Sessions, config_url};
use self::table_storage::KeptFileIo;
use self::types::{CommitTableRequest, CommitTableResponse, ConfigResponse, LoadTableResult};
use super::http::{self, Client, Failure, Request, json, outcome_of_failure, parse};
use super::{Catalog, CommitOutcome, LoadedTable, NotCommitted, TableSpec, no_table};
use crate::config::{CatalogConfig, CatalogType};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::Stores;

mod answer;
mod create;
mod glue;
mod session;
mod table_storage;
mod types;
mod vended;

/// The size of an answer with a table's metadata from which the log warns. Glue and S3 Tables refuse tables whose
/// metadata is larger than a limit of theirs, which is 5 MB in the strictest case.
const LARGE_METADATA_BYTES: usize = 4_000_000;

/// Advice for S3 Tables: the other API.
const NATIVE_HINT: &str = "; set catalog.s3tables_api: native, which commits by the service's own API";

/// Tables in a catalog with a REST interface.
#[derive(Debug)]
pub(super) struct RestCatalog {
    /// The catalog itself, for storages that request credentials from it.
    this: Weak<Self>,
    client: Client,
    uri: String,
    warehouse: Option<String>,
    delegation: bool,
    stores: Stores,
    /// The region that requests are signed for. Storage is in the same region unless configured otherwise.
    region: Option<String>,
    /// Which service the catalog is.
    kind: CatalogType,
    /// Whether the tables are in S3 Tables, through any endpoint.
    in_s3_tables: bool,
    /// Where new tables are created. `None` if the catalog chooses it.
    places: Option<Places>,
    /// The catalog's configuration, requested before the first other request.
    sessions: Sessions,
    /// The storage of each table with the properties it was made from. It holds connections and credentials.
    file_ios: Mutex<HashMap<TableIdent, KeptFileIo>>,
    /// Locations of tables for which we have logged that none of the catalog's credentials fit.
    without_credentials: Mutex<HashSet<String>>,
    /// Tables for which we have logged that their metadata is large.
    large: Mutex<HashSet<TableIdent>>,
}

impl RestCatalog {
    /// Sets up the client. Nothing is sent.
    ///
    /// # Errors
    /// `Config` naming the key that cannot be used.
    pub(super) async fn open(config: &CatalogConfig, stores: Stores) -> Result<Arc<Self>> {
        let settings = http::resolve(config, stores.aws()).await?;
        Ok(Arc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            client: settings.client,
            uri: settings.uri,
            warehouse: config.warehouse.clone(),
            delegation: config.vended_credentials.unwrap_or(true),
            stores,
            region: settings.region,
            kind: config.r#type,
            in_s3_tables: config.is_in_s3_tables(),
            places: Places::new(config),
            sessions: Sessions::default(),
            file_ios: Mutex::default(),
            without_credentials: Mutex::default(),
            large: Mutex::default(),
        }))
    }

    async fn session(&self) -> Result<Arc<Session>> {
        self.sessions.current(self.new_session()).await
    }

    async fn new_session(&self) -> Result<Session> {
        let request = Request {
            method: Method::GET,
            url: config_url(&self.uri, self.warehouse.as_deref())?,
            body: None,
            idempotency: false,
            delegation: false,
            purpose: "read the catalog's configuration",
        };
        let answer = self.client.send(&request).await.map_err(|failure| {
            let unknown = matches!(
                failure,
                Failure::Refused(StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST, _)
            );
            let error = failure.into_error();
            if unknown && !error.is_throttled() {
                let message =
                    "the catalog does not know catalog.warehouse, or no Iceberg REST catalog is at catalog.uri";
                return Error::new(ErrorKind::Catalog, message)
                    .class(error.retry_class())
                    .because(error);
            }
            error
        })?;
        let config: ConfigResponse = parse(&request, &answer)?;
        Session::new(&self.uri, config)
    }

    /// The table, or `None` if it does not exist.
    async fn find(&self, ident: &TableIdent) -> Result<Option<LoadedTable>> {
        match self.look_up(ident).await? {
            (session, Ok(result)) => Ok(Some(self.loaded(&session, ident, result)?)),
            (_, Err(Failure::Refused(StatusCode::NOT_FOUND, _))) => Ok(None),
            (_, Err(failure)) => Err(about(failure, ident)),
        }
    }

    /// Asks the catalog for a table. Returns the answer and the session it was requested with.
    ///
    /// If the session may be outdated, the catalog's configuration is requested again. If its URLs have
    /// changed, the table is requested once more. Every operation on a table starts with this method, or
    /// comes back to it after a refusal.
    async fn look_up(&self, ident: &TableIdent) -> Result<(Arc<Session>, Result<LoadTableResult, Failure>)> {
        let session = self.session().await?;
        let looked = self.look_up_in(&session, ident).await?;
        if let Err(failure) = &looked
            && session.may_be_outdated(failure)
            && let Some(other) = self.sessions.other_than(&session, self.new_session()).await
        {
            let looked = self.look_up_in(&other, ident).await?;
            return Ok((other, looked));
        }
        Ok((session, looked))
    }

    async fn look_up_in(
        &self,
        session: &Session,
        ident: &TableIdent,
    ) -> Result<Result<LoadTableResult, Failure>> {
        let request = self.request(session, Endpoint::LoadTable, session.table_url(ident)?, None);
        match self.client.send(&request).await {
            Ok(answer) => {
                self.check_size(ident, answer.len());
                parse_table(&request, ident, &answer).map(Ok)
            }
            Err(failure) => Ok(Err(failure)),
        }
    }

    /// Warns once of a table whose metadata gets close to what the catalog accepts. `bytes` is the size of an
    /// answer, of which nearly all is metadata.
    fn check_size(&self, ident: &TableIdent, bytes: usize) {
        let is_limited = matches!(self.kind, CatalogType::Glue | CatalogType::S3Tables);
        if !is_limited || bytes < LARGE_METADATA_BYTES {
            return;
        }
        let mut large = self.large.lock().unwrap_or_else(PoisonError::into_inner);
        if large.insert(ident.clone()) {
            tracing::warn!(
                table = %ident,
                bytes,
                "the table's metadata is large; the catalog refuses the table when it exceeds a limit of 5 to 50 MB. Keep \
                 fewer snapshots: a shorter commit.dedup_window or history.expire.max-snapshot-age-ms, less frequent \
                 commits, or an engine that expires what blocks our expiry"
            );
        }
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

    fn loaded(
        &self,
        session: &Session,
        ident: &TableIdent,
        mut result: LoadTableResult,
    ) -> Result<LoadedTable> {
        let properties = self.storage_properties(session.properties.clone(), &mut result);
        let file_io = self.file_io(ident, result.metadata.location(), properties)?;
        Ok(LoadedTable {
            ident: ident.clone(),
            metadata: Arc::new(result.metadata),
            metadata_location: result.metadata_location.unwrap_or_default(),
            file_io,
        })
    }

    /// The outcome as for any catalog, with advice when S3 Tables' endpoint refuses this type of request. In
    /// some regions and at some times, that endpoint loads tables but does not commit snapshots.
    fn outcome(&self, failure: Failure, ident: &TableIdent) -> NotCommitted {
        let failure = match failure {
            Failure::Refused(status, error)
                if self.kind == CatalogType::S3Tables
                    && !error.is_throttled()
                    && matches!(status.as_u16(), 400 | 405 | 406 | 410 | 415 | 422) =>
            {
                let message = format!("the S3 Tables REST endpoint refuses the commit{NATIVE_HINT}");
                let class = error.retry_class();
                let hinted = Error::new(ErrorKind::Catalog, message)
                    .class(class)
                    .because(error);
                Failure::Refused(status, hinted)
            }
            other => other,
        };
        outcome_of_failure(failure, ident)
    }

    async fn try_commit(
        &self,
        base: &LoadedTable,
        requirements: &[TableRequirement],
        updates: &[TableUpdate],
    ) -> Result<LoadedTable, NotCommitted> {
        let ident = &base.ident;
        let refused = |error: Error| NotCommitted::Refused {
            conflict: false,
            error: error.with("table", ident.to_string()),
        };
        let session = self.session().await.map_err(refused)?;
        if !session.offers(Endpoint::CommitTable) {
            let mut message = "the catalog does not let tables be written through REST".to_owned();
            // It has a second API.
            if self.kind == CatalogType::S3Tables {
                message.push_str(NATIVE_HINT);
            }
            return Err(refused(Error::new(ErrorKind::Catalog, message)));
        }
        let body = json(&CommitTableRequest {
            identifier: ident,
            requirements,
            updates,
        })
        .map_err(refused)?;
        let url = session.table_url(ident).map_err(refused)?;
        let request = self.request(&session, Endpoint::CommitTable, url, Some(body));
        let answer = self
            .client
            .send(&request)
            .await
            .map_err(|failure| self.outcome(failure, ident))?;
        // The commit was probably made. A reload of the table settles it.
        let response: CommitTableResponse =
            parse_table(&request, ident, &answer).map_err(|error| NotCommitted::unknown(error, ident))?;
        Ok(LoadedTable {
            ident: ident.clone(),
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
        let attempt = self.try_commit(base, &requirements, &updates).await;
        attempt.map_or_else(CommitOutcome::from, CommitOutcome::Committed)
    }

    /// Reads the catalog's configuration, as every first call does. The table is not asked for.
    async fn reach(&self, _ident: &TableIdent) -> Result<()> {
        self.session().await.map(drop)
    }

    fn tells_history(&self) -> bool {
        false
    }

    fn compares_metadata(&self) -> bool {
        false
    }

    fn deletes_files(&self) -> bool {
        self.in_s3_tables
    }
}

fn about(failure: Failure, ident: &TableIdent) -> Error {
    failure.into_error().with("table", ident.to_string())
}
