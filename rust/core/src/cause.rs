//! Wraps errors of the iceberg crate as sources of ours, on one line.

use std::error::Error as StdError;
use std::fmt;

/// An iceberg error whose text is only its message. Its own `Display` repeats the source, which our `Display`
/// already prints by walking the chain.
#[derive(Debug)]
pub(crate) struct IcebergCause(pub(crate) iceberg::Error);

impl fmt::Display for IcebergCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.message() {
            "" => write!(f, "{}", self.0.kind()),
            message => f.write_str(message),
        }
    }
}

impl StdError for IcebergCause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        StdError::source(&self.0)
    }
}
