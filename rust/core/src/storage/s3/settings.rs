//! Settings for S3: from the configuration, then the catalog, then the environment.

use std::collections::HashMap;

use object_store::aws::AwsCredential;

use super::credentials::can_be_sent;
use super::encryption::Encryption;
use crate::aws::{Hosts, is_s3_host};
use crate::config::S3Config;
use crate::error::{Error, ErrorKind, Result};

/// Reads an environment variable. An empty one counts as not set. It is a parameter so that tests need not
/// change the process.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The environment of this process.
pub(super) fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The default region for a custom endpoint. Most such services have no regions.
const REGION_DEFAULT: &str = "us-east-1";

/// The source of the credentials, which is where they can be fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// `storage.s3` of the configuration.
    Config,
    /// The catalog, with the table.
    Catalog,
    /// The AWS provider chain.
    Chain,
}

/// The endpoint, addressing and credentials for buckets.
pub(super) struct Settings {
    /// `None` uses the region of the AWS environment.
    pub(super) region: Option<String>,
    /// Base URL without a trailing slash. `None` for AWS.
    pub(super) endpoint: Option<String>,
    /// Those of AWS to use without an endpoint.
    hosts: Hosts,
    pub(super) path_style: Option<bool>,
    /// `None` uses the provider chain.
    pub(super) credential: Option<AwsCredential>,
    pub(super) origin: Origin,
    /// What the catalog asks for.
    pub(super) encryption: Option<Encryption>,
}

impl Settings {
    /// Merges the sources key by key. Credentials are merged only as a whole, because the keys of one source
    /// do not fit the token of another.
    ///
    /// # Errors
    /// `Config` when the catalog's properties are invalid.
    pub(super) fn new(
        config: &S3Config,
        catalog: &HashMap<String, String>,
        environment: Environment<'_>,
    ) -> Result<Self> {
        let property = |key: &str| catalog.get(key).filter(|value| !value.is_empty()).cloned();
        let region = config
            .region
            .clone()
            .or_else(|| property("s3.region"))
            .or_else(|| property("client.region"));
        let endpoint = config
            .endpoint
            .clone()
            .or_else(|| property("s3.endpoint"))
            .or_else(|| environment("AWS_ENDPOINT_URL_S3"))
            .or_else(|| environment("AWS_ENDPOINT_URL"))
            .map(|endpoint| endpoint.trim_end_matches('/').to_owned());
        let path_style = match config.path_style {
            Some(path_style) => Some(path_style),
            None => property("s3.path-style-access")
                .map(|value| boolean("s3.path-style-access", &value))
                .transpose()?,
        };
        let (credential, origin) = match (configured(config), vended(&property)?) {
            (Some(credential), _) => (Some(credential), Origin::Config),
            (None, Some(credential)) => (Some(credential), Origin::Catalog),
            (None, None) => (None, Origin::Chain),
        };
        Ok(Self {
            region,
            endpoint,
            hosts: Hosts::new(environment),
            path_style,
            credential,
            origin,
            encryption: Encryption::new(&property)?,
        })
    }

    /// The region of requests, given that of the AWS environment. On AWS, a missing region is an error.
    pub(super) fn region<'a>(&'a self, of_environment: Option<&'a str>) -> Result<&'a str, NoRegion> {
        let default = self.endpoint.is_some().then_some(REGION_DEFAULT);
        let region = self.region.as_deref().or(of_environment).or(default);
        region.ok_or(NoRegion)
    }

    /// Whether buckets are on AWS. Its own endpoints, such as those of a VPC, count.
    pub(super) fn is_aws(&self) -> bool {
        self.endpoint.as_deref().is_none_or(is_s3_host)
    }

    /// The URL of a bucket in a region, and whether its host name contains the bucket's name.
    pub(super) fn bucket_url(&self, bucket: &str, region: &str) -> (String, bool) {
        // The certificate *.s3.<region> does not cover a host name with a dot in the bucket's name.
        let in_path = self
            .path_style
            .unwrap_or(self.endpoint.is_some() || bucket.contains('.'));
        let endpoint = match &self.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => format!("https://{}", self.hosts.s3(region)),
        };
        match endpoint.split_once("://") {
            Some((scheme, host)) if !in_path => (format!("{scheme}://{bucket}.{host}"), true),
            _ => (endpoint, false),
        }
    }
}

