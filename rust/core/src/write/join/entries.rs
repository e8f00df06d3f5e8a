//! Derives the manifest entry of a joined file from the entries of its sources.
//!
//! A value that one entry lacks is unknown for the whole file. The exception is a missing bound of a column
//! without values other than nulls and NaN: it does not affect the whole file's bound.

use std::cmp::Ordering;
use std::collections::HashMap;

use iceberg::spec::{DataFile, Datum};

use super::super::internal;
use super::super::metrics_config::{MetricsConfig, Mode};
use super::super::parquet::EncodedFile;
use crate::error::Result;

type Counts = HashMap<i32, u64>;
type Bounds = HashMap<i32, Datum>;

/// Merges the entries of the source files into the new file's, limited to the metrics that the table wants.
///
/// # Errors
/// `Internal` when the numbers of rows differ.
pub(super) fn merge(entries: &[&DataFile], config: &MetricsConfig, file: &mut EncodedFile) -> Result<()> {
    let rows = entries
        .iter()
        .try_fold(0_u64, |sum, entry| sum.checked_add(entry.record_count()));
    if rows != Some(file.rows as u64) {
        return Err(internal("files cannot be joined", "rows were lost or came twice"));
    }
    let entries: Vec<&DataFile> = entries
        .iter()
        .copied()
        .filter(|entry| entry.record_count() > 0)
        .collect();
    let metrics = &mut file.metrics;
    let is_wanted = |id: &i32| config.mode(*id) != Mode::None;
    metrics.value_counts = sums(&entries, is_wanted, DataFile::value_counts);
    metrics.null_value_counts = sums(&entries, is_wanted, DataFile::null_value_counts);
    metrics.nan_value_counts = sums(&entries, is_wanted, DataFile::nan_value_counts);
    metrics.lower_bounds = bounds(&entries, config, DataFile::lower_bounds, Ordering::Less);
    metrics.upper_bounds = bounds(&entries, config, DataFile::upper_bounds, Ordering::Greater);
    Ok(())
}

fn sums(
    entries: &[&DataFile],
    is_wanted: impl Fn(&i32) -> bool,
    of: impl Fn(&DataFile) -> &Counts,
) -> Counts {
    let Some((first, rest)) = entries.split_first() else {
        return Counts::new();
    };
    let wanted = of(first).iter().filter(|(id, _)| is_wanted(id));
    let sum = |(id, count): (&i32, &u64)| {
        let mut rest = rest.iter();
        let sum = rest.try_fold(*count, |sum, entry| sum.checked_add(*of(entry).get(id)?))?;
        Some((*id, sum))
    };
    wanted.filter_map(sum).collect()
}

/// The outermost bounds in a direction.
fn bounds(
    entries: &[&DataFile],
    config: &MetricsConfig,
    of: impl Fn(&DataFile) -> &Bounds,
    direction: Ordering,
) -> Bounds {
    let mut merged = Bounds::new();
    for id in entries.iter().flat_map(|entry| of(entry).keys()) {
        if merged.contains_key(id) || !matches!(config.mode(*id), Mode::Bounds { .. }) {
            continue;
        }
        if let Some(bound) = furthest(entries, *id, &of, direction) {
            merged.insert(*id, bound.clone());
        }
    }
    merged
}

fn furthest<'a>(
    entries: &[&'a DataFile],
    id: i32,
    of: impl Fn(&'a DataFile) -> &'a Bounds,
    direction: Ordering,
) -> Option<&'a Datum> {
    let mut furthest: Option<&Datum> = None;
    for entry in entries {
        match (of(entry).get(&id), furthest) {
            (Some(bound), Some(known)) => {
                // Bounds of different types cannot be compared.
                if bound.partial_cmp(known)? == direction {
                    furthest = Some(bound);
                }
            }
            (Some(bound), None) => furthest = Some(bound),
            (None, _) if has_no_values(entry, id) => {}
            (None, _) => return None,
        }
    }
    furthest
}

fn has_no_values(entry: &DataFile, id: i32) -> bool {
    let count = |counts: &Counts| counts.get(&id).copied();
    let Some((values, nulls)) = count(entry.value_counts()).zip(count(entry.null_value_counts())) else {
        return false;
    };
    let nans = count(entry.nan_value_counts()).unwrap_or(0);
    values == nulls.saturating_add(nans)
}

#[cfg(test)]
mod tests {
    use iceberg::spec::{DataContentType, DataFileBuilder, DataFileFormat, Struct};

    use super::*;

    const ID: i32 = 1;

    /// An entry of rows, some of them null, with bounds for one column.
    fn entry(rows: u64, nulls: Option<u64>, lower: Option<Datum>, upper: Option<Datum>) -> DataFile {
        let of = |bound: Option<Datum>| bound.map(|bound| (ID, bound)).into_iter().collect();
        DataFileBuilder::default()
            .content(DataContentType::Data)
            .file_path("file".to_owned())
            .file_format(DataFileFormat::Parquet)
            .partition(Struct::empty())
            .partition_spec_id(0)
            .record_count(rows)
            .file_size_in_bytes(1)
            .value_counts(nulls.map(|_| (ID, rows)).into_iter().collect())
            .null_value_counts(nulls.map(|nulls| (ID, nulls)).into_iter().collect())
            .lower_bounds(of(lower))
            .upper_bounds(of(upper))
            .build()
            .unwrap()
    }

    fn lower(entries: &[&DataFile]) -> Option<Datum> {
        furthest(entries, ID, DataFile::lower_bounds, Ordering::Less).cloned()
    }

    fn upper(entries: &[&DataFile]) -> Option<Datum> {
        furthest(entries, ID, DataFile::upper_bounds, Ordering::Greater).cloned()
    }

    #[test]
    fn the_furthest_bounds_are_the_whole_ones() {
        let entries = [
            entry(2, Some(0), Some(Datum::int(3)), Some(Datum::int(5))),
            entry(2, Some(0), Some(Datum::int(-1)), Some(Datum::int(4))),
            entry(2, Some(2), None, None),
        ];
        let entries: Vec<&DataFile> = entries.iter().collect();
        assert_eq!(
            (lower(&entries), upper(&entries)),
            (Some(Datum::int(-1)), Some(Datum::int(5)))
        );
    }

    #[test]
    fn a_bound_that_is_not_known_is_none_for_all() {
        let known = entry(2, Some(0), Some(Datum::int(3)), Some(Datum::int(5)));
        let no_upper = entry(2, Some(1), Some(Datum::int(4)), None);
        assert_eq!(lower(&[&known, &no_upper]), Some(Datum::int(3)));
        assert_eq!(upper(&[&known, &no_upper]), None);
        // Without counts it is unknown whether there are values.
        let no_counts = entry(2, None, None, None);
        assert_eq!(lower(&[&known, &no_counts]), None);
        let other_type = entry(2, Some(0), Some(Datum::long(1)), None);
        assert_eq!(lower(&[&known, &other_type]), None);
    }

    #[test]
    fn counts_that_one_file_lacks_are_not_known() {
        let (two, three) = (entry(2, Some(1), None, None), entry(3, Some(3), None, None));
        let nulls = |entries: &[&DataFile]| sums(entries, |_| true, DataFile::null_value_counts);
        assert_eq!(nulls(&[&two, &three]), Counts::from([(ID, 4)]));
        let none = entry(4, None, None, None);
        assert_eq!(nulls(&[&two, &none]), Counts::new());
        assert_eq!(nulls(&[&none, &two]), Counts::new());
    }
}
