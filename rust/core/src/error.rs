//! The library's error type: what failed, where, and what the caller may do about it.

use std::any::Any;
use std::fmt::{self, Write as _};
use std::time::Duration;

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kind of an error. Numbers are part of the C ABI: never change or reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration is invalid; the message lists every problem with its key.
    Config = 1,
    /// The request bytes are not a valid OTLP message; the message names the path.
    Decode = 2,
    /// Some records were rejected individually, and the rest was stored.
    Rejected = 3,
    /// The existing table cannot hold our rows (a type conflict, a required column that we do not have).
    TableMismatch = 4,
    /// Reading or writing a file failed.
    Storage = 5,
    /// The catalog rejected a request, or could not be reached before anything was sent to it.
    Catalog = 6,
    /// A commit was sent and its outcome is unknown.
    CommitUnknown = 7,
    /// The caller cancelled, or the time ran out, before anything was committed.
    Cancelled = 8,
    /// The library is shutting down.
    Shutdown = 9,
    /// A configured limit was exceeded.
    Limit = 10,
    /// A bug in this library (a caught panic, a violated invariant).
    Internal = 11,
    /// The caller violated the contract of the C ABI (null pointer, closed handle).
    InvalidArgument = 12,
}

impl ErrorKind {
    /// The stable number of this kind in the C ABI.
    #[must_use]
    pub const fn code(self) -> i32 {
        self as i32
    }

    /// A short name for logs and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Config => "config",
            ErrorKind::Decode => "decode",
            ErrorKind::Rejected => "rejected",
            ErrorKind::TableMismatch => "table_mismatch",
            ErrorKind::Storage => "storage",
            ErrorKind::Catalog => "catalog",
            ErrorKind::CommitUnknown => "commit_unknown",
            ErrorKind::Cancelled => "cancelled",
            ErrorKind::Shutdown => "shutdown",
            ErrorKind::Limit => "limit",
            ErrorKind::Internal => "internal",
            ErrorKind::InvalidArgument => "invalid_argument",
        }
    }

    /// The default retry class of an error of this kind.
    const fn default_class(self) -> RetryClass {
        match self {
            ErrorKind::Config | ErrorKind::Decode | ErrorKind::TableMismatch | ErrorKind::InvalidArgument => {
                RetryClass::Permanent
            }
            ErrorKind::Rejected => RetryClass::Partial,
            ErrorKind::Shutdown => RetryClass::Shutdown,
            ErrorKind::Storage
            | ErrorKind::Catalog
            | ErrorKind::CommitUnknown
            | ErrorKind::Cancelled
            | ErrorKind::Limit
            | ErrorKind::Internal => RetryClass::Retry { after: None },
        }
    }
}

/// What the host does with the request. Decided here, once; hosts only map it to their own terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryClass {
    /// Send the same request again, no earlier than `after` if that is given.
    Retry {
        /// The minimum wait.
        after: Option<Duration>,
    },
    /// A retry cannot help.
    Permanent,
    /// Everything except the rejected records is stored; do not send the request again.
    Partial,
    /// The process is stopping; keep the request for the next one.
    Shutdown,
}

/// An error with its kind, a message that says what to do, its context, and its source.
pub struct Error {
    kind: ErrorKind,
    class: RetryClass,
    throttled: bool,
    message: String,
    context: Vec<(&'static str, String)>,
    source: Option<Box<dyn std::error::Error + Send + Sync + 'static>>,
}

impl Error {
    /// A new error of a kind, with the kind's default retry class.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            class: kind.default_class(),
            throttled: false,
            message: message.into(),
            context: Vec::new(),
            source: None,
        }
    }

    /// Adds context, such as `("table", "otel.logs")`. Never a secret.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.context.push((key, value.into()));
        self
    }

    /// Sets the error that caused this one.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync + 'static>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Overrides the retry class.
    #[must_use]
    pub fn class(mut self, class: RetryClass) -> Self {
        self.class = class;
        self
    }

    /// Records that a service refused a request because it gets too many.
    #[must_use]
    pub fn throttled(mut self) -> Self {
        self.throttled = true;
        self
    }

    /// Whether a service refused a request because it gets too many. The request was not carried out.
    #[must_use]
    pub fn is_throttled(&self) -> bool {
        self.throttled
    }

    /// The kind of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What the host does with the request.
    #[must_use]
    pub fn retry_class(&self) -> RetryClass {
        self.class
    }

    /// The minimum wait before the same request is sent again, if one was specified.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self.class {
            RetryClass::Retry { after } => after,
            RetryClass::Permanent | RetryClass::Partial | RetryClass::Shutdown => None,
        }
    }

    /// The context value that was added with a key.
    #[must_use]
    pub fn context(&self, key: &str) -> Option<&str> {
        let mut entries = self.context.iter();
        entries
            .find(|(known, _)| *known == key)
            .map(|(_, value)| value.as_str())
    }

    /// The message alone, without context and source.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// One line: message, context, and the chain of sources, without those that the text already contains.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.message.clone();
        for (i, (key, value)) in self.context.iter().enumerate() {
            write!(text, "{}{key}: {value}", if i == 0 { " (" } else { ", " })?;
        }
        if !self.context.is_empty() {
            text.push(')');
        }
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            // Many errors print their source themselves and also return it as their source.
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                write!(text, ": {cause_text}")?;
            }
            source = cause.source();
        }
        f.write_str(&text)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind)
            .field("class", &self.class)
            .field("throttled", &self.throttled)
            .field("message", &self.message)
            .field("context", &self.context)
            .field("source", &self.source)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// The message of a panic. `panic!` carries a `&str` or a `String`; other payloads have no text.
#[must_use]
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "(without a message)"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_one_line_with_context_and_sources() {
        let inner = std::io::Error::other("disk is full");
        let error = Error::new(ErrorKind::Storage, "cannot write the data file")
            .with("table", "otel.logs")
            .with("path", "file:///w/a.parquet")
            .because(inner);
        assert_eq!(
            error.to_string(),
            "cannot write the data file (table: otel.logs, path: file:///w/a.parquet): disk is full"
        );
        assert_eq!(error.retry_class(), RetryClass::Retry { after: None });
    }

    /// Like sqlx's errors: it prints its source and also returns it.
    #[derive(Debug)]
    struct Wrapping(std::io::Error);

    impl fmt::Display for Wrapping {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "error returned from database: {}", self.0)
        }
    }

    impl std::error::Error for Wrapping {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn display_says_a_cause_once_also_when_each_layer_repeats_it() {
        let error = Error::new(ErrorKind::Catalog, "cannot look up the table")
            .because(Wrapping(std::io::Error::other("database is locked")));
        assert_eq!(
            error.to_string(),
            "cannot look up the table: error returned from database: database is locked"
        );
    }
}
