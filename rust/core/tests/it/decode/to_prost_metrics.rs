//! Views of metrics as the message types of prost.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1 as metrics;
use opentelemetry_proto::tonic::metrics::v1::{
    exemplar, exponential_histogram_data_point, metric::Data, number_data_point, summary_data_point,
};
use otlp2iceberg::decode::{
    Buckets, Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, Message, Metric, MetricData,
    MetricsRequest, NumberDataPoint, NumberValue, PackedOrNot, ResourceMetrics, Scalar, ScopeMetrics,
    SummaryDataPoint, ValueAtQuantile,
};

use super::to_prost::{Decoded, attributes, list, resource, scope, string};

pub fn metrics_request(bytes: &[u8]) -> Decoded<ExportMetricsServiceRequest> {
    let view = MetricsRequest::parse(bytes)?;
    Ok(ExportMetricsServiceRequest {
        resource_metrics: list(view.resource_metrics, resource_metrics)?,
    })
}

fn scalars<T: Scalar>(view: PackedOrNot<'_, T>) -> Decoded<Vec<T>> {
    let list = view.iter().collect::<Decoded<Vec<T>>>()?;
    assert_eq!(list.is_empty(), view.is_empty());
    Ok(list)
}

fn resource_metrics(view: ResourceMetrics<'_>) -> Decoded<metrics::ResourceMetrics> {
    Ok(metrics::ResourceMetrics {
        resource: view.resource.map(resource).transpose()?,
        scope_metrics: list(view.scope_metrics, scope_metrics)?,
        schema_url: string(view.schema_url),
    })
}

fn scope_metrics(view: ScopeMetrics<'_>) -> Decoded<metrics::ScopeMetrics> {
    Ok(metrics::ScopeMetrics {
        scope: view.scope.map(scope).transpose()?,
        metrics: list(view.metrics, metric)?,
        schema_url: string(view.schema_url),
    })
}

fn metric(view: Metric<'_>) -> Decoded<metrics::Metric> {
    Ok(metrics::Metric {
        name: string(view.name),
        description: string(view.description),
        unit: string(view.unit),
        metadata: attributes(view.metadata)?,
        data: data(view.data)?,
    })
}

fn data(view: MetricData<'_>) -> Decoded<Option<Data>> {
    Ok(Some(match view {
        MetricData::Missing => return Ok(None),
        MetricData::Gauge { data_points } => Data::Gauge(metrics::Gauge {
            data_points: list(data_points, number_data_point)?,
        }),
        MetricData::Sum {
            data_points,
            aggregation_temporality,
            is_monotonic,
        } => Data::Sum(metrics::Sum {
            data_points: list(data_points, number_data_point)?,
            aggregation_temporality,
            is_monotonic,
        }),
        MetricData::Histogram {
            data_points,
            aggregation_temporality,
        } => Data::Histogram(metrics::Histogram {
            data_points: list(data_points, histogram_data_point)?,
            aggregation_temporality,
        }),
        MetricData::ExponentialHistogram {
            data_points,
            aggregation_temporality,
        } => Data::ExponentialHistogram(metrics::ExponentialHistogram {
            data_points: list(data_points, |view| exponential_histogram_data_point(&view))?,
            aggregation_temporality,
        }),
        MetricData::Summary { data_points } => Data::Summary(metrics::Summary {
            data_points: list(data_points, summary_data_point)?,
        }),
    }))
}

fn number_data_point(view: NumberDataPoint<'_>) -> Decoded<metrics::NumberDataPoint> {
    Ok(metrics::NumberDataPoint {
        attributes: attributes(view.attributes)?,
        start_time_unix_nano: view.start_time_unix_nano,
        time_unix_nano: view.time_unix_nano,
        exemplars: list(view.exemplars, exemplar)?,
        flags: view.flags,
        value: view.value.map(|value| match value {
            NumberValue::Double(value) => number_data_point::Value::AsDouble(value),
            NumberValue::Int(value) => number_data_point::Value::AsInt(value),
        }),
    })
}

fn histogram_data_point(view: HistogramDataPoint<'_>) -> Decoded<metrics::HistogramDataPoint> {
    Ok(metrics::HistogramDataPoint {
        attributes: attributes(view.attributes)?,
        start_time_unix_nano: view.start_time_unix_nano,
        time_unix_nano: view.time_unix_nano,
        count: view.count,
        sum: view.sum,
        bucket_counts: scalars(view.bucket_counts)?,
        explicit_bounds: scalars(view.explicit_bounds)?,
        exemplars: list(view.exemplars, exemplar)?,
        flags: view.flags,
        min: view.min,
        max: view.max,
    })
}

fn exponential_histogram_data_point(
    view: &ExponentialHistogramDataPoint<'_>,
) -> Decoded<metrics::ExponentialHistogramDataPoint> {
    Ok(metrics::ExponentialHistogramDataPoint {
        attributes: attributes(view.attributes)?,
        start_time_unix_nano: view.start_time_unix_nano,
        time_unix_nano: view.time_unix_nano,
        count: view.count,
        sum: view.sum,
        scale: view.scale,
        zero_count: view.zero_count,
        positive: view.positive.map(buckets).transpose()?,
        negative: view.negative.map(buckets).transpose()?,
        flags: view.flags,
        exemplars: list(view.exemplars, exemplar)?,
        min: view.min,
        max: view.max,
        zero_threshold: view.zero_threshold,
    })
}

fn buckets(view: Buckets<'_>) -> Decoded<exponential_histogram_data_point::Buckets> {
    Ok(exponential_histogram_data_point::Buckets {
        offset: view.offset,
        bucket_counts: scalars(view.bucket_counts)?,
    })
}

fn summary_data_point(view: SummaryDataPoint<'_>) -> Decoded<metrics::SummaryDataPoint> {
    Ok(metrics::SummaryDataPoint {
        attributes: attributes(view.attributes)?,
        start_time_unix_nano: view.start_time_unix_nano,
        time_unix_nano: view.time_unix_nano,
        count: view.count,
        sum: view.sum,
        quantile_values: list(view.quantile_values, |view| Ok(value_at_quantile(view)))?,
        flags: view.flags,
    })
}

fn value_at_quantile(view: ValueAtQuantile) -> summary_data_point::ValueAtQuantile {
    summary_data_point::ValueAtQuantile {
        quantile: view.quantile,
        value: view.value,
    }
}

fn exemplar(view: Exemplar<'_>) -> Decoded<metrics::Exemplar> {
    Ok(metrics::Exemplar {
        filtered_attributes: attributes(view.filtered_attributes)?,
        time_unix_nano: view.time_unix_nano,
        span_id: view.span_id.to_vec(),
        trace_id: view.trace_id.to_vec(),
        value: view.value.map(|value| match value {
            NumberValue::Double(value) => exemplar::Value::AsDouble(value),
            NumberValue::Int(value) => exemplar::Value::AsInt(value),
        }),
    })
}
