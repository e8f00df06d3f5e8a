//! Detects an object's content from its bytes: names are unreliable and follow no rule.
//!
//! The Collector's S3 exporter writes one request per object (protobuf or JSON), compressed or not. Its file
//! exporter writes JSON lines, or messages preceded by their length as 4 bytes, big-endian. If compression is
//! on, each message is compressed separately. `CloudWatch`'s metric streams write messages preceded by their
//! length as a varint, which Firehose concatenates
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch-metric-streams-formats-opentelemetry-100.html>).

use std::borrow::Cow;

use otlp2iceberg::Signal;

use crate::inflate::{self, Compression, inflate};
use crate::json;

/// The greatest depth of nested compression. Compressed frames in a compressed file are two levels; more do
/// not occur in practice.
const WRAPPINGS_MAX: u32 = 3;

/// A request of this many bytes or more is moved instead of copied. Smaller ones are copied, because a vector may
/// have reserved much more than it holds (`inflate`), and there may be many of them.
const MOVED_BYTES_MIN: usize = 4 << 20;

/// The content of an object: serialized requests by signal.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    pub requests: [Vec<u8>; Signal::ALL.len()],
}

impl Contents {
    fn add(&mut self, signal: Signal, request: Cow<'_, [u8]>) {
        let held = &mut self.requests[signal as usize];
        match request {
            Cow::Owned(request) if held.is_empty() && request.len() >= MOVED_BYTES_MIN => *held = request,
            request => held.extend_from_slice(&request),
        }
    }
}

/// Reads an object; its content may take at most `bytes_max` bytes. If the bytes are given away, memory holds a
/// large object once.
///
/// # Errors
/// The defect of the object.
pub(super) fn read<'b>(
    key: &str,
    bytes: impl Into<Cow<'b, [u8]>>,
    bytes_max: usize,
) -> Result<Contents, String> {
    let mut reading = Reading {
        signal: signal_of_key(key),
        bytes_left: bytes_max,
        contents: Contents::default(),
    };
    reading.any(bytes.into(), WRAPPINGS_MAX)?;
    Ok(reading.contents)
}

struct Reading {
    /// The signal assumed for protobuf, which does not identify its signal.
    signal: Option<Signal>,
    bytes_left: usize,
    contents: Contents,
}

impl Reading {
    fn any(&mut self, bytes: Cow<'_, [u8]>, wrappings: u32) -> Result<(), String> {
        match &*bytes {
            [] => Ok(()),
            [0x1f, 0x8b, ..] => self.compressed(Compression::Gzip, bytes, wrappings),
            // A zstd frame, or a skippable frame before it (RFC 8878, 3.1).
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                self.compressed(Compression::Zstd, bytes, wrappings)
            }
            // No protobuf message begins with 0: field numbers start at 1.
            [0, ..] => self.framed(&bytes, wrappings),
            [b'P', b'A', b'R', b'1', ..] => {
                Err("it is a Parquet file whose key does not end with .parquet; give it a name that does, and it is registered".into())
            }
            // The tag of a request's field 1 is also a line feed, and a length of 123 is also an opening
            // brace. Only forms that end with the last byte are taken before JSON.
            _ if is_request(&bytes) => self.protobuf(bytes),
            _ if is_delimited(&bytes) => self.delimited(&bytes),
            _ if is_json(&bytes) => self.json(&bytes),
            // The first message is so large that its length does not begin with 0.
            _ if is_framed(&bytes) => self.framed(&bytes, wrappings),
            _ => self.protobuf(bytes),
        }
    }

    fn compressed(
        &mut self,
        compression: Compression,
        bytes: Cow<'_, [u8]>,
        wrappings: u32,
    ) -> Result<(), String> {
        let wrappings = wrappings.checked_sub(1).ok_or("it is compressed too often")?;
        let plain = inflate(compression, &bytes, self.bytes_left).map_err(|failure| match failure {
            inflate::Failure::TooLarge { .. } => too_large(),
            malformed @ inflate::Failure::Malformed(..) => malformed.to_string(),
        })?;
        drop(bytes);
        let (before, inflated) = (self.bytes_left, plain.len());
        self.any(plain.into(), wrappings)?;
        // Decompression costs time even if the content is empty, such as empty messages.
        self.take(inflated.saturating_sub(before - self.bytes_left))
    }

    fn framed(&mut self, bytes: &[u8], wrappings: u32) -> Result<(), String> {
        let wrappings = wrappings.checked_sub(1).ok_or("it has frames inside frames")?;
        let mut rest = bytes;
        while let Some((length, tail)) = rest.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            let (message, tail) = tail.split_at_checked(length).ok_or_else(|| {
                format!(
                    "a message of {length} bytes is announced, but only {} are left",
                    tail.len()
                )
            })?;
            self.any(message.into(), wrappings)?;
            rest = tail;
        }
        match rest {
            [] => Ok(()),
            _ => Err(format!("{} bytes are left after the last message", rest.len())),
        }
    }

    fn delimited(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while let Some((message, rest)) = after_length(bytes) {
            self.protobuf(message.into())?;
            bytes = rest;
        }
        Ok(())
    }

    fn json(&mut self, text: &[u8]) -> Result<(), String> {
        let bytes_max = self.bytes_left;
        self.take(text.len())?;
        let payloads =
            json::to_protobuf(text, json::Form::Object, bytes_max).map_err(|failure| match failure {
                json::Failure::TooLarge { .. } => too_large(),
                json::Failure::Malformed(problem) => problem,
            })?;
        self.take(payloads.bytes().saturating_sub(text.len()))?;
        for (signal, request) in payloads.into_signals() {
            self.contents.add(signal, request.into());
        }
        Ok(())
    }

    fn protobuf(&mut self, bytes: Cow<'_, [u8]>) -> Result<(), String> {
        self.take(bytes.len())?;
        let signal = self.signal.ok_or(
            "it is protobuf, and its key does not say of which signal; \
             put logs, traces or metrics into the key, as the Collector's exporters do, or into Firehose's prefix",
        )?;
        self.contents.add(signal, bytes);
        Ok(())
    }

    fn take(&mut self, bytes: usize) -> Result<(), String> {
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or_else(too_large)?;
        Ok(())
    }
}

