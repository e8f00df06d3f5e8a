//! Resolves the configuration to a client: its endpoint and its credentials.

use std::sync::Arc;

use reqwest::Url;
use reqwest::header::HeaderMap;

use super::answer::Scrubber;
use super::auth::Auth;
use super::client::{Client, header, http_client};
use super::oauth2::OAuth2;
use super::sigv4::Signer;
use crate::aws::{Aws, domain};
use crate::config::{CatalogConfig, CatalogType, OAuth2Config, S3TablesApi, TableBucketArn};
use crate::error::{Error, ErrorKind, Result};

/// The resolved configuration.
pub(in crate::catalog) struct Settings {
    /// The base URI, without a slash at its end.
    pub(in crate::catalog) uri: String,
    /// The region that requests are signed for, if they are signed.
    pub(in crate::catalog) region: Option<String>,
    pub(in crate::catalog) client: Client,
}

/// # Errors
/// `Config` naming the key that is missing or cannot be used.
pub(in crate::catalog) async fn resolve(config: &CatalogConfig, aws: &Arc<Aws>) -> Result<Settings> {
    let signed = config.sigv4.is_some() || config.r#type != CatalogType::Rest;
    let region = match (signed, region(config)) {
        (false, _) => None,
        (true, Some(region)) => Some(region),
        (true, None) => Some(region_of_environment(aws).await?),
    };
    let uri = uri(config, region.as_deref().unwrap_or_default())?;
    let headers: HeaderMap = config
        .headers
        .iter()
        .map(|(name, value)| header(name, value.expose()))
        .collect::<Result<_>>()?;
    let auth = match (&region, &config.token, &config.oauth2) {
        (Some(region), ..) => {
            let signer = Signer::new(region.clone(), service(config)?, Arc::clone(aws));
            Auth::SigV4(Box::new(signer))
        }
        (None, Some(token), _) => Auth::Token(token.clone()),
        (None, None, Some(oauth2)) => {
            let oauth2 = client_credentials(config, oauth2, &uri, &headers)?;
            Auth::OAuth2(Box::new(oauth2))
        }
        (None, None, None) => Auth::None,
    };
    let client = Client::new(http_client()?, headers, auth, config.timeout, scrubber(config));
    Ok(Settings { uri, region, client })
}

/// Removes every secret of the section.
fn scrubber(config: &CatalogConfig) -> Scrubber {
    Scrubber::new(
        config
            .headers
            .values()
            .chain(&config.token)
            .chain(config.oauth2.iter().map(|oauth2| &oauth2.client_secret))
            .cloned(),
    )
}

/// The configured base URI, otherwise that of the service in the region.
fn uri(config: &CatalogConfig, region: &str) -> Result<String> {
    if let Some(uri) = &config.uri {
        return Ok(uri.trim_end_matches('/').to_owned());
    }
    match config.r#type {
        CatalogType::Glue | CatalogType::S3Tables => {
            let service = config.r#type.as_str();
            let path = match config.s3tables_api {
                Some(S3TablesApi::Native) => "",
                Some(S3TablesApi::Rest) | None => "/iceberg",
            };
            Ok(format!("https://{service}.{region}.{}{path}", domain(region)))
        }
        CatalogType::None | CatalogType::Sql | CatalogType::Rest => Err(Error::new(
            ErrorKind::Config,
            "catalog.uri: type rest needs the catalog's base URI",
        )),
    }
}

/// The region in the configuration: from a key, or from the table bucket's ARN.
pub(in crate::catalog) fn region(config: &CatalogConfig) -> Option<String> {
    let configured = config.sigv4.as_ref().and_then(|sigv4| sigv4.region.clone());
    let buckets = || {
        let arn = TableBucketArn::parse(config.warehouse.as_deref()?)?;
        Some(arn.region.to_owned())
    };
    configured.or_else(buckets)
}

async fn region_of_environment(aws: &Aws) -> Result<String> {
    let region = aws.region().await.map(str::to_owned);
    region.ok_or_else(|| {
        Error::new(
            ErrorKind::Config,
            "catalog.sigv4.region: no region is known; set it, or AWS_REGION in the environment, or region in the AWS profile",
        )
    })
}

