//! Writes the file to storage while it grows.

use bytes::Bytes;
use iceberg::io::{FileIO, FileWrite};

use crate::cause::IcebergCause;
use crate::error::{Error, ErrorKind, Result};

/// A file in storage that does not become visible before it is closed.
pub(super) struct Output<'a> {
    path: &'a str,
    writer: Box<dyn FileWrite>,
}

impl<'a> Output<'a> {
    /// Starts a file.
    ///
    /// # Errors
    /// `Storage` when it cannot be started.
    pub async fn create(file_io: &FileIO, path: &'a str) -> Result<Self> {
        let output = file_io.new_output(path).map_err(|cause| failed(path, cause))?;
        let writer = output.writer().await.map_err(|cause| failed(path, cause))?;
        Ok(Self { path, writer })
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// `Storage` when they cannot be written.
    pub async fn write(&mut self, bytes: Vec<u8>) -> Result<()> {
        let written = self.writer.write(Bytes::from(bytes)).await;
        written.map_err(|cause| failed(self.path, cause))
    }

    /// Completes the file.
    ///
    /// # Errors
    /// `Storage` when it cannot be completed.
    pub async fn close(mut self) -> Result<()> {
        let closed = self.writer.close().await;
        closed.map_err(|cause| failed(self.path, cause))
    }
}

fn failed(path: &str, cause: iceberg::Error) -> Error {
    Error::new(ErrorKind::Storage, "cannot write the data file")
        .with("path", path)
        .because(IcebergCause(cause))
}
