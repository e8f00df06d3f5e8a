//! Tags, varints, fixed-width and length-delimited fields: the primitives for reading every message.

use super::error::{DecodeError, WireError};

/// A view that reads its own scalar fields in one pass over a message's bytes.
pub trait Message<'a>: Sized {
    /// Reads the message.
    ///
    /// # Errors
    /// When the message's own fields, or those of its singular messages, are malformed.
    /// The elements of repeated messages stay unread.
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError>;
}

/// Wire type 0: a varint.
pub(super) const VARINT: u8 = 0;
/// Wire type 1: 8 bytes, little-endian.
pub(super) const FIXED64: u8 = 1;
/// Wire type 2: a length, then that many bytes.
pub(super) const LENGTH_DELIMITED: u8 = 2;
/// Wire types 3 and 4: the deprecated groups.
const GROUP_START: u8 = 3;
const GROUP_END: u8 = 4;
/// Wire type 5: 4 bytes, little-endian.
pub(super) const FIXED32: u8 = 5;

const FIELD_NUMBER_MAX: u32 = (1 << 29) - 1;

/// The next field: its number, its wire type and the start of its tag.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tag {
    pub(super) number: u32,
    pub(super) wire_type: u8,
    /// Offset of the tag's first byte in the message.
    pub(super) start: usize,
}

impl Tag {
    /// Returns an error if the wire type differs from the proto file's.
    #[inline]
    pub(super) fn expect(self, wire_type: u8) -> Result<(), WireError> {
        if self.wire_type == wire_type {
            Ok(())
        } else {
            Err(self.unexpected(wire_type))
        }
    }

    #[cold]
    fn unexpected(self, expected: u8) -> WireError {
        match self.wire_type {
            GROUP_START | GROUP_END => WireError::Group,
            VARINT | FIXED64 | LENGTH_DELIMITED | FIXED32 => WireError::WrongWireType {
                found: self.wire_type,
                expected,
            },
            unknown => WireError::UnknownWireType(unknown),
        }
    }
}

/// A cursor over one message's bytes. Every read either advances or returns an error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    len: usize,
}

/// Reads of a field's value: each rejects a wrong wire type and names the field in its error.
impl<'a> Reader<'a> {
    /// Starts at a message's first byte.
    #[inline]
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            len: bytes.len(),
        }
    }

    /// The next field's tag; `None` at the end of the message.
    #[inline]
    pub(super) fn tag(&mut self) -> Result<Option<Tag>, WireError> {
        let start = self.position();
        match *self.rest {
            [] => Ok(None),
            // Fields up to 15, which are nearly all.
            [key @ 8..0x80, ref rest @ ..] => {
                self.rest = rest;
                Ok(Some(Tag {
                    number: u32::from(key >> 3),
                    wire_type: key & 7,
                    start,
                }))
            }
            _ => self.long_tag(start).map(Some),
        }
    }

    #[inline(never)]
    fn long_tag(&mut self, start: usize) -> Result<Tag, WireError> {
        let key = self.varint()?;
        match u32::try_from(key >> 3) {
            Ok(number @ 1..=FIELD_NUMBER_MAX) => Ok(Tag {
                number,
                wire_type: (key & 7) as u8,
                start,
            }),
            _ => Err(WireError::FieldNumber),
        }
    }

    /// A `uint64` field's value, which all other varint types are based on.
    #[inline]
    pub(super) fn uint64(&mut self, tag: Tag, name: &'static str) -> Result<u64, DecodeError> {
        match tag.expect(VARINT).and_then(|()| self.varint()) {
            Ok(value) => Ok(value),
            Err(wire) => Err(DecodeError::new(wire).in_field(name)),
        }
    }

    /// A `uint32` field: the low 32 bits, as in protobuf's own readers.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "protobuf keeps the low 32 bits")]
    pub(super) fn uint32(&mut self, tag: Tag, name: &'static str) -> Result<u32, DecodeError> {
        Ok(self.uint64(tag, name)? as u32)
    }

    /// An `int64` field.
    #[inline]
    pub(super) fn int64(&mut self, tag: Tag, name: &'static str) -> Result<i64, DecodeError> {
        Ok(self.uint64(tag, name)?.cast_signed())
    }

    /// A `sint32` field: zigzag in the low 32 bits.
    #[inline]
    pub(super) fn sint32(&mut self, tag: Tag, name: &'static str) -> Result<i32, DecodeError> {
        let zigzag = self.uint32(tag, name)?;
        Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }

    /// An open enum field: any number is accepted; its low 32 bits are kept.
    #[inline]
    pub(super) fn enumeration(&mut self, tag: Tag, name: &'static str) -> Result<i32, DecodeError> {
        Ok(self.uint32(tag, name)?.cast_signed())
    }

    /// A `bool` field: any nonzero varint is true.
    #[inline]
    pub(super) fn boolean(&mut self, tag: Tag, name: &'static str) -> Result<bool, DecodeError> {
        Ok(self.uint64(tag, name)? != 0)
    }

    /// A `fixed64` field.
    #[inline]
    pub(super) fn fixed64(&mut self, tag: Tag, name: &'static str) -> Result<u64, DecodeError> {
        match tag.expect(FIXED64).and_then(|()| self.take_u64()) {
            Ok(value) => Ok(value),
            Err(wire) => Err(DecodeError::new(wire).in_field(name)),
        }
    }

    /// A `sfixed64` field.
    #[inline]
    pub(super) fn sfixed64(&mut self, tag: Tag, name: &'static str) -> Result<i64, DecodeError> {
        Ok(self.fixed64(tag, name)?.cast_signed())
    }

    /// A `double` field, bit by bit.
    #[inline]
    pub(super) fn double(&mut self, tag: Tag, name: &'static str) -> Result<f64, DecodeError> {
        Ok(f64::from_bits(self.fixed64(tag, name)?))
    }

    /// A `fixed32` field.
    #[inline]
    pub(super) fn fixed32(&mut self, tag: Tag, name: &'static str) -> Result<u32, DecodeError> {
        match tag.expect(FIXED32).and_then(|()| self.take_u32()) {
            Ok(value) => Ok(value),
            Err(wire) => Err(DecodeError::new(wire).in_field(name)),
        }
    }

    /// A `bytes` field, or the unchecked bytes of a `string`.
    #[inline]
    pub(super) fn bytes(&mut self, tag: Tag, name: &'static str) -> Result<&'a [u8], DecodeError> {
        match tag
            .expect(LENGTH_DELIMITED)
            .and_then(|()| self.length_delimited())
        {
            Ok(value) => Ok(value),
            Err(wire) => Err(DecodeError::new(wire).in_field(name)),
        }
    }

    /// A singular message field.
    #[inline]
    pub(super) fn message<M: Message<'a>>(&mut self, tag: Tag, name: &'static str) -> Result<M, DecodeError> {
        let bytes = self.bytes(tag, name)?;
        M::parse(bytes).map_err(|error| error.in_field(name))
    }
}

