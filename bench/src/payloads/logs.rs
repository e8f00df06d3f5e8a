//! `ExportLogsServiceRequest`s.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use super::common::{
    Random, SERVICES, START_UNIX_NANO, any, attribute, list, number, resource, scope, span_id, text,
    trace_id, with,
};

/// A million records cover an hour.
const STEP_NANO: u64 = 3_600_000;
const SEVERITIES: [(i32, &str); 20] = {
    let mut severities = [(9, "INFO"); 20];
    severities[0] = (17, "ERROR");
    severities[1] = (13, "WARN");
    severities[2] = (13, "WARN");
    severities[3] = (5, "DEBUG");
    severities
};
const WORDS: [&str; 32] = [
    "order",
    "payment",
    "inventory",
    "customer",
    "retry",
    "timeout",
    "upstream",
    "connection",
    "pool",
    "cache",
    "shard",
    "replica",
    "commit",
    "rollback",
    "lock",
    "queue",
    "consumer",
    "offset",
    "partition",
    "deadline",
    "gateway",
    "session",
    "token",
    "cart",
    "voucher",
    "shipment",
    "invoice",
    "ledger",
    "balance",
    "refund",
    "region",
    "cluster",
];

pub fn small(first: usize, records: usize) -> Vec<u8> {
    by_service(first, records, small_record)
}

pub fn large(first: usize, records: usize) -> Vec<u8> {
    by_service(first, records, large_record)
}

pub fn many_resources(first: usize, records: usize) -> Vec<u8> {
    let groups = (first..first + records)
        .map(|index| group(resource(index % SERVICES, index), vec![small_record(index)]));
    request(groups.collect())
}

pub fn one_resource(first: usize, records: usize) -> Vec<u8> {
    let records = (first..first + records).map(small_record).collect();
    request(vec![group(resource(3, 3), records)])
}

/// Distributes records in time order to the services in turn.
fn by_service(first: usize, records: usize, record: fn(usize) -> LogRecord) -> Vec<u8> {
    let groups = (0..SERVICES).map(|service| {
        let own = (first..first + records).filter(|index| index % SERVICES == service);
        group(resource(service, service), own.map(record).collect())
    });
    request(groups.collect())
}

fn request(resource_logs: Vec<ResourceLogs>) -> Vec<u8> {
    ExportLogsServiceRequest { resource_logs }.encode_to_vec()
}

fn group(resource: Resource, log_records: Vec<LogRecord>) -> ResourceLogs {
    ResourceLogs {
        resource: Some(resource),
        scope_logs: vec![ScopeLogs {
            scope: Some(scope()),
            log_records,
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn small_record(index: usize) -> LogRecord {
    let mut random = Random::new(index as u64);
    let time = START_UNIX_NANO + index as u64 * STEP_NANO + random.below(900_000);
    let (severity_number, severity_text) = SEVERITIES[random.below(20) as usize];
    let status = if severity_number == 17 {
        500
    } else {
        [200, 200, 200, 404][random.below(4) as usize]
    };
    let order = random.below(1_000_000);
    let milliseconds = random.below(900);
    let customer = random.below(50_000);
    let (b, c, d) = (random.below(256), random.below(256), random.below(256));
    LogRecord {
        time_unix_nano: time,
        observed_time_unix_nano: time + 500_000 + random.below(100_000),
        severity_number,
        severity_text: severity_text.into(),
        body: Some(text(format!(
            "GET /api/v1/orders/{order} completed with status {status} in {milliseconds} ms for customer {customer}"
        ))),
        attributes: vec![
            attribute("http.request.method", "GET"),
            attribute("url.path", format!("/api/v1/orders/{order}")),
            number("http.response.status_code", status),
            attribute("client.address", format!("10.{b}.{c}.{d}")),
            attribute("thread.name", format!("http-nio-8080-exec-{}", index % 50)),
        ],
        trace_id: trace_id(index),
        span_id: span_id(index),
        flags: 1,
        ..Default::default()
    }
}

fn large_record(index: usize) -> LogRecord {
    let mut random = Random::new(index as u64 ^ 0x1000_0000_0000);
    let mut record = small_record(index);
    let mut body = format!("request {} failed over: ", random.next());
    while body.len() < 480 {
        body.push_str(random.one_of(&WORDS));
        body.push(' ');
    }
    record.body = Some(text(body));
    record.trace_id = trace_id(index / 4);
    record.span_id = span_id(index / 2);
    record.attributes.extend([
        attribute("user.id", format!("u-{:08}", random.below(50_000))),
        attribute(
            "code.function.name",
            format!("com.example.{}.{}", random.one_of(&WORDS), random.one_of(&WORDS)),
        ),
        number("code.line.number", random.below(2_000) as i64),
        with(
            "http.request.duration",
            any(Value::DoubleValue(random.below(1_000_000) as f64 / 1_000.0)),
        ),
        with("feature.beta", any(Value::BoolValue(random.below(10) == 0))),
        with(
            "order.tags",
            list(&[random.one_of(&WORDS), random.one_of(&WORDS)]),
        ),
    ]);
    record
}
