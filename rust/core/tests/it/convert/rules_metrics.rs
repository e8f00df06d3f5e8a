//! Rules 11 and 12 of `docs/schema.md`, on data points.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
    exponential_histogram_data_point::Buckets, metric::Data, number_data_point::Value,
};
use otlp2iceberg::convert::{Converted, Repairs};
use otlp2iceberg::signal::{Signal, Table};
use prost::Message;

use super::rows::{Cell, converted, rows};
use crate::decode::encode::{double, nested};

const TOO_MANY: u64 = 1 << 63;

#[test]
fn rule_11_numbers_are_kept_bit_by_bit() {
    let signalling_nan = f64::from_bits(0x7ff0_0000_0000_0001);
    for (value, double, int) in [
        (None, Cell::Null, Cell::Null),
        (Some(Value::AsDouble(-0.0)), Cell::double(-0.0), Cell::Null),
        (
            Some(Value::AsDouble(signalling_nan)),
            Cell::double(signalling_nan),
            Cell::Null,
        ),
        (
            Some(Value::AsDouble(-f64::NAN)),
            Cell::double(-f64::NAN),
            Cell::Null,
        ),
        (
            Some(Value::AsDouble(f64::NEG_INFINITY)),
            Cell::double(f64::NEG_INFINITY),
            Cell::Null,
        ),
        (Some(Value::AsInt(0)), Cell::double(0.0), Cell::Number(0)),
        (
            Some(Value::AsInt(i64::MIN)),
            Cell::double(-9_223_372_036_854_775_808.0),
            Cell::Number(i64::MIN),
        ),
        (
            Some(Value::AsInt(i64::MAX)),
            Cell::double(9_223_372_036_854_775_807.0),
            Cell::Number(i64::MAX),
        ),
        (
            Some(Value::AsInt(9_007_199_254_740_993)),
            Cell::double(9_007_199_254_740_992.0),
            Cell::Number(9_007_199_254_740_993),
        ),
    ] {
        let exemplar = Exemplar {
            value: value.map(|value| match value {
                Value::AsDouble(value) => exemplar::Value::AsDouble(value),
                Value::AsInt(value) => exemplar::Value::AsInt(value),
            }),
            ..Default::default()
        };
        let point = NumberDataPoint {
            value,
            exemplars: vec![exemplar],
            flags: u32::MAX,
            ..Default::default()
        };
        let gauge = Data::Gauge(Gauge {
            data_points: vec![point.clone()],
        });
        let sum = Data::Sum(Sum {
            data_points: vec![point],
            ..Default::default()
        });
        let converted = convert_metrics(vec![gauge, sum].into_iter().map(Some));
        for table in [Table::Gauge, Table::Sum] {
            let row = &rows(&converted, table)[0];
            assert_eq!((&row["Value"], &row["ValueInt"]), (&double, &int));
            assert_eq!(row["Flags"], Cell::Number(-1));
            let Cell::List(exemplars) = &row["Exemplars"] else {
                panic!("{row:?}")
            };
            let [Cell::Struct(exemplar)] = &exemplars[..] else {
                panic!("{row:?}")
            };
            assert_eq!((&exemplar["Value"], &exemplar["ValueInt"]), (&double, &int));
        }
    }
}

/// prost does not write -0.0 in a field without presence; other clients do.
#[test]
fn rule_11_minus_zero_is_kept_in_fields_without_presence() {
    let summary = [
        double(5, -0.0),
        nested(&[6], [double(1, -0.0), double(2, -0.0)].concat()),
    ]
    .concat();
    let converted = converted(Signal::Metrics, &nested(&[1, 2, 2, 11, 1], summary));
    let row = &rows(&converted, Table::Summary)[0];
    assert_eq!(row["Sum"], Cell::double(-0.0));
    let Cell::List(quantiles) = &row["ValueAtQuantiles"] else {
        panic!("{row:?}")
    };
    let [Cell::Struct(quantile)] = &quantiles[..] else {
        panic!("{row:?}")
    };
    assert_eq!(quantile["Quantile"], Cell::double(-0.0));
    assert_eq!(quantile["Value"], Cell::double(-0.0));
}

#[test]
fn rule_12_a_metric_without_data_is_rejected_alone() {
    let gauge = || {
        Some(Data::Gauge(Gauge {
            data_points: vec![NumberDataPoint::default()],
        }))
    };
    let converted = convert_metrics([gauge(), None, gauge()]);
    assert_eq!(rows(&converted, Table::Gauge).len(), 2);
    assert_eq!(
        rejections(&converted),
        [(
            "resource_metrics[0].scope_metrics[0].metrics[1] (metric \"m\")",
            "the metric has no data"
        )]
    );
    // A metric of a kind without points has no data point that could be rejected.
    let empty = convert_metrics([Some(Data::Summary(Summary::default()))]);
    assert_eq!((empty.batches.len(), empty.rejected), (0, 0));
}