/// No region is set for a bucket on AWS.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoRegion;

impl std::fmt::Display for NoRegion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no region is known; set storage.s3.region, or AWS_REGION in the environment, or region in the AWS profile")
    }
}

fn configured(config: &S3Config) -> Option<AwsCredential> {
    Some(AwsCredential {
        key_id: config.access_key_id.clone()?,
        secret_key: config.secret_access_key.as_ref()?.expose().to_owned(),
        token: config
            .session_token
            .as_ref()
            .map(|token| token.expose().to_owned()),
    })
}

fn vended(property: &dyn Fn(&str) -> Option<String>) -> Result<Option<AwsCredential>> {
    match (property("s3.access-key-id"), property("s3.secret-access-key")) {
        (Some(key_id), Some(secret_key)) => {
            let credential = AwsCredential {
                key_id,
                secret_key,
                token: property("s3.session-token"),
            };
            if !can_be_sent(&credential) {
                return Err(Error::new(
                    ErrorKind::Config,
                    "the catalog's s3.access-key-id or s3.session-token holds characters that no header can carry; fix the catalog, or set storage.s3.access_key_id and storage.s3.secret_access_key",
                ));
            }
            Ok(Some(credential))
        }
        (None, None) => Ok(None),
        _ => Err(Error::new(
            ErrorKind::Config,
            "the catalog gave one of s3.access-key-id and s3.secret-access-key without the other; fix the catalog, or set storage.s3.access_key_id and storage.s3.secret_access_key",
        )),
    }
}

