//! The process's AWS environment: credentials and a region.
//!
//! Credentials come from AWS's own default provider chain: environment, profile (including SSO, assumed roles
//! and processes), web identity, container, instance. The chain uses our HTTP client, so there is one TLS
//! stack. Catalog and storage share one [`Aws`], so that a role is assumed once for both. Nothing is looked
//! up before it is needed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::meta::region::ProvideRegion;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use tokio::sync::OnceCell;

use self::renewal::{Kept, Now, Renewal};
use crate::error::{Error, ErrorKind, Result};

mod hosts;
mod http;
mod renewal;

pub(crate) use hosts::{Hosts, domain, is_s3_host};

/// Credentials are renewed this long before they expire.
const MARGIN: Duration = Duration::from_secs(300);
/// The pause before a source is asked again after it failed, or after it returned only credentials that S3
/// refuses.
pub(crate) const PAUSE: Duration = Duration::from_secs(10);
/// The interval at which credentials without an expiry are read again, because tools rotate them in place.
const REREAD: Duration = Duration::from_secs(60);
/// The maximum time that credentials are used without asking again, whatever their expiry: no role session
/// lasts longer.
const LASTS_MAX: Duration = Duration::from_secs(12 * 3600);
/// The maximum length of an error text from the chain, in characters.
const CAUSE_CHARS_MAX: usize = 500;

/// The AWS environment of the process, with its last credentials.
#[derive(Debug, Default)]
pub(crate) struct Aws {
    /// The region in the configuration.
    configured: Option<String>,
    /// The region of the environment or the profile.
    region: OnceCell<Option<String>>,
    http: OnceCell<http::ReqwestClient>,
    renewal: Renewal,
}

impl Aws {
    /// `region` is where roles are assumed (AWS STS). If it is `None`, the region of the environment is used.
    pub(crate) fn new(region: Option<String>) -> Self {
        Self {
            configured: region,
            ..Self::default()
        }
    }

    /// `AWS_REGION`, `AWS_DEFAULT_REGION`, otherwise `region` of the profile. No network is used.
    pub(crate) async fn region(&self) -> Option<&str> {
        let find = || async {
            // An empty variable counts as not set.
            let environment = ["AWS_REGION", "AWS_DEFAULT_REGION"]
                .into_iter()
                .filter_map(|name| std::env::var(name).ok())
                .find(|region| !region.is_empty());
            if environment.is_some() {
                return environment;
            }
            let profile = ProfileFileRegionProvider::builder().build();
            profile.region().await.map(|region| region.to_string())
        };
        self.region.get_or_init(find).await.as_deref()
    }

    /// Credentials that are valid for some minutes, as far as is known.
    ///
    /// # Errors
    /// `Catalog`, retryable, when no part of the chain has credentials.
    pub(crate) async fn credentials(self: &Arc<Self>) -> Result<Credentials> {
        self.renewal.credentials(|| Arc::clone(self).fetch()).await
    }

    /// Whether the chain has other credentials than these. Asks it again, unless it answered within `pause`.
    pub(crate) async fn has_other_than(self: &Arc<Self>, used: &Credentials, pause: Duration) -> bool {
        let fetch = || Arc::clone(self).fetch();
        self.renewal.has_other_than(used, pause, fetch).await
    }

    async fn fetch(self: Arc<Self>) -> Result<Kept> {
        let http = self
            .http
            .get_or_try_init(|| async { http::ReqwestClient::new() })
            .await?;
        let region = match &self.configured {
            Some(region) => Some(region.as_str()),
            None => self.region().await,
        };
        let region = region.map(|region| Region::new(region.to_owned()));
        let hosts = Hosts::new(&|name| std::env::var(name).ok());
        let config = ProviderConfig::without_region()
            .with_use_fips(Some(hosts.fips))
            .with_use_dual_stack(Some(hosts.dual_stack))
            .with_behavior_version(Some(BehaviorVersion::latest()))
            .with_http_client(http.clone());
        // A new chain each time: a chain reads the profile files only once, and tools rotate them in place.
        // Also without a region: of its own accord, a chain asks the machine's metadata service for one before
        // anything else, which takes seconds where there is no such service.
        let chain = DefaultCredentialsChain::builder()
            .configure(config)
            .region(region)
            .build()
            .await;
        let credentials = chain.provide_credentials().await.map_err(|cause| {
            let message = match cause {
                CredentialsError::CredentialsNotLoaded(_) => "no AWS credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give this machine a role",
                _ => "the AWS profile, role or metadata service that was asked gives no credentials; correct it, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            };
            Error::new(ErrorKind::Catalog, message).because(ChainError(cause))
        })?;
        Ok(Kept::new(credentials, Now::read()))
    }
}

/// The chain's error, which has a line for each provider, on one line.
#[derive(Debug)]
struct ChainError(CredentialsError);

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        let mut cause: Option<&dyn std::error::Error> = Some(&self.0);
        while let Some(error) = cause {
            let said = error.to_string();
            let lines: Vec<&str> = said
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty())
                .collect();
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&lines.join(", "));
            cause = error.source();
        }
        match text.char_indices().nth(CAUSE_CHARS_MAX) {
            Some((end, _)) => write!(f, "{}...", text.get(..end).unwrap_or_default()),
            None => f.write_str(&text),
        }
    }
}

/// `Display` prints the whole error chain, so there is no `source`.
impl std::error::Error for ChainError {}
