//! Tables and batches built by hand, and files read back.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_cast::cast;
use arrow_schema::DataType;
use arrow_select::concat::concat_batches;
use bytes::Bytes;
use iceberg::TableCreation;
use iceberg::io::FileIO;
use iceberg::spec::{
    DataFile, NullOrder, Schema, SortDirection, SortField, SortOrder, TableMetadata, TableMetadataBuilder,
    Transform, UnboundPartitionSpec,
};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use otlp2iceberg::config::ParquetConfig;
use otlp2iceberg::convert::{ConvertOptions, TableBatch, ValueLimits, convert};
use otlp2iceberg::request::IdRange;
use otlp2iceberg::schema::{ColumnCase, UTC, iceberg_schema, sort_columns, time_column};
use otlp2iceberg::write::{Appended, EncodeOptions, Files, LeftOut, Memory, NewFile, upload};
use otlp2iceberg::{Result, Signal, Table};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::{ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData};
use prost::Message;

pub const LOCATION: &str = "memory://warehouse/otel/logs";
/// The start of the day 2026-11-21T00:00:00Z, in microseconds.
pub const DAY: i64 = 20_778 * 86_400_000_000;

/// A table as the catalog would load it.
pub struct TestTable {
    schema: Schema,
    partition: Vec<(&'static str, Transform)>,
    sort: Vec<SortField>,
    properties: HashMap<String, String>,
    location: String,
}

impl TestTable {
    /// One of our tables, unpartitioned and unsorted.
    pub fn ours(table: Table) -> Self {
        Self::with_schema(iceberg_schema(table, &[], ColumnCase::Pascal).unwrap())
    }

    pub fn with_schema(schema: Schema) -> Self {
        Self {
            schema,
            partition: Vec::new(),
            sort: Vec::new(),
            properties: HashMap::new(),
            location: LOCATION.into(),
        }
    }

    /// One of our tables as created by default: partitioned by day, sorted.
    pub fn default(table: Table) -> Self {
        let mut built = Self::ours(table).partitioned(&[(time_column(table), Transform::Day)]);
        for column in sort_columns(table) {
            built = built.sorted(column, SortDirection::Ascending, NullOrder::First);
        }
        built
    }

    pub fn partitioned(mut self, fields: &[(&'static str, Transform)]) -> Self {
        self.partition = fields.to_vec();
        self
    }

    pub fn sorted(self, column: &str, direction: SortDirection, null_order: NullOrder) -> Self {
        self.sorted_by(column, Transform::Identity, direction, null_order)
    }

    pub fn sorted_by(
        mut self,
        column: &str,
        transform: Transform,
        direction: SortDirection,
        null_order: NullOrder,
    ) -> Self {
        self.sort.push(SortField {
            source_id: self.schema.field_id_by_name(column).unwrap(),
            transform,
            direction,
            null_order,
        });
        self
    }

    pub fn property(mut self, key: &str, value: &str) -> Self {
        self.properties.insert(key.into(), value.into());
        self
    }

    pub fn properties<'a>(self, properties: impl IntoIterator<Item = &'a (&'a str, &'a str)>) -> Self {
        let properties = properties.into_iter();
        properties.fold(self, |table, (key, value)| table.property(key, value))
    }

    pub fn located(mut self, location: String) -> Self {
        self.location = location;
        self
    }

    pub fn build(self) -> TableMetadata {
        let mut spec = UnboundPartitionSpec::builder();
        for (column, transform) in self.partition {
            let id = self.schema.field_id_by_name(column).unwrap();
            let name = match transform {
                Transform::Identity => column.to_owned(),
                other => format!("{column}_{}", other.to_string().split('[').next().unwrap()),
            };
            spec = spec.add_partition_field(id, name, transform).unwrap();
        }
        let mut order = SortOrder::builder();
        for field in self.sort {
            order.with_sort_field(field);
        }
        let creation = TableCreation::builder()
            .name("logs".to_owned())
            .location(self.location)
            .schema(self.schema)
            .partition_spec(spec.build())
            .sort_order(order.build_unbound().unwrap())
            .properties(self.properties)
            .build();
        TableMetadataBuilder::from_table_creation(creation)
            .unwrap()
            .build()
            .unwrap()
            .metadata
    }
}

/// The id of a column by its full name.
pub fn id(metadata: &TableMetadata, name: &str) -> i32 {
    metadata.current_schema().field_id_by_name(name).unwrap()
}

pub fn batch(columns: &[(&str, ArrayRef)]) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(
        columns
            .iter()
            .map(|(name, array)| (*name, Arc::clone(array), true)),
    )
    .unwrap()
}

pub fn times(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(values).with_timezone(UTC))
}

pub fn labels<'a>(values: impl IntoIterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<DictionaryArray<Int32Type>>())
}

pub fn texts<'a>(values: impl IntoIterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<StringArray>())
}

/// Logs of [`DAY`] with no more than a time, whose resource has one attribute.
pub fn logs_of_resource(attribute: &str, rows: usize) -> RecordBatch {
    let record = LogRecord {
        time_unix_nano: DAY.unsigned_abs() * 1000,
        ..Default::default()
    };
    let request = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(Resource {
                attributes: vec![KeyValue {
                    key: "attribute".to_owned(),
                    value: Some(AnyValue {
                        value: Some(Value::StringValue(attribute.to_owned())),
                    }),
                    ..Default::default()
                }],
                ..Default::default()
            }),
            scope_logs: vec![ScopeLogs {
                log_records: vec![record; rows],
                ..Default::default()
            }],
            ..Default::default()
        }],
    };
    let options = ConvertOptions {
        arrival_time_unix_nano: DAY.unsigned_abs() * 1000,
        column_bytes_max: 64 << 20,
        batch_bytes_max: 256 << 20,
        values: ValueLimits::default(),
    };
    let mut converted = convert(Signal::Logs, &request.encode_to_vec(), &options).unwrap();
    assert_eq!(converted.batches.len(), 1);
    converted.batches.remove(0).batch
}

