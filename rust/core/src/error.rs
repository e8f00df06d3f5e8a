//! The one error type of the library: what went wrong, where, and what the caller may do about it.

use std::any::Any;
use std::fmt::{self, Write as _};
use std::time::Duration;

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing went wrong. Numbers are part of the C ABI: never change or reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration is wrong; the message lists every problem with its key.
    Config = 1,
    /// The request bytes are not the OTLP message that they should be; the message names the path.
    Decode = 2,
    /// Some records were rejected by themselves and the rest was stored.
    Rejected = 3,
    /// The table that exists cannot hold our rows (a clash of types, a required column we do not have).
    TableMismatch = 4,
    /// Reading or writing a file failed.
    Storage = 5,
    /// The catalog refused, or could not be reached before anything was sent to it.
    Catalog = 6,
    /// A commit was sent and its outcome is not known.
    CommitUnknown = 7,
    /// The caller cancelled, or the time allowed ran out, before anything was committed.
    Cancelled = 8,
    /// The library is shutting down.
    Shutdown = 9,
    /// A configured limit was passed.
    Limit = 10,
    /// A bug in this library (a caught panic, a broken invariant).
    Internal = 11,
    /// A caller broke the contract of the C ABI (null pointer, closed handle).
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

    /// The class that an error of this kind has unless the place that raises it knows better.
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

/// What the host does with the request. Decided here, once; hosts only map it to their own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryClass {
    /// Send the same request again, not before `after` if that is given.
    Retry {
        /// How long to wait at least.
        after: Option<Duration>,
    },
    /// Sending it again cannot help.
    Permanent,
    /// All but the rejected records is stored; do not send it again.
    Partial,
    /// The process is stopping; keep the request for the next one.
    Shutdown,
}

/// An error with its kind, a message that says what to do, where it happened, and its source.
pub struct Error {
    kind: ErrorKind,
    class: RetryClass,
    message: String,
    context: Vec<(&'static str, String)>,
    source: Option<Box<dyn std::error::Error + Send + Sync + 'static>>,
}

impl Error {
    /// A new error of a kind; its retry class is the kind's usual one.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            class: kind.default_class(),
            message: message.into(),
            context: Vec::new(),
            source: None,
        }
    }

    /// Adds where it happened, such as `("table", "otel.logs")`. Never a secret.
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

    /// What kind of thing went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What the host does with the request.
    #[must_use]
    pub fn retry_class(&self) -> RetryClass {
        self.class
    }

    /// How long to wait at least before the same request is sent again, if somebody asked for that.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self.class {
            RetryClass::Retry { after } => after,
            RetryClass::Permanent | RetryClass::Partial | RetryClass::Shutdown => None,
        }
    }

    /// Where it happened, by the key that it was added with.
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

/// One line: message, context, and the chain of sources, less those that the text already has.
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
            // Many an error prints its source itself, and names it as its source as well.
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

/// What a panic said. `panic!` carries a `&str` or a `String`; anything else has no text.
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

    /// As sqlx has it: prints its source, and names it.
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
