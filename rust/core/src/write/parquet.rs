//! Parquet files of at most the target size, encoded in memory.

use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, FieldRef, Fields, Schema, SchemaRef};
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::ArrowRowGroupWriterFactory;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, SortingColumn};
use parquet::file::properties::{
    EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterPropertiesPtr,
};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnPath, SchemaDescriptor};

use super::align::Aligned;
use super::chunk::ChunkEncoder;
use super::internal;
use super::memory::Memory;
use super::metrics::{Measured, Metrics};
use super::metrics_config::MetricsConfig;
use super::settings::Settings;
use super::sort::SortedColumn;
use crate::error::{Error, Result};

/// Rows that are encoded at a time, column by column, and between two looks at the file's size.
const PIECE_ROWS: usize = 16_384;
/// Columns, by their own name wherever they are nested, whose values often do not repeat within a file: a
/// dictionary would hold them all once more. Plain, they are smaller and faster to encode. Texts are counted before
/// they are encoded, and have a dictionary where they do repeat.
const UNIQUE_COLUMNS: [&str; 6] = [
    "TraceId",
    "SpanId",
    "ParentSpanId",
    "Timestamp",
    "ObservedTimestamp",
    "Duration",
];
/// Room that a file begins with. Memory that is reserved costs nothing before it is written; a buffer that grows by doubling is
/// copied, and held twice for a moment.
const FILE_BYTES_RESERVED: usize = 8 << 20;
const CREATED_BY: &str = concat!("otlp2iceberg version ", env!("CARGO_PKG_VERSION"));

/// A whole Parquet file.
#[derive(Debug)]
pub(super) struct EncodedFile {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its footer.
    pub metadata: ParquetMetaData,
    /// What Iceberg tells of its columns.
    pub metrics: Metrics,
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

/// What all files of a call have in common, by the schema of its batches.
#[derive(Debug)]
pub(super) struct Layout {
    schema: SchemaRef,
    /// The same for the parquet crate's writers, which take no shared maps.
    plain_schema: SchemaRef,
    parquet_schema: SchemaDescriptor,
    properties: WriterPropertiesPtr,
    settings: Settings,
}

impl Layout {
    /// Prepares for an aligned batch's schema; `sorted` says how the rows of each row group will come.
    ///
    /// # Errors
    /// `Internal` when the schema is no Parquet schema.
    pub fn new(aligned: &Aligned, sorted: &[SortedColumn], settings: Settings) -> Result<Self> {
        let schema = aligned.batch.schema();
        let parquet_schema = ArrowSchemaConverter::new()
            .schema_root("table")
            .convert(&schema)
            .map_err(|cause| internal("the table has no Parquet schema", cause))?;
        let sorting = sorting_columns(&parquet_schema, aligned, sorted);
        Ok(Self {
            properties: Arc::new(properties(&parquet_schema, sorting, &settings)),
            plain_schema: Arc::new(Schema::new(schema.fields().iter().map(plain).collect::<Fields>())),
            schema,
            parquet_schema,
            settings,
        })
    }

    /// Whether batches of this schema go into files of this layout.
    pub fn takes(&self, aligned: &Aligned) -> bool {
        self.schema == aligned.batch.schema()
    }
}

/// A file that grows, row group by row group.
pub(super) struct FileWriter {
    layout: Arc<Layout>,
    writer: SerializedFileWriter<Vec<u8>>,
    metrics: Metrics,
    rows: usize,
}

impl FileWriter {
    /// An empty file.
    ///
    /// # Errors
    /// `Internal` when it cannot be begun.
    pub fn new(layout: Arc<Layout>) -> Result<Self> {
        let root = layout.parquet_schema.root_schema_ptr();
        let bytes = Vec::with_capacity(FILE_BYTES_RESERVED);
        Ok(Self {
            writer: SerializedFileWriter::new(bytes, root, layout.properties.clone()).map_err(failed)?,
            layout,
            metrics: Metrics::default(),
            rows: 0,
        })
    }

