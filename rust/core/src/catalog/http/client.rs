//! One request to the catalog, and what is known for certain about it afterwards.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use uuid::Uuid;

use super::answer::{Scrubber, TOO_MANY_REQUESTS, hint, is_throttled, refused};
use super::auth::Auth;
use crate::error::{Error, ErrorKind, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Servers and load balancers close idle connections after about a minute. A request that is sent while the
/// server closes the connection has an unknown outcome, so we close idle connections first.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// Table metadata grows with each snapshot, but a larger answer than this does not come from a catalog.
const ANSWER_BYTES_MAX: usize = 512 << 20;
const ERROR_BYTES_MAX: usize = 64 << 10;

/// A request that can be sent several times.
#[derive(Debug)]
pub(in crate::catalog) struct Request {
    pub(in crate::catalog) method: Method,
    pub(in crate::catalog) url: Url,
    /// JSON.
    pub(in crate::catalog) body: Option<Bytes>,
    /// Whether the catalog honours `Idempotency-Key`.
    pub(in crate::catalog) idempotency: bool,
    /// Whether to ask for storage credentials.
    pub(in crate::catalog) delegation: bool,
    /// What the request does, to follow "cannot" in errors: "load the table".
    pub(in crate::catalog) purpose: &'static str,
}

/// Why a request did not succeed.
#[derive(Debug)]
pub(in crate::catalog) enum Failure {
    /// Nothing of the request was sent.
    NotSent(Error),
    /// The request was sent in whole or in part, and no complete answer came back.
    NoAnswer(Error),
    /// The catalog answered with an error status.
    Refused(StatusCode, Error),
}

impl Failure {
    /// Whether a creating request may have created its object, or found it already created.
    pub(in crate::catalog) fn may_be_done(&self) -> bool {
        match self {
            Failure::NotSent(_) => false,
            Failure::NoAnswer(_) => true,
            Failure::Refused(status, _) => *status == StatusCode::CONFLICT || !status.is_client_error(),
        }
    }

    pub(in crate::catalog) fn into_error(self) -> Error {
        match self {
            Failure::NotSent(error) | Failure::NoAnswer(error) | Failure::Refused(_, error) => error,
        }
    }
}

/// Makes an HTTP client with our common settings: rustls, no redirects, no retries, timeouts.
///
/// # Errors
/// `Config` when the system's TLS roots cannot be used.
pub(super) fn http_client() -> Result<reqwest::Client> {
    reqwest::Client::builder()
        .user_agent(concat!("otlp2iceberg/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .build()
        .map_err(|cause| Error::new(ErrorKind::Config, "cannot set up HTTPS").because(cause.without_url()))
}

/// The connection to a catalog. It adds authentication, and keeps secrets out of errors.
#[derive(Debug)]
pub(in crate::catalog) struct Client {
    http: reqwest::Client,
    /// The configured headers.
    headers: HeaderMap,
    auth: Auth,
    timeout: Duration,
    scrubber: Scrubber,
}

impl Client {
    pub(super) fn new(
        http: reqwest::Client,
        headers: HeaderMap,
        auth: Auth,
        timeout: Duration,
        scrubber: Scrubber,
    ) -> Self {
        Self {
            http,
            headers,
            auth,
            timeout,
            scrubber,
        }
    }

    /// Sends a request and returns the body of a successful answer.
    ///
    /// The request is sent a second time when the catalog refused our credentials and there may be better
    /// ones, or when it is a `GET` and the connection broke.
    pub(in crate::catalog) async fn send(&self, request: &Request) -> Result<Bytes, Failure> {
        let attempt = self.attempt(request).await;
        let again = match &attempt {
            Err(Attempt { refreshed, .. }) if *refreshed => true,
            Err(Attempt {
                failure: Failure::NoAnswer(_),
                timed_out,
                ..
            }) => request.method == Method::GET && !timed_out,
            _ => false,
        };
        let attempt = if again {
            self.attempt(request).await
        } else {
            attempt
        };
        attempt.map_err(|attempt| attempt.failure)
    }

    async fn attempt(&self, request: &Request) -> Result<Bytes, Attempt> {
        let mut wire = self
            .http
            .request(request.method.clone(), request.url.clone())
            .timeout(self.timeout);
        wire = wire
            .headers(self.headers.clone())
            .header(reqwest::header::ACCEPT, "application/json");
        if let Some(body) = &request.body {
            wire = wire
                .header(reqwest::header::CONTENT_TYPE, "application/json")
                .body(body.clone());
        }
        if request.delegation {
            wire = wire.header("X-Iceberg-Access-Delegation", "vended-credentials");
        }
        if request.idempotency {
            // Each attempt has a new key: an attempt that was refused for its credentials was not carried
            // out.
            wire = wire.header("Idempotency-Key", Uuid::now_v7().to_string());
        }
        let mut wire = wire
            .build()
            .map_err(|cause| Attempt::new(Failure::NotSent(not_sent(request, cause))))?;
        let stamp = self
            .auth
            .authorize(&mut wire)
            .await
            .map_err(|error| Attempt::new(Failure::NotSent(error)))?;
        let response = match self.http.execute(wire).await {
            Ok(response) => response,
            // The connection, including TLS, is established before any byte of the request is sent.
            Err(cause) if cause.is_connect() => {
                return Err(Attempt::new(Failure::NotSent(not_sent(request, cause))));
            }
            Err(cause) => return Err(self.no_answer(request, cause)),
        };
        let status = response.status();
        if status.is_success() {
            return read(response, ANSWER_BYTES_MAX)
                .await
                .map_err(|cause| match cause {
                    ReadError::Transport(cause) => self.no_answer(request, cause),
                    ReadError::TooLarge => Attempt::new(Failure::NoAnswer(failed(
                        request,
                        "the catalog's answer is larger than any table's metadata",
                    ))),
                });
        }
        let headers = response.headers().clone();
        let refreshed = self.auth.renew(&stamp, status, &headers).await;
        // The body of an error is only needed for its message.
        let body = read(response, ERROR_BYTES_MAX).await.unwrap_or_default();
        let error = self.refusal(request, status, &headers, &body);
        Err(Attempt {
            failure: Failure::Refused(status, error),
            timed_out: false,
            refreshed,
        })
    }

    fn no_answer(&self, request: &Request, cause: reqwest::Error) -> Attempt {
        let timed_out = cause.is_timeout();
        let error = if timed_out {
            let text = format!(
                "the catalog did not answer within catalog.timeout ({:?}); check catalog.uri, or raise it",
                self.timeout
            );
            failed(request, &text)
        } else {
            failed(
                request,
                "the connection to the catalog broke before its answer was there",
            )
            .because(cause.without_url())
        };
        Attempt {
            failure: Failure::NoAnswer(error),
            timed_out,
            refreshed: false,
        }
    }

    fn refusal(&self, request: &Request, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
        let throttled = is_throttled(status, headers, body);
        let hint = if throttled {
            TOO_MANY_REQUESTS.to_owned()
        } else {
            hint(status, headers, self.auth.keys())
        };
        let vending = if request.delegation && may_not_vend(status) && !throttled {
            "; if the catalog hands out no storage credentials, set catalog.vended_credentials: false"
        } else {
            ""
        };
        let what_happened = format!("the catalog answered {}{hint}{vending}", status.as_u16());
        refused(
            failed(request, &what_happened),
            throttled,
            headers,
            body,
            &self.scrubber,
            self.auth.current_secret().as_ref(),
        )
    }
}

/// Whether a catalog without storage credentials may answer so when it is asked for some: Gravitino with 400,
/// others with 403, 406, 422, 500 or 501. 502 to 504 come from gateways, or say that the catalog is down.
fn may_not_vend(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 403 | 406 | 422 | 500 | 501)
}

fn not_sent(request: &Request, cause: reqwest::Error) -> Error {
    failed(
        request,
        "the catalog cannot be reached; check catalog.uri and the network",
    )
    .because(cause.without_url())
}

fn failed(request: &Request, what_happened: &str) -> Error {
    let message = format!("cannot {}: {what_happened}", request.purpose);
    Error::new(ErrorKind::Catalog, message).with("url", place(&request.url))
}

/// How an attempt failed, and whether a second attempt may succeed.
struct Attempt {
    failure: Failure,
    timed_out: bool,
    /// Whether the credentials were renewed after the attempt.
    refreshed: bool,
}

impl Attempt {
    fn new(failure: Failure) -> Self {
        Self {
            failure,
            timed_out: false,
            refreshed: false,
        }
    }
}

/// Why a body was not read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The connection broke, or the time ran out.
    Transport(reqwest::Error),
    /// The body is longer than allowed.
    TooLarge,
}

/// Reads a body of at most `bytes_max` bytes.
pub(super) async fn read(mut response: reqwest::Response, bytes_max: usize) -> Result<Bytes, ReadError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(ReadError::Transport)? {
        if body.len() + chunk.len() > bytes_max {
            return Err(ReadError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// A URL as errors show it: without user, password and query, which may be secret.
pub(in crate::catalog) fn place(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!(
        "{}://{}{port}{}",
        url.scheme(),
        url.host_str().unwrap_or_default(),
        url.path()
    )
}

/// Parses the name and value of a header. The configuration has already been checked.
///
/// # Errors
/// `Config`, without the value.
pub(super) fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue)> {
    let invalid = || {
        Error::new(
            ErrorKind::Config,
            format!("catalog.headers.{name}: makes no header"),
        )
    };
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
    let mut value = HeaderValue::from_str(value).map_err(|_| invalid())?;
    value.set_sensitive(true);
    Ok((name, value))
}