#[test]
fn rule_12_bucket_counts_must_fit_the_bounds() {
    for (counts, bounds, fits) in [
        (0, 0, true),
        (1, 0, true),
        (3, 2, true),
        (0, 1, false),
        (2, 2, false),
        (4, 2, false),
    ] {
        let point = HistogramDataPoint {
            bucket_counts: vec![1; counts],
            explicit_bounds: vec![0.5; bounds],
            time_unix_nano: u64::MAX,
            ..Default::default()
        };
        let good = HistogramDataPoint {
            count: 7,
            ..Default::default()
        };
        let data_points = vec![good.clone(), point, good];
        let histogram = Data::Histogram(Histogram {
            data_points,
            ..Default::default()
        });
        let converted = convert_metrics([Some(histogram)]);
        let rows = rows(&converted, Table::Histogram);
        assert_eq!(rows.len(), if fits { 3 } else { 2 });
        assert_eq!(rows[rows.len() - 1]["Count"], Cell::Number(7));
        let reason = format!("its {counts} bucket counts do not fit its {bounds} bounds");
        let path = "resource_metrics[0].scope_metrics[0].metrics[0].histogram.data_points[1] (metric \"m\")";
        let rejected = if fits {
            vec![]
        } else {
            vec![(path, reason.as_str())]
        };
        assert_eq!(rejections(&converted), rejected);
        // The content of a rejected point is not stored, so it is not repaired either.
        let invalid_times = u64::from(fits);
        assert_eq!(
            converted.repairs,
            Repairs {
                invalid_times,
                ..Default::default()
            }
        );
    }
}

#[test]
fn rule_12_a_count_above_the_signed_range_rejects_its_point() {
    let buckets = |count| {
        Some(Buckets {
            offset: 0,
            bucket_counts: vec![0, count],
        })
    };
    for count in [TOO_MANY - 1, TOO_MANY] {
        let histogram = |point| {
            Data::Histogram(Histogram {
                data_points: vec![point],
                ..Default::default()
            })
        };
        let exponential = |point| {
            Data::ExponentialHistogram(ExponentialHistogram {
                data_points: vec![point],
                ..Default::default()
            })
        };
        let converted = convert_metrics([
            Some(histogram(HistogramDataPoint {
                count,
                ..Default::default()
            })),
            Some(histogram(HistogramDataPoint {
                bucket_counts: vec![count],
                ..Default::default()
            })),
            Some(exponential(ExponentialHistogramDataPoint {
                count,
                ..Default::default()
            })),
            Some(exponential(ExponentialHistogramDataPoint {
                zero_count: count,
                ..Default::default()
            })),
            Some(exponential(ExponentialHistogramDataPoint {
                positive: buckets(count),
                ..Default::default()
            })),
            Some(exponential(ExponentialHistogramDataPoint {
                negative: buckets(count),
                ..Default::default()
            })),
            Some(Data::Summary(Summary {
                data_points: vec![SummaryDataPoint {
                    count,
                    ..Default::default()
                }],
            })),
        ]);
        let row_counts = [Table::Histogram, Table::ExponentialHistogram, Table::Summary]
            .map(|table| rows(&converted, table).len());
        if count < TOO_MANY {
            assert_eq!((row_counts, converted.rejected), ([2, 4, 1], 0));
            assert_eq!(
                rows(&converted, Table::Summary)[0]["Count"],
                Cell::Number(i64::MAX)
            );
        } else {
            assert_eq!((row_counts, converted.rejected), ([0, 0, 0], 7));
            let metric = |at: usize, rest: &str| {
                format!("resource_metrics[0].scope_metrics[0].metrics[{at}].{rest} (metric \"m\")")
            };
            let reason = |what: &str| format!("its {what} 9223372036854775808 is above 9223372036854775807");
            let (path, text) = rejections(&converted)[3];
            assert_eq!(
                (path, text),
                (
                    &*metric(3, "exponential_histogram.data_points[0]"),
                    &*reason("zero count")
                )
            );
            let (path, text) = rejections(&converted)[6];
            assert_eq!(
                (path, text),
                (&*metric(6, "summary.data_points[0]"), &*reason("count"))
            );
        }
    }
}

#[test]
fn rule_12_the_first_16_rejections_are_told_and_all_are_counted() {
    let converted = convert_metrics((0..20).map(|_| None));
    assert_eq!(converted.rejected, 20);
    assert_eq!(converted.rejections.len(), 16);
    assert_eq!(
        converted.rejections[15].path,
        "resource_metrics[0].scope_metrics[0].metrics[15] (metric \"m\")"
    );
}

fn convert_metrics(data: impl IntoIterator<Item = Option<Data>>) -> Converted {
    let metric = |data| Metric {
        name: "m".to_owned(),
        data,
        ..Default::default()
    };
    let metrics = data.into_iter().map(metric).collect();
    let scope_metrics = ScopeMetrics {
        metrics,
        ..Default::default()
    };
    let resource_metrics = ResourceMetrics {
        scope_metrics: vec![scope_metrics],
        ..Default::default()
    };
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![resource_metrics],
    };
    converted(Signal::Metrics, &request.encode_to_vec())
}

fn rejections(converted: &Converted) -> Vec<(&str, &str)> {
    converted
        .rejections
        .iter()
        .map(|one| (one.path.as_str(), one.message.as_str()))
        .collect()
}
