//! Reads the output back with prost and opentelemetry-proto's messages. The system tests, which send the
//! fixtures as JSON, check that every field of every message is mapped.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{Metric, exemplar, metric, number_data_point};
use opentelemetry_proto::tonic::trace::v1::Span;
use otlp2iceberg::decode::{LogsRequest, Message as _, MetricsRequest, TracesRequest};
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
fn an_integer_that_no_int64_holds_is_a_text_of_its_digits() {
    let greatest_double = format!("17976931348623157{}", "0".repeat(292));
    for (text, digits) in [
        // JavaScript.
        ("18446744073709552000", "18446744073709552000"),
        ("1e21", "1000000000000000000000"),
        ("1e+21", "1000000000000000000000"),
        ("1.7976931348623157e+308", greatest_double.as_str()),
        // Python.
        ("\"18446744073709551616\"", "18446744073709551616"),
        ("\"-9223372036854775809\"", "-9223372036854775809"),
        // Numbers that a double would round.
        ("9223372036854775808", "9223372036854775808"),
        ("-9223372036854775809", "-9223372036854775809"),
        ("36893488147419103233", "36893488147419103233"),
        ("\"-1.8446744073709551617E19\"", "-18446744073709551617"),
        ("\"0036893488147419103233\"", "36893488147419103233"),
        ("1e1000000000", "1e1000000000"),
    ] {
        let record = record(&format!(
            r#""body":{{"intValue":{text}}},"attributes":[{{"key":"a","value":{{"intValue":{text}}}}},{{"key":"b","value":{{"intValue":7}}}}],"severityText":"kept""#
        ));
        let expected = |value| Some(AnyValue { value: Some(value) });
        let as_text = || expected(Value::StringValue(digits.to_owned()));
        assert_eq!(record.body, as_text(), "{text}");
        assert_eq!(record.attributes[0].value, as_text(), "{text}");
        assert_eq!(record.attributes[1].value, expected(Value::IntValue(7)), "{text}");
        assert_eq!(record.severity_text, "kept", "{text}");
    }
    for (text, value) in [
        ("9223372036854775807", i64::MAX),
        ("9.223372036854775807e18", i64::MAX),
        ("\"-9223372036854775808\"", i64::MIN),
        ("1e3", 1000),
        ("1000e-3", 1),
        ("1.50e1", 15),
        ("0.001e5", 100),
        ("-0.0", 0),
        ("\"\\u0031\\u0032\"", 12),
    ] {
        let body = record(&format!(r#""body":{{"intValue": {text} }}"#)).body;
        let value = Some(Value::IntValue(value));
        assert_eq!(body, Some(AnyValue { value }), "{text}");
    }
    assert_eq!(
        record(r#""body":{"intValue":null}"#).body,
        Some(AnyValue { value: None })
    );
}

#[test]
fn a_point_that_no_int64_holds_is_a_double() {
    for (text, value) in [
        ("1e21", 1e21),
        ("18446744073709552000", 18_446_744_073_709_552_000.0),
        ("\"18446744073709551616\"", 18_446_744_073_709_551_616.0),
        ("\"-9223372036854775809\"", -9_223_372_036_854_775_808.0),
    ] {
        let metric = metric(&format!(
            r#""name":"m","sum":{{"dataPoints":[{{"asInt":{text},"exemplars":[{{"asInt":{text}}},{{"asInt":"8"}}]}},{{"asInt":"7"}}]}}"#
        ));
        assert_eq!(metric.name, "m");
        let Some(metric::Data::Sum(sum)) = metric.data else {
            panic!("no sum");
        };
        let [first, second] = &*sum.data_points else {
            panic!("no two points");
        };
        assert_eq!(
            first.value,
            Some(number_data_point::Value::AsDouble(value)),
            "{text}"
        );
        assert_eq!(second.value, Some(number_data_point::Value::AsInt(7)), "{text}");
        let exemplars: Vec<Option<exemplar::Value>> =
            first.exemplars.iter().map(|exemplar| exemplar.value).collect();
        let expected = [exemplar::Value::AsDouble(value), exemplar::Value::AsInt(8)];
        assert_eq!(exemplars, expected.map(Some), "{text}");
    }
}

/// The library stores such a time as null, and rejects a point with such a count by itself.
#[test]
fn a_time_or_count_that_no_uint64_holds_is_the_greatest() {
    for text in [
        "-1",
        "\"-5\"",
        "1e30",
        "18446744073709552000",
        "\"18446744073709551616\"",
        "\"1e30\"",
    ] {
        let record = record(&format!(r#""timeUnixNano":{text},"severityText":"kept""#));
        assert_eq!(
            (record.time_unix_nano, record.severity_text.as_str()),
            (u64::MAX, "kept"),
            "{text}"
        );
        let metric = metric(&format!(
            r#""exponentialHistogram":{{"dataPoints":[{{"count":{text},"positive":{{"bucketCounts":[1,{text},2]}}}}]}}"#
        ));
        let Some(metric::Data::ExponentialHistogram(histogram)) = metric.data else {
            panic!("no histogram");
        };
        let point = &histogram.data_points[0];
        let buckets = point.positive.as_ref().unwrap();
        assert_eq!(
            (point.count, &*buckets.bucket_counts),
            (u64::MAX, &[1, u64::MAX, 2][..]),
            "{text}"
        );
    }
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
    for bad in ["+011223344556677", "001122334455667", "é011223344556677"] {
        let span = span(&format!(r#""spanId":"{bad}","name":"kept""#));
        assert!(![0, 8].contains(&span.span_id.len()), "{bad}");
        assert_eq!(span.name, "kept");
    }
    assert_eq!(span(r#""parentSpanId":"""#).parent_span_id, b"");
}

/// As dartastic and opentelemetry-swift write ids: base64 of the bytes, and base64 of the hex digits.
#[test]
fn ids_are_base64_in_the_two_forms_of_senders_and_no_other() {
    let trace = |text: &str| span(&format!(r#""traceId":"{text}""#)).trace_id;
    let trace_id = [
        0xef, 0xef, 0x29, 0xcb, 0x5b, 0x0f, 0x94, 0xba, 0x86, 0xe5, 0xcf, 0x57, 0x9b, 0xc5, 0x81, 0x81,
    ];
    assert_eq!(trace("7+8py1sPlLqG5c9Xm8WBgQ=="), trace_id);
    assert_eq!(
        trace("OWUyYTNkYzA2MDdhYjE3NTQwZDU0ZGU0ZTUxZTczNWY="),
        [
            0x9e, 0x2a, 0x3d, 0xc0, 0x60, 0x7a, 0xb1, 0x75, 0x40, 0xd5, 0x4d, 0xe4, 0xe5, 0x1e, 0x73, 0x5f
        ]
    );
    let span_id = [0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77];
    for text in ["ABEiM0RVZnc=", "MDAxMTIyMzM0NDU1NjY3Nw=="] {
        let span = span(&format!(
            r#""spanId":"{text}","parentSpanId":"{text}","links":[{{"traceId":"7+8py1sPlLqG5c9Xm8WBgQ==","spanId":"{text}"}}]"#
        ));
        assert_eq!(span.span_id, span_id, "{text}");
        assert_eq!(span.parent_span_id, span_id, "{text}");
        assert_eq!(span.links[0].trace_id, trace_id);
        assert_eq!(span.links[0].span_id, span_id, "{text}");
        let record = record(&format!(r#""spanId":"{text}""#));
        assert_eq!(record.span_id, span_id, "{text}");
        let metric = metric(&format!(
            r#""gauge":{{"dataPoints":[{{"exemplars":[{{"spanId":"{text}"}}]}}]}}"#
        ));
        let Some(metric::Data::Gauge(gauge)) = metric.data else {
            panic!("no gauge");
        };
        assert_eq!(gauge.data_points[0].exemplars[0].span_id, span_id, "{text}");
    }
    for bad in [
        // Another id's length, no padding or too much of it, other letters, no hex inside.
        "ABEiM0RVZneImaq7zN3u/w==",
        "OWUyYTNkYzA2MDdhYjE3NTQwZDU0ZGU0ZTUxZTczNWY=",
        "ABEiM0RVZnc",
        "ABEiM0RVZnc==",
        "ABEiM0RV_nc=",
        "enoxMTIyMzM0NDU1NjY3Nw==",
        "=",
    ] {
        let span = span(&format!(r#""spanId":"{bad}","name":"kept""#));
        assert!(![0, 8].contains(&span.span_id.len()), "{bad}");
        assert_eq!(span.name, "kept");
    }
    for bad in ["ABEiM0RVZnc=", "MDAxMTIyMzM0NDU1NjY3Nw", "7+8py1sPlLqG5c9Xm8WBgQ"] {
        assert!(![0, 16].contains(&trace(bad).len()), "{bad}");
    }
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

/// What the library reads: the name of each record's scope, and the record's own.
fn read(text: &str) -> Vec<(String, String)> {
    let payloads = to_protobuf(text.as_bytes(), Form::Request, usize::MAX).unwrap();
    let mut found = Vec::new();
    let mut add = |scope: &[u8], name: &[u8]| {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        found.push((text(scope), text(name)));
    };
    for (signal, bytes) in payloads.into_signals() {
        match signal {
            Signal::Logs => {
                for resource in LogsRequest::parse(&bytes).unwrap().resource_logs {
                    for scope in resource.unwrap().scope_logs {
                        let scope = scope.unwrap();
                        for record in scope.log_records {
                            add(scope.scope.unwrap().name.0, record.unwrap().severity_text.0);
                        }
                    }
                }
            }
            Signal::Traces => {
                for resource in TracesRequest::parse(&bytes).unwrap().resource_spans {
                    for scope in resource.unwrap().scope_spans {
                        let scope = scope.unwrap();
                        for span in scope.spans {
                            add(scope.scope.unwrap().name.0, span.unwrap().name.0);
                        }
                    }
                }
            }
            Signal::Metrics => {
                for resource in MetricsRequest::parse(&bytes).unwrap().resource_metrics {
                    for scope in resource.unwrap().scope_metrics {
                        let scope = scope.unwrap();
                        for metric in scope.metrics {
                            add(scope.scope.unwrap().name.0, metric.unwrap().name.0);
                        }
                    }
                }
            }
        }
    }
    found
}

#[test]
fn scopes_of_before_otlp_0_15_count_if_there_are_no_others() {
    let row = |scope: &str| vec![(scope.to_owned(), "a".to_owned())];
    for (resources, old, now, records) in [
        (
            "resourceLogs",
            "instrumentationLibraryLogs",
            "scopeLogs",
            r#""logRecords":[{"severityText":"a"}]"#,
        ),
        (
            "resource_logs",
            "instrumentation_library_logs",
            "scope_logs",
            r#""logs":[{"severityText":"a"}]"#,
        ),
        (
            "resourceSpans",
            "instrumentationLibrarySpans",
            "scopeSpans",
            r#""spans":[{"name":"a"}]"#,
        ),
        (
            "resource_spans",
            "instrumentation_library_spans",
            "scope_spans",
            r#""spans":[{"name":"a"}]"#,
        ),
        (
            "resourceMetrics",
            "instrumentationLibraryMetrics",
            "scopeMetrics",
            r#""metrics":[{"name":"a"}]"#,
        ),
        (
            "resource_metrics",
            "instrumentation_library_metrics",
            "scope_metrics",
            r#""metrics":[{"name":"a"}]"#,
        ),
    ] {
        let library = if old.contains('_') {
            "instrumentation_library"
        } else {
            "instrumentationLibrary"
        };
        let old = format!(r#""{old}":[{{"{library}":{{"name":"old"}},{records},"schemaUrl":"u"}}]"#);
        let request = |keys: &str| read(&format!(r#"{{"{resources}":[{{"resource":{{}},{keys}}}]}}"#));
        assert_eq!(request(&old), row("old"), "{old}");
        assert_eq!(request(&format!(r#""{now}":[],{old}"#)), row("old"), "{old}");
        let records = records.replace(r#""logs""#, r#""logRecords""#);
        let new = format!(r#""{now}":[{{"scope":{{"name":"new"}},{records}}}]"#);
        assert_eq!(request(&format!("{new},{old}")), row("new"), "{old}");
        assert_eq!(request(&format!("{old},{new}")), row("new"), "{old}");
        // By itself, as an object on S3 may be.
        assert_eq!(
            object(&format!(r#"{{"resource":{{}},{old}}}"#)).unwrap(),
            object(&format!(r#"{{"{resources}":[{{"resource":{{}},{old}}}]}}"#)).unwrap()
        );
    }
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
        (r#""timeUnixNano":1.5"#, "timeUnixNano"),
        (r#""flags":4294967296"#, "flags"),
        (r#""attributes":{}"#, "a list for attributes"),
        (r#""attributes":[7]"#, "an object for KeyValue"),
        (r#""severityText":7"#, "a string for severityText"),
        (r#""severityNumber":"LOUD""#, "severityNumber"),
        (r#""body":"text""#, "an object for AnyValue"),
        (r#""body":{"doubleValue":"inf"}"#, "doubleValue"),
        (r#""body":{"intValue":1.5}"#, "1.5, expected a 64-bit integer"),
        (r#""body":{"intValue":"soon"}"#, "intValue"),
        (r#""body":{"intValue":""}"#, "intValue"),
        (r#""body":{"intValue":"1e"}"#, "intValue"),
        (r#""body":{"intValue":true}"#, "intValue"),
        (r#""body":{"intValue":[1]}"#, "a list, expected"),
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
    // An exponent is written out.
    let digits = format!(
        r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{{"arrayValue":{{"values":[{}{{}}]}}}}}}]}}]}}]}}"#,
        r#"{"intValue":1e300},"#.repeat(100)
    );
    assert!(digits.len() < 2200);
    for (text, bytes_max) in [
        (digits, 4000),
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
