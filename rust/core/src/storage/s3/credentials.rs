//! Credential providers for `object_store`: the given credentials, otherwise the AWS provider chain.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use object_store::aws::{AwsCredential, AwsCredentialProvider};
use object_store::{CredentialProvider, Result, StaticCredentialProvider};

use super::failure::Answers;
use crate::aws::Aws;
use crate::config::header_can_carry;
use crate::error::{Error, ErrorKind};

/// The credentials of the configuration or the catalog, otherwise the chain, which is first asked for the
/// first request.
pub(super) fn provider(given: Option<AwsCredential>, aws: &Arc<Aws>) -> AwsCredentialProvider {
    match given {
        Some(credential) => Arc::new(StaticCredentialProvider::new(credential)),
        None => Arc::new(Chain(Arc::clone(aws))),
    }
}

/// The chain keeps credentials while they are valid, and renews them.
#[derive(Debug)]
struct Chain(Arc<Aws>);

#[async_trait]
impl CredentialProvider for Chain {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> Result<Arc<AwsCredential>> {
        let credentials = self.0.credentials().await.map_err(none)?;
        let credential = AwsCredential {
            key_id: credentials.access_key_id().to_owned(),
            secret_key: credentials.secret_access_key().to_owned(),
            token: credentials.session_token().map(str::to_owned),
        };
        if !can_be_sent(&credential) {
            let message = "the AWS access key or session token of the environment holds characters that no header can \
                           carry, such as a line break at its end";
            return Err(none(Error::new(ErrorKind::Storage, message)));
        }
        Answers::note_credentials(&credentials);
        Ok(Arc::new(credential))
    }
}

fn none(cause: Error) -> object_store::Error {
    object_store::Error::Generic {
        store: "S3",
        source: Box::new(NoCredentials(cause)),
    }
}

/// Whether headers can carry the credentials. `object_store` assumes that they can.
pub(super) fn can_be_sent(credential: &AwsCredential) -> bool {
    header_can_carry(&credential.key_id) && credential.token.as_deref().is_none_or(header_can_carry)
}

/// Why there are no credentials, and where else they can be set.
#[derive(Debug)]
pub(super) struct NoCredentials(Error);

impl fmt::Display for NoCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}; or set storage.s3.access_key_id and storage.s3.secret_access_key",
            self.0.message()
        )?;
        match std::error::Error::source(&self.0) {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

/// `Display` prints the cause, so there is no `source`.
impl std::error::Error for NoCredentials {}
