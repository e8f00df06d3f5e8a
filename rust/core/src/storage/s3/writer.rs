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
    /// Full parts that are not sent yet, because the file may still fit into one request.
    held: Vec<PutPayload>,
    /// The bytes after them, with their number.
    pending: PutPayloadMut,
}

impl S3FileWrite {
    pub(super) fn new(operation: Operation) -> Self {
        Self {
            state: Some(State {
                operation,
                upload: None,
                held: Vec::new(),
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
            let room = self.part_bytes().saturating_sub(self.pending.content_length());
            if room == 0 {
                self.end_part().await?;
                continue;
            }
            self.pending.push(content.split_to(room.min(content.len())));
            if self.upload.is_none() && self.unsent_bytes() > self.operation.sizes.single_put_bytes_max {
                self.start_upload().await?;
            }
        }
        Ok(())
    }

    fn part_bytes(&self) -> usize {
        match &self.upload {
            Some(upload) => upload.part_bytes(),
            None => self.operation.sizes.part_bytes.max(1),
        }
    }

    fn unsent_bytes(&self) -> usize {
        let held = self.held.iter().map(PutPayload::content_length).sum::<usize>();
        held + self.pending.content_length()
    }

    async fn start_upload(&mut self) -> object_store::Result<()> {
        let upload = self.upload.insert(Upload::start(&self.operation).await?);
        for part in std::mem::take(&mut self.held) {
            upload.send(part).await?;
        }
        Ok(())
    }

    async fn end_part(&mut self) -> object_store::Result<()> {
        let part = std::mem::take(&mut self.pending).freeze();
        if let Some(upload) = &mut self.upload {
            return upload.send(part).await;
        }
        self.held.push(part);
        Ok(())
    }

    async fn send_rest(&mut self) -> object_store::Result<()> {
        if self.upload.is_some() {
            if self.pending.content_length() > 0 {
                self.end_part().await?;
            }
            return match &mut self.upload {
                Some(upload) => upload.finish().await,
                None => Ok(()),
            };
        }
        let held = std::mem::take(&mut self.held).into_iter().flatten();
        let rest = std::mem::take(&mut self.pending).freeze();
        let content: PutPayload = held.chain(rest).collect();
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
