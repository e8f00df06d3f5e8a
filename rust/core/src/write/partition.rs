//! Determines which rows belong to which partition value of the table's default spec.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use arrow_array::{ArrayRef, RecordBatch, UInt32Array};
use arrow_ord::partition::partition;
use arrow_select::take::take;
use iceberg::arrow::arrow_primitive_to_literal;
use iceberg::spec::{Literal, Struct, TableMetadata, Transform, Type};

use super::align::Aligned;
use super::internal;
use super::transform::transformed;
use crate::error::{Error, ErrorKind, Result, RetryClass};
use crate::schema::name_not_in_avro;

/// Rows of a batch.
#[derive(Debug, Clone)]
pub(super) enum Rows {
    /// All rows, in the batch's order.
    All,
    /// These rows, in this order.
    Some(UInt32Array),
}

impl Rows {
    /// The number of rows.
    pub fn len(&self, batch: &RecordBatch) -> usize {
        match self {
            Rows::All => batch.num_rows(),
            Rows::Some(rows) => rows.len(),
        }
    }

    /// The rows' indices in the batch.
    pub fn numbers(&self, batch: &RecordBatch) -> Vec<u32> {
        match self {
            Rows::All => (0..u32::try_from(batch.num_rows()).unwrap_or(u32::MAX)).collect(),
            Rows::Some(rows) => rows.values().to_vec(),
        }
    }
}

/// The rows of one partition value.
#[derive(Debug)]
pub(super) struct Group {
    /// The value: a literal per field of the spec, null where the transform returns null.
    pub partition: Struct,
    /// Its rows, in the batch's order.
    pub rows: Rows,
}

/// Keeps at most as many groups as partitions are allowed, in their order: first those among the `open` ones,
/// then those with the most rows. Also returns the rows of the other groups, in the batch's order.
pub(super) fn most_rows(
    groups: Vec<Group>,
    batch: &RecordBatch,
    open: &[Struct],
    partitions_max: usize,
) -> (Vec<Group>, Vec<u32>) {
    if groups.len().saturating_add(open.len()) <= partitions_max {
        return (groups, Vec::new());
    }
    let open: HashSet<&Struct> = open.iter().collect();
    let mut new: Vec<(usize, usize)> = groups
        .iter()
        .enumerate()
        .filter(|(_, group)| !open.contains(&group.partition))
        .map(|(at, group)| (at, group.rows.len(batch)))
        .collect();
    // The sort is stable, so among equal counts the first groups stay.
    new.sort_by_key(|(_, rows)| std::cmp::Reverse(*rows));
    let left = partitions_max.saturating_sub(open.len());
    let left_out: HashSet<usize> = new.into_iter().skip(left).map(|(at, _)| at).collect();
    let (left_out, kept): (Vec<_>, Vec<_>) = groups
        .into_iter()
        .enumerate()
        .partition(|(at, _)| left_out.contains(at));
    let mut rejected: Vec<u32> = left_out
        .iter()
        .flat_map(|(_, group)| group.rows.numbers(batch))
        .collect();
    rejected.sort_unstable();
    (kept.into_iter().map(|(_, group)| group).collect(), rejected)
}

/// Splits a batch by partition value; groups are in the order of their first rows.
///
/// Rows of one value are mostly contiguous, so a literal is built once per run of equal values. A batch with
/// a single value is not copied.
///
/// # Errors
/// `TableMismatch` when the spec has a transform that cannot be computed; any error of [`check_names`].
pub(super) fn split(aligned: &Aligned, metadata: &TableMetadata) -> Result<Vec<Group>> {
    check_names(metadata)?;
    let spec = metadata.default_partition_spec();
    let types = metadata.default_partition_type().fields();
    let mut values: Vec<Option<(ArrayRef, &Type)>> = Vec::with_capacity(types.len());
    for (field, result) in spec.fields().iter().zip(types) {
        // A source column that our rows do not have is null in each row, and so is any transform of it.
        let source = aligned
            .position(field.source_id)
            .map(|at| aligned.batch.column(at));
        values.push(match source {
            Some(source) if field.transform != Transform::Void => {
                Some((transformed(field.transform, source)?, result.field_type.as_ref()))
            }
            _ => None,
        });
    }
    let arrays: Vec<ArrayRef> = values.iter().flatten().map(|(array, _)| array.clone()).collect();
    let runs = runs(&arrays, aligned.batch.num_rows())?;
    let partitions = partition_values(&values, &runs)?;
    group(partitions, runs)
}

