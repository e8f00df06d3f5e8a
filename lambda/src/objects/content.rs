//! Detects an object's content from its bytes: names are unreliable and follow no rule.
//!
//! The Collector's S3 exporter writes one request per object (protobuf or JSON), compressed or not. Its file
//! exporter writes JSON lines, or messages preceded by their length as 4 bytes, big-endian. If compression is
//! on, each message is compressed separately. `CloudWatch`'s metric streams write messages preceded by their
//! length as a varint, which Firehose concatenates
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch-metric-streams-formats-opentelemetry-100.html>).

use otlp2iceberg::Signal;

use crate::inflate::{self, Compression, inflate};
use crate::json;

/// The greatest depth of nested compression. Compressed frames in a compressed file are two levels; more do
/// not occur in practice.
const WRAPPINGS_MAX: u32 = 3;

/// The content of an object: serialized requests by signal.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    pub requests: [Vec<u8>; Signal::ALL.len()],
}

/// Reads an object; its content may take at most `bytes_max` bytes.
///
/// # Errors
/// The defect of the object.
pub(super) fn read(key: &str, bytes: &[u8], bytes_max: usize) -> Result<Contents, String> {
    let mut reading = Reading {
        signal: signal_of_key(key),
        bytes_left: bytes_max,
        contents: Contents::default(),
    };
    reading.any(bytes, WRAPPINGS_MAX)?;
    Ok(reading.contents)
}

struct Reading {
    /// The signal assumed for protobuf, which does not identify its signal.
    signal: Option<Signal>,
    bytes_left: usize,
    contents: Contents,
}

