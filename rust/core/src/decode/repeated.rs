//! Repeated fields, read lazily from a range of their message's bytes.
//!
//! While a message reads its own scalars, it records where the field first starts and last ends
//! ([`Occurrences`]). That range is read again when the field is iterated, and other fields in it are
//! skipped. So nothing is allocated, whatever the number of elements.

use std::marker::PhantomData;

use super::error::{DecodeError, WireError};
use super::wire::{FIXED64, LENGTH_DELIMITED, Message, Reader, Tag, VARINT};

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

/// A repeated scalar field, packed or not: `fixed64`, `double`, `uint64`.
#[derive(Debug, Clone, Copy, Default)]
pub struct PackedOrNot<'a, T> {
    region: &'a [u8],
    field: u32,
    wire_type: u8,
    name: &'static str,
    scalar: PhantomData<fn() -> T>,
}

impl<'a, T: Scalar> PackedOrNot<'a, T> {
    /// Whether there are no elements.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.region.is_empty()
    }

    /// An upper bound of the number of elements, from the byte length.
    #[must_use]
    pub(crate) fn len_max(&self) -> usize {
        let least = if self.wire_type == VARINT {
            1
        } else {
            size_of::<u64>()
        };
        self.region.len() / least
    }

    /// Appends `value` of each element to `out`, including those before an error. It is much faster than
    /// iterating: writers pack a list into one occurrence.
    ///
    /// # Errors
    /// With the element's name and index, when the field is malformed.
    pub fn append_to<V>(&self, out: &mut Vec<V>, value: impl Fn(T) -> V) -> Result<(), DecodeError> {
        if let Some(packed) = self.only_occurrence() {
            if self.wire_type == VARINT {
                return self.append_varints(packed, out, value);
            }
            if let (scalars, []) = packed.as_chunks() {
                let bits = scalars.iter().map(|bits| u64::from_le_bytes(*bits));
                out.extend(bits.map(|bits| value(T::from_bits(bits))));
                return Ok(());
            }
        }
        for scalar in self {
            out.push(value(scalar?));
        }
        Ok(())
    }

    fn append_varints<V>(
        &self,
        packed: &[u8],
        out: &mut Vec<V>,
        value: impl Fn(T) -> V,
    ) -> Result<(), DecodeError> {
        let mut reader = Reader::new(packed);
        let start = out.len();
        while !reader.is_at_end() {
            let bits = reader
                .varint()
                .map_err(|wire| DecodeError::new(wire).in_element(self.name, out.len() - start))?;
            out.push(value(T::from_bits(bits)));
        }
        Ok(())
    }

    /// The bytes of the packed occurrence, if the field occurs exactly once, packed.
    fn only_occurrence(&self) -> Option<&'a [u8]> {
        let mut region = Reader::new(self.region);
        let tag = region.tag().ok()??;
        if (tag.number, tag.wire_type) != (self.field, LENGTH_DELIMITED) {
            return None;
        }
        region.length_delimited().ok().filter(|_| region.is_at_end())
    }

    /// The elements in order; an error carries the element's name and index, and ends the iteration.
    #[inline]
    #[must_use]
    pub fn iter(&self) -> Scalars<'a, T> {
        Scalars {
            packed: Reader::new(&[]),
            region: Reader::new(self.region),
            field: self.field,
            wire_type: self.wire_type,
            name: self.name,
            index: 0,
            scalar: PhantomData,
        }
    }
}

impl<'a, T: Scalar> IntoIterator for &PackedOrNot<'a, T> {
    type Item = Result<T, DecodeError>;
    type IntoIter = Scalars<'a, T>;

    #[inline]
    fn into_iter(self) -> Scalars<'a, T> {
        self.iter()
    }
}

impl<'a, T: Scalar> IntoIterator for PackedOrNot<'a, T> {
    type Item = Result<T, DecodeError>;
    type IntoIter = Scalars<'a, T>;

    #[inline]
    fn into_iter(self) -> Scalars<'a, T> {
        self.iter()
    }
}

/// A type with values of 64 bits: `fixed64`, `double` or `uint64`.
pub trait Scalar: Copy {
    /// The value with these bits.
    fn from_bits(bits: u64) -> Self;
}

impl Scalar for u64 {
    #[inline]
    fn from_bits(bits: u64) -> Self {
        bits
    }
}

impl Scalar for f64 {
    #[inline]
    fn from_bits(bits: u64) -> Self {
        f64::from_bits(bits)
    }
}

/// The elements of a [`PackedOrNot`] field.
#[derive(Debug, Clone)]
pub struct Scalars<'a, T> {
    /// The unread part of the current packed occurrence.
    packed: Reader<'a>,
    region: Reader<'a>,
    field: u32,
    wire_type: u8,
    name: &'static str,
    index: usize,
    scalar: PhantomData<fn() -> T>,
}

impl<T: Scalar> Scalars<'_, T> {
    #[inline]
    fn next_bits(&mut self) -> Result<Option<u64>, WireError> {
        while self.packed.is_at_end() {
            let Some(tag) = self.region.tag()? else {
                return Ok(None);
            };
            if tag.number != self.field {
                self.region.skip(tag)?;
            } else if tag.wire_type == LENGTH_DELIMITED {
                self.packed = Reader::new(self.region.length_delimited()?);
            } else {
                tag.expect(self.wire_type)?;
                return read_scalar(&mut self.region, self.wire_type).map(Some);
            }
        }
        read_scalar(&mut self.packed, self.wire_type).map(Some)
    }
}

impl<T: Scalar> Iterator for Scalars<'_, T> {
    type Item = Result<T, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self.next_bits() {
            Ok(bits) => {
                self.index += 1;
                bits.map(|bits| Ok(T::from_bits(bits)))
            }
            Err(wire) => {
                self.packed = Reader::new(&[]);
                self.region = Reader::new(&[]);
                Some(Err(DecodeError::new(wire).in_element(self.name, self.index)))
            }
        }
    }
}

impl<T: Scalar> std::iter::FusedIterator for Scalars<'_, T> {}

#[inline]
fn read_scalar(reader: &mut Reader<'_>, wire_type: u8) -> Result<u64, WireError> {
    if wire_type == FIXED64 {
        reader.take_u64()
    } else {
        reader.varint()
    }
}

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
    pub(super) fn scalars<T>(self, bytes: &[u8], wire_type: u8) -> PackedOrNot<'_, T> {
        PackedOrNot {
            region: bytes.get(self.start..self.end).unwrap_or_default(),
            field: self.field,
            wire_type,
            name: self.name,
            scalar: PhantomData,
        }
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
