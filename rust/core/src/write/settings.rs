//! How the files of a table are written: the configuration, else the table's properties, else our defaults.
//!
//! Iceberg's own writers use the same precedence: an option of the job, then the table, then a default.
//! Properties with invalid values are ignored. `docs/tables-found.md` lists the properties.

use std::collections::BTreeMap;

use iceberg::spec::{Schema, TableMetadata};
use parquet::basic::{BrotliLevel, Compression as Codec, GzipLevel, ZstdLevel};

use super::chunk::PageRows;
use crate::config::{Compression, ParquetConfig};
use crate::error::{Error, ErrorKind, Result};
use crate::table_properties::{
    BLOOM_FILTER_ENABLED_PREFIX, BLOOM_FILTER_FPP_PREFIX, BLOOM_FILTER_MAX_BYTES, COMPRESSION_CODEC,
    COMPRESSION_LEVEL, DICT_SIZE_BYTES, PAGE_ROW_LIMIT, PAGE_SIZE_BYTES, Properties, ROW_GROUP_SIZE_BYTES,
    TARGET_FILE_SIZE_BYTES, is_true,
};

/// The false positive rate of bloom filters: Iceberg's default.
const FALSE_POSITIVES_DEFAULT: f64 = 0.01;

/// The greatest number of rows of a data page: about Iceberg's default, in whole vectors of 2,048 rows. When
/// a DuckDB vector spans two pages, it loses its dictionary, and its values are copied one by one. A reader
/// that scans a whole column pays some 15 µs per page, however small. A page with few distinct values stays
/// small with three times as many rows; pages of wide columns end earlier, by their bytes.
const PAGE_ROWS_DEFAULT: PageRows = PageRows {
    most: 20_480,
    narrow: 61_440,
};

/// Settings of the files of one table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settings {
    pub codec: Codec,
    pub row_group_rows_max: usize,
    pub row_group_bytes_max: Option<usize>,
    pub page_rows: PageRows,
    /// `None` uses the Parquet writer's default; the same goes for dictionaries.
    pub page_bytes_max: Option<usize>,
    pub dictionary_bytes_max: Option<usize>,
    pub target_file_bytes: u64,
    /// The false positive rate of each column with a bloom filter, by field id.
    pub bloom_filters: BTreeMap<i32, f64>,
    pub bloom_filter_bytes_max: Option<u64>,
}

impl Settings {
    /// Whether we encode the columns; the parquet crate does it for other codecs.
    pub fn encoder_is_ours(&self) -> bool {
        matches!(self.codec, Codec::ZSTD(_) | Codec::UNCOMPRESSED)
    }

    /// The settings of a table for these rows.
    ///
    /// # Errors
    /// `Config` when the configured compression level is out of range.
    pub fn of(config: &ParquetConfig, metadata: &TableMetadata) -> Result<Self> {
        let properties = Properties::of(metadata);
        Ok(Self {
            codec: codec(config, properties)?,
            row_group_rows_max: config
                .max_row_group_rows
                .filter(|rows| *rows > 0)
                .unwrap_or(ParquetConfig::MAX_ROW_GROUP_ROWS),
            row_group_bytes_max: properties.positive(ROW_GROUP_SIZE_BYTES),
            page_rows: properties
                .positive(PAGE_ROW_LIMIT)
                .map_or(PAGE_ROWS_DEFAULT, |most| PageRows { most, narrow: most }),
            page_bytes_max: properties.positive(PAGE_SIZE_BYTES),
            dictionary_bytes_max: properties.positive(DICT_SIZE_BYTES),
            target_file_bytes: config
                .target_file_size_bytes
                .or_else(|| properties.positive(TARGET_FILE_SIZE_BYTES))
                .unwrap_or(ParquetConfig::TARGET_FILE_SIZE_BYTES),
            bloom_filters: bloom_filters(config, properties, metadata.current_schema()),
            bloom_filter_bytes_max: properties.positive(BLOOM_FILTER_MAX_BYTES),
        })
    }
}

