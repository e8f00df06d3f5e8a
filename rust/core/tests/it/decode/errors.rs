//! Malformed requests: what the message says, and where.

use otlp2iceberg::decode::{DecodeError, WireError};
use otlp2iceberg::signal::Signal;
use otlp2iceberg::{Error, ErrorKind, RetryClass};

use super::encode::{delimited, fixed32, fixed64, nested, number, tag, varint};
use super::walk::walk;

/// A log record inside a request.
const LOG: [u64; 3] = [1, 2, 2];
const GROUP: &str = "group tag, which OTLP never uses";
const TRUNCATED: &str = "the bytes end inside a field";
const TOO_LONG: &str = "varint of more than 64 bits";
const FIELD_NUMBER: &str = "field number out of range (1 to 536870911)";

fn message_of(signal: Signal, bytes: &[u8]) -> String {
    walk(signal, bytes).unwrap_err().to_string()
}

#[test]
fn the_path_leads_to_the_field() {
    let good = delimited(2, fixed64(1, 7));
    let bad = delimited(2, tag(5, 3));
    let records = [good.repeat(17), bad].concat();
    let bytes = [delimited(1, []).repeat(3), nested(&[1, 2], records)].concat();
    let error = walk(Signal::Logs, &bytes).unwrap_err();
    assert_eq!(error.wire, WireError::Group);
    assert_eq!(
        error.path(),
        "resource_logs[3].scope_logs[0].log_records[17].body"
    );
    assert_eq!(
        error.to_string(),
        format!("malformed OTLP at resource_logs[3].scope_logs[0].log_records[17].body: {GROUP}")
    );
}

#[test]
fn a_decode_error_is_a_permanent_error_of_the_library() {
    let error = Error::from(DecodeError::new(WireError::Truncated).in_element("spans", 2));
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert_eq!(error.retry_class(), RetryClass::Permanent);
    assert_eq!(
        error.to_string(),
        format!("malformed OTLP at spans[2]: {TRUNCATED}")
    );
}

#[test]
fn broken_framing_of_the_request_itself_has_no_path() {
    let cases = [
        (vec![0x80], TRUNCATED),
        (tag(7, 3), GROUP),
        (tag(7, 4), GROUP),
        (tag(7, 6), "wire type 6 does not exist"),
        (tag(7, 7), "wire type 7 does not exist"),
        (tag(0, 2), FIELD_NUMBER),
        (tag(1 << 29, 0), FIELD_NUMBER),
        (tag(u64::MAX >> 3, 0), FIELD_NUMBER),
        (vec![0xff; 11], TOO_LONG),
        ([tag(7, 2), varint(1)].concat(), TRUNCATED),
        ([tag(7, 1), vec![0; 7]].concat(), TRUNCATED),
        ([tag(7, 5), vec![0; 3]].concat(), TRUNCATED),
    ];
    for (bytes, what) in cases {
        for signal in [Signal::Logs, Signal::Traces, Signal::Metrics] {
            assert_eq!(
                message_of(signal, &bytes),
                format!("malformed OTLP: {what}"),
                "{bytes:x?}"
            );
        }
    }
}

#[test]
fn the_largest_field_number_is_skipped() {
    let bytes = number((1 << 29) - 1, 1);
    assert_eq!(walk(Signal::Logs, &bytes).unwrap(), 0);
}

#[test]
fn lengths_beyond_the_bytes_are_refused_however_large() {
    for length in [
        1,
        127,
        1 << 14,
        1 << 31,
        1 << 32,
        1 << 63,
        u64::MAX - 1,
        u64::MAX,
    ] {
        let value = [tag(3, 2), varint(length)].concat();
        assert_eq!(
            message_of(Signal::Logs, &nested(&LOG, value)),
            format!(
                "malformed OTLP at resource_logs[0].scope_logs[0].log_records[0].severity_text: {TRUNCATED}"
            )
        );
        let element = [tag(1, 2), varint(length)].concat();
        assert_eq!(
            message_of(Signal::Logs, &element),
            format!("malformed OTLP at resource_logs[0]: {TRUNCATED}")
        );
    }
}