fn service(config: &CatalogConfig) -> Result<String> {
    let configured = config.sigv4.as_ref().and_then(|sigv4| sigv4.service.clone());
    let implied = || match config.r#type {
        CatalogType::Glue | CatalogType::S3Tables => Some(config.r#type.as_str().to_owned()),
        CatalogType::None | CatalogType::Sql | CatalogType::Rest => None,
    };
    configured.or_else(implied).ok_or_else(|| {
        Error::new(
            ErrorKind::Config,
            "catalog.sigv4.service: type rest needs the service's signing name",
        )
    })
}

/// The token endpoint gets the configured headers only if it is on the catalog's own server: they may hold a
/// key to the catalog, which an identity provider of somebody else must not get.
fn client_credentials(
    config: &CatalogConfig,
    oauth2: &OAuth2Config,
    uri: &str,
    headers: &HeaderMap,
) -> Result<OAuth2> {
    let token_uri = oauth2
        .token_uri
        .clone()
        .unwrap_or_else(|| format!("{}/v1/oauth/tokens", uri.trim_end_matches('/')));
    let url = Url::parse(&token_uri).map_err(|cause| {
        Error::new(ErrorKind::Config, "catalog.oauth2.token_uri: is no URL").because(cause)
    })?;
    let is_the_catalogs = Url::parse(uri).is_ok_and(|catalog| catalog.origin() == url.origin());
    let headers = if is_the_catalogs {
        headers.clone()
    } else {
        HeaderMap::new()
    };
    Ok(OAuth2::new(
        http_client()?,
        url,
        headers,
        oauth2.clone(),
        config.timeout,
        scrubber(config),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn catalog(json: &str) -> CatalogConfig {
        let json = format!(r#"{{"catalog": {json}}}"#);
        Config::from_json(json.as_bytes()).expect("valid").catalog
    }

    #[test]
    fn presets_know_region_service_and_endpoint() {
        for (json, expected) in [
            (
                r#"{"type": "glue", "warehouse": "123456789012", "sigv4": {"region": "us-east-2"}}"#,
                (
                    Some("us-east-2"),
                    "glue",
                    "https://glue.us-east-2.amazonaws.com/iceberg",
                ),
            ),
            (
                r#"{"type": "glue", "warehouse": "1:s3tablescatalog/b", "sigv4": {"region": "cn-north-1"}}"#,
                (
                    Some("cn-north-1"),
                    "glue",
                    "https://glue.cn-north-1.amazonaws.com.cn/iceberg",
                ),
            ),
            (
                r#"{"type": "glue", "warehouse": "1", "sigv4": {"region": "eusc-de-east-1"}}"#,
                (
                    Some("eusc-de-east-1"),
                    "glue",
                    "https://glue.eusc-de-east-1.amazonaws.eu/iceberg",
                ),
            ),
            (
                r#"{"type": "s3tables", "warehouse": "arn:aws:s3tables:eu-west-1:123456789012:bucket/b"}"#,
                (
                    Some("eu-west-1"),
                    "s3tables",
                    "https://s3tables.eu-west-1.amazonaws.com/iceberg",
                ),
            ),
            (
                r#"{"type": "s3tables", "s3tables_api": "native", "warehouse": "arn:aws:s3tables:eu-west-1:123456789012:bucket/b"}"#,
                (
                    Some("eu-west-1"),
                    "s3tables",
                    "https://s3tables.eu-west-1.amazonaws.com",
                ),
            ),
            (
                r#"{"type": "s3tables", "warehouse": "arn:aws-us-gov:s3tables:us-gov-west-1:1:bucket/b", "uri": "https://vpce.x/iceberg/"}"#,
                (Some("us-gov-west-1"), "s3tables", "https://vpce.x/iceberg"),
            ),
            (
                r#"{"type": "rest", "uri": "https://h", "sigv4": {"service": "execute-api"}}"#,
                (None, "execute-api", "https://h"),
            ),
        ] {
            let config = catalog(json);
            let region = region(&config);
            let service = service(&config).expect("known");
            let uri = uri(&config, region.as_deref().unwrap_or_default()).expect("known");
            assert_eq!(
                (region.as_deref(), service.as_str(), uri.as_str()),
                expected,
                "{json}"
            );
        }
    }
}
