//! Why a commit was given up, as reported to its callers.

use std::fmt;
use std::sync::Arc;

use crate::catalog::LoadedTable;
use crate::error::{Error, ErrorKind, RetryClass};

/// Why no more attempts are made.
pub(super) enum Failure {
    /// The catalog refused or was unreachable, and the retries are used up.
    Catalogs(Error),
    /// An attempt could not be made.
    Ours(Error),
}

impl Failure {
    /// Whether the catalog asks to wait. A reload of the table must wait then, too.
    pub(super) fn asks_to_wait(&self) -> bool {
        match self {
            Failure::Catalogs(error) | Failure::Ours(error) => asks_to_wait(error),
        }
    }

    /// The error for the callers. `known` means that the appends are not in the table and never will be.
    pub(super) fn into_error(self, known: bool, sent: u32, table: &LoadedTable) -> Error {
        let (kind, message, cause) = match self {
            Failure::Ours(error) if known => return error,
            Failure::Catalogs(error) if known => {
                (ErrorKind::Catalog, "the catalog did not take the commit", error)
            }
            Failure::Catalogs(error) | Failure::Ours(error) => (
                ErrorKind::CommitUnknown,
                "it is not known whether the commit was taken; a retry adds only what is missing",
                error,
            ),
        };
        let class = if known {
            cause.retry_class()
        } else {
            RetryClass::Retry {
                after: cause.retry_after(),
            }
        };
        Error::new(kind, message)
            .with("table", table.ident.to_string())
            .with("attempts", sent.to_string())
            .class(class)
            .because(cause)
    }
}

/// Whether a catalog that returned this error asks to wait.
pub(super) fn asks_to_wait(error: &Error) -> bool {
    error.retry_after().is_some_and(|after| !after.is_zero())
}

/// Creates one error for each of several callers.
pub(super) fn shared_error(error: &Arc<Error>) -> Error {
    Error::new(error.kind(), "the commit failed")
        .class(error.retry_class())
        .because(SharedCause(Arc::clone(error)))
}

/// Prints the whole chain itself, so it has no source.
#[derive(Debug)]
struct SharedCause(Arc<Error>);

impl fmt::Display for SharedCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for SharedCause {}
