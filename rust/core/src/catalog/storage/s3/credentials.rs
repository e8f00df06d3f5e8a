//! The AWS provider chain: environment, profile, then a role (web identity, container, instance).

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential, AwsCredentialProvider};
use object_store::{
    BackoffConfig, CredentialProvider, Result, RetryConfig, StaticCredentialProvider,
};

use super::profile::Profile;
use super::settings::{Environment, domain, process_environment};

/// How long a profile's keys are used before the files are read again; tools rotate them in place.
const PROFILE_TTL: Duration = Duration::from_mins(1);

/// How long a role's credentials are asked for before a call fails for want of them.
const ROLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Characters of a role's failure that are shown at most.
const CAUSE_CHARACTERS_MAX: usize = 300;

/// The credential that the configuration or the catalog gave, else the chain.
pub(super) fn provider(
    given: Option<AwsCredential>,
    region: &str,
    environment: Environment<'_>,
) -> Result<AwsCredentialProvider> {
    if let Some(credential) = given.or_else(|| environment_credential(environment)) {
        return Ok(Arc::new(StaticCredentialProvider::new(credential)));
    }
    Ok(Arc::new(ProfileThenRole {
        role: role(region, environment)?,
        profile: Mutex::default(),
        environment: process_environment,
    }))
}

fn environment_credential(environment: Environment<'_>) -> Option<AwsCredential> {
    Some(AwsCredential {
        key_id: environment("AWS_ACCESS_KEY_ID")?,
        secret_key: environment("AWS_SECRET_ACCESS_KEY")?,
        token: environment("AWS_SESSION_TOKEN"),
    })
}

/// Where a role's credentials come from; refreshed before they expire.
struct Role {
    provider: AwsCredentialProvider,
    /// The variable that names the role. Without one the machine is asked, which may have none.
    variable: Option<&'static str>,
}

/// `None` when nothing names a role and the instance's metadata service is turned off.
fn role(region: &str, environment: Environment<'_>) -> Result<Option<Role>> {
    use AmazonS3ConfigKey::{
        ContainerAuthorizationTokenFile, ContainerCredentialsFullUri,
        ContainerCredentialsRelativeUri, MetadataEndpoint, RoleArn, RoleSessionName,
        WebIdentityTokenFile,
    };
    let keys = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", WebIdentityTokenFile),
        ("AWS_ROLE_ARN", RoleArn),
        ("AWS_ROLE_SESSION_NAME", RoleSessionName),
        (
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            ContainerCredentialsRelativeUri,
        ),
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            ContainerCredentialsFullUri,
        ),
        (
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            ContainerAuthorizationTokenFile,
        ),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", MetadataEndpoint),
    ];
    // A builder of stores is the only public way to these providers; the store itself is not used.
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name("unused")
        .with_region(region)
        .with_config(
            AmazonS3ConfigKey::StsEndpoint,
            format!("https://sts.{region}.{}", domain(region)),
        )
        .with_retry(RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: 3,
            retry_timeout: Duration::from_secs(5),
        });
    let mut names = None;
    for (variable, key) in keys {
        if let Some(value) = environment(variable) {
            if !matches!(key, RoleSessionName | MetadataEndpoint) {
                names = names.or(Some(variable));
            }
            builder = builder.with_config(key, value);
        }
    }
    let metadata_disabled = environment("AWS_EC2_METADATA_DISABLED")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if metadata_disabled && names.is_none() {
        return Ok(None);
    }
    Ok(Some(Role {
        provider: Arc::clone(builder.build()?.credentials()),
        variable: names,
    }))
}

/// Keys in a profile if there are any, else a role's.
struct ProfileThenRole {
    role: Option<Role>,
    /// The profile's keys and when they were read.
    profile: Mutex<Option<(Instant, Arc<AwsCredential>)>>,
    /// Says which profile, in which files.
    environment: fn(&str) -> Option<String>,
}

impl fmt::Debug for ProfileThenRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProfileThenRole").finish_non_exhaustive()
    }
}

#[async_trait]
impl CredentialProvider for ProfileThenRole {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> Result<Arc<AwsCredential>> {
        let unsupported = match self.profile_credential() {
            Ok(Some(credential)) => return Ok(credential),
            Ok(None) => None,
            Err(unsupported) => Some(unsupported),
        };
        let Some(role) = &self.role else {
            return Err(unsupported.unwrap_or(NoCredentials::NotFound).into());
        };
        let asked = tokio::time::timeout(ROLE_TIMEOUT, role.provider.get_credential()).await;
        let cause = match asked {
            Ok(Ok(credential)) => return Ok(credential),
            Ok(Err(cause)) => one_line(&cause),
            Err(_) => "it did not answer in time".to_owned(),
        };
        Err(match (unsupported, role.variable) {
            (Some(unsupported), _) => unsupported,
            (None, Some(variable)) => NoCredentials::Role { variable, cause },
            (None, None) => NoCredentials::NotFound,
        }
        .into())
    }
}

impl ProfileThenRole {
    /// The profile's keys, `None` if it has none, an error if it says to fetch them in a way that
    /// we cannot.
    fn profile_credential(&self) -> Result<Option<Arc<AwsCredential>>, NoCredentials> {
        let mut kept = self.profile.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((read, credential)) = &*kept
            && read.elapsed() < PROFILE_TTL
        {
            return Ok(Some(Arc::clone(credential)));
        }
        *kept = None;
        let Some(profile) = Profile::read(&self.environment) else {
            return Ok(None);
        };
        if let Some(setting) = profile.unsupported {
            return Err(NoCredentials::Unsupported {
                profile: profile.name,
                setting,
            });
        }
        Ok(profile.credential.map(|credential| {
            let credential = Arc::new(credential);
            *kept = Some((Instant::now(), Arc::clone(&credential)));
            credential
        }))
    }
}

/// Why there are no credentials.
#[derive(Debug)]
pub(super) enum NoCredentials {
    /// Nothing of the chain has any.
    NotFound,
    /// A role that the environment names gave none.
    Role {
        variable: &'static str,
        cause: String,
    },
    /// A profile whose credentials are fetched in a way that is not built in.
    Unsupported {
        profile: String,
        setting: &'static str,
    },
}

impl fmt::Display for NoCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoCredentials::NotFound => f.write_str(
                "no AWS credentials were found: set storage.s3.access_key_id and storage.s3.secret_access_key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give this machine a role",
            ),
            NoCredentials::Role { variable, cause } => write!(
                f,
                "the role that {variable} names gave no credentials, correct it or set storage.s3.access_key_id and storage.s3.secret_access_key: {cause}"
            ),
            NoCredentials::Unsupported { profile, setting } => write!(
                f,
                "the AWS profile {profile:?} uses {setting}, which is not supported: export its keys as AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or set storage.s3.access_key_id and storage.s3.secret_access_key"
            ),
        }
    }
}

impl std::error::Error for NoCredentials {}

impl From<NoCredentials> for object_store::Error {
    fn from(cause: NoCredentials) -> Self {
        object_store::Error::Generic {
            store: "S3",
            source: Box::new(cause),
        }
    }
}

/// The innermost cause, which the layers above it repeat, cut to a length for a log.
fn one_line(error: &object_store::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let text = innermost.to_string();
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(CAUSE_CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests;
