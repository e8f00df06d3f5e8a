//! The library, opened once for the life of the execution environment.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use otlp2iceberg::catalog::storage::Objects;
use otlp2iceberg::config::{CatalogType, Config, OnFailure};
use otlp2iceberg::{
    Error, ErrorKind, Export, Outcome, ParquetFile, Part, Pipeline, Registration, RequestId, Result,
    RetryClass, Signal, Table,
};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::deadline::Deadline;
use crate::emf::Metrics;

/// A catalog that does not answer must not use up the init phase, which Lambda ends after 10 s.
const WARM_MAX: Duration = Duration::from_secs(3);

/// With `commit.on_failure: accept`, a catalog that does not commit is waited for no longer than this:
/// then the client gets its answer, and the rows their receipt.
const ACCEPT_AFTER: Duration = Duration::from_secs(20);

/// Own receipts are tried again with the next call, for at most so long.
const COLLECT_MAX: Duration = Duration::from_secs(5);
/// While the catalog is down they are not tried with every call.
const COLLECT_PAUSE: Duration = Duration::from_secs(2);

/// One request or several merged ones, all of one signal.
#[derive(Debug)]
pub struct Batch<'a> {
    /// Which service's request it is.
    pub signal: Signal,
    /// The serialized requests.
    pub payload: &'a [u8],
    /// The requests in the payload.
    pub parts: &'a [Part],
    /// As [`Export::received_unix_nano`].
    pub received_unix_nano: u64,
}

/// Where everything ends up.
#[derive(Debug)]
pub struct Store {
    config: Config,
    pipeline: OnceCell<Pipeline>,
    objects: OnceCell<Objects>,
    /// When receipts of this process were last stored, or tried; none are left when there is no time.
    receipts: Mutex<Option<Instant>>,
}

impl Store {
    /// Nothing is opened yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            pipeline: OnceCell::new(),
            objects: OnceCell::new(),
            receipts: Mutex::new(None),
        }
    }

    /// Opens the catalog and looks at the tables, so that the first request need not.
    ///
    /// # Errors
    /// `Config` when the configuration cannot work. A catalog that is down is no error here: it may be
    /// back when it is needed.
    pub async fn warm(&self) -> Result<()> {
        let pipeline = match self.pipeline().await {
            Ok(pipeline) => pipeline,
            Err(error) if error.kind() == ErrorKind::Config => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "the catalog cannot be opened now; it is tried again with the first request");
                return Ok(());
            }
        };
        if tokio::time::timeout(WARM_MAX, pipeline.warm()).await.is_err() {
            tracing::warn!(
                "the catalog did not answer in {} s; going on without",
                WARM_MAX.as_secs()
            );
        }
        Ok(())
    }

    /// The bytes that one request may have when decompressed.
    #[must_use]
    pub fn payload_bytes_max(&self) -> usize {
        self.config.limits.payload_bytes_max
    }

    /// Whether what is stored together is in files of its own and nobody keeps track of them: then what is
    /// stored again must be stored with the same neighbours.
    #[must_use]
    pub fn is_without_catalog(&self) -> bool {
        self.config.catalog.r#type == CatalogType::None
    }

    /// Reads objects of S3.
    ///
    /// # Errors
    /// `Config` when `storage.s3` does not fit together.
    pub async fn objects(&self) -> Result<&Objects> {
        self.objects
            .get_or_try_init(|| async { Objects::new(&self.config.storage) })
            .await
    }

    /// Stores one batch, within the time that the invocation has left.
    ///
    /// # Errors
    /// As [`Pipeline::export`]; `Cancelled`, to be retried, when there is not time enough. A commit
    /// that was begun goes on by itself: sending the batch again finds it.
    pub async fn export(
        &self,
        batch: &Batch<'_>,
        deadline: Deadline,
        metrics: &mut Metrics,
    ) -> Result<Outcome> {
        self.export_with(batch, &mut Registration::default(), deadline, metrics)
            .await
    }

    /// The same, with Parquet files in the same snapshots.
    ///
    /// # Errors
    /// As [`Store::export`], of the batch alone.
    pub async fn export_with(
        &self,
        batch: &Batch<'_>,
        files: &mut Registration,
        deadline: Deadline,
        metrics: &mut Metrics,
    ) -> Result<Outcome> {
        let begun = Instant::now();
        self.collect_receipts(deadline).await;
        let (answer_by, commit_by) = (deadline.answer_by(), self.commit_by(deadline));
        let export = async {
            self.pipeline()
                .await?
                .export_with(
                    Export {
                        signal: batch.signal,
                        payload: batch.payload,
                        parts: batch.parts,
                        received_unix_nano: batch.received_unix_nano,
                        cancel: CancellationToken::new(),
                        timeout: commit_by,
                    },
                    files,
                )
                .await
        };
        let result = tokio::time::timeout(answer_by, export).await.unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Cancelled,
                "the invocation's time ran out; raise the function's timeout, or its memory if this repeats",
            ))
        });
        if result.as_ref().is_ok_and(|outcome| outcome.receipts_written > 0) {
            self.set_receipts(Some(Instant::now()));
        }
        metrics.stored(batch, &result, begun.elapsed());
        result
    }

    /// As [`Pipeline::owner`]; none when that cannot be told now.
    pub async fn owner(&self, location: &str, deadline: Deadline) -> Option<Table> {
        let look = async { self.pipeline().await.ok()?.owner(location).await };
        tokio::time::timeout(deadline.commit_by(), look).await.ok()?
    }

    /// Whether an object at this location is one in which rejected data is kept (`dead_letter.path`), by its folders: raw objects may
    /// lie below the same path.
    #[must_use]
    pub fn keeps_dead_letters_at(&self, location: &str) -> bool {
        let kept = self.config.dead_letter.path.as_deref();
        kept.is_some_and(|kept| is_dead_letter(kept, location))
    }

    /// Holds Parquet files against their tables.
    ///
    /// # Errors
    /// When the catalog cannot be opened.
    pub async fn prepare_files(&self, files: &[ParquetFile], deadline: Deadline) -> Result<Registration> {
        if files.is_empty() {
            return Ok(Registration::default());
        }
        Ok(self
            .pipeline()
            .await?
            .prepare_files(files, deadline.commit_by())
            .await)
    }

    /// Commits the files of a signal's tables that are ready.
    pub async fn commit_files(&self, files: &mut Registration, signal: Signal, deadline: Deadline) {
        let (false, Ok(pipeline)) = (files.is_empty(), self.pipeline().await) else {
            return;
        };
        self.collect_receipts(deadline).await;
        let commit = pipeline.commit_files(files, signal.tables(), self.commit_by(deadline));
        // What is not answered by then stays as it is, and is tried again.
        let _ = tokio::time::timeout(deadline.answer_by(), commit).await;
    }

    /// How long a commit may be waited for.
    fn commit_by(&self, deadline: Deadline) -> Duration {
        match self.config.commit.on_failure {
            OnFailure::Accept => deadline.commit_by().min(ACCEPT_AFTER),
            OnFailure::Retry => deadline.commit_by(),
        }
    }

    /// Commits what this process stored while the catalog was down. Between invocations nothing runs, so
    /// that the library's own task may never get to it.
    async fn collect_receipts(&self, deadline: Deadline) {
        let last = *self.receipts.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(last), Some(pipeline)) = (last, self.pipeline.get()) else {
            return;
        };
        if last.elapsed() < COLLECT_PAUSE {
            return;
        }
        let time = COLLECT_MAX.min(deadline.commit_by() / 4);
        let collected = tokio::time::timeout(time, pipeline.collect_receipts()).await;
        // A failure was told when the receipts were stored, and is not told with every call.
        let done = matches!(collected, Ok(Ok(())));
        self.set_receipts((!done).then(Instant::now));
    }

    fn set_receipts(&self, last: Option<Instant>) {
        *self.receipts.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }

    async fn pipeline(&self) -> Result<&Pipeline> {
        self.pipeline
            .get_or_try_init(|| Pipeline::open(self.config.clone()))
            .await
    }
}

