//! Objects that others wrote and that a notification names: one version of each, of bounded size.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use object_store::{GetOptions, GetRange, ObjectStore};

use super::{Connection, connection, length, whole};
use crate::aws::Aws;
use crate::catalog::IcebergCause;
use crate::config::StorageConfig;
use crate::error::{Error, ErrorKind, Result, RetryClass};

/// One version of an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectVersion {
    /// The bucket's name.
    pub bucket: String,
    /// The key, as S3 has it: not URL-encoded.
    pub key: String,
    /// The `ETag` that the content had, without quotes.
    pub etag: Option<String>,
    /// The version, in a bucket that keeps versions.
    pub version: Option<String>,
}

/// What S3 calls the version of an object without versions, where versioning is suspended.
pub const NO_VERSION: &str = "null";

/// What was found for an [`ObjectVersion`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Its bytes.
    Whole(Bytes),
    /// The object has been overwritten since, and the version is not kept.
    Replaced,
}

/// The end of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Its last bytes, as many as were asked for or all.
    Last {
        /// They.
        bytes: Bytes,
        /// The whole object's size in bytes.
        size: u64,
    },
    /// The object has been overwritten since.
    Replaced,
}

/// Reads objects of any bucket, with the settings and credentials of `storage.s3`.
#[derive(Debug)]
pub struct Objects(Arc<Connection>);

impl Objects {
    /// Nothing is connected to.
    ///
    /// # Errors
    /// `Config` when the settings do not fit together.
    pub fn new(storage: &StorageConfig) -> Result<Self> {
        let aws = Arc::new(Aws::new(storage.s3.region.clone()));
        connection(&HashMap::new(), &storage.s3, &aws).map(|connection| Self(Arc::new(connection)))
    }

    /// Reads one object. The content is the version's own, however often the object was overwritten.
    ///
    /// # Errors
    /// `Limit`, permanent, when it has more than `bytes_max` bytes; else `Storage`.
    pub async fn read(&self, object: &ObjectVersion, bytes_max: u64) -> Result<Content> {
        // By its ETag, which needs no right but s3:GetObject; by its version if it was overwritten or deleted.
        match (
            self.get(object, newest(object), bytes_max).await?,
            &object.version,
        ) {
            (Content::Replaced, Some(version)) => {
                let kept = GetOptions {
                    version: Some(version.clone()),
                    ..GetOptions::default()
                };
                self.get(object, kept, bytes_max).await
            }
            (found, _) => Ok(found),
        }
    }

    /// The version that an object has now, by its `ETag`.
    ///
    /// # Errors
    /// `Storage` when it cannot be looked at.
    pub async fn current(&self, bucket: &str, key: &str) -> Result<ObjectVersion> {
        let location = location(bucket, key)?;
        let look = self.0.operation(&location).await.map_err(failed)?;
        let head = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        let found = look
            .run("look at", |bucket, key| {
                let head = head.clone();
                async move { bucket.get_opts(&key, head).await }
            })
            .await
            .map_err(failed)?;
        Ok(ObjectVersion {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            etag: found.meta.e_tag.map(|etag| etag.trim_matches('"').to_owned()),
            version: found.meta.version.filter(|version| version != NO_VERSION),
        })
    }

    /// Reads the last bytes of an object that is to be used where it is, so that only its newest content counts.
    ///
    /// # Errors
    /// `Storage` when it cannot be read.
    pub async fn read_end(&self, object: &ObjectVersion, bytes_max: u64) -> Result<End> {
        let options = GetOptions {
            range: Some(GetRange::Suffix(bytes_max)),
            ..newest(object)
        };
        let version = object.version.clone();
        self.0
            .operation(&location(&object.bucket, &object.key)?)
            .await
            .map_err(failed)?
            .run("read", |bucket, key| {
                let (options, version) = (options.clone(), version.clone());
                async move {
                    let found = match bucket.get_opts(&key, options).await {
                        Ok(found) => found,
                        Err(object_store::Error::Precondition { .. }) => return Ok(End::Replaced),
                        Err(error) => return Err(error),
                    };
                    let other = |now: &String| version.is_some_and(|version| version != *now);
                    if found.meta.version.as_ref().is_some_and(other) {
                        return Ok(End::Replaced);
                    }
                    let (size, expected) = (found.meta.size, length(&found.range));
                    let bytes = whole(found.bytes().await?, expected)?;
                    Ok(End::Last { bytes, size })
                }
            })
            .await
            .map_err(failed)
    }

