//! Repeated fields, read lazily from a range of their message's bytes.
//!
//! While a message reads its own scalars, it records where the field first starts and last ends
//! ([`Occurrences`]). That range is read again when the field is iterated, and other fields in it are
//! skipped. So nothing is allocated, whatever the number of elements.

use std::marker::PhantomData;

use super::error::{DecodeError, WireError};
use super::scalars::{PackedOrNot, Scalar};
use super::wire::{LENGTH_DELIMITED, Message, Reader, Tag};

/// A repeated message field: the bytes from its first to its last occurrence, read when iterated.
#[derive(Debug)]
pub struct Repeated<'a, M> {
    region: &'a [u8],
    field: u32,
    name: &'static str,
    len: usize,
    longest: u32,
    message: PhantomData<fn() -> M>,
}

impl<'a, M: Message<'a>> Repeated<'a, M> {
    /// The number of elements.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Average bytes per element, including other fields in between; 0 when there are no elements.
    #[must_use]
    pub(crate) fn mean_bytes(&self) -> usize {
        self.region.len().checked_div(self.len).unwrap_or_default()
    }

    /// Bytes of the longest element, with its tag and length; 0 when there are no elements.
    #[inline]
    pub(crate) fn longest_bytes(&self) -> usize {
        self.longest as usize
    }

    /// The bytes that the elements are read from; equal bytes of the same field have equal elements.
    #[inline]
    pub(crate) fn region(&self) -> &'a [u8] {
        self.region
    }

    /// The serialized elements in order; the first error is the last item. Callers add an element to its own
    /// errors with [`Self::in_element`].
    #[inline]
    pub(crate) fn serialized(&self) -> impl Iterator<Item = Result<&'a [u8], DecodeError>> {
        let mut elements = self.iter();
        let short_tag = u8::try_from(self.field << 3)
            .ok()
            .filter(|tag| *tag < 0x80)
            .map(|tag| tag | LENGTH_DELIMITED);
        std::iter::from_fn(move || {
            if elements.index == elements.len {
                return None;
            }
            if let Some(bytes) = short_tag.and_then(|tag| elements.reader.short_field(tag)) {
                elements.index += 1;
                return Some(Ok(bytes));
            }
            Some(elements.next_serialized())
        })
    }

    /// Adds the element to the path of its error.
    #[cold]
    pub(crate) fn in_element(&self, error: DecodeError, index: usize) -> DecodeError {
        error.in_element(self.name, index)
    }

    /// The elements in order; an error carries the element's name and index, and ends the iteration.
    #[inline]
    #[must_use]
    pub fn iter(&self) -> Elements<'a, M> {
        Elements {
            reader: Reader::new(self.region),
            field: self.field,
            name: self.name,
            index: 0,
            len: self.len,
            message: PhantomData,
        }
    }
}

// Not derived, since that would require `M: Clone`, although no `M` is stored here.
impl<M> Clone for Repeated<'_, M> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for Repeated<'_, M> {}

/// No elements.
impl<M> Default for Repeated<'_, M> {
    fn default() -> Self {
        Self {
            region: &[],
            field: 0,
            name: "",
            len: 0,
            longest: 0,
            message: PhantomData,
        }
    }
}

impl<'a, M: Message<'a>> IntoIterator for &Repeated<'a, M> {
    type Item = Result<M, DecodeError>;
    type IntoIter = Elements<'a, M>;

    #[inline]
    fn into_iter(self) -> Elements<'a, M> {
        self.iter()
    }
}

impl<'a, M: Message<'a>> IntoIterator for Repeated<'a, M> {
    type Item = Result<M, DecodeError>;
    type IntoIter = Elements<'a, M>;

    #[inline]
    fn into_iter(self) -> Elements<'a, M> {
        self.iter()
    }
}

/// The elements of a [`Repeated`] field, each read on demand.
#[derive(Debug, Clone)]
pub struct Elements<'a, M> {
    reader: Reader<'a>,
    field: u32,
    name: &'static str,
    index: usize,
    len: usize,
    message: PhantomData<fn() -> M>,
}

impl<'a, M: Message<'a>> Elements<'a, M> {
    #[inline]
    fn next_bytes(&mut self) -> Result<&'a [u8], WireError> {
        while let Some(tag) = self.reader.tag()? {
            if tag.number == self.field {
                tag.expect(LENGTH_DELIMITED)?;
                return self.reader.length_delimited();
            }
            self.reader.skip(tag)?;
        }
        Err(WireError::Truncated)
    }

    #[inline(never)]
    fn next_serialized(&mut self) -> Result<&'a [u8], DecodeError> {
        let index = self.index;
        self.index += 1;
        self.next_bytes().map_err(|wire| {
            self.index = self.len;
            DecodeError::new(wire).in_element(self.name, index)
        })
    }
}

