//! A plain implementation of the mapping in `docs/schema.md`, from prost's types: shared parts, logs and
//! traces.

use base64::Engine as _;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use otlp2iceberg::convert::Repairs;

use super::rows::{ARRIVAL, Cell, Row};

/// The expected result of a request: rows per table in order of [`otlp2iceberg::signal::Table`].
#[derive(Debug, Default)]
pub struct Expected {
    pub tables: [Vec<Row>; 7],
    pub rejected: u64,
    pub repairs: Repairs,
}

pub fn logs(request: &ExportLogsServiceRequest) -> Expected {
    let mut expected = Expected::default();
    for resource_logs in &request.resource_logs {
        let resource = resource(resource_logs.resource.as_ref(), &resource_logs.schema_url);
        for scope_logs in &resource_logs.scope_logs {
            let scope = scope(scope_logs.scope.as_ref(), &scope_logs.schema_url);
            for record in &scope_logs.log_records {
                let mut row = log(record, &mut expected.repairs);
                row.extend(resource.clone());
                row.extend(scope.clone());
                expected.tables[0].push(row);
            }
        }
    }
    expected
}

pub fn traces(request: &ExportTraceServiceRequest) -> Expected {
    let mut expected = Expected::default();
    for resource_spans in &request.resource_spans {
        let resource = resource(resource_spans.resource.as_ref(), &resource_spans.schema_url);
        for scope_spans in &resource_spans.scope_spans {
            let scope = scope(scope_spans.scope.as_ref(), &scope_spans.schema_url);
            for one in &scope_spans.spans {
                let mut row = span(one, &mut expected.repairs);
                row.extend(resource.clone());
                row.extend(scope.clone());
                expected.tables[1].push(row);
            }
        }
    }
    expected
}

pub fn resource(resource: Option<&Resource>, schema_url: &str) -> Row {
    let resource = resource.cloned().unwrap_or_default();
    let named = resource
        .attributes
        .iter()
        .rev()
        .find(|attribute| attribute.key == "service.name");
    Row::from([
        (
            "ServiceName",
            named.map_or(Cell::Null, |attribute| value_text(attribute.value.as_ref())),
        ),
        ("ResourceAttributes", sorted_map(&resource.attributes)),
        ("ResourceSchemaUrl", text(schema_url)),
        (
            "ResourceDroppedAttributesCount",
            dropped(resource.dropped_attributes_count),
        ),
    ])
}

pub fn scope(scope: Option<&InstrumentationScope>, schema_url: &str) -> Row {
    let scope = scope.cloned().unwrap_or_default();
    Row::from([
        ("ScopeName", text(&scope.name)),
        ("ScopeVersion", text(&scope.version)),
        ("ScopeAttributes", sorted_map(&scope.attributes)),
        ("ScopeSchemaUrl", text(schema_url)),
        (
            "ScopeDroppedAttributesCount",
            dropped(scope.dropped_attributes_count),
        ),
    ])
}

fn log(record: &LogRecord, repairs: &mut Repairs) -> Row {
    let own = time(record.time_unix_nano, repairs);
    let observed = time(record.observed_time_unix_nano, repairs);
    let timestamp = first_set([own, observed.clone(), arrival()]);
    Row::from([
        ("Timestamp", timestamp),
        ("ObservedTimestamp", observed),
        ("TraceId", id(&record.trace_id, 16, repairs)),
        ("SpanId", id(&record.span_id, 8, repairs)),
        ("TraceFlags", flags(record.flags)),
        ("SeverityText", text(&record.severity_text)),
        ("SeverityNumber", Cell::Number(record.severity_number.into())),
        ("EventName", text(&record.event_name)),
        ("Body", value_text(record.body.as_ref())),
        ("LogAttributes", map(&record.attributes)),
        (
            "LogDroppedAttributesCount",
            dropped(record.dropped_attributes_count),
        ),
    ])
}

fn span(span: &Span, repairs: &mut Repairs) -> Row {
    let start = time(span.start_time_unix_nano, repairs);
    let end = time(span.end_time_unix_nano, repairs);
    let duration = match (&start, &end) {
        (Cell::Null, _) | (_, Cell::Null) => Cell::Null,
        _ => {
            let exact = i128::from(span.end_time_unix_nano) - i128::from(span.start_time_unix_nano);
            Cell::Number(i64::try_from(exact).unwrap())
        }
    };
    let status = span.status.clone().unwrap_or_default();
    let kinds = [
        "Unspecified",
        "Internal",
        "Server",
        "Client",
        "Producer",
        "Consumer",
    ];
    let mut events = Vec::new();
    for event in &span.events {
        events.push(Cell::Struct(Row::from([
            ("Timestamp", time(event.time_unix_nano, repairs)),
            ("Name", text(&event.name)),
            ("Attributes", map(&event.attributes)),
            ("DroppedAttributesCount", dropped(event.dropped_attributes_count)),
        ])));
    }
    let mut links = Vec::new();
    for link in &span.links {
        links.push(Cell::Struct(Row::from([
            ("TraceId", id(&link.trace_id, 16, repairs)),
            ("SpanId", id(&link.span_id, 8, repairs)),
            ("TraceState", text(&link.trace_state)),
            ("TraceFlags", flags(link.flags)),
            ("Attributes", map(&link.attributes)),
            ("DroppedAttributesCount", dropped(link.dropped_attributes_count)),
        ])));
    }
    Row::from([
        ("Timestamp", first_set([start, end, arrival()])),
        ("Duration", duration),
        ("TraceId", id(&span.trace_id, 16, repairs)),
        ("SpanId", id(&span.span_id, 8, repairs)),
        ("ParentSpanId", id(&span.parent_span_id, 8, repairs)),
        ("TraceState", text(&span.trace_state)),
        ("TraceFlags", flags(span.flags)),
        ("SpanName", text(&span.name)),
        ("SpanKind", word(span.kind, &kinds)),
        ("StatusCode", word(status.code, &["Unset", "Ok", "Error"])),
        ("StatusMessage", text(&status.message)),
        ("SpanAttributes", map(&span.attributes)),
        ("Events", list(events)),
        ("Links", list(links)),
        (
            "SpanDroppedAttributesCount",
            dropped(span.dropped_attributes_count),
        ),
        ("DroppedEventsCount", dropped(span.dropped_events_count)),
        ("DroppedLinksCount", dropped(span.dropped_links_count)),
    ])
}

