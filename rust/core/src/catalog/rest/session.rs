//! What the catalog said about itself, and the URLs that follow from it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use iceberg::{NamespaceIdent, TableIdent};
use reqwest::{Method, StatusCode, Url};
use tokio::time::Instant;

use super::super::http::{Failure, encode, place, url};
use super::types::ConfigResponse;
use crate::error::Result;

/// How levels of a namespace are told apart in a URL, unless the catalog says otherwise.
const SEPARATOR: &str = "%1F";

/// A catalog's configuration is not asked for again before so long, whatever it answers to other requests.
const PAUSE: Duration = Duration::from_secs(10);

/// Requests that a catalog may offer or not, as `GET /v1/config` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    CreateNamespace,
    CreateTable,
    LoadTable,
    CommitTable,
}

impl Endpoint {
    const fn name(self) -> &'static str {
        match self {
            Endpoint::CreateNamespace => "POST /v1/{prefix}/namespaces",
            Endpoint::CreateTable => "POST /v1/{prefix}/namespaces/{namespace}/tables",
            Endpoint::LoadTable => "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}",
            Endpoint::CommitTable => "POST /v1/{prefix}/namespaces/{namespace}/tables/{table}",
        }
    }

    /// What a request of this kind does, after "cannot".
    pub(super) const fn purpose(self) -> &'static str {
        match self {
            Endpoint::CreateNamespace => "make the namespace",
            Endpoint::CreateTable => "make the table",
            Endpoint::LoadTable => "load the table",
            Endpoint::CommitTable => "commit to the table",
        }
    }

    pub(super) const fn method(self) -> Method {
        match self {
            Endpoint::LoadTable => Method::GET,
            _ => Method::POST,
        }
    }
}

/// A catalog's configuration, merged with ours.
pub(super) struct Session {
    /// Up to and with `/v1` and the prefix, without a slash at the end.
    root: String,
    separator: String,
    /// Whether the catalog leads away from the configured base.
    is_elsewhere: bool,
    endpoints: Option<HashSet<String>>,
    /// Whether the catalog honours `Idempotency-Key`.
    pub(super) idempotency: bool,
    /// What the catalog says to all tables; secrets may be among them.
    pub(super) properties: HashMap<String, String>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

/// `<uri>/v1/config`, with the warehouse if there is one.
pub(super) fn config_url(uri: &str, warehouse: Option<&str>) -> Result<Url> {
    let mut text = format!("{}/v1/config", uri.trim_end_matches('/'));
    if let Some(warehouse) = warehouse {
        text.push_str("?warehouse=");
        text.push_str(&encode(warehouse));
    }
    url(&text)
}

impl Session {
    /// `uri` is the configured base.
    pub(super) fn new(uri: &str, response: ConfigResponse) -> Self {
        let overrides = response.overrides;
        let mut properties: HashMap<String, String> = HashMap::new();
        // Ours would stand between the two, but none of ours has a name in the protocol.
        for (key, value) in response.defaults.into_iter().chain(overrides.clone()) {
            match value {
                Some(value) => properties.insert(key, value),
                None => properties.remove(&key),
            };
        }
        let configured = uri.trim_end_matches('/');
        let uri = overrides.get("uri").and_then(Option::as_deref).unwrap_or(uri);
        let uri = uri.trim_end_matches('/');
        let mut root = format!("{uri}/v1");
        if let Some(prefix) = properties.get("prefix").map(|prefix| prefix.trim_matches('/'))
            && !prefix.is_empty()
        {
            // As it is: a catalog gives it encoded for the place where it goes.
            root.push('/');
            root.push_str(prefix);
        }
        let separator = match properties.get("namespace-separator") {
            None => SEPARATOR.to_owned(),
            Some(encoded) if encoded.contains('%') => encoded.clone(),
            Some(plain) => encode(plain),
        };
        Self {
            root,
            separator,
            is_elsewhere: uri != configured,
            endpoints: response
                .endpoints
                .filter(|endpoints| !endpoints.is_empty())
                .map(|endpoints| endpoints.into_iter().collect()),
            idempotency: response.idempotency_key_lifetime.is_some(),
            properties,
        }
    }

    /// Whether a table that was looked for may be found with the catalog's configuration of today. A warehouse that was made anew can
    /// have another prefix, and a catalog another address. Some say 403 of what is not there.
    pub(super) fn may_be_outdated(&self, failure: &Failure) -> bool {
        match failure {
            Failure::Refused(StatusCode::NOT_FOUND | StatusCode::FORBIDDEN, _) => true,
            Failure::NotSent(_) => self.is_elsewhere,
            Failure::Refused(..) | Failure::NoAnswer(_) => false,
        }
    }

    /// Where it leads, without what may be secret.
    fn place(&self) -> String {
        url(&self.root).map(|root| place(&root)).unwrap_or_default()
    }

    fn has_urls_of(&self, other: &Self) -> bool {
        self.root == other.root && self.separator == other.separator
    }

