//! The five metrics tables.

use std::fmt;

use super::Stop;
use super::columns::Columns;
use super::context::Context;
use super::elements::{Elements, reject_too_many};
use super::histograms::{ExponentialHistogramColumns, HistogramColumns};
use super::memory::{Memory, Spare};
use super::points::{GaugeColumns, MetricGroup, SumColumns};
use super::repetition;
use super::summaries::SummaryColumns;
use super::table::{TableBuilder, Verdict};
use crate::decode::{Message, Metric, MetricData, MetricsRequest, Repeated, ResourceMetrics, ScopeMetrics};
use crate::reason::Reason;
use crate::signal::Table;

/// The open batch of each metrics table.
struct Tables {
    gauge: TableBuilder<GaugeColumns>,
    sum: TableBuilder<SumColumns>,
    histogram: TableBuilder<HistogramColumns>,
    exponential_histogram: TableBuilder<ExponentialHistogramColumns>,
    summary: TableBuilder<SummaryColumns>,
}

/// Reusable memory for them.
#[derive(Default)]
struct Spares {
    gauge: Spare<GaugeColumns>,
    sum: Spare<SumColumns>,
    histogram: Spare<HistogramColumns>,
    exponential_histogram: Spare<ExponentialHistogramColumns>,
    summary: Spare<SummaryColumns>,
}

impl Tables {
    fn new(spares: Spares) -> Self {
        Self {
            gauge: TableBuilder::new(Table::Gauge, spares.gauge),
            sum: TableBuilder::new(Table::Sum, spares.sum),
            histogram: TableBuilder::new(Table::Histogram, spares.histogram),
            exponential_histogram: TableBuilder::new(
                Table::ExponentialHistogram,
                spares.exponential_histogram,
            ),
            summary: TableBuilder::new(Table::Summary, spares.summary),
        }
    }

    /// Closes all batches.
    fn finish(self, context: &mut Context) -> Result<Spares, Stop> {
        Ok(Spares {
            gauge: self.gauge.finish(context)?,
            sum: self.sum.finish(context)?,
            histogram: self.histogram.finish(context)?,
            exponential_histogram: self.exponential_histogram.finish(context)?,
            summary: self.summary.finish(context)?,
        })
    }

    /// Closes the largest batch. Closing the current one could produce a tiny batch while another one holds
    /// most of the memory.
    #[cold]
    fn close_largest(&mut self, context: &mut Context) -> Result<(), Stop> {
        let sizes = [
            (self.gauge.bytes(), Table::Gauge),
            (self.sum.bytes(), Table::Sum),
            (self.histogram.bytes(), Table::Histogram),
            (self.exponential_histogram.bytes(), Table::ExponentialHistogram),
            (self.summary.bytes(), Table::Summary),
        ];
        match sizes.into_iter().max().map(|(_, table)| table) {
            Some(Table::Gauge) => self.gauge.close(context),
            Some(Table::Sum) => self.sum.close(context),
            Some(Table::Histogram) => self.histogram.close(context),
            Some(Table::ExponentialHistogram) => self.exponential_histogram.close(context),
            _ => self.summary.close(context),
        }
    }
}

/// The position of a metric in its request.
#[derive(Debug, Clone, Copy)]
struct Place {
    resource: usize,
    scope: usize,
    metric: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            resource,
            scope,
            metric,
        } = self;
        write!(
            f,
            "resource_metrics[{resource}].scope_metrics[{scope}].metrics[{metric}]"
        )
    }
}

/// Converts serialized `ExportMetricsServiceRequest`s in order.
///
/// # Errors
/// When the bytes are malformed, or a batch cannot be built.
pub(super) fn convert<'a>(
    requests: impl Iterator<Item = &'a [u8]>,
    memory: &mut Memory,
    context: &mut Context,
) -> Result<(), Stop> {
    let mut tables = Tables::new(memory.take());
    let mut metric_group = MetricGroup::default();
    for request in requests {
        context.begin_request(request.len());
        let request = MetricsRequest::parse(request)?;
        for (index, resource_metrics) in request.resource_metrics.iter().enumerate() {
            convert_resource(resource_metrics?, index, &mut metric_group, &mut tables, context)
                .map_err(|stop| stop.in_element("resource_metrics", index))?;
        }
    }
    memory.keep(tables.finish(context)?);
    Ok(())
}

fn convert_resource<'a>(
    resource_metrics: ResourceMetrics<'a>,
    resource: usize,
    metric_group: &mut MetricGroup<'a>,
    tables: &mut Tables,
    context: &mut Context,
) -> Result<(), Stop> {
    let ResourceMetrics {
        resource: its_resource,
        schema_url,
        ..
    } = resource_metrics;
    metric_group
        .group
        .enter_resource(its_resource, schema_url, context)?;
    for (index, scope_metrics) in resource_metrics.scope_metrics.iter().enumerate() {
        convert_scope(scope_metrics?, (resource, index), metric_group, tables, context)
            .map_err(|stop| stop.in_element("scope_metrics", index))?;
    }
    Ok(())
}

