//! Malformed requests: what the message says, and where.

use otlp2iceberg::decode::{DecodeError, HistogramDataPoint, Message, ScopeLogs, WireError};
use otlp2iceberg::signal::Signal;
use otlp2iceberg::{Error, ErrorKind, RetryClass};

use super::encode::{delimited, fixed32, fixed64, nested, number, tag, varint};
use super::walk::walk;

/// A log record, span or metric inside a request.
const RECORD: [u64; 3] = [1, 2, 2];
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
    for length in [1, 127, 1 << 14, 1 << 31, 1 << 32, 1 << 63, u64::MAX - 1, u64::MAX] {
        let value = [tag(3, 2), varint(length)].concat();
        assert_eq!(
            message_of(Signal::Logs, &nested(&RECORD, value)),
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
    for (varint, what) in [(eleven_bytes, TOO_LONG), (bit_64, TOO_LONG), (cut, TRUNCATED)] {
        let value = [tag(2, 0), varint.clone()].concat();
        assert_eq!(
            message_of(Signal::Logs, &nested(&RECORD, value)),
            format!(
                "malformed OTLP at resource_logs[0].scope_logs[0].log_records[0].severity_number: {what}"
            )
        );
        let unknown = [tag(99, 0), varint].concat();
        assert_eq!(
            message_of(Signal::Logs, &nested(&RECORD, unknown)),
            format!("malformed OTLP at resource_logs[0].scope_logs[0].log_records[0]: {what}")
        );
    }
}

#[test]
fn wrong_wire_types_name_both() {
    assert_eq!(
        message_of(Signal::Logs, &number(1, 1)),
        "malformed OTLP at resource_logs[0]: wire type 0 where 2 is expected"
    );
}

#[test]
fn fields_of_another_wire_type_are_refused_around_records() {
    let refused = assert_refused;
    refused(Signal::Logs, &[], number(1, 1), "resource_logs[0]", wrong(0, 2));
    refused(
        Signal::Logs,
        &[1],
        fixed64(1, 1),
        "resource_logs[0].resource",
        wrong(1, 2),
    );
    refused(
        Signal::Logs,
        &[1, 1],
        number(1, 1),
        "resource_logs[0].resource.attributes[0]",
        wrong(0, 2),
    );
    refused(
        Signal::Logs,
        &[1, 1],
        fixed32(2, 1),
        "resource_logs[0].resource.dropped_attributes_count",
        wrong(5, 0),
    );
    refused(
        Signal::Logs,
        &[1],
        number(3, 1),
        "resource_logs[0].schema_url",
        wrong(0, 2),
    );
    refused(
        Signal::Logs,
        &[1, 2],
        tag(1, 3),
        "resource_logs[0].scope_logs[0].scope",
        WireError::Group,
    );
    refused(
        Signal::Logs,
        &[1, 2, 1],
        number(2, 1),
        "resource_logs[0].scope_logs[0].scope.version",
        wrong(0, 2),
    );
}

#[test]
fn fields_of_another_wire_type_are_refused_in_logs() {
    let refused = |fields: &[u64], field: Vec<u8>, path: &str, wire| {
        let fields = [&RECORD, fields].concat();
        let path = format!("resource_logs[0].scope_logs[0].log_records[0].{path}");
        assert_refused(Signal::Logs, &fields, field, path.trim_end_matches('.'), wire);
    };
    refused(&[], number(1, 1), "time_unix_nano", wrong(0, 1));
    refused(&[], fixed32(11, 1), "observed_time_unix_nano", wrong(5, 1));
    refused(&[], number(8, 1), "flags", wrong(0, 5));
    refused(&[], tag(2, 7), "severity_number", WireError::UnknownWireType(7));
    refused(&[], tag(99, 4), "", WireError::Group);
    refused(&[5], number(1, 1), "body.string_value", wrong(0, 2));
    refused(&[5, 5], number(1, 1), "body.array_value.values[0]", wrong(0, 2));
    refused(
        &[5, 5, 1],
        fixed64(3, 1),
        "body.array_value.values[0].int_value",
        wrong(1, 0),
    );
    refused(
        &[5, 6, 1],
        number(1, 1),
        "body.kvlist_value.values[0].key",
        wrong(0, 2),
    );
    refused(
        &[6, 2],
        number(4, 1),
        "attributes[0].value.double_value",
        wrong(0, 1),
    );
}

#[test]
fn fields_of_another_wire_type_are_refused_in_traces() {
    let refused = |fields: &[u64], field: Vec<u8>, path: &str, wire| {
        let fields = [&RECORD, fields].concat();
        let path = format!("resource_spans[0].scope_spans[0].spans[0].{path}");
        assert_refused(Signal::Traces, &fields, field, path.trim_end_matches('.'), wire);
    };
    refused(&[], number(16, 1), "flags", wrong(0, 5));
    refused(&[], fixed64(6, 1), "kind", wrong(1, 0));
    refused(&[15], delimited(3, ""), "status.code", wrong(2, 0));
    refused(&[11], number(1, 1), "events[0].time_unix_nano", wrong(0, 1));
    refused(&[13], number(6, 1), "links[0].flags", wrong(0, 5));
}

#[test]
fn fields_of_another_wire_type_are_refused_in_metrics() {
    let refused = |fields: &[u64], field: Vec<u8>, path: &str, wire| {
        let fields = [&RECORD, fields].concat();
        let path = format!("resource_metrics[0].scope_metrics[0].metrics[0].{path}");
        assert_refused(Signal::Metrics, &fields, field, path.trim_end_matches('.'), wire);
    };
    refused(&[], number(5, 1), "gauge", wrong(0, 2));
    refused(&[5, 1], number(6, 1), "gauge.data_points[0].as_int", wrong(0, 1));
    refused(&[7], fixed64(3, 1), "sum.is_monotonic", wrong(1, 0));
    refused(
        &[7, 1, 5],
        number(3, 1),
        "sum.data_points[0].exemplars[0].as_double",
        wrong(0, 1),
    );
    refused(
        &[9],
        fixed64(2, 1),
        "histogram.aggregation_temporality",
        wrong(1, 0),
    );
    refused(
        &[9, 1],
        number(6, 1),
        "histogram.data_points[0].bucket_counts",
        wrong(0, 1),
    );
    refused(
        &[9, 1],
        delimited(6, [0; 9]),
        "histogram.data_points[0].bucket_counts[1]",
        WireError::Truncated,
    );
    refused(
        &[9, 1],
        delimited(7, [0; 7]),
        "histogram.data_points[0].explicit_bounds[0]",
        WireError::Truncated,
    );
    refused(
        &[10, 1, 8],
        fixed64(2, 1),
        "exponential_histogram.data_points[0].positive.bucket_counts",
        wrong(1, 0),
    );
    refused(
        &[10, 1, 9],
        delimited(2, [1, 0x80]),
        "exponential_histogram.data_points[0].negative.bucket_counts[1]",
        WireError::Truncated,
    );
    refused(
        &[11, 1, 6],
        number(1, 1),
        "summary.data_points[0].quantile_values[0].quantile",
        wrong(0, 1),
    );
}

fn wrong(found: u8, expected: u8) -> WireError {
    WireError::WrongWireType { found, expected }
}

/// Writes a field into the message that lies under these fields; its path and what is wrong with it.
fn assert_refused(signal: Signal, fields: &[u64], field: Vec<u8>, path: &str, wire: WireError) {
    let error = walk(signal, &nested(fields, field)).unwrap_err();
    assert_eq!((error.path(), error.wire), (path.to_owned(), wire));
}

#[test]
fn an_error_ends_the_iteration() {
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
