//! AWS credentials from the default provider chain: environment, profile (SSO, assumed roles and
//! processes too), web identity, container, instance.
//!
//! The chain is AWS's own; it reaches out through our HTTP client, so there is one TLS stack. Nothing
//! is looked up before credentials are needed.

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use tokio::sync::Mutex;

use crate::error::{Error, ErrorKind, Result};

mod http;

/// Credentials are replaced this long before they run out.
const MARGIN: Duration = Duration::from_secs(300);
/// Credentials that are about to run out are still used; their source is asked again after this.
const PAUSE: Duration = Duration::from_secs(10);

/// The chain, and the credentials that it gave last.
#[derive(Debug)]
pub(crate) struct AwsCredentials {
    region: String,
    http: http::ReqwestClient,
    kept: Mutex<Option<Kept>>,
}

/// Credentials, which print nothing secret, and until when they are used without a question.
#[derive(Debug, Clone)]
struct Kept {
    credentials: Credentials,
    fresh_until: Option<SystemTime>,
}

impl AwsCredentials {
    /// `region` is where roles are assumed (AWS STS).
    ///
    /// # Errors
    /// `Config` when HTTPS cannot be set up.
    pub(crate) fn new(region: impl Into<String>) -> Result<Self> {
        Ok(Self {
            region: region.into(),
            http: http::ReqwestClient::new()?,
            kept: Mutex::default(),
        })
    }

    /// Credentials that are good for some minutes as far as is known.
    ///
    /// # Errors
    /// `Catalog`, worth repeating, when no part of the chain has any.
    pub(crate) async fn get(&self) -> Result<Credentials> {
        let mut kept = self.kept.lock().await;
        let now = SystemTime::now();
        if let Some(kept) = &*kept
            && kept.fresh_until.is_none_or(|until| now < until)
        {
            return Ok(kept.credentials.clone());
        }
        match self.fetch().await {
            Ok(new) => Ok(kept.insert(new).credentials.clone()),
            Err(error) => match &*kept {
                // Better than none until the last moment.
                Some(old) if old.credentials.expiry().is_some_and(|expiry| now < expiry) => {
                    tracing::warn!(%error, "cannot renew AWS credentials; those at hand are still good");
                    Ok(old.credentials.clone())
                }
                _ => Err(error),
            },
        }
    }

    /// Asks the chain again; whether it has other credentials than these.
    pub(crate) async fn has_other_than(&self, used: &Credentials) -> bool {
        let mut kept = self.kept.lock().await;
        let differs = |other: &Credentials| {
            other.access_key_id() != used.access_key_id()
                || other.secret_access_key() != used.secret_access_key()
                || other.session_token() != used.session_token()
        };
        if kept.as_ref().is_some_and(|kept| differs(&kept.credentials)) {
            return true;
        }
        match self.fetch().await {
            Ok(new) => differs(&kept.insert(new).credentials),
            Err(_) => false,
        }
    }

    async fn fetch(&self) -> Result<Kept> {
        let config = ProviderConfig::without_region()
            .with_region(Some(Region::new(self.region.clone())))
            .with_behavior_version(Some(BehaviorVersion::latest()))
            .with_http_client(self.http.clone());
        // Anew each time: a chain reads the files of profiles once, and tools rotate them in place.
        let chain = DefaultCredentialsChain::builder().configure(config).build().await;
        let credentials = chain.provide_credentials().await.map_err(|cause| {
            let message = "no AWS credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give this machine a role";
            Error::new(ErrorKind::Catalog, message).because(ChainError(cause))
        })?;
        let now = SystemTime::now();
        let fresh_until = credentials.expiry().map(|expiry| {
            let renew = expiry.checked_sub(MARGIN).unwrap_or(SystemTime::UNIX_EPOCH);
            renew.max(now + PAUSE)
        });
        Ok(Kept {
            credentials,
            fresh_until,
        })
    }
}

/// What each part of the chain says, which has a line for each, on one line.
#[derive(Debug)]
struct ChainError(CredentialsError);

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cause: Option<&dyn std::error::Error> = Some(&self.0);
        let mut separator = "";
        while let Some(error) = cause {
            f.write_str(separator)?;
            let text = error.to_string();
            for (number, line) in text
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty())
                .enumerate()
            {
                write!(f, "{}{line}", if number == 0 { "" } else { ", " })?;
            }
            separator = ": ";
            cause = error.source();
        }
        Ok(())
    }
}

/// Prints the whole chain by itself, so it names no source.
impl std::error::Error for ChainError {}

/// The domain of AWS's endpoints in a region.
pub(crate) fn domain(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    }
}
