//! `parquet`.

use serde::Deserialize;

use super::Config;
use crate::schema::{ColumnType, columns};
use crate::signal::Table;

/// `parquet.compression`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Zstandard.
    Zstd,
    /// No compression.
    None,
}

/// `parquet`. For settings that are not set, the table's properties apply, else the constants here.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ParquetConfig {
    /// The codec.
    pub compression: Option<Compression>,
    /// The level of zstd, 1 to 22.
    pub compression_level: Option<i32>,
    /// The greatest number of rows in a row group. There is no table property for it.
    pub max_row_group_rows: Option<usize>,
    /// A file is closed when it exceeds this many bytes.
    pub target_file_size_bytes: Option<u64>,
    /// Columns with a bloom filter, by their names in any case.
    pub bloom_filter_columns: Option<Vec<String>>,
}

impl ParquetConfig {
    /// The codec's default.
    pub(crate) const COMPRESSION: Compression = Compression::Zstd;
    /// The default level of zstd.
    pub(crate) const COMPRESSION_LEVEL: i32 = 1;
    /// The default of `max_row_group_rows`.
    pub(crate) const MAX_ROW_GROUP_ROWS: usize = 1_048_576;
    /// The default of `target_file_size_bytes`: 512 MiB, as in Iceberg.
    pub(crate) const TARGET_FILE_SIZE_BYTES: u64 = 512 << 20;
    /// Columns that have a bloom filter by default.
    pub(crate) const BLOOM_FILTER_COLUMNS: [&str; 1] = ["TraceId"];
}

/// Adds the problems of the section.
pub(super) fn problems(config: &Config, problems: &mut Vec<String>) {
    let parquet = &config.parquet;
    let compressed = parquet.compression != Some(Compression::None);
    if let Some(level) = parquet.compression_level
        && compressed
        && !(1..=22).contains(&level)
    {
        problems.push(format!(
            "parquet.compression_level: {level} is no zstd level; give 1 to 22"
        ));
    }
    if parquet.max_row_group_rows == Some(0) {
        problems.push("parquet.max_row_group_rows: must be at least 1 row".into());
    }
    if parquet
        .target_file_size_bytes
        .is_some_and(|bytes| bytes < 1 << 20)
    {
        problems.push("parquet.target_file_size_bytes: must be at least 1048576 bytes (1 MiB)".into());
    }
    for column in parquet.bloom_filter_columns.iter().flatten() {
        let types = Table::ALL.into_iter().flat_map(|table| {
            let columns = columns(table, config.tables.attribute_columns.of(table));
            let named = columns
                .into_iter()
                .filter(|known| known.name.eq_ignore_ascii_case(column));
            named.map(|known| known.column_type)
        });
        match types.map(may_have_filter).reduce(|one, other| one || other) {
            Some(true) => {}
            Some(false) => problems.push(format!(
                "parquet.bloom_filter_columns: {column:?} can have none; give columns of texts, numbers or times"
            )),
            None => problems.push(format!(
                "parquet.bloom_filter_columns: no table has a column {column:?}"
            )),
        }
    }
}

fn may_have_filter(column_type: ColumnType) -> bool {
    matches!(
        column_type,
        ColumnType::Timestamp
            | ColumnType::Text
            | ColumnType::Label
            | ColumnType::Int
            | ColumnType::Long
            | ColumnType::Double
    )
}
