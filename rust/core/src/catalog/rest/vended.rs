//! Storage with temporary credentials from the catalog. They are renewed before they expire, or when storage
//! does not accept them any more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use iceberg::io::{
    FileIO, FileIOBuilder, FileMetadata, FileRead, FileWrite, InputFile, OutputFile, Storage, StorageConfig,
    StorageFactory,
};
use iceberg::{Result, TableIdent};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::RestCatalog;
use super::types::StorageCredential;
use crate::storage::credentials_refused;

pub(super) const KEY_ID: &str = "s3.access-key-id";
/// Milliseconds since 1970, as Java's `S3FileIOProperties` has it.
const EXPIRES_AT_MS: &str = "s3.session-token-expires-at-ms";
/// The same time under the name that Lakekeeper adds for storage of any kind.
const EXPIRATION_TIME: &str = "expiration-time";
/// Credentials are renewed this long before they expire.
const MARGIN: Duration = Duration::from_secs(300);
/// The pause before the catalog is asked again for credentials.
const PAUSE: Duration = Duration::from_secs(10);

/// Storage as the catalog described it at one time.
pub(super) struct Vended {
    pub(super) file_io: FileIO,
    /// The properties it was made from.
    pub(super) properties: HashMap<String, String>,
}

/// Without its content, which may hold secrets.
impl std::fmt::Debug for Vended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vended").finish_non_exhaustive()
    }
}

/// Whether a catalog's properties contain credentials.
pub(super) fn has_credentials(properties: &HashMap<String, String>) -> bool {
    [KEY_ID, EXPIRES_AT_MS]
        .iter()
        .any(|key| properties.contains_key(*key))
}

/// The properties of a catalog that do not change when its credentials are renewed.
pub(super) fn without_credentials(properties: &HashMap<String, String>) -> HashMap<String, String> {
    let mut lasting = properties.clone();
    for key in [
        KEY_ID,
        "s3.secret-access-key",
        "s3.session-token",
        EXPIRES_AT_MS,
        EXPIRATION_TIME,
    ] {
        lasting.remove(key);
    }
    lasting
}

/// Selects the credentials for a table's files: those with the longest prefix that contains the table's
/// location, otherwise those with the shortest prefix within it.
///
/// # Errors
/// The prefixes, when credentials were given and none fits.
pub(super) fn fitting(
    credentials: Vec<StorageCredential>,
    location: &str,
) -> std::result::Result<Option<StorageCredential>, Vec<String>> {
    let folder = format!("{}/", location.trim_end_matches('/'));
    let (around, others): (Vec<_>, Vec<_>) = credentials
        .into_iter()
        .partition(|credential| folder.starts_with(&credential.prefix));
    let around = around
        .into_iter()
        .max_by_key(|credential| credential.prefix.len());
    if around.is_some() {
        return Ok(around);
    }
    let (within, others): (Vec<_>, Vec<_>) = others
        .into_iter()
        .partition(|credential| credential.prefix.starts_with(&folder));
    let within = within
        .into_iter()
        .min_by_key(|credential| credential.prefix.len());
    if within.is_none() && !others.is_empty() {
        return Err(others.into_iter().map(|credential| credential.prefix).collect());
    }
    Ok(within)
}