    /// Appends rows of a batch, in this order, as a row group, or several when one would be too large. Gives
    /// how many were taken: fewer than all when the file has its target size.
    ///
    /// # Errors
    /// `Internal` when the writer refuses the rows.
    pub fn append(
        &mut self,
        batch: &RecordBatch,
        rows: &[u32],
        of: Measured<'_>,
        memory: &mut Memory,
    ) -> Result<usize> {
        let layout = Arc::clone(&self.layout);
        let settings = &layout.settings;
        let mut rest = rows;
        while !rest.is_empty() && !self.is_full() {
            let room = rest.len().min(settings.row_group_rows_max);
            let mut chunks = ChunkEncoder::new(
                layout.schema.clone(),
                &layout.parquet_schema,
                &layout.properties,
                settings.page_rows,
                memory.compressor(settings.codec).map_err(failed)?,
            );
            let number = self.writer.flushed_row_groups().len();
            let others = || {
                ArrowRowGroupWriterFactory::new(&self.writer, layout.plain_schema.clone())
                    .create_column_writers(number)
            };
            let (mut these, _) = rest.split_at(room);
            let mut row_group = chunks.begin(batch.columns(), these, others).map_err(failed)?;
            while !these.is_empty() {
                let (piece, later) = these.split_at(these.len().min(piece_rows(settings)));
                let others = chunks
                    .append(&mut row_group, batch.columns(), piece)
                    .map_err(failed)?;
                for (column, array) in others {
                    self.metrics.add_array(column, &array, of);
                }
                these = later;
                rest = rest.get(piece.len()..).unwrap_or_default();
                let bytes = row_group.bytes();
                let too_large = settings.row_group_bytes_max.is_some_and(|max| bytes >= max);
                if too_large || (self.writer.bytes_written() + bytes) as u64 >= settings.target_file_bytes {
                    break;
                }
            }
            let mut row_group_writer = self.writer.next_row_group().map_err(failed)?;
            let summaries = chunks.finish(row_group, &mut row_group_writer).map_err(failed)?;
            row_group_writer.close().map_err(failed)?;
            self.metrics.add_summaries(summaries, of);
        }
        let taken = rows.len() - rest.len();
        self.rows += taken;
        Ok(taken)
    }

    /// How the file is made.
    pub fn settings(&self) -> &Settings {
        &self.layout.settings
    }

    /// Whether the file has its target size.
    pub fn is_full(&self) -> bool {
        self.writer.bytes_written() as u64 >= self.layout.settings.target_file_bytes
    }

    /// Writes the footer.
    ///
    /// # Errors
    /// `Internal` when it cannot be written.
    pub fn finish(mut self, config: &MetricsConfig) -> Result<EncodedFile> {
        let metadata = self.writer.finish().map_err(failed)?;
        self.metrics.add_sizes(&metadata, config)?;
        Ok(EncodedFile {
            bytes: std::mem::take(self.writer.inner_mut()),
            metadata,
            metrics: self.metrics,
            rows: self.rows,
        })
    }
}

impl fmt::Debug for FileWriter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FileWriter")
            .field("bytes", &self.writer.bytes_written())
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

fn plain(field: &FieldRef) -> FieldRef {
    match field.data_type() {
        DataType::Dictionary(_, shared) if shared.is_nested() => {
            Arc::new(field.as_ref().clone().with_data_type(shared.as_ref().clone()))
        }
        _ => Arc::clone(field),
    }
}

fn failed(cause: ParquetError) -> Error {
    internal("rows cannot be encoded as Parquet", cause)
}

/// A row group that must keep within its bytes is looked at more often.
fn piece_rows(settings: &Settings) -> usize {
    match settings.row_group_bytes_max {
        Some(_) => PIECE_ROWS / 16,
        None => PIECE_ROWS,
    }
}

/// Only encodings of the Parquet format's first version: many releases of Iceberg's vectorised
/// reader for Spark refuse delta encodings (apache/iceberg#7162).
fn properties(
    parquet_schema: &SchemaDescriptor,
    sorting: Vec<SortingColumn>,
    settings: &Settings,
) -> WriterProperties {
    let mut builder = WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_compression(settings.codec)
        .set_max_row_group_row_count(Some(settings.row_group_rows_max))
        .set_max_row_group_bytes(settings.row_group_bytes_max)
        .set_data_page_row_count_limit(settings.page_rows.most)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_sorting_columns(Some(sorting).filter(|columns| !columns.is_empty()));
    if let Some(bytes) = settings.page_bytes_max {
        builder = builder.set_data_page_size_limit(bytes);
    }
    if let Some(bytes) = settings.dictionary_bytes_max {
        builder = builder.set_dictionary_page_size_limit(bytes);
    }
    let rows_max = settings.row_group_rows_max as u64;
    for leaf in parquet_schema.columns() {
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

/// The row count bounds the distinct values; a row group's filter is made for its own rows and folded to what they
/// really need.
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
