//! Reads the output back with prost and opentelemetry-proto's messages. The system tests, which send the
//! fixtures as JSON, check that every field of every message is mapped.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric, number_data_point};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use super::*;

fn logs(text: &str) -> ExportLogsServiceRequest {
    ExportLogsServiceRequest::decode(
        &*to_protobuf(text.as_bytes(), Form::Request, usize::MAX)
            .unwrap()
            .logs
            .unwrap(),
    )
    .unwrap()
}

fn record(fields: &str) -> LogRecord {
    let request = logs(&format!(
        r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{{fields}}}]}}]}}]}}"#
    ));
    request.resource_logs[0].scope_logs[0].log_records[0].clone()
}

fn span(fields: &str) -> Span {
    let text = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{fields}}}]}}]}}]}}"#);
    let bytes = to_protobuf(text.as_bytes(), Form::Request, usize::MAX)
        .unwrap()
        .traces
        .unwrap();
    let request = ExportTraceServiceRequest::decode(&*bytes).unwrap();
    request.resource_spans[0].scope_spans[0].spans[0].clone()
}

fn metric(fields: &str) -> Metric {
    let text = format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{{fields}}}]}}]}}]}}"#);
    let bytes = to_protobuf(text.as_bytes(), Form::Request, usize::MAX)
        .unwrap()
        .metrics
        .unwrap();
    let request = ExportMetricsServiceRequest::decode(&*bytes).unwrap();
    request.resource_metrics[0].scope_metrics[0].metrics[0].clone()
}

fn problem(fields: &str) -> String {
    let text = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{{fields}}}]}}]}}]}}"#);
    to_protobuf(text.as_bytes(), Form::Request, usize::MAX)
        .unwrap_err()
        .to_string()
}

