//! Random OTLP requests of every type, with every field set or not and with extreme values.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span, Status,
    span::{Event, Link},
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

mod metrics;
pub use metrics::*;

/// Text: empty, short, of several scripts, with characters that JSON escapes, or with a length of more than
/// two bytes.
pub fn text() -> BoxedStrategy<String> {
    prop_oneof![
        2 => Just(String::new()),
        8 => "[a-z._]{1,12}",
        3 => any::<String>(),
        2 => "[\"\\\\/\u{0}-\u{1f}\u{7f}<>&é漢😀\u{fffd}]{0,12}",
        1 => (100_usize..400).prop_map(|length| "long ".repeat(length)),
    ]
    .boxed()
}

/// An attribute key: one of a few, so that duplicates occur, or any text.
pub fn key() -> BoxedStrategy<String> {
    prop_oneof![
        3 => prop::sample::select(vec!["service.name", "a", "b", "http.method"]).prop_map(str::to_owned),
        1 => text(),
    ]
    .boxed()
}

/// A trace or span id of `length` bytes: absent, right, all zero, or of another length.
pub fn id(length: usize) -> BoxedStrategy<Vec<u8>> {
    prop_oneof![
        2 => Just(Vec::new()),
        6 => vec(any::<u8>(), length),
        1 => Just(vec![0; length]),
        1 => vec(any::<u8>(), 1..40),
    ]
    .boxed()
}

/// Nanoseconds since the Unix epoch: absent, recent, around the end of the signed range, or any.
pub fn time() -> BoxedStrategy<u64> {
    const SIGNED_MAX: u64 = i64::MAX as u64;
    prop_oneof![
        2 => Just(0),
        6 => 1_600_000_000_000_000_000_u64..1_900_000_000_000_000_000,
        1 => prop::sample::select(vec![1, 999, 1_000, SIGNED_MAX, SIGNED_MAX + 1, u64::MAX]),
        1 => any::<u64>(),
    ]
    .boxed()
}

/// A double of any bits, and each special one often.
pub fn double() -> BoxedStrategy<f64> {
    let special = vec![
        0.0,
        -0.0,
        1.0,
        f64::NAN,
        -f64::NAN,
        f64::from_bits(0x7ff0_0000_0000_0001),
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MIN_POSITIVE,
        f64::from_bits(1),
        f64::MAX,
        f64::MIN,
        1e21,
        0.1,
    ];
    prop_oneof![
        2 => prop::sample::select(special),
        2 => -1000.0..1000.0,
        1 => any::<u64>().prop_map(f64::from_bits),
    ]
    .boxed()
}

/// A double for a field without presence: prost treats -0.0 as the default there and does not write it.
pub fn plain_double() -> BoxedStrategy<f64> {
    double()
        .prop_map(|value| if value == 0.0 { 0.0 } else { value })
        .boxed()
}

/// A signed integer, its extremes often.
pub fn integer() -> BoxedStrategy<i64> {
    prop_oneof![
        prop::sample::select(vec![0, 1, -1, i64::MIN, i64::MAX, (1 << 53) + 1]),
        any::<i64>(),
        -200_i64..200,
    ]
    .boxed()
}

/// A count of events: small, or at the edges of the signed and unsigned ranges.
pub fn count() -> BoxedStrategy<u64> {
    prop_oneof![
        6 => 0_u64..1000,
        1 => prop::sample::select(vec![i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX]),
        1 => any::<u64>(),
    ]
    .boxed()
}

/// A 32-bit number: flags or a count of dropped things.
pub fn number32() -> BoxedStrategy<u32> {
    prop_oneof![
        4 => 0_u32..300,
        1 => prop::sample::select(vec![i32::MAX as u32, i32::MAX as u32 + 1, u32::MAX]),
        1 => any::<u32>(),
    ]
    .boxed()
}

/// An enum's number: known to the proto file (0 to `known`), or not.
pub fn enumeration(known: i32) -> BoxedStrategy<i32> {
    prop_oneof![
        6 => 0..=known,
        1 => prop::sample::select(vec![-1, known + 1, i32::MIN, i32::MAX]),
    ]
    .boxed()
}

/// A value of any type, nested up to four levels; sometimes one with nothing set.
pub fn any_value() -> BoxedStrategy<AnyValue> {
    let leaf = prop_oneof![
        1 => Just(None),
        4 => text().prop_map(|value| Some(Value::StringValue(value))),
        1 => any::<bool>().prop_map(|value| Some(Value::BoolValue(value))),
        2 => integer().prop_map(|value| Some(Value::IntValue(value))),
        2 => double().prop_map(|value| Some(Value::DoubleValue(value))),
        1 => vec(any::<u8>(), 0..20).prop_map(|value| Some(Value::BytesValue(value))),
    ]
    .prop_map(|value| AnyValue { value });
    leaf.prop_recursive(4, 16, 4, |inner| {
        let pair = (key(), option::weighted(0.9, inner.clone())).prop_map(key_value_of);
        prop_oneof![
            vec(inner, 0..4).prop_map(|values| Value::ArrayValue(ArrayValue { values })),
            vec(pair, 0..4).prop_map(|values| Value::KvlistValue(KeyValueList { values })),
        ]
        .prop_map(|value| AnyValue { value: Some(value) })
    })
    .boxed()
}