    async fn get(&self, object: &ObjectVersion, options: GetOptions, bytes_max: u64) -> Result<Content> {
        let location = location(&object.bucket, &object.key)?;
        // What was deleted where versions are kept is still there under its version.
        let has_another_way = object.version.is_some() && options.version.is_none();
        let read = self
            .0
            .operation(&location)
            .await
            .map_err(failed)?
            .run("read", |bucket, key| {
                let options = options.clone();
                async move {
                    let found = match bucket.get_opts(&key, options).await {
                        Ok(found) => found,
                        Err(object_store::Error::Precondition { .. }) => return Ok(Read::Replaced),
                        Err(object_store::Error::NotFound { .. }) if has_another_way => {
                            return Ok(Read::Replaced);
                        }
                        Err(error) => return Err(error),
                    };
                    if found.meta.size > bytes_max {
                        return Ok(Read::TooLarge(found.meta.size));
                    }
                    let mut content = BytesMut::with_capacity(usize::try_from(found.meta.size).unwrap_or(0));
                    let mut stream = found.into_stream();
                    while let Some(bytes) = stream.try_next().await? {
                        content.extend_from_slice(&bytes);
                    }
                    Ok(Read::Whole(content.freeze()))
                }
            })
            .await
            .map_err(failed)?;
        match read {
            Read::Whole(bytes) => Ok(Content::Whole(bytes)),
            Read::Replaced => Ok(Content::Replaced),
            Read::TooLarge(size) => Err(Error::new(
                ErrorKind::Limit,
                format!("an object of {size} bytes is above limits.payload_bytes_max ({bytes_max}); write smaller objects, or raise it and the function's memory"),
            )
            .with("object", location)
            .class(RetryClass::Permanent)),
        }
    }
}

/// Where an object is.
///
/// # Errors
/// `Storage`, permanent, when the key has a slash at an end: the client takes it off, and would read another object.
fn location(bucket: &str, key: &str) -> Result<String> {
    if key.starts_with('/') || key.ends_with('/') {
        let message = format!(
            "the key {key:?} has a slash at its beginning or end, which this program cannot read; copy the object to a key \
             without, and have its writer use such keys"
        );
        return Err(Error::new(ErrorKind::Storage, message).class(RetryClass::Permanent));
    }
    Ok(format!("s3://{bucket}/{key}"))
}

/// The newest content, if it is the version's.
fn newest(object: &ObjectVersion) -> GetOptions {
    GetOptions {
        if_match: object.etag.as_ref().map(|etag| format!("\"{etag}\"")),
        ..GetOptions::default()
    }
}

fn failed(cause: iceberg::Error) -> Error {
    Error::new(ErrorKind::Storage, "cannot read the object").because(IcebergCause(cause))
}

/// What one request found.
enum Read {
    Whole(Bytes),
    Replaced,
    TooLarge(u64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_would_be_read_as_others_are_refused() {
        for key in ["/year=2026/logs", "a/", "/", "//a"] {
            let error = location("raw", key).expect_err("another key would be read");
            assert_eq!(error.retry_class(), RetryClass::Permanent);
            assert!(error.to_string().contains(&format!("{key:?}")), "{error}");
        }
        assert_eq!(location("raw", "a/b").expect("as it is"), "s3://raw/a/b");
    }
}
