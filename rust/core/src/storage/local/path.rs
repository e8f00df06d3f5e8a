//! The paths in locations of local files.

use std::path::{self, Component, Path, PathBuf};
use std::{fs, io};

use iceberg::{Error, ErrorKind, Result};

/// The path in a `file:///path`, `file:/path` or plain location.
pub(super) fn local_path(location: &str) -> Result<PathBuf> {
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
