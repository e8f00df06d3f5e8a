//! Why a commit was given up, as its callers are told.

use std::fmt;
use std::sync::Arc;

use crate::catalog::LoadedTable;
use crate::error::{Error, ErrorKind, RetryClass};

/// Why no more attempts are made.
pub(super) enum Failure {
    /// The catalog refused or could not be reached, as often as is allowed.
    Catalogs(Error),
    /// An attempt could not be made.
    Ours(Error),
}

impl Failure {
    /// Whether the catalog wants to be left alone for a while, also by us who would like to look.
    pub(super) fn asks_to_wait(&self) -> bool {
        match self {
            Failure::Catalogs(error) | Failure::Ours(error) => asks_to_wait(error),
        }
    }

    /// The error for the callers; `known` if the appends are not in the table and never will be.
    pub(super) fn into_error(self, known: bool, sent: u32, table: &LoadedTable) -> Error {
        let (kind, message, cause) = match self {
            Failure::Ours(error) if known => return error,
            Failure::Catalogs(error) if known => {
                (ErrorKind::Catalog, "the catalog did not take the commit", error)
            }
            Failure::Catalogs(error) | Failure::Ours(error) => (
                ErrorKind::CommitUnknown,
                "it is not known whether the commit was taken; send the data again",
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

/// Whether a catalog that says so wants to be left alone for a while.
pub(super) fn asks_to_wait(error: &Error) -> bool {
    error.retry_after().is_some_and(|after| !after.is_zero())
}

/// One error for each of several callers.
pub(super) fn shared_error(error: &Arc<Error>) -> Error {
    Error::new(error.kind(), "the commit failed")
        .class(error.retry_class())
        .because(SharedCause(Arc::clone(error)))
}

/// Prints the whole chain by itself, so it names no source.
#[derive(Debug)]
struct SharedCause(Arc<Error>);

impl fmt::Display for SharedCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for SharedCause {}
