//! Which objects are taken: requests, one or several, of today and of before OTLP 0.15; what was stored by
//! itself; unknown fields.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use otlp2iceberg::Signal;
use otlp2iceberg::decode::{LogsRequest, Message as _, MetricsRequest, TracesRequest};
use prost::Message;

use super::{logs, record};
use crate::json::{Failure, Form, Payloads, to_protobuf};

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
