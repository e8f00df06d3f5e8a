//! Determines which rows belong to which partition value of the table's default spec.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, Int32Array, RecordBatch, UInt32Array};
use arrow_ord::partition::partition;
use arrow_ord::rank::rank;
use arrow_schema::ArrowError;
use arrow_select::take::take;
use iceberg::arrow::arrow_primitive_to_literal;
use iceberg::spec::{Literal, PrimitiveType, Struct, TableMetadata, Transform, Type};

use super::align::Aligned;
use super::internal;
use super::transform::transformed;
use crate::error::{Error, ErrorKind, Result, RetryClass};
use crate::schema::name_not_in_avro;

/// The longest text in a partition value. Each manifest list of the table repeats the least and greatest values
/// of its manifests, and each path of a file has its own.
const TEXT_BYTES_MAX: usize = 1024;

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

/// Splits a batch by partition value; groups are in the order of their first rows. Also returns the rows whose
/// value has a text of more than [`TEXT_BYTES_MAX`] bytes, in the batch's order.
///
/// Rows of one value are mostly contiguous, so values are compared once per run of equal ones. A batch with a
/// single value is not copied.
///
/// # Errors
/// `TableMismatch` when the spec has a transform that cannot be computed; any error of [`check_names`].
pub(super) fn split(aligned: &Aligned, metadata: &TableMetadata) -> Result<(Vec<Group>, Vec<u32>)> {
    check_names(metadata)?;
    let spec = metadata.default_partition_spec();
    let types = metadata.default_partition_type().fields();
    let rank_type = Type::Primitive(PrimitiveType::Int);
    let mut values: Vec<Option<(ArrayRef, &Type)>> = Vec::with_capacity(types.len());
    // The same, with numbers for texts that rows share.
    let mut identities: Vec<Option<(ArrayRef, &Type)>> = Vec::with_capacity(types.len());
    for (field, result) in spec.fields().iter().zip(types) {
        // A source column that our rows do not have is null in each row, and so is any transform of it.
        let source = aligned
            .position(field.source_id)
            .map(|at| aligned.batch.column(at));
        let Some(source) = source.filter(|_| field.transform != Transform::Void) else {
            values.push(None);
            identities.push(None);
            continue;
        };
        let array = transformed(field.transform, source)?;
        let result = result.field_type.as_ref();
        identities.push(Some(match ranks(&array)? {
            Some(ranks) => (ranks, &rank_type),
            None => (ArrayRef::clone(&array), result),
        }));
        values.push(Some((array, result)));
    }
    let arrays: Vec<ArrayRef> = identities
        .iter()
        .flatten()
        .map(|(array, _)| array.clone())
        .collect();
    let runs = runs(&arrays, aligned.batch.num_rows())?;
    let first_rows = runs.iter().map(|run| row_number(run.start));
    let first_rows = first_rows.collect::<Result<UInt32Array>>()?;
    let groups = group(partition_values(&identities, &first_rows)?, runs);
    let (too_long, groups): (Vec<_>, Vec<_>) = groups
        .into_iter()
        .partition(|runs| has_long_text(&values, first_row(runs)));
    let first_rows = groups.iter().map(|runs| row_number(first_row(runs)));
    let first_rows = first_rows.collect::<Result<UInt32Array>>()?;
    let partitions = partition_values(&values, &first_rows)?;
    let single = groups.len() == 1 && too_long.is_empty();
    let groups = partitions
        .into_iter()
        .zip(groups)
        .map(|(partition, runs)| -> Result<Group> {
            let rows = if single {
                Rows::All
            } else {
                Rows::Some(numbers(runs).collect::<Result<UInt32Array>>()?)
            };
            Ok(Group { partition, rows })
        });
    let groups = groups.collect::<Result<Vec<Group>>>()?;
    let mut rejected = too_long
        .into_iter()
        .flat_map(numbers)
        .collect::<Result<Vec<u32>>>()?;
    rejected.sort_unstable();
    Ok((groups, rejected))
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

/// For a dictionary, a number per row that is equal where the values are, and null where they are: texts are
/// compared once each instead of once for each row. `None` for other arrays.
fn ranks(array: &ArrayRef) -> Result<Option<ArrayRef>> {
    let Some(dictionary) = array.as_any_dictionary_opt() else {
        return Ok(None);
    };
    let values = dictionary.values();
    let failed = |cause: ArrowError| internal("partition values cannot be compared", cause);
    let ranks = rank(values, None).map_err(failed)?;
    let ranks: Vec<i32> = ranks.into_iter().map(u32::cast_signed).collect();
    let ranks = Int32Array::new(ranks.into(), values.nulls().cloned());
    take(&ranks, dictionary.keys(), None).map(Some).map_err(failed)
}

/// The partition values of rows.
fn partition_values(values: &[Option<(ArrayRef, &Type)>], rows: &UInt32Array) -> Result<Vec<Struct>> {
    let failed = |cause: ArrowError| internal("partition values cannot be read", cause);
    let mut columns: Vec<std::vec::IntoIter<Option<Literal>>> = Vec::with_capacity(values.len());
    for value in values {
        let literals = match value {
            Some((array, result_type)) => {
                let mut of_rows = take(array, rows, None).map_err(failed)?;
                if let Some(dictionary) = of_rows.as_any_dictionary_opt() {
                    of_rows = take(dictionary.values(), dictionary.keys(), None).map_err(failed)?;
                }
                arrow_primitive_to_literal(&of_rows, result_type)
                    .map_err(|cause| internal("partition values have another type", cause))?
            }
            None => vec![None; rows.len()],
        };
        columns.push(literals.into_iter());
    }
    let tuples = (0..rows.len()).map(|_| columns.iter_mut().map(|column| column.next().flatten()).collect());
    Ok(tuples.collect())
}

/// The runs of each value, in the order of their first rows. Values are those of the runs.
fn group(values: Vec<Struct>, runs: Vec<Range<usize>>) -> Vec<Vec<Range<usize>>> {
    let mut numbers: HashMap<Struct, usize> = HashMap::new();
    let mut groups: Vec<Vec<Range<usize>>> = Vec::new();
    for (value, run) in values.into_iter().zip(runs) {
        let number = *numbers.entry(value).or_insert(groups.len());
        match groups.get_mut(number) {
            Some(runs) => runs.push(run),
            None => groups.push(vec![run]),
        }
    }
    groups
}

fn first_row(runs: &[Range<usize>]) -> usize {
    runs.first().map_or(0, |run| run.start)
}

/// The rows of runs.
fn numbers(runs: Vec<Range<usize>>) -> impl Iterator<Item = Result<u32>> {
    runs.into_iter().flatten().map(row_number)
}

fn has_long_text(values: &[Option<(ArrayRef, &Type)>], row: usize) -> bool {
    let mut values = values.iter().flatten();
    values.any(|(array, _)| text_bytes(array, row) > TEXT_BYTES_MAX)
}

/// The length of the text of a row; 0 if it has none.
fn text_bytes(array: &ArrayRef, row: usize) -> usize {
    if array.is_null(row) {
        return 0;
    }
    if let Some(labels) = array.as_dictionary_opt::<Int32Type>() {
        return text_bytes(labels.values(), labels.keys().value(row).unsigned_abs() as usize);
    }
    let texts = array.as_string_opt::<i32>();
    texts.map_or(0, |texts| texts.value(row).len())
}

fn row_number(row: usize) -> Result<u32> {
    u32::try_from(row).map_err(|cause| {
        Error::new(ErrorKind::Limit, "a batch has more rows than 4,294,967,295").because(cause)
    })
}
