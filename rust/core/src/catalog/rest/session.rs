//! A catalog's configuration, and the URLs that follow from it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use iceberg::{NamespaceIdent, TableIdent};
use reqwest::{Method, StatusCode, Url};
use tokio::time::Instant;

use super::super::http::{Failure, encode, place, url};
use super::types::ConfigResponse;
use crate::error::{Error, ErrorKind, Result};

/// The separator of namespace levels in a URL, unless the catalog sets another one.
const SEPARATOR: &str = "%1F";

/// A failed request leads to a new request for the configuration only after this pause since the last one.
const PAUSE: Duration = Duration::from_secs(10);

/// Requests that a catalog may offer, by their names in `GET /v1/config`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    LoadNamespace,
    CreateNamespace,
    CreateTable,
    LoadTable,
    CommitTable,
}

impl Endpoint {
    const fn name(self) -> &'static str {
        match self {
            Endpoint::LoadNamespace => "GET /v1/{prefix}/namespaces/{namespace}",
            Endpoint::CreateNamespace => "POST /v1/{prefix}/namespaces",
            Endpoint::CreateTable => "POST /v1/{prefix}/namespaces/{namespace}/tables",
            Endpoint::LoadTable => "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}",
            Endpoint::CommitTable => "POST /v1/{prefix}/namespaces/{namespace}/tables/{table}",
        }
    }

    /// What the request does, to follow "cannot" in errors.
    pub(super) const fn purpose(self) -> &'static str {
        match self {
            Endpoint::LoadNamespace => "look at the namespace",
            Endpoint::CreateNamespace => "make the namespace",
            Endpoint::CreateTable => "make the table",
            Endpoint::LoadTable => "load the table",
            Endpoint::CommitTable => "commit to the table",
        }
    }

    pub(super) const fn method(self) -> Method {
        match self {
            Endpoint::LoadNamespace | Endpoint::LoadTable => Method::GET,
            _ => Method::POST,
        }
    }
}

/// A catalog's configuration, merged with ours.
pub(super) struct Session {
    /// The URL up to and including `/v1` and the prefix, without a trailing slash.
    root: String,
    separator: String,
    /// Whether the catalog redirects us from the configured base to another URI.
    is_elsewhere: bool,
    /// The configured origin and that of the other URI, if they differ.
    other_origin: Option<[String; 2]>,
    endpoints: Option<HashSet<String>>,
    /// Whether the catalog honours `Idempotency-Key`.
    pub(super) idempotency: bool,
    /// The catalog's properties for all tables. They may contain secrets.
    pub(super) properties: HashMap<String, String>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

/// `<uri>/v1/config`, with the warehouse if it is set.
pub(super) fn config_url(uri: &str, warehouse: Option<&str>) -> Result<Url> {
    let mut text = format!("{}/v1/config", uri.trim_end_matches('/'));
    if let Some(warehouse) = warehouse {
        text.push_str("?warehouse=");
        text.push_str(&encode(warehouse));
    }
    url(&text)
}

/// The origins of the configured base and of the URI that the catalog gave, if they differ.
///
/// # Errors
/// `Catalog` when requests would leave TLS: they carry the token and `catalog.headers`.
fn other_origin(configured: &str, given: &str) -> Result<Option<[String; 2]>> {
    if given == configured {
        return Ok(None);
    }
    let (configured, given) = (url(configured)?, url(given)?);
    if configured.scheme() == "https" && given.scheme() != "https" {
        let message = "the catalog sends us from https to an address without TLS (overrides.uri of /v1/config), where others could \
                       read the token and catalog.headers; fix the address that the catalog gives";
        return Err(Error::new(ErrorKind::Catalog, message)
            .with("catalog.uri", place(&configured))
            .with("address", place(&given)));
    }
    let [configured, given] = [configured, given].map(|url| url.origin().ascii_serialization());
    Ok((configured != given).then_some([configured, given]))
}

impl Session {
    /// `uri` is the configured base.
    ///
    /// # Errors
    /// `Catalog` when the catalog gave an address that makes no URL, or one that we do not follow it to.
    pub(super) fn new(uri: &str, response: ConfigResponse) -> Result<Self> {
        let overrides = response.overrides;
        let mut properties: HashMap<String, String> = HashMap::new();
        // Our own properties would come between the two, but none of ours has a name in the protocol.
        for (key, value) in response.defaults.into_iter().chain(overrides.clone()) {
            match value {
                Some(value) => properties.insert(key, value),
                None => properties.remove(&key),
            };
        }
        let configured = uri.trim_end_matches('/');
        let uri = overrides.get("uri").and_then(Option::as_deref).unwrap_or(uri);
        let uri = uri.trim_end_matches('/');
        let other_origin = other_origin(configured, uri)?;
        let mut root = format!("{uri}/v1");
        if let Some(prefix) = properties.get("prefix").map(|prefix| prefix.trim_matches('/'))
            && !prefix.is_empty()
        {
            // Not encoded again: the catalog returns it encoded for this place.
            root.push('/');
            root.push_str(prefix);
        }
        let separator = match properties.get("namespace-separator") {
            None => SEPARATOR.to_owned(),
            Some(encoded) if encoded.contains('%') => encoded.clone(),
            Some(plain) => encode(plain),
        };
        Ok(Self {
            root,
            separator,
            is_elsewhere: uri != configured,
            other_origin,
            endpoints: response
                .endpoints
                .filter(|endpoints| !endpoints.is_empty())
                .map(|endpoints| endpoints.into_iter().collect()),
            idempotency: response.idempotency_key_lifetime.is_some(),
            properties,
        })
    }

