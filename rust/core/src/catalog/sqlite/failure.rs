//! Why a statement failed, and whether it may have changed something.

use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;

/// A statement's failure, with advice on how to fix it.
#[derive(Debug)]
pub(super) enum Failure {
    /// The database's own error.
    Sql(sqlx::Error),
    /// Another process, or another connection of ours, held the database for too long.
    Busy {
        /// The database file.
        path: PathBuf,
        /// `SQLite`'s error.
        cause: sqlx::Error,
    },
    /// The database file is not the one that was opened.
    Moved {
        /// The path of the database file.
        path: PathBuf,
        /// Whether the statement was run before the change was noticed.
        sent: bool,
    },
}

impl Failure {
    /// Whether the database was busy, so that the statement can be retried.
    pub(super) fn is_busy(&self) -> bool {
        matches!(
            self,
            Failure::Busy { .. } | Failure::Sql(sqlx::Error::PoolTimedOut)
        )
    }

    /// Whether it is certain that the statement changed nothing and never will.
    ///
    /// `SQLite` rolls back a single statement on any error. After a failed write or sync (`IOERR`), however,
    /// the change may still be found in the file after a crash. So that error, and every error that is not on
    /// the list, is not certain. <https://sqlite.org/rescode.html>
    pub(super) fn surely_undone(&self) -> bool {
        match self {
            Failure::Moved { sent, .. } => !sent,
            Failure::Sql(error @ sqlx::Error::Database(_)) => matches!(
                result_code(error),
                // ERROR, PERM, BUSY, LOCKED, NOMEM, READONLY, CORRUPT, FULL, CANTOPEN, SCHEMA, CONSTRAINT,
                // AUTH, NOTADB
                Some(1 | 3 | 5 | 6 | 7 | 8 | 11 | 13 | 14 | 17 | 19 | 23 | 26)
            ),
            // The statement was not begun: there was no lock or no connection.
            Failure::Busy { .. }
            | Failure::Sql(
                sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Configuration(_),
            ) => true,
            Failure::Sql(_) => false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Sql(error) => error.fmt(f),
            Failure::Busy { path, .. } => write!(
                f,
                "another process holds the database {}; end its transaction (an open shell, a backup, another writer), and the next retry succeeds",
                path.display()
            ),
            Failure::Moved { path, .. } => write!(
                f,
                "the catalog database {} was removed or replaced while the Collector ran; restart it (catalog.uri)",
                path.display()
            ),
        }
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Failure::Sql(error) => error.source(),
            Failure::Busy { cause, .. } => Some(cause),
            Failure::Moved { .. } => None,
        }
    }
}

/// Whether another connection held a lock that the statement needs.
pub(super) fn is_locked(error: &sqlx::Error) -> bool {
    // SQLITE_BUSY, SQLITE_LOCKED
    matches!(result_code(error), Some(5 | 6))
}

/// `SQLite`'s primary result code: the low byte of the extended one.
fn result_code(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}