pub fn text(text: &str) -> Cell {
    if text.is_empty() {
        Cell::Null
    } else {
        Cell::text(text)
    }
}

pub fn list(cells: Vec<Cell>) -> Cell {
    if cells.is_empty() {
        Cell::Null
    } else {
        Cell::List(cells)
    }
}

pub fn time(nanoseconds: u64, repairs: &mut Repairs) -> Cell {
    if nanoseconds > i64::MAX as u64 {
        repairs.invalid_times += 1;
        return Cell::Null;
    }
    if nanoseconds == 0 {
        return Cell::Null;
    }
    Cell::Number((nanoseconds / 1000) as i64)
}

pub fn arrival() -> Cell {
    Cell::Number((ARRIVAL / 1000) as i64)
}

pub fn first_set(cells: impl IntoIterator<Item = Cell>) -> Cell {
    cells
        .into_iter()
        .find(|cell| *cell != Cell::Null)
        .unwrap_or(Cell::Null)
}

pub fn id(id: &[u8], length: usize, repairs: &mut Repairs) -> Cell {
    if id.is_empty() {
        return Cell::Null;
    }
    if id.len() != length || id.iter().all(|byte| *byte == 0) {
        repairs.invalid_ids += 1;
        return Cell::Null;
    }
    Cell::Text(id.iter().map(|byte| format!("{byte:02x}")).collect())
}

pub fn flags(flags: u32) -> Cell {
    Cell::Number((flags as i32).into())
}

pub fn dropped(count: u32) -> Cell {
    Cell::Number(count.min(2_147_483_647).into())
}

pub fn word(number: i32, words: &[&str]) -> Cell {
    let known = usize::try_from(number).ok().and_then(|at| words.get(at));
    known.map_or_else(|| Cell::Text(number.to_string()), |word| Cell::text(*word))
}

pub fn map(attributes: &[KeyValue]) -> Cell {
    let entries = last_of_each(attributes);
    if entries.is_empty() {
        return Cell::Null;
    }
    let entry = |one: &KeyValue| (one.key.clone(), value_text(one.value.as_ref()));
    Cell::Map(entries.into_iter().map(entry).collect())
}

/// The map of attributes that are compared as a whole.
pub fn sorted_map(attributes: &[KeyValue]) -> Cell {
    let Cell::Map(mut entries) = map(attributes) else {
        return Cell::Null;
    };
    entries.sort_by(|(one, _), (other, _)| one.cmp(other));
    Cell::Map(entries)
}

fn last_of_each(attributes: &[KeyValue]) -> Vec<&KeyValue> {
    let mut kept: Vec<&KeyValue> = Vec::new();
    for attribute in attributes {
        kept.retain(|earlier| earlier.key != attribute.key);
        kept.push(attribute);
    }
    kept
}

pub fn value_text(value: Option<&AnyValue>) -> Cell {
    let Some(value) = value.and_then(|value| value.value.as_ref()) else {
        return Cell::Null;
    };
    Cell::Text(match value {
        Value::StringValue(text) => text.clone(),
        Value::BytesValue(bytes) => base64::engine::general_purpose::STANDARD.encode(bytes),
        Value::DoubleValue(number) if number.is_nan() => "NaN".to_owned(),
        Value::DoubleValue(number) if *number == f64::INFINITY => "Infinity".to_owned(),
        Value::DoubleValue(number) if *number == f64::NEG_INFINITY => "-Infinity".to_owned(),
        other => json(other),
    })
}

fn json(value: &Value) -> String {
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    let element = |value: Option<&AnyValue>| {
        let value = value.and_then(|value| value.value.as_ref());
        value.map_or_else(|| "null".to_owned(), json)
    };
    match value {
        Value::StringValue(text) => quoted(text),
        Value::BoolValue(value) => value.to_string(),
        Value::IntValue(value) => value.to_string(),
        Value::DoubleValue(value) if value.is_finite() => serde_json::to_string(value).unwrap(),
        Value::ArrayValue(array) => {
            let elements: Vec<String> = array.values.iter().map(|value| element(Some(value))).collect();
            format!("[{}]", elements.join(","))
        }
        Value::KvlistValue(pairs) => {
            let members: Vec<String> = last_of_each(&pairs.values)
                .into_iter()
                .map(|pair| format!("{}:{}", quoted(&pair.key), element(pair.value.as_ref())))
                .collect();
            format!("{{{}}}", members.join(","))
        }
        special => {
            let any = AnyValue {
                value: Some(special.clone()),
            };
            match value_text(Some(&any)) {
                Cell::Text(text) => quoted(&text),
                other => panic!("{other:?} is no text"),
            }
        }
    }
}
