//! How many elements the lists of one record may have.

use crate::decode::{
    ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint, Span, SummaryDataPoint,
};

/// Events and links of a span; exemplars, buckets and quantiles of a point. An empty one takes 2 bytes of a request, or 1, and up to
/// 50 in memory, all of them before the batch can be closed.
const ELEMENTS_MAX: usize = 1 << 20;

/// A record with lists.
pub(super) trait Elements {
    /// How many elements they have, or a few more.
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

/// Why a record with so many elements is not stored, if they are too many (rule 12).
#[inline]
pub(super) fn too_many(elements: usize) -> Option<String> {
    (elements > ELEMENTS_MAX).then(|| reason(elements))
}

#[cold]
fn reason(elements: usize) -> String {
    format!("its lists have {elements} elements, which is above {ELEMENTS_MAX}")
}
