//! The table `metrics_summary`.

use super::columns::columns;
use super::context::Context;
use super::lists::ListColumn;
use super::numbers::append_count;
use super::points::{MetricGroup, PointColumns};
use super::primitive::{DoubleColumn, LongColumn};
use super::shared::SharedColumns;
use super::table::Verdict;
use crate::decode::SummaryDataPoint;

columns! {
    /// The columns of `metrics_summary`.
    SummaryColumns {
        point: PointColumns,
        count: LongColumn,
        sum: DoubleColumn,
        value_at_quantiles: ListColumn<QuantileColumns>,
        shared: SharedColumns,
    }
}

columns! {
    /// The fields of a value at a quantile.
    QuantileColumns {
        quantile: DoubleColumn,
        value: DoubleColumn,
    }
}

impl SummaryColumns {
    /// Appends a summary's point, or returns why it cannot be stored (rule 12).
    ///
    /// # Errors
    /// When its lists are malformed.
    pub(super) fn append(
        &mut self,
        point: &SummaryDataPoint<'_>,
        metric: &MetricGroup<'_>,
        context: &mut Context,
    ) -> Verdict {
        let mut rejection = None;
        self.point.append(&point.into(), metric, context)?;
        append_count(&mut self.count, point.count, "count", &mut rejection);
        self.sum.append(point.sum);
        for value_at_quantile in point.quantile_values {
            let value_at_quantile = value_at_quantile?;
            let element = self.value_at_quantiles.element();
            element.quantile.append(value_at_quantile.quantile);
            element.value.append(value_at_quantile.value);
        }
        self.value_at_quantiles.end_list();
        self.shared.append(&metric.group);
        Ok(rejection)
    }
}
