//! Objects that others wrote and that a notification names: one version of each, of bounded size.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use object_store::{GetOptions, ObjectStore};

use super::{Connection, connection};
use crate::catalog::IcebergCause;
use crate::catalog::aws::Aws;
use crate::config::StorageConfig;
use crate::error::{Error, ErrorKind, Result};

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

/// What was found for an [`ObjectVersion`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Its bytes.
    Whole(Bytes),
    /// The object has been overwritten since, and the version is not kept.
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
        // By its ETag, which needs no right but s3:GetObject; by its version if it was overwritten.
        let current = GetOptions {
            if_match: object.etag.as_ref().map(|etag| format!("\"{etag}\"")),
            ..GetOptions::default()
        };
        match (self.get(object, current, bytes_max).await?, &object.version) {
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

    async fn get(&self, object: &ObjectVersion, options: GetOptions, bytes_max: u64) -> Result<Content> {
        let location = format!("s3://{}/{}", object.bucket, object.key);
        let failed =
            |cause| Error::new(ErrorKind::Storage, "cannot read the object").because(IcebergCause(cause));
        let read = self
            .0
            .operation(&location)
            .await
            .map_err(failed)?
            .run("read", |bucket, key, _| async move {
                let found = match bucket.get_opts(&key, options).await {
                    Ok(found) => found,
                    Err(object_store::Error::Precondition { .. }) => return Ok(Read::Replaced),
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
            })
            .await
            .map_err(failed)?;
        match read {
            Read::Whole(bytes) => Ok(Content::Whole(bytes)),
            Read::Replaced => Ok(Content::Replaced),
            Read::TooLarge(size) => Err(Error::new(
                ErrorKind::Limit,
                format!("an object of {size} bytes is above limits.payload_bytes_max ({bytes_max})"),
            )
            .with("object", location)
            .class(crate::error::RetryClass::Permanent)),
        }
    }
}

/// What one request found.
enum Read {
    Whole(Bytes),
    Replaced,
    TooLarge(u64),
}
