//! `ExportTraceServiceRequest`s.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use prost::Message;

use super::common::{
    Random, SERVICES, START_UNIX_NANO, attribute, number, resource, scope, span_id, trace_id,
};

/// A million spans cover an hour.
const STEP_NANO: u64 = 3_600_000;
const SPANS_PER_TRACE: usize = 8;
const NAMES: [&str; 8] = [
    "POST /checkout",
    "GET /orders/{id}",
    "SELECT orders",
    "POST /pay",
    "cache.get",
    "publish orders",
    "consume orders",
    "GET /stock",
];

pub fn spans(first: usize, records: usize) -> Vec<u8> {
    let groups = (0..SERVICES).map(|service| {
        let own = (first..first + records).filter(|index| service_of(*index) == service);
        ResourceSpans {
            resource: Some(resource(service, service)),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope()),
                spans: own.map(span).collect(),
                ..Default::default()
            }],
            ..Default::default()
        }
    });
    ExportTraceServiceRequest {
        resource_spans: groups.collect(),
    }
    .encode_to_vec()
}

/// A trace goes through several services.
fn service_of(index: usize) -> usize {
    (index / SPANS_PER_TRACE + index % SPANS_PER_TRACE * 3) % SERVICES
}

fn span(index: usize) -> Span {
    let mut random = Random::new(index as u64 ^ 0x2000_0000_0000);
    let (trace, position) = (index / SPANS_PER_TRACE, index % SPANS_PER_TRACE);
    let start = START_UNIX_NANO + index as u64 * STEP_NANO + random.below(1_000_000);
    let failed = random.below(50) == 0;
    Span {
        trace_id: trace_id(trace),
        span_id: span_id(index),
        // The first span is the root. The others are children of an earlier one.
        parent_span_id: if position == 0 {
            vec![]
        } else {
            span_id(index - 1 - random.below(position as u64) as usize)
        },
        name: NAMES[position].into(),
        kind: [2, 3, 3, 2, 3, 4, 5, 2][position],
        flags: 0x101,
        start_time_unix_nano: start,
        // Most are short and some are long.
        end_time_unix_nano: start
            + 50_000
            + random.below(80_000_000) * random.below(100) / (1 + random.below(100)),
        attributes: vec![
            attribute("http.request.method", random.one_of(&["GET", "GET", "POST"])),
            attribute("url.path", format!("/api/v1/orders/{}", random.below(1_000_000))),
            number("http.response.status_code", if failed { 500 } else { 200 }),
            attribute("server.address", format!("backend-{}.internal", random.below(40))),
        ],
        events: (0..random.below(3))
            .map(|number| event(&mut random, start, number))
            .collect(),
        links: if index.is_multiple_of(10) {
            vec![link(&mut random, trace)]
        } else {
            vec![]
        },
        status: Some(Status {
            code: if failed { 2 } else { 0 },
            message: if failed {
                "upstream timed out".into()
            } else {
                String::new()
            },
        }),
        ..Default::default()
    }
}

fn event(random: &mut Random, start: u64, number_in_span: u64) -> span::Event {
    span::Event {
        time_unix_nano: start + (number_in_span + 1) * 10_000 + random.below(5_000),
        name: random.one_of(&["cache.miss", "retry", "message.sent"]).into(),
        attributes: vec![
            attribute("cache.key", format!("order:{}", random.below(1_000_000))),
            number("attempt", 1 + random.below(3) as i64),
        ],
        ..Default::default()
    }
}

fn link(random: &mut Random, trace: usize) -> span::Link {
    let earlier = trace.saturating_sub(1 + random.below(100) as usize);
    span::Link {
        trace_id: trace_id(earlier),
        span_id: span_id(earlier * SPANS_PER_TRACE),
        attributes: vec![attribute("messaging.operation.name", "receive")],
        ..Default::default()
    }
}
