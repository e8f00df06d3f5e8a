//! `common/v1/common.proto` and `resource/v1/resource.proto`.

use std::borrow::Cow;

use super::error::DecodeError;
use super::repeated::{Occurrences, Repeated};
use super::wire::{LENGTH_DELIMITED, Message, Reader};

/// The field of `ResourceLogs`, `ResourceSpans` and `ResourceMetrics` that held the scopes before OTLP 0.15,
/// in the same layout. The Collector still reads it if the current field is empty.
pub(super) const DEPRECATED_SCOPES: u32 = 1000;

/// Tag of `AnyValue.string_value`.
const STRING_VALUE: u8 = 1 << 3 | LENGTH_DELIMITED;
/// Tag of `KeyValue.key`.
const KEY: u8 = 1 << 3 | LENGTH_DELIMITED;
/// Tag of `KeyValue.value`.
const VALUE: u8 = 2 << 3 | LENGTH_DELIMITED;

/// The bytes of a protobuf `string`, which may be invalid UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Text<'a>(pub &'a [u8]);

impl<'a> Text<'a> {
    /// Whether the text is empty: in protobuf equal to an absent field.
    #[inline]
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The text with invalid UTF-8 replaced by U+FFFD (as [`String::from_utf8_lossy`] does), and whether
    /// there was any.
    #[inline]
    #[must_use]
    pub fn to_str_lossy(self) -> (Cow<'a, str>, bool) {
        match std::str::from_utf8(self.0) {
            Ok(text) => (Cow::Borrowed(text), false),
            Err(_) => (String::from_utf8_lossy(self.0), true),
        }
    }
}

/// `AnyValue`. Nested lists stay unparsed, so nesting costs nothing here; callers that traverse them count
/// the levels.
#[derive(Debug, Clone, Copy, Default)]
pub enum AnyValue<'a> {
    /// No field of the oneof is set.
    #[default]
    Empty,
    /// Field 1.
    String(Text<'a>),
    /// Field 2.
    Bool(bool),
    /// Field 3.
    Int(i64),
    /// Field 4.
    Double(f64),
    /// Field 5.
    Array(ArrayValue<'a>),
    /// Field 6.
    KeyValueList(KeyValueList<'a>),
    /// Field 7.
    Bytes(&'a [u8]),
}

impl<'a> Message<'a> for AnyValue<'a> {
    #[inline]
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        // Most values are short strings.
        if let [STRING_VALUE, len @ ..0x80, text @ ..] = bytes
            && text.len() == usize::from(*len)
        {
            return Ok(AnyValue::String(Text(text)));
        }
        let mut value = AnyValue::Empty;
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag()? {
            match tag.number {
                1 => value = AnyValue::String(Text(reader.bytes(tag, "string_value")?)),
                2 => value = AnyValue::Bool(reader.boolean(tag, "bool_value")?),
                3 => value = AnyValue::Int(reader.int64(tag, "int_value")?),
                4 => value = AnyValue::Double(reader.double(tag, "double_value")?),
                5 => value = AnyValue::Array(reader.message(tag, "array_value")?),
                6 => value = AnyValue::KeyValueList(reader.message(tag, "kvlist_value")?),
                7 => value = AnyValue::Bytes(reader.bytes(tag, "bytes_value")?),
                _ => reader.skip(tag)?,
            }
        }
        Ok(value)
    }
}

/// `ArrayValue`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ArrayValue<'a> {
    /// Field 1.
    pub values: Repeated<'a, AnyValue<'a>>,
}

impl<'a> Message<'a> for ArrayValue<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(Self {
            values: Occurrences::only(bytes, 1, "values")?,
        })
    }
}

/// `KeyValueList`.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyValueList<'a> {
    /// Field 1.
    pub values: Repeated<'a, KeyValue<'a>>,
}

impl<'a> Message<'a> for KeyValueList<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(Self {
            values: Occurrences::only(bytes, 1, "values")?,
        })
    }
}

/// `KeyValue`.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyValue<'a> {
    /// Field 1.
    pub key: Text<'a>,
    /// Field 2; `Empty` when absent.
    pub value: AnyValue<'a>,
}

impl<'a> KeyValue<'a> {
    /// The key and the text of a serialized `KeyValue` in the most common form: a short key and a short
    /// string, nothing else. `None` if it has another form.
    #[inline]
    pub(crate) fn short_text(bytes: &'a [u8]) -> Option<(Text<'a>, Text<'a>)> {
        let [KEY, key_len @ ..0x80, rest @ ..] = bytes else {
            return None;
        };
        let (key, value) = rest.split_at_checked(usize::from(*key_len))?;
        let [VALUE, value_len @ ..0x80, STRING_VALUE, text_len, text @ ..] = value else {
            return None;
        };
        let is_whole = text.len() == usize::from(*text_len) && text.len() + 2 == usize::from(*value_len);
        is_whole.then_some((Text(key), Text(text)))
    }
}

impl<'a> Message<'a> for KeyValue<'a> {
    #[inline]
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        // The common form: a key and a value, both short, and nothing else.
        if let [KEY, key_len @ ..0x80, rest @ ..] = bytes
            && let Some((key, [VALUE, value_len @ ..0x80, value @ ..])) =
                rest.split_at_checked(usize::from(*key_len))
            && value.len() == usize::from(*value_len)
        {
            let value = AnyValue::parse(value).map_err(|error| error.in_field("value"))?;
            return Ok(Self {
                key: Text(key),
                value,
            });
        }
        let mut view = Self::default();
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag()? {
            match tag.number {
                1 => view.key = Text(reader.bytes(tag, "key")?),
                2 => view.value = reader.message(tag, "value")?,
                _ => reader.skip(tag)?,
            }
        }
        Ok(view)
    }
}

/// `Resource`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Resource<'a> {
    /// Field 1.
    pub attributes: Repeated<'a, KeyValue<'a>>,
    /// Field 2.
    pub dropped_attributes_count: u32,
}

impl<'a> Message<'a> for Resource<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut view = Self::default();
        let mut attributes = Occurrences::of(1, "attributes");
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag()? {
            match tag.number {
                1 => attributes.note(&mut reader, tag)?,
                2 => {
                    view.dropped_attributes_count = reader.uint32(tag, "dropped_attributes_count")?;
                }
                _ => reader.skip(tag)?,
            }
        }
        view.attributes = attributes.messages(bytes);
        Ok(view)
    }
}

/// `InstrumentationScope`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scope<'a> {
    /// Field 1.
    pub name: Text<'a>,
    /// Field 2.
    pub version: Text<'a>,
    /// Field 3.
    pub attributes: Repeated<'a, KeyValue<'a>>,
    /// Field 4.
    pub dropped_attributes_count: u32,
}

impl<'a> Message<'a> for Scope<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut view = Self::default();
        let mut attributes = Occurrences::of(3, "attributes");
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag()? {
            match tag.number {
                1 => view.name = Text(reader.bytes(tag, "name")?),
                2 => view.version = Text(reader.bytes(tag, "version")?),
                3 => attributes.note(&mut reader, tag)?,
                4 => {
                    view.dropped_attributes_count = reader.uint32(tag, "dropped_attributes_count")?;
                }
                _ => reader.skip(tag)?,
            }
        }
        view.attributes = attributes.messages(bytes);
        Ok(view)
    }
}
