//! Converts numbers and texts from any of their JSON forms to the wire format.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, Unexpected, Visitor};

use super::bytes::{BytesSeed, Given};
use super::integer::Integer;
use super::messages::{Field, Scalar};
use super::unexpected;
use super::write::Output;
use crate::protobuf;

/// Writes one scalar field. With `present`, zero is a value. `null` is an absent field.
pub(super) struct ScalarSeed<'o> {
    pub field: &'static Field,
    pub scalar: Scalar,
    pub present: bool,
    pub out: &'o mut Output,
}

/// Writes one number of a packed list, without a tag. `null` is a number, too: without it, those after it
/// would be at other places.
pub(super) struct PackedSeed<'o> {
    pub field: &'static Field,
    pub scalar: Scalar,
    pub out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for ScalarSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        let ScalarSeed {
            field,
            scalar,
            present,
            out,
        } = self;
        match scalar {
            Scalar::Text => json.deserialize_option(TextVisitor {
                field,
                write: |text: &[u8]| {
                    if present || !text.is_empty() {
                        protobuf::bytes_field(out, field.number, text);
                    }
                },
            }),
            Scalar::Id(id_bytes) => {
                if let Some(id) = json.deserialize_any(BytesSeed::id(field, id_bytes))?.into_id() {
                    protobuf::bytes_field(out, field.number, &id);
                }
                Ok(())
            }
            Scalar::Base64 => {
                // Anything else is left out, which is a value with nothing set.
                if let Given::Bytes(bytes) = json.deserialize_any(BytesSeed::base64(field))?
                    && (present || !bytes.is_empty())
                {
                    protobuf::bytes_field(out, field.number, &bytes);
                }
                Ok(())
            }
            Scalar::I64 { text } => {
                match Integer::read(json, field)? {
                    None => {}
                    Some(Integer::Fits(value)) => protobuf::varint_field(out, field.number, value as u64),
                    Some(Integer::Outside(digits)) => {
                        protobuf::bytes_field(out, text, digits.as_bytes());
                        // Digits can be many times as long as their exponent was in JSON.
                        if out.len() > out.bytes_max {
                            return Err(D::Error::custom("too large"));
                        }
                    }
                }
                Ok(())
            }
            Scalar::Sfixed64 { double } => {
                match Integer::read(json, field)? {
                    None => {}
                    Some(Integer::Fits(value)) => protobuf::fixed64_field(out, field.number, value as u64),
                    Some(Integer::Outside(digits)) => {
                        // The nearest double; any digits are a number.
                        let nearest: f64 = digits.parse().map_err(D::Error::custom)?;
                        protobuf::fixed64_field(out, double, nearest.to_bits());
                    }
                }
                Ok(())
            }
            _ => {
                let number = json.deserialize_any(NumberVisitor { field, scalar })?;
                if let Some(number) = number
                    && (present || !number.is_zero())
                {
                    number.write_field(out, field.number);
                }
                Ok(())
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for PackedSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        let PackedSeed { field, scalar, out } = self;
        let number = json.deserialize_any(NumberVisitor { field, scalar })?;
        let number = number
            .or_else(|| Number::of_null(scalar))
            .ok_or_else(|| D::Error::custom(format_args!("{}: null in a list of numbers", field.json)))?;
        number.write_bare(out);
        Ok(())
    }
}

/// A number in its wire representation.
#[derive(Debug, Clone, Copy)]
enum Number {
    Varint(u64),
    Fixed32(u32),
    Fixed64(u64),
}

impl Number {
    /// The bits of -0.0 are not zero, so it is written, as in protobuf's encoders.
    fn is_zero(self) -> bool {
        matches!(self, Number::Varint(0) | Number::Fixed32(0) | Number::Fixed64(0))
    }

    fn write_field(self, out: &mut Vec<u8>, field: u32) {
        match self {
            Number::Varint(value) => protobuf::varint_field(out, field, value),
            Number::Fixed32(value) => protobuf::fixed32_field(out, field, value),
            Number::Fixed64(value) => protobuf::fixed64_field(out, field, value),
        }
    }

    fn write_bare(self, out: &mut Vec<u8>) {
        match self {
            Number::Varint(value) => protobuf::varint(out, value),
            Number::Fixed32(value) => out.extend_from_slice(&value.to_le_bytes()),
            Number::Fixed64(value) => out.extend_from_slice(&value.to_le_bytes()),
        }
    }

    /// `null` in a list. It is what opentelemetry-cpp writes for a double that is not finite. In place of a
    /// count it is the same as one out of range: see [`time_or_count`].
    fn of_null(scalar: Scalar) -> Option<Number> {
        match scalar {
            Scalar::Double => Some(Number::Fixed64(f64::NAN.to_bits())),
            Scalar::U64 => Some(Number::Varint(u64::MAX)),
            Scalar::Fixed64 => Some(Number::Fixed64(u64::MAX)),
            _ => None,
        }
    }