    /// Whether the catalog offers a request. One that lists nothing is taken to offer all.
    pub(super) fn offers(&self, endpoint: Endpoint) -> bool {
        self.endpoints
            .as_ref()
            .is_none_or(|endpoints| endpoints.contains(endpoint.name()))
    }

    pub(super) fn namespaces_url(&self) -> Result<Url> {
        url(&format!("{}/namespaces", self.root))
    }

    pub(super) fn tables_url(&self, namespace: &NamespaceIdent) -> Result<Url> {
        url(&format!(
            "{}/namespaces/{}/tables",
            self.root,
            self.namespace(namespace)
        ))
    }

    pub(super) fn table_url(&self, table: &TableIdent) -> Result<Url> {
        url(&format!(
            "{}/namespaces/{}/tables/{}",
            self.root,
            self.namespace(&table.namespace),
            encode(&table.name)
        ))
    }

    fn namespace(&self, namespace: &NamespaceIdent) -> String {
        let levels: Vec<String> = namespace.as_ref().iter().map(|level| encode(level)).collect();
        levels.join(&self.separator)
    }
}

/// The session that requests are made with, from the first of them on.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    current: Mutex<Option<Arc<Session>>>,
    /// When the catalog was asked last. Locked while it is.
    asked: tokio::sync::Mutex<Option<Instant>>,
}

impl Sessions {
    /// The one at hand, else the one that is asked for.
    pub(super) async fn current(&self, ask: impl Future<Output = Result<Session>>) -> Result<Arc<Session>> {
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let mut asked = self.asked.lock().await;
        // Somebody else may have asked meanwhile.
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let session = self.keep(ask.await?);
        *asked = Some(Instant::now());
        Ok(session)
    }

    /// One with other URLs than `used`, which may be outdated. All others go on with that one while the catalog is asked, and if
    /// it does not say.
    pub(super) async fn other_than(
        &self,
        used: &Session,
        ask: impl Future<Output = Result<Session>>,
    ) -> Option<Arc<Session>> {
        let is_other = |session: &Arc<Session>| !session.has_urls_of(used);
        let mut asked = self.asked.lock().await;
        if let Some(known) = self.known().filter(is_other) {
            return Some(known);
        }
        if asked.is_some_and(|at| at.elapsed() < PAUSE) {
            return None;
        }
        *asked = Some(Instant::now());
        match ask.await {
            Ok(session) => {
                let other = Some(self.keep(session)).filter(is_other)?;
                tracing::warn!(
                    before = used.place(),
                    now = other.place(),
                    "the catalog's configuration leads elsewhere than before"
                );
                Some(other)
            }
            Err(error) => {
                tracing::debug!(%error, "the catalog's configuration is taken as it was");
                None
            }
        }
    }

    fn known(&self) -> Option<Arc<Session>> {
        self.lock().clone()
    }

    fn keep(&self, session: Session) -> Arc<Session> {
        Arc::clone(self.lock().insert(Arc::new(session)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<Session>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(json: &str) -> Session {
        Session::new("http://h/c/", serde_json::from_str(json).expect("JSON"))
    }

    fn table() -> TableIdent {
        TableIdent::from_strs(["prod", "o tel", "logs/1"]).expect("ident")
    }

    #[test]
    fn urls_have_prefix_and_encoded_levels() {
        for (json, expected) in [
            ("{}", "http://h/c/v1/namespaces/prod%1Fo%20tel/tables/logs%2F1"),
            (
                r#"{"defaults": {"prefix": "a"}, "overrides": {"prefix": "w/arn%3Ax"}}"#,
                "http://h/c/v1/w/arn%3Ax/namespaces/prod%1Fo%20tel/tables/logs%2F1",
            ),
            (
                r#"{"overrides": {"uri": "https://other/", "namespace-separator": "%2E"}}"#,
                "https://other/v1/namespaces/prod%2Eo%20tel/tables/logs%2F1",
            ),
            (
                r#"{"defaults": {"uri": "https://other/"}}"#,
                "http://h/c/v1/namespaces/prod%1Fo%20tel/tables/logs%2F1",
            ),
        ] {
            assert_eq!(session(json).table_url(&table()).expect("URL").as_str(), expected);
        }
        let url = config_url("http://h/c", Some("arn:aws:x/b")).expect("URL");
        assert_eq!(url.as_str(), "http://h/c/v1/config?warehouse=arn%3Aaws%3Ax%2Fb");
    }

    #[test]
    fn a_catalog_without_a_list_offers_all() {
        for json in ["{}", r#"{"endpoints": null}"#, r#"{"endpoints": []}"#] {
            assert!(session(json).offers(Endpoint::CreateTable), "{json}");
        }
        let listed = session(r#"{"endpoints": ["POST /v1/{prefix}/namespaces/{namespace}/tables/{table}"]}"#);
        assert!(listed.offers(Endpoint::CommitTable));
        assert!(!listed.offers(Endpoint::CreateTable));
    }
}
