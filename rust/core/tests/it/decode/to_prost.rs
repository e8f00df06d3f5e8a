//! Views of logs and traces, and of what all signals share, as the message types of prost.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1 as logs;
use opentelemetry_proto::tonic::resource::v1 as resource;
use opentelemetry_proto::tonic::trace::v1 as trace;
use otlp2iceberg::decode::{
    AnyValue, DecodeError, Event, KeyValue, Link, LogRecord, LogsRequest, Message, Repeated, Resource,
    ResourceLogs, ResourceSpans, Scope, ScopeLogs, ScopeSpans, Span, Status, Text, TracesRequest,
};

pub type Decoded<T> = Result<T, DecodeError>;

pub fn logs_request(bytes: &[u8]) -> Decoded<ExportLogsServiceRequest> {
    let view = LogsRequest::parse(bytes)?;
    Ok(ExportLogsServiceRequest {
        resource_logs: list(view.resource_logs, resource_logs)?,
    })
}

pub fn traces_request(bytes: &[u8]) -> Decoded<ExportTraceServiceRequest> {
    let view = TracesRequest::parse(bytes)?;
    Ok(ExportTraceServiceRequest {
        resource_spans: list(view.resource_spans, resource_spans)?,
    })
}

/// Converts each element. Also checks the announced number of elements.
pub fn list<'a, M: Message<'a>, T>(
    view: Repeated<'a, M>,
    convert: impl Fn(M) -> Decoded<T>,
) -> Decoded<Vec<T>> {
    let list = view
        .iter()
        .map(|element| element.and_then(&convert))
        .collect::<Decoded<Vec<T>>>()?;
    assert_eq!(list.len(), view.len());
    assert_eq!(list.is_empty(), view.is_empty());
    Ok(list)
}

pub fn string(text: Text<'_>) -> String {
    let (text, was_invalid) = text.to_str_lossy();
    assert!(!was_invalid, "prost wrote only valid UTF-8");
    text.into_owned()
}

/// A value with nothing set is `None`: views do not distinguish it from an absent one.
pub fn any_value(view: AnyValue<'_>) -> Decoded<Option<common::AnyValue>> {
    let value = match view {
        AnyValue::Empty => return Ok(None),
        AnyValue::String(text) => Value::StringValue(string(text)),
        AnyValue::Bool(value) => Value::BoolValue(value),
        AnyValue::Int(value) => Value::IntValue(value),
        AnyValue::Double(value) => Value::DoubleValue(value),
        AnyValue::Bytes(value) => Value::BytesValue(value.to_vec()),
        AnyValue::Array(array) => Value::ArrayValue(common::ArrayValue {
            values: list(array.values, |value| Ok(any_value(value)?.unwrap_or_default()))?,
        }),
        AnyValue::KeyValueList(pairs) => Value::KvlistValue(common::KeyValueList {
            values: attributes(pairs.values)?,
        }),
    };
    Ok(Some(common::AnyValue { value: Some(value) }))
}

pub fn attributes(view: Repeated<'_, KeyValue<'_>>) -> Decoded<Vec<common::KeyValue>> {
    list(view, |pair| {
        Ok(common::KeyValue {
            key: string(pair.key),
            value: any_value(pair.value)?,
            key_strindex: 0,
        })
    })
}

pub fn resource(view: Resource<'_>) -> Decoded<resource::Resource> {
    Ok(resource::Resource {
        attributes: attributes(view.attributes)?,
        dropped_attributes_count: view.dropped_attributes_count,
        entity_refs: Vec::new(),
    })
}

pub fn scope(view: Scope<'_>) -> Decoded<common::InstrumentationScope> {
    Ok(common::InstrumentationScope {
        name: string(view.name),
        version: string(view.version),
        attributes: attributes(view.attributes)?,
        dropped_attributes_count: view.dropped_attributes_count,
    })
}

fn resource_logs(view: ResourceLogs<'_>) -> Decoded<logs::ResourceLogs> {
    Ok(logs::ResourceLogs {
        resource: view.resource.map(resource).transpose()?,
        scope_logs: list(view.scope_logs, scope_logs)?,
        schema_url: string(view.schema_url),
    })
}

fn scope_logs(view: ScopeLogs<'_>) -> Decoded<logs::ScopeLogs> {
    Ok(logs::ScopeLogs {
        scope: view.scope.map(scope).transpose()?,
        log_records: list(view.log_records, log_record)?,
        schema_url: string(view.schema_url),
    })
}

fn log_record(view: LogRecord<'_>) -> Decoded<logs::LogRecord> {
    Ok(logs::LogRecord {
        time_unix_nano: view.time_unix_nano,
        observed_time_unix_nano: view.observed_time_unix_nano,
        severity_number: view.severity_number,
        severity_text: string(view.severity_text),
        body: any_value(view.body)?,
        attributes: attributes(view.attributes)?,
        dropped_attributes_count: view.dropped_attributes_count,
        flags: view.flags,
        trace_id: view.trace_id.to_vec(),
        span_id: view.span_id.to_vec(),
        event_name: string(view.event_name),
    })
}

fn resource_spans(view: ResourceSpans<'_>) -> Decoded<trace::ResourceSpans> {
    Ok(trace::ResourceSpans {
        resource: view.resource.map(resource).transpose()?,
        scope_spans: list(view.scope_spans, scope_spans)?,
        schema_url: string(view.schema_url),
    })
}

fn scope_spans(view: ScopeSpans<'_>) -> Decoded<trace::ScopeSpans> {
    Ok(trace::ScopeSpans {
        scope: view.scope.map(scope).transpose()?,
        spans: list(view.spans, |view| span(&view))?,
        schema_url: string(view.schema_url),
    })
}

fn span(view: &Span<'_>) -> Decoded<trace::Span> {
    Ok(trace::Span {
        trace_id: view.trace_id.to_vec(),
        span_id: view.span_id.to_vec(),
        trace_state: string(view.trace_state),
        parent_span_id: view.parent_span_id.to_vec(),
        flags: view.flags,
        name: string(view.name),
        kind: view.kind,
        start_time_unix_nano: view.start_time_unix_nano,
        end_time_unix_nano: view.end_time_unix_nano,
        attributes: attributes(view.attributes)?,
        dropped_attributes_count: view.dropped_attributes_count,
        events: list(view.events, event)?,
        dropped_events_count: view.dropped_events_count,
        links: list(view.links, link)?,
        dropped_links_count: view.dropped_links_count,
        status: view.status.map(status),
    })
}

fn event(view: Event<'_>) -> Decoded<trace::span::Event> {
    Ok(trace::span::Event {
        time_unix_nano: view.time_unix_nano,
        name: string(view.name),
        attributes: attributes(view.attributes)?,
        dropped_attributes_count: view.dropped_attributes_count,
    })
}

fn link(view: Link<'_>) -> Decoded<trace::span::Link> {
    Ok(trace::span::Link {
        trace_id: view.trace_id.to_vec(),
        span_id: view.span_id.to_vec(),
        trace_state: string(view.trace_state),
        attributes: attributes(view.attributes)?,
        dropped_attributes_count: view.dropped_attributes_count,
        flags: view.flags,
    })
}

fn status(view: Status<'_>) -> trace::Status {
    trace::Status {
        message: string(view.message),
        code: view.code,
    }
}
