//! `ExportMetricsServiceRequest`s: scrapes of the same series, one after the other.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, Gauge, Histogram, Metric, ResourceMetrics, ScopeMetrics, Sum, Summary,
};
use prost::Message;

use super::common::{SERVICES, resource, scope};
use super::points::{At, exponential, histogram, number, summary};

/// Points of one service in one scrape: 16 + 4 gauge, 16 sum, 8 histogram, 4 exponential, 2 summary points.
const SERVICE_POINTS: usize = 50;
const SCRAPE_POINTS: usize = SERVICES * SERVICE_POINTS;
const CUMULATIVE: i32 = 2;

/// The points `first..first + records`, a scrape of all services after the other.
pub fn points(first: usize, records: usize) -> Vec<u8> {
    let end = first + records;
    let services = first / SERVICE_POINTS..end.div_ceil(SERVICE_POINTS);
    let resource_metrics = services.map(|number| {
        let (scrape, service) = (number / SERVICES, number % SERVICES);
        let own = |index: usize| {
            let position = scrape * SCRAPE_POINTS + service * SERVICE_POINTS + index;
            position >= first && position < end
        };
        ResourceMetrics {
            resource: Some(resource(service, service)),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope()),
                metrics: metrics(scrape, service, own),
                ..Default::default()
            }],
            ..Default::default()
        }
    });
    ExportMetricsServiceRequest {
        resource_metrics: resource_metrics.collect(),
    }
    .encode_to_vec()
}

fn metrics(scrape: usize, service: usize, own: impl Fn(usize) -> bool) -> Vec<Metric> {
    let at = |from: usize, to: usize| {
        let numbers = (from..to).filter(|index| own(*index));
        numbers
            .map(move |index| At {
                scrape,
                service,
                index: index - from,
            })
            .collect::<Vec<_>>()
    };
    let named = |name: &str, description: &str, unit: &str, data| Metric {
        name: name.into(),
        description: description.into(),
        unit: unit.into(),
        data: Some(data),
        ..Default::default()
    };
    let gauge = |points: Vec<At>, seed, attributes: fn(usize) -> _| {
        Data::Gauge(Gauge {
            data_points: points.iter().map(|at| number(*at, seed, attributes)).collect(),
        })
    };
    let all = [
        named(
            "system.cpu.utilization",
            "Share of time that a CPU was busy",
            "1",
            gauge(at(0, 16), 0, super::points::cpu),
        ),
        named(
            "process.memory.usage",
            "Physical memory in use",
            "By",
            gauge(at(16, 20), 1, super::points::pool),
        ),
        named(
            "http.server.request.count",
            "Requests that were answered",
            "{request}",
            Data::Sum(Sum {
                data_points: at(20, 36)
                    .iter()
                    .map(|at| number(*at, 2, super::points::route))
                    .collect(),
                aggregation_temporality: CUMULATIVE,
                is_monotonic: true,
            }),
        ),
        named(
            "http.server.request.duration",
            "Duration of HTTP server requests",
            "s",
            Data::Histogram(Histogram {
                data_points: at(36, 44).iter().map(|at| histogram(*at)).collect(),
                aggregation_temporality: CUMULATIVE,
            }),
        ),
        named(
            "db.client.operation.duration",
            "Duration of database client operations",
            "s",
            Data::ExponentialHistogram(ExponentialHistogram {
                data_points: at(44, 48).iter().map(|at| exponential(*at)).collect(),
                aggregation_temporality: CUMULATIVE,
            }),
        ),
        named(
            "jvm.gc.duration",
            "Duration of garbage collections",
            "s",
            Data::Summary(Summary {
                data_points: at(48, 50).iter().map(|at| summary(*at)).collect(),
            }),
        ),
    ];
    all.into_iter()
        .filter(|metric| metric.data.as_ref().is_some_and(has_points))
        .collect()
}

fn has_points(data: &Data) -> bool {
    match data {
        Data::Gauge(data) => !data.data_points.is_empty(),
        Data::Sum(data) => !data.data_points.is_empty(),
        Data::Histogram(data) => !data.data_points.is_empty(),
        Data::ExponentialHistogram(data) => !data.data_points.is_empty(),
        Data::Summary(data) => !data.data_points.is_empty(),
    }
}