    fn of_integer(scalar: Scalar, value: i128) -> Option<Number> {
        Some(match scalar {
            Scalar::U32 => Number::Varint(u64::from(u32::try_from(value).ok()?)),
            Scalar::Fixed32 => Number::Fixed32(u32::try_from(value).ok()?),
            Scalar::Sint32 => Number::Varint(protobuf::zigzag(i32::try_from(value).ok()?)),
            Scalar::Enum(_) => Number::Varint(i64::from(i32::try_from(value).ok()?) as u64),
            Scalar::U64 => Number::Varint(time_or_count(value)),
            Scalar::Fixed64 => Number::Fixed64(time_or_count(value)),
            Scalar::Double => Number::Fixed64((value as f64).to_bits()),
            Scalar::Text
            | Scalar::Id(_)
            | Scalar::Base64
            | Scalar::Bool
            | Scalar::I64 { .. }
            | Scalar::Sfixed64 { .. } => return None,
        })
    }

    fn of_double(scalar: Scalar, value: f64) -> Option<Number> {
        if matches!(scalar, Scalar::Double) {
            return Some(Number::Fixed64(value.to_bits()));
        }
        // 1.0 and 1e3 are integers in JSON. The cast saturates far beyond the range of any field.
        let whole = value.fract() == 0.0;
        whole.then(|| Number::of_integer(scalar, value as i128)).flatten()
    }

    fn of_text(scalar: Scalar, text: &str) -> Option<Number> {
        match scalar {
            Scalar::Double => match text {
                "NaN" => Some(f64::NAN),
                "Infinity" => Some(f64::INFINITY),
                "-Infinity" => Some(f64::NEG_INFINITY),
                // Rust accepts more words for these values than JSON; a digit shows that it is a number.
                _ if text.bytes().any(|byte| byte.is_ascii_digit()) => text.parse().ok(),
                _ => None,
            }
            .map(|value: f64| Number::Fixed64(value.to_bits())),
            Scalar::Enum(names) => names
                .number(text)
                .map(i128::from)
                .or_else(|| text.parse().ok())
                .and_then(|value| Number::of_integer(scalar, value)),
            Scalar::Bool => None,
            _ => match text.parse::<i128>() {
                Ok(value) => Number::of_integer(scalar, value),
                Err(_) if text.bytes().any(|byte| byte.is_ascii_digit()) => text
                    .parse()
                    .ok()
                    .and_then(|value| Number::of_double(scalar, value)),
                Err(_) => None,
            },
        }
    }
}

/// The value of a `uint64`, which in OTLP is a time or a count. What is out of range becomes the greatest
/// number: the library stores such a time as null and counts it, and rejects a point with such a count by
/// itself. An error would refuse the whole request.
fn time_or_count(value: i128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

struct NumberVisitor {
    field: &'static Field,
    scalar: Scalar,
}

impl NumberVisitor {
    fn checked<E: Error>(&self, number: Option<Number>, found: Unexpected<'_>) -> Result<Option<Number>, E> {
        number.map(Some).ok_or_else(|| E::invalid_value(found, self))
    }
}

impl Visitor<'_> for NumberVisitor {
    type Value = Option<Number>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.scalar {
            Scalar::Bool => "true or false",
            Scalar::Double => "a number, or \"NaN\", \"Infinity\" or \"-Infinity\"",
            Scalar::Enum(_) => "the number of an enum value",
            Scalar::U32 | Scalar::Fixed32 | Scalar::Sint32 => "a 32-bit integer",
            _ => "a 64-bit integer, as a number or a string",
        };
        write!(f, "{what} for {}", self.field.json)
    }

    fn visit_unit<E: Error>(self) -> Result<Option<Number>, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Option<Number>, E> {
        let number = matches!(self.scalar, Scalar::Bool).then_some(Number::Varint(u64::from(value)));
        self.checked(number, Unexpected::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Option<Number>, E> {
        let number = Number::of_integer(self.scalar, i128::from(value));
        self.checked(number, Unexpected::Unsigned(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Option<Number>, E> {
        let number = Number::of_integer(self.scalar, i128::from(value));
        self.checked(number, Unexpected::Signed(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Option<Number>, E> {
        let number = Number::of_double(self.scalar, value);
        self.checked(number, Unexpected::Float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Option<Number>, E> {
        match Number::of_text(self.scalar, value) {
            Some(number) => Ok(Some(number)),
            None => Err(unexpected::text_value(value, &self)),
        }
    }
}

/// Reads a text as bytes, which need not be UTF-8: a client that cuts a text to a length may leave half of a
/// surrogate pair behind (`"\ud83d"`). The library replaces what is not UTF-8, and counts it, as it does for
/// protobuf; an error here would refuse the whole request. Control characters need not be escaped.
struct TextVisitor<F> {
    field: &'static Field,
    write: F,
}

impl<'de, F: FnOnce(&[u8])> Visitor<'de> for TextVisitor<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a string for {}", self.field.json)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_bytes(self)
    }

    fn visit_bytes<E: Error>(self, value: &[u8]) -> Result<(), E> {
        (self.write)(value);
        Ok(())
    }
}
