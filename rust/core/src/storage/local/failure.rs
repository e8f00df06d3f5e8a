//! Errors of local files, with advice on what to change.

use std::path::Path;
use std::{fmt, io};

use iceberg::{Error, ErrorKind};

/// The error of a file operation.
pub(super) fn failed(verb: &str, path: &Path, cause: io::Error) -> Error {
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
