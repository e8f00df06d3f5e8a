//! The outcome of a commit attempt.
//!
//! | what happened | outcome |
//! |---|---|
//! | 2xx | `Committed` |
//! | 409 | `Refused`, a conflict |
//! | 408 | `Unknown`: a proxy may answer so while the catalog still works |
//! | another 4xx | `Refused`: a definite answer that the commit was not made |
//! | no connection | `Refused`, can be retried: nothing was sent |
//! | 1xx, 3xx, 5xx, 503 too, no answer in time, a broken connection | `Unknown` |
//!
//! The error of a refusal also says whether the catalog throttles us ([`Error::is_throttled`]): 429, or 400 with an
//! error type of AWS that means that.

use iceberg::TableIdent;
use reqwest::StatusCode;

use super::super::CommitOutcome;
use super::client::Failure;
use crate::error::{Error, ErrorKind};

pub(in crate::catalog) fn outcome_of_failure(failure: Failure, ident: &TableIdent) -> CommitOutcome {
    match failure {
        Failure::Refused(StatusCode::CONFLICT, error) => CommitOutcome::Refused {
            conflict: true,
            error: commit_error(error, ident),
        },
        Failure::Refused(status, error)
            if status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT =>
        {
            CommitOutcome::Refused {
                conflict: false,
                error: commit_error(error, ident),
            }
        }
        Failure::NotSent(error) => CommitOutcome::Refused {
            conflict: false,
            error: commit_error(error, ident),
        },
        Failure::NoAnswer(error) | Failure::Refused(_, error) => CommitOutcome::Unknown(
            Error::new(ErrorKind::CommitUnknown, "the commit's outcome is not known")
                .with("table", ident.to_string())
                .class(error.retry_class())
                .because(error),
        ),
    }
}

pub(in crate::catalog) fn commit_error(error: Error, ident: &TableIdent) -> Error {
    error.with("table", ident.to_string())
}
