//! The Iceberg metrics of one data file, computed from its rows.
//!
//! Follows Java Iceberg 1.10 (`ParquetMetrics`): every leaf column has a size; only columns outside lists and
//! maps have counts and bounds. Our structs occur only inside lists, so those columns are the top-level
//! columns of a primitive type.

use std::collections::{HashMap, HashSet};

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Schema};
use iceberg::spec::{Datum, NestedFieldRef};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};

use super::bounds::{Bounds, bounds, bounds_of};
use super::chunk::Summary;
use super::internal;
use super::metrics_config::{MetricsConfig, Mode};
use crate::error::Result;

/// Metrics by field id, as a manifest holds them.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    /// Compressed bytes of the column's chunks.
    pub column_sizes: HashMap<i32, u64>,
    /// Value counts, including nulls and NaN.
    pub value_counts: HashMap<i32, u64>,
    /// Null counts.
    pub null_value_counts: HashMap<i32, u64>,
    /// NaN values of floating-point columns.
    pub nan_value_counts: HashMap<i32, u64>,
    /// Lower bounds of all values that are neither null nor NaN.
    pub lower_bounds: HashMap<i32, Datum>,
    /// Upper bounds of all values that are neither null nor NaN.
    pub upper_bounds: HashMap<i32, Datum>,
    /// Columns with a value that has no short enough upper bound; the file then has no upper bound for them.
    unbounded: HashSet<i32>,
}

/// The columns of a file as the table has them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured<'a> {
    /// The table's fields.
    pub fields: &'a [NestedFieldRef],
    /// Their Arrow types.
    pub schema: &'a Schema,
    /// Which metrics the table wants.
    pub config: &'a MetricsConfig,
}

impl Metrics {
    /// Adds rows of a column whose chunk has no summary: counts add up, bounds widen.
    pub fn add_array(&mut self, column: usize, array: &ArrayRef, of: Measured<'_>) {
        if let Some(field) = of.fields.get(column)
            && field.field_type.is_primitive()
        {
            self.add_column(field.id, array, of.config.mode(field.id));
        }
    }

    /// Adds the summaries of a row group's chunks, one per column of the batch.
    pub fn add_summaries(&mut self, summaries: Vec<Option<Summary>>, of: Measured<'_>) {
        let columns = of.fields.iter().zip(of.schema.fields());
        for ((field, arrow_field), summary) in columns.zip(summaries) {
            if let Some(summary) = summary {
                let mode = of.config.mode(field.id);
                self.add_summary(field.id, &summary, arrow_field.data_type(), mode);
            }
        }
    }

    /// Adds the sizes of the file's column chunks.
    ///
    /// # Errors
    /// `Internal` when Parquet's footer holds a negative size.
    pub fn add_sizes(&mut self, footer: &ParquetMetaData, config: &MetricsConfig) -> Result<()> {
        for chunk in footer.row_groups().iter().flat_map(RowGroupMetaData::columns) {
            let field_id = chunk.column_descr().self_type().get_basic_info().id();
            if config.mode(field_id) == Mode::None {
                continue;
            }
            let size = u64::try_from(chunk.compressed_size())
                .map_err(|cause| internal("a column chunk has a negative size", cause))?;
            *self.column_sizes.entry(field_id).or_default() += size;
        }
        Ok(())
    }

    fn add_column(&mut self, field_id: i32, array: &ArrayRef, mode: Mode) {
        if mode == Mode::None {
            return;
        }
        *self.value_counts.entry(field_id).or_default() += array.len() as u64;
        *self.null_value_counts.entry(field_id).or_default() += array.logical_null_count() as u64;
        if *array.data_type() == DataType::Float64 {
            let doubles = array.as_primitive::<Float64Type>();
            let nan_count = doubles.iter().flatten().filter(|value| value.is_nan()).count();
            *self.nan_value_counts.entry(field_id).or_default() += nan_count as u64;
        }
        let Mode::Bounds { code_points_max } = mode else {
            return;
        };
        if let Some(bounds) = bounds(array, code_points_max) {
            self.widen(field_id, bounds);
        }
    }

    fn add_summary(&mut self, field_id: i32, summary: &Summary, data_type: &DataType, mode: Mode) {
        if mode == Mode::None {
            return;
        }
        *self.value_counts.entry(field_id).or_default() += summary.entries;
        *self.null_value_counts.entry(field_id).or_default() += summary.nulls;
        if *data_type == DataType::Float64 {
            *self.nan_value_counts.entry(field_id).or_default() += summary.nans;
        }
        let Mode::Bounds { code_points_max } = mode else {
            return;
        };
        let range = summary.range.as_ref();
        if let Some(bounds) = range.and_then(|range| bounds_of(range, data_type, code_points_max)) {
            self.widen(field_id, bounds);
        }
    }

    /// Truncation keeps the order of values, so the least of the parts' truncated bounds is the whole file's
    /// bound.
    fn widen(&mut self, field_id: i32, bounds: Bounds) {
        match self.lower_bounds.get(&field_id) {
            Some(lower) if *lower <= bounds.lower => {}
            _ => drop(self.lower_bounds.insert(field_id, bounds.lower)),
        }
        let Some(upper) = bounds.upper.filter(|_| !self.unbounded.contains(&field_id)) else {
            self.unbounded.insert(field_id);
            self.upper_bounds.remove(&field_id);
            return;
        };
        match self.upper_bounds.get(&field_id) {
            Some(known) if *known >= upper => {}
            _ => drop(self.upper_bounds.insert(field_id, upper)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Float64Array, StringArray};

    use super::*;

    const BOUNDS: Mode = Mode::Bounds {
        code_points_max: Some(2),
    };

    #[test]
    fn counts_add_up_and_bounds_widen_over_the_pieces_of_a_file() {
        let mut metrics = Metrics::default();
        let pieces: [&[Option<f64>]; 3] = [
            &[Some(2.0), None],
            &[Some(f64::NAN), None],
            &[Some(-1.5), Some(7.0), Some(f64::NAN)],
        ];
        for piece in pieces {
            let array: ArrayRef = Arc::new(Float64Array::from(piece.to_vec()));
            metrics.add_column(1, &array, BOUNDS);
        }
        assert_eq!(metrics.value_counts[&1], 7);
        assert_eq!(metrics.null_value_counts[&1], 2);
        assert_eq!(metrics.nan_value_counts[&1], 2);
        assert_eq!(metrics.lower_bounds[&1], Datum::double(-1.5));
        assert_eq!(metrics.upper_bounds[&1], Datum::double(7.0));
    }

    #[test]
    fn text_bounds_are_the_widest_truncated_ones_and_one_piece_without_an_upper_bound_takes_it_away() {
        let text = |values: &[&str]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
        let mut metrics = Metrics::default();
        metrics.add_column(1, &text(&["bcd", "bcz"]), BOUNDS);
        metrics.add_column(1, &text(&["abc"]), BOUNDS);
        metrics.add_column(1, &text(&["bb"]), BOUNDS);
        assert_eq!(metrics.lower_bounds[&1], Datum::string("ab"));
        assert_eq!(metrics.upper_bounds[&1], Datum::string("bd"));

        let highest = "\u{10ffff}\u{10ffff}\u{10ffff}";
        metrics.add_column(1, &text(&[highest]), BOUNDS);
        metrics.add_column(1, &text(&["b"]), BOUNDS);
        assert_eq!(metrics.lower_bounds[&1], Datum::string("ab"));
        assert!(!metrics.upper_bounds.contains_key(&1));
    }
}
