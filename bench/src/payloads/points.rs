//! Data points of the five metric kinds.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint, SummaryDataPoint, exemplar,
    number_data_point, summary_data_point,
};

use super::common::{Random, START_UNIX_NANO, attribute, span_id, trace_id};

const SCRAPE_NANO: u64 = 15_000_000_000;
const BOUNDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
/// One point in so many has an exemplar.
const EXEMPLARS: u64 = 20;

/// The position of a point: which scrape of which service, and which series of its metric.
#[derive(Debug, Clone, Copy)]
pub struct At {
    pub scrape: usize,
    pub service: usize,
    pub index: usize,
}

impl At {
    fn time(self) -> u64 {
        START_UNIX_NANO + (self.scrape as u64 + 1) * SCRAPE_NANO
    }

    /// Differs by point.
    fn random(self, metric: u64) -> Random {
        Random::new(
            ((self.scrape as u64) << 24) | ((self.service as u64) << 16) | (metric << 8) | self.index as u64,
        )
    }

    /// A count that only grows.
    fn count(self) -> u64 {
        (self.scrape as u64 + 1) * (100 + self.index as u64 * 7 + self.service as u64)
    }
}

pub fn cpu(index: usize) -> Vec<KeyValue> {
    vec![
        attribute("cpu.logical_number", (index / 4).to_string()),
        attribute("cpu.mode", ["user", "system", "idle", "iowait"][index % 4]),
    ]
}

pub fn pool(index: usize) -> Vec<KeyValue> {
    vec![attribute(
        "memory.pool",
        ["eden", "survivor", "old", "metaspace"][index % 4],
    )]
}

pub fn route(index: usize) -> Vec<KeyValue> {
    vec![
        attribute("http.request.method", ["GET", "POST"][index % 2]),
        attribute(
            "http.route",
            format!("/api/v1/{}", ["orders", "carts", "users", "stock"][index / 2 % 4]),
        ),
        attribute("http.response.status_code", ["200", "500"][index / 8 % 2]),
    ]
}

/// A gauge's point (metrics 0 and 1) or a sum's (2, an integer that grows).
pub fn number(at: At, metric: u64, attributes: fn(usize) -> Vec<KeyValue>) -> NumberDataPoint {
    let mut random = at.random(metric);
    let value = match metric {
        0 => number_data_point::Value::AsDouble(random.below(10_000) as f64 / 10_000.0),
        1 => number_data_point::Value::AsInt((256 << 20) + (random.below(100_000) << 12) as i64),
        _ => number_data_point::Value::AsInt(at.count() as i64),
    };
    NumberDataPoint {
        attributes: attributes(at.index),
        start_time_unix_nano: if metric == 2 { START_UNIX_NANO } else { 0 },
        time_unix_nano: at.time(),
        value: Some(value),
        ..Default::default()
    }
}

pub fn histogram(at: At) -> HistogramDataPoint {
    let mut random = at.random(3);
    let bucket_counts: Vec<u64> = (0..15_u64)
        .map(|bucket| at.count() * (15 - bucket.abs_diff(6)) / 40)
        .collect();
    HistogramDataPoint {
        attributes: route(at.index),
        start_time_unix_nano: START_UNIX_NANO,
        time_unix_nano: at.time(),
        count: bucket_counts.iter().sum(),
        sum: Some(at.count() as f64 * 0.137 + random.below(1_000) as f64 / 1_000.0),
        bucket_counts,
        explicit_bounds: BOUNDS.to_vec(),
        min: Some(random.below(5_000) as f64 / 1_000_000.0),
        max: Some(10.0 + random.below(5_000) as f64 / 1_000.0),
        exemplars: if random.below(EXEMPLARS) == 0 {
            vec![exemplar(at, &mut random)]
        } else {
            vec![]
        },
        ..Default::default()
    }
}

fn exemplar(at: At, random: &mut Random) -> Exemplar {
    let trace = random.below(1_000_000) as usize;
    Exemplar {
        time_unix_nano: at.time() - random.below(SCRAPE_NANO),
        trace_id: trace_id(trace),
        span_id: span_id(trace * 8),
        value: Some(exemplar::Value::AsDouble(
            random.below(1_000_000) as f64 / 100_000.0,
        )),
        ..Default::default()
    }
}

pub fn exponential(at: At) -> ExponentialHistogramDataPoint {
    let mut random = at.random(4);
    let bucket_counts: Vec<u64> = (0..40_u64)
        .map(|bucket| at.count() * (40 - bucket.abs_diff(18)) / 200)
        .collect();
    ExponentialHistogramDataPoint {
        attributes: vec![attribute(
            "db.operation.name",
            ["SELECT", "INSERT", "UPDATE", "DELETE"][at.index % 4],
        )],
        start_time_unix_nano: START_UNIX_NANO,
        time_unix_nano: at.time(),
        count: bucket_counts.iter().sum::<u64>() + 1,
        sum: Some(at.count() as f64 * 0.021 + random.below(1_000) as f64 / 1_000.0),
        scale: 3,
        zero_count: 1,
        positive: Some(Buckets {
            offset: -60,
            bucket_counts,
        }),
        min: Some(random.below(5_000) as f64 / 1_000_000.0),
        max: Some(1.0 + random.below(5_000) as f64 / 1_000.0),
        ..Default::default()
    }
}

pub fn summary(at: At) -> SummaryDataPoint {
    let mut random = at.random(5);
    let quantile_values = [0.5, 0.9, 0.99]
        .iter()
        .map(|quantile| summary_data_point::ValueAtQuantile {
            quantile: *quantile,
            value: quantile * (1.0 + random.below(1_000) as f64 / 1_000.0),
        });
    let quantile_values = quantile_values.collect();
    SummaryDataPoint {
        attributes: vec![attribute(
            "jvm.gc.name",
            ["G1 Young Generation", "G1 Old Generation"][at.index % 2],
        )],
        start_time_unix_nano: START_UNIX_NANO,
        time_unix_nano: at.time(),
        count: at.count(),
        sum: at.count() as f64 * 0.004,
        quantile_values,
        ..Default::default()
    }
}
