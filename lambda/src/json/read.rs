//! Converts objects and lists field by field, in the order of the text.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::messages::{ANY_VALUE, Field, Kind, Message};
use super::scalar::{PackedSeed, ScalarSeed};
use super::unexpected;
use super::write::{self, Output};

/// Deeper values are skipped. The limit exceeds the depth from which on the library stores null and counts a
/// repair, so JSON and protobuf give the same rows.
const VALUE_DEPTH_MAX: u32 = 70;

/// The fields of one message, without its own tag and length. `null` is an empty message.
pub(super) struct FieldsSeed<'o> {
    pub message: &'static Message,
    pub out: &'o mut Output,
    pub depth: u32,
}

impl<'de> DeserializeSeed<'de> for FieldsSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        if self.depth > VALUE_DEPTH_MAX {
            // Skipping does not recurse.
            return json.deserialize_ignored_any(IgnoredAny).map(|_| ());
        }
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FieldsSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object for {}", self.message.name)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        Err(unexpected::text_type(text, &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let FieldsSeed { message, out, depth } = self;
        while let Some(found) = map.next_key_seed(FieldKey(message))? {
            let Some(field) = found else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            field_value(&mut map, field, out, depth)?;
        }
        Ok(())
    }
}

/// The value of one field of a message.
pub(super) fn field_value<'de, A: MapAccess<'de>>(
    map: &mut A,
    field: &'static Field,
    out: &mut Output,
    depth: u32,
) -> Result<(), A::Error> {
    match field.kind {
        Kind::One(message) => map.next_value_seed(MessageSeed {
            message,
            number: field.number,
            out,
            depth,
        }),
        Kind::Many(message) => map.next_value_seed(ListSeed {
            field: field.json,
            message,
            number: field.number,
            out,
            depth,
        }),
        Kind::Packed(scalar) => map.next_value_seed(PackedListSeed { field, scalar, out }),
        Kind::Scalar(scalar) | Kind::Present(scalar) => map.next_value_seed(ScalarSeed {
            field,
            scalar,
            present: matches!(field.kind, Kind::Present(_)),
            out,
        }),
    }
}

struct FieldKey(&'static Message);

impl<'de> DeserializeSeed<'de> for FieldKey {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_identifier(self)
    }
}

impl Visitor<'_> for FieldKey {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.field(key))
    }
}

/// One message field. `null` is an absent one.
struct MessageSeed<'o> {
    message: &'static Message,
    number: u32,
    out: &'o mut Output,
    depth: u32,
}

impl<'de> DeserializeSeed<'de> for MessageSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object for {}", self.message.name)
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        message_field(json, self.message, self.number, self.out, self.depth)
    }
}

/// A list of messages. `null` is an absent list.
pub(super) struct ListSeed<'o> {
    pub field: &'static str,
    pub message: &'static Message,
    pub number: u32,
    pub out: &'o mut Output,
    pub depth: u32,
}

impl<'de> DeserializeSeed<'de> for ListSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ListSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list for {}", self.field)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        Err(unexpected::text_type(text, &self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list
            .next_element_seed(ItemSeed(MessageSeed {
                message: self.message,
                number: self.number,
                out: &mut *self.out,
                depth: self.depth,
            }))?
            .is_some()
        {}
        Ok(())
    }
}

/// One message of a list, where `null` is an empty message.
struct ItemSeed<'o>(MessageSeed<'o>);

impl<'de> DeserializeSeed<'de> for ItemSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        let MessageSeed {
            message,
            number,
            out,
            depth,
        } = self.0;
        message_field(json, message, number, out, depth)
    }
}

fn message_field<'de, D: Deserializer<'de>>(
    json: D,
    message: &'static Message,
    number: u32,
    out: &mut Output,
    depth: u32,
) -> Result<(), D::Error> {
    let depth = depth + u32::from(std::ptr::eq(message, &raw const ANY_VALUE));
    write::delimited(out, number, |out| {
        FieldsSeed { message, out, depth }.deserialize(json)
    })
}

/// A packed list of numbers. `null` is an absent list.
struct PackedListSeed<'o> {
    field: &'static Field,
    scalar: super::messages::Scalar,
    out: &'o mut Output,
}

impl<'de> DeserializeSeed<'de> for PackedListSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for PackedListSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of numbers for {}", self.field.json)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        Err(unexpected::text_type(text, &self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let PackedListSeed { field, scalar, out } = self;
        let before = out.len();
        write::delimited(out, field.number, |out| {
            while list
                .next_element_seed(PackedSeed { field, scalar, out })?
                .is_some()
            {
                // Lists of numbers grow most; other content is checked once it is complete.
                if out.len() > out.bytes_max {
                    return Err(A::Error::custom("too large"));
                }
            }
            Ok(())
        })?;
        // An empty list is equal to an absent field.
        if out.ends_with(&[0]) && out.len() == before + 2 {
            out.truncate(before);
        }
        Ok(())
    }
}