/// Attributes, with duplicate keys and missing values.
pub fn attributes() -> BoxedStrategy<Vec<KeyValue>> {
    let pair = (key(), option::weighted(0.95, any_value())).prop_map(key_value_of);
    vec(pair, 0..5).boxed()
}

/// A resource, with entity references, which have no column.
pub fn resource() -> BoxedStrategy<Resource> {
    let entity = (text(), text()).prop_map(|(schema_url, r#type)| EntityRef {
        schema_url,
        r#type,
        id_keys: vec!["id".to_owned()],
        description_keys: Vec::new(),
    });
    (attributes(), number32(), vec(entity, 0..2))
        .prop_map(|(attributes, dropped_attributes_count, entity_refs)| Resource {
            attributes,
            dropped_attributes_count,
            entity_refs,
        })
        .boxed()
}

/// An instrumentation scope.
pub fn scope() -> BoxedStrategy<InstrumentationScope> {
    (text(), text(), attributes(), number32())
        .prop_map(
            |(name, version, attributes, dropped_attributes_count)| InstrumentationScope {
                name,
                version,
                attributes,
                dropped_attributes_count,
            },
        )
        .boxed()
}

/// A log record.
pub fn log_record() -> BoxedStrategy<LogRecord> {
    let head = (time(), time(), enumeration(24), text());
    let body = (option::weighted(0.9, any_value()), attributes(), number32());
    let context = (number32(), id(16), id(8), text());
    (head, body, context)
        .prop_map(|(head, body, context)| LogRecord {
            time_unix_nano: head.0,
            observed_time_unix_nano: head.1,
            severity_number: head.2,
            severity_text: head.3,
            body: body.0,
            attributes: body.1,
            dropped_attributes_count: body.2,
            flags: context.0,
            trace_id: context.1,
            span_id: context.2,
            event_name: context.3,
        })
        .boxed()
}

/// A request with logs.
pub fn logs_request() -> BoxedStrategy<ExportLogsServiceRequest> {
    let scopes = (option::of(scope()), vec(log_record(), 0..4), text()).prop_map(
        |(scope, log_records, schema_url)| ScopeLogs {
            scope,
            log_records,
            schema_url,
        },
    );
    let resources =
        (option::of(resource()), vec(scopes, 0..3), text()).prop_map(|(resource, scope_logs, schema_url)| {
            ResourceLogs {
                resource,
                scope_logs,
                schema_url,
            }
        });
    vec(resources, 0..3)
        .prop_map(|resource_logs| ExportLogsServiceRequest { resource_logs })
        .boxed()
}

/// A span event.
pub fn event() -> BoxedStrategy<Event> {
    (time(), text(), attributes(), number32())
        .prop_map(
            |(time_unix_nano, name, attributes, dropped_attributes_count)| Event {
                time_unix_nano,
                name,
                attributes,
                dropped_attributes_count,
            },
        )
        .boxed()
}

/// A span link.
pub fn link() -> BoxedStrategy<Link> {
    (id(16), id(8), text(), attributes(), number32(), number32())
        .prop_map(
            |(trace_id, span_id, trace_state, attributes, dropped_attributes_count, flags)| Link {
                trace_id,
                span_id,
                trace_state,
                attributes,
                dropped_attributes_count,
                flags,
            },
        )
        .boxed()
}

/// A span.
pub fn span() -> BoxedStrategy<Span> {
    let ids = (id(16), id(8), id(8), text(), number32());
    let what = (text(), enumeration(5), time(), time());
    let lists = (attributes(), vec(event(), 0..3), vec(link(), 0..3));
    let dropped = (number32(), number32(), number32());
    let status = option::of((text(), enumeration(2)).prop_map(|(message, code)| Status { message, code }));
    (ids, what, lists, dropped, status)
        .prop_map(|(ids, what, lists, dropped, status)| Span {
            trace_id: ids.0,
            span_id: ids.1,
            parent_span_id: ids.2,
            trace_state: ids.3,
            flags: ids.4,
            name: what.0,
            kind: what.1,
            start_time_unix_nano: what.2,
            end_time_unix_nano: what.3,
            attributes: lists.0,
            events: lists.1,
            links: lists.2,
            dropped_attributes_count: dropped.0,
            dropped_events_count: dropped.1,
            dropped_links_count: dropped.2,
            status,
        })
        .boxed()
}

/// A request with spans.
pub fn traces_request() -> BoxedStrategy<ExportTraceServiceRequest> {
    let scopes =
        (option::of(scope()), vec(span(), 0..4), text()).prop_map(|(scope, spans, schema_url)| ScopeSpans {
            scope,
            spans,
            schema_url,
        });
    let resources = (option::of(resource()), vec(scopes, 0..3), text()).prop_map(
        |(resource, scope_spans, schema_url)| ResourceSpans {
            resource,
            scope_spans,
            schema_url,
        },
    );
    vec(resources, 0..3)
        .prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
        .boxed()
}

fn key_value_of((key, value): (String, Option<AnyValue>)) -> KeyValue {
    KeyValue {
        key,
        value,
        key_strindex: 0,
    }
}
