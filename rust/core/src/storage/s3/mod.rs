//! Files on S3 for Iceberg's `FileIO`.
//!
//! `object_store` implements the protocol: signing, retries with jitter, multipart uploads. This module adds
//! settings, timeouts, the guarantee that a file is complete or absent, and errors with advice.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use iceberg::io::{FileIO, FileIOBuilder};
use iceberg::{Error, ErrorKind, Result};
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsCredentialProvider, Checksum};
use object_store::path::Path;
use object_store::{BackoffConfig, RetryConfig};

use self::client::WatchedConnector;
use self::failure::{Answers, failed};
pub use self::objects::{Content, End, NO_VERSION, ObjectVersion, Objects};
use self::settings::{Origin, Settings, process_environment};
use self::storage::S3StorageFactory;
use self::upload::WrongLength;
use crate::aws::{Aws, PAUSE};
use crate::config::{RequestTimes, S3Config, UploadSizes, is_bucket_name, on_s3};

mod client;
mod credentials;
mod deletion;
mod encryption;
mod extended_reads;
mod failure;
mod objects;
mod settings;
mod storage;
mod upload;
mod writer;
mod xml_bounds;

/// No retries after this time. Then the host's own queue waits and retries.
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(5);

pub(crate) use failure::credentials_refused;

/// A `FileIO` over S3.
///
/// # Errors
/// `Config` when the catalog's properties do not make sense.
pub(super) fn s3_file_io(
    catalog_properties: &HashMap<String, String>,
    config: &S3Config,
    aws: &Arc<Aws>,
) -> crate::error::Result<FileIO> {
    let connection = connection(catalog_properties, config, aws)?;
    let factory = S3StorageFactory::new(Arc::new(connection));
    Ok(FileIOBuilder::new(Arc::new(factory)).build())
}

fn connection(
    catalog_properties: &HashMap<String, String>,
    config: &S3Config,
    aws: &Arc<Aws>,
) -> crate::error::Result<Connection> {
    let mut settings = Settings::new(config, catalog_properties, &process_environment)?;
    let credentials = credentials::provider(settings.credential.take(), aws);
    Ok(Connection {
        settings,
        credentials,
        aws: Arc::clone(aws),
        sizes: config.uploads,
        times: config.times,
        buckets: Mutex::default(),
    })
}

/// Settings, credentials and clients of the buckets that have been used so far.
struct Connection {
    settings: Settings,
    credentials: AwsCredentialProvider,
    aws: Arc<Aws>,
    sizes: UploadSizes,
    times: RequestTimes,
    buckets: Mutex<HashMap<String, Arc<AmazonS3>>>,
}

/// Without credentials.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("region", &self.settings.region)
            .field("endpoint", &self.settings.endpoint)
            .field("path_style", &self.settings.path_style)
            .field("credentials", &self.settings.origin)
            .finish_non_exhaustive()
    }
}

/// The context of one operation.
struct Operation {
    bucket: Arc<AmazonS3>,
    key: Path,
    answers: Arc<Answers>,
    sizes: UploadSizes,
    times: RequestTimes,
    /// The AWS provider chain, if the credentials come from it.
    chain: Option<Arc<Aws>>,
    /// For error messages.
    context: Context,
}

/// The location, host and source of credentials of an operation, for its error.
struct Context {
    location: String,
    host: String,
    origin: Origin,
}

impl Connection {
    /// Prepares an operation on the file at `location`.
    async fn operation(&self, location: &str) -> Result<Operation> {
        let (bucket, key) = split(location)?;
        let of_environment = match self.settings.region {
            Some(_) => None,
            None => self.aws.region().await,
        };
        let region = self.settings.region(of_environment).map_err(|missing| {
            let message = format!("cannot use {location}: {missing}");
            Error::new(ErrorKind::Unexpected, message)
        })?;
        let context = Context {
            location: location.to_owned(),
            host: self.settings.bucket_url(bucket, region).0,
            origin: self.settings.origin,
        };
        Ok(Operation {
            bucket: self.bucket(bucket, region)?,
            key,
            answers: Arc::default(),
            sizes: self.sizes,
            times: self.times,
            chain: (self.settings.origin == Origin::Chain).then(|| Arc::clone(&self.aws)),
            context,
        })
    }

    fn bucket(&self, name: &str, region: &str) -> Result<Arc<AmazonS3>> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        match buckets.entry(name.to_owned()) {
            Entry::Occupied(known) => Ok(Arc::clone(known.get())),
            Entry::Vacant(new) => Ok(Arc::clone(new.insert(Arc::new(self.connect(name, region)?)))),
        }
    }

    fn connect(&self, bucket: &str, region: &str) -> Result<AmazonS3> {
        // `object_store` puts these into URLs and headers without checking them.
        for (what, name) in [("bucket", bucket), ("region", region)] {
            if !is_bucket_name(name) {
                let message = format!("cannot use the {what} {name:?}: there is none with such characters");
                return Err(Error::new(ErrorKind::Unexpected, message));
            }
        }
        let (url, host_has_bucket) = self.settings.bucket_url(bucket, region);
        let retry = RetryConfig {
            backoff: BackoffConfig {
                max_backoff: PAUSE_MAX,
                // Each pause is random, up to `base` times the last one. With a base below 3 they do not
                // grow.
                base: 4.0,
                ..BackoffConfig::default()
            },
            // Retries are limited by time only.
            max_retries: usize::MAX,
            retry_timeout: RETRY_TIMEOUT,
        };
        let builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(region)
            .with_endpoint(&url)
            .with_virtual_hosted_style_request(host_has_bucket)
            .with_credentials(Arc::clone(&self.credentials))
            .with_retry(retry)
            .with_http_connector(WatchedConnector {
                times: self.times,
                is_http: url.starts_with("http://"),
            });
        // AWS takes nothing without a checksum into a bucket with a default retention (Object Lock). It is the
        // hash that is signed anyway. Other services may refuse it, as Google's does.
        let builder = if self.settings.is_aws() {
            builder.with_checksum_algorithm(Checksum::SHA256)
        } else {
            builder
        };
        let builder = match &self.settings.encryption {
            Some(encryption) => encryption.apply(builder),
            None => Ok(builder),
        };
        builder.and_then(AmazonS3Builder::build).map_err(|cause| {
            let message = format!(
                "cannot set up S3 for the bucket {bucket}; look at storage.s3.endpoint and storage.s3.region"
            );
            Error::new(ErrorKind::Unexpected, message).with_source(cause)
        })
    }
}

