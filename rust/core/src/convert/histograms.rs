//! The tables `metrics_histogram` and `metrics_exponential_histogram`.

use super::columns::columns;
use super::context::Context;
use super::labels::WordColumn;
use super::lists::ListColumn;
use super::numbers::{append_count, too_large};
use super::points::{ExemplarColumns, MetricGroup, PointColumns, TEMPORALITIES, append_exemplars};
use super::primitive::{DoubleColumn, IntColumn, LongColumn};
use super::shared::SharedColumns;
use super::table::Verdict;
use crate::decode::{Buckets, DecodeError, ExponentialHistogramDataPoint, HistogramDataPoint, PackedOrNot};

columns! {
    /// The columns of `metrics_histogram`.
    HistogramColumns {
        point: PointColumns,
        count: LongColumn,
        sum: DoubleColumn,
        min: DoubleColumn,
        max: DoubleColumn,
        bucket_counts: ListColumn<LongColumn>,
        explicit_bounds: ListColumn<DoubleColumn>,
        aggregation_temporality: WordColumn,
        exemplars: ListColumn<ExemplarColumns>,
        shared: SharedColumns,
    }
}

impl HistogramColumns {
    /// Appends a histogram's point, or returns why it cannot be stored (rule 12).
    ///
    /// # Errors
    /// When its lists are malformed.
    pub(super) fn append(
        &mut self,
        point: &HistogramDataPoint<'_>,
        aggregation_temporality: i32,
        metric: &MetricGroup<'_>,
        context: &mut Context,
    ) -> Verdict {
        let mut rejection = None;
        self.point.append(&point.into(), metric, context)?;
        append_count(&mut self.count, point.count, "count", &mut rejection);
        self.sum.append_option(point.sum);
        self.min.append_option(point.min);
        self.max.append_option(point.max);
        append_counts(&mut self.bucket_counts, &point.bucket_counts, &mut rejection)?;
        self.explicit_bounds
            .append_scalars(&point.explicit_bounds, |bound| bound)?;
        let (counts, bounds) = (self.bucket_counts.open_len(), self.explicit_bounds.open_len());
        if rejection.is_none() && counts != bounds + 1 && (counts, bounds) != (0, 0) {
            rejection = Some(format!(
                "its {counts} bucket counts do not fit its {bounds} bounds"
            ));
        }
        self.bucket_counts.end_list();
        self.explicit_bounds.end_list();
        self.aggregation_temporality
            .append(aggregation_temporality, TEMPORALITIES);
        append_exemplars(&mut self.exemplars, &point.exemplars, context)?;
        self.shared.append(&metric.group);
        Ok(rejection)
    }
}

/// Appends the elements of a list of counts; the caller ends the list.
fn append_counts(
    column: &mut ListColumn<LongColumn>,
    counts: &PackedOrNot<'_, u64>,
    rejection: &mut Option<String>,
) -> Result<(), DecodeError> {
    let counts = column.append_scalars(counts, u64::cast_signed)?;
    if rejection.is_none()
        && let Some(count) = counts.iter().find(|count| **count < 0)
    {
        *rejection = Some(too_large("bucket count", count.cast_unsigned()));
    }
    Ok(())
}

columns! {
    /// The columns of `metrics_exponential_histogram`.
    ExponentialHistogramColumns {
        point: PointColumns,
        count: LongColumn,
        sum: DoubleColumn,
        min: DoubleColumn,
        max: DoubleColumn,
        scale: IntColumn,
        zero_count: LongColumn,
        zero_threshold: DoubleColumn,
        positive_offset: IntColumn,
        positive_bucket_counts: ListColumn<LongColumn>,
        negative_offset: IntColumn,
        negative_bucket_counts: ListColumn<LongColumn>,
        aggregation_temporality: WordColumn,
        exemplars: ListColumn<ExemplarColumns>,
        shared: SharedColumns,
    }
}

impl ExponentialHistogramColumns {
    /// Appends an exponential histogram's point, or returns why it cannot be stored (rule 12).
    ///
    /// # Errors
    /// When its lists are malformed.
    pub(super) fn append(
        &mut self,
        point: &ExponentialHistogramDataPoint<'_>,
        aggregation_temporality: i32,
        metric: &MetricGroup<'_>,
        context: &mut Context,
    ) -> Verdict {
        let mut rejection = None;
        self.point.append(&point.into(), metric, context)?;
        append_count(&mut self.count, point.count, "count", &mut rejection);
        self.sum.append_option(point.sum);
        self.min.append_option(point.min);
        self.max.append_option(point.max);
        self.scale.append(point.scale);
        append_count(
            &mut self.zero_count,
            point.zero_count,
            "zero count",
            &mut rejection,
        );
        self.zero_threshold.append(point.zero_threshold);
        let (offset, counts) = (&mut self.positive_offset, &mut self.positive_bucket_counts);
        append_buckets(offset, counts, point.positive, &mut rejection)
            .map_err(|error| error.in_field("positive"))?;
        let (offset, counts) = (&mut self.negative_offset, &mut self.negative_bucket_counts);
        append_buckets(offset, counts, point.negative, &mut rejection)
            .map_err(|error| error.in_field("negative"))?;
        self.aggregation_temporality
            .append(aggregation_temporality, TEMPORALITIES);
        append_exemplars(&mut self.exemplars, &point.exemplars, context)?;
        self.shared.append(&metric.group);
        Ok(rejection)
    }
}

/// Appends one side's buckets; a missing side counts as empty (rule 1).
fn append_buckets(
    offset: &mut IntColumn,
    counts: &mut ListColumn<LongColumn>,
    buckets: Option<Buckets<'_>>,
    rejection: &mut Option<String>,
) -> Result<(), DecodeError> {
    let buckets = buckets.unwrap_or_default();
    offset.append(buckets.offset);
    append_counts(counts, &buckets.bucket_counts, rejection)?;
    counts.end_list();
    Ok(())
}
