//! The location of the database, and whether the file there is still the one that was opened.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

/// The database's path and the file that was there when it was opened.
///
/// `SQLite` keeps writing to an open file that was unlinked. That data is lost.
#[derive(Debug)]
pub(super) struct DatabaseFile {
    path: PathBuf,
    identity: Identity,
}

impl DatabaseFile {
    /// Reads the identity of the file, which must exist. While the file is open, no other file gets its
    /// identity.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            identity: identity(&std::fs::metadata(path)?),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// False when the file was removed or replaced, or is not accessible any more.
    pub(super) async fn is_kept(&self) -> bool {
        tokio::fs::metadata(&self.path)
            .await
            .is_ok_and(|metadata| identity(&metadata) == self.identity)
    }
}

/// Device and inode.
#[cfg(unix)]
type Identity = (u64, u64);

#[cfg(unix)]
fn identity(metadata: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

/// On other systems an open file cannot be removed or replaced, so only its existence is compared.
#[cfg(not(unix))]
type Identity = bool;

#[cfg(not(unix))]
fn identity(metadata: &Metadata) -> Identity {
    metadata.is_file()
}
