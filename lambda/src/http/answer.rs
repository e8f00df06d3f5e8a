//! OTLP/HTTP responses in the format of the request, and in the form that each kind of event requires.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use otlp2iceberg::Signal;
use serde_json::{Map, Value, json};

use crate::protobuf;

/// Protobuf or JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Protobuf,
    Json,
}

/// The event type that the answer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Function URL, and API Gateway's payload format 2.0.
    V2,
    /// API Gateway's payload format 1.0.
    V1,
    /// Application Load Balancer.
    Alb,
    /// The same, with multi-value headers enabled on the target group.
    AlbMultiValue,
}

/// An HTTP answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Body,
}

#[derive(Debug, PartialEq, Eq)]
enum Body {
    Text(String),
    Binary(Vec<u8>),
}

impl Form {
    /// `None` for any other content type.
    pub(super) fn of_content_type(value: Option<&str>) -> Option<Form> {
        let kind = value?.split(';').next()?.trim().to_ascii_lowercase();
        match kind.as_str() {
            "application/x-protobuf" | "application/protobuf" => Some(Form::Protobuf),
            "application/json" | "application/x-ndjson" | "application/jsonl" | "application/json-lines" => {
                Some(Form::Json)
            }
            _ => None,
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Form::Protobuf => "application/x-protobuf",
            Form::Json => "application/json",
        }
    }
}

impl Answer {
    /// Everything is stored except the rejected records. Words without a rejected record are a warning. OTLP has
    /// the same message for both; clients log it and do not send again.
    pub(super) fn stored(form: Form, signal: Signal, rejected: u64, why: &str) -> Self {
        let is_plain = rejected == 0 && why.is_empty();
        let body = match form {
            Form::Protobuf if is_plain => Body::Binary(Vec::new()),
            Form::Json if is_plain => Body::Text("{}".into()),
            Form::Protobuf => {
                let mut partial = Vec::new();
                if rejected > 0 {
                    protobuf::varint_field(&mut partial, 1, rejected);
                }
                protobuf::bytes_field(&mut partial, 2, why.as_bytes());
                let mut response = Vec::new();
                protobuf::bytes_field(&mut response, 1, &partial);
                Body::Binary(response)
            }
            Form::Json => {
                let count = match signal {
                    Signal::Logs => "rejectedLogRecords",
                    Signal::Traces => "rejectedSpans",
                    Signal::Metrics => "rejectedDataPoints",
                };
                // 64-bit integers are strings in protobuf's JSON.
                let mut partial = json!({"errorMessage": why});
                if rejected > 0 {
                    partial[count] = rejected.to_string().into();
                }
                Body::Text(json!({ "partialSuccess": partial }).to_string())
            }
        };
        Self::new(200, form, body)
    }

    /// An error that sending the same request again cannot fix.
    pub(super) fn error(form: Form, status: u16, message: &str) -> Self {
        let code = rpc_code(status);
        let body = match form {
            Form::Protobuf => {
                let mut body = Vec::new();
                protobuf::varint_field(&mut body, 1, code);
                protobuf::bytes_field(&mut body, 2, message.as_bytes());
                Body::Binary(body)
            }
            Form::Json => Body::Text(json!({"code": code, "message": message}).to_string()),
        };
        Self::new(status, form, body)
    }

    /// An error that a retry may fix, no earlier than `after`.
    pub(super) fn try_again(form: Form, status: u16, after: Duration, message: &str) -> Self {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        let mut answer = Self::error(form, status, message);
        answer.headers.push(("retry-after", seconds.to_string()));
        answer
    }

    pub(super) fn unauthorized(form: Form) -> Self {
        let mut answer = Self::error(form, 401, "the bearer token is missing or wrong");
        answer.headers.push(("www-authenticate", "Bearer".into()));
        answer
    }

    pub(super) fn method_not_allowed(form: Form, allowed: &'static str) -> Self {
        let mut answer = Self::error(form, 405, &format!("only {allowed} is taken here"));
        answer.headers.push(("allow", allowed.into()));
        answer
    }

