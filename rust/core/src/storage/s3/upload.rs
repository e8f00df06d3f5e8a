//! Multipart upload of a large file while it is written. The file appears complete or not at all.

use std::sync::Arc;

use bytes::Bytes;
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutOptions, PutPayload, Result};
use tokio::task::JoinSet;

use super::Operation;
use super::failure::Answers;

/// The part size doubles after this many parts, so that 10,000 parts hold S3's largest file. It does not
/// double earlier, because some services require parts of one size.
const PARTS_OF_ONE_SIZE: usize = 1000;

/// The number of parts sent concurrently, which also limits the memory for them.
const PARTS_AT_ONCE: usize = 4;

/// One multipart upload. If it is dropped before it is complete, its parts are removed.
pub(super) struct Upload {
    store: Arc<AmazonS3>,
    key: Path,
    answers: Arc<Answers>,
    /// `None` once finished.
    multipart: Option<Box<dyn MultipartUpload>>,
    running: JoinSet<Result<()>>,
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
            first_part_bytes: operation.sizes.part_bytes.max(1),
            parts: 0,
            bytes: 0,
        })
    }

    /// The size of the next part, unless it is the last.
    pub(super) fn part_bytes(&self) -> usize {
        self.first_part_bytes << (self.parts / PARTS_OF_ONE_SIZE)
    }

    /// Sends a part. Waits until fewer than the maximum are being sent.
    pub(super) async fn send(&mut self, part: PutPayload) -> Result<()> {
        while self.running.len() >= PARTS_AT_ONCE {
            self.wait_for_one().await?;
        }
        let Some(multipart) = &mut self.multipart else {
            return Ok(());
        };
        self.parts += 1;
        self.bytes += part.content_length() as u64;
        let request = multipart.put_part(part);
        self.running.spawn(self.answers.watch(request));
        Ok(())
    }

    /// Waits for all parts, completes the upload and checks the file's length.
    pub(super) async fn finish(&mut self) -> Result<()> {
        while !self.running.is_empty() {
            self.wait_for_one().await?;
        }
        if let Some(multipart) = &mut self.multipart {
            self.answers.watch(multipart.complete()).await?;
        }
        self.multipart = None;
        let stored = self.answers.watch(self.store.head(&self.key)).await?.size;
        if stored != self.bytes {
            return Err(object_store::Error::Generic {
                store: "S3",
                source: Box::new(WrongLength {
                    expected: self.bytes,
                    found: stored,
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

    async fn wait_for_one(&mut self) -> Result<()> {
        match self.running.join_next().await {
            Some(ended) => ended?,
            None => Ok(()),
        }
    }
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
    if let Err(cause) = multipart.abort().await {
        tracing::warn!(%key, %cause, "an unfinished upload is left in the bucket");
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
