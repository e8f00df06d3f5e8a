//! Storage with credentials that the catalog gave for a while: renewed before they run out.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use iceberg::io::{
    FileIO, FileIOBuilder, FileMetadata, FileRead, FileWrite, InputFile, OutputFile, Storage, StorageConfig,
    StorageFactory,
};
use iceberg::{Result, TableIdent};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::RestCatalog;

/// Milliseconds since 1970, as Java's `S3FileIOProperties` has it.
const EXPIRES_AT_MS: &str = "s3.session-token-expires-at-ms";
/// Credentials are replaced this long before they run out.
const MARGIN: Duration = Duration::from_secs(300);
/// A catalog that has nothing better is not asked again for so long.
const PAUSE: Duration = Duration::from_secs(10);

/// When the credentials among a catalog's properties run out, if it says so.
pub(super) fn expiry(properties: &HashMap<String, String>) -> Option<SystemTime> {
    let millis = properties.get(EXPIRES_AT_MS)?.parse().ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

/// A `FileIO` for a table that asks the catalog for new credentials when those of `file_io` run out.
pub(super) fn renewing(
    catalog: Weak<RestCatalog>,
    ident: TableIdent,
    file_io: FileIO,
    expires: SystemTime,
) -> FileIO {
    let state = Mutex::new(State {
        file_io,
        expires,
        asked: None,
    });
    let source = Some(Arc::new(Source {
        catalog,
        ident,
        state,
    }));
    FileIOBuilder::new(Arc::new(VendedStorage { source })).build()
}

#[derive(Debug)]
struct Source {
    catalog: Weak<RestCatalog>,
    ident: TableIdent,
    state: Mutex<State>,
}

struct State {
    file_io: FileIO,
    expires: SystemTime,
    /// When the catalog was asked for better ones last.
    asked: Option<Instant>,
}

/// Without the `FileIO`, which may hold secrets.
impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

impl Source {
    /// Storage with the best credentials to be had.
    async fn current(&self) -> FileIO {
        let mut state = self.state.lock().await;
        let good = state.expires > SystemTime::now() + MARGIN;
        let paused = state.asked.is_some_and(|asked| asked.elapsed() < PAUSE);
        if good || paused {
            return state.file_io.clone();
        }
        let Some(catalog) = self.catalog.upgrade() else {
            return state.file_io.clone();
        };
        state.asked = Some(Instant::now());
        match catalog.storage_of(&self.ident).await {
            Ok((file_io, expires)) => {
                state.file_io = file_io;
                // Such as never run out are never replaced.
                state.expires = expires.unwrap_or(SystemTime::now() + Duration::from_secs(365 * 86_400));
            }
            // Those at hand may be good for minutes yet; if not, storage will say so.
            Err(error) => {
                tracing::warn!(table = %self.ident, %error, "cannot renew the storage credentials that the catalog gave");
            }
        }
        state.file_io.clone()
    }
}

/// The storage, and its own factory. Read from its serialized form it has nothing to read with.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct VendedStorage {
    #[serde(skip)]
    source: Option<Arc<Source>>,
}

impl VendedStorage {
    async fn current(&self) -> Result<FileIO> {
        match &self.source {
            Some(source) => Ok(source.current().await),
            None => Err(iceberg::Error::new(
                iceberg::ErrorKind::FeatureUnsupported,
                "storage with a catalog's credentials cannot be moved to another process",
            )),
        }
    }
}

#[typetag::serde(name = "Otlp2IcebergVendedStorageFactory")]
impl StorageFactory for VendedStorage {
    fn build(&self, _config: &StorageConfig) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
#[typetag::serde(name = "Otlp2IcebergVendedStorage")]
impl Storage for VendedStorage {
    async fn exists(&self, path: &str) -> Result<bool> {
        self.current().await?.exists(path).await
    }

    async fn metadata(&self, path: &str) -> Result<FileMetadata> {
        self.current().await?.new_input(path)?.metadata().await
    }

    async fn read(&self, path: &str) -> Result<Bytes> {
        self.current().await?.new_input(path)?.read().await
    }

    async fn reader(&self, path: &str) -> Result<Box<dyn FileRead>> {
        self.current().await?.new_input(path)?.reader().await
    }

    async fn write(&self, path: &str, bytes: Bytes) -> Result<()> {
        self.current().await?.new_output(path)?.write(bytes).await
    }

    async fn writer(&self, path: &str) -> Result<Box<dyn FileWrite>> {
        self.current().await?.new_output(path)?.writer().await
    }

    async fn delete(&self, path: &str) -> Result<()> {
        self.current().await?.delete(path).await
    }

    async fn delete_prefix(&self, path: &str) -> Result<()> {
        self.current().await?.delete_prefix(path).await
    }

    async fn delete_stream(&self, paths: BoxStream<'static, String>) -> Result<()> {
        self.current().await?.delete_stream(paths).await
    }

    fn new_input(&self, path: &str) -> Result<InputFile> {
        Ok(InputFile::new(Arc::new(self.clone()), path.to_owned()))
    }

    fn new_output(&self, path: &str) -> Result<OutputFile> {
        Ok(OutputFile::new(Arc::new(self.clone()), path.to_owned()))
    }
}
