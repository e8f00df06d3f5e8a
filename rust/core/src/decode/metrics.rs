//! `metrics/v1/metrics.proto` and `collector/metrics/v1/metrics_service.proto`.

use super::common::{DEPRECATED_SCOPES, KeyValue, Resource, Scope, Text};
use super::error::DecodeError;
use super::points::{ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint, SummaryDataPoint};
use super::repeated::{Occurrences, Repeated};
use super::wire::{Message, Reader};

/// `ExportMetricsServiceRequest`, equal on the wire to `MetricsData`.
#[derive(Debug, Clone, Copy, Default)]
pub struct MetricsRequest<'a> {
    /// Field 1.
    pub resource_metrics: Repeated<'a, ResourceMetrics<'a>>,
}

impl<'a> Message<'a> for MetricsRequest<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(Self {
            resource_metrics: Occurrences::only(bytes, 1, "resource_metrics")?,
        })
    }
}

/// `ResourceMetrics`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ResourceMetrics<'a> {
    /// Field 1.
    pub resource: Option<Resource<'a>>,
    /// Field 2; field 1000 if that is absent.
    pub scope_metrics: Repeated<'a, ScopeMetrics<'a>>,
    /// Field 3.
    pub schema_url: Text<'a>,
}

impl<'a> Message<'a> for ResourceMetrics<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut view = Self::default();
        let mut scope_metrics = Occurrences::of(2, "scope_metrics");
        let mut deprecated = Occurrences::of(DEPRECATED_SCOPES, "instrumentation_library_metrics");
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag()? {
            match tag.number {
                1 => view.resource = Some(reader.message(tag, "resource")?),
                2 => scope_metrics.note(&mut reader, tag)?,
                3 => view.schema_url = Text(reader.bytes(tag, "schema_url")?),
                DEPRECATED_SCOPES => deprecated.note(&mut reader, tag)?,
                _ => reader.skip(tag)?,
            }
        }
        view.scope_metrics = scope_metrics.or(deprecated).messages(bytes);
        Ok(view)
    }
}

/// `ScopeMetrics`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScopeMetrics<'a> {
    /// Field 1.
    pub scope: Option<Scope<'a>>,
    /// Field 2.
    pub metrics: Repeated<'a, Metric<'a>>,
    /// Field 3.
    pub schema_url: Text<'a>,
}

impl<'a> Message<'a> for ScopeMetrics<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut view = Self::default();
        let mut metrics = Occurrences::of(2, "metrics");
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag()? {
            match tag.number {
                1 => view.scope = Some(reader.message(tag, "scope")?),
                2 => metrics.note(&mut reader, tag)?,
                3 => view.schema_url = Text(reader.bytes(tag, "schema_url")?),
                _ => reader.skip(tag)?,
            }
        }
        view.metrics = metrics.messages(bytes);
        Ok(view)
    }
}

/// `Metric`.
#[derive(Debug, Clone, Copy, Default)]
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

impl<'a> Message<'a> for Metric<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut view = Self::default();
        let mut metadata = Occurrences::of(12, "metadata");
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag()? {
            match tag.number {
                1 => view.name = Text(reader.bytes(tag, "name")?),
                2 => view.description = Text(reader.bytes(tag, "description")?),
                3 => view.unit = Text(reader.bytes(tag, "unit")?),
                5 => {
                    let Points { data_points } = reader.message(tag, "gauge")?;
                    view.data = MetricData::Gauge { data_points };
                }
                7 => {
                    let Sum {
                        data_points,
                        aggregation_temporality,
                        is_monotonic,
                    } = reader.message(tag, "sum")?;
                    view.data = MetricData::Sum {
                        data_points,
                        aggregation_temporality,
                        is_monotonic,
                    };
                }
                9 => {
                    let AggregatedPoints {
                        data_points,
                        aggregation_temporality,
                    } = reader.message(tag, "histogram")?;
                    view.data = MetricData::Histogram {
                        data_points,
                        aggregation_temporality,
                    };
                }
                10 => {
                    let AggregatedPoints {
                        data_points,
                        aggregation_temporality,
                    } = reader.message(tag, "exponential_histogram")?;
                    view.data = MetricData::ExponentialHistogram {
                        data_points,
                        aggregation_temporality,
                    };
                }
                11 => {
                    let Points { data_points } = reader.message(tag, "summary")?;
                    view.data = MetricData::Summary { data_points };
                }
                12 => metadata.note(&mut reader, tag)?,
                _ => reader.skip(tag)?,
            }
        }
        view.metadata = metadata.messages(bytes);
        Ok(view)
    }
}

/// `Metric.data`. `aggregation_temporality` and `is_monotonic` come from the message of the kind.
#[derive(Debug, Clone, Copy, Default)]
pub enum MetricData<'a> {
    /// No kind is set.
    #[default]
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

/// `Gauge` and `Summary`.
struct Points<'a, P> {
    /// Field 1.
    data_points: Repeated<'a, P>,
}

impl<'a, P> Message<'a> for Points<'a, P> {
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(Self {
            data_points: Occurrences::only(bytes, 1, "data_points")?,
        })
    }
}

/// `Histogram` and `ExponentialHistogram`.
struct AggregatedPoints<'a, P> {
    /// Field 1.
    data_points: Repeated<'a, P>,
    /// Field 2, enum.
    aggregation_temporality: i32,
}

impl<'a, P> Message<'a> for AggregatedPoints<'a, P> {
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut data_points = Occurrences::of(1, "data_points");
        let mut aggregation_temporality = 0;
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag()? {
            match tag.number {
                1 => data_points.note(&mut reader, tag)?,
                2 => {
                    aggregation_temporality = reader.enumeration(tag, "aggregation_temporality")?;
                }
                _ => reader.skip(tag)?,
            }
        }
        Ok(Self {
            data_points: data_points.messages(bytes),
            aggregation_temporality,
        })
    }
}

/// `Sum`.
struct Sum<'a> {
    /// Field 1.
    data_points: Repeated<'a, NumberDataPoint<'a>>,
    /// Field 2, enum.
    aggregation_temporality: i32,
    /// Field 3.
    is_monotonic: bool,
}

impl<'a> Message<'a> for Sum<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut data_points = Occurrences::of(1, "data_points");
        let mut aggregation_temporality = 0;
        let mut is_monotonic = false;
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag()? {
            match tag.number {
                1 => data_points.note(&mut reader, tag)?,
                2 => {
                    aggregation_temporality = reader.enumeration(tag, "aggregation_temporality")?;
                }
                3 => is_monotonic = reader.boolean(tag, "is_monotonic")?,
                _ => reader.skip(tag)?,
            }
        }
        Ok(Self {
            data_points: data_points.messages(bytes),
            aggregation_temporality,
            is_monotonic,
        })
    }
}
