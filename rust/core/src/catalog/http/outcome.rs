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

use super::super::NotCommitted;
use super::client::Failure;
use crate::error::Error;

/// The outcome of an attempt that failed. Its error names the table.
pub(in crate::catalog) fn outcome_of_failure(failure: Failure, ident: &TableIdent) -> NotCommitted {
    let refused = |conflict, error: Error| NotCommitted::Refused {
        conflict,
        error: error.with("table", ident.to_string()),
    };
    match failure {
        Failure::Refused(StatusCode::CONFLICT, error) => refused(true, error),
        Failure::Refused(status, error)
            if status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT =>
        {
            refused(false, error)
        }
        Failure::NotSent(error) => refused(false, error),
        Failure::NoAnswer(error) | Failure::Refused(_, error) => NotCommitted::unknown(error, ident),
    }
}
