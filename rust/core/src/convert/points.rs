//! The common parts of the metrics tables, and the tables `metrics_gauge` and `metrics_sum`.

use std::borrow::Cow;

use super::attributes::{Entries, MapColumn};
use super::columns::columns;
use super::context::Context;
use super::dictionary::Key;
use super::ids::{append_span_id, append_trace_id};
use super::labels::{LabelColumn, WordColumn};
use super::lists::ListColumn;
use super::numbers::append_value;
use super::primitive::{BooleanColumn, DoubleColumn, IntColumn, LongColumn, TimeColumn};
use super::series_map::SeriesMapColumn;
use super::shared::{Group, SharedColumns};
use super::shared_map::SharedMapColumn;
use super::subject::Subject;
use super::text_column::TextColumn;
use super::time::{microseconds, nanoseconds};
use crate::decode::{
    DecodeError, Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, KeyValue, Metric,
    NumberDataPoint, Repeated, SummaryDataPoint,
};

/// `AggregationTemporality` by number.
pub(super) const TEMPORALITIES: &[&str] = &["Unspecified", "Delta", "Cumulative"];

/// The values that all points of a metric share, rendered once.
#[derive(Default)]
pub(super) struct MetricGroup<'a> {
    /// The resource and the scope.
    pub(super) group: Group<'a>,
    /// A new number for each metric, from 1.
    generation: u64,
    name: Cow<'a, [u8]>,
    description: Cow<'a, [u8]>,
    unit: Cow<'a, [u8]>,
    metadata: Entries,
}

impl<'a> MetricGroup<'a> {
    /// The subject of messages about these points.
    pub(super) fn subject(&self) -> Subject<'_> {
        Subject::new(Some(&self.name), &self.group)
    }

    /// The number of attributes that each point gets from the resource, the scope and the metric.
    pub(super) fn attributes(&self) -> usize {
        self.group.attributes() + self.metadata.len()
    }

    /// Sets the current metric.
    ///
    /// # Errors
    /// When its metadata is malformed.
    pub(super) fn enter_metric(
        &mut self,
        metric: &Metric<'a>,
        context: &mut Context,
    ) -> Result<(), DecodeError> {
        self.generation += 1;
        self.name = context.repaired(metric.name);
        self.description = context.repaired(metric.description);
        self.unit = context.repaired(metric.unit);
        self.metadata.render(&metric.metadata, "metadata", context)
    }
}

/// The fields that all kinds of data points have.
pub(super) struct PointFields<'a> {
    pub(super) time_unix_nano: u64,
    pub(super) start_time_unix_nano: u64,
    pub(super) attributes: Repeated<'a, KeyValue<'a>>,
    pub(super) flags: u32,
}

macro_rules! point_fields_of {
    ($($point:ident),+) => {$(
        impl<'a> From<&$point<'a>> for PointFields<'a> {
            fn from(point: &$point<'a>) -> Self {
                Self {
                    time_unix_nano: point.time_unix_nano,
                    start_time_unix_nano: point.start_time_unix_nano,
                    attributes: point.attributes,
                    flags: point.flags,
                }
            }
        }
    )+};
}

point_fields_of!(
    NumberDataPoint,
    HistogramDataPoint,
    ExponentialHistogramDataPoint,
    SummaryDataPoint
);

columns! {
    /// The columns that all kinds of data points share, and those of their metric.
    PointColumns {
        time_unix: TimeColumn,
        start_time_unix: TimeColumn,
        metric_name: LabelColumn,
        metric_description: LabelColumn,
        metric_unit: LabelColumn,
        metric_metadata: SharedMapColumn,
        attributes: SeriesMapColumn,
        flags: IntColumn,
    }
    state {
        generation: u64,
        keys: MetricKeys,
    }
}

/// The keys of a metric's labels and metadata in the open batch.
#[derive(Default)]
struct MetricKeys {
    name: Option<Key>,
    description: Option<Key>,
    unit: Option<Key>,
    metadata: Option<Key>,
}

