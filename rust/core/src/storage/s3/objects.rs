//! Objects of other writers that a notification names: one version of each, of limited size.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use object_store::{GetOptions, GetRange, ObjectStore};

use super::{Connection, connection, length, whole};
use crate::aws::Aws;
use crate::cause::IcebergCause;
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

/// S3's version id for an object that was written while versioning is off or suspended.
pub const NO_VERSION: &str = "null";

/// The content that was found for an [`ObjectVersion`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The bytes of the version.
    Whole(Bytes),
    /// The object has been overwritten, and the version was not kept.
    Replaced,
}

/// The end of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The last bytes: as many as requested, or all.
    Last {
        /// The bytes.
        bytes: Bytes,
        /// The whole object's size in bytes.
        size: u64,
    },
    /// The object has been overwritten.
    Replaced,
}

/// Reads objects of any bucket, with the settings and credentials of `storage.s3`.
#[derive(Debug)]
pub struct Objects(Arc<Connection>);

impl Objects {
    /// Creates a reader. It does not connect to anything.
    ///
    /// # Errors
    /// `Config` when the settings do not fit together.
    pub fn new(storage: &StorageConfig) -> Result<Self> {
        let aws = Arc::new(Aws::new(storage.s3.region.clone()));
        connection(&HashMap::new(), &storage.s3, &aws).map(|connection| Self(Arc::new(connection)))
    }

    /// Reads one object. Returns the content of this version, even if the object was overwritten later.
    ///
    /// # Errors
    /// `Limit`, permanent, when it has more than `bytes_max` bytes. Otherwise `Storage`.
    pub async fn read(&self, object: &ObjectVersion, bytes_max: u64) -> Result<Content> {
        // By its ETag first, which needs only the permission s3:GetObject. By its version if the object was
        // overwritten or deleted.
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

    /// The current version of an object, with its `ETag`.
    ///
    /// # Errors
    /// `Storage` when the request fails.
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

    /// Reads the last bytes of an object. Only the current content counts, because the object is to be used
    /// in place.
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
        // In a versioned bucket, a deleted object still exists under its version.
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
                    let size = found.meta.size;
                    let mut content = BytesMut::with_capacity(usize::try_from(size).unwrap_or(0));
                    let mut stream = found.into_stream();
                    while let Some(bytes) = stream.try_next().await? {
                        content.extend_from_slice(&bytes);
                    }
                    whole(content.freeze(), size).map(Read::Whole)
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

/// The location of an object.
///
/// # Errors
/// `Storage`, permanent, when the key begins or ends with a slash: the client would remove it, and read
/// another object.
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

/// Options for the current content, if it is still this version's.
fn newest(object: &ObjectVersion) -> GetOptions {
    GetOptions {
        if_match: object.etag.as_ref().map(|etag| format!("\"{etag}\"")),
        ..GetOptions::default()
    }
}

fn failed(cause: iceberg::Error) -> Error {
    Error::new(ErrorKind::Storage, "cannot read the object").because(IcebergCause(cause))
}

/// The result of one request.
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