    /// Logs that requests go to another server than the configured one: it gets the same secrets.
    fn tell_of_other_origin(&self) {
        if let Some([configured, given]) = &self.other_origin {
            tracing::warn!(
                %configured,
                %given,
                "the catalog sends us to another server (overrides.uri of /v1/config); the token and catalog.headers go there, too"
            );
        }
    }

    /// Whether the catalog's current configuration may lead to the table that was not found. A warehouse that
    /// was created again can have another prefix, and the catalog another address. Some catalogs answer 403
    /// for objects that do not exist.
    pub(super) fn may_be_outdated(&self, failure: &Failure) -> bool {
        match failure {
            Failure::Refused(StatusCode::NOT_FOUND | StatusCode::FORBIDDEN, _) => true,
            Failure::NotSent(_) => self.is_elsewhere,
            Failure::Refused(..) | Failure::NoAnswer(_) => false,
        }
    }

    /// The URL without parts that may be secret.
    fn place(&self) -> String {
        url(&self.root).map(|root| place(&root)).unwrap_or_default()
    }

    fn has_urls_of(&self, other: &Self) -> bool {
        self.root == other.root && self.separator == other.separator
    }

    /// Whether the catalog offers a request. A catalog that lists no requests is assumed to offer all.
    pub(super) fn offers(&self, endpoint: Endpoint) -> bool {
        self.endpoints
            .as_ref()
            .is_none_or(|endpoints| endpoints.contains(endpoint.name()))
    }

    pub(super) fn namespaces_url(&self) -> Result<Url> {
        url(&format!("{}/namespaces", self.root))
    }

    pub(super) fn namespace_url(&self, namespace: &NamespaceIdent) -> Result<Url> {
        url(&format!("{}/namespaces/{}", self.root, self.namespace(namespace)))
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

/// The current session, loaded at the first request.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    current: Mutex<Option<Arc<Session>>>,
    /// When the configuration was last requested. Locked during the request.
    asked: tokio::sync::Mutex<Option<Instant>>,
}

impl Sessions {
    /// The current session, otherwise a newly requested one.
    pub(super) async fn current(&self, ask: impl Future<Output = Result<Session>>) -> Result<Arc<Session>> {
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let mut asked = self.asked.lock().await;
        // Another task may have requested it meanwhile.
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let session = self.keep(ask.await?);
        *asked = Some(Instant::now());
        session.tell_of_other_origin();
        Ok(session)
    }

    /// A session with other URLs than `used`, which may be outdated. Other tasks keep using the current
    /// session while the configuration is requested, and if the request fails.
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
        // Also before the request, in case the caller gives up during it.
        *asked = Some(Instant::now());
        let answer = ask.await;
        // A request may take longer than the pause. The tasks that waited for it must not repeat it in turn.
        *asked = Some(Instant::now());
        match answer {
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
    use crate::error::RetryClass;

    fn session(json: &str) -> Session {
        session_of("http://h/c/", json).expect("a session")
    }

    fn session_of(uri: &str, json: &str) -> Result<Session> {
        Session::new(uri, serde_json::from_str(json).expect("JSON"))
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
    fn another_server_is_known_by_its_origin() {
        for (given, expected) in [
            ("http://h/other", None),
            ("http://h:80/c", None),
            ("http://h:8181/c", Some(["http://h", "http://h:8181"])),
            ("https://h/c", Some(["http://h", "https://h"])),
            (
                "http://user:hush@other/c?key=hush",
                Some(["http://h", "http://other"]),
            ),
        ] {
            let found = session(&format!(r#"{{"overrides": {{"uri": "{given}"}}}}"#)).other_origin;
            assert_eq!(found, expected.map(|both| both.map(str::to_owned)), "{given}");
        }
        assert_eq!(session("{}").other_origin, None);
    }

    #[tokio::test]
    async fn a_catalog_behind_tls_does_not_lead_us_out_of_it() {
        let json = r#"{"overrides": {"uri": "http://user:hush@elsewhere:8181/c?key=hush"}}"#;
        let sessions = Sessions::default();
        let asked = sessions.current(async { session_of("https://h/c/", json) }).await;
        let error = asked.expect_err("refused");
        let text = error.to_string();
        for part in [
            "without TLS",
            "catalog.uri: https://h/c",
            "address: http://elsewhere:8181/c",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("hush"), "{text}");
        // The catalog can be repaired, and the rows wait for it.
        assert_eq!(error.retry_class(), RetryClass::Retry { after: None });
        assert!(sessions.known().is_none());
        // A session from before stays in use.
        let before = sessions.current(async { session_of("https://h/c/", "{}") }).await;
        let before = before.expect("a session");
        *sessions.asked.lock().await = None;
        let other = sessions.other_than(&before, async { session_of("https://h/c/", json) });
        assert!(other.await.is_none());
        assert_eq!(sessions.known().expect("kept").place(), "https://h/c/v1");
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
