//! Bloom filters of chunks (Parquet's BloomFilter.md).

use parquet::bloom_filter::Sbbf;
use parquet::errors::Result;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

/// A bloom filter under construction.
pub(super) struct Bloom {
    /// Sized for all values that may come.
    filter: Sbbf,
    /// The target false positive rate.
    false_positives: f64,
}

impl Bloom {
    /// An empty filter for a chunk of at most `rows_max` rows; `None` if the column has no filter.
    ///
    /// # Errors
    /// When the column's properties are invalid for a filter.
    pub fn of(properties: &WriterProperties, path: &ColumnPath, rows_max: usize) -> Result<Option<Self>> {
        let Some(wanted) = properties.bloom_filter_properties(path) else {
            return Ok(None);
        };
        Ok(Some(Self {
            filter: Sbbf::new_with_ndv_fpp(wanted.ndv.min(rows_max as u64).max(1), wanted.fpp)?,
            false_positives: wanted.fpp,
        }))
    }

    /// Adds a value, plain encoded; a text without its length.
    #[inline]
    pub fn insert(&mut self, value: &[u8]) {
        self.filter.insert(value);
    }

    /// The filter, folded to the size that its values need.
    pub fn finish(mut self) -> Sbbf {
        self.filter.fold_to_target_fpp(self.false_positives);
        self.filter
    }
}