#[test]
fn varints_of_more_than_64_bits_are_refused() {
    let eleven_bytes = [vec![0x80; 10], vec![0]].concat();
    let bit_64 = [vec![0xff; 9], vec![2]].concat();
    let cut = vec![0x80; 9];
    for (varint, what) in [
        (eleven_bytes, TOO_LONG),
        (bit_64, TOO_LONG),
        (cut, TRUNCATED),
    ] {
        let value = [tag(2, 0), varint.clone()].concat();
        assert_eq!(
            message_of(Signal::Logs, &nested(&LOG, value)),
            format!(
                "malformed OTLP at resource_logs[0].scope_logs[0].log_records[0].severity_number: {what}"
            )
        );
        let unknown = [tag(99, 0), varint].concat();
        assert_eq!(
            message_of(Signal::Logs, &nested(&LOG, unknown)),
            format!("malformed OTLP at resource_logs[0].scope_logs[0].log_records[0]: {what}")
        );
    }
}

/// One field of each message, written as a group or with a wire type that is not its own: the field
/// numbers down to it, how it is written, its path and what is wrong.
#[test]
fn each_wrong_wire_type_is_refused_with_its_path() {
    let record = "resource_logs[0].scope_logs[0].log_records[0]";
    let span = "resource_spans[0].scope_spans[0].spans[0]";
    let metric = "resource_metrics[0].scope_metrics[0].metrics[0]";
    let cases: Vec<(Signal, &[u64], Vec<u8>, String, &str)> = vec![
        (
            Signal::Logs,
            &[],
            number(1, 1),
            "resource_logs[0]".into(),
            "wire type 0 where 2 is expected",
        ),
        (
            Signal::Logs,
            &[1],
            fixed64(1, 1),
            "resource_logs[0].resource".into(),
            "wire type 1 where 2 is expected",
        ),
        (
            Signal::Logs,
            &[1, 1],
            number(1, 1),
            "resource_logs[0].resource.attributes[0]".into(),
            "wire type 0 where 2 is expected",
        ),
        (
            Signal::Logs,
            &[1, 1],
            fixed32(2, 1),
            "resource_logs[0].resource.dropped_attributes_count".into(),
            "wire type 5 where 0 is expected",
        ),
        (
            Signal::Logs,
            &[1],
            number(3, 1),
            "resource_logs[0].schema_url".into(),
            "wire type 0 where 2 is expected",
        ),
        (
            Signal::Logs,
            &[1, 2],
            tag(1, 3),
            "resource_logs[0].scope_logs[0].scope".into(),
            GROUP,
        ),
        (
            Signal::Logs,
            &[1, 2, 1],
            number(2, 1),
            "resource_logs[0].scope_logs[0].scope.version".into(),
            "wire type 0 where 2 is expected",
        ),
        (
            Signal::Logs,
            &LOG,
            number(1, 1),
            format!("{record}.time_unix_nano"),
            "wire type 0 where 1 is expected",
        ),
        (
            Signal::Logs,
            &LOG,
            fixed32(11, 1),
            format!("{record}.observed_time_unix_nano"),
            "wire type 5 where 1 is expected",
        ),
        (
            Signal::Logs,
            &LOG,
            number(8, 1),
            format!("{record}.flags"),
            "wire type 0 where 5 is expected",
        ),
        (
            Signal::Logs,
            &LOG,
            tag(2, 7),
            format!("{record}.severity_number"),
            "wire type 7 does not exist",
        ),
        (Signal::Logs, &LOG, tag(99, 4), record.into(), GROUP),
        (
            Signal::Logs,
            &[1, 2, 2, 5],
            number(1, 1),
            format!("{record}.body.string_value"),
            "wire type 0 where 2 is expected",
        ),
        (
            Signal::Logs,
            &[1, 2, 2, 5, 5],
            number(1, 1),
            format!("{record}.body.array_value.values[0]"),
            "wire type 0 where 2 is expected",
        ),
        (
            Signal::Logs,
            &[1, 2, 2, 5, 5, 1],
            fixed64(3, 1),
            format!("{record}.body.array_value.values[0].int_value"),
            "wire type 1 where 0 is expected",
        ),
        (
            Signal::Logs,
            &[1, 2, 2, 5, 6, 1],
            number(1, 1),
            format!("{record}.body.kvlist_value.values[0].key"),
            "wire type 0 where 2 is expected",
        ),
        (
            Signal::Logs,
            &[1, 2, 2, 6, 2],
            number(4, 1),
            format!("{record}.attributes[0].value.double_value"),
            "wire type 0 where 1 is expected",
        ),
        (
            Signal::Traces,
            &[1, 2, 2],
            number(16, 1),
            format!("{span}.flags"),
            "wire type 0 where 5 is expected",
        ),
        (
            Signal::Traces,
            &[1, 2, 2],
            fixed64(6, 1),
            format!("{span}.kind"),
            "wire type 1 where 0 is expected",
        ),
        (
            Signal::Traces,
            &[1, 2, 2, 15],
            delimited(3, ""),
            format!("{span}.status.code"),
            "wire type 2 where 0 is expected",
        ),
        (
            Signal::Traces,
            &[1, 2, 2, 11],
            number(1, 1),
            format!("{span}.events[0].time_unix_nano"),
            "wire type 0 where 1 is expected",
        ),
        (
            Signal::Traces,
            &[1, 2, 2, 13],
            number(6, 1),
            format!("{span}.links[0].flags"),
            "wire type 0 where 5 is expected",
        ),
        (
            Signal::Metrics,
            &[1, 2, 2],
            number(5, 1),
            format!("{metric}.gauge"),
            "wire type 0 where 2 is expected",
        ),
        (
            Signal::Metrics,
            &[1, 2, 2, 5, 1],
            number(6, 1),
            format!("{metric}.gauge.data_points[0].as_int"),
            "wire type 0 where 1 is expected",
        ),
        (
            Signal::Metrics,
            &[1, 2, 2, 7],
            fixed64(3, 1),
            format!("{metric}.sum.is_monotonic"),
            "wire type 1 where 0 is expected",
        ),
        (
            Signal::Metrics,
            &[1, 2, 2, 7, 1, 5],
            number(3, 1),
            format!("{metric}.sum.data_points[0].exemplars[0].as_double"),
            "wire type 0 where 1 is expected",
        ),
        (
            Signal::Metrics,
            &[1, 2, 2, 9],
            fixed64(2, 1),
            format!("{metric}.histogram.aggregation_temporality"),
            "wire type 1 where 0 is expected",
        ),
        (
            Signal::Metrics,
            &[1, 2, 2, 9, 1],
            number(6, 1),
            format!("{metric}.histogram.data_points[0].bucket_counts"),
            "wire type 0 where 1 is expected",
        ),
        (
            Signal::Metrics,
            &[1, 2, 2, 9, 1],
            delimited(6, [0; 9]),
            format!("{metric}.histogram.data_points[0].bucket_counts[1]"),
            TRUNCATED,
        ),
        (
            Signal::Metrics,
            &[1, 2, 2, 9, 1],
            delimited(7, [0; 7]),
            format!("{metric}.histogram.data_points[0].explicit_bounds[0]"),
            TRUNCATED,
        ),
        (
            Signal::Metrics,
            &[1, 2, 2, 10, 1, 8],
            fixed64(2, 1),
            format!("{metric}.exponential_histogram.data_points[0].positive.bucket_counts"),
            "wire type 1 where 0 is expected",
        ),
        (
            Signal::Metrics,
            &[1, 2, 2, 10, 1, 9],
            delimited(2, [1, 0x80]),
            format!("{metric}.exponential_histogram.data_points[0].negative.bucket_counts[1]"),
            TRUNCATED,
        ),
        (
            Signal::Metrics,
            &[1, 2, 2, 11, 1, 6],
            number(1, 1),
            format!("{metric}.summary.data_points[0].quantile_values[0].quantile"),
            "wire type 0 where 1 is expected",
        ),
    ];
    for (signal, fields, field, path, what) in cases {
        let bytes = nested(fields, field);
        assert_eq!(
            message_of(signal, &bytes),
            format!("malformed OTLP at {path}: {what}")
        );
    }
}

#[test]
fn an_error_ends_the_iteration() {
    use otlp2iceberg::decode::{HistogramDataPoint, Message, ScopeLogs};
    let records = [delimited(2, []), delimited(2, tag(1, 3)), delimited(2, [])].concat();
    let records = ScopeLogs::parse(&records).unwrap().log_records;
    assert_eq!(records.len(), 3);
    let read: Vec<bool> = records.iter().map(|record| record.is_ok()).collect();
    assert_eq!(read, [true, false]);

    let counts = [delimited(6, [0; 12]), fixed64(6, 1)].concat();
    let counts = HistogramDataPoint::parse(&counts).unwrap().bucket_counts;
    let read: Vec<bool> = counts.iter().map(|count| count.is_ok()).collect();
    assert_eq!(read, [true, false]);
}