/// Reads by wire type alone.
impl<'a> Reader<'a> {
    /// Skips the value of an unknown field.
    #[inline]
    pub(super) fn skip(&mut self, tag: Tag) -> Result<(), WireError> {
        match tag.wire_type {
            VARINT => self.varint().map(drop),
            FIXED64 => self.take_u64().map(drop),
            LENGTH_DELIMITED => self.length_delimited().map(drop),
            FIXED32 => self.take_u32().map(drop),
            GROUP_START | GROUP_END => Err(WireError::Group),
            unknown => Err(WireError::UnknownWireType(unknown)),
        }
    }

    /// Offset of the next byte in the message.
    #[inline]
    pub(super) fn position(&self) -> usize {
        self.len - self.rest.len()
    }

    /// Whether all bytes are read.
    #[inline]
    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// The bytes of the next field if it has this tag and fewer than 128 bytes. Otherwise nothing is read.
    #[inline]
    pub(super) fn short_field(&mut self, tag: u8) -> Option<&'a [u8]> {
        match self.rest {
            [next, len @ ..0x80, rest @ ..] if *next == tag => {
                let (value, rest) = rest.split_at_checked(usize::from(*len))?;
                self.rest = rest;
                Some(value)
            }
            _ => None,
        }
    }

    /// A length, then that many bytes.
    #[inline]
    pub(super) fn length_delimited(&mut self) -> Result<&'a [u8], WireError> {
        let len = self.varint()?;
        // A length above `usize::MAX` also exceeds the available bytes.
        let len = usize::try_from(len).map_err(|_| WireError::Truncated)?;
        let (value, rest) = self.rest.split_at_checked(len).ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(value)
    }

    /// 8 bytes.
    #[inline]
    pub(super) fn take_u64(&mut self) -> Result<u64, WireError> {
        let (value, rest) = self.rest.split_first_chunk().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*value))
    }

    /// 4 bytes.
    #[inline]
    fn take_u32(&mut self) -> Result<u32, WireError> {
        let (value, rest) = self.rest.split_first_chunk().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*value))
    }

    /// A varint of up to 10 bytes and 64 bits. Tags, enums and most lengths take one byte, nearly all others
    /// two, so only these are inlined.
    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, WireError> {
        match *self.rest {
            [first, ref rest @ ..] if first < 0x80 => {
                self.rest = rest;
                Ok(u64::from(first))
            }
            [first, second, ref rest @ ..] if second < 0x80 => {
                self.rest = rest;
                Ok(u64::from(first & 0x7f) | u64::from(second) << 7)
            }
            _ => self.long_varint(),
        }
    }

    #[inline(never)]
    fn long_varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0;
        for (index, &byte) in self.rest.iter().enumerate().take(10) {
            // The tenth byte may hold only the 64th bit.
            if index == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.rest = self.rest.get(index + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        if self.rest.len() < 10 {
            Err(WireError::Truncated)
        } else {
            Err(WireError::VarintTooLong)
        }
    }
}
