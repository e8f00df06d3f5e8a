//! Describes Parquet files that already exist in storage to a table, from their footers alone.
//!
//! A file is not changed: its columns must match the table's, and all its rows must have one partition value.
//! The manifest entry is built from the footer's statistics, so no data is read.

mod columns;
mod footer;
mod names;
mod partition;
mod route;
mod statistics;
pub(in crate::write) mod thrift;

use std::collections::HashMap;

use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, PrimitiveType, TableMetadata, Type,
};

use self::columns::{Columns, Resolution, mismatch};
pub use self::footer::{FOOTER_BYTES_MAX, FOOTER_GUESS_BYTES, Footer, Tail};
pub(crate) use self::names::extended_mapping;
pub use self::route::table_of;
use self::statistics::{ColumnStatistics, of_leaf};
use super::bounds::{lower_bound, upper_bound};
use super::internal;
use super::metrics_config::{MetricsConfig, Mode};
use super::split::{split_offsets, start};
use crate::error::Result;
use crate::table_properties::ENCRYPTION_KEY;

/// A file described as a table's data file.
#[derive(Debug, Clone)]
pub struct Described {
    /// The manifest's entry for it.
    pub data_file: DataFile,
    /// The required value of the table's property `schema.name-mapping.default`, to be set before the file is added;
    /// `None` if it need not change.
    pub name_mapping: Option<String>,
}

/// Describes the file at `location` to a table as it was loaded.
///
/// # Errors
/// `TableMismatch`, permanent, with the difference between file and table: other columns, types or field ids,
/// rows of several partition values, or a conflicting name mapping.
pub fn describe(metadata: &TableMetadata, location: &str, footer: &Footer) -> Result<Described> {
    if metadata.properties().contains_key(ENCRYPTION_KEY) {
        return Err(mismatch("the table is encrypted and the file is not"));
    }
    let columns = columns::matched(footer, metadata)?;
    let name_mapping = match columns.resolution {
        Resolution::Ids => None,
        Resolution::Names => names::needed(metadata, &columns.names)?,
    };
    let parquet = &footer.metadata;
    let statistics: HashMap<i32, (&PrimitiveType, ColumnStatistics)> = columns
        .primitives
        .iter()
        .filter_map(|(field, leaf)| match field.field_type.as_ref() {
            Type::Primitive(to) => Some((field.id, (to, of_leaf(parquet, *leaf, to)))),
            _ => None,
        })
        .collect();
    for (field, _) in columns.primitives.iter().filter(|(field, _)| field.required) {
        if statistics.get(&field.id).and_then(|(_, found)| found.nulls) != Some(0) {
            return Err(mismatch(format!(
                "column {} is required in the table, and the file's footer does not say that it has no nulls",
                field.name
            )));
        }
    }
    let partition = partition::value(metadata, |id| statistics.get(&id).map(|(_, found)| found))?;
    let rows = row_count(footer, statistics.values().map(|(_, found)| found.values))?;
    let mut builder = DataFileBuilder::default();
    builder
        .content(DataContentType::Data)
        .file_path(location.to_owned())
        .file_format(DataFileFormat::Parquet)
        .partition(partition)
        .partition_spec_id(metadata.default_partition_spec_id())
        .record_count(rows)
        .file_size_in_bytes(footer.file_bytes)
        .split_offsets(offsets(footer));
    add_metrics(
        &mut builder,
        &MetricsConfig::new(metadata),
        footer,
        &columns,
        &statistics,
    )?;
    let data_file = builder
        .build()
        .map_err(|cause| internal("a data file's description is incomplete", cause))?;
    Ok(Described {
        data_file,
        name_mapping,
    })
}

/// The greatest accepted number of rows of a file; it keeps sums over files from overflowing.
const ROWS_MAX: u64 = 1 << 40;

/// The file's number of rows. Its row groups and columns must have the same number.
fn row_count(footer: &Footer, mut values: impl Iterator<Item = u64>) -> Result<u64> {
    let rows = footer.metadata.file_metadata().num_rows();
    let groups = footer.metadata.row_groups().iter();
    let in_groups = groups.fold(0_i64, |sum, group| sum.saturating_add(group.num_rows()));
    match u64::try_from(rows) {
        Ok(count) if count <= ROWS_MAX && in_groups == rows && values.all(|values| values == count) => {
            Ok(count)
        }
        _ => Err(mismatch("its footer contradicts itself about the number of rows")),
    }
}

/// Adds the metrics that [`super::metrics::Metrics`] computes from rows, except NaN counts, which footers do
/// not hold.
fn add_metrics(
    builder: &mut DataFileBuilder,
    config: &MetricsConfig,
    footer: &Footer,
    columns: &Columns,
    statistics: &HashMap<i32, (&PrimitiveType, ColumnStatistics)>,
) -> Result<()> {
    let mut sizes: HashMap<i32, u64> = HashMap::new();
    for group in footer.metadata.row_groups() {
        for (leaf, id) in columns.leaf_ids.iter().enumerate() {
            let chunk = statistics::chunk(group, leaf).filter(|_| config.mode(*id) != Mode::None);
            if let Some(chunk) = chunk {
                let size = u64::try_from(chunk.compressed_size())
                    .map_err(|cause| mismatch("its footer has a negative size").because(cause))?;
                let sum = sizes.entry(*id).or_default();
                *sum = sum.saturating_add(size);
            }
        }
    }
    let (mut values, mut nulls) = (HashMap::new(), HashMap::new());
    let (mut lowers, mut uppers) = (HashMap::new(), HashMap::new());
    for (id, (_, found)) in statistics {
        let mode = config.mode(*id);
        if mode == Mode::None {
            continue;
        }
        values.insert(*id, found.values);
        if let Some(count) = found.nulls {
            nulls.insert(*id, count);
        }
        if let Mode::Bounds { code_points_max } = mode {
            lowers.extend(
                found
                    .lower
                    .as_ref()
                    .map(|bound| (*id, lower_bound(bound, code_points_max))),
            );
            uppers.extend(
                found
                    .upper
                    .as_ref()
                    .and_then(|bound| Some((*id, upper_bound(bound, code_points_max)?))),
            );
        }
    }
    builder
        .column_sizes(sizes)
        .value_counts(values)
        .null_value_counts(nulls)
        .lower_bounds(lowers)
        .upper_bounds(uppers);
    Ok(())
}

/// Where readers may split the file; `None` if the start of a row group is unknown.
fn offsets(footer: &Footer) -> Option<Vec<i64>> {
    let row_groups = footer.metadata.row_groups().iter();
    let starts: Vec<i64> = row_groups.map(start).collect::<Option<_>>()?;
    let whole = starts
        .iter()
        .all(|start| *start > 0 && start.unsigned_abs() < footer.file_bytes);
    whole.then(|| split_offsets(starts))
}