impl<'a, M: Message<'a>> Iterator for Elements<'a, M> {
    type Item = Result<M, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.index == self.len {
            return None;
        }
        let index = self.index;
        let element = match self.next_bytes() {
            Ok(bytes) => M::parse(bytes),
            Err(wire) => Err(DecodeError::new(wire)),
        };
        self.index += 1;
        Some(match element {
            Ok(message) => Ok(message),
            Err(error) => {
                self.index = self.len;
                Err(error.in_element(self.name, index))
            }
        })
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        // The next item may be an error, which ends the iteration.
        (usize::from(self.index < self.len), Some(self.len - self.index))
    }
}

impl<'a, M: Message<'a>> std::iter::FusedIterator for Elements<'a, M> {}

/// The range of a repeated field in its message, collected while the message is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Occurrences {
    field: u32,
    name: &'static str,
    start: usize,
    end: usize,
    count: usize,
    longest: u32,
}

impl Occurrences {
    /// No occurrence of this field yet.
    #[inline]
    pub(super) fn of(field: u32, name: &'static str) -> Self {
        Self {
            field,
            name,
            start: 0,
            end: 0,
            count: 0,
            longest: 0,
        }
    }

    /// These occurrences, or `others` if there are none.
    #[inline]
    pub(super) fn or(self, others: Self) -> Self {
        if self.count == 0 { others } else { self }
    }

    /// The occurrences of this field in a message without other fields.
    #[inline]
    pub(super) fn only<'a, M>(
        bytes: &'a [u8],
        field: u32,
        name: &'static str,
    ) -> Result<Repeated<'a, M>, DecodeError> {
        let mut occurrences = Self::of(field, name);
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag()? {
            if tag.number == field {
                occurrences.note(&mut reader, tag)?;
            } else {
                reader.skip(tag)?;
            }
        }
        Ok(occurrences.messages(bytes))
    }

    /// Skips an element of a repeated message field and records its position.
    #[inline]
    pub(super) fn note(&mut self, reader: &mut Reader<'_>, tag: Tag) -> Result<(), DecodeError> {
        match tag
            .expect(LENGTH_DELIMITED)
            .and_then(|()| reader.length_delimited())
        {
            Ok(_) => {
                self.extend(tag.start, reader.position());
                Ok(())
            }
            Err(wire) => Err(DecodeError::new(wire).in_element(self.name, self.count)),
        }
    }

    /// Skips a scalar or a packed list and records its position. An empty list is not recorded.
    #[inline]
    pub(super) fn note_scalar(
        &mut self,
        reader: &mut Reader<'_>,
        tag: Tag,
        wire_type: u8,
    ) -> Result<(), DecodeError> {
        let has_elements = if tag.wire_type == LENGTH_DELIMITED {
            reader.length_delimited().map(|packed| !packed.is_empty())
        } else {
            tag.expect(wire_type)
                .and_then(|()| reader.skip(tag))
                .map(|()| true)
        };
        match has_elements {
            Ok(true) => self.extend(tag.start, reader.position()),
            Ok(false) => {}
            Err(wire) => return Err(DecodeError::new(wire).in_field(self.name)),
        }
        Ok(())
    }

    /// The repeated message field.
    #[inline]
    pub(super) fn messages<M>(self, bytes: &[u8]) -> Repeated<'_, M> {
        Repeated {
            region: bytes.get(self.start..self.end).unwrap_or_default(),
            field: self.field,
            name: self.name,
            len: self.count,
            longest: self.longest,
            message: PhantomData,
        }
    }

    /// The repeated scalar field, of this wire type when it is not packed.
    #[inline]
    pub(super) fn scalars<T: Scalar>(self, bytes: &[u8], wire_type: u8) -> PackedOrNot<'_, T> {
        let region = bytes.get(self.start..self.end).unwrap_or_default();
        PackedOrNot::new(region, self.field, wire_type, self.name)
    }

    #[inline]
    fn extend(&mut self, start: usize, end: usize) {
        if self.count == 0 {
            self.start = start;
        }
        self.end = end;
        self.count += 1;
        self.longest = self.longest.max(u32::try_from(end - start).unwrap_or(u32::MAX));
    }
}
