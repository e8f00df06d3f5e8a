#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

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
fn a_large_request_is_not_copied_and_small_ones_keep_no_room() {
    let large = request(MOVED_BYTES_MIN);
    let (zipped, at) = (gzip(&large), large.as_ptr());
    let contents = read("logs", large, 1 << 24).unwrap();
    assert_eq!(contents.requests[0].as_ptr(), at);
    let text = "x".repeat(MOVED_BYTES_MIN);
    let json = format!(r#"{{"resourceLogs":[{{"schemaUrl":"{text}"}}]}}"#).into_bytes();
    // These two have room for more, which a copy would not have.
    for bytes in [zipped, json] {
        let contents = read("logs", bytes, 1 << 24).unwrap();
        assert!(contents.requests[0].len() > MOVED_BYTES_MIN);
        assert!(contents.requests[0].capacity() > contents.requests[0].len());
    }
    let small = read("logs", gzip(LOGS), 1 << 24).unwrap();
    assert!(small.requests[0].capacity() < 100);
}

#[test]
fn a_frame_may_be_so_large_that_its_length_begins_with_another_byte() {
    let large = request(1 << 24);
    let contents = read("logs", framed(&[&large, LOGS]), 1 << 25).unwrap();
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
        read("logs", framed(&[&nothing]), MAX).unwrap(),
        Contents::default()
    );
    let problem = read("logs", framed(&[&nothing, &nothing]), MAX).unwrap_err();
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
