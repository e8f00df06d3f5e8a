//! The HTTP client that AWS's libraries use.

use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;

use crate::error::{Error, ErrorKind, Result};

/// The timeout for an answer if the library sets none. For STS and SSO, it sets only a connection timeout.
const TIMEOUT: Duration = Duration::from_secs(10);

/// reqwest, with the only TLS stack of this library.
#[derive(Debug, Clone)]
pub(super) struct ReqwestClient {
    /// For AWS's services, through a proxy if the environment sets one.
    https: reqwest::Client,
    /// For the metadata services of containers and instances, which are not reached through a proxy.
    http: reqwest::Client,
}

impl ReqwestClient {
    pub(super) fn new() -> Result<Self> {
        let builder = || reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        let failed = |cause| Error::new(ErrorKind::Config, "cannot set up HTTPS").because(cause);
        Ok(Self {
            https: builder().build().map_err(failed)?,
            http: builder().no_proxy().build().map_err(failed)?,
        })
    }
}

impl HttpClient for ReqwestClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector {
            client: self.clone(),
            timeout: timeout(settings),
        })
    }
}

/// The total timeout of a request, including its answer.
fn timeout(settings: &HttpConnectorSettings) -> Duration {
    settings.connect_timeout().unwrap_or_default() + settings.read_timeout().unwrap_or(TIMEOUT)
}

#[derive(Debug)]
struct Connector {
    client: ReqwestClient,
    timeout: Duration,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (client, timeout) = (self.client.clone(), self.timeout);
        HttpConnectorFuture::new(async move { send(&client, timeout, request).await })
    }
}

async fn send(
    client: &ReqwestClient,
    timeout: Duration,
    request: HttpRequest,
) -> Result<HttpResponse, ConnectorError> {
    let request = request
        .try_into_http1x()
        .map_err(|cause| ConnectorError::user(cause.into()))?;
    // Requests for credentials are small and already in memory.
    let request = request.map(|body| body.bytes().map(<[u8]>::to_vec).unwrap_or_default());
    let mut request =
        reqwest::Request::try_from(request).map_err(|cause| ConnectorError::user(cause.into()))?;
    *request.timeout_mut() = Some(timeout);
    let client = if request.url().scheme() == "https" {
        &client.https
    } else {
        &client.http
    };
    let response = client.execute(request).await.map_err(failure)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.bytes().await.map_err(failure)?;
    let mut answer = http::Response::new(SdkBody::from(body));
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    HttpResponse::try_from(answer).map_err(|cause| ConnectorError::other(cause.into(), None))
}

fn failure(cause: reqwest::Error) -> ConnectorError {
    let cause = cause.without_url();
    if cause.is_timeout() {
        ConnectorError::timeout(cause.into())
    } else {
        ConnectorError::io(cause.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_time_also_where_only_the_connection_is_given_some() {
        let (connect, read) = (Duration::from_millis(3100), Duration::from_secs(1));
        let builder = HttpConnectorSettings::builder;
        for (settings, expected) in [
            (builder().build(), TIMEOUT),
            (builder().connect_timeout(connect).build(), connect + TIMEOUT),
            (
                builder().connect_timeout(connect).read_timeout(read).build(),
                connect + read,
            ),
        ] {
            assert_eq!(timeout(&settings), expected);
        }
    }
}
