//! The rules of `docs/schema.md` one by one, on log records and spans.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use otlp2iceberg::convert::{ConvertOptions, Repairs, ValueLimits, convert};
use otlp2iceberg::signal::{Signal, Table};
use otlp2iceberg::{ErrorKind, RetryClass};
use prost::Message;

use super::rows::{ARRIVAL, Cell, Row, converted, rows};
use crate::decode::encode::{delimited, fixed64, nested};

const ARRIVAL_MICROSECONDS: Cell = Cell::Number((ARRIVAL / 1000) as i64);
const OUT_OF_RANGE: u64 = 1 << 63;

#[test]
fn rule_1_absent_is_null_and_numbers_without_presence_are_set() {
    let set = |columns: &[(&'static str, Cell)]| columns.iter().cloned().collect::<Row>();
    let (log, _) = log(LogRecord::default());
    let numbers = set(&[
        ("Timestamp", ARRIVAL_MICROSECONDS),
        ("TraceFlags", Cell::Number(0)),
        ("SeverityNumber", Cell::Number(0)),
        ("LogDroppedAttributesCount", Cell::Number(0)),
        ("ResourceDroppedAttributesCount", Cell::Number(0)),
        ("ScopeDroppedAttributesCount", Cell::Number(0)),
    ]);
    assert_eq!(without_nulls(&log), numbers);
    assert_eq!(log.len(), 20);

    let (span, _) = span(Span::default());
    let numbers = set(&[
        ("Timestamp", ARRIVAL_MICROSECONDS),
        ("TraceFlags", Cell::Number(0)),
        ("SpanKind", Cell::text("Unspecified")),
        ("StatusCode", Cell::text("Unset")),
        ("SpanDroppedAttributesCount", Cell::Number(0)),
        ("DroppedEventsCount", Cell::Number(0)),
        ("DroppedLinksCount", Cell::Number(0)),
        ("ResourceDroppedAttributesCount", Cell::Number(0)),
        ("ScopeDroppedAttributesCount", Cell::Number(0)),
    ]);
    assert_eq!(without_nulls(&span), numbers);
    assert_eq!(span.len(), 26);
}

#[test]
fn rule_2_times_are_cut_to_microseconds_and_fall_back() {
    for (own, observed, timestamp, observed_timestamp, invalid) in [
        (1999, 5000, Cell::Number(1), Cell::Number(5), 0),
        (0, 5999, Cell::Number(5), Cell::Number(5), 0),
        (0, 0, ARRIVAL_MICROSECONDS, Cell::Null, 0),
        (999, 0, Cell::Number(0), Cell::Null, 0),
        (
            OUT_OF_RANGE - 1,
            0,
            Cell::Number(9_223_372_036_854_775),
            Cell::Null,
            0,
        ),
        (OUT_OF_RANGE, 5000, Cell::Number(5), Cell::Number(5), 1),
        (OUT_OF_RANGE, u64::MAX, ARRIVAL_MICROSECONDS, Cell::Null, 2),
        (7000, OUT_OF_RANGE, Cell::Number(7), Cell::Null, 1),
    ] {
        let record = LogRecord {
            time_unix_nano: own,
            observed_time_unix_nano: observed,
            ..Default::default()
        };
        let (row, repairs) = log(record);
        let found = (
            &row["Timestamp"],
            &row["ObservedTimestamp"],
            repairs.invalid_times,
        );
        assert_eq!(
            found,
            (&timestamp, &observed_timestamp, invalid),
            "{own} {observed}"
        );
    }
}

#[test]
fn rule_3_duration_is_exact_signed_or_null() {
    for (start, end, timestamp, duration, invalid) in [
        (
            1_000_001,
            3_000_004,
            Cell::Number(1000),
            Cell::Number(2_000_003),
            0,
        ),
        (3000, 1000, Cell::Number(3), Cell::Number(-2000), 0),
        (3000, 3000, Cell::Number(3), Cell::Number(0), 0),
        (
            1,
            OUT_OF_RANGE - 1,
            Cell::Number(0),
            Cell::Number(i64::MAX - 1),
            0,
        ),
        (0, 3000, Cell::Number(3), Cell::Null, 0),
        (3000, 0, Cell::Number(3), Cell::Null, 0),
        (OUT_OF_RANGE, 3000, Cell::Number(3), Cell::Null, 1),
        (3000, OUT_OF_RANGE, Cell::Number(3), Cell::Null, 1),
        (OUT_OF_RANGE, OUT_OF_RANGE, ARRIVAL_MICROSECONDS, Cell::Null, 2),
    ] {
        let (row, repairs) = span(Span {
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            ..Default::default()
        });
        let found = (&row["Timestamp"], &row["Duration"], repairs.invalid_times);
        assert_eq!(found, (&timestamp, &duration, invalid), "{start} {end}");
    }
}

#[test]
fn rule_4_ids_are_hex_or_null_and_counted() {
    let trace_id: Vec<u8> = (0xf0..=0xff).collect();
    let row_of = |trace_id: &[u8], span_id: &[u8]| {
        let (row, repairs) = log(LogRecord {
            trace_id: trace_id.to_vec(),
            span_id: span_id.to_vec(),
            ..Default::default()
        });
        (row["TraceId"].clone(), row["SpanId"].clone(), repairs.invalid_ids)
    };
    let hex = Cell::text("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
    assert_eq!(
        row_of(&trace_id, &[0, 1, 2, 3, 4, 5, 6, 7]),
        (hex, Cell::text("0001020304050607"), 0)
    );
    assert_eq!(row_of(&[], &[]), (Cell::Null, Cell::Null, 0));
    assert_eq!(row_of(&[0; 16], &[0; 8]), (Cell::Null, Cell::Null, 2));
    assert_eq!(row_of(&[1; 15], &[1; 9]), (Cell::Null, Cell::Null, 2));
    assert_eq!(row_of(&[1; 8], &[1; 16]), (Cell::Null, Cell::Null, 2));
}

#[test]
fn rule_9_enums_are_words_and_unknown_numbers_are_numbers() {
    let kinds = [
        "Unspecified",
        "Internal",
        "Server",
        "Client",
        "Producer",
        "Consumer",
        "6",
        "7",
        "8",
        "99",
    ];
    for (kind, word) in [0, 1, 2, 3, 4, 5, 6, 7, 8, 99].into_iter().zip(kinds) {
        assert_eq!(
            span(Span {
                kind,
                ..Default::default()
            })
            .0["SpanKind"],
            Cell::text(word)
        );
    }
    for (code, word) in [(0, "Unset"), (1, "Ok"), (2, "Error"), (3, "3"), (-1, "-1")] {
        let status = Some(Status {
            code,
            ..Default::default()
        });
        assert_eq!(
            span(Span {
                status,
                ..Default::default()
            })
            .0["StatusCode"],
            Cell::text(word)
        );
    }
    let (row, _) = log(LogRecord {
        severity_number: 17,
        ..Default::default()
    });
    assert_eq!(row["SeverityNumber"], Cell::Number(17));
}

#[test]
fn rule_10_service_name_is_the_text_of_the_resource_attribute() {
    let text = |text: &str| any(Value::StringValue(text.to_owned()));
    for (attributes, name) in [
        (vec![], Cell::Null),
        (vec![("service.names", text("no"))], Cell::Null),
        (vec![("service.name", text("shop"))], Cell::text("shop")),
        (
            vec![("service.name", text("old")), ("service.name", text("new"))],
            Cell::text("new"),
        ),
        (vec![("service.name", any(Value::IntValue(42)))], Cell::text("42")),
        (vec![("service.name", text(""))], Cell::text("")),
        (vec![("service.name", None)], Cell::Null),
    ] {
        let attributes: Vec<KeyValue> = attributes
            .into_iter()
            .map(|(key, value)| attribute(key, value))
            .collect();
        let request = ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                resource: Some(Resource {
                    attributes,
                    ..Default::default()
                }),
                scope_logs: vec![ScopeLogs {
                    log_records: vec![LogRecord::default()],
                    ..Default::default()
                }],
                ..Default::default()
            }],
        };
        let converted = converted(Signal::Logs, &request.encode_to_vec());
        assert_eq!(rows(&converted, Table::Logs)[0]["ServiceName"], name);
    }
}

