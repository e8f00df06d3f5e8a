//! Random metrics of all five kinds.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
    exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
    summary_data_point::ValueAtQuantile,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{
    attributes, count, double, enumeration, id, integer, number32, plain_double, resource, scope, text, time,
};

/// An exemplar.
pub fn exemplar() -> BoxedStrategy<Exemplar> {
    let value = option::weighted(
        0.9,
        prop_oneof![
            double().prop_map(exemplar::Value::AsDouble),
            integer().prop_map(exemplar::Value::AsInt),
        ],
    );
    (attributes(), time(), id(8), id(16), value)
        .prop_map(
            |(filtered_attributes, time_unix_nano, span_id, trace_id, value)| Exemplar {
                filtered_attributes,
                time_unix_nano,
                span_id,
                trace_id,
                value,
            },
        )
        .boxed()
}

/// A point of a gauge or a sum.
pub fn number_data_point() -> BoxedStrategy<NumberDataPoint> {
    let value = option::weighted(
        0.9,
        prop_oneof![
            double().prop_map(number_data_point::Value::AsDouble),
            integer().prop_map(number_data_point::Value::AsInt),
        ],
    );
    (
        attributes(),
        time(),
        time(),
        vec(exemplar(), 0..3),
        number32(),
        value,
    )
        .prop_map(
            |(attributes, start_time_unix_nano, time_unix_nano, exemplars, flags, value)| NumberDataPoint {
                attributes,
                start_time_unix_nano,
                time_unix_nano,
                exemplars,
                flags,
                value,
            },
        )
        .boxed()
}

/// Bucket counts and bounds that fit each other, or (seldom) do not.
fn buckets_and_bounds() -> BoxedStrategy<(Vec<u64>, Vec<f64>)> {
    prop_oneof![
        8 => (0_usize..5).prop_flat_map(|bounds| (vec(count(), bounds + 1), vec(double(), bounds))),
        2 => Just((Vec::new(), Vec::new())),
        1 => (vec(count(), 0..4), vec(double(), 0..4)),
    ]
    .boxed()
}

/// A point of a histogram.
pub fn histogram_data_point() -> BoxedStrategy<HistogramDataPoint> {
    let head = (attributes(), time(), time(), count());
    let range = (option::of(double()), option::of(double()), option::of(double()));
    let tail = (vec(exemplar(), 0..3), number32());
    (head, range, buckets_and_bounds(), tail)
        .prop_map(|(head, range, buckets, tail)| HistogramDataPoint {
            attributes: head.0,
            start_time_unix_nano: head.1,
            time_unix_nano: head.2,
            count: head.3,
            sum: range.0,
            min: range.1,
            max: range.2,
            bucket_counts: buckets.0,
            explicit_bounds: buckets.1,
            exemplars: tail.0,
            flags: tail.1,
        })
        .boxed()
}

fn signed32() -> BoxedStrategy<i32> {
    prop_oneof![
        3 => -20..20,
        1 => prop::sample::select(vec![i32::MIN, i32::MAX]),
        1 => any::<i32>(),
    ]
    .boxed()
}

fn buckets() -> BoxedStrategy<Buckets> {
    (signed32(), vec(count(), 0..6))
        .prop_map(|(offset, bucket_counts)| Buckets {
            offset,
            bucket_counts,
        })
        .boxed()
}

/// A point of an exponential histogram.
pub fn exponential_histogram_data_point() -> BoxedStrategy<ExponentialHistogramDataPoint> {
    let head = (attributes(), time(), time(), count());
    let range = (option::of(double()), option::of(double()), option::of(double()));
    let buckets = (
        signed32(),
        count(),
        plain_double(),
        option::of(buckets()),
        option::of(buckets()),
    );
    let tail = (vec(exemplar(), 0..3), number32());
    (head, range, buckets, tail)
        .prop_map(|(head, range, buckets, tail)| ExponentialHistogramDataPoint {
            attributes: head.0,
            start_time_unix_nano: head.1,
            time_unix_nano: head.2,
            count: head.3,
            sum: range.0,
            min: range.1,
            max: range.2,
            scale: buckets.0,
            zero_count: buckets.1,
            zero_threshold: buckets.2,
            positive: buckets.3,
            negative: buckets.4,
            exemplars: tail.0,
            flags: tail.1,
        })
        .boxed()
}

/// A point of a summary.
pub fn summary_data_point() -> BoxedStrategy<SummaryDataPoint> {
    let quantile =
        (plain_double(), plain_double()).prop_map(|(quantile, value)| ValueAtQuantile { quantile, value });
    let head = (attributes(), time(), time(), count());
    (head, plain_double(), vec(quantile, 0..4), number32())
        .prop_map(|(head, sum, quantile_values, flags)| SummaryDataPoint {
            attributes: head.0,
            start_time_unix_nano: head.1,
            time_unix_nano: head.2,
            count: head.3,
            sum,
            quantile_values,
            flags,
        })
        .boxed()
}

fn data() -> BoxedStrategy<Data> {
    prop_oneof![
        vec(number_data_point(), 0..4).prop_map(|data_points| Data::Gauge(Gauge { data_points })),
        (vec(number_data_point(), 0..4), enumeration(2), any::<bool>()).prop_map(
            |(data_points, aggregation_temporality, is_monotonic)| {
                Data::Sum(Sum {
                    data_points,
                    aggregation_temporality,
                    is_monotonic,
                })
            }
        ),
        (vec(histogram_data_point(), 0..4), enumeration(2)).prop_map(
            |(data_points, aggregation_temporality)| {
                Data::Histogram(Histogram {
                    data_points,
                    aggregation_temporality,
                })
            }
        ),
        (vec(exponential_histogram_data_point(), 0..4), enumeration(2)).prop_map(
            |(data_points, aggregation_temporality)| {
                Data::ExponentialHistogram(ExponentialHistogram {
                    data_points,
                    aggregation_temporality,
                })
            }
        ),
        vec(summary_data_point(), 0..4).prop_map(|data_points| Data::Summary(Summary { data_points })),
    ]
    .boxed()
}

/// A metric of any kind, or (seldom) of none.
pub fn metric() -> BoxedStrategy<Metric> {
    (
        text(),
        text(),
        text(),
        attributes(),
        option::weighted(0.95, data()),
    )
        .prop_map(|(name, description, unit, metadata, data)| Metric {
            name,
            description,
            unit,
            metadata,
            data,
        })
        .boxed()
}

/// A request with metrics.
pub fn metrics_request() -> BoxedStrategy<ExportMetricsServiceRequest> {
    let scopes =
        (option::of(scope()), vec(metric(), 0..4), text()).prop_map(|(scope, metrics, schema_url)| {
            ScopeMetrics {
                scope,
                metrics,
                schema_url,
            }
        });
    let resources = (option::of(resource()), vec(scopes, 0..3), text()).prop_map(
        |(resource, scope_metrics, schema_url)| ResourceMetrics {
            resource,
            scope_metrics,
            schema_url,
        },
    );
    vec(resources, 0..3)
        .prop_map(|resource_metrics| ExportMetricsServiceRequest { resource_metrics })
        .boxed()
}
