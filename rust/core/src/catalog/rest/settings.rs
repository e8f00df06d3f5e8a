//! From the configuration to a client: whom to talk to, and as whom.

use reqwest::Url;
use reqwest::header::HeaderMap;

use super::answer::Scrubber;
use super::auth::Auth;
use super::client::{Client, header, http_client};
use super::oauth2::OAuth2;
use crate::config::{CatalogConfig, OAuth2Config};
use crate::error::{Error, ErrorKind, Result};

/// What a configuration comes to.
pub(super) struct Settings {
    /// The base URI.
    pub(super) uri: String,
    pub(super) client: Client,
}

/// # Errors
/// `Config` naming the key that is missing or cannot be used.
pub(super) fn resolve(config: &CatalogConfig) -> Result<Settings> {
    let uri = config
        .uri
        .clone()
        .ok_or_else(|| Error::new(ErrorKind::Config, "catalog.uri: type rest needs the catalog's base URI"))?;
    let auth = match (&config.token, &config.oauth2) {
        (Some(token), _) => Auth::Token(token.clone()),
        (None, Some(oauth2)) => Auth::OAuth2(client_credentials(config, oauth2, &uri)?),
        (None, None) => Auth::None,
    };
    let headers: HeaderMap = config
        .headers
        .iter()
        .map(|(name, value)| header(name, value.expose()))
        .collect::<Result<_>>()?;
    let scrubber = Scrubber::new(
        config
            .headers
            .values()
            .chain(&config.token)
            .chain(config.oauth2.iter().map(|oauth2| &oauth2.client_secret))
            .cloned(),
    );
    let client = Client::new(http_client(headers)?, auth, config.timeout, scrubber);
    Ok(Settings { uri, client })
}

fn client_credentials(config: &CatalogConfig, oauth2: &OAuth2Config, uri: &str) -> Result<OAuth2> {
    let token_uri = oauth2
        .token_uri
        .clone()
        .unwrap_or_else(|| format!("{}/v1/oauth/tokens", uri.trim_end_matches('/')));
    let url = Url::parse(&token_uri).map_err(|cause| {
        Error::new(ErrorKind::Config, "catalog.oauth2.token_uri: is no URL").because(cause)
    })?;
    // Headers are for the catalog, not for whoever gives tokens.
    let http = http_client(HeaderMap::new())?;
    Ok(OAuth2::new(http, url, oauth2.clone(), config.timeout))
}