impl PointColumns {
    /// Appends the fields that all kinds of points have.
    ///
    /// # Errors
    /// When the point's attributes are malformed.
    #[inline]
    pub(super) fn append(
        &mut self,
        point: &PointFields<'_>,
        metric: &MetricGroup<'_>,
        context: &mut Context,
    ) -> Result<(), DecodeError> {
        if self.generation != metric.generation {
            self.look_up_keys(metric);
        }
        let time = nanoseconds(point.time_unix_nano, context).unwrap_or(context.arrival);
        self.time_unix.append(microseconds(time));
        let start_time = nanoseconds(point.start_time_unix_nano, context);
        self.start_time_unix.append_option(start_time.map(microseconds));
        self.metric_name.append_key(self.keys.name);
        self.metric_description.append_key(self.keys.description);
        self.metric_unit.append_key(self.keys.unit);
        self.metric_metadata.append_key(self.keys.metadata);
        self.attributes.append(&point.attributes, "attributes", context)?;
        self.flags.append(point.flags.cast_signed());
        Ok(())
    }

    fn look_up_keys(&mut self, metric: &MetricGroup<'_>) {
        self.generation = metric.generation;
        self.keys = MetricKeys {
            name: self.metric_name.intern_field(&metric.name),
            description: self.metric_description.intern_field(&metric.description),
            unit: self.metric_unit.intern_field(&metric.unit),
            metadata: self.metric_metadata.intern(&metric.metadata),
        };
    }
}

columns! {
    /// The fields of an exemplar.
    ExemplarColumns {
        time_unix: TimeColumn,
        value: DoubleColumn,
        value_int: LongColumn,
        span_id: TextColumn,
        trace_id: TextColumn,
        filtered_attributes: MapColumn,
    }
}

/// Appends a point's exemplars.
///
/// # Errors
/// When they are malformed.
pub(super) fn append_exemplars(
    column: &mut ListColumn<ExemplarColumns>,
    exemplars: &Repeated<'_, Exemplar<'_>>,
    context: &mut Context,
) -> Result<(), DecodeError> {
    for (index, exemplar) in exemplars.iter().enumerate() {
        append_exemplar(column.element(), &exemplar?, context)
            .map_err(|error| error.in_element("exemplars", index))?;
    }
    column.end_list();
    Ok(())
}

fn append_exemplar(
    columns: &mut ExemplarColumns,
    exemplar: &Exemplar<'_>,
    context: &mut Context,
) -> Result<(), DecodeError> {
    let time = nanoseconds(exemplar.time_unix_nano, context);
    columns.time_unix.append_option(time.map(microseconds));
    append_value(&mut columns.value, &mut columns.value_int, exemplar.value);
    append_span_id(&mut columns.span_id, exemplar.span_id, context);
    append_trace_id(&mut columns.trace_id, exemplar.trace_id, context);
    columns
        .filtered_attributes
        .append(&exemplar.filtered_attributes, "filtered_attributes", context)
}

columns! {
    /// The columns of `metrics_gauge`.
    GaugeColumns {
        point: PointColumns,
        value: DoubleColumn,
        value_int: LongColumn,
        exemplars: ListColumn<ExemplarColumns>,
        shared: SharedColumns,
    }
}

impl GaugeColumns {
    /// Appends a gauge's point.
    ///
    /// # Errors
    /// When its lists are malformed.
    pub(super) fn append(
        &mut self,
        point: &NumberDataPoint<'_>,
        metric: &MetricGroup<'_>,
        context: &mut Context,
    ) -> Result<(), DecodeError> {
        self.point.append(&point.into(), metric, context)?;
        append_value(&mut self.value, &mut self.value_int, point.value);
        append_exemplars(&mut self.exemplars, &point.exemplars, context)?;
        self.shared.append(&metric.group);
        Ok(())
    }
}

columns! {
    /// The columns of `metrics_sum`.
    SumColumns {
        point: PointColumns,
        value: DoubleColumn,
        value_int: LongColumn,
        aggregation_temporality: WordColumn,
        is_monotonic: BooleanColumn,
        exemplars: ListColumn<ExemplarColumns>,
        shared: SharedColumns,
    }
}

impl SumColumns {
    /// Appends a sum's point with the sum's own fields.
    ///
    /// # Errors
    /// When its lists are malformed.
    pub(super) fn append(
        &mut self,
        point: &NumberDataPoint<'_>,
        (aggregation_temporality, is_monotonic): (i32, bool),
        metric: &MetricGroup<'_>,
        context: &mut Context,
    ) -> Result<(), DecodeError> {
        self.point.append(&point.into(), metric, context)?;
        append_value(&mut self.value, &mut self.value_int, point.value);
        self.aggregation_temporality
            .append(aggregation_temporality, TEMPORALITIES);
        self.is_monotonic.append(is_monotonic);
        append_exemplars(&mut self.exemplars, &point.exemplars, context)?;
        self.shared.append(&metric.group);
        Ok(())
    }
}
