//! Building blocks of all inputs.

use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value::Value,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

pub const START_UNIX_NANO: u64 = 1_789_000_000_000_000_000;
pub const SERVICES: usize = 20;

/// Small numbers from a fixed seed (xorshift64*).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(mixed(seed) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound
    }

    pub fn one_of<'a>(&mut self, values: &[&'a str]) -> &'a str {
        values[self.below(values.len() as u64) as usize]
    }
}

/// splitmix64: similar numbers become dissimilar ones.
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

pub fn trace_id(number: usize) -> Vec<u8> {
    let number = number as u64;
    [mixed(number * 2 + 1), mixed(number * 2 + 2)]
        .iter()
        .flat_map(|half| half.to_be_bytes())
        .collect()
}

pub fn span_id(number: usize) -> Vec<u8> {
    mixed(!(number as u64)).to_be_bytes().to_vec()
}

pub fn any(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

pub fn text(value: impl Into<String>) -> AnyValue {
    any(Value::StringValue(value.into()))
}

pub fn attribute(key: &str, value: impl Into<String>) -> KeyValue {
    with(key, text(value))
}

pub fn number(key: &str, value: i64) -> KeyValue {
    with(key, any(Value::IntValue(value)))
}

pub fn with(key: &str, value: AnyValue) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(value),
        ..Default::default()
    }
}

pub fn list(values: &[&str]) -> AnyValue {
    let values = values.iter().map(|value| text(*value)).collect();
    any(Value::ArrayValue(ArrayValue { values }))
}

/// A service's resource, as the Kubernetes and host detectors of a Collector fill it.
pub fn resource(service: usize, pod: usize) -> Resource {
    Resource {
        attributes: vec![
            attribute("service.name", format!("service-{service}")),
            attribute("service.version", "1.14.2"),
            attribute("k8s.namespace.name", "production"),
            attribute(
                "k8s.pod.name",
                format!("service-{service}-6d5f9c7b8-{:05x}", mixed(pod as u64) & 0xf_ffff),
            ),
            attribute("host.name", format!("ip-10-0-{}-{}", pod / 250, pod % 250)),
        ],
        ..Default::default()
    }
}

pub fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "com.example.checkout".into(),
        version: "2.1.0".into(),
        ..Default::default()
    }
}
