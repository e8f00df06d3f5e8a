//! `metrics/v1/metrics.proto` and `collector/metrics/v1/metrics_service.proto`.

use super::common::{KeyValue, Resource, Scope, Text};
use super::wire::{PackedOrNot, Repeated};

/// `ExportMetricsServiceRequest`, equal on the wire to `MetricsData`.
#[derive(Debug, Clone, Copy)]
pub struct MetricsRequest<'a> {
    /// Field 1.
    pub resource_metrics: Repeated<'a, ResourceMetrics<'a>>,
}

/// `ResourceMetrics`.
#[derive(Debug, Clone, Copy)]
pub struct ResourceMetrics<'a> {
    /// Field 1.
    pub resource: Option<Resource<'a>>,
    /// Field 2.
    pub scope_metrics: Repeated<'a, ScopeMetrics<'a>>,
    /// Field 3.
    pub schema_url: Text<'a>,
}

/// `ScopeMetrics`.
#[derive(Debug, Clone, Copy)]
pub struct ScopeMetrics<'a> {
    /// Field 1.
    pub scope: Option<Scope<'a>>,
    /// Field 2.
    pub metrics: Repeated<'a, Metric<'a>>,
    /// Field 3.
    pub schema_url: Text<'a>,
}

/// `Metric`.
#[derive(Debug, Clone, Copy)]
pub struct Metric<'a> {
    /// Field 1.
    pub name: Text<'a>,
    /// Field 2.
    pub description: Text<'a>,
    /// Field 3.
    pub unit: Text<'a>,
    /// The oneof `data`; the last one set wins.
    pub data: MetricData<'a>,
    /// Field 12.
    pub metadata: Repeated<'a, KeyValue<'a>>,
}

/// `Metric.data`. `aggregation_temporality` and `is_monotonic` are those of the kind's own message.
#[derive(Debug, Clone, Copy)]
pub enum MetricData<'a> {
    /// No kind is set.
    Missing,
    /// Field 5, `Gauge`.
    Gauge {
        /// Field 1.
        data_points: Repeated<'a, NumberDataPoint<'a>>,
    },
    /// Field 7, `Sum`.
    Sum {
        /// Field 1.
        data_points: Repeated<'a, NumberDataPoint<'a>>,
        /// Field 2, enum.
        aggregation_temporality: i32,
        /// Field 3.
        is_monotonic: bool,
    },
    /// Field 9, `Histogram`.
    Histogram {
        /// Field 1.
        data_points: Repeated<'a, HistogramDataPoint<'a>>,
        /// Field 2, enum.
        aggregation_temporality: i32,
    },
    /// Field 10, `ExponentialHistogram`.
    ExponentialHistogram {
        /// Field 1.
        data_points: Repeated<'a, ExponentialHistogramDataPoint<'a>>,
        /// Field 2, enum.
        aggregation_temporality: i32,
    },
    /// Field 11, `Summary`.
    Summary {
        /// Field 1.
        data_points: Repeated<'a, SummaryDataPoint<'a>>,
    },
}

/// The oneof `value` of `NumberDataPoint` and `Exemplar`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NumberValue {
    /// `as_double`.
    Double(f64),
    /// `as_int`, sfixed64.
    Int(i64),
}

/// `NumberDataPoint`.
#[derive(Debug, Clone, Copy)]
pub struct NumberDataPoint<'a> {
    /// Field 7.
    pub attributes: Repeated<'a, KeyValue<'a>>,
    /// Field 2, fixed64.
    pub start_time_unix_nano: u64,
    /// Field 3, fixed64.
    pub time_unix_nano: u64,
    /// Field 4 or 6; the last one set wins.
    pub value: Option<NumberValue>,
    /// Field 5.
    pub exemplars: Repeated<'a, Exemplar<'a>>,
    /// Field 8.
    pub flags: u32,
}

/// `HistogramDataPoint`.
#[derive(Debug, Clone, Copy)]
pub struct HistogramDataPoint<'a> {
    /// Field 9.
    pub attributes: Repeated<'a, KeyValue<'a>>,
    /// Field 2, fixed64.
    pub start_time_unix_nano: u64,
    /// Field 3, fixed64.
    pub time_unix_nano: u64,
    /// Field 4, fixed64.
    pub count: u64,
    /// Field 5.
    pub sum: Option<f64>,
    /// Field 6, fixed64.
    pub bucket_counts: PackedOrNot<'a, u64>,
    /// Field 7, double.
    pub explicit_bounds: PackedOrNot<'a, f64>,
    /// Field 8.
    pub exemplars: Repeated<'a, Exemplar<'a>>,
    /// Field 10.
    pub flags: u32,
    /// Field 11.
    pub min: Option<f64>,
    /// Field 12.
    pub max: Option<f64>,
}

/// `ExponentialHistogramDataPoint`.
#[derive(Debug, Clone, Copy)]
pub struct ExponentialHistogramDataPoint<'a> {
    /// Field 1.
    pub attributes: Repeated<'a, KeyValue<'a>>,
    /// Field 2, fixed64.
    pub start_time_unix_nano: u64,
    /// Field 3, fixed64.
    pub time_unix_nano: u64,
    /// Field 4, fixed64.
    pub count: u64,
    /// Field 5.
    pub sum: Option<f64>,
    /// Field 6, sint32.
    pub scale: i32,
    /// Field 7, fixed64.
    pub zero_count: u64,
    /// Field 8.
    pub positive: Option<Buckets<'a>>,
    /// Field 9.
    pub negative: Option<Buckets<'a>>,
    /// Field 10.
    pub flags: u32,
    /// Field 11.
    pub exemplars: Repeated<'a, Exemplar<'a>>,
    /// Field 12.
    pub min: Option<f64>,
    /// Field 13.
    pub max: Option<f64>,
    /// Field 14.
    pub zero_threshold: f64,
}

/// `ExponentialHistogramDataPoint.Buckets`.
#[derive(Debug, Clone, Copy)]
pub struct Buckets<'a> {
    /// Field 1, sint32.
    pub offset: i32,
    /// Field 2, uint64.
    pub bucket_counts: PackedOrNot<'a, u64>,
}

/// `SummaryDataPoint`.
#[derive(Debug, Clone, Copy)]
pub struct SummaryDataPoint<'a> {
    /// Field 7.
    pub attributes: Repeated<'a, KeyValue<'a>>,
    /// Field 2, fixed64.
    pub start_time_unix_nano: u64,
    /// Field 3, fixed64.
    pub time_unix_nano: u64,
    /// Field 4, fixed64.
    pub count: u64,
    /// Field 5.
    pub sum: f64,
    /// Field 6.
    pub quantile_values: Repeated<'a, ValueAtQuantile>,
    /// Field 8.
    pub flags: u32,
}

/// `SummaryDataPoint.ValueAtQuantile`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ValueAtQuantile {
    /// Field 1.
    pub quantile: f64,
    /// Field 2.
    pub value: f64,
}

/// `Exemplar`.
#[derive(Debug, Clone, Copy)]
pub struct Exemplar<'a> {
    /// Field 7.
    pub filtered_attributes: Repeated<'a, KeyValue<'a>>,
    /// Field 2, fixed64.
    pub time_unix_nano: u64,
    /// Field 3 or 6; the last one set wins.
    pub value: Option<NumberValue>,
    /// Field 4; as sent, of any length.
    pub span_id: &'a [u8],
    /// Field 5; as sent, of any length.
    pub trace_id: &'a [u8],
}
