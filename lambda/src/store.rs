//! The library, opened once per execution environment.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use otlp2iceberg::config::{CatalogType, Config, OnFailure};
use otlp2iceberg::storage::Objects;
use otlp2iceberg::{
    Error, ErrorKind, Export, Outcome, ParquetFile, Part, Pipeline, Registration, RequestId, Result,
    RetryClass, Signal, Table,
};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::deadline::Deadline;
use crate::emf::Metrics;
use crate::repairs::Repairs;

/// An unresponsive catalog must not use up the init phase, which Lambda ends after 10 s.
const WARM_MAX: Duration = Duration::from_secs(3);

/// With `commit.on_failure: accept`, the greatest wait for a catalog that does not commit. After it, the
/// client gets its answer, and the rows get their receipt.
const ACCEPT_AFTER: Duration = Duration::from_secs(20);

/// The greatest time for retrying our own receipts, in the next call.
const COLLECT_MAX: Duration = Duration::from_secs(5);
/// The pause between retries while the catalog is down, so that not every call retries.
const COLLECT_PAUSE: Duration = Duration::from_secs(2);

/// One request or several merged ones, all of one signal.
#[derive(Debug)]
pub struct Batch<'a> {
    /// The signal of the requests.
    pub signal: Signal,
    /// The serialized requests.
    pub payload: &'a [u8],
    /// The requests in the payload.
    pub parts: &'a [Part],
    /// As [`Export::received_unix_nano`].
    pub received_unix_nano: u64,
}

/// Stores the requests in the tables.
#[derive(Debug)]
pub struct Store {
    config: Config,
    registers_parquet: bool,
    pipeline: OnceCell<Pipeline>,
    objects: OnceCell<Objects>,
    /// When receipts of this process were last stored or retried; `None` when there are none.
    receipts: Mutex<Option<Instant>>,
}

impl Store {
    /// Creates a store; nothing is opened yet. `registers_parquet` is whether Parquet files among the objects
    /// are registered.
    #[must_use]
    pub fn new(config: Config, registers_parquet: bool) -> Self {
        Self {
            config,
            registers_parquet,
            pipeline: OnceCell::new(),
            objects: OnceCell::new(),
            receipts: Mutex::new(None),
        }
    }

    /// Opens the catalog and loads the tables, so that the first request need not.
    ///
    /// # Errors
    /// `Config` when the configuration cannot work. An unavailable catalog is not an error here: it may be
    /// available again when it is needed.
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

    /// The greatest decompressed size of one request, bytes.
    #[must_use]
    pub fn payload_bytes_max(&self) -> usize {
        self.config.limits.payload_bytes_max
    }

    /// Whether requests stored together get files of their own that no catalog tracks. A request stored again
    /// must then be stored with the same neighbours.
    #[must_use]
    pub fn is_without_catalog(&self) -> bool {
        self.config.catalog.r#type == CatalogType::None
    }

    /// Whether Parquet files among the objects are registered in the tables.
    #[must_use]
    pub fn registers_parquet(&self) -> bool {
        self.registers_parquet
    }

    /// The reader of S3 objects.
    ///
    /// # Errors
    /// `Config` when the settings of `storage.s3` are inconsistent.
    pub async fn objects(&self) -> Result<&Objects> {
        self.objects
            .get_or_try_init(|| async { Objects::new(&self.config.storage) })
            .await
    }

    /// Stores one batch within the remaining time of the invocation.
    ///
    /// # Errors
    /// As [`Pipeline::export`]; `Cancelled`, to be retried, when the time is too short. A commit that has
    /// started continues in the background, and a retry of the batch finds it.
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
    /// As [`Store::export`], for the batch alone.
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
        let has_receipt = result.as_ref().is_ok_and(|outcome| outcome.receipts_written > 0);
        if has_receipt || any_in_receipt(files, batch.signal) {
            self.set_receipts(Some(Instant::now()));
        }
        metrics.stored(batch, &result, begun.elapsed());
        if let Ok(outcome) = &result {
            let repairs = Repairs::of(outcome);
            if !repairs.is_empty() {
                tracing::warn!(signal = %batch.signal, %repairs, "some records are not stored as they were sent");
            }
        }
        result
    }

    /// As [`Pipeline::owner`]; `None` when the owner is currently unknown. The caller limits the time.
    pub async fn owner(&self, location: &str) -> Option<Table> {
        self.pipeline().await.ok()?.owner(location).await
    }

    /// Whether an object at this location is a dead letter (`dead_letter.path`), by its folders: raw objects
    /// may be below the same path.
    #[must_use]
    pub fn keeps_dead_letters_at(&self, location: &str) -> bool {
        let kept = self.config.dead_letter.path.as_deref();
        kept.is_some_and(|kept| is_dead_letter(kept, location))
    }

    /// Matches Parquet files to their tables.
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

    /// Commits the signal's files that are ready.
    pub async fn commit_files(&self, files: &mut Registration, signal: Signal, deadline: Deadline) {
        let (false, Ok(pipeline)) = (files.is_empty(), self.pipeline().await) else {
            return;
        };
        self.collect_receipts(deadline).await;
        let commit = pipeline.commit_files(files, signal.tables(), self.commit_by(deadline));
        // Files without a result by then keep their state and are retried.
        let _ = tokio::time::timeout(deadline.answer_by(), commit).await;
        if any_in_receipt(files, signal) {
            self.set_receipts(Some(Instant::now()));
        }
    }

    /// The greatest wait for a commit.
    fn commit_by(&self, deadline: Deadline) -> Duration {
        match self.config.commit.on_failure {
            OnFailure::Accept => deadline.commit_by().min(ACCEPT_AFTER),
            OnFailure::Retry => deadline.commit_by(),
        }
    }

    /// Commits what this process stored while the catalog was down. Nothing runs between invocations, so the
    /// library's own task may never run.
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
        // The failure was reported when the receipts were stored; it is not reported again with every call.
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

/// An id from a content or a name: the first half of its SHA-256.
#[must_use]
pub fn content_id(bytes: &[u8]) -> RequestId {
    let hash = Sha256::digest(bytes);
    let mut writer = [0; 16];
    writer.copy_from_slice(&hash[..16]);
    RequestId { writer, sequence: 0 }
}

/// The client's wait before a retry, if the error does not specify one.
pub const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Whether a retry can help, and after how long.
#[must_use]
pub fn retry_after(error: &Error) -> Option<Duration> {
    match error.retry_class() {
        RetryClass::Retry { after } => Some(after.unwrap_or(RETRY_AFTER)),
        RetryClass::Shutdown => Some(RETRY_AFTER),
        RetryClass::Permanent | RetryClass::Partial => None,
    }
}

/// Whether one of the signal's files got a receipt.
fn any_in_receipt(files: &Registration, signal: Signal) -> bool {
    files.of(signal.tables()).any(|file| file.in_receipt)
}

/// Whether a location is `<kept>/<signal>/<day>/<name>`, the form of dead letters.
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
