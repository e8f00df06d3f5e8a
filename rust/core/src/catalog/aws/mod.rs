//! What the process's AWS environment gives: credentials and a region.
//!
//! Credentials come from AWS's own default provider chain: environment, profile (SSO, assumed roles and
//! processes too), web identity, container, instance. It reaches out through our HTTP client, so there
//! is one TLS stack. Catalog and storage share one [`Aws`], so that a role is assumed once for both.
//! Nothing is looked up before it is needed.

use std::fmt;
use std::future::Future;
use std::time::{Duration, SystemTime};

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::meta::region::ProvideRegion;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use tokio::sync::{Mutex, OnceCell};

use crate::error::{Error, ErrorKind, Result};

mod http;

/// Credentials are replaced this long before they run out.
const MARGIN: Duration = Duration::from_secs(300);
/// Credentials that are about to run out are still used; their source is asked again after this.
const PAUSE: Duration = Duration::from_secs(10);
/// Credentials that never run out are read again after this: tools rotate them in place.
const REREAD: Duration = Duration::from_secs(60);
/// So long the chain is asked. Its parts try for as long together where the network is away, and a program of the user's
/// (`credential_process`) may never end.
const TIMEOUT: Duration = Duration::from_secs(30);
/// What a chain's parts say is repeated up to this many characters.
const CAUSE_CHARS_MAX: usize = 500;

/// The AWS environment of the process, and what it gave last.
#[derive(Debug, Default)]
pub(crate) struct Aws {
    /// A region that the configuration names.
    configured: Option<String>,
    /// The environment's or the profile's.
    region: OnceCell<Option<String>>,
    http: OnceCell<http::ReqwestClient>,
    kept: Mutex<Option<Kept>>,
}

/// Credentials, which print nothing secret, and until when they are used without a question.
#[derive(Debug, Clone)]
struct Kept {
    credentials: Credentials,
    fresh_until: SystemTime,
}

impl Aws {
    /// `region` is where roles are assumed (AWS STS); without one, in the region of the environment.
    pub(crate) fn new(region: Option<String>) -> Self {
        Self {
            configured: region,
            ..Self::default()
        }
    }

    /// `AWS_REGION`, `AWS_DEFAULT_REGION`, else `region` of the profile. No network is used.
    pub(crate) async fn region(&self) -> Option<&str> {
        let find = || async {
            // Set to nothing is not set.
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

    /// Credentials that are good for some minutes as far as is known.
    ///
    /// # Errors
    /// `Catalog`, worth repeating, when no part of the chain has any.
    pub(crate) async fn credentials(&self) -> Result<Credentials> {
        let mut kept = self.kept.lock().await;
        let now = SystemTime::now();
        if let Some(kept) = &*kept
            && now < kept.fresh_until
        {
            return Ok(kept.credentials.clone());
        }
        let fetched = self.fetch().await;
        renewed(&mut kept, fetched)
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
        let http = self
            .http
            .get_or_try_init(|| async { http::ReqwestClient::new() })
            .await?;
        let region = match &self.configured {
            Some(region) => Some(region.as_str()),
            None => self.region().await,
        };
        let config = ProviderConfig::without_region()
            .with_region(region.map(|region| Region::new(region.to_owned())))
            .with_behavior_version(Some(BehaviorVersion::latest()))
            .with_http_client(http.clone());
        let asked = async {
            // Anew each time: a chain reads the files of profiles once, and tools rotate them in place.
            let chain = DefaultCredentialsChain::builder().configure(config).build().await;
            chain.provide_credentials().await
        };
        let credentials = in_time(TIMEOUT, asked).await?.map_err(|cause| {
            let message = match cause {
                CredentialsError::CredentialsNotLoaded(_) => "no AWS credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give this machine a role",
                _ => "the AWS profile or role that the environment names gives no credentials; correct it, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            };
            Error::new(ErrorKind::Catalog, message).because(ChainError(cause))
        })?;
        let now = SystemTime::now();
        let fresh_until = match credentials.expiry() {
            None => now + REREAD,
            Some(expiry) => expiry
                .checked_sub(MARGIN)
                .unwrap_or(SystemTime::UNIX_EPOCH)
                .max(now + PAUSE),
        };
        Ok(Kept {
            credentials,
            fresh_until,
        })
    }
}

/// Everybody who needs credentials waits for the one who asks for them.
async fn in_time<F: Future>(limit: Duration, asked: F) -> Result<F::Output> {
    tokio::time::timeout(limit, asked).await.map_err(|_| {
        let message = format!(
            "the sources of AWS credentials did not answer within {} s; look at credential_process of the profile, and at \
             the network to AWS STS, SSO or the metadata service, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            limit.as_secs()
        );
        Error::new(ErrorKind::Catalog, message)
    })
}

/// What was fetched. If that failed, what is at hand, until it runs out.
fn renewed(kept: &mut Option<Kept>, fetched: Result<Kept>) -> Result<Credentials> {
    let error = match fetched {
        Ok(new) => return Ok(kept.insert(new).credentials.clone()),
        Err(error) => error,
    };
    let now = SystemTime::now();
    match kept {
        // Better than none until the last moment. Whoever asks meanwhile would have all others wait again.
        Some(old) if old.credentials.expiry().is_some_and(|expiry| now < expiry) => {
            tracing::warn!(%error, "cannot renew AWS credentials; those at hand are still good");
            old.fresh_until = now + PAUSE;
            Ok(old.credentials.clone())
        }
        _ => Err(error),
    }
}

/// What each part of the chain says, which has a line for each, on one line.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(expiry: Option<SystemTime>) -> Kept {
        let credentials = Credentials::new("AKIDOLD", "hush", None, expiry, "test");
        Kept {
            credentials,
            fresh_until: SystemTime::UNIX_EPOCH,
        }
    }

    #[tokio::test]
    async fn a_source_that_never_answers_is_an_error_that_says_where_to_look() {
        let limit = Duration::from_millis(10);
        let error = in_time(limit, std::future::pending::<()>())
            .await
            .expect_err("no answer");
        assert!(
            matches!(error.retry_class(), crate::error::RetryClass::Retry { .. }),
            "{error:?}"
        );
        for part in [
            "credential_process",
            "STS",
            "metadata service",
            "AWS_ACCESS_KEY_ID",
        ] {
            assert!(error.to_string().contains(part), "{part} in {error}");
        }
    }

    #[tokio::test]
    async fn credentials_that_are_good_yet_are_used_while_their_source_hangs_and_it_is_left_alone_for_a_while()
     {
        let silent = || in_time(Duration::from_millis(1), std::future::pending::<Kept>());
        let now = SystemTime::now();
        let mut at_hand = Some(kept(Some(now + Duration::from_secs(60))));
        let credentials = renewed(&mut at_hand, silent().await).expect("good yet");
        assert_eq!(credentials.access_key_id(), "AKIDOLD");
        let fresh_until = at_hand.expect("kept").fresh_until;
        assert!(fresh_until >= now + PAUSE && fresh_until < now + 2 * PAUSE);
        for gone in [None, Some(kept(Some(now))), Some(kept(None))] {
            let mut at_hand = gone;
            renewed(&mut at_hand, silent().await).expect_err("none that are known to be good");
        }
    }
}
