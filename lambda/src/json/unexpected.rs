//! What an error says of a value of a wrong kind: the kind and the length, and no text. The text is telemetry of
//! a client, and may be as long as the whole request: an error with it would be larger than the request, in
//! memory, in the log and in the answer.

use std::borrow::Cow;

use serde::de::{Error, Expected, Unexpected};

/// The greatest length of a number in an error, bytes; longer ones are described.
const NUMBER_BYTES_MAX: usize = 40;

/// The error for a text where `expected` is expected: an object or a list.
pub(super) fn text_type<E: Error>(text: &str, expected: &dyn Expected) -> E {
    E::invalid_type(Unexpected::Other(&string_of(text.len())), expected)
}

/// The error for a text that is not a value of what is `expected`.
pub(super) fn text_value<E: Error>(text: &str, expected: &dyn Expected) -> E {
    E::invalid_value(Unexpected::Other(&string_of(text.len())), expected)
}

/// A value as it is in the JSON.
pub(super) fn raw(value: &str) -> Cow<'_, str> {
    match value.as_bytes() {
        [b'{', ..] => "an object".into(),
        [b'[', ..] => "a list".into(),
        // Without its quotes.
        [b'"', ..] => string_of(value.len().saturating_sub(2)).into(),
        [b't' | b'f', ..] => "a boolean".into(),
        number if number.len() <= NUMBER_BYTES_MAX => value.into(),
        number => format!("a number of {} characters", number.len()).into(),
    }
}

fn string_of(bytes: usize) -> String {
    format!("a string of {bytes} bytes")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use crate::json::{Form, to_protobuf};

    fn problem(json: &str, form: Form) -> String {
        to_protobuf(json.as_bytes(), form, usize::MAX)
            .unwrap_err()
            .to_string()
    }

    /// It is telemetry, and as long as a client makes it.
    #[test]
    fn an_error_has_no_text_of_a_value() {
        let text = "hush\x7f".repeat(10_000);
        let record = |fields: &str| {
            format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{{fields}}}]}}]}}]}}"#)
        };
        let point = |kind: &str, fields: &str| {
            let metric = format!(r#""{kind}":{{"dataPoints":[{{{fields}}}]}}"#);
            format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{{metric}}}]}}]}}]}}"#)
        };
        for (json, expected) in [
            (format!(r#""{text}""#), "an object with resourceLogs"),
            (
                format!(r#"{{"resourceLogs":"{text}"}}"#),
                "a list for resourceLogs",
            ),
            (
                format!(r#"{{"resourceLogs":["{text}"]}}"#),
                "an object for ResourceLogs",
            ),
            (
                record(&format!(r#""attributes":"{text}""#)),
                "a list for attributes",
            ),
            (record(&format!(r#""body":"{text}""#)), "an object for AnyValue"),
            // With an escape, a text is copied before it is read.
            (
                record(&format!(r#""body":"\u0041{text}""#)),
                "an object for AnyValue",
            ),
            (record(&format!(r#""timeUnixNano":"{text}""#)), "timeUnixNano"),
            (record(&format!(r#""flags":"{text}""#)), "flags"),
            (record(&format!(r#""severityNumber":"{text}""#)), "severityNumber"),
            (
                record(&format!(r#""body":{{"doubleValue":"{text}"}}"#)),
                "doubleValue",
            ),
            (
                record(&format!(r#""body":{{"boolValue":"{text}"}}"#)),
                "boolValue",
            ),
            (record(&format!(r#""body":{{"intValue":"{text}"}}"#)), "intValue"),
            (
                record(&format!(r#""body":{{"intValue":"\u0041{text}"}}"#)),
                "intValue",
            ),
            (point("gauge", &format!(r#""asInt":"{text}""#)), "asInt"),
            (
                point("histogram", &format!(r#""bucketCounts":"{text}""#)),
                "a list of numbers",
            ),
            (
                point("histogram", &format!(r#""bucketCounts":["{text}"]"#)),
                "bucketCounts",
            ),
            (
                point("histogram", &format!(r#""explicitBounds":["{text}"]"#)),
                "explicitBounds",
            ),
        ] {
            for form in [Form::Request, Form::Object] {
                let problem = problem(&json, form);
                assert!(problem.contains("a string of 500"), "{problem}");
                assert!(
                    problem.contains(expected) && problem.contains("column"),
                    "{problem}"
                );
                assert!(!problem.contains("hush") && problem.len() < 250, "{problem}");
            }
        }
        let digits = format!("1.{}", "1".repeat(10_000));
        let json = record(&format!(r#""body":{{"intValue":{digits}}}"#));
        let problem = problem(&json, Form::Request);
        assert!(problem.contains("a number of 10002 characters"), "{problem}");
    }
}
