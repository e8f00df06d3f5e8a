//! A client of Iceberg's REST catalog protocol (`rest-catalog-open-api.yaml`).
//!
//! Nothing is sent before a table is needed, so a process can start while its catalog is down. The outcome of
//! a commit attempt is derived from what happened, never from message texts: see [`super::http`].

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use iceberg::io::FileIO;
use iceberg::{TableIdent, TableRequirement, TableUpdate};
use reqwest::{Method, StatusCode, Url};

use self::answer::parse_table;
use self::glue::Places;
use self::session::{Endpoint, Session, Sessions, config_url};
use self::types::{
    CommitTableRequest, CommitTableResponse, ConfigResponse, CreateNamespaceRequest, CreateTableRequest,
    LoadTableResult,
};
use self::vended::Vended;
use super::http::{self, Client, Failure, Request, commit_error, json, outcome_of_failure, parse};
use super::{Catalog, CommitOutcome, LoadedTable, TableSpec, no_table};
use crate::config::{CatalogConfig, CatalogType};
use crate::error::{Error, ErrorKind, Result, RetryClass};
use crate::storage::Stores;

mod answer;
mod glue;
mod session;
mod types;
mod vended;

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
    /// Whether the catalog is S3 Tables, which has a second API.
    is_s3tables: bool,
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
}

