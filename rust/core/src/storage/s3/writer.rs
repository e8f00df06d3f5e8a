//! A writer for a file of unknown size, which sends parts while the file grows.

use async_trait::async_trait;
use bytes::Bytes;
use iceberg::Result;
use iceberg::io::FileWrite;
use object_store::{ObjectStore, PutOptions, PutPayload, PutPayloadMut};

use super::Operation;
use super::storage::closed;
use super::upload::Upload;

/// Buffers a file until it is too large for one request, then sends it in parts.
pub(super) struct S3FileWrite {
    /// `None` once closed, or after a failure.
    state: Option<State>,
}

struct State {
    operation: Operation,
    upload: Option<Upload>,
    /// The bytes that are not sent yet, with their number.
    pending: PutPayloadMut,
}

impl S3FileWrite {
    pub(super) fn new(operation: Operation) -> Self {
        Self {
            state: Some(State {
                operation,
                upload: None,
                pending: PutPayloadMut::new(),
            }),
        }
    }
}

#[async_trait]
impl FileWrite for S3FileWrite {
    async fn write(&mut self, content: Bytes) -> Result<()> {
        let mut state = self.state.take().ok_or_else(closed)?;
        match state.write(content).await {
            Ok(()) => {
                self.state = Some(state);
                Ok(())
            }
            Err(error) => Err(state.give_up(error).await),
        }
    }

    async fn close(&mut self) -> Result<()> {
        let mut state = self.state.take().ok_or_else(closed)?;
        match state.send_rest().await {
            Ok(()) => Ok(()),
            Err(error) => Err(state.give_up(error).await),
        }
    }
}

impl State {
    async fn write(&mut self, mut content: Bytes) -> object_store::Result<()> {
        while !content.is_empty() {
            let full = match &self.upload {
                Some(upload) => upload.part_bytes(),
                None => self.operation.sizes.single_put_bytes_max,
            };
            let room = full.saturating_sub(self.pending.content_length());
            self.pending.push(content.split_to(room.min(content.len())));
            // A file that ends exactly here is still sent in one request.
            if self.pending.content_length() >= full && !content.is_empty() {
                self.send_part().await?;
            }
        }
        Ok(())
    }

    async fn send_part(&mut self) -> object_store::Result<()> {
        let part = std::mem::take(&mut self.pending).freeze();
        let upload = match &mut self.upload {
            Some(upload) => upload,
            None => self.upload.insert(Upload::start(&self.operation).await?),
        };
        upload.send(part).await
    }

    async fn send_rest(&mut self) -> object_store::Result<()> {
        if self.upload.is_some() {
            if self.pending.content_length() > 0 {
                self.send_part().await?;
            }
            return match &mut self.upload {
                Some(upload) => upload.finish().await,
                None => Ok(()),
            };
        }
        let content: PutPayload = std::mem::take(&mut self.pending).freeze();
        let Operation { bucket, key, .. } = &self.operation;
        let put = || bucket.put_opts(key, content.clone(), PutOptions::default());
        self.operation.attempt(put).await.map(drop)
    }

    /// Removes the parts, and returns the error.
    async fn give_up(self, error: object_store::Error) -> iceberg::Error {
        if let Some(upload) = self.upload {
            upload.abort(&self.operation, &error).await;
        }
        self.operation.failed("write", error)
    }
}
