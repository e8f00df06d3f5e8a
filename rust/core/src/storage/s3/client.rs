//! The HTTP client for S3. It limits the time of requests, follows no redirects, bounds the answers that are
//! parsed, and records the answers for the errors of operations.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use uuid::Uuid;

use super::failure::{Answers, Refusal};
use super::{deletion, xml_bounds};
use crate::config::RequestTimes;

/// The time after which an attempt to connect is abandoned and retried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Creates HTTP clients that record refusals in the running operation's [`Answers`].
#[derive(Debug)]
pub(super) struct WatchedConnector {
    pub(super) times: RequestTimes,
    /// Whether the endpoint is without TLS.
    pub(super) is_http: bool,
}

impl HttpConnector for WatchedConnector {
    /// As `object_store` does it by default, except that redirects are not followed. A signature is for one
    /// host, so that would be of no use: it would only hand the session token and the file to whatever host
    /// the answer names.
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("otlp2iceberg/", env!("CARGO_PKG_VERSION")))
            .https_only(!self.is_http)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(self.times.whole)
            .redirect(Policy::none())
            // HTTP/2 is slower for files.
            .http1_only()
            // Files are taken as they are stored, whatever features another crate turns on.
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .dns_resolver(Arc::new(AnyAddress))
            .build()
            .map_err(|cause| object_store::Error::Generic {
                store: "S3",
                source: Box::new(cause),
            })?;
        Ok(HttpClient::new(Watched {
            client: HttpClient::new(client),
            answer_time: self.times.answer,
        }))
    }
}

/// Begins with any of a host's addresses, so that many clients share all of them.
#[derive(Debug)]
struct AnyAddress;

impl Resolve for AnyAddress {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::task::spawn_blocking(move || -> std::io::Result<Vec<SocketAddr>> {
                Ok((name.as_str(), 0).to_socket_addrs()?.collect())
            });
            let mut addresses = found.await??;
            let [first, ..] = Uuid::new_v4().into_bytes();
            let count = addresses.len().max(1);
            addresses.rotate_left(usize::from(first) % count);
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[derive(Debug)]
struct Watched {
    client: HttpClient,
    answer_time: Duration,
}

impl Watched {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        // The client itself limits the time of the whole request.
        if request.method() == Method::PUT {
            return self.client.execute(request).await;
        }
        let answered = tokio::time::timeout(self.answer_time, self.client.execute(request)).await;
        answered.unwrap_or_else(|late| Err(HttpError::new(HttpErrorKind::Timeout, late)))
    }
}

#[async_trait]
impl HttpService for Watched {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let deletes = deletion::is_one(&request);
        let is_parsed = xml_bounds::is_parsed(&request);
        let answered = match self.send(request).await {
            Ok(response) if is_parsed && response.status().is_success() => parsable(response, deletes).await,
            other => other,
        };
        let response = match answered {
            Ok(response) => response,
            Err(error) => {
                return Err(if Answers::note_error(&error) {
                    // An error kind that is not retried.
                    HttpError::new(HttpErrorKind::Unknown, error)
                } else if deletes {
                    deletion::repeatable(error)
                } else {
                    error
                });
            }
        };
        if response.status().is_success() {
            Answers::note_answer(None);
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let body = xml_bounds::read(body).await?;
        let region = parts.headers.get("x-amz-bucket-region");
        let region = region.and_then(|value| value.to_str().ok());
        let refusal = Refusal::new(parts.status.as_u16(), region, &body);
        Answers::note_answer(Some(refusal));
        Ok(HttpResponse::from_parts(parts, body.into()))
    }
}

/// A successful answer that `object_store` may parse.
async fn parsable(response: HttpResponse, deletes: bool) -> Result<HttpResponse, HttpError> {
    let (parts, body) = response.into_parts();
    let body = xml_bounds::read_xml(body).await?;
    Ok(if deletes {
        deletion::judged(parts, body)
    } else {
        HttpResponse::from_parts(parts, body.into())
    })
}