impl Reading {
    fn any(&mut self, bytes: &[u8], wrappings: u32) -> Result<(), String> {
        match bytes {
            [] => Ok(()),
            [0x1f, 0x8b, ..] => self.compressed(Compression::Gzip, bytes, wrappings),
            // A zstd frame, or a skippable frame before it (RFC 8878, 3.1).
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                self.compressed(Compression::Zstd, bytes, wrappings)
            }
            // No protobuf message begins with 0: field numbers start at 1.
            [0, ..] => self.framed(bytes, wrappings),
            [b'P', b'A', b'R', b'1', ..] => {
                Err("it is a Parquet file whose key does not end with .parquet; give it a name that does, and it is registered".into())
            }
            // The tag of a request's field 1 is also a line feed, and a length of 123 is also an opening
            // brace. Only forms that end with the last byte are taken before JSON.
            _ if is_request(bytes) => self.protobuf(bytes),
            _ if is_delimited(bytes) => self.delimited(bytes),
            _ if is_json(bytes) => self.json(bytes),
            // The first message is so large that its length does not begin with 0.
            _ if is_framed(bytes) => self.framed(bytes, wrappings),
            _ => self.protobuf(bytes),
        }
    }

    fn compressed(&mut self, compression: Compression, bytes: &[u8], wrappings: u32) -> Result<(), String> {
        let wrappings = wrappings.checked_sub(1).ok_or("it is compressed too often")?;
        let plain = inflate(compression, bytes, self.bytes_left).map_err(|failure| match failure {
            inflate::Failure::TooLarge { .. } => too_large(),
            malformed @ inflate::Failure::Malformed(..) => malformed.to_string(),
        })?;
        let before = self.bytes_left;
        self.any(&plain, wrappings)?;
        // Decompression costs time even if the content is empty, such as empty messages.
        self.take(plain.len().saturating_sub(before - self.bytes_left))
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
            self.any(message, wrappings)?;
            rest = tail;
        }
        match rest {
            [] => Ok(()),
            _ => Err(format!("{} bytes are left after the last message", rest.len())),
        }
    }

    fn delimited(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while let Some((message, rest)) = after_length(bytes) {
            self.protobuf(message)?;
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
            self.contents.requests[signal as usize].extend_from_slice(&request);
        }
        Ok(())
    }

    fn protobuf(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.take(bytes.len())?;
        let signal = self.signal.ok_or(
            "it is protobuf, and its key does not say of which signal; \
             put logs, traces or metrics into the key, as the Collector's exporters do, or into Firehose's prefix",
        )?;
        self.contents.requests[signal as usize].extend_from_slice(bytes);
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
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::io::Write;

    use super::*;

    const LOGS_JSON: &str = r#"{"resourceLogs":[{"schemaUrl":"a"}]}"#;
    const LOGS: &[u8] = b"\x0a\x03\x1a\x01a";
    const MAX: usize = 1 << 20;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn framed(messages: &[&[u8]]) -> Vec<u8> {
        messages
            .iter()
            .flat_map(|message| [&(message.len() as u32).to_be_bytes(), *message].concat())
            .collect()
    }

    fn logs(key: &str, bytes: &[u8]) -> Vec<u8> {
        let contents = read(key, bytes, MAX).unwrap();
        assert!(contents.requests[1..].iter().all(Vec::is_empty));
        contents.requests[0].clone()
    }

    #[test]
    fn every_form_gives_the_same_request() {
        let zstd = |plain: &[u8]| zstd::encode_all(plain, 3).unwrap();
        for bytes in [
            LOGS.to_vec(),
            LOGS_JSON.as_bytes().to_vec(),
            format!("\u{feff}\n {LOGS_JSON}\n").into_bytes(),
            gzip(LOGS),
            zstd(LOGS),
            gzip(LOGS_JSON.as_bytes()),
            framed(&[LOGS]),
            framed(&[b"", LOGS]),
            gzip(&framed(&[&zstd(LOGS)])),
            framed(&[&zstd(LOGS_JSON.as_bytes())]),
        ] {
            assert_eq!(logs("2026/logs_1", &bytes), LOGS, "{bytes:?}");
        }
        let twice = [LOGS, LOGS].concat();
        assert_eq!(logs("logs", &framed(&[LOGS, LOGS])), twice);
        assert_eq!(
            logs("logs", format!("{LOGS_JSON}\n{LOGS_JSON}\n").as_bytes()),
            twice
        );
    }

    #[test]
    fn a_request_that_looks_like_text_is_protobuf() {
        // Field 1 with a length of 123: a line feed and an opening brace.
        let mut bytes = b"\x0a\x7b\x0a\x22".to_vec();
        bytes.extend([b' '; 0x79]);
        assert_eq!(logs("logs", &bytes), bytes);
    }

    fn delimited(messages: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for message in messages {
            let mut length = message.len();
            while length >= 0x80 {
                bytes.push(length as u8 | 0x80);
                length >>= 7;
            }
            bytes.push(length as u8);
            bytes.extend_from_slice(message);
        }
        bytes
    }

    /// A request of one field with this many bytes.
    fn request(length: usize) -> Vec<u8> {
        let content = vec![0x1a; length];
        [vec![0x0a], delimited(&[&content])].concat()
    }

    #[test]
    fn messages_after_their_length_as_a_varint_are_those_of_metric_streams() {
        let metrics = Signal::Metrics as usize;
        let key = "metrics/2026/01/02/03/stream-1-2026-01-02-03-04-05-0a1b2c3d";
        // Lengths of one to three bytes, among them that of an opening brace and that of a request's tag.
        for lengths in [&[3][..], &[8], &[121], &[1, 300, 70_000], &[121, 5, 121]] {
            let messages: Vec<Vec<u8>> = lengths.iter().map(|length| request(*length)).collect();
            let bytes = delimited(&messages.iter().map(Vec::as_slice).collect::<Vec<_>>());
            for bytes in [bytes.clone(), gzip(&bytes), framed(&[&bytes])] {
                let contents = read(key, &bytes, MAX).unwrap();
                assert_eq!(contents.requests[metrics], messages.concat(), "{lengths:?}");
            }
            let problem = read("2026/01/02/03/stream-1", &bytes, MAX).unwrap_err();
            assert!(problem.contains("Firehose"), "{problem}");
            if bytes.starts_with(b"{") {
                continue;
            }
            // Bytes that are too few or too many are none of it, and the library refuses what it is instead.
            for other in [&bytes[..bytes.len() - 1], &[&bytes[..], b"\x05"].concat()] {
                let contents = read(key, other, MAX).unwrap();
                assert_eq!(contents.requests[metrics], other, "{lengths:?}");
            }
        }
        let whole = delimited(&[&request(300)]);
        assert!(read(key, &whole, request(300).len()).is_ok());
        assert!(
            read(key, &whole, request(300).len() - 1)
                .unwrap_err()
                .contains("larger")
        );
    }

    #[test]
    fn a_frame_may_be_so_large_that_its_length_begins_with_another_byte() {
        let large = request(1 << 24);
        let contents = read("logs", &framed(&[&large, LOGS]), 1 << 25).unwrap();
        assert_eq!(contents.requests[0].len(), large.len() + LOGS.len());
    }

    #[test]
    fn json_that_is_not_otlp_is_not_loaded() {
        for other in [
            r#"{"date":1.5,"log":"from Fluent Bit"}"#,
            r#"{"metric_stream_name":"a","namespace":"AWS/EC2"}"#,
            r#"[{"date":1.5,"log":"a"}]"#,
        ] {
            for bytes in [other.as_bytes().to_vec(), gzip(other.as_bytes())] {
                let problem = read("logs/a", &bytes, MAX).unwrap_err();
                assert!(problem.contains("JSON, but not OTLP"), "{problem}");
            }
        }
        let bare = r#"{"resource":{},"scopeLogs":[]}"#;
        assert_eq!(logs("any", bare.as_bytes()), b"\x0a\x02\x0a\0");
    }

    #[test]
    fn json_lines_may_hold_all_signals_and_nothing_is_nothing() {
        let lines = format!("{LOGS_JSON}\n{{\"resourceSpans\":[{{}}]}}\n{{\"resourceMetrics\":[{{}}]}}");
        let contents = read("any", lines.as_bytes(), MAX).unwrap();
        assert_eq!(contents.requests, [LOGS.to_vec(), vec![0x0a, 0], vec![0x0a, 0]]);
        for nothing in [&b""[..], b" \n", &gzip(b"")] {
            assert_eq!(read("any", nothing, MAX).unwrap(), Contents::default());
        }
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let bomb = gzip(&vec![b' '; 2 * MAX]);
        for (bytes, word) in [
            (LOGS.to_vec(), "key"),
            (b"{\"resourceLogs\":7}".to_vec(), "list"),
            (b"PAR1....".to_vec(), "Parquet"),
            (b"\x1f\x8b....".to_vec(), "gzip"),
            (b"\0\0\0\x09abc".to_vec(), "announced"),
            (b"\0\0\0\0a".to_vec(), "left"),
            (bomb, "larger"),
            (gzip(&gzip(&gzip(&gzip(b"{}")))), "too often"),
        ] {
            let problem = read("any", &bytes, MAX).unwrap_err();
            assert!(problem.contains(word), "{problem}");
        }
    }

    #[test]
    fn what_is_inflated_counts_though_it_holds_nothing_and_once() {
        // Empty messages, compressed repeatedly: each level expands a few hundred bytes to a megabyte.
        let nothing = zstd::encode_all(&*vec![0; MAX], 3).unwrap();
        assert_eq!(
            read("logs", &framed(&[&nothing]), MAX).unwrap(),
            Contents::default()
        );
        let problem = read("logs", &framed(&[&nothing, &nothing]), MAX).unwrap_err();
        assert!(problem.contains("larger"), "{problem}");
        // Compression does not count held content twice.
        for bytes in [gzip(LOGS), gzip(&gzip(LOGS)), gzip(LOGS_JSON.as_bytes())] {
            let bytes_max = bytes.len().max(LOGS_JSON.len());
            let contents = read("logs", &bytes, bytes_max).unwrap();
            assert_eq!(contents.requests[0], LOGS);
        }
    }

    #[test]
    fn json_counts_as_the_protobuf_that_it_becomes_where_that_is_more() {
        let zeros = vec!["0"; 1000].join(",");
        let message = format!(
            r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"histogram":{{"dataPoints":[{{"bucketCounts":[{zeros}]}}]}}}}]}}]}}]}}"#
        );
        let message = message.as_bytes();
        let bytes = read("any", message, MAX).unwrap().requests[Signal::Metrics as usize].len();
        assert!(bytes > 3 * message.len());
        for (object, messages) in [(message.to_vec(), 1), (framed(&[message, message]), 2)] {
            assert!(read("any", &object, messages * bytes).is_ok());
            let problem = read("any", &object, messages * bytes - 1).unwrap_err();
            assert!(problem.contains("larger"), "{problem}");
        }
    }

    #[test]
    fn the_last_word_of_a_key_names_the_signal() {
        for (key, signal) in [
            ("logs/year=2026/traces_1.binpb.gz", Some(Signal::Traces)),
            ("a/metrics-7", Some(Signal::Metrics)),
            ("LOGS", Some(Signal::Logs)),
            ("catalogs/blogs.bin", None),
            ("catalogs_1/blogs.bin", None),
            ("", None),
            // The S3 exporter's `file_prefix` has no separator of its own.
            ("metrics/year=2026/prodlogs_123.binpb.gz", Some(Signal::Logs)),
            ("ProdTraces_123", Some(Signal::Traces)),
            ("a/logs_prodmetrics_1", Some(Signal::Metrics)),
            ("prodlogs_traces_1.json", Some(Signal::Traces)),
            ("metrics/blogs-1", Some(Signal::Metrics)),
            ("metrics/otel_123", Some(Signal::Metrics)),
        ] {
            assert_eq!(signal_of_key(key), signal, "{key}");
        }
    }
}
