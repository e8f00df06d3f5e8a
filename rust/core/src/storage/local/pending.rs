//! Writes a file under a temporary name first, so that it appears whole and durable.
//!
//! The temporary file is in the file's own folder. It is synced and renamed, then the folder is synced. A
//! reader, or this process after a crash, sees the old state or the new one, never half a file under its final
//! name. Folders that were created are synced into their parents, too.
//!
//! A killed process leaves the temporary file behind. Its name has another suffix, so it is not read as data.
//! The name does not begin with a dot, so clean-ups of orphan files find it. Where folders are read without a
//! table, it does begin with a dot, since some programs read every file there without one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use iceberg::Result;
use uuid::Uuid;

use super::failure::failed;

/// A file under its temporary name. It is removed if it is dropped before [`PendingFile::publish`].
pub(super) struct PendingFile {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    published: bool,
}

impl PendingFile {
    /// Creates the file and its missing folders. `hidden` says that the temporary name begins with a dot.
    pub fn create(target: PathBuf, hidden: bool) -> Result<Self> {
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

    /// Appends to the file.
    pub fn write(&mut self, content: &[u8]) -> Result<()> {
        self.file
            .write_all(content)
            .map_err(|cause| failed("write", &self.target, cause))
    }

    /// Gives the file its final name, once what was written is on disk.
    pub fn publish(mut self) -> Result<()> {
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