impl Operation {
    /// Runs the operation. `verb` describes it in errors.
    async fn run<T, F, Fut>(self, verb: &str, work: F) -> Result<T>
    where
        F: Fn(Arc<AmazonS3>, Path) -> Fut,
        Fut: Future<Output = object_store::Result<T>>,
    {
        self.attempt(|| work(Arc::clone(&self.bucket), self.key.clone()))
            .await
            .map_err(|error| self.failed(verb, error))
    }

    /// Runs the operation or a part of it. Repeats it once if S3 refuses the chain's credentials and the
    /// chain has others.
    async fn attempt<T, F, Fut>(&self, work: F) -> object_store::Result<T>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = object_store::Result<T>>,
    {
        let error = match self.answers.watch(work()).await {
            Err(error) => error,
            done => return done,
        };
        if !self.has_other_credentials(&error).await {
            return Err(error);
        }
        self.answers.begin_again();
        self.answers.watch(work()).await
    }

    /// Asks the chain for other credentials if S3 may have refused the current ones. A refusal may be
    /// permanent, for lack of a permission, so the chain is not asked for each request.
    async fn has_other_credentials(&self, error: &object_store::Error) -> bool {
        let Some(chain) = &self.chain else { return false };
        match self.answers.refused_credentials(error) {
            Some(used) => chain.has_other_than(&used, PAUSE).await,
            None => false,
        }
    }

    /// Builds the error of a failed operation.
    fn failed(&self, verb: &str, error: object_store::Error) -> Error {
        let Context {
            location,
            host,
            origin,
        } = &self.context;
        failed(verb, location, host, *origin, &self.answers, error)
    }
}

/// The bucket and the key of `s3://bucket/key`.
fn split(location: &str) -> Result<(&str, Path)> {
    let refused = |why: &str| {
        let message = format!("{location:?} cannot be used: {why}");
        Error::new(ErrorKind::DataInvalid, message)
    };
    let rest = on_s3(location)
        .ok_or_else(|| refused("the table's other files are on S3, so it must start with s3://"))?;
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err(refused("it names no bucket; write s3://<bucket>/<prefix>"));
    }
    // The client would remove the slash, and the file would not be the one in the location.
    if key.starts_with('/') {
        return Err(refused(
            "its key begins with a slash; write s3://<bucket>/<prefix>, with one slash behind the bucket",
        ));
    }
    // The key is signed and sent as it is, so it must be the same as other readers and writers of the table
    // use.
    let key = Path::parse(key)
        .map_err(|cause| refused("its key has an empty, relative or unprintable part").with_source(cause))?;
    Ok((bucket, key))
}

/// Checks that content has the requested length.
fn whole(content: Bytes, expected: u64) -> object_store::Result<Bytes> {
    let found = content.len() as u64;
    if found == expected {
        return Ok(content);
    }
    Err(object_store::Error::Generic {
        store: "S3",
        source: Box::new(WrongLength { expected, found }),
    })
}

fn length(range: &Range<u64>) -> u64 {
    range.end.saturating_sub(range.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_bucket_and_a_key() {
        for (location, bucket, key) in [
            (
                "s3://b/otel/logs/x=a%2Fb/1.parquet",
                "b",
                "otel/logs/x=a%2Fb/1.parquet",
            ),
            ("s3a://b/k", "b", "k"),
            ("s3://b", "b", ""),
        ] {
            let (found_bucket, found_key) = split(location).expect("valid");
            assert_eq!((found_bucket, found_key.as_ref()), (bucket, key));
        }
        for location in [
            "file:///w",
            "s3:///k",
            "s3://b//k",
            "s3a://b//",
            "s3://b/a//c",
            "s3://b/../c",
        ] {
            let error = split(location).expect_err("invalid");
            assert!(error.to_string().contains(location), "{error}");
        }
    }

    #[test]
    fn debug_shows_no_credentials() {
        let properties = [
            ("s3.access-key-id", "AKID"),
            ("s3.secret-access-key", "hush"),
            ("s3.session-token", "hush"),
        ];
        let properties = properties.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let file_io = s3_file_io(&HashMap::from(properties), &S3Config::default(), &Arc::default())
            .expect("settings fit");
        let debug = format!("{file_io:?} {file_io:#?}");
        assert!(debug.contains("Catalog"), "{debug}");
        assert!(!debug.contains("hush"), "{debug}");
    }
}
