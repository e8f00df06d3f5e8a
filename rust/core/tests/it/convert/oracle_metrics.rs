//! A plain implementation of the mapping in `docs/schema.md`, from prost's types: metrics.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint, SummaryDataPoint,
    exemplar, exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
};
use otlp2iceberg::convert::Repairs;

use super::oracle::{
    Expected, arrival, first_set, flags, id, list, map, resource, scope, sorted_map, text, time, word,
};
use super::rows::{Cell, Row};

/// A row, or `None` if the point is to be rejected.
type Point = Option<Row>;

pub fn metrics(request: &ExportMetricsServiceRequest) -> Expected {
    let mut expected = Expected::default();
    for resource_metrics in &request.resource_metrics {
        let resource = resource(resource_metrics.resource.as_ref(), &resource_metrics.schema_url);
        for scope_metrics in &resource_metrics.scope_metrics {
            let mut shared = scope(scope_metrics.scope.as_ref(), &scope_metrics.schema_url);
            shared.extend(resource.clone());
            for one in &scope_metrics.metrics {
                let mut shared = shared.clone();
                shared.extend([
                    ("MetricName", text(&one.name)),
                    ("MetricDescription", text(&one.description)),
                    ("MetricUnit", text(&one.unit)),
                    ("MetricMetadata", sorted_map(&one.metadata)),
                ]);
                metric(one, &shared, &mut expected);
            }
        }
    }
    expected
}

fn metric(metric: &Metric, shared: &Row, expected: &mut Expected) {
    let Some(data) = &metric.data else {
        expected.rejected += 1;
        return;
    };
    let temporality = |number| {
        (
            "AggregationTemporality",
            word(number, &["Unspecified", "Delta", "Cumulative"]),
        )
    };
    match data {
        Data::Gauge(gauge) => collect(2, &gauge.data_points, shared, expected, number),
        Data::Sum(sum) => collect(3, &sum.data_points, shared, expected, |point, repairs| {
            let mut row = number(point, repairs)?;
            row.extend([
                temporality(sum.aggregation_temporality),
                ("IsMonotonic", Cell::Boolean(sum.is_monotonic)),
            ]);
            Some(row)
        }),
        Data::Histogram(of) => collect(4, &of.data_points, shared, expected, |point, repairs| {
            let mut row = histogram(point, repairs)?;
            row.extend([temporality(of.aggregation_temporality)]);
            Some(row)
        }),
        Data::ExponentialHistogram(of) => {
            collect(5, &of.data_points, shared, expected, |point, repairs| {
                let mut row = exponential_histogram(point, repairs)?;
                row.extend([temporality(of.aggregation_temporality)]);
                Some(row)
            });
        }
        Data::Summary(of) => collect(6, &of.data_points, shared, expected, summary),
    }
}

fn collect<P>(
    table: usize,
    points: &[P],
    shared: &Row,
    expected: &mut Expected,
    convert: impl Fn(&P, &mut Repairs) -> Point,
) {
    for point in points {
        let mut repairs = expected.repairs;
        if let Some(mut row) = convert(point, &mut repairs) {
            row.extend(shared.clone());
            expected.tables[table].push(row);
            expected.repairs = repairs;
        } else {
            expected.rejected += 1;
        }
    }
}

fn common(own: u64, start: u64, attributes: &[KeyValue], bits: u32, repairs: &mut Repairs) -> Row {
    Row::from([
        ("TimeUnix", first_set([time(own, repairs), arrival()])),
        ("StartTimeUnix", time(start, repairs)),
        ("Attributes", sorted_map(attributes)),
        ("Flags", flags(bits)),
    ])
}

fn number(point: &NumberDataPoint, repairs: &mut Repairs) -> Point {
    let (own, start) = (point.time_unix_nano, point.start_time_unix_nano);
    let mut row = common(own, start, &point.attributes, point.flags, repairs);
    let (value, value_int) = match point.value {
        None => (Cell::Null, Cell::Null),
        Some(number_data_point::Value::AsDouble(value)) => (Cell::double(value), Cell::Null),
        Some(number_data_point::Value::AsInt(value)) => (Cell::double(value as f64), Cell::Number(value)),
    };
    row.extend([
        ("Value", value),
        ("ValueInt", value_int),
        ("Exemplars", exemplars(&point.exemplars, repairs)),
    ]);
    Some(row)
}

