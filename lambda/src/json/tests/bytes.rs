//! Ids, bytes, and texts that are not Unicode.

use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::metric;
use opentelemetry_proto::tonic::trace::v1::Span;

use super::{metric, record, span};
use crate::json::{Form, to_protobuf};

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