/// The id of what has this content, or this name: the first half of its SHA-256.
#[must_use]
pub fn content_id(bytes: &[u8]) -> RequestId {
    let hash = Sha256::digest(bytes);
    let mut writer = [0; 16];
    writer.copy_from_slice(&hash[..16]);
    RequestId { writer, sequence: 0 }
}

/// How long a client should wait, if the error says nothing of it.
pub const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Whether sending the same again can help, and after how long.
#[must_use]
pub fn retry_after(error: &Error) -> Option<Duration> {
    match error.retry_class() {
        RetryClass::Retry { after } => Some(after.unwrap_or(RETRY_AFTER)),
        RetryClass::Shutdown => Some(RETRY_AFTER),
        RetryClass::Permanent | RetryClass::Partial => None,
    }
}
/// Whether a location is `<kept>/<signal>/<day>/<name>`, as dead letters are called.
fn is_dead_letter(kept: &str, location: &str) -> bool {
    let without_scheme = |place: &str| place.split_once("://").map(|(_, path)| path.to_owned());
    let (Some(kept), Some(path)) = (without_scheme(kept), without_scheme(location)) else {
        return false;
    };
    let below = path
        .strip_prefix(kept.trim_end_matches('/'))
        .and_then(|rest| rest.strip_prefix('/'));
    let Some([signal, day, name]) = below.and_then(|below| {
        let parts: Vec<&str> = below.split('/').collect();
        <[&str; 3]>::try_from(parts).ok()
    }) else {
        return false;
    };
    let is_day = day.len() == 10 && day.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let ends_so = [".otlp.pb", ".json"].iter().any(|ending| name.ends_with(ending));
    Signal::ALL.iter().any(|of| of.as_str() == signal) && is_day && ends_so
}

#[cfg(test)]
mod tests {
    use super::is_dead_letter;

    #[test]
    fn dead_letters_are_known_by_their_folders() {
        for (kept, location, expected) in [
            ("s3://lake", "s3://lake/logs/2026-11-29/0192.otlp.pb", true),
            (
                "s3://lake/dead/",
                "s3://lake/dead/metrics/2026-11-29/0192.json",
                true,
            ),
            (
                "s3a://lake/dead",
                "s3://lake/dead/traces/2026-11-29/0192.otlp.pb",
                true,
            ),
            ("s3://lake", "s3://lake/raw/logs_1", false),
            ("s3://lake", "s3://lake/raw/logs/2026-11-29/0192.otlp.pb", false),
            ("s3://lake", "s3://lake/logs/2026/0192.otlp.pb", false),
            (
                "s3://lake/dead",
                "s3://lake/deader/logs/2026-11-29/0192.otlp.pb",
                false,
            ),
            ("s3://lake", "s3://other/logs/2026-11-29/0192.otlp.pb", false),
            ("/var/dead", "s3://var/dead/logs/2026-11-29/0192.otlp.pb", false),
        ] {
            assert_eq!(is_dead_letter(kept, location), expected, "{kept} {location}");
        }
    }
}
