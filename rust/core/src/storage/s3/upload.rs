//! Multipart upload of a large file while it is written. The file appears complete or not at all.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{Error, MultipartUpload, ObjectStore, ObjectStoreExt, PutOptions, PutPayload, Result};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Operation;
use super::failure::Answers;

/// The part size doubles after this many parts, so that 10,000 parts hold S3's largest file. It does not
/// double earlier, because some services require parts of one size.
const PARTS_OF_ONE_SIZE: usize = 1000;

/// The maximum number of parts sent concurrently, which also limits the memory for them.
const PARTS_AT_ONCE_MAX: usize = 4;

/// One multipart upload. If it is dropped before it is complete, its parts are removed.
pub(super) struct Upload {
    store: Arc<AmazonS3>,
    key: Path,
    answers: Arc<Answers>,
    /// `None` once finished.
    multipart: Option<Box<dyn MultipartUpload>>,
    /// The parts that are being sent. Each returns how long it took.
    running: JoinSet<Result<Duration>>,
    /// How many may be sent at once. The first part is sent alone and shows it.
    parts_at_once: usize,
    /// How long sending a part may take.
    part_time: Duration,
    /// The size of the first parts.
    first_part_bytes: usize,
    parts: usize,
    bytes: u64,
}

impl Upload {
    pub(super) async fn start(operation: &Operation) -> Result<Self> {
        let Operation { bucket, key, .. } = operation;
        let multipart = operation.attempt(|| bucket.put_multipart(key)).await?;
        Ok(Self {
            store: Arc::clone(bucket),
            key: key.clone(),
            answers: Arc::clone(&operation.answers),
            multipart: Some(multipart),
            running: JoinSet::new(),
            parts_at_once: 1,
            part_time: operation.times.whole,
            first_part_bytes: operation.sizes.part_bytes.max(1),
            parts: 0,
            bytes: 0,
        })
    }

    /// The size of the next part, unless it is the last.
    pub(super) fn part_bytes(&self) -> usize {
        self.first_part_bytes << (self.parts / PARTS_OF_ONE_SIZE)
    }

    /// Sends a part. Waits until few enough are being sent.
    pub(super) async fn send(&mut self, part: PutPayload) -> Result<()> {
        while self.running.len() >= self.parts_at_once {
            self.wait_for_one().await?;
        }
        let Some(multipart) = &mut self.multipart else {
            return Ok(());
        };
        self.parts += 1;
        self.bytes += part.content_length() as u64;
        let request = self.answers.watch(multipart.put_part(part));
        self.running.spawn(async move {
            let begun = Instant::now();
            request.await.map(|()| begun.elapsed())
        });
        Ok(())
    }

    /// Waits for all parts, completes the upload and checks the file's length.
    pub(super) async fn finish(&mut self) -> Result<()> {
        while !self.running.is_empty() {
            self.wait_for_one().await?;
        }
        let completed = match &mut self.multipart {
            Some(multipart) => self.answers.watch(multipart.complete()).await.map(drop),
            None => Ok(()),
        };
        match completed {
            // Some services no longer know an upload that is complete. If their first answer was lost, the
            // second one says so.
            Err(Error::NotFound { .. }) if is_stored(&self.store, &self.key, self.bytes).await => {
                self.multipart = None;
                return Ok(());
            }
            ended => ended?,
        }
        self.multipart = None;
        let found = self.answers.watch(self.store.head(&self.key)).await?.size;
        if found != self.bytes {
            return Err(Error::Generic {
                store: "S3",
                source: Box::new(WrongLength {
                    expected: self.bytes,
                    found,
                }),
            });
        }
        Ok(())
    }

    /// Removes the parts of an upload that ended with this error. A failure is logged, because a remaining
    /// upload costs storage.
    ///
    /// If S3 refused the credentials, the chain is first asked for others, for the removal and for the next
    /// file.
    pub(super) async fn abort(mut self, operation: &Operation, error: &object_store::Error) {
        self.running.shutdown().await;
        operation.has_other_credentials(error).await;
        if let Some(mut multipart) = self.multipart.take() {
            abort(multipart.as_mut(), &self.key).await;
        }
    }

