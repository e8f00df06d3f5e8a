//! The outermost object of a text: which signals it has.

use std::{fmt, mem};

use otlp2iceberg::Signal;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::messages::{Field, Message, RESOURCE_LOGS, RESOURCE_METRICS, RESOURCE_SPANS};
use super::read::{FieldsSeed, ListSeed, field_value};
use super::unexpected;
use super::write::{self, Output};
use super::{Form, Payloads};

/// A whole request of any signal.
pub(super) struct EnvelopeSeed<'p> {
    pub payloads: &'p mut Payloads,
    /// The expected size of the requests, bytes.
    pub room: usize,
    /// The limit for the requests, bytes.
    pub bytes_max: usize,
    pub form: Form,
}

/// The fields of `ResourceLogs`, `ResourceSpans` and `ResourceMetrics` with these numbers hold the scopes, now
/// and before OTLP 0.15. Their other fields are the same in all three.
const SCOPES: [u32; 2] = [2, 1000];

const ENVELOPE: [(&str, &str, Signal, &Message); 3] = [
    ("resourceLogs", "resource_logs", Signal::Logs, &RESOURCE_LOGS),
    ("resourceSpans", "resource_spans", Signal::Traces, &RESOURCE_SPANS),
    (
        "resourceMetrics",
        "resource_metrics",
        Signal::Metrics,
        &RESOURCE_METRICS,
    ),
];

impl<'de> DeserializeSeed<'de> for EnvelopeSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        // Not `deserialize_map`, whose error would repeat a text.
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for EnvelopeSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with resourceLogs, resourceSpans or resourceMetrics")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        Err(unexpected::text_type(text, &self))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let mut has_request = false;
        let mut others = OtherKeys::default();
        // `resource` and `schemaUrl` may come before the scopes, which name the signal.
        let mut before = Output {
            bytes: Vec::new(),
            bytes_max: self.bytes_max,
        };
        while let Some(key) = map.next_key_seed(EnvelopeKey {
            form: self.form,
            others: &mut others,
        })? {
            match key {
                Key::Request(field, signal, message) => {
                    has_request = true;
                    self.write(signal, |out| {
                        map.next_value_seed(ListSeed {
                            field,
                            message,
                            number: 1,
                            out,
                            depth: 0,
                        })
                    })?;
                }
                Key::Scopes(field, signal, message) => {
                    return self.write(signal, |out| {
                        write::delimited(out, 1, |out| {
                            out.extend_from_slice(&before);
                            field_value(&mut map, field, out, 0)?;
                            FieldsSeed {
                                message,
                                out,
                                depth: 0,
                            }
                            .visit_map(map)
                        })
                    });
                }
                Key::Shared(field) => field_value(&mut map, field, &mut before, 0)?,
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        match (self.form, others.count) {
            (Form::Object, 1..) if !has_request => Err(A::Error::custom(others)),
            _ => Ok(()),
        }
    }
}

impl EnvelopeSeed<'_> {
    /// Writes to the signal's request.
    fn write<E>(
        &mut self,
        signal: Signal,
        content: impl FnOnce(&mut Output) -> Result<(), E>,
    ) -> Result<(), E> {
        let others = self.payloads.bytes();
        let payload = self.payloads.of(signal, self.room);
        let mut out = Output {
            bytes_max: self.bytes_max.saturating_sub(others - payload.len()),
            bytes: mem::take(payload),
        };
        let written = content(&mut out);
        *payload = out.bytes;
        written
    }
}

/// A key of a whole text.
enum Key {
    /// A list of `ResourceLogs` or the like.
    Request(&'static str, Signal, &'static Message),
    /// The scopes of the one `ResourceLogs` or the like that the object is.
    Scopes(&'static Field, Signal, &'static Message),
    /// Another field of such a message, whichever it is.
    Shared(&'static Field),
    Other,
}

struct EnvelopeKey<'k> {
    form: Form,
    others: &'k mut OtherKeys,
}

impl<'de> DeserializeSeed<'de> for EnvelopeKey<'_> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Key, D::Error> {
        json.deserialize_identifier(self)
    }
}

impl Visitor<'_> for EnvelopeKey<'_> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Key, E> {
        for (json, proto, signal, message) in ENVELOPE {
            if json == key || proto == key {
                return Ok(Key::Request(json, signal, message));
            }
        }
        if self.form == Form::Request {
            return Ok(Key::Other);
        }
        for (.., signal, message) in ENVELOPE {
            match message.field(key) {
                Some(field) if SCOPES.contains(&field.number) => {
                    return Ok(Key::Scopes(field, signal, message));
                }
                Some(field) => {
                    self.others.add(key);
                    return Ok(Key::Shared(field));
                }
                None => {}
            }
        }
        self.others.add(key);
        Ok(Key::Other)
    }
}

/// The keys of an object that are none of a request, for the error if there are no others.
#[derive(Default)]
struct OtherKeys {
    count: u64,
    /// The first of them, each cut to a length.
    first: Vec<String>,
}

impl OtherKeys {
    const TOLD_MAX: usize = 3;
    const CHARS_MAX: usize = 40;

    fn add(&mut self, key: &str) {
        self.count += 1;
        if self.first.len() < Self::TOLD_MAX {
            self.first.push(key.chars().take(Self::CHARS_MAX).collect());
        }
    }
}

impl fmt::Display for OtherKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "an object has none of resourceLogs, resourceSpans and resourceMetrics; its first keys are ",
        )?;
        for (index, key) in self.first.iter().enumerate() {
            write!(f, "{}{key:?}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}
