//! Bytes that are cut, flipped, random or nested without end: a view or an error, never a panic.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use otlp2iceberg::decode::{AnyValue, Message, WireError};
use otlp2iceberg::signal::Signal;
use proptest::prelude::*;
use prost::Message as _;

use super::encode::{nested, split_fields};
use super::samples;
use super::walk::walk;

const SIGNALS: [Signal; 3] = [Signal::Logs, Signal::Traces, Signal::Metrics];

#[test]
fn a_request_cut_at_any_byte_is_truncated_unless_cut_between_fields() {
    for signal in SIGNALS {
        let bytes = samples::sample(signal);
        assert!(walk(signal, &bytes).is_ok());
        assert_truncation(signal, &[], &bytes);
    }
}

/// The enclosing lengths are adjusted, so that the cut is found only at its own place.
#[test]
fn a_message_inside_a_request_cut_at_any_byte_is_truncated_unless_cut_between_fields() {
    // Resources, scopes, and records of each signal.
    for fields in [&[1][..], &[1, 2], &[1, 2, 2]] {
        for signal in SIGNALS {
            let inner = descend(&samples::sample(signal), fields).unwrap();
            assert_truncation(signal, fields, &inner);
        }
    }
    let deeper: [(Signal, &[u64]); 14] = [
        (Signal::Logs, &[1, 1]),
        (Signal::Logs, &[1, 1, 1]),
        (Signal::Logs, &[1, 2, 1]),
        (Signal::Logs, &[1, 2, 2, 5]),
        (Signal::Logs, &[1, 2, 2, 5, 6]),
        (Signal::Traces, &[1, 2, 2, 11]),
        (Signal::Traces, &[1, 2, 2, 13]),
        (Signal::Traces, &[1, 2, 2, 15]),
        (Signal::Metrics, &[1, 2, 2, 5, 1]),
        (Signal::Metrics, &[1, 2, 2, 5, 1, 5]),
        (Signal::Metrics, &[1, 2, 2, 9, 1]),
        (Signal::Metrics, &[1, 2, 2, 10, 1]),
        (Signal::Metrics, &[1, 2, 2, 10, 1, 8]),
        (Signal::Metrics, &[1, 2, 2, 11, 1]),
    ];
    for (signal, fields) in deeper {
        let inner = descend(&samples::sample(signal), fields).unwrap();
        assert_truncation(signal, fields, &inner);
    }
}

#[test]
fn a_request_with_any_one_bit_flipped_never_panics() {
    for signal in SIGNALS {
        let mut bytes = samples::sample(signal);
        let (mut read, mut refused) = (0, 0);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            if check_against_prost(signal, &bytes) {
                read += 1;
            } else {
                refused += 1;
            }
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(read > 1000 && refused > 1000, "{read} read, {refused} refused");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn requests_with_random_edits_never_panic(
        signal in prop::sample::select(SIGNALS.to_vec()),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..8),
    ) {
        let mut bytes = samples::sample(signal);
        for (index, byte, edit) in edits {
            let index = index.index(bytes.len());
            match edit {
                0 => bytes[index] = byte,
                1 => bytes.insert(index, byte),
                _ => drop(bytes.remove(index)),
            }
        }
        check_against_prost(signal, &bytes);
    }

    #[test]
    fn random_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        fields in prop::collection::vec(1..16_u64, 0..6),
    ) {
        for signal in SIGNALS {
            check_against_prost(signal, &bytes);
            check_against_prost(signal, &nested(&fields, &bytes));
        }
    }
}

#[test]
fn values_nested_100_000_levels_deep_are_read_level_by_level() {
    const LEVELS: usize = 100_000;
    for (member, list_of) in [(5_u8, &[1_u8][..]), (6, &[2, 1])] {
        let bytes = nest_values(member, list_of, LEVELS);
        let mut value = AnyValue::parse(&bytes).unwrap();
        let mut levels = 0;
        loop {
            value = match value {
                AnyValue::Array(array) => array.values.iter().next().unwrap().unwrap(),
                AnyValue::KeyValueList(pairs) => pairs.values.iter().next().unwrap().unwrap().value,
                AnyValue::Empty => break,
                other => panic!("{other:?}"),
            };
            levels += 1;
        }
        assert_eq!(levels, LEVELS);
        // As a body in a request; the walk stops at level 64.
        let request = nested(&[1, 2, 2, 5], &bytes);
        assert_eq!(walk(Signal::Logs, &request).unwrap(), 3 + 64);
    }
}

/// Walks a request and returns whether it was read. We read all requests that prost reads, except groups.
fn check_against_prost(signal: Signal, bytes: &[u8]) -> bool {
    let prost_reads = match signal {
        Signal::Logs => ExportLogsServiceRequest::decode(bytes).is_ok(),
        Signal::Traces => ExportTraceServiceRequest::decode(bytes).is_ok(),
        Signal::Metrics => ExportMetricsServiceRequest::decode(bytes).is_ok(),
    };
    let walked = walk(signal, bytes);
    if let Err(error) = &walked {
        let expected = !prost_reads || error.wire == WireError::Group;
        assert!(expected, "prost reads it: {error}");
    }
    walked.is_ok()
}

/// Cuts a message that lies under these fields at each of its bytes.
fn assert_truncation(signal: Signal, fields: &[u64], message: &[u8]) {
    let mut boundary = 0;
    let mut boundaries = vec![0];
    for (_, field) in split_fields(message) {
        boundary += field.len();
        boundaries.push(boundary);
    }
    for cut in 0..message.len() {
        let walked = walk(signal, &nested(fields, &message[..cut]));
        if boundaries.contains(&cut) {
            assert!(walked.is_ok(), "cut at {cut} of {fields:?}: {walked:?}");
        } else {
            let error = walked.unwrap_err();
            assert_eq!(error.wire, WireError::Truncated, "cut at {cut} of {fields:?}");
            assert!(error.path().matches('.').count() + 1 >= fields.len(), "{error}");
        }
    }
}

/// The first message that lies under these fields.
fn descend(message: &[u8], fields: &[u64]) -> Option<Vec<u8>> {
    let Some((wanted, inner)) = fields.split_first() else {
        return Some(message.to_vec());
    };
    split_fields(message)
        .into_iter()
        .filter(|(number, _)| number == wanted)
        .find_map(|(_, field)| {
            let header = 2 + field[1..].iter().position(|byte| *byte < 0x80)?;
            descend(&field[header..], inner)
        })
}

/// An empty value inside this many lists. A list is this member of `AnyValue`, and each of its elements is
/// under these fields (the innermost first). Built from the inside in linear time.
fn nest_values(member: u8, list_of: &[u8], levels: usize) -> Vec<u8> {
    let mut reversed = Vec::new();
    for _ in 0..levels {
        for field in list_of.iter().chain([&member]) {
            let mut header = vec![field << 3 | 2];
            header.extend(super::encode::varint(reversed.len() as u64));
            reversed.extend(header.into_iter().rev());
        }
    }
    reversed.reverse();
    reversed
}
