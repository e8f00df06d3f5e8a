//! The statistics of a column in a footer, over all row groups.
//!
//! A bound is known only when every row group with values has it: a bound over the other row groups would
//! hide rows.

use iceberg::spec::{Datum, PrimitiveType};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::statistics::Statistics;

/// A column of a primitive type outside of lists and maps.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct ColumnStatistics {
    /// Values, nulls included.
    pub values: u64,
    /// Nulls, if every row group counts them.
    pub nulls: Option<u64>,
    /// A lower bound of all values that are neither null nor NaN.
    pub lower: Option<Datum>,
    /// An upper bound of all values that are neither null nor NaN.
    pub upper: Option<Datum>,
    /// Whether both bounds are actual values of the column.
    pub exact: bool,
}

/// The statistics of one leaf, as values of the table's type.
pub(super) fn of_leaf(metadata: &ParquetMetaData, leaf: usize, to: &PrimitiveType) -> ColumnStatistics {
    let mut column = ColumnStatistics {
        nulls: Some(0),
        exact: true,
        ..ColumnStatistics::default()
    };
    let (mut no_lower, mut no_upper) = (false, false);
    let chunks = metadata
        .row_groups()
        .iter()
        .filter_map(|group| chunk(group, leaf));
    for chunk in chunks {
        let values = u64::try_from(chunk.num_values()).unwrap_or(0);
        column.values = column.values.saturating_add(values);
        let statistics = chunk.statistics();
        let nulls = statistics.and_then(Statistics::null_count_opt);
        column.nulls = column
            .nulls
            .zip(nulls)
            .map(|(sum, nulls)| sum.saturating_add(nulls));
        if nulls == Some(values) {
            continue;
        }
        let usable = statistics.filter(|statistics| is_ordered(statistics));
        column.exact &= usable.is_some_and(is_exact);
        match usable.and_then(|found| datum(found.min_bytes_opt()?, found, to)) {
            Some(lower) if column.lower.as_ref().is_none_or(|known| lower < *known) => {
                column.lower = Some(lower);
            }
            Some(_) => {}
            None => no_lower = true,
        }
        match usable.and_then(|found| datum(found.max_bytes_opt()?, found, to)) {
            Some(upper) if column.upper.as_ref().is_none_or(|known| upper > *known) => {
                column.upper = Some(upper);
            }
            Some(_) => {}
            None => no_upper = true,
        }
    }
    if no_lower {
        column.lower = None;
    }
    if no_upper {
        column.upper = None;
    }
    column
}

pub(super) fn chunk(group: &RowGroupMetaData, leaf: usize) -> Option<&ColumnChunkMetaData> {
    group.columns().get(leaf)
}

/// The deprecated fields `min` and `max` order text by signed bytes.
fn is_ordered(statistics: &Statistics) -> bool {
    !statistics.is_min_max_deprecated() || !matches!(statistics, Statistics::ByteArray(_))
}

/// Numbers are never truncated. Text is exact only where the writer declares it.
fn is_exact(statistics: &Statistics) -> bool {
    match statistics {
        Statistics::ByteArray(text) => text.min_is_exact() && text.max_is_exact(),
        _ => true,
    }
}

/// A bound as a value of the table's type. `None` for NaN, and for text that is truncated within a character.
fn datum(bytes: &[u8], statistics: &Statistics, to: &PrimitiveType) -> Option<Datum> {
    let integer = match statistics {
        Statistics::Int32(_) => Some(i64::from(i32::from_le_bytes(bytes.try_into().ok()?))),
        Statistics::Int64(_) => Some(i64::from_le_bytes(bytes.try_into().ok()?)),
        _ => None,
    };
    let double = match statistics {
        Statistics::Float(_) => Some(f64::from(f32::from_le_bytes(bytes.try_into().ok()?))),
        Statistics::Double(_) => Some(f64::from_le_bytes(bytes.try_into().ok()?)),
        _ => None,
    };
    match to {
        PrimitiveType::Boolean => Some(Datum::bool(bytes.first()? != &0)),
        PrimitiveType::Int => Some(Datum::int(i32::try_from(integer?).ok()?)),
        PrimitiveType::Long => integer.map(Datum::long),
        PrimitiveType::Timestamptz => integer.map(Datum::timestamptz_micros),
        PrimitiveType::TimestamptzNs => integer.map(Datum::timestamptz_nanos),
        PrimitiveType::Float => double
            .filter(|value| !value.is_nan())
            .map(|value| Datum::float(value as f32)),
        PrimitiveType::Double => double.filter(|value| !value.is_nan()).map(Datum::double),
        PrimitiveType::String => std::str::from_utf8(bytes).ok().map(Datum::string),
        _ => None,
    }
}