/// When the credentials expire, if the catalog reports it.
fn expiry(properties: &HashMap<String, String>) -> Option<SystemTime> {
    let millis = properties.get(EXPIRES_AT_MS)?.parse().ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

/// A `FileIO` for a table. It requests new credentials from the catalog before those of `vended` expire, and
/// when storage does not accept them.
pub(super) fn renewing(catalog: Weak<RestCatalog>, ident: TableIdent, vended: Vended) -> FileIO {
    let source = Some(Arc::new(Source {
        catalog,
        ident,
        state: Mutex::new(State { vended, number: 0 }),
        asked: tokio::sync::Mutex::default(),
    }));
    FileIOBuilder::new(Arc::new(VendedStorage { source })).build()
}

#[derive(Debug)]
struct Source {
    catalog: Weak<RestCatalog>,
    ident: TableIdent,
    state: Mutex<State>,
    /// When better credentials were last requested. Locked during the request.
    asked: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct State {
    vended: Vended,
    /// Counts the renewals.
    number: u64,
}

impl Source {
    /// Storage with the best available credentials, and their number.
    async fn current(&self) -> (FileIO, u64) {
        let (file_io, number, expires) = {
            let state = self.state();
            let expires = expiry(&state.vended.properties);
            (state.vended.file_io.clone(), state.number, expires)
        };
        // Credentials that never expire are not renewed in advance.
        let left = expires.map(|expires| expires.duration_since(SystemTime::now()));
        let asked = match left {
            // They are still good, so only one operation waits for a catalog that may not answer.
            Some(Ok(left)) if left <= MARGIN => self.asked.try_lock().ok(),
            Some(Err(_)) => Some(self.asked.lock().await),
            None | Some(Ok(_)) => None,
        };
        let Some(asked) = asked else {
            return (file_io, number);
        };
        self.renew(number, asked).await;
        let state = self.state();
        (state.vended.file_io.clone(), state.number)
    }

    /// Storage with other credentials than those of this number, which were not accepted.
    async fn other_than(&self, number: u64) -> Option<FileIO> {
        let other = self.kept_other_than(number);
        if other.is_some() {
            return other;
        }
        let asked = self.asked.lock().await;
        self.renew(number, asked).await;
        self.kept_other_than(number)
    }

    fn kept_other_than(&self, number: u64) -> Option<FileIO> {
        let state = self.state();
        (state.number != number).then(|| state.vended.file_io.clone())
    }

    /// Renews the credentials of this number if they caused the failure.
    async fn look_at<T>(&self, result: Result<T>, number: u64) -> Result<T> {
        if let Err(error) = &result
            && credentials_refused(error)
        {
            self.other_than(number).await;
        }
        result
    }

    /// Requests other credentials than those of this number, unless there are some by now, or the catalog was
    /// asked just before.
    async fn renew(&self, number: u64, mut asked: tokio::sync::MutexGuard<'_, Option<Instant>>) {
        let paused = asked.is_some_and(|asked| asked.elapsed() < PAUSE);
        if paused || self.state().number != number {
            return;
        }
        let Some(catalog) = self.catalog.upgrade() else {
            return;
        };
        // Also before the request, in case the caller gives up during it.
        *asked = Some(Instant::now());
        let answer = catalog.storage_of(&self.ident).await;
        // A request may take longer than the pause. The operations that waited for it must not repeat it in
        // turn.
        *asked = Some(Instant::now());
        match answer {
            Ok(vended) => {
                let mut state = self.state();
                if vended.properties != state.vended.properties {
                    state.vended = vended;
                    state.number += 1;
                }
            }
            // The current credentials may be valid for some minutes. If not, storage will refuse them.
            Err(error) => {
                tracing::warn!(table = %self.ident, %error, "cannot renew the storage credentials that the catalog gave");
            }
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The storage, which is its own factory. A deserialized one cannot access any files.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct VendedStorage {
    #[serde(skip)]
    source: Option<Arc<Source>>,
}

impl VendedStorage {
    async fn current(&self) -> Result<FileIO> {
        Ok(self.source()?.current().await.0)
    }

    /// Runs an operation, and runs it once more with new credentials if the current ones are not accepted.
    async fn run<T, F>(&self, work: impl Fn(FileIO) -> F + Send + Sync) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
    {
        let source = self.source()?;
        let (file_io, number) = source.current().await;
        let error = match work(file_io).await {
            Err(error) if credentials_refused(&error) => error,
            other => return other,
        };
        match source.other_than(number).await {
            Some(file_io) => work(file_io).await,
            None => Err(error),
        }
    }

    fn source(&self) -> Result<&Arc<Source>> {
        self.source.as_ref().ok_or_else(|| {
            iceberg::Error::new(
                iceberg::ErrorKind::FeatureUnsupported,
                "storage with a catalog's credentials cannot be moved to another process",
            )
        })
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
        self.run(|file_io| async move { file_io.exists(path).await })
            .await
    }

    async fn metadata(&self, path: &str) -> Result<FileMetadata> {
        self.run(|file_io| async move { file_io.new_input(path)?.metadata().await })
            .await
    }

    async fn read(&self, path: &str) -> Result<Bytes> {
        self.run(|file_io| async move { file_io.new_input(path)?.read().await })
            .await
    }

    async fn reader(&self, path: &str) -> Result<Box<dyn FileRead>> {
        self.current().await?.new_input(path)?.reader().await
    }

    async fn write(&self, path: &str, bytes: Bytes) -> Result<()> {
        self.run(|file_io| {
            let bytes = bytes.clone();
            async move { file_io.new_output(path)?.write(bytes).await }
        })
        .await
    }

    async fn writer(&self, path: &str) -> Result<Box<dyn FileWrite>> {
        let source = Arc::clone(self.source()?);
        let (file_io, number) = source.current().await;
        let writer = file_io.new_output(path)?.writer().await?;
        Ok(Box::new(VendedWrite {
            writer,
            source,
            number,
        }))
    }

    async fn delete(&self, path: &str) -> Result<()> {
        self.run(|file_io| async move { file_io.delete(path).await })
            .await
    }

    async fn delete_prefix(&self, path: &str) -> Result<()> {
        self.run(|file_io| async move { file_io.delete_prefix(path).await })
            .await
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

/// A writer on credentials of the catalog. Content that was already written cannot be written again: if the
/// credentials are not accepted, the writer fails, and the next file uses new credentials.
struct VendedWrite {
    writer: Box<dyn FileWrite>,
    source: Arc<Source>,
    number: u64,
}

#[async_trait]
impl FileWrite for VendedWrite {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let result = self.writer.write(bytes).await;
        self.source.look_at(result, self.number).await
    }

    async fn close(&mut self) -> Result<()> {
        let result = self.writer.close().await;
        self.source.look_at(result, self.number).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(prefixes: &[&str]) -> Vec<StorageCredential> {
        let made = prefixes.iter().map(|prefix| StorageCredential {
            prefix: (*prefix).to_owned(),
            config: HashMap::new(),
        });
        made.collect()
    }

    #[test]
    fn the_longest_prefix_around_a_table_fits_best_then_the_shortest_within() {
        for (prefixes, expected) in [
            (
                &["s3://b/wh/", "s3://b/wh/t/", "s3://b/"][..],
                Some("s3://b/wh/t/"),
            ),
            (&["s3://b/wh/t", "s3", "s3://b/wh/t/data/"], Some("s3://b/wh/t")),
            (
                &["s3://b/wh/t/data/x/", "s3://b/wh/t/data/"],
                Some("s3://b/wh/t/data/"),
            ),
            (
                &["s3://b/wh/t2/", "s3://b/wh/t/metadata"],
                Some("s3://b/wh/t/metadata"),
            ),
            (&[], None),
        ] {
            for location in ["s3://b/wh/t", "s3://b/wh/t/"] {
                let found = fitting(credentials(prefixes), location).expect("fits");
                let found = found.map(|credential| credential.prefix);
                assert_eq!(found.as_deref(), expected, "{prefixes:?}");
            }
        }
        let none = fitting(credentials(&["s3://b/wh/t2/", "s3://c/"]), "s3://b/wh/t");
        assert_eq!(none.expect_err("no fit"), ["s3://b/wh/t2/", "s3://c/"]);
    }
}
