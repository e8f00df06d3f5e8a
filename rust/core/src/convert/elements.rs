//! Limits the number of elements in the lists of one record.

use super::context::Context;
use crate::decode::{
    ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint, Span, SummaryDataPoint,
};
use crate::reason::Reason;

/// The greatest number of events and links of a span, or of exemplars, buckets and quantiles of a point. An
/// empty element takes 2 bytes or 1 of a request and up to 50 in memory, and all of them must be held before
/// the batch can be closed.
const ELEMENTS_MAX: usize = 1 << 20;

/// A record with lists.
pub(super) trait Elements {
    /// The number of their elements, or slightly more.
    fn elements(&self) -> usize;
}

impl Elements for Span<'_> {
    #[inline]
    fn elements(&self) -> usize {
        self.events.len() + self.links.len()
    }
}

impl Elements for NumberDataPoint<'_> {
    #[inline]
    fn elements(&self) -> usize {
        self.exemplars.len()
    }
}

impl Elements for HistogramDataPoint<'_> {
    #[inline]
    fn elements(&self) -> usize {
        self.exemplars.len() + self.bucket_counts.len_max() + self.explicit_bounds.len_max()
    }
}

impl Elements for ExponentialHistogramDataPoint<'_> {
    #[inline]
    fn elements(&self) -> usize {
        let buckets = [&self.positive, &self.negative].into_iter().flatten();
        let counts = buckets.map(|buckets| buckets.bucket_counts.len_max());
        self.exemplars.len() + counts.sum::<usize>()
    }
}

impl Elements for SummaryDataPoint<'_> {
    #[inline]
    fn elements(&self) -> usize {
        self.quantile_values.len()
    }
}

/// Rejects the record at `path` if its lists have too many elements (rule 12). Returns whether it did.
#[inline]
pub(super) fn reject_too_many(context: &mut Context, path: impl FnOnce() -> String, elements: usize) -> bool {
    let is_too_many = elements > ELEMENTS_MAX;
    if is_too_many {
        too_many(context, path, elements);
    }
    is_too_many
}

#[cold]
fn too_many(context: &mut Context, path: impl FnOnce() -> String, elements: usize) {
    let message = format!("its lists have {elements} elements, which is above {ELEMENTS_MAX}");
    context.reject(path, Reason::RecordTooLarge, message);
}
