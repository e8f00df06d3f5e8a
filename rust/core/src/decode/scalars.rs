//! Repeated scalars, which writers may pack into one occurrence or not.

use std::marker::PhantomData;

use super::error::{DecodeError, WireError};
use super::wire::{FIXED64, LENGTH_DELIMITED, Reader, VARINT};

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
    /// The field in these bytes, which begin with its first occurrence and end with its last.
    #[inline]
    pub(super) fn new(region: &'a [u8], field: u32, wire_type: u8, name: &'static str) -> Self {
        Self {
            region,
            field,
            wire_type,
            name,
            scalar: PhantomData,
        }
    }

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