fn histogram(point: &HistogramDataPoint, repairs: &mut Repairs) -> Point {
    let (own, start) = (point.time_unix_nano, point.start_time_unix_nano);
    let mut row = common(own, start, &point.attributes, point.flags, repairs);
    let neither = point.bucket_counts.is_empty() && point.explicit_bounds.is_empty();
    if !neither && point.bucket_counts.len() != point.explicit_bounds.len() + 1 {
        return None;
    }
    row.extend([
        ("Count", count(point.count)?),
        ("Sum", optional(point.sum)),
        ("Min", optional(point.min)),
        ("Max", optional(point.max)),
        ("BucketCounts", counts(&point.bucket_counts)?),
        (
            "ExplicitBounds",
            list(point.explicit_bounds.iter().copied().map(Cell::double).collect()),
        ),
        ("Exemplars", exemplars(&point.exemplars, repairs)),
    ]);
    Some(row)
}

fn exponential_histogram(point: &ExponentialHistogramDataPoint, repairs: &mut Repairs) -> Point {
    let (own, start) = (point.time_unix_nano, point.start_time_unix_nano);
    let mut row = common(own, start, &point.attributes, point.flags, repairs);
    let Buckets {
        offset: positive_offset,
        bucket_counts: positive,
    } = point.positive.clone().unwrap_or_default();
    let Buckets {
        offset: negative_offset,
        bucket_counts: negative,
    } = point.negative.clone().unwrap_or_default();
    row.extend([
        ("Count", count(point.count)?),
        ("Sum", optional(point.sum)),
        ("Min", optional(point.min)),
        ("Max", optional(point.max)),
        ("Scale", Cell::Number(point.scale.into())),
        ("ZeroCount", count(point.zero_count)?),
        ("ZeroThreshold", Cell::double(point.zero_threshold)),
        ("PositiveOffset", Cell::Number(positive_offset.into())),
        ("PositiveBucketCounts", counts(&positive)?),
        ("NegativeOffset", Cell::Number(negative_offset.into())),
        ("NegativeBucketCounts", counts(&negative)?),
        ("Exemplars", exemplars(&point.exemplars, repairs)),
    ]);
    Some(row)
}

fn summary(point: &SummaryDataPoint, repairs: &mut Repairs) -> Point {
    let (own, start) = (point.time_unix_nano, point.start_time_unix_nano);
    let mut row = common(own, start, &point.attributes, point.flags, repairs);
    let quantiles = point.quantile_values.iter().map(|at| {
        Cell::Struct(Row::from([
            ("Quantile", Cell::double(at.quantile)),
            ("Value", Cell::double(at.value)),
        ]))
    });
    row.extend([
        ("Count", count(point.count)?),
        ("Sum", Cell::double(point.sum)),
        ("ValueAtQuantiles", list(quantiles.collect())),
    ]);
    Some(row)
}

fn exemplars(exemplars: &[Exemplar], repairs: &mut Repairs) -> Cell {
    let mut cells = Vec::new();
    for exemplar in exemplars {
        let (value, value_int) = match exemplar.value {
            None => (Cell::Null, Cell::Null),
            Some(exemplar::Value::AsDouble(value)) => (Cell::double(value), Cell::Null),
            Some(exemplar::Value::AsInt(value)) => (Cell::double(value as f64), Cell::Number(value)),
        };
        cells.push(Cell::Struct(Row::from([
            ("TimeUnix", time(exemplar.time_unix_nano, repairs)),
            ("Value", value),
            ("ValueInt", value_int),
            ("SpanId", id(&exemplar.span_id, 8, repairs)),
            ("TraceId", id(&exemplar.trace_id, 16, repairs)),
            ("FilteredAttributes", map(&exemplar.filtered_attributes)),
        ])));
    }
    list(cells)
}

fn count(count: u64) -> Option<Cell> {
    i64::try_from(count).ok().map(Cell::Number)
}

fn counts(counts: &[u64]) -> Option<Cell> {
    counts
        .iter()
        .map(|one| count(*one))
        .collect::<Option<Vec<Cell>>>()
        .map(list)
}

fn optional(value: Option<f64>) -> Cell {
    value.map_or(Cell::Null, Cell::double)
}
