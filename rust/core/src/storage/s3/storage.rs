//! Iceberg's `Storage` on a [`Connection`].

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, future};
use iceberg::io::{
    FileMetadata, FileRead, FileWrite, InputFile, OutputFile, Storage, StorageConfig, StorageFactory,
};
use iceberg::{Error, ErrorKind, Result};
use object_store::{ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use super::super::extended_reads::ExtendedRead;
use super::extended_reads;
use super::writer::S3FileWrite;
use super::{Connection, length, upload, whole};

/// The number of files that are deleted concurrently.
const DELETES_AT_ONCE: usize = 16;

/// Creates storages on one connection.
#[derive(Debug, Clone)]
pub(super) struct S3StorageFactory(S3Storage);

impl S3StorageFactory {
    pub(super) fn new(connection: Arc<Connection>) -> Self {
        Self(S3Storage(connection))
    }
}

/// Files named by `s3://` and `s3a://` URLs.
#[derive(Debug, Clone)]
pub(super) struct S3Storage(Arc<Connection>);

#[typetag::serde(name = "Otlp2IcebergS3StorageFactory")]
impl StorageFactory for S3StorageFactory {
    fn build(&self, _config: &StorageConfig) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(self.0.clone()))
    }
}

#[async_trait]
#[typetag::serde(name = "Otlp2IcebergS3Storage")]
impl Storage for S3Storage {
    async fn exists(&self, path: &str) -> Result<bool> {
        self.0
            .operation(path)
            .await?
            .run("look for", |bucket, key| async move {
                match bucket.head(&key).await {
                    Ok(_) => Ok(true),
                    Err(object_store::Error::NotFound { .. }) => Ok(false),
                    Err(error) => Err(error),
                }
            })
            .await
    }

    async fn metadata(&self, path: &str) -> Result<FileMetadata> {
        self.0
            .operation(path)
            .await?
            .run("look at", |bucket, key| async move {
                let size = bucket.head(&key).await?.size;
                Ok(FileMetadata { size })
            })
            .await
    }

    async fn read(&self, path: &str) -> Result<Bytes> {
        match ExtendedRead::parse(path) {
            None => {}
            Some(ExtendedRead::List(folder)) => {
                let folder = self.0.operation(folder).await?;
                return folder.run("list", extended_reads::list).await;
            }
            Some(ExtendedRead::Modified(file)) => {
                let file = self.0.operation(file).await?;
                return file.run("look at", extended_reads::modified).await;
            }
        }
        self.0
            .operation(path)
            .await?
            .run("read", |bucket, key| async move {
                let found = bucket.get(&key).await?;
                let expected = length(&found.range);
                whole(found.bytes().await?, expected)
            })
            .await
    }

    async fn reader(&self, path: &str) -> Result<Box<dyn FileRead>> {
        Ok(Box::new(S3FileRead {
            connection: Arc::clone(&self.0),
            location: path.to_owned(),
        }))
    }

    async fn write(&self, path: &str, content: Bytes) -> Result<()> {
        let operation = self.0.operation(path).await?;
        let put = upload::put(&operation, content).await;
        put.map_err(|error| operation.failed("write", error))
    }

    async fn writer(&self, path: &str) -> Result<Box<dyn FileWrite>> {
        Ok(Box::new(S3FileWrite::new(self.0.operation(path).await?)))
    }

    /// Deleting a file that does not exist succeeds on S3.
    async fn delete(&self, path: &str) -> Result<()> {
        self.0
            .operation(path)
            .await?
            .run("delete", |bucket, key| async move {
                match bucket.delete(&key).await {
                    Err(object_store::Error::NotFound { .. }) => Ok(()),
                    other => other,
                }
            })
            .await
    }

    /// Deletes the files below `path` as a folder, not those whose names only begin with it.
    async fn delete_prefix(&self, path: &str) -> Result<()> {
        self.0
            .operation(path)
            .await?
            .run("delete all under", |bucket, prefix| async move {
                let keys = bucket.list(Some(&prefix)).map_ok(|file| file.location);
                let deleted = bucket.delete_stream(keys.boxed());
                deleted.try_for_each(|_| future::ok(())).await
            })
            .await
    }

    async fn delete_stream(&self, paths: BoxStream<'static, String>) -> Result<()> {
        paths
            .map(Ok)
            .try_for_each_concurrent(DELETES_AT_ONCE, |path| async move { self.delete(&path).await })
            .await
    }

    fn new_input(&self, path: &str) -> Result<InputFile> {
        Ok(InputFile::new(Arc::new(self.clone()), path.to_owned()))
    }

    fn new_output(&self, path: &str) -> Result<OutputFile> {
        Ok(OutputFile::new(Arc::new(self.clone()), path.to_owned()))
    }
}

struct S3FileRead {
    connection: Arc<Connection>,
    location: String,
}

#[async_trait]
impl FileRead for S3FileRead {
    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let expected = length(&range);
        if expected == 0 {
            return Ok(Bytes::new());
        }
        self.connection
            .operation(&self.location)
            .await?
            .run("read", |bucket, key| {
                let range = range.clone();
                async move { whole(bucket.get_range(&key, range).await?, expected) }
            })
            .await
    }
}

/// The reason why neither type is serialized, although `typetag` requires the implementation: they hold
/// credentials.
const NOT_SERIAL: &str = "S3 storage holds credentials and is not written out or read back";

impl Serialize for S3Storage {
    fn serialize<S: Serializer>(&self, _: S) -> std::result::Result<S::Ok, S::Error> {
        Err(ser::Error::custom(NOT_SERIAL))
    }
}

impl<'de> Deserialize<'de> for S3Storage {
    fn deserialize<D: Deserializer<'de>>(_: D) -> std::result::Result<Self, D::Error> {
        Err(de::Error::custom(NOT_SERIAL))
    }
}

impl Serialize for S3StorageFactory {
    fn serialize<S: Serializer>(&self, _: S) -> std::result::Result<S::Ok, S::Error> {
        Err(ser::Error::custom(NOT_SERIAL))
    }
}

impl<'de> Deserialize<'de> for S3StorageFactory {
    fn deserialize<D: Deserializer<'de>>(_: D) -> std::result::Result<Self, D::Error> {
        Err(de::Error::custom(NOT_SERIAL))
    }
}

/// The error of a writer that was closed or has failed.
pub(super) fn closed() -> Error {
    Error::new(
        ErrorKind::Unexpected,
        "the file is closed, or writing it failed before",
    )
}