fn convert_scope<'a>(
    scope_metrics: ScopeMetrics<'a>,
    (resource, scope): (usize, usize),
    metric_group: &mut MetricGroup<'a>,
    tables: &mut Tables,
    context: &mut Context,
) -> Result<(), Stop> {
    metric_group
        .group
        .enter_scope(scope_metrics.scope, scope_metrics.schema_url, context)?;
    for (metric, its_metric) in scope_metrics.metrics.iter().enumerate() {
        let its_metric = its_metric?;
        let place = Place {
            resource,
            scope,
            metric,
        };
        metric_group
            .enter_metric(&its_metric, context)
            .map_err(Stop::from)
            .and_then(|()| convert_metric(&its_metric, place, metric_group, tables, context))
            .map_err(|stop| stop.in_element("metrics", metric))?;
    }
    Ok(())
}

fn convert_metric<'a>(
    metric: &Metric<'a>,
    place: Place,
    group: &MetricGroup<'a>,
    tables: &mut Tables,
    context: &mut Context,
) -> Result<(), Stop> {
    match metric.data {
        MetricData::Missing => {
            let path = || format!("{place}{}", group.subject());
            context.reject(path, Reason::NoData, "the metric has no data".to_owned());
            Ok(())
        }
        MetricData::Gauge { data_points } => {
            let kind = Kind::new(place, "gauge", |tables| &mut tables.gauge);
            convert_points(
                data_points,
                kind,
                group,
                tables,
                context,
                |columns, point, context| columns.append(point, group, context).map(|()| None),
            )
        }
        MetricData::Sum {
            data_points,
            aggregation_temporality,
            is_monotonic,
        } => {
            let of_sum = (aggregation_temporality, is_monotonic);
            let kind = Kind::new(place, "sum", |tables| &mut tables.sum);
            convert_points(
                data_points,
                kind,
                group,
                tables,
                context,
                |columns, point, context| columns.append(point, of_sum, group, context).map(|()| None),
            )
        }
        MetricData::Histogram {
            data_points,
            aggregation_temporality,
        } => {
            let kind = Kind::new(place, "histogram", |tables| &mut tables.histogram);
            convert_points(
                data_points,
                kind,
                group,
                tables,
                context,
                |columns, point, context| columns.append(point, aggregation_temporality, group, context),
            )
        }
        MetricData::ExponentialHistogram {
            data_points,
            aggregation_temporality,
        } => {
            let kind = Kind::new(place, "exponential_histogram", |tables| {
                &mut tables.exponential_histogram
            });
            convert_points(
                data_points,
                kind,
                group,
                tables,
                context,
                |columns, point, context| columns.append(point, aggregation_temporality, group, context),
            )
        }
        MetricData::Summary { data_points } => {
            let kind = Kind::new(place, "summary", |tables| &mut tables.summary);
            convert_points(
                data_points,
                kind,
                group,
                tables,
                context,
                |columns, point, context| columns.append(point, group, context),
            )
        }
    }
}

/// The kind of a metric's data points.
struct Kind<C> {
    place: Place,
    field: &'static str,
    rows: fn(&mut Tables) -> &mut TableBuilder<C>,
}

impl<C> Kind<C> {
    fn new(place: Place, field: &'static str, rows: fn(&mut Tables) -> &mut TableBuilder<C>) -> Self {
        Self { place, field, rows }
    }
}

/// Appends each point of a metric to the rows of its kind.
fn convert_points<'a, P: Message<'a> + Elements, C: Columns>(
    data_points: Repeated<'a, P>,
    Kind { place, field, rows }: Kind<C>,
    group: &MetricGroup<'a>,
    tables: &mut Tables,
    context: &mut Context,
    append: impl Fn(&mut C, &P, &mut Context) -> Verdict,
) -> Result<(), Stop> {
    rows(tables).begin(&data_points);
    let shared = group.attributes();
    let stored = context.repetition.take(data_points.len(), shared);
    for (index, point) in data_points.iter().enumerate() {
        let point = point.map_err(|error| error.in_field(field))?;
        let path = || format!("{place}.{field}.data_points[{index}]{}", group.subject());
        if reject_too_many(context, path, point.elements()) {
            continue;
        }
        if index >= stored {
            repetition::reject(context, path, shared);
            continue;
        }
        rows(tables)
            .row(context, path, |columns, context| append(columns, &point, context))
            .map_err(|stop| stop.in_element("data_points", index).in_field(field))?;
        if context.is_full() {
            tables.close_largest(context)?;
        }
    }
    Ok(())
}
