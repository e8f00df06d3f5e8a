//! Where readers may split a data file.

use parquet::file::metadata::RowGroupMetaData;

/// The least number of bytes of a split. Trino makes a task of each offset, whatever its target size is, and each
/// task opens the file and reads its footer; our row groups are 2 to 3 MB. Spark and others join neighbouring
/// splits up to their target, which is 128 MB or more.
const SPLIT_BYTES_MIN: i64 = 64 << 20;

/// Where a row group starts: with its first chunk, whose dictionary comes first. `None` without columns.
pub(super) fn start(row_group: &RowGroupMetaData) -> Option<i64> {
    let chunks = row_group.columns().iter();
    let starts = chunks.map(|chunk| {
        // Some writers say 0 where there is no dictionary.
        let dictionary = chunk.dictionary_page_offset().filter(|offset| *offset > 0);
        dictionary.unwrap_or(i64::MAX).min(chunk.data_page_offset())
    });
    starts.min()
}

/// The manifest's split offsets, in order: the first row group's start, and those of row groups that are far
/// enough from the last one (Iceberg's table spec, "Data file fields": all row groups are only an example).
pub(super) fn split_offsets(row_group_starts: impl IntoIterator<Item = i64>) -> Vec<i64> {
    let mut starts: Vec<i64> = row_group_starts.into_iter().collect();
    starts.sort_unstable();
    let mut next = i64::MIN;
    starts.retain(|start| {
        let is_kept = *start >= next;
        if is_kept {
            next = start.saturating_add(SPLIT_BYTES_MIN);
        }
        is_kept
    });
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_row_groups_share_a_split() {
        const MIB: i64 = 1 << 20;
        let of = |starts: &[i64]| split_offsets(starts.iter().map(|mib| 4 + mib * MIB));
        let expected = |starts: &[i64]| -> Vec<i64> { starts.iter().map(|mib| 4 + mib * MIB).collect() };
        assert_eq!(of(&[]), [0; 0]);
        assert_eq!(of(&[0]), [4]);
        assert_eq!(of(&[2, 0, 5]), [4], "whatever their order");
        let many: Vec<i64> = (0..200).map(|group| group * 3).collect();
        assert_eq!(
            of(&many),
            expected(&[0, 66, 132, 198, 264, 330, 396, 462, 528, 594])
        );
        assert_eq!(
            of(&[0, 64, 128, 500]),
            expected(&[0, 64, 128, 500]),
            "large ones are as they are"
        );
        assert_eq!(split_offsets([4, i64::MAX]), [4, i64::MAX]);
    }
}