fn too_large() -> String {
    "it is larger than limits.payload_bytes_max when decompressed, or as protobuf; write smaller objects"
        .into()
}

/// Whether the bytes look like JSON. White space alone is JSON without a request. A list is no OTLP, which its
/// reader tells.
fn is_json(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    matches!(first, None | Some(b'{' | b'['))
}

/// Whether the bytes are a sequence of delimited fields 1 that ends with the last byte, as every request is.
fn is_request(mut bytes: &[u8]) -> bool {
    while let [0x0a, field @ ..] = bytes {
        match after_length(field) {
            Some((_, [])) => return true,
            Some((_, rest)) => bytes = rest,
            None => return false,
        }
    }
    false
}

/// Whether the bytes are requests that each follow their length as a varint, and end with the last byte.
fn is_delimited(mut bytes: &[u8]) -> bool {
    while let Some((message, rest)) = after_length(bytes) {
        if !is_request(message) {
            return false;
        }
        if rest.is_empty() {
            return true;
        }
        bytes = rest;
    }
    false
}

/// Whether the bytes are messages that each follow their length as 4 bytes, and end with the last byte.
fn is_framed(mut bytes: &[u8]) -> bool {
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        match rest.get(u32::from_be_bytes(*length) as usize..) {
            Some([]) => return true,
            Some(rest) => bytes = rest,
            None => return false,
        }
    }
    false
}

/// Splits off what follows its length, a varint of up to 4 bytes.
fn after_length(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let digits = bytes.iter().take(4).position(|byte| byte & 0x80 == 0)?;
    let (length, rest) = bytes.split_at_checked(digits + 1)?;
    let length = length
        .iter()
        .rev()
        .fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7f));
    rest.split_at_checked(length)
}

/// The last word in the key that names a signal. In the object's name, a word before `_` may also end in it:
/// the Collector's S3 exporter writes `<file_prefix>logs_<number>`, so a prefix without a separator is one word
/// with it.
fn signal_of_key(key: &str) -> Option<Signal> {
    let is_no_letter = |letter: char| !letter.is_ascii_alphabetic();
    let (folders, name) = key.rsplit_once('/').unwrap_or(("", key));
    name.split_inclusive(is_no_letter)
        .rev()
        .find_map(|part| {
            let word = part.trim_end_matches(is_no_letter).to_ascii_lowercase();
            let ends = |end: &&str| part.ends_with('_') && word.ends_with(*end);
            signal_of_word(
                ["logs", "traces", "metrics"]
                    .iter()
                    .copied()
                    .find(ends)
                    .unwrap_or(&word),
            )
        })
        .or_else(|| {
            folders
                .rsplit(is_no_letter)
                .find_map(|word| signal_of_word(&word.to_ascii_lowercase()))
        })
}

fn signal_of_word(word: &str) -> Option<Signal> {
    match word {
        "logs" | "log" => Some(Signal::Logs),
        "traces" | "trace" | "spans" => Some(Signal::Traces),
        "metrics" | "metric" => Some(Signal::Metrics),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