    /// Waits for a part. How long the first one took decides how many of the others are sent at once.
    async fn wait_for_one(&mut self) -> Result<()> {
        let Some(ended) = self.running.join_next().await else {
            return Ok(());
        };
        let took = ended??;
        if self.parts == 1 {
            self.parts_at_once = parts_at_once(took, self.part_time);
        }
        Ok(())
    }
}

/// How many parts can share the line so that each takes at most half of its time.
fn parts_at_once(one_took: Duration, part_time: Duration) -> usize {
    let fitting = part_time.as_millis() / (2 * one_took.as_millis()).max(1);
    usize::try_from(fitting)
        .unwrap_or(usize::MAX)
        .clamp(1, PARTS_AT_ONCE_MAX)
}

/// Whether a file of this length is in the bucket. Its answer is not the operation's, whose error keeps the
/// refusal before it.
async fn is_stored(store: &AmazonS3, key: &Path, bytes: u64) -> bool {
    let found = Arc::<Answers>::default().watch(store.head(key)).await;
    found.is_ok_and(|found| found.size == bytes)
}

impl Drop for Upload {
    /// Removes the parts of an operation that was cancelled or failed.
    fn drop(&mut self) {
        let Some(mut multipart) = self.multipart.take() else {
            return;
        };
        let key = self.key.clone();
        let mut running = std::mem::take(&mut self.running);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            tracing::warn!(%key, "an unfinished upload is left in the bucket");
            return;
        };
        runtime.spawn(async move {
            // A part that arrives after the abort would stay.
            running.shutdown().await;
            abort(multipart.as_mut(), &key).await;
        });
    }
}

async fn abort(multipart: &mut dyn MultipartUpload, key: &Path) {
    match multipart.abort().await {
        Ok(()) | Err(Error::NotFound { .. }) => {}
        Err(cause) => tracing::warn!(%key, %cause, "an unfinished upload is left in the bucket"),
    }
}

/// Uploads a whole file, in one request if it is small.
pub(super) async fn put(operation: &Operation, content: Bytes) -> Result<()> {
    let Operation { bucket, key, .. } = operation;
    if content.len() <= operation.sizes.single_put_bytes_max {
        let put = || bucket.put_opts(key, content.clone().into(), PutOptions::default());
        return operation.attempt(put).await.map(drop);
    }
    operation
        .attempt(|| put_in_parts(operation, content.clone()))
        .await
}

async fn put_in_parts(operation: &Operation, mut content: Bytes) -> Result<()> {
    let mut upload = Upload::start(operation).await?;
    let sent = async {
        while !content.is_empty() {
            let part = content.split_to(upload.part_bytes().min(content.len()));
            upload.send(part.into()).await?;
        }
        upload.finish().await
    };
    let sent = sent.await;
    if let Err(error) = &sent {
        upload.abort(operation, error).await;
    }
    sent
}

/// A file or a range has another length than expected.
#[derive(Debug)]
pub(super) struct WrongLength {
    /// The expected number of bytes.
    pub(super) expected: u64,
    /// The actual number of bytes.
    pub(super) found: u64,
}

impl std::fmt::Display for WrongLength {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "it has {} bytes where {} were expected",
            self.found, self.expected
        )
    }
}

impl std::error::Error for WrongLength {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_share_the_line_only_where_it_is_fast_enough() {
        for (one_took, expected) in [
            (0, 4),
            (7_500, 4),
            (10_000, 3),
            (15_000, 2),
            (16_000, 1),
            (59_000, 1),
        ] {
            let found = parts_at_once(Duration::from_millis(one_took), Duration::from_secs(60));
            assert_eq!(found, expected, "{one_took} ms");
        }
    }
}
