//! Local files for Iceberg's `FileIO`: each file appears whole and durable, or not at all ([`pending`]).

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use iceberg::io::{
    FileIO, FileIOBuilder, FileMetadata, FileRead, FileWrite, InputFile, OutputFile, Storage, StorageConfig,
    StorageFactory,
};
use iceberg::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

pub(crate) use self::failure::Advice;
use self::failure::failed;
pub(crate) use self::path::absolute_path;
use self::path::local_path;
use self::pending::PendingFile;
pub(crate) use self::pending::create_folders;
use super::extended_reads::ExtendedRead;

mod extended_reads;
mod failure;
mod path;
mod pending;

/// A `FileIO` over [`LocalStorage`].
#[must_use]
pub fn local_file_io() -> FileIO {
    FileIOBuilder::new(Arc::new(LocalStorageFactory::default())).build()
}

/// The same for folders that are read without a table: files are hidden until they are complete.
pub(crate) fn hiding_file_io() -> FileIO {
    FileIOBuilder::new(Arc::new(LocalStorageFactory { hides: true })).build()
}

/// Makes [`LocalStorage`].
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct LocalStorageFactory {
    /// Whether temporary names begin with a dot.
    hides: bool,
}

#[typetag::serde(name = "Otlp2IcebergLocalStorageFactory")]
impl StorageFactory for LocalStorageFactory {
    fn build(&self, _config: &StorageConfig) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(LocalStorage { hides: self.hides }))
    }
}

/// Files named by `file://` URLs or plain absolute paths.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct LocalStorage {
    /// Whether temporary names begin with a dot.
    hides: bool,
}

#[async_trait]
#[typetag::serde(name = "Otlp2IcebergLocalStorage")]
impl Storage for LocalStorage {
    async fn exists(&self, path: &str) -> Result<bool> {
        let path = local_path(path)?;
        blocking(move || {
            path.try_exists()
                .map_err(|cause| failed("look for", &path, cause))
        })
        .await
    }

    async fn metadata(&self, path: &str) -> Result<FileMetadata> {
        let path = local_path(path)?;
        blocking(move || {
            let metadata = fs::metadata(&path).map_err(|cause| failed("look at", &path, cause))?;
            Ok(FileMetadata { size: metadata.len() })
        })
        .await
    }

    async fn read(&self, path: &str) -> Result<Bytes> {
        let (purpose, path, answer): (_, _, fn(&Path) -> io::Result<Bytes>) = match ExtendedRead::parse(path)
        {
            None => ("read", path, |file| fs::read(file).map(Bytes::from)),
            Some(ExtendedRead::List(folder)) => ("list", folder, extended_reads::list),
            Some(ExtendedRead::Modified(file)) => ("look at", file, extended_reads::modified),
        };
        let path = local_path(path)?;
        blocking(move || answer(&path).map_err(|cause| failed(purpose, &path, cause))).await
    }

    async fn reader(&self, path: &str) -> Result<Box<dyn FileRead>> {
        let path = local_path(path)?;
        blocking(move || {
            let file = File::open(&path).map_err(|cause| failed("open", &path, cause))?;
            Ok(Box::new(LocalFileRead {
                file: Arc::new(file),
                path,
            }) as Box<dyn FileRead>)
        })
        .await
    }

    async fn write(&self, path: &str, content: Bytes) -> Result<()> {
        let (path, hides) = (local_path(path)?, self.hides);
        blocking(move || {
            let mut pending = PendingFile::create(path, hides)?;
            pending.write(&content)?;
            pending.publish()
        })
        .await
    }

    async fn writer(&self, path: &str) -> Result<Box<dyn FileWrite>> {
        let (path, hides) = (local_path(path)?, self.hides);
        let pending = blocking(move || PendingFile::create(path, hides)).await?;
        Ok(Box::new(LocalFileWrite {
            pending: Some(pending),
        }))
    }

    async fn delete(&self, path: &str) -> Result<()> {
        let path = local_path(path)?;
        blocking(move || match fs::remove_file(&path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(failed("delete", &path, cause)),
            _ => Ok(()),
        })
        .await
    }

    async fn delete_prefix(&self, path: &str) -> Result<()> {
        let path = local_path(path)?;
        blocking(move || match fs::remove_dir_all(&path) {
            // As `FileIO::delete_prefix` specifies: a file is not deleted.
            Err(cause)
                if !matches!(
                    cause.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Err(failed("delete", &path, cause))
            }
            _ => Ok(()),
        })
        .await
    }

    async fn delete_stream(&self, mut paths: BoxStream<'static, String>) -> Result<()> {
        while let Some(path) = paths.next().await {
            self.delete(&path).await?;
        }
        Ok(())
    }

    fn new_input(&self, path: &str) -> Result<InputFile> {
        Ok(InputFile::new(Arc::new(*self), path.to_owned()))
    }

    fn new_output(&self, path: &str) -> Result<OutputFile> {
        Ok(OutputFile::new(Arc::new(*self), path.to_owned()))
    }
}

struct LocalFileRead {
    file: Arc<File>,
    path: PathBuf,
}

#[async_trait]
impl FileRead for LocalFileRead {
    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let (file, path) = (Arc::clone(&self.file), self.path.clone());
        blocking(move || read_range(&file, range).map_err(|cause| failed("read", &path, cause))).await
    }
}

#[cfg(unix)]
fn read_range(file: &File, range: Range<u64>) -> io::Result<Bytes> {
    use std::os::unix::fs::FileExt;
    let mut content = vec![0; range_len(&range)?];
    file.read_exact_at(&mut content, range.start)?;
    Ok(Bytes::from(content))
}

#[cfg(not(unix))]
fn read_range(mut file: &File, range: Range<u64>) -> io::Result<Bytes> {
    use std::io::{Read, Seek, SeekFrom};
    let mut content = vec![0; range_len(&range)?];
    file.seek(SeekFrom::Start(range.start))?;
    file.read_exact(&mut content)?;
    Ok(Bytes::from(content))
}

fn range_len(range: &Range<u64>) -> io::Result<usize> {
    usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)
}

struct LocalFileWrite {
    /// `None` once closed, or after a failure.
    pending: Option<PendingFile>,
}

#[async_trait]
impl FileWrite for LocalFileWrite {
    async fn write(&mut self, content: Bytes) -> Result<()> {
        let mut pending = self.pending.take().ok_or_else(closed)?;
        let pending = blocking(move || {
            pending.write(&content)?;
            Ok(pending)
        })
        .await?;
        self.pending = Some(pending);
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        let pending = self.pending.take().ok_or_else(closed)?;
        blocking(move || pending.publish()).await
    }
}

fn closed() -> Error {
    Error::new(
        ErrorKind::Unexpected,
        "the file is closed, or writing it failed before",
    )
}

/// Runs file operations outside the async threads, or in place if there is no runtime.
async fn blocking<T, F>(work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime.spawn_blocking(work).await.map_err(|cause| {
            Error::new(ErrorKind::Unexpected, "a file operation did not finish").with_source(cause)
        })?,
        Err(_) => work(),
    }
}

#[cfg(test)]
mod tests;