fn boolean(key: &str, value: &str) -> Result<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Error::new(
            ErrorKind::Config,
            format!(
                "the catalog's {key} is {value:?}, neither true nor false; fix the catalog, or set storage.s3.path_style"
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn properties(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn config() -> S3Config {
        S3Config {
            region: Some("eu-west-1".into()),
            endpoint: Some("http://config:1/".into()),
            path_style: Some(false),
            access_key_id: Some("config".into()),
            secret_access_key: Some(Secret::new("config-secret")),
            ..S3Config::default()
        }
    }

    #[test]
    fn configuration_goes_before_catalog_before_environment() {
        let catalog = properties(&[
            ("s3.region", "eu-west-2"),
            ("s3.endpoint", "http://catalog:2"),
            ("s3.path-style-access", "true"),
            ("s3.access-key-id", "catalog"),
            ("s3.secret-access-key", "catalog-secret"),
            ("s3.session-token", "catalog-token"),
        ]);
        let environment =
            |name: &str| (name == "AWS_ENDPOINT_URL_S3").then(|| "http://environment:3".to_owned());

        let settings = Settings::new(&config(), &catalog, &environment).expect("valid");
        assert_eq!(settings.region(Some("eu-west-3")), Ok("eu-west-1"));
        assert_eq!(settings.endpoint.as_deref(), Some("http://config:1"));
        assert_eq!(settings.path_style, Some(false));
        assert_eq!(settings.origin, Origin::Config);
        let credential = settings.credential.expect("configured");
        assert_eq!(credential.key_id, "config");
        // The catalog's token belongs to the catalog's keys.
        assert_eq!(credential.token, None);

        let settings = Settings::new(&S3Config::default(), &catalog, &environment).expect("valid");
        assert_eq!(settings.region(Some("eu-west-3")), Ok("eu-west-2"));
        assert_eq!(settings.endpoint.as_deref(), Some("http://catalog:2"));
        assert_eq!(settings.path_style, Some(true));
        assert_eq!(settings.origin, Origin::Catalog);
        assert_eq!(
            settings.credential.and_then(|vended| vended.token).as_deref(),
            Some("catalog-token")
        );

        let settings = Settings::new(&S3Config::default(), &HashMap::new(), &environment).expect("valid");
        assert_eq!(settings.region(Some("eu-west-3")), Ok("eu-west-3"));
        assert_eq!(settings.endpoint.as_deref(), Some("http://environment:3"));
        assert_eq!(settings.path_style, None);
        assert_eq!(settings.origin, Origin::Chain);
        assert!(settings.credential.is_none());
    }

    #[test]
    fn bucket_url_is_the_one_that_the_service_expects() {
        let nothing = |_: &str| None;
        for (region, endpoint, path_style, bucket, url) in [
            (
                "eu-west-1",
                None,
                None,
                "logs",
                "https://logs.s3.eu-west-1.amazonaws.com",
            ),
            (
                "cn-north-1",
                None,
                None,
                "logs",
                "https://logs.s3.cn-north-1.amazonaws.com.cn",
            ),
            (
                "eusc-de-east-1",
                None,
                None,
                "logs",
                "https://logs.s3.eusc-de-east-1.amazonaws.eu",
            ),
            (
                "eu-west-1",
                None,
                None,
                "a.logs",
                "https://s3.eu-west-1.amazonaws.com",
            ),
            (
                "eu-west-1",
                Some("http://minio:9000/"),
                None,
                "logs",
                "http://minio:9000",
            ),
            (
                "eu-west-1",
                Some("https://s3.example"),
                Some(false),
                "logs",
                "https://logs.s3.example",
            ),
        ] {
            let config = S3Config {
                region: Some(region.into()),
                endpoint: endpoint.map(str::to_owned),
                path_style,
                ..S3Config::default()
            };
            let settings = Settings::new(&config, &HashMap::new(), &nothing).expect("valid");
            let region = settings.region(None).expect("known");
            assert_eq!(settings.bucket_url(bucket, region).0, url);
        }

        for (fips, dual_stack, host) in [
            ("true", "", "s3-fips.us-east-1.amazonaws.com"),
            ("False", "true", "s3.dualstack.us-east-1.amazonaws.com"),
            ("TRUE", "True", "s3-fips.dualstack.us-east-1.amazonaws.com"),
        ] {
            let environment = |name: &str| match name {
                "AWS_USE_FIPS_ENDPOINT" => Some(fips.to_owned()),
                "AWS_USE_DUALSTACK_ENDPOINT" => Some(dual_stack.to_owned()),
                _ => None,
            };
            let settings = Settings::new(&S3Config::default(), &HashMap::new(), &environment).expect("valid");
            let (url, host_has_bucket) = settings.bucket_url("logs", "us-east-1");
            assert_eq!((url, host_has_bucket), (format!("https://logs.{host}"), true));
        }
    }

    #[test]
    fn aws_is_known_by_its_endpoints() {
        let vpc = "https://bucket.vpce-1a-2b.s3.eu-west-1.vpce.amazonaws.com";
        for (endpoint, expected) in [
            (None, true),
            (Some(vpc), true),
            (Some("https://storage.googleapis.com"), false),
            (Some("http://minio:9000"), false),
        ] {
            let config = S3Config {
                endpoint: endpoint.map(str::to_owned),
                ..S3Config::default()
            };
            let settings = Settings::new(&config, &HashMap::new(), &|_| None).expect("valid");
            assert_eq!(settings.is_aws(), expected, "{endpoint:?}");
        }
    }

    #[test]
    fn a_region_that_nobody_names_is_an_error_on_aws_alone() {
        let nothing = |_: &str| None;
        let mut config = S3Config::default();
        let settings = Settings::new(&config, &HashMap::new(), &nothing).expect("valid");
        let error = settings.region(None).expect_err("unknown").to_string();
        assert!(error.contains("storage.s3.region"), "{error}");
        config.endpoint = Some("http://minio:9000".into());
        let settings = Settings::new(&config, &HashMap::new(), &nothing).expect("valid");
        assert_eq!(settings.region(None), Ok("us-east-1"));
    }

    #[test]
    fn half_of_a_key_pair_is_refused() {
        let catalog = properties(&[("s3.access-key-id", "catalog")]);
        let error = Settings::new(&S3Config::default(), &catalog, &|_| None)
            .err()
            .expect("refused");
        assert!(error.to_string().contains("s3.secret-access-key"), "{error}");
    }

    #[test]
    fn keys_that_no_header_can_carry_are_refused() {
        for (key_id, token) in [("a\n", "t"), ("a", "t\r\n")] {
            let catalog = properties(&[
                ("s3.access-key-id", key_id),
                ("s3.secret-access-key", "hush"),
                ("s3.session-token", token),
            ]);
            let error = Settings::new(&S3Config::default(), &catalog, &|_| None)
                .err()
                .expect("refused");
            assert!(error.to_string().contains("no header"), "{error}");
            assert!(!error.to_string().contains("hush"), "{error}");
        }
    }
}
