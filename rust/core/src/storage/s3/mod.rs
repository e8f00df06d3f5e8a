//! Files on S3 for Iceberg's `FileIO`.
//!
//! The protocol is `object_store`'s: signing, retries with jitter, uploads in parts. Here are what
//! it is reached with, how long it may take, whole or no files, and errors that say what to change.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use iceberg::io::{FileIO, FileIOBuilder};
use iceberg::{Error, ErrorKind, Result};
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsCredentialProvider};
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, RetryConfig};

use self::failure::{Answers, WatchedConnector, failed};
pub use self::objects::{Content, End, NO_VERSION, ObjectVersion, Objects};
use self::settings::{Origin, Settings, process_environment};
use self::storage::S3StorageFactory;
use self::upload::WrongLength;
use crate::aws::{Aws, PAUSE};
use crate::config::{S3Config, UploadSizes, is_bucket_name, on_s3};

mod credentials;
mod failure;
mod objects;
mod settings;
mod storage;
mod upload;
mod writer;

/// A connection not made in this time is tried again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A request with its answer may take this long: 8 MiB at 2.3 Mbit/s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// No new try after this long; then the host's own queue waits and tries again.
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest pause between two tries.
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
        buckets: Mutex::default(),
    })
}

/// How the buckets are reached that were asked for so far.
struct Connection {
    settings: Settings,
    credentials: AwsCredentialProvider,
    aws: Arc<Aws>,
    sizes: UploadSizes,
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

/// What one operation works with.
struct Operation {
    bucket: Arc<AmazonS3>,
    key: Path,
    answers: Arc<Answers>,
    sizes: UploadSizes,
    /// The AWS provider chain, if the credentials are its own.
    chain: Option<Arc<Aws>>,
    /// Says what failed.
    context: Context,
}

/// Where and how an operation takes place, for its error.
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
        // `object_store` makes URLs and headers of them, and takes for granted that it can.
        for (what, name) in [("bucket", bucket), ("region", region)] {
            if !is_bucket_name(name) {
                let message = format!("cannot use the {what} {name:?}: there is none with such characters");
                return Err(Error::new(ErrorKind::Unexpected, message));
            }
        }
        let (url, host_has_bucket) = self.settings.bucket_url(bucket, region);
        let options = ClientOptions::new()
            .with_user_agent(HeaderValue::from_static(concat!(
                "otlp2iceberg/",
                env!("CARGO_PKG_VERSION")
            )))
            .with_allow_http(url.starts_with("http://"))
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_timeout(REQUEST_TIMEOUT);
        let retry = RetryConfig {
            backoff: BackoffConfig {
                max_backoff: PAUSE_MAX,
                // A pause is drawn from up to `base` times the last: below 3 they do not grow.
                base: 4.0,
                ..BackoffConfig::default()
            },
            // Time is what bounds them.
            max_retries: usize::MAX,
            retry_timeout: RETRY_TIMEOUT,
        };
        AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(region)
            .with_endpoint(&url)
            .with_virtual_hosted_style_request(host_has_bucket)
            .with_credentials(Arc::clone(&self.credentials))
            .with_client_options(options)
            .with_retry(retry)
            .with_http_connector(WatchedConnector)
            .build()
            .map_err(|cause| {
                let message = format!(
                    "cannot set up S3 for the bucket {bucket}; look at storage.s3.endpoint and storage.s3.region"
                );
                Error::new(ErrorKind::Unexpected, message).with_source(cause)
            })
    }
}

impl Operation {
    /// Runs it; `verb` says in an error what could not be done.
    async fn run<T, F, Fut>(self, verb: &str, work: F) -> Result<T>
    where
        F: Fn(Arc<AmazonS3>, Path) -> Fut,
        Fut: Future<Output = object_store::Result<T>>,
    {
        self.attempt(|| work(Arc::clone(&self.bucket), self.key.clone()))
            .await
            .map_err(|error| self.failed(verb, error))
    }

    /// Does all of it or a part, and once more if S3 refuses the credentials of the chain and the chain has others.
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

    /// Asks the chain for other credentials if S3 may have refused those at hand. They may be refused for good, for want of a
    /// permission, so the chain is not asked for each request.
    async fn has_other_credentials(&self, error: &object_store::Error) -> bool {
        let Some(chain) = &self.chain else { return false };
        match self.answers.refused_credentials(error) {
            Some(used) => chain.has_other_than(&used, PAUSE).await,
            None => false,
        }
    }

    /// Says what could not be done.
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
    // It would be taken off, and the file be another one than the location says.
    if key.starts_with('/') {
        return Err(refused(
            "its key begins with a slash; write s3://<bucket>/<prefix>, with one slash behind the bucket",
        ));
    }
    // Signed and sent as it is, so it must be as the other readers and writers of the table have it.
    let key = Path::parse(key)
        .map_err(|cause| refused("its key has an empty, relative or unprintable part").with_source(cause))?;
    Ok((bucket, key))
}

/// Content that must be as long as was asked for.
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
