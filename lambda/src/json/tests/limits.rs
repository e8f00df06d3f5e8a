//! What has a limit or is refused: lengths, depth, the size of the protobuf, wrong values.

use opentelemetry_proto::tonic::common::v1::any_value::Value;

use super::record;
use crate::json::{Failure, Form, Payloads, to_protobuf};

fn problem(fields: &str) -> String {
    let text = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{{fields}}}]}}]}}]}}"#);
    to_protobuf(text.as_bytes(), Form::Request, usize::MAX)
        .unwrap_err()
        .to_string()
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
