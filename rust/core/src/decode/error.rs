//! Decoding errors and their location.

use std::fmt;

use crate::error::{Error, ErrorKind};

/// An error in the wire format at one location.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireError {
    /// The bytes end inside a field.
    Truncated,
    /// A varint of more than 10 bytes, or of more than 64 bits.
    VarintTooLong,
    /// Field number 0, or above 2^29 - 1.
    FieldNumber,
    /// A group tag (wire types 3 and 4), which OTLP never uses.
    Group,
    /// Wire type 6 or 7, which do not exist.
    UnknownWireType(u8),
    /// A known field whose wire type differs from the proto file's.
    WrongWireType {
        /// The wire type found.
        found: u8,
        /// The expected wire type.
        expected: u8,
    },
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireError::Truncated => f.write_str("the bytes end inside a field"),
            WireError::VarintTooLong => f.write_str("varint of more than 64 bits"),
            WireError::FieldNumber => f.write_str("field number out of range (1 to 536870911)"),
            WireError::Group => f.write_str("group tag, which OTLP never uses"),
            WireError::UnknownWireType(found) => write!(f, "wire type {found} does not exist"),
            WireError::WrongWireType { found, expected } => {
                write!(f, "wire type {found} where {expected} is expected")
            }
        }
    }
}

impl std::error::Error for WireError {}

/// A malformed request: the error and the path of the field, such as
/// `resource_logs[3].scope_logs[0].log_records[17].body`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError {
    /// The error.
    pub wire: WireError,
    /// Path segments from the innermost outwards; built only while an error propagates.
    segments: Vec<(&'static str, Option<usize>)>,
}

impl DecodeError {
    /// An error without a path yet.
    #[must_use]
    #[cold]
    pub fn new(wire: WireError) -> Self {
        Self {
            wire,
            segments: Vec::new(),
        }
    }

    /// Prepends a field to the path.
    #[must_use]
    #[cold]
    pub fn in_field(mut self, name: &'static str) -> Self {
        self.segments.push((name, None));
        self
    }

    /// Prepends an element of a repeated field to the path.
    #[must_use]
    #[cold]
    pub fn in_element(mut self, name: &'static str, index: usize) -> Self {
        self.segments.push((name, Some(index)));
        self
    }

    /// The path from the request inwards; empty if the request's own framing is invalid.
    #[must_use]
    pub fn path(&self) -> String {
        let mut path = String::new();
        for (name, index) in self.segments.iter().rev() {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(name);
            if let Some(index) = index {
                path.push('[');
                path.push_str(&index.to_string());
                path.push(']');
            }
        }
        path
    }
}

/// One line: `malformed OTLP at <path>: <what is wrong>`.
impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed OTLP")?;
        if !self.segments.is_empty() {
            write!(f, " at {}", self.path())?;
        }
        write!(f, ": {}", self.wire)
    }
}

impl std::error::Error for DecodeError {}

impl From<WireError> for DecodeError {
    #[cold]
    fn from(wire: WireError) -> Self {
        Self::new(wire)
    }
}

/// Permanent: the same bytes always fail. The message is complete, so no source is attached.
impl From<DecodeError> for Error {
    #[cold]
    fn from(error: DecodeError) -> Self {
        Error::new(ErrorKind::Decode, error.to_string())
    }
}