/// A `FileIO` and the catalog properties it was made from.
struct KeptFileIo {
    /// The table's location, which credentials may be limited to. A table may be dropped and created again
    /// elsewhere.
    location: String,
    /// Whether it requests credentials from the catalog itself.
    renews: bool,
    /// The properties without credentials, which some catalogs renew with each load.
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
            is_s3tables: config.r#type == CatalogType::S3Tables,
            in_s3_tables: config.is_in_s3_tables(),
            places: Places::new(config),
            sessions: Sessions::default(),
            file_ios: Mutex::default(),
            without_credentials: Mutex::default(),
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
            if unknown {
                let message =
                    "the catalog does not know catalog.warehouse, or no Iceberg REST catalog is at catalog.uri";
                return Error::new(ErrorKind::Catalog, message)
                    .class(error.retry_class())
                    .because(error);
            }
            error
        })?;
        let config: ConfigResponse = parse(&request, &answer)?;
        Ok(Session::new(&self.uri, config))
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
            Ok(answer) => parse_table(&request, ident, &answer).map(Ok),
            Err(failure) => Ok(Err(failure)),
        }
    }

    /// Creates the table, and its namespace if it is missing. Returns the existing table if another writer
    /// creates it first.
    async fn create(&self, ident: &TableIdent, spec: &TableSpec) -> Result<LoadedTable> {
        let session = self.session().await?;
        if !session.offers(Endpoint::CreateTable) {
            let message = "the catalog does not let tables be made; make it there first";
            return Err(Error::new(ErrorKind::Catalog, message).with("table", ident.to_string()));
        }
        let place = self.place(&session, ident).await?;
        let body = CreateTableRequest {
            name: &ident.name,
            location: place.as_ref().map(|place| place.table.as_str()),
            schema: &spec.schema,
            partition_spec: spec.partition_spec.clone().with_spec_id(0),
            write_order: &spec.sort_order,
            stage_create: false,
            properties: &spec.properties,
        };
        let url = session.tables_url(&ident.namespace)?;
        let request = self.request(&session, Endpoint::CreateTable, url, Some(json(&body)?));
        let mut answer = self.client.send(&request).await;
        if matches!(answer, Err(Failure::Refused(StatusCode::NOT_FOUND, _)))
            && session.offers(Endpoint::CreateNamespace)
        {
            let location = place.as_ref().map(|place| place.database.as_str());
            self.create_namespace(&session, ident, location).await?;
            answer = self.client.send(&request).await;
        }
        match answer {
            Ok(answer) => self.loaded(&session, ident, parse_table(&request, ident, &answer)?),
            Err(failure) if failure.may_be_done() => match self.find(ident).await {
                Ok(Some(table)) => Ok(table),
                Ok(None) | Err(_) => Err(about(failure, ident)),
            },
            Err(failure) => Err(about(failure, ident)),
        }
    }

    /// Creates the namespace, with a location if it is given, and its parents. Each may already exist, or be
    /// created concurrently.
    async fn create_namespace(
        &self,
        session: &Session,
        ident: &TableIdent,
        location: Option<&str>,
    ) -> Result<()> {
        let levels = ident.namespace.as_ref();
        for depth in 1..=levels.len() {
            let namespace = levels.get(..depth).unwrap_or(levels);
            let location = location.filter(|_| depth == levels.len());
            let location = location.map(|location| ("location".to_owned(), location.to_owned()));
            let body = CreateNamespaceRequest {
                namespace,
                properties: location.into_iter().collect(),
            };
            let request = self.request(
                session,
                Endpoint::CreateNamespace,
                session.namespaces_url()?,
                Some(json(&body)?),
            );
            match self.client.send(&request).await {
                Ok(_) | Err(Failure::Refused(StatusCode::CONFLICT, _)) => {}
                // A catalog may forbid creating a parent and not need it.
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

    /// The table's storage. The cached one is used if the catalog's properties are the same, apart from
    /// credentials: it renews its credentials itself, or uses those of the configuration, and new connections
    /// are expensive.
    fn file_io(
        &self,
        ident: &TableIdent,
        location: &str,
        properties: HashMap<String, String>,
    ) -> Result<FileIO> {
        let renews = vended::has_credentials(&properties) && !self.stores.has_credentials();
        let lasting = vended::without_credentials(&properties);
        let mut kept = self.file_ios.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.get(ident)
            && kept.location == location
            && kept.renews == renews
            && kept.properties == lasting
        {
            return Ok(kept.file_io.clone());
        }
        let mut file_io = self
            .stores
            .file_io(location, &properties)
            // Not permanent, unlike a configuration error: the catalog can be repaired.
            .map_err(|error| {
                error
                    .with("table", ident.to_string())
                    .class(RetryClass::Retry { after: None })
            })?;
        if renews {
            let vended = Vended { file_io, properties };
            file_io = vended::renewing(Weak::clone(&self.this), ident.clone(), vended);
        }
        kept.insert(
            ident.clone(),
            KeptFileIo {
                location: location.to_owned(),
                renews,
                properties: lasting,
                file_io: file_io.clone(),
            },
        );
        Ok(file_io)
    }

    /// The storage with the catalog's current credentials.
    async fn storage_of(&self, ident: &TableIdent) -> Result<Vended> {
        let (session, result) = self.look_up(ident).await?;
        let mut result = result.map_err(|failure| about(failure, ident))?;
        let said_to_all = if vended::has_credentials(&session.properties) {
            // The credentials came with the catalog's configuration, so new ones come with a new
            // configuration.
            self.new_session().await?.properties
        } else {
            session.properties.clone()
        };
        let properties = self.storage_properties(said_to_all, &mut result);
        let file_io = self.stores.file_io(result.metadata.location(), &properties)?;
        Ok(Vended { file_io, properties })
    }

    /// The catalog's storage properties for a table: those for all tables, those for this table, and the
    /// credentials whose prefix fits its location best.
    fn storage_properties(
        &self,
        said_to_all: HashMap<String, String>,
        result: &mut LoadTableResult,
    ) -> HashMap<String, String> {
        let location = result.metadata.location();
        let mut properties = said_to_all;
        properties.extend(result.config.take().unwrap_or_default());
        let credentials = result.storage_credentials.take().unwrap_or_default();
        match vended::fitting(credentials, location) {
            Ok(credential) => properties.extend(credential.into_iter().flat_map(|fitting| fitting.config)),
            Err(prefixes) => self.tell_of_unfit(&prefixes, location, &properties),
        }
        if let Some(region) = &self.region
            && !properties.contains_key("s3.region")
        {
            let region = region.clone();
            properties.entry("client.region".to_owned()).or_insert(region);
        }
        properties
    }

    /// Logs a warning once per table, because tables are loaded often, and only if no keys are set otherwise.
    fn tell_of_unfit(&self, prefixes: &[String], location: &str, properties: &HashMap<String, String>) {
        if self.stores.has_credentials() || properties.contains_key(vended::KEY_ID) {
            return;
        }
        let mut warned = self
            .without_credentials
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if warned.insert(location.to_owned()) {
            tracing::warn!(
                %location,
                prefixes = prefixes.join(" "),
                "the storage credentials that the catalog gave are for other places than the table's, and are not used; fix the \
                 catalog, or set storage.s3.access_key_id and storage.s3.secret_access_key"
            );
        }
    }

    /// The outcome as for any catalog, with advice when S3 Tables' endpoint refuses this type of request. In
    /// some regions and at some times, that endpoint loads tables but does not commit snapshots.
    fn outcome(&self, failure: Failure, ident: &TableIdent) -> CommitOutcome {
        let failure = match failure {
            Failure::Refused(status, error)
                if self.is_s3tables && matches!(status.as_u16(), 400 | 405 | 406 | 410 | 415 | 422) =>
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
    ) -> Result<LoadedTable, CommitOutcome> {
        let refused = |error: Error| CommitOutcome::Refused {
            conflict: false,
            error: commit_error(error, &base.ident),
        };
        let session = self.session().await.map_err(refused)?;
        if !session.offers(Endpoint::CommitTable) {
            let mut message = "the catalog does not let tables be written through REST".to_owned();
            if self.is_s3tables {
                message.push_str(NATIVE_HINT);
            }
            return Err(refused(Error::new(ErrorKind::Catalog, message)));
        }
        let body = json(&CommitTableRequest {
            identifier: &base.ident,
            requirements,
            updates,
        })
        .map_err(refused)?;
        let url = session.table_url(&base.ident).map_err(refused)?;
        let request = self.request(&session, Endpoint::CommitTable, url, Some(body));
        let answer = self
            .client
            .send(&request)
            .await
            .map_err(|failure| self.outcome(failure, &base.ident))?;
        // The commit was made, but the table's new state must be loaded.
        let response: CommitTableResponse =
            parse_table(&request, &base.ident, &answer).map_err(CommitOutcome::Unknown)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::Aws;
    use crate::config::Config;

    #[tokio::test]
    async fn credentials_for_other_places_are_warned_of_where_no_keys_are_given_in_another_way() {
        let keys = r#", "storage": {"s3": {"access_key_id": "AKID", "secret_access_key": "hush"}}"#;
        let nothing = HashMap::from([("s3.region".to_owned(), "eu-west-1".to_owned())]);
        let given = HashMap::from([(vended::KEY_ID.to_owned(), "AKID".to_owned())]);
        for (storage, properties, warned) in [
            ("", &nothing, true),
            ("", &given, false),
            (keys, &nothing, false),
            (keys, &given, false),
        ] {
            let json = format!(r#"{{"catalog": {{"type": "rest", "uri": "https://h"}}{storage}}}"#);
            let config = Config::from_json(json.as_bytes()).expect("valid");
            let stores = Stores::new(config.storage, Arc::new(Aws::new(None)));
            let catalog = RestCatalog::open(&config.catalog, stores).await.expect("opens");
            catalog.tell_of_unfit(&["s3://other/".to_owned()], "s3://b/t", properties);
            let tables = catalog.without_credentials.lock().expect("lock");
            assert_eq!(tables.contains("s3://b/t"), warned, "{storage} {properties:?}");
        }
    }
}
