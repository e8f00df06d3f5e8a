//! The local side of [`super::super::extended_reads`].

use std::path::Path;
use std::time::UNIX_EPOCH;
use std::{fs, io};

use bytes::Bytes;

use super::super::extended_reads::list_answer;

/// The listing of a folder.
pub(super) fn list(folder: &Path) -> io::Result<Bytes> {
    let entries = match fs::read_dir(folder) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Bytes::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(list_answer(names))
}

/// When a file was last written.
pub(super) fn modified(file: &Path) -> io::Result<Bytes> {
    let metadata = match fs::metadata(file) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Bytes::new()),
        metadata => metadata?,
    };
    let since = metadata
        .modified()?
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Ok(since.as_millis().to_string().into())
}