#[test]
fn rule_11_flags_keep_their_bits_and_dropped_counts_are_held_at_the_largest() {
    let (row, _) = log(LogRecord {
        flags: 0x8000_0001,
        dropped_attributes_count: 2_147_483_648,
        ..Default::default()
    });
    assert_eq!(row["TraceFlags"], Cell::Number(-2_147_483_647));
    assert_eq!(row["LogDroppedAttributesCount"], Cell::Number(2_147_483_647));
    let (row, _) = span(Span {
        dropped_links_count: 2_147_483_647,
        ..Default::default()
    });
    assert_eq!(row["DroppedLinksCount"], Cell::Number(2_147_483_647));
}

#[test]
fn rule_13_a_malformed_request_is_refused_with_the_path() {
    // A good record, then one with a value four levels down whose integer has a wrong wire type.
    let value = nested(&[6, 1, 2, 5, 1], fixed64(3, 1));
    let attribute = [delimited(1, "key"), delimited(2, value)].concat();
    let records = [delimited(2, []), nested(&[2, 6], attribute)].concat();
    let options = ConvertOptions {
        arrival_time_unix_nano: ARRIVAL,
        column_bytes_max: 1 << 20,
        batch_bytes_max: usize::MAX,
        values: ValueLimits::default(),
    };
    let error = convert(Signal::Logs, &nested(&[1, 2], records), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert_eq!(error.retry_class(), RetryClass::Permanent);
    let path = "resource_logs[0].scope_logs[0].log_records[1].attributes[0].value.kvlist_value.\
                values[0].value.array_value.values[0].int_value";
    assert!(error.to_string().contains(path), "{error}");
}

#[test]
fn an_empty_request_gives_no_batches() {
    for signal in Signal::ALL {
        for payload in [vec![], delimited(1, []), nested(&[1, 2], [])] {
            assert!(converted(signal, &payload).batches.is_empty());
        }
    }
}

/// Converts one log record.
pub fn log(record: LogRecord) -> (Row, Repairs) {
    let scope_logs = ScopeLogs {
        log_records: vec![record],
        ..Default::default()
    };
    let resource_logs = ResourceLogs {
        scope_logs: vec![scope_logs],
        ..Default::default()
    };
    let request = ExportLogsServiceRequest {
        resource_logs: vec![resource_logs],
    };
    let converted = converted(Signal::Logs, &request.encode_to_vec());
    (rows(&converted, Table::Logs).remove(0), converted.repairs)
}

/// Converts one span.
pub fn span(span: Span) -> (Row, Repairs) {
    let scope_spans = ScopeSpans {
        spans: vec![span],
        ..Default::default()
    };
    let resource_spans = ResourceSpans {
        scope_spans: vec![scope_spans],
        ..Default::default()
    };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![resource_spans],
    };
    let converted = converted(Signal::Traces, &request.encode_to_vec());
    (rows(&converted, Table::Traces).remove(0), converted.repairs)
}

fn without_nulls(row: &Row) -> Row {
    row.iter()
        .filter(|(_, cell)| **cell != Cell::Null)
        .map(|(name, cell)| (*name, cell.clone()))
        .collect()
}

pub fn any(value: Value) -> Option<AnyValue> {
    Some(AnyValue { value: Some(value) })
}

pub fn attribute(key: &str, value: Option<AnyValue>) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value,
        ..Default::default()
    }
}
