//! Local files for Iceberg's `FileIO`: each file appears whole and durable, or not at all.
//!
//! A file is written under a temporary name in its own folder, synced and renamed. Then the folder is synced.
//! A reader, or this process after a crash, sees the old state or the new one, never half a file under its
//! final name. Folders that were created are synced into their parents, too.
//!
//! A killed process leaves the temporary file behind. Its name has another suffix, so it is not read as data.
//! The name does not begin with a dot, so clean-ups of orphan files find it. Where folders are read without a
//! table, it does begin with a dot, since some programs read every file there without one.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{self, Component, Path, PathBuf};
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
use uuid::Uuid;

use super::extended_reads::ExtendedRead;

mod extended_reads;

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

/// The path in a `file:///path`, `file:/path` or plain location.
fn local_path(location: &str) -> Result<PathBuf> {
    if let Some((scheme, _)) = location.split_once("://")
        && scheme != "file"
        && is_scheme(scheme)
    {
        let message = format!(
            "{location:?} cannot be used: the table's other files are in local folders, so it must be a path or start with \
             file://"
        );
        return Err(Error::new(ErrorKind::DataInvalid, message));
    }
    let path = location
        .strip_prefix("file://")
        .or_else(|| location.strip_prefix("file:"))
        .unwrap_or(location);
    let path = PathBuf::from(path);
    // Whether a file belongs to a table is decided by the text of its location, which would lead elsewhere.
    if path.components().any(|part| part == Component::ParentDir) {
        let message = format!("{location:?} cannot be used: it has a part `..`");
        return Err(Error::new(ErrorKind::DataInvalid, message));
    }
    Ok(path)
}

/// An absolute path without `..`, which locations of files must not have. Symbolic links before a `..` are
/// followed, as the system does.
pub(crate) fn absolute_path(path: &Path) -> io::Result<PathBuf> {
    let mut absolute = PathBuf::new();
    for part in path::absolute(path)?.components() {
        if part == Component::ParentDir {
            // What does not exist is no link.
            absolute = fs::canonicalize(&absolute).unwrap_or(absolute);
            absolute.pop();
        } else {
            absolute.push(part);
        }
    }
    Ok(absolute)
}

/// A folder's name may contain other characters before `://`.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
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

/// A file under its temporary name. It is removed if it is dropped before [`PendingFile::publish`].
struct PendingFile {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    published: bool,
}

impl PendingFile {
    fn create(target: PathBuf, hidden: bool) -> Result<Self> {
        let (Some(folder), Some(name)) = (target.parent(), target.file_name()) else {
            let cause = io::Error::from(io::ErrorKind::InvalidInput);
            return Err(failed("write", &target, cause));
        };
        create_folders(folder).map_err(|cause| failed("create the folder", folder, cause))?;
        let temporary = folder.join(format!(
            "{}{}.{}.tmp",
            if hidden { "." } else { "" },
            name.to_string_lossy(),
            Uuid::new_v4().simple()
        ));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&temporary)
            .map_err(|cause| failed("create", &target, cause))?;
        Ok(Self {
            file,
            temporary,
            target,
            published: false,
        })
    }

    fn write(&mut self, content: &[u8]) -> Result<()> {
        self.file
            .write_all(content)
            .map_err(|cause| failed("write", &self.target, cause))
    }

    fn publish(mut self) -> Result<()> {
        self.file
            .sync_all()
            .map_err(|cause| failed("sync", &self.target, cause))?;
        fs::rename(&self.temporary, &self.target).map_err(|cause| failed("rename", &self.target, cause))?;
        self.published = true;
        match self.target.parent() {
            Some(folder) => sync_folder(folder).map_err(|cause| failed("sync the folder", folder, cause)),
            None => Ok(()),
        }
    }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        if !self.published
            && let Err(cause) = fs::remove_file(&self.temporary)
        {
            tracing::warn!(path = %self.temporary.display(), %cause, "cannot remove a temporary file");
        }
    }
}

/// Creates a folder and its missing parents. Each created folder is synced into its parent.
pub(crate) fn create_folders(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        create_folders(parent)?;
    }
    match fs::create_dir(folder) {
        Ok(()) => folder.parent().map_or(Ok(()), sync_folder),
        // Another process or thread created it meanwhile.
        Err(_) if folder.is_dir() => Ok(()),
        Err(cause) => Err(cause),
    }
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// On other systems a folder cannot be opened as a file, so only the rename is done.
#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
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

fn failed(verb: &str, path: &Path, cause: io::Error) -> Error {
    let advice = Advice(cause.kind());
    let message = format!("cannot {verb} {}{advice}", path.display());
    let kind = match cause.kind() {
        io::ErrorKind::NotFound => ErrorKind::DataInvalid,
        _ => ErrorKind::Unexpected,
    };
    Error::new(kind, message).with_source(cause)
}

/// Advice on an I/O error, in brackets. Empty if there is none.
pub(crate) struct Advice(pub(crate) io::ErrorKind);

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let advice = match self.0 {
            io::ErrorKind::PermissionDenied => "give this process permission to write there",
            io::ErrorKind::StorageFull => "the disk is full: free some space",
            io::ErrorKind::QuotaExceeded => "the disk quota is used up: free some space or raise it",
            io::ErrorKind::ReadOnlyFilesystem => "the file system is mounted read-only: choose another place",
            io::ErrorKind::NotFound => {
                "it or its folder is missing: was it removed, or is a disk not mounted?"
            }
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                "a file is in the way of a folder: move it or choose another place"
            }
            _ => return Ok(()),
        };
        write!(f, " ({advice})")
    }
}

#[cfg(test)]
mod tests;