/// Refuses a default spec whose field names a manifest cannot have. Rows wait until the table has another spec.
///
/// # Errors
/// `TableMismatch`, to be retried.
pub(super) fn check_names(metadata: &TableMetadata) -> Result<()> {
    let Some(name) = name_not_in_avro(metadata.default_partition_spec()) else {
        return Ok(());
    };
    Err(Error::new(
        ErrorKind::TableMismatch,
        "the name of a partition field has characters that manifests cannot have here; give it a name of letters, digits and underscores (in Spark: ALTER TABLE … REPLACE PARTITION FIELD … AS …)",
    )
    .with("partition field", name)
    .class(RetryClass::Retry { after: None }))
}

/// Runs of rows that are equal in every array.
fn runs(arrays: &[ArrayRef], rows: usize) -> Result<Vec<Range<usize>>> {
    if arrays.is_empty() {
        return Ok(std::iter::once(0..rows).collect());
    }
    partition(arrays)
        .map(|partitions| partitions.ranges())
        .map_err(|cause| internal("partition values cannot be compared", cause))
}

/// The partition value of each run, read from its first row.
fn partition_values(values: &[Option<(ArrayRef, &Type)>], runs: &[Range<usize>]) -> Result<Vec<Struct>> {
    let first_rows = runs
        .iter()
        .map(|run| row_number(run.start))
        .collect::<Result<UInt32Array>>()?;
    let mut columns: Vec<std::vec::IntoIter<Option<Literal>>> = Vec::with_capacity(values.len());
    for value in values {
        let literals = match value {
            Some((array, result_type)) => {
                let first = take(array, &first_rows, None)
                    .map_err(|cause| internal("partition values cannot be read", cause))?;
                arrow_primitive_to_literal(&first, result_type)
                    .map_err(|cause| internal("partition values have another type", cause))?
            }
            None => vec![None; runs.len()],
        };
        columns.push(literals.into_iter());
    }
    let tuples = runs
        .iter()
        .map(|_| columns.iter_mut().map(|c| c.next().flatten()).collect());
    Ok(tuples.collect())
}

fn group(partitions: Vec<Struct>, runs: Vec<Range<usize>>) -> Result<Vec<Group>> {
    let mut numbers: HashMap<Struct, usize> = HashMap::new();
    let mut groups: Vec<(Struct, Vec<Range<usize>>)> = Vec::new();
    for (partition, run) in partitions.into_iter().zip(runs) {
        let number = *numbers.entry(partition.clone()).or_insert(groups.len());
        match groups.get_mut(number) {
            Some((_, runs)) => runs.push(run),
            None => groups.push((partition, vec![run])),
        }
    }
    let single = groups.len() == 1;
    groups
        .into_iter()
        .map(|(partition, runs)| {
            let rows = if single {
                Rows::All
            } else {
                Rows::Some(
                    runs.into_iter()
                        .flatten()
                        .map(row_number)
                        .collect::<Result<_>>()?,
                )
            };
            Ok(Group { partition, rows })
        })
        .collect()
}

fn row_number(row: usize) -> Result<u32> {
    u32::try_from(row).map_err(|cause| {
        Error::new(ErrorKind::Limit, "a batch has more rows than 4,294,967,295").because(cause)
    })
}
