//! Reads bytes and ids in any of their JSON forms.

use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::messages::Field;

/// An id of wrong length. The library stores it as null and counts it, so one invalid id does not fail the
/// request.
const UNREADABLE_ID: &[u8] = &[0];

/// What a field of bytes has.
pub(super) enum Given {
    Nothing,
    Bytes(Vec<u8>),
    Number(u64),
    Other,
}

impl Given {
    fn of(bytes: Option<Vec<u8>>) -> Self {
        bytes.map_or(Given::Other, Given::Bytes)
    }

    /// The bytes of an id; `None` if it is absent.
    pub(super) fn into_id(self) -> Option<Vec<u8>> {
        match self {
            Given::Nothing => None,
            Given::Bytes(id) => Some(id).filter(|id| !id.is_empty()),
            Given::Number(_) | Given::Other => Some(UNREADABLE_ID.to_vec()),
        }
    }
}

/// Where in a field of bytes a value is. What nests deeper than these is skipped, so nothing recurses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Field,
    Data,
    Byte,
}

/// Reads bytes in the forms in which senders write them: a text, as OTLP says; a list of numbers
/// (opentelemetry-rust); `{"type":"Buffer","data":[…]}` and `{"0":…,"1":…}`, which Node's `Buffer` and
/// `Uint8Array` become. Anything else is [`Given::Other`]: one such value must not fail the request.
#[derive(Debug, Clone, Copy)]
pub(super) struct BytesSeed {
    field: &'static Field,
    /// The length of the field's ids; `None` when it holds other bytes, which are base64 in a text.
    id_bytes: Option<usize>,
    place: Place,
}

impl BytesSeed {
    pub(super) fn id(field: &'static Field, id_bytes: usize) -> Self {
        Self {
            field,
            id_bytes: Some(id_bytes),
            place: Place::Field,
        }
    }

    pub(super) fn base64(field: &'static Field) -> Self {
        Self {
            field,
            id_bytes: None,
            place: Place::Field,
        }
    }

    fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }
}

impl<'de> DeserializeSeed<'de> for BytesSeed {
    type Value = Given;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Given, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for BytesSeed {
    type Value = Given;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes for {}", self.field.json)
    }

    fn visit_unit<E: Error>(self) -> Result<Given, E> {
        Ok(Given::Nothing)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Given, E> {
        Ok(Given::Other)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Given, E> {
        Ok(Given::Number(value))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Given, E> {
        Ok(Given::Other)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Given, E> {
        Ok(Given::Other)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Given, E> {
        Ok(Given::of(match self.id_bytes {
            Some(id_bytes) => id_of_text(text.as_bytes(), id_bytes),
            None => base64_bytes(text.as_bytes()),
        }))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Given, A::Error> {
        if self.place == Place::Byte {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Given::Other);
        }
        let mut bytes = Some(Vec::new());
        while let Some(byte) = list.next_element_seed(self.at(Place::Byte))? {
            push(&mut bytes, &byte);
        }
        Ok(Given::of(bytes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Given, A::Error> {
        if self.place != Place::Field {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Given::Other);
        }
        let mut data = Given::Other;
        let mut numbered = Some(Vec::new());
        let mut next = 0_u64;
        while let Some(key) = map.next_key::<String>()? {
            if key == "data" {
                data = map.next_value_seed(self.at(Place::Data))?;
            } else if key.parse::<u64>() == Ok(next) {
                push(&mut numbered, &map.next_value_seed(self.at(Place::Byte))?);
                next += 1;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(if next > 0 { Given::of(numbered) } else { data })
    }
}

/// Adds a byte to those of a list, which are none once one of them is no byte.
fn push(bytes: &mut Option<Vec<u8>>, byte: &Given) {
    match (bytes.as_mut(), byte) {
        (Some(list), Given::Number(value @ 0..=0xff)) => list.push(*value as u8),
        _ => *bytes = None,
    }
}

/// The bytes of an id, which is hex in OTLP/JSON. Senders that write protobuf's own JSON have base64 there:
/// of the bytes (Dart), or of the hex digits (Swift). Both end with padding, which no hex has, so no valid
/// id has two meanings.
fn id_of_text(text: &[u8], id_bytes: usize) -> Option<Vec<u8>> {
    if text.last() != Some(&b'=') {
        return hex_bytes(text);
    }
    let bytes = STANDARD.decode(text).ok()?;
    if bytes.len() == id_bytes {
        Some(bytes)
    } else if bytes.len() == 2 * id_bytes {
        hex_bytes(&bytes)
    } else {
        None
    }
}

/// The bytes of hex digits.
fn hex_bytes(hex: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pairs = hex.chunks(2).map(|pair| match *pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    });
    pairs.collect()
}

/// Decodes both base64 alphabets, with or without padding, as protobuf's JSON readers do.
fn base64_bytes(text: &[u8]) -> Option<Vec<u8>> {
    const ANY_PADDING: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    const EITHER: [GeneralPurpose; 2] = [
        GeneralPurpose::new(&alphabet::STANDARD, ANY_PADDING),
        GeneralPurpose::new(&alphabet::URL_SAFE, ANY_PADDING),
    ];
    EITHER.iter().find_map(|alphabet| alphabet.decode(text).ok())
}
