//! Where the database is, and whether the file there is still the one that was opened.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

/// The database's path and the file that was there when it was opened.
///
/// `SQLite` writes on to an open file that was unlinked, and nobody ever reads it again.
#[derive(Debug)]
pub(super) struct DatabaseFile {
    path: PathBuf,
    identity: Identity,
}

impl DatabaseFile {
    /// Looks at the file, which must exist. While it is open its identity is not given to another.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            identity: identity(&std::fs::metadata(path)?),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// False when the file was removed or replaced, or cannot be seen any more.
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

/// Elsewhere an open file cannot be removed or replaced; that there is one is all that is compared.
#[cfg(not(unix))]
type Identity = bool;

#[cfg(not(unix))]
fn identity(metadata: &Metadata) -> Identity {
    metadata.is_file()
}
