//! Parquet files of at most the target size, encoded in memory.

use std::ops::Range;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use parquet::file::metadata::{ParquetMetaData, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::{ColumnPath, SchemaDescriptor};

use super::align::Aligned;
use super::internal;
use super::settings::Settings;
use super::sort::SortedColumn;
use crate::error::Result;

/// Rows that are put in order and encoded at a time, and between two looks at the file's size.
const PIECE_ROWS: usize = 16_384;
/// Columns, by their own name wherever they are nested, whose values hardly repeat within a file: a
/// dictionary would hold them all once more. Plain, they are smaller and faster to encode.
const UNIQUE_COLUMNS: [&str; 6] = [
    "TraceId",
    "SpanId",
    "ParentSpanId",
    "Timestamp",
    "ObservedTimestamp",
    "Duration",
];
const CREATED_BY: &str = concat!("otlp2iceberg version ", env!("CARGO_PKG_VERSION"));

/// A whole Parquet file.
#[derive(Debug)]
pub(super) struct EncodedFile {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its footer.
    pub metadata: ParquetMetaData,
    /// Its rows.
    pub rows: usize,
}

impl EncodedFile {
    /// Where each row group starts: where readers may split the file.
    pub fn split_offsets(&self) -> Vec<i64> {
        let first_columns = self
            .metadata
            .row_groups()
            .iter()
            .filter_map(|group| group.columns().first());
        let offsets = first_columns.map(|column| {
            column
                .dictionary_page_offset()
                .unwrap_or(i64::MAX)
                .min(column.data_page_offset())
        });
        offsets.collect()
    }
}

/// Encodes batches of one schema.
#[derive(Debug)]
pub(super) struct Encoder<'a> {
    schema: SchemaRef,
    parquet_schema: SchemaDescriptor,
    sorting_columns: Vec<SortingColumn>,
    settings: &'a Settings,
}

impl<'a> Encoder<'a> {
    /// Prepares for an aligned batch's schema; `sorted` says how its rows will come.
    ///
    /// # Errors
    /// `Internal` when the schema is no Parquet schema.
    pub fn new(aligned: &Aligned, sorted: &[SortedColumn], settings: &'a Settings) -> Result<Self> {
        let schema = aligned.batch.schema();
        let parquet_schema = ArrowSchemaConverter::new()
            .schema_root("table")
            .convert(&schema)
            .map_err(|cause| internal("the table has no Parquet schema", cause))?;
        let sorting_columns = sorting_columns(&parquet_schema, aligned, sorted);
        Ok(Self {
            schema,
            parquet_schema,
            sorting_columns,
            settings,
        })
    }

    /// Encodes rows until they are all in or the file passes its target size. They come in pieces, so
    /// that a sorted copy of the whole batch is never in memory; `piece` gives a range of them.
    ///
    /// # Errors
    /// `Internal` when the writer refuses the rows; what `piece` gives.
    pub fn encode(
        &self,
        rows: Range<usize>,
        mut piece: impl FnMut(Range<usize>) -> Result<RecordBatch>,
    ) -> Result<EncodedFile> {
        let failed = |cause| internal("rows cannot be encoded as Parquet", cause);
        let options = ArrowWriterOptions::new()
            .with_properties(self.properties(rows.len()))
            .with_parquet_schema(self.parquet_schema.clone())
            .with_skip_arrow_metadata(true);
        let mut bytes = Vec::new();
        let mut writer =
            ArrowWriter::try_new_with_options(&mut bytes, self.schema.clone(), options).map_err(failed)?;
        let mut next = rows.start;
        while next < rows.end {
            let end = rows.end.min(next + PIECE_ROWS);
            writer.write(&piece(next..end)?).map_err(failed)?;
            next = end;
            let size = writer.bytes_written() + writer.in_progress_size();
            if size as u64 >= self.settings.target_file_bytes {
                break;
            }
        }
        let metadata = writer.close().map_err(failed)?;
        Ok(EncodedFile {
            bytes,
            metadata,
            rows: next - rows.start,
        })
    }