#[test]
fn integers_are_numbers_or_strings() {
    for text in ["1700000000000000001", "\"1700000000000000001\""] {
        assert_eq!(
            record(&format!(r#""timeUnixNano":{text}"#)).time_unix_nano,
            1_700_000_000_000_000_001
        );
    }
    let last = record(r#""timeUnixNano":"18446744073709551615","flags":1e0,"droppedAttributesCount":"7""#);
    assert_eq!(
        (last.time_unix_nano, last.flags, last.dropped_attributes_count),
        (u64::MAX, 1, 7)
    );
    let Some(Value::IntValue(least)) = record(r#""body":{"intValue":"-9223372036854775808"}"#)
        .body
        .unwrap()
        .value
    else {
        panic!("no integer");
    };
    assert_eq!(least, i64::MIN);
}

#[test]
fn enums_are_numbers_or_names() {
    assert_eq!(record(r#""severityNumber":17"#).severity_number, 17);
    assert_eq!(
        record(r#""severityNumber":"SEVERITY_NUMBER_ERROR""#).severity_number,
        17
    );
    assert_eq!(record(r#""severityNumber":-3"#).severity_number, -3);
    assert_eq!(
        span(r#""kind":"SPAN_KIND_CONSUMER","status":{"code":"STATUS_CODE_ERROR"}"#).kind,
        5
    );
    assert_eq!(span(r#""kind":"2","status":{"code":2}"#).status.unwrap().code, 2);
}

#[test]
fn ids_are_hex_in_any_case_and_bad_ones_are_of_a_wrong_length() {
    let record = record(r#""traceId":"00112233445566778899AABBCCDDEEFF","spanId":"0011223344556677""#);
    assert_eq!(
        record.trace_id,
        [
            0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff
        ]
    );
    assert_eq!(record.span_id.len(), 8);
    for bad in [
        "+011223344556677",
        "001122334455667",
        "ABEiM0RVZneImaq7zN3u/w==",
        "é011223344556677",
    ] {
        let span = span(&format!(r#""spanId":"{bad}","name":"kept""#));
        assert!(![0, 8].contains(&span.span_id.len()), "{bad}");
        assert_eq!(span.name, "kept");
    }
    assert_eq!(span(r#""parentSpanId":"""#).parent_span_id, b"");
}

#[test]
fn doubles_and_bytes_in_all_their_forms() {
    for (text, value) in [
        ("1", 1.0),
        ("-0.0", -0.0),
        ("1e300", 1e300),
        // The nearest double of many digits: a power of ten is not exact in binary.
        ("0.9452706955539223", 0.945_270_695_553_922_3),
        ("2.8810000000000002", 2.881_000_000_000_000_2),
        ("123456789.12345679", 123_456_789.123_456_79),
        ("2.2250738585072011e-308", f64::from_bits(0x000f_ffff_ffff_ffff)),
        ("\"1.5\"", 1.5),
        ("\"Infinity\"", f64::INFINITY),
        ("\"-Infinity\"", f64::NEG_INFINITY),
        ("\"NaN\"", f64::NAN),
    ] {
        let metric = metric(&format!(r#""gauge":{{"dataPoints":[{{"asDouble":{text}}}]}}"#));
        let Some(metric::Data::Gauge(gauge)) = metric.data else {
            panic!("no gauge");
        };
        let Some(number_data_point::Value::AsDouble(found)) = gauge.data_points[0].value else {
            panic!("no double");
        };
        assert_eq!(found.to_bits(), value.to_bits(), "{text}");
    }
    for text in ["+/8=", "-_8=", "-_8"] {
        let body = record(&format!(r#""body":{{"bytesValue":"{text}"}}"#))
            .body
            .unwrap();
        assert_eq!(body.value, Some(Value::BytesValue(vec![0xfb, 0xff])), "{text}");
    }
}

#[test]
fn bytes_in_the_forms_of_other_writers() {
    for text in [
        "[251,255]",
        r#"{"type":"Buffer","data":[251,255]}"#,
        r#"{"data":"+/8=","new":{"a":[1]}}"#,
        r#"{"0":251,"1":255}"#,
    ] {
        let body = record(&format!(r#""body":{{"bytesValue":{text}}}"#)).body;
        let bytes = Some(Value::BytesValue(vec![0xfb, 0xff]));
        assert_eq!(body, Some(AnyValue { value: bytes }), "{text}");
    }
    let nothing = record(r#""body":{"bytesValue":[]}"#).body.unwrap();
    assert_eq!(nothing.value, Some(Value::BytesValue(vec![])));
    let span =
        span(r#""traceId":[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15],"spanId":{"data":[1,2,3,4,5,6,7,8]}"#);
    assert_eq!(span.trace_id, (0..16).collect::<Vec<u8>>());
    assert_eq!(span.span_id, [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn what_is_no_bytes_costs_its_own_value_only() {
    let deep = format!("{}1{}", r#"{"data":"#.repeat(200_000), "}".repeat(200_000));
    let deep_list = format!("{}1{}", "[".repeat(200_000), "]".repeat(200_000));
    for value in [
        "7",
        "-7",
        "1.5",
        "true",
        "\"*\"",
        "{}",
        "[256]",
        "[-1]",
        "[1,[2],{\"a\":3},\"\",null]",
        r#"{"0":1,"1":"a"}"#,
        r#"{"type":"Buffer"}"#,
        &deep,
        &deep_list,
    ] {
        let name = value.get(..20).unwrap_or(value);
        let record = record(&format!(
            r#""body":{{"bytesValue":{value}}},"severityText":"kept""#
        ));
        assert_eq!(record.severity_text, "kept", "{name}");
        assert_eq!(record.body, Some(AnyValue { value: None }), "{name}");
        let span = span(&format!(r#""traceId":{value},"name":"kept""#));
        assert_eq!(span.name, "kept", "{name}");
        assert!(![0, 16].contains(&span.trace_id.len()), "{name}");
    }
    assert_eq!(span(r#""traceId":null,"spanId":[]"#), Span::default());
}

/// As in a protobuf message: the library replaces these bytes and counts the text.
#[test]
fn a_text_that_is_not_unicode_stays_for_the_library_to_repair() {
    for (text, bytes) in [
        (&br#""cut \ud83d""#[..], &b"cut \xed\xa0\xbd"[..]),
        (br#""\ude00 cut""#, b"\xed\xb8\x80 cut"),
        (br#""\ud83d\ude00""#, "\u{1f600}".as_bytes()),
        (b"\"\xff\"", b"\xff"),
        (b"\"two\nlines\"", b"two\nlines"),
    ] {
        let json = [
            br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityText":"#,
            text,
            b"}]}]}]}",
        ]
        .concat();
        let found = to_protobuf(&json, Form::Request, usize::MAX)
            .unwrap()
            .logs
            .unwrap();
        assert!(
            found.ends_with(&[&[0x1a, bytes.len() as u8], bytes].concat()),
            "{found:?}"
        );
    }
}

#[test]
fn zero_is_a_value_only_where_there_is_presence() {
    let metric = metric(
        r#""histogram":{"dataPoints":[{"sum":0,"min":null,"count":0,"bucketCounts":[],"explicitBounds":[0,1.5]}]}"#,
    );
    let Some(metric::Data::Histogram(histogram)) = metric.data else {
        panic!("no histogram");
    };
    let point = &histogram.data_points[0];
    assert_eq!((point.sum, point.min, point.count), (Some(0.0), None, 0));
    assert_eq!(
        (point.bucket_counts.len(), &*point.explicit_bounds),
        (0, &[0.0, 1.5][..])
    );
    for (text, value) in [
        (r#"{"stringValue":""}"#, Some(Value::StringValue(String::new()))),
        (r#"{"boolValue":false}"#, Some(Value::BoolValue(false))),
        (r#"{"intValue":0}"#, Some(Value::IntValue(0))),
        (r#"{"stringValue":null}"#, None),
        ("{}", None),
    ] {
        assert_eq!(
            record(&format!(r#""body":{text}"#)).body,
            Some(AnyValue { value }),
            "{text}"
        );
    }
    assert_eq!(record(r#""body":null"#).body, None);
}

#[test]
fn unknown_fields_are_passed_over_and_other_names_taken() {
    let record = record(
        r#""new":{"a":[1,{"b":null}]},"severity_text":"INFO","attributes":[{"key":"a","value":{"stringValue":"b","new":1}}]"#,
    );
    assert_eq!(record.severity_text, "INFO");
    let expected = KeyValue {
        key: "a".into(),
        value: Some(AnyValue {
            value: Some(Value::StringValue("b".into())),
        }),
        ..KeyValue::default()
    };
    assert_eq!(record.attributes, [expected]);
    assert_eq!(
        to_protobuf(br#"{"other":1}"#, Form::Request, usize::MAX).unwrap(),
        Payloads::default()
    );
    assert_eq!(
        to_protobuf(b"", Form::Request, usize::MAX).unwrap(),
        Payloads::default()
    );
}

#[test]
fn requests_one_after_the_other_are_merged() {
    let line = r#"{"resourceLogs":[{"schemaUrl":"a"}]}"#;
    for text in [
        format!("{line}\n{line}"),
        format!("\u{feff}{line}\r\n\r\n{line}\n"),
        format!("{line}{line}"),
    ] {
        assert_eq!(logs(&text).resource_logs.len(), 2, "{text}");
    }
    let both = to_protobuf(
        br#"{"resourceLogs":[],"resourceSpans":[{}]}"#,
        Form::Request,
        usize::MAX,
    )
    .unwrap();
    assert_eq!(
        (both.logs, both.traces, both.metrics),
        (Some(vec![]), Some(vec![10, 0]), None)
    );
}

fn object(text: &str) -> Result<Payloads, Failure> {
    to_protobuf(text.as_bytes(), Form::Object, usize::MAX)
}

/// `{"resource":…,"scopeSpans":[…]}` a line, as Java's `OtlpJsonLoggingSpanExporter` writes it.
#[test]
fn an_object_without_its_list_is_taken_where_it_was_stored() {
    let inner = |signal: &str| {
        format!(
            r#"{{"resource":{{"attributes":[{{"key":"a","value":{{"doubleValue":1.5}}}}]}},"scope{signal}":[{{"scope":{{"name":"s"}}}}],"schemaUrl":"u","new":1}}"#
        )
    };
    let wrapped = |signal: &str| format!(r#"{{"resource{signal}":[{}]}}"#, inner(signal));
    for signal in ["Logs", "Spans", "Metrics"] {
        assert_eq!(
            object(&inner(signal)).unwrap(),
            object(&wrapped(signal)).unwrap(),
            "{signal}"
        );
        // A request's unknown fields are ignored.
        let ignored = to_protobuf(inner(signal).as_bytes(), Form::Request, usize::MAX).unwrap();
        assert_eq!(ignored, Payloads::default());
    }
    let lines = format!("{}\n{}\n", inner("Spans"), inner("Spans"));
    let bytes = object(&lines).unwrap().traces.unwrap();
    let request = ExportTraceServiceRequest::decode(&*bytes).unwrap();
    assert_eq!(request.resource_spans.len(), 2);
    assert_eq!(
        request.resource_spans[1]
            .resource
            .as_ref()
            .unwrap()
            .attributes
            .len(),
        1
    );
    assert_eq!(request.resource_spans[1].schema_url, "u");
    let turned = r#"{"scope_logs":[{"schemaUrl":"a"}],"resource":{}}"#;
    let request = ExportLogsServiceRequest::decode(&*object(turned).unwrap().logs.unwrap()).unwrap();
    assert_eq!(request.resource_logs[0].scope_logs[0].schema_url, "a");
    assert!(request.resource_logs[0].resource.is_some());
    let whole = object(turned).unwrap().bytes();
    assert!(to_protobuf(turned.as_bytes(), Form::Object, whole).is_ok());
    assert!(matches!(
        to_protobuf(turned.as_bytes(), Form::Object, whole - 1),
        Err(Failure::TooLarge { .. })
    ));
}

#[test]
fn an_object_that_is_not_otlp_is_an_error_with_its_keys_and_line() {
    let request = r#"{"resourceLogs":[],"mine":1}"#;
    for (other, keys) in [
        (
            r#"{"metric_stream_name":"a","account_id":"1","region":"b","namespace":"c"}"#,
            r#""metric_stream_name", "account_id", "region""#,
        ),
        (r#"{"Records":[{"eventVersion":"1.08"}]}"#, r#""Records""#),
        (r#"{"resource":{},"x":1}"#, r#""resource", "x""#),
    ] {
        for (text, line) in [
            (other.to_owned(), "line 1 column"),
            (format!("{request}\n{{}}\n{other}\n{request}"), "line 3 column"),
        ] {
            let problem = object(&text).unwrap_err().to_string();
            assert!(problem.starts_with("JSON, but not OTLP: "), "{problem}");
            assert!(
                problem.contains(&format!("its first keys are {keys} at {line}")),
                "{problem}"
            );
        }
        assert_eq!(
            to_protobuf(other.as_bytes(), Form::Request, usize::MAX).unwrap(),
            Payloads::default()
        );
    }
    let long = object(&format!(r#"{{"{}":1}}"#, "k".repeat(10_000))).unwrap_err();
    assert!(long.to_string().len() < 250, "{long}");
    for nothing in ["", "\n", "{}", "{}\n{}", request, r#"{"resourceSpans":null}"#] {
        assert_eq!(object(nothing).unwrap().bytes(), 0, "{nothing}");
    }
    assert!(
        object("[1]")
            .unwrap_err()
            .to_string()
            .starts_with("JSON, but not OTLP")
    );
    assert!(object("{").unwrap_err().to_string().starts_with("not JSON"));
}

#[test]
fn a_long_text_moves_to_make_room_for_its_length() {
    for length in [1, 120, 127, 128, 16_383, 16_384, 3 << 20] {
        let text = "x".repeat(length);
        let record = record(&format!(
            r#""body":{{"stringValue":"{text}"}},"severityText":"after""#
        ));
        assert_eq!(record.body.unwrap().value, Some(Value::StringValue(text)));
        assert_eq!(record.severity_text, "after");
    }
}

#[test]
fn values_nested_beyond_reason_are_cut_without_recursion() {
    for depth in [60, 100, 200_000] {
        let text = format!(
            r#""body":{}{{}}{},"severityText":"after""#,
            r#"{"arrayValue":{"values":["#.repeat(depth),
            "]}}".repeat(depth)
        );
        let text = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{{text}}}]}}]}}]}}"#);
        let bytes = to_protobuf(text.as_bytes(), Form::Request, usize::MAX)
            .unwrap()
            .logs
            .unwrap();
        assert!(bytes.windows(5).any(|window| window == b"after"));
        // Four bytes per level while lengths take one byte, then six.
        assert!(bytes.len() < 1000, "{depth}: {}", bytes.len());
    }
    let unknown = format!(r#"{{"new":{}1{}}}"#, "[".repeat(200_000), "]".repeat(200_000));
    assert_eq!(
        to_protobuf(unknown.as_bytes(), Form::Request, usize::MAX).unwrap(),
        Payloads::default()
    );
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (fields, words) in [
        (r#""timeUnixNano":"soon""#, "timeUnixNano"),
        (r#""timeUnixNano":-1"#, "timeUnixNano"),
        (r#""timeUnixNano":1.5"#, "timeUnixNano"),
        (r#""flags":4294967296"#, "flags"),
        (r#""attributes":{}"#, "a list for attributes"),
        (r#""attributes":[7]"#, "an object for KeyValue"),
        (r#""severityText":7"#, "a string for severityText"),
        (r#""severityNumber":"LOUD""#, "severityNumber"),
        (r#""body":"text""#, "an object for AnyValue"),
        (r#""body":{"doubleValue":"inf"}"#, "doubleValue"),
        (r#""body":"#, "line 1 column"),
    ] {
        let problem = problem(fields);
        assert!(
            problem.contains(words) && problem.contains("column"),
            "{fields}: {problem}"
        );
    }
    for text in ["[]", "7", "{", "nothing", r#"{"resourceLogs":7}"#, "{}x"] {
        assert!(
            to_protobuf(text.as_bytes(), Form::Request, usize::MAX).is_err(),
            "{text}"
        );
    }
}

#[test]
fn protobuf_that_is_larger_than_allowed_is_not_made() {
    let counts = |count: usize| {
        let zeros = vec!["0"; count].join(",");
        format!(
            r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"histogram":{{"dataPoints":[{{"bucketCounts":[{zeros}]}}]}}}}]}}]}}]}}"#
        )
    };
    let text = counts(1000);
    let whole = to_protobuf(text.as_bytes(), Form::Request, usize::MAX)
        .unwrap()
        .metrics
        .unwrap();
    assert!(whole.len() > 8000 && text.len() < 2200);
    assert!(to_protobuf(text.as_bytes(), Form::Request, whole.len()).is_ok());
    // Mixed with other lists and other signals.
    let twice = format!(r#"{text}{{"resourceLogs":[{{}}]}}{text}"#);
    assert!(to_protobuf(twice.as_bytes(), Form::Request, 2 * whole.len() + 2).is_ok());
    for (text, bytes_max) in [
        (text, whole.len() - 1),
        (twice, 2 * whole.len() + 1),
        (counts(1_000_000), 1000),
        // A list that is not of numbers: a number takes 9 bytes here, not 8.
        (
            counts(0).replace(r#""bucketCounts":[]"#, &vec![r#""sum":0"#; 100].join(",")),
            890,
        ),
    ] {
        let failure = to_protobuf(text.as_bytes(), Form::Request, bytes_max).unwrap_err();
        assert!(
            matches!(failure, Failure::TooLarge { bytes_max: told } if told == bytes_max),
            "{failure}"
        );
        assert!(failure.to_string().contains("limits.payload_bytes_max"));
    }
}

/// Reading stops there: the content read until then bounds the memory.
#[test]
fn a_list_of_numbers_is_read_no_further_than_it_may_be_written() {
    let text = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"histogram":{{"dataPoints":[{{"explicitBounds":[{}not JSON"#,
        "0,".repeat(1000)
    );
    let failure = to_protobuf(text.as_bytes(), Form::Request, 1000).unwrap_err();
    assert!(
        matches!(failure, Failure::TooLarge { bytes_max: 1000 }),
        "{failure}"
    );
}
