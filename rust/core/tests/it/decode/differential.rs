//! Random requests encoded by prost and read by us, compared field by field.

use std::fmt::Debug;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Summary, SummaryDataPoint, exemplar,
    metric::Data, number_data_point, summary_data_point::ValueAtQuantile,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use otlp2iceberg::signal::Signal;
use proptest::prelude::*;
use prost::Message;

use super::walk::walk;
use super::{to_prost, to_prost_metrics};
use crate::strategies;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn logs_are_read_as_prost_writes_them(mut request in strategies::logs_request()) {
        let bytes = request.encode_to_vec();
        for group in &mut request.resource_logs {
            forget_entities(&mut group.resource);
        }
        assert_same(&to_prost::logs_request(&bytes).unwrap(), &request);
        walk(Signal::Logs, &bytes).unwrap();
    }

    #[test]
    fn traces_are_read_as_prost_writes_them(mut request in strategies::traces_request()) {
        let bytes = request.encode_to_vec();
        for group in &mut request.resource_spans {
            forget_entities(&mut group.resource);
        }
        assert_same(&to_prost::traces_request(&bytes).unwrap(), &request);
        walk(Signal::Traces, &bytes).unwrap();
    }

    #[test]
    fn metrics_are_read_as_prost_writes_them(mut request in strategies::metrics_request()) {
        let bytes = request.encode_to_vec();
        for group in &mut request.resource_metrics {
            forget_entities(&mut group.resource);
        }
        assert_same(&to_prost_metrics::metrics_request(&bytes).unwrap(), &request);
        walk(Signal::Metrics, &bytes).unwrap();
    }

    /// Two requests concatenated are their merge: the Collector's batches are made so.
    #[test]
    fn concatenated_requests_read_as_one(
        mut first in strategies::traces_request(),
        mut second in strategies::traces_request(),
    ) {
        let bytes = [first.encode_to_vec(), second.encode_to_vec()].concat();
        first.resource_spans.append(&mut second.resource_spans);
        for group in &mut first.resource_spans {
            forget_entities(&mut group.resource);
        }
        assert_same(&to_prost::traces_request(&bytes).unwrap(), &first);
    }

    #[test]
    fn doubles_of_metrics_keep_every_bit(
        bits in prop::array::uniform10(prop_oneof![strategies::double(), any::<u64>().prop_map(f64::from_bits)]),
    ) {
        let request = metrics_with_doubles(bits);
        let bytes = request.encode_to_vec();
        let read = to_prost_metrics::metrics_request(&bytes).unwrap();
        prop_assert_eq!(read.encode_to_vec(), bytes);
    }

    #[test]
    fn doubles_of_values_keep_every_bit(double in strategies::double()) {
        let body = AnyValue { value: Some(Value::DoubleValue(double)) };
        let record = LogRecord { body: Some(body), ..LogRecord::default() };
        let scope_logs = ScopeLogs { log_records: vec![record], ..ScopeLogs::default() };
        let resource_logs = ResourceLogs { scope_logs: vec![scope_logs], ..ResourceLogs::default() };
        let bytes = ExportLogsServiceRequest { resource_logs: vec![resource_logs] }.encode_to_vec();
        let read = to_prost::logs_request(&bytes).unwrap();
        prop_assert_eq!(read.encode_to_vec(), bytes);
    }
}

/// Entity references have no column, so views leave them out.
fn forget_entities(resource: &mut Option<Resource>) {
    if let Some(resource) = resource {
        resource.entity_refs.clear();
    }
}

/// Compares printed forms, in which NaN equals NaN and -0.0 differs from 0.0. A value with nothing
/// set counts as an absent one.
fn assert_same<M: Debug>(read: &M, written: &M) {
    let plain = |message: &M| format!("{message:?}").replace("Some(AnyValue { value: None })", "None");
    let (read, written) = (plain(read), plain(written));
    if read != written {
        let start = read
            .bytes()
            .zip(written.bytes())
            .take_while(|(ours, theirs)| ours == theirs)
            .count();
        let around = |text: &str| {
            String::from_utf8_lossy(&text.as_bytes()[start.saturating_sub(80)..text.len().min(start + 80)])
                .into_owned()
        };
        panic!("read:    …{}…\nwritten: …{}…", around(&read), around(&written));
    }
}

/// A metric of each kind with these numbers in every field that holds doubles.
fn metrics_with_doubles(doubles: [f64; 10]) -> ExportMetricsServiceRequest {
    let [
        as_double,
        sum,
        min,
        max,
        bound,
        zero_threshold,
        summary_sum,
        quantile,
        value,
        exemplar,
    ] = doubles;
    let exemplars = vec![Exemplar {
        value: Some(exemplar::Value::AsDouble(exemplar)),
        ..Exemplar::default()
    }];
    let gauge = Gauge {
        data_points: vec![NumberDataPoint {
            value: Some(number_data_point::Value::AsDouble(as_double)),
            exemplars,
            ..NumberDataPoint::default()
        }],
    };
    let histogram = Histogram {
        data_points: vec![HistogramDataPoint {
            sum: Some(sum),
            min: Some(min),
            max: Some(max),
            explicit_bounds: vec![bound, bound],
            ..HistogramDataPoint::default()
        }],
        ..Histogram::default()
    };
    let exponential_histogram = ExponentialHistogram {
        data_points: vec![ExponentialHistogramDataPoint {
            sum: Some(sum),
            min: Some(min),
            max: Some(max),
            zero_threshold,
            ..ExponentialHistogramDataPoint::default()
        }],
        ..ExponentialHistogram::default()
    };
    let summary = Summary {
        data_points: vec![SummaryDataPoint {
            sum: summary_sum,
            quantile_values: vec![ValueAtQuantile { quantile, value }],
            ..SummaryDataPoint::default()
        }],
    };
    let metrics = [
        Data::Gauge(gauge),
        Data::Histogram(histogram),
        Data::ExponentialHistogram(exponential_histogram),
        Data::Summary(summary),
    ]
    .map(|data| Metric {
        data: Some(data),
        ..Metric::default()
    });
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            scope_metrics: vec![ScopeMetrics {
                metrics: metrics.into(),
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}
