//! What the files of a call share: columns in Parquet's terms, and how each is written.

use std::sync::Arc;

use arrow_schema::{DataType, FieldRef, Fields, Schema, SchemaRef};
use parquet::arrow::ArrowSchemaConverter;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{
    EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterPropertiesPtr,
};
use parquet::schema::types::{ColumnPath, SchemaDescriptor};

use super::align::Aligned;
use super::internal;
use super::settings::Settings;
use super::sort::SortedColumn;
use crate::error::Result;

/// Names of columns, at any nesting level, whose values often do not repeat within a file. A dictionary would
/// store every value a second time; plain encoding is smaller and faster. Distinct texts are counted before
/// encoding, and a dictionary is used where they do repeat.
const UNIQUE_COLUMNS: [&str; 6] = [
    "TraceId",
    "SpanId",
    "ParentSpanId",
    "Timestamp",
    "ObservedTimestamp",
    "Duration",
];
/// The greatest dictionary of texts that rows share, where the parquet crate encodes them. With its own limit,
/// a text of 1 MiB would be written again for each row that has it.
const SHARED_DICTIONARY_BYTES: usize = 64 << 20;
const CREATED_BY: &str = concat!("otlp2iceberg version ", env!("CARGO_PKG_VERSION"));
/// The prefix of `created_by` in files of every version of ours.
pub(super) const CREATED_BY_US: &str = "otlp2iceberg version ";

/// What all files of a call share, for one schema of its batches.
#[derive(Debug)]
pub(super) struct Layout {
    schema: SchemaRef,
    /// The same for the parquet crate's writers, which do not support shared maps.
    pub plain_schema: SchemaRef,
    pub parquet_schema: SchemaDescriptor,
    pub properties: WriterPropertiesPtr,
    pub settings: Settings,
}

impl Layout {
    /// Prepares for an aligned batch's schema; `sorted` is the order of the rows of each row group.
    ///
    /// # Errors
    /// `Internal` when the schema cannot be converted to a Parquet schema.
    pub fn new(aligned: &Aligned, sorted: &[SortedColumn], settings: Settings) -> Result<Self> {
        let schema = aligned.batch.schema();
        let parquet_schema = ArrowSchemaConverter::new()
            .schema_root("table")
            .convert(&schema)
            .map_err(|cause| internal("the table has no Parquet schema", cause))?;
        Ok(Self::of(schema, parquet_schema, sorted, settings))
    }

    /// Prepares for rows of an existing Parquet schema; `schema` is its Arrow form.
    pub fn of(
        schema: SchemaRef,
        parquet_schema: SchemaDescriptor,
        sorted: &[SortedColumn],
        settings: Settings,
    ) -> Self {
        let sorting = sorting_columns(&parquet_schema, &schema, sorted);
        Self {
            properties: Arc::new(properties(&parquet_schema, &schema, sorting, &settings)),
            plain_schema: Arc::new(Schema::new(schema.fields().iter().map(plain).collect::<Fields>())),
            schema,
            parquet_schema,
            settings,
        }
    }

    /// The sort order that each row group declares.
    pub fn sorting_columns(&self) -> Option<&Vec<SortingColumn>> {
        self.properties.sorting_columns()
    }

    /// Whether batches of this schema can go into files of this layout.
    pub fn takes(&self, aligned: &Aligned) -> bool {
        self.schema == aligned.batch.schema()
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

/// Uses only encodings of the first version of the Parquet format: many releases of Iceberg's vectorised
/// reader for Spark refuse delta encodings (apache/iceberg#7162).
fn properties(
    parquet_schema: &SchemaDescriptor,
    schema: &Schema,
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
    let is_ours = settings.encoder_is_ours();
    let mut shared = Vec::new();
    for field in schema.fields() {
        shared_leaves(field.data_type(), false, &mut shared);
    }
    let rows_max = settings.row_group_rows_max as u64;
    for (number, leaf) in parquet_schema.columns().iter().enumerate() {
        if !is_ours && shared.get(number) == Some(&true) {
            let bytes = settings.dictionary_bytes_max.unwrap_or_default();
            let bytes = bytes.max(SHARED_DICTIONARY_BYTES);
            builder = builder.set_column_dictionary_page_size_limit(leaf.path().clone(), bytes);
        }
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

/// For each leaf of a type, in order, whether rows refer to its values.
fn shared_leaves(data_type: &DataType, is_shared: bool, leaves: &mut Vec<bool>) {
    match data_type {
        DataType::List(field) | DataType::Map(field, _) => {
            shared_leaves(field.data_type(), is_shared, leaves);
        }
        DataType::Struct(fields) => {
            for field in fields {
                shared_leaves(field.data_type(), is_shared, leaves);
            }
        }
        DataType::Dictionary(_, values) => shared_leaves(values, true, leaves),
        _ => leaves.push(is_shared),
    }
}

/// The row count bounds the number of distinct values. A filter is sized for its row group's rows and then
/// folded to the size its values need.
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

/// The number of distinct values that a filter of at most `bytes_max` bytes takes. Its size is a power of two
/// (Parquet's BloomFilter.md, "Sizing an SBBF").
fn distinct_in(bytes_max: u64, false_positives: f64) -> u64 {
    let bytes = 1_u64 << bytes_max.max(1).ilog2();
    let bits_per_value = -8.0 / (1.0 - false_positives.powf(1.0 / 8.0)).ln();
    ((bytes as f64 * 8.0 / bits_per_value) as u64).max(1)
}

fn own_name(path: &ColumnPath) -> &str {
    path.parts().last().map_or("", String::as_str)
}

/// Sorted columns as Parquet leaves; stops at the first column that is not a single leaf.
fn sorting_columns(
    parquet_schema: &SchemaDescriptor,
    schema: &Schema,
    sorted: &[SortedColumn],
) -> Vec<SortingColumn> {
    let leaf_of = |column: &SortedColumn| {
        let name = schema.fields().get(column.position)?.name();
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
