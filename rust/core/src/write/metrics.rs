//! The Iceberg metrics of one data file, made from its rows.
//!
//! As Java Iceberg 1.10 (`ParquetMetrics`): every leaf column has a size; counts and bounds go
//! to columns that are not inside a list or a map. Our columns have structs only inside lists, so
//! those are the top-level columns of a primitive type.

use std::collections::HashMap;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
use iceberg::spec::{Datum, NestedFieldRef};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};

use super::bounds::bounds;
use super::internal;
use super::metrics_config::{MetricsConfig, Mode};
use crate::error::Result;

/// Metrics by field id, as a manifest holds them.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    /// Compressed bytes of the column's chunks.
    pub column_sizes: HashMap<i32, u64>,
    /// Values, nulls and NaN included.
    pub value_counts: HashMap<i32, u64>,
    /// Nulls.
    pub null_value_counts: HashMap<i32, u64>,
    /// NaN values of floating-point columns.
    pub nan_value_counts: HashMap<i32, u64>,
    /// At most every value that is neither null nor NaN.
    pub lower_bounds: HashMap<i32, Datum>,
    /// At least every value that is neither null nor NaN.
    pub upper_bounds: HashMap<i32, Datum>,
}

impl Metrics {
    /// Measures the rows of a file and its column chunks.
    ///
    /// # Errors
    /// `Internal` when Parquet's footer holds a negative size.
    pub fn measure(
        fields: &[NestedFieldRef],
        rows: &RecordBatch,
        footer: &ParquetMetaData,
        config: &MetricsConfig,
    ) -> Result<Metrics> {
        let mut metrics = Metrics::default();
        metrics.add_sizes(footer, config)?;
        for (field, array) in fields.iter().zip(rows.columns()) {
            if field.field_type.is_primitive() {
                metrics.add_column(field.id, array, config.mode(field.id));
            }
        }
        Ok(metrics)
    }

    fn add_sizes(&mut self, footer: &ParquetMetaData, config: &MetricsConfig) -> Result<()> {
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
        self.value_counts.insert(field_id, array.len() as u64);
        self.null_value_counts
            .insert(field_id, array.logical_null_count() as u64);
        if *array.data_type() == DataType::Float64 {
            let doubles = array.as_primitive::<Float64Type>();
            let nan_count = doubles.iter().flatten().filter(|value| value.is_nan()).count();
            self.nan_value_counts.insert(field_id, nan_count as u64);
        }
        let Mode::Bounds { code_points_max } = mode else {
            return;
        };
        if let Some(bounds) = bounds(array, code_points_max) {
            self.lower_bounds.insert(field_id, bounds.lower);
            if let Some(upper) = bounds.upper {
                self.upper_bounds.insert(field_id, upper);
            }
        }
    }
}
