//! Access tokens by OAuth2's client credentials flow.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Url;
use reqwest::header::HeaderMap;
use serde::Deserialize;

use super::answer::{Scrubber, TOO_MANY_REQUESTS, is_throttled, refused};
use super::client::{ReadError, place, read};
use super::encode;
use crate::config::{OAuth2Config, Secret};
use crate::error::{Error, ErrorKind, Result};

/// A token is replaced this long before it expires, or after nine tenths of a short lifetime.
const MARGIN: Duration = Duration::from_secs(60);
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Fetches tokens and keeps one while it is valid. It never fetches two at once.
#[derive(Debug)]
pub(super) struct OAuth2 {
    http: reqwest::Client,
    url: Url,
    /// The configured headers, if the endpoint is the catalog's.
    headers: HeaderMap,
    config: OAuth2Config,
    timeout: Duration,
    scrubber: Scrubber,
    /// Locked while a token is fetched.
    token: tokio::sync::Mutex<Option<Token>>,
    /// The newest token, for callers that cannot wait for the lock.
    newest: Mutex<Option<Secret>>,
}

#[derive(Debug)]
struct Token {
    secret: Secret,
    /// The number of the token, counted in this process.
    number: u64,
    /// The time from which it is replaced. `None` if the server reports no lifetime.
    stale: Option<Instant>,
    discarded: bool,
}

impl OAuth2 {
    pub(super) fn new(
        http: reqwest::Client,
        url: Url,
        headers: HeaderMap,
        config: OAuth2Config,
        timeout: Duration,
        scrubber: Scrubber,
    ) -> Self {
        Self {
            http,
            url,
            headers,
            config,
            timeout,
            scrubber,
            token: tokio::sync::Mutex::default(),
            newest: Mutex::default(),
        }
    }

    /// A token that is valid as far as we know, and its number.
    pub(super) async fn token(&self) -> Result<(Secret, u64)> {
        let mut kept = self.token.lock().await;
        if let Some(token) = &*kept
            && !token.discarded
            && token.stale.is_none_or(|stale| Instant::now() < stale)
        {
            return Ok((token.secret.clone(), token.number));
        }
        let number = kept.as_ref().map_or(0, |token| token.number + 1);
        let asked = Instant::now();
        let response = self.fetch().await?;
        let stale = response
            .life()
            .and_then(|life| asked.checked_add(life.saturating_sub(MARGIN.min(life / 10))));
        let secret = Secret::new(response.access_token);
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(secret.clone());
        *kept = Some(Token {
            secret: secret.clone(),
            number,
            stale,
            discarded: false,
        });
        Ok((secret, number))
    }

    /// Discards the token of this number, which the catalog did not accept.
    pub(super) async fn discard(&self, number: u64) {
        if let Some(token) = &mut *self.token.lock().await
            && token.number == number
        {
            token.discarded = true;
        }
    }

    /// The newest token, if there has been one.
    pub(super) fn current(&self) -> Option<Secret> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn fetch(&self) -> Result<TokenResponse> {
        let config = &self.config;
        let fields = [
            ("grant_type", Some("client_credentials")),
            ("client_id", Some(config.client_id.as_str())),
            ("client_secret", Some(config.client_secret.expose())),
            ("scope", config.scope.as_deref().or(Some("catalog"))),
            ("audience", config.audience.as_deref()),
            ("resource", config.resource.as_deref()),
        ];
        let form: Vec<String> = fields
            .iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", encode((*value)?))))
            .collect();
        let answer = self
            .http
            .post(self.url.clone())
            .timeout(self.timeout)
            .headers(self.headers.clone())
            .header(reqwest::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(reqwest::header::ACCEPT, "application/json")
            .body(form.join("&"))
            .send()
            .await;
        let response = answer.map_err(|cause| {
            self.error("the token endpoint cannot be reached; check catalog.oauth2.token_uri")
                .because(cause.without_url())
        })?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = read(response, ANSWER_BYTES_MAX).await;
        if status.is_success() {
            let body = body.map_err(|cause| self.unread(cause))?;
            // serde's error could repeat a part of the token.
            return serde_json::from_slice(&body).map_err(|_| {
                self.error(
                    "the token endpoint's answer holds no access_token; check catalog.oauth2.token_uri",
                )
            });
        }
        // The body of an error is only needed for its message.
        let body = body.unwrap_or_default();
        let throttled = is_throttled(status, &headers, &body);
        let hint = if throttled {
            TOO_MANY_REQUESTS
        } else {
            "; check client_id, client_secret, scope, audience, resource and token_uri of catalog.oauth2"
        };
        let error = self.error(&format!("the token endpoint answered {}{hint}", status.as_u16()));
        Err(refused(error, throttled, &headers, &body, &self.scrubber, None))
    }

    /// The error for a success whose body was not read.
    fn unread(&self, cause: ReadError) -> Error {
        match cause {
            ReadError::Transport(cause) => {
                let message =
                    "the connection to the token endpoint broke, or timed out, before its answer was there";
                self.error(message).because(cause.without_url())
            }
            ReadError::TooLarge => self.error(
                "the token endpoint's answer is too large for a token; check catalog.oauth2.token_uri",
            ),
        }
    }

    fn error(&self, message: &str) -> Error {
        Error::new(ErrorKind::Catalog, message).with("url", place(&self.url))
    }
}

/// The answer of a token endpoint: RFC 6749, section 5.1.
#[derive(Deserialize)]
struct TokenResponse {
    access_token: String,
    /// Seconds: a number, or text with one, as some servers send it.
    expires_in: Option<serde_json::Value>,
}

impl TokenResponse {
    /// The token's lifetime. Without a readable lifetime, the token is used until it is refused.
    fn life(&self) -> Option<Duration> {
        let given = self.expires_in.as_ref()?;
        let seconds = match given.as_str() {
            Some(text) => text.trim().parse().ok(),
            None => given.as_f64(),
        };
        Duration::try_from_secs_f64(seconds?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_s_life_is_a_number_or_text_with_one() {
        for (expires_in, seconds) in [
            ("3599", Some(3599)),
            ("3599.0", Some(3599)),
            (r#""3599""#, Some(3599)),
            (r#""soon""#, None),
            ("null", None),
            ("-1", None),
        ] {
            let json = format!(r#"{{"access_token": "t", "expires_in": {expires_in}}}"#);
            let response: TokenResponse = serde_json::from_str(&json).expect("a token");
            assert_eq!(response.life(), seconds.map(Duration::from_secs), "{expires_in}");
        }
    }
}