/// The only chunk of a column in a file of one row group, by its path.
pub fn chunk_of(bytes: &Bytes, path: &str) -> ColumnChunkMetaData {
    let footer = footer(bytes);
    assert_eq!(footer.num_row_groups(), 1);
    let mut chunks = footer.row_group(0).columns().iter();
    let chunk = chunks.find(|chunk| chunk.column_path().string() == path);
    chunk.unwrap().clone()
}

pub fn ids() -> Vec<IdRange> {
    vec![IdRange {
        writer: [7; 16],
        from: 1,
        to: 3,
    }]
}

/// A batch's files that are not in storage yet, and what of it is in none of them.
#[derive(Debug)]
pub struct Encoded {
    pub files: Vec<NewFile>,
    pub rejected: Vec<u32>,
    pub left_out: LeftOut,
}

/// Encodes a single batch, without limits.
fn encode(
    metadata: &TableMetadata,
    batch: &TableBatch,
    ids: &[IdRange],
    parquet: &ParquetConfig,
) -> Result<Encoded> {
    let options = EncodeOptions {
        ids,
        parquet,
        partitions_max: usize::MAX,
        request_bytes: usize::MAX,
        proceed: &|| Ok(()),
    };
    let mut files = Files::default();
    let Appended { rejected, left_out } = files.append(metadata, batch, &options, &mut Memory::default())?;
    Ok(Encoded {
        files: files.finish(metadata, &options)?,
        rejected,
        left_out,
    })
}

/// A batch's files in storage.
#[derive(Debug)]
pub struct Written {
    pub files: Vec<DataFile>,
    /// Rows in all files.
    pub rows: u64,
    /// Bytes in all files.
    pub bytes: u64,
}

/// Encodes a single batch, without limits, and uploads its files.
pub async fn write(
    metadata: &TableMetadata,
    file_io: &FileIO,
    batch: &TableBatch,
    ids: &[IdRange],
    parquet: &ParquetConfig,
) -> Result<Written> {
    let encoded = encode(metadata, batch, ids, parquet)?;
    let files = upload(file_io, encoded.files, &|| Ok(())).await?;
    Ok(Written {
        rows: files.iter().map(DataFile::record_count).sum(),
        bytes: files.iter().map(DataFile::file_size_in_bytes).sum(),
        files,
    })
}

/// Writes to memory and returns the storage, too.
pub async fn write_with(
    metadata: &TableMetadata,
    table: Table,
    batch: RecordBatch,
    config: &ParquetConfig,
) -> Result<(Written, FileIO)> {
    let file_io = FileIO::new_with_memory();
    let batch = TableBatch { table, batch };
    let written = write(metadata, &file_io, &batch, &ids(), config).await?;
    Ok((written, file_io))
}

/// Encodes without writing.
pub fn encode_with(
    metadata: &TableMetadata,
    table: Table,
    batch: RecordBatch,
    config: &ParquetConfig,
) -> Result<Encoded> {
    encode(metadata, &TableBatch { table, batch }, &ids(), config)
}

/// Writes logs with the default configuration.
pub async fn write_logs(metadata: &TableMetadata, batch: RecordBatch) -> (Written, FileIO) {
    write_with(metadata, Table::Logs, batch, &ParquetConfig::default())
        .await
        .unwrap()
}

/// A file's rows and footer, page indexes included.
pub async fn read(file_io: &FileIO, file: &DataFile) -> (RecordBatch, Arc<ParquetMetaData>) {
    let bytes = read_bytes(file_io, file).await;
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).unwrap();
    (rows_of(&bytes), Arc::clone(builder.metadata()))
}

/// The footer of a file in memory, page indexes included.
pub fn footer(bytes: &Bytes) -> Arc<ParquetMetaData> {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes.clone(), options).unwrap();
    Arc::clone(reader.metadata())
}

/// The rows of a file in memory.
pub fn rows_of(bytes: &Bytes) -> RecordBatch {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).unwrap();
    let schema = Arc::clone(builder.schema());
    let batches: Vec<RecordBatch> = builder.build().unwrap().map(Result::unwrap).collect();
    concat_batches(&schema, &batches).unwrap()
}

pub async fn read_bytes(file_io: &FileIO, file: &DataFile) -> Bytes {
    let bytes = file_io.new_input(file.file_path()).unwrap().read().await.unwrap();
    assert_eq!(bytes.len() as u64, file.file_size_in_bytes());
    bytes
}

/// A column's strings.
pub fn strings(batch: &RecordBatch, column: &str) -> Vec<Option<String>> {
    let array = cast(batch.column_by_name(column).unwrap(), &DataType::Utf8).unwrap();
    array
        .as_string::<i32>()
        .iter()
        .map(|value| value.map(str::to_owned))
        .collect()
}

/// A column's integers or times.
pub fn integers(batch: &RecordBatch, column: &str) -> Vec<Option<i64>> {
    let array = cast(batch.column_by_name(column).unwrap(), &DataType::Int64).unwrap();
    array
        .as_primitive::<arrow_array::types::Int64Type>()
        .iter()
        .collect()
}