    pub(super) fn health() -> Self {
        Self::new(200, Form::Json, Body::Text(r#"{"status":"ok"}"#.into()))
    }

    fn new(status: u16, form: Form, body: Body) -> Self {
        Self {
            status,
            headers: vec![("content-type", form.content_type().into())],
            body,
        }
    }

    /// The answer in the form of its event.
    #[must_use]
    pub fn into_event(self, shape: Shape) -> Value {
        let (body, is_base64) = match self.body {
            Body::Text(text) => (text, false),
            Body::Binary(bytes) => (STANDARD.encode(bytes), true),
        };
        let headers = |value: fn(String) -> Value| -> Map<String, Value> {
            self.headers
                .iter()
                .map(|(name, text)| ((*name).to_owned(), value(text.clone())))
                .collect()
        };
        let mut event = json!({"statusCode": self.status, "body": body, "isBase64Encoded": is_base64});
        match shape {
            Shape::V2 | Shape::V1 => event["headers"] = headers(Value::String).into(),
            Shape::Alb => {
                event["headers"] = headers(Value::String).into();
                event["statusDescription"] = description(self.status).into();
            }
            Shape::AlbMultiValue => {
                event["multiValueHeaders"] = headers(|text| json!([text])).into();
                event["statusDescription"] = description(self.status).into();
            }
        }
        event
    }
}

/// The `google.rpc.Code` that gRPC servers use for this status.
fn rpc_code(status: u16) -> u64 {
    match status {
        401 => 16,
        404 | 405 => 12,
        413 | 429 => 8,
        503 => 14,
        _ => 3,
    }
}

fn description(status: u16) -> String {
    let reason = match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "",
    };
    format!("{status} {reason}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
    use prost::Message;

    use super::*;

    fn binary(answer: &Answer) -> &[u8] {
        match &answer.body {
            Body::Binary(bytes) => bytes,
            Body::Text(text) => text.as_bytes(),
        }
    }

    #[test]
    fn success_and_partial_success_in_both_forms() {
        let whole = Answer::stored(Form::Protobuf, Signal::Traces, 0, "");
        assert_eq!(
            ExportTraceServiceResponse::decode(binary(&whole))
                .unwrap()
                .partial_success,
            None
        );
        let partial = Answer::stored(Form::Protobuf, Signal::Traces, 300, "why");
        let partial = ExportTraceServiceResponse::decode(binary(&partial))
            .unwrap()
            .partial_success
            .unwrap();
        assert_eq!(
            (partial.rejected_spans, partial.error_message.as_str()),
            (300, "why")
        );
        for (signal, count) in [
            (Signal::Logs, "rejectedLogRecords"),
            (Signal::Traces, "rejectedSpans"),
            (Signal::Metrics, "rejectedDataPoints"),
        ] {
            let json: Value =
                serde_json::from_slice(binary(&Answer::stored(Form::Json, signal, 2, "why"))).unwrap();
            assert_eq!(
                json,
                json!({"partialSuccess": {count: "2", "errorMessage": "why"}})
            );
        }
        assert_eq!(binary(&Answer::stored(Form::Json, Signal::Logs, 0, "")), b"{}");
        let warning = Answer::stored(Form::Protobuf, Signal::Traces, 0, "why");
        let warning = ExportTraceServiceResponse::decode(binary(&warning))
            .unwrap()
            .partial_success
            .unwrap();
        assert_eq!(
            (warning.rejected_spans, warning.error_message.as_str()),
            (0, "why")
        );
        assert_eq!(
            binary(&Answer::stored(Form::Json, Signal::Logs, 0, "why")),
            br#"{"partialSuccess":{"errorMessage":"why"}}"#
        );
    }

    #[test]
    fn errors_are_a_status_in_the_form_of_the_request() {
        let json: Value = serde_json::from_slice(binary(&Answer::error(Form::Json, 400, "bad"))).unwrap();
        assert_eq!(json, json!({"code": 3, "message": "bad"}));
        assert_eq!(
            binary(&Answer::error(Form::Protobuf, 400, "bad")),
            b"\x08\x03\x12\x03bad"
        );
    }

    #[test]
    fn each_event_gets_its_own_shape() {
        let answer = || Answer::try_again(Form::Protobuf, 503, Duration::from_millis(1500), "later");
        let v2 = answer().into_event(Shape::V2);
        assert_eq!(v2["statusCode"], 503);
        assert_eq!(v2["headers"]["retry-after"], "2");
        assert_eq!(v2["headers"]["content-type"], "application/x-protobuf");
        assert_eq!(v2["isBase64Encoded"], true);
        assert_eq!(
            STANDARD.decode(v2["body"].as_str().unwrap()).unwrap(),
            b"\x08\x0e\x12\x05later"
        );
        let alb = answer().into_event(Shape::AlbMultiValue);
        assert_eq!(alb["multiValueHeaders"]["retry-after"], json!(["2"]));
        assert_eq!(alb["statusDescription"], "503 Service Unavailable");
        assert!(alb.get("headers").is_none());
        assert_eq!(Answer::health().into_event(Shape::V1)["isBase64Encoded"], false);
    }

    #[test]
    fn content_types_with_parameters_and_in_any_case() {
        for (value, form) in [
            ("application/x-protobuf", Some(Form::Protobuf)),
            ("Application/JSON; charset=utf-8", Some(Form::Json)),
            ("application/x-ndjson", Some(Form::Json)),
            ("text/plain", None),
            ("", None),
        ] {
            assert_eq!(Form::of_content_type(Some(value)), form, "{value}");
        }
    }
}