fn codec(config: &ParquetConfig, properties: Properties<'_>) -> Result<Codec> {
    let in_table = properties.text(COMPRESSION_CODEC).map(str::to_ascii_lowercase);
    let codec = match (config.compression, in_table) {
        (Some(Compression::Zstd), _) => "zstd".to_owned(),
        (Some(Compression::None), _) => "uncompressed".to_owned(),
        (None, Some(codec)) => codec,
        (None, None) => String::new(),
    };
    // A table's compression level applies only with the table's codec.
    let own = properties
        .text(COMPRESSION_CODEC)
        .is_none_or(|text| text.eq_ignore_ascii_case(&codec));
    let level: Option<i32> = properties.parsed(COMPRESSION_LEVEL).filter(|_| own);
    let unsigned = level.and_then(|level| u32::try_from(level).ok());
    Ok(match codec.as_str() {
        "uncompressed" | "none" => Codec::UNCOMPRESSED,
        "snappy" => Codec::SNAPPY,
        "gzip" => Codec::GZIP(
            unsigned
                .and_then(|level| GzipLevel::try_new(level).ok())
                .unwrap_or_default(),
        ),
        "brotli" => Codec::BROTLI(
            unsigned
                .and_then(|level| BrotliLevel::try_new(level).ok())
                .unwrap_or_default(),
        ),
        // Parquet's original LZ4 has two framings, and readers disagree on which to use.
        "lz4" | "lz4_raw" => Codec::LZ4_RAW,
        _ => Codec::ZSTD(zstd_level(config, level)?),
    })
}

fn zstd_level(config: &ParquetConfig, in_table: Option<i32>) -> Result<ZstdLevel> {
    if config.compression_level.is_none()
        && let Some(level) = in_table.and_then(|level| ZstdLevel::try_new(level).ok())
    {
        return Ok(level);
    }
    let level = config
        .compression_level
        .unwrap_or(ParquetConfig::COMPRESSION_LEVEL);
    ZstdLevel::try_new(level).map_err(|cause| {
        Error::new(ErrorKind::Config, "parquet.compression_level: give 1 to 22").because(cause)
    })
}

fn bloom_filters(config: &ParquetConfig, properties: Properties<'_>, schema: &Schema) -> BTreeMap<i32, f64> {
    let mut filters = BTreeMap::new();
    let ours: Vec<&str> = match &config.bloom_filter_columns {
        Some(columns) => columns.iter().map(String::as_str).collect(),
        None => ParquetConfig::BLOOM_FILTER_COLUMNS.to_vec(),
    };
    filters.extend(
        ours.iter()
            .filter_map(|name| Some((id_of(schema, name)?, FALSE_POSITIVES_DEFAULT))),
    );
    if config.bloom_filter_columns.is_none() {
        for (column, value) in properties.columns(BLOOM_FILTER_ENABLED_PREFIX) {
            let Some(id) = id_of(schema, column) else {
                continue;
            };
            if is_true(value) {
                filters.insert(id, FALSE_POSITIVES_DEFAULT);
            } else {
                filters.remove(&id);
            }
        }
    }
    for (column, value) in properties.columns(BLOOM_FILTER_FPP_PREFIX) {
        let share = value.parse().ok().filter(|share| *share > 0.0 && *share < 1.0);
        let filter = id_of(schema, column).and_then(|id| filters.get_mut(&id));
        if let (Some(filter), Some(share)) = (filter, share) {
            *filter = share;
        }
    }
    filters
}

/// By the exact name, else case-insensitively, as columns are matched.
fn id_of(schema: &Schema, column: &str) -> Option<i32> {
    schema
        .field_by_name(column)
        .or_else(|| schema.field_by_name_case_insensitive(column))
        .map(|field| field.id)
}
