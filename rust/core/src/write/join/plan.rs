//! Decides which row groups are copied and which are combined.

use std::ops::Range;

use parquet::basic::Type;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};

use super::super::settings::Settings;

/// Decoded bytes of a row group that combines small ones. The row groups of full batches
/// (`limits.batch_bytes_max`, 16 MiB) have from 16 MiB (logs of 1 KB) to 25 MiB (spans) by this count, so
/// they are copied.
pub(super) const ARROW_BYTES: u64 = 24 << 20;

/// A row group of a source.
#[derive(Debug, Clone)]
pub(super) struct Group {
    /// The source's index.
    pub source: usize,
    /// The row group's index there.
    pub number: usize,
    /// Its byte range.
    pub extent: Range<u64>,
    /// Its size.
    pub size: Size,
    /// Whether it declares the sort order of the new file.
    pub is_in_order: bool,
}

/// A row group of the new file.
#[derive(Debug)]
pub(super) enum Part {
    /// Copied unchanged.
    Copy(Group),
    /// Decoded, sorted and encoded together.
    Encode(Vec<Group>),
}

impl Part {
    /// Source and index of its first row group.
    fn place(&self) -> (usize, usize) {
        let first = match self {
            Part::Copy(group) => Some(group),
            Part::Encode(groups) => groups.first(),
        };
        first.map_or((usize::MAX, usize::MAX), |group| (group.source, group.number))
    }
}

/// Plans the new file's row groups, in the order of their first source row groups.
pub(super) fn plan(groups: Vec<Group>, max: &Size) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut open = Vec::new();
    let mut sum = Size::default();
    for group in groups {
        if group.size.is_large(max) {
            parts.push(Part::Copy(group));
            continue;
        }
        let with_this = sum.plus(&group.size);
        if with_this.is_within(max) {
            sum = with_this;
        } else {
            parts.extend(closed(std::mem::take(&mut open)));
            sum = group.size;
        }
        open.push(group);
    }
    parts.extend(closed(open));
    parts.sort_by_key(Part::place);
    parts
}

/// A single row group is copied, unless the table's sort order has changed.
fn closed(mut groups: Vec<Group>) -> Option<Part> {
    match groups.as_slice() {
        [] => None,
        [alone] if alone.is_in_order => groups.pop().map(Part::Copy),
        _ => Some(Part::Encode(groups)),
    }
}

/// The size of row groups, in every unit that limits them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Size {
    arrow_bytes: u64,
    rows: u64,
    /// Uncompressed bytes in the file: where the encoder ended a row group by its bytes, it had at least this
    /// many.
    plain_bytes: u64,
}

impl Size {
    /// The greatest size of the row groups that we make.
    pub fn max(settings: &Settings) -> Self {
        Self {
            arrow_bytes: ARROW_BYTES,
            rows: settings.row_group_rows_max as u64,
            plain_bytes: settings
                .row_group_bytes_max
                .map_or(u64::MAX, |bytes| bytes as u64),
        }
    }

    /// The size of a row group.
    pub fn of(group: &RowGroupMetaData) -> Self {
        let bytes = |bytes: i64| u64::try_from(bytes).unwrap_or(u64::MAX);
        let chunks = group.columns().iter();
        let mut size = Self {
            rows: u64::try_from(group.num_rows()).unwrap_or(u64::MAX),
            ..Self::default()
        };
        for chunk in chunks {
            size.arrow_bytes = size.arrow_bytes.saturating_add(arrow_bytes(chunk));
            size.plain_bytes = size.plain_bytes.saturating_add(bytes(chunk.uncompressed_size()));
        }
        size
    }

    /// Whether a row group is copied: two of this size would not fit into one.
    pub fn is_large(&self, max: &Self) -> bool {
        self.arrow_bytes >= max.arrow_bytes / 2
            || self.rows >= max.rows.div_ceil(2)
            || self.plain_bytes >= max.plain_bytes / 2
    }

    fn is_within(&self, max: &Self) -> bool {
        self.arrow_bytes <= max.arrow_bytes && self.rows <= max.rows && self.plain_bytes <= max.plain_bytes
    }

    fn plus(&self, other: &Self) -> Self {
        Self {
            arrow_bytes: self.arrow_bytes.saturating_add(other.arrow_bytes),
            rows: self.rows.saturating_add(other.rows),
            plain_bytes: self.plain_bytes.saturating_add(other.plain_bytes),
        }
    }
}

/// Decoded size: a validity bit for each entry, and an offset for each entry that may be in a list.
fn arrow_bytes(chunk: &ColumnChunkMetaData) -> u64 {
    let (Ok(entries), Ok(stored)) = (
        u64::try_from(chunk.num_values()),
        u64::try_from(chunk.uncompressed_size()),
    ) else {
        return u64::MAX;
    };
    let (each, once) = match chunk.column_type() {
        Type::BOOLEAN => (1, 0),
        Type::INT32 | Type::FLOAT => (4, 0),
        Type::INT64 | Type::DOUBLE => (8, 0),
        Type::INT96 => (12, 0),
        // An offset or a key for each value, and the texts: each once if they are in a dictionary.
        Type::BYTE_ARRAY => (4, stored),
        Type::FIXED_LEN_BYTE_ARRAY => (
            u64::try_from(chunk.column_descr().type_length()).unwrap_or(u64::from(u32::MAX)),
            0,
        ),
    };
    let offset = if chunk.column_descr().max_rep_level() > 0 {
        4
    } else {
        0
    };
    entries
        .saturating_mul(each + offset)
        .saturating_add(entries / 8)
        .saturating_add(once)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Size = Size {
        arrow_bytes: 100,
        rows: 1000,
        plain_bytes: u64::MAX,
    };

    fn group(number: usize, arrow_bytes: u64, rows: u64) -> Group {
        Group {
            source: 0,
            number,
            extent: 0..1,
            size: Size {
                arrow_bytes,
                rows,
                plain_bytes: 1,
            },
            is_in_order: true,
        }
    }

    /// `+` before a number: encoded together with those before it.
    fn planned(groups: Vec<Group>) -> String {
        let parts = plan(groups, &MAX);
        let texts = parts.iter().map(|part| match part {
            Part::Copy(group) => format!("={}", group.number),
            Part::Encode(groups) => groups.iter().fold(String::new(), |text, group| {
                text + "+" + &group.number.to_string()
            }),
        });
        texts.collect::<Vec<String>>().join(" ")
    }

    #[test]
    fn small_ones_go_together_and_large_ones_stay() {
        let sizes = [
            (10, 1),
            (50, 1),
            (40, 1),
            (49, 1),
            (10, 499),
            (10, 499),
            (1, 500),
            (1, 3),
        ];
        let groups = sizes.iter().enumerate();
        let groups = groups
            .map(|(number, (bytes, rows))| group(number, *bytes, *rows))
            .collect();
        assert_eq!(planned(groups), "+0+2+3 =1 +4+5 =6 =7");
    }

    #[test]
    fn one_alone_is_copied_unless_its_order_is_another() {
        assert_eq!(planned(vec![group(0, 1, 1)]), "=0");
        let mut other = group(0, 1, 1);
        other.is_in_order = false;
        assert_eq!(planned(vec![other]), "+0");
    }
}