    /// Only encodings of the Parquet format's first version: many releases of Iceberg's vectorised
    /// reader for Spark refuse delta encodings (apache/iceberg#7162).
    fn properties(&self, rows: usize) -> WriterProperties {
        let settings = self.settings;
        let sorting = Some(self.sorting_columns.clone()).filter(|columns| !columns.is_empty());
        let mut builder = WriterProperties::builder()
            .set_created_by(CREATED_BY.to_owned())
            .set_compression(settings.codec)
            .set_max_row_group_row_count(Some(settings.row_group_rows_max))
            .set_max_row_group_bytes(settings.row_group_bytes_max)
            .set_data_page_row_count_limit(settings.page_rows_max)
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_sorting_columns(sorting);
        if let Some(bytes) = settings.page_bytes_max {
            builder = builder.set_data_page_size_limit(bytes);
        }
        if let Some(bytes) = settings.dictionary_bytes_max {
            builder = builder.set_dictionary_page_size_limit(bytes);
        }
        let rows_max = rows.min(settings.row_group_rows_max) as u64;
        for leaf in self.parquet_schema.columns() {
            let name = own_name(leaf.path());
            if UNIQUE_COLUMNS
                .iter()
                .any(|unique| unique.eq_ignore_ascii_case(name))
            {
                builder = builder.set_column_dictionary_enabled(leaf.path().clone(), false);
            }
            let field_id = leaf.self_type().get_basic_info().id();
            if let Some(false_positives) = settings.bloom_filters.get(&field_id) {
                let bytes_max = settings.bloom_filter_bytes_max;
                builder = with_bloom_filter(builder, leaf.path(), rows_max, *false_positives, bytes_max);
            }
        }
        builder.build()
    }
}

/// The row count bounds the distinct values; the writer folds the filter to what they really need.
fn with_bloom_filter(
    builder: WriterPropertiesBuilder,
    path: &ColumnPath,
    rows_max: u64,
    false_positives: f64,
    bytes_max: Option<u64>,
) -> WriterPropertiesBuilder {
    let distinct_max = match bytes_max {
        Some(bytes) => rows_max.min(distinct_in(bytes, false_positives)),
        None => rows_max,
    };
    builder
        .set_column_bloom_filter_enabled(path.clone(), true)
        .set_column_bloom_filter_fpp(path.clone(), false_positives)
        .set_column_bloom_filter_ndv(path.clone(), distinct_max)
}

/// How many distinct values a filter of at most so many bytes takes. Its size is a power of two (Parquet's
/// BloomFilter.md, "Sizing an SBBF").
fn distinct_in(bytes_max: u64, false_positives: f64) -> u64 {
    let bytes = 1_u64 << bytes_max.max(1).ilog2();
    let bits_per_value = -8.0 / (1.0 - false_positives.powf(1.0 / 8.0)).ln();
    ((bytes as f64 * 8.0 / bits_per_value) as u64).max(1)
}

fn own_name(path: &ColumnPath) -> &str {
    path.parts().last().map_or("", String::as_str)
}

/// Sorted columns in terms of Parquet's leaves; ends at the first that is no single leaf.
fn sorting_columns(
    parquet_schema: &SchemaDescriptor,
    aligned: &Aligned,
    sorted: &[SortedColumn],
) -> Vec<SortingColumn> {
    let leaf_of = |column: &SortedColumn| {
        let name = &aligned.fields.get(column.position)?.name;
        let leaf = parquet_schema
            .columns()
            .iter()
            .position(|leaf| leaf.path().parts() == [name.clone()])?;
        i32::try_from(leaf).ok()
    };
    sorted
        .iter()
        .map_while(|column| {
            Some(SortingColumn {
                column_idx: leaf_of(column)?,
                descending: column.descending,
                nulls_first: column.nulls_first,
            })
        })
        .collect()
}
