//! Our library: decode, convert and write, through the entry points that the pipeline uses.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hint::black_box;
use std::path::Path;

use iceberg::TableCreation;
use iceberg::io::FileIO;
use iceberg::spec::{SortOrder, TableMetadata, TableMetadataBuilder};
use otlp2iceberg::config::{Config, LimitsConfig};
use otlp2iceberg::convert::{self, BatchSink, ConvertOptions, Converted, TableBatch, ValueLimits};
use otlp2iceberg::write::{self, EncodeOptions, Files};
use otlp2iceberg::{IdRange, Table, catalog};
use tokio::runtime::{Builder, Runtime};

use super::Made;
use crate::payloads::Payload;
use crate::{Failure, walk};

/// Reads every field of every record and keeps nothing.
pub fn decode(payload: &Payload) -> Result<Made, Failure> {
    let (records, sum) = walk::walk(payload.signal, &payload.bytes)?;
    black_box(sum);
    Ok(Made::records(records))
}

/// Converts and drops the batches.
pub fn to_arrow(payload: &Payload) -> Result<Made, Failure> {
    Ok(Made::records(rows(&black_box(converted(payload)?))))
}

fn converted(payload: &Payload) -> Result<Converted, Failure> {
    let options = convert_options(usize::MAX);
    Ok(convert::convert(payload.signal, &payload.bytes, &options)?)
}

fn convert_options(batch_bytes_max: usize) -> ConvertOptions {
    ConvertOptions {
        arrival_time_unix_nano: 0,
        column_bytes_max: 1 << 30,
        batch_bytes_max,
        values: ValueLimits::default(),
    }
}

fn rows(converted: &Converted) -> usize {
    converted.batches.iter().map(|batch| batch.batch.num_rows()).sum()
}

/// The layout of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// The default configuration: sorted, with bloom filters.
    Default,
    /// The same rows in the order of arrival, without bloom filters.
    Plain,
    /// The default configuration, with a separate column for `url.path`.
    Column,
}

/// The tables' metadata as a catalog would create it, and storage.
pub struct Ours {
    metadata: HashMap<Table, TableMetadata>,
    file_io: FileIO,
    config: Config,
    runtime: Runtime,
    /// Memory of conversion and of encoding. Both are reused by later calls, as in a process with many calls.
    converts: RefCell<convert::Memory>,
    writes: RefCell<write::Memory>,
}

impl Ours {
    /// Tables as a default configuration makes them, in memory.
    pub fn in_memory() -> Result<Self, Failure> {
        Self::new("memory:///otel", FileIO::new_with_memory(), Layout::Default)
    }

    /// Tables in a folder.
    pub fn in_folder(folder: &Path, layout: Layout) -> Result<Self, Failure> {
        let folder = folder.canonicalize()?;
        Self::new(
            &format!("file://{}", folder.display()),
            FileIO::new_with_fs(),
            layout,
        )
    }

    fn new(place: &str, file_io: FileIO, layout: Layout) -> Result<Self, Failure> {
        let config = Config::from_json(match layout {
            Layout::Default => b"{}",
            Layout::Plain => br#"{"parquet": {"bloom_filter_columns": []}}"#,
            Layout::Column => br#"{"tables": {"attribute_columns": ["url.path"]}}"#,
        })?;
        let mut metadata = HashMap::new();
        for table in Table::ALL {
            let spec = catalog::table_spec(&config, table)?;
            let sort_order = match layout {
                Layout::Default | Layout::Column => spec.sort_order,
                Layout::Plain => SortOrder::unsorted_order(),
            };
            let creation = TableCreation::builder()
                .name(table.default_name().to_owned())
                .location(format!("{place}/{}", table.default_name()))
                .schema(spec.schema)
                .partition_spec(spec.partition_spec)
                .sort_order(sort_order)
                .build();
            let built = TableMetadataBuilder::from_table_creation(creation)?.build()?;
            metadata.insert(table, built.metadata);
        }
        Ok(Self {
            metadata,
            file_io,
            config,
            runtime: Builder::new_current_thread().build()?,
            converts: RefCell::default(),
            writes: RefCell::default(),
        })
    }

    /// All steps but the commit.
    pub fn to_parquet(&self, payload: &Payload) -> Result<Made, Failure> {
        self.write(payload, 1)
    }

    /// All steps but the commit, for the request with this number. Each request has its own files.
    pub fn write(&self, payload: &Payload, number: u64) -> Result<Made, Failure> {
        let ids = [IdRange {
            writer: [7; 16],
            from: number,
            to: number,
        }];
        let options = EncodeOptions {
            ids: &ids,
            parquet: &self.config.parquet,
            partitions_max: usize::MAX,
            request_bytes: usize::MAX,
            proceed: &|| Ok(()),
        };
        let mut encoding = Encoding {
            ours: self,
            options,
            files: HashMap::new(),
        };
        let batch_bytes_max = LimitsConfig::default().batch_bytes_max;
        convert::convert_all_into(
            payload.signal,
            std::iter::once(&*payload.bytes),
            &convert_options(batch_bytes_max),
            &mut self.converts.borrow_mut(),
            &mut encoding,
        )?;
        let mut made = Made::default();
        for (table, mut files) in encoding.files {
            let metadata = self.metadata.get(&table).ok_or("a table of no signal")?;
            let files = files.finish(metadata, &options)?;
            let uploaded = self
                .runtime
                .block_on(write::upload(&self.file_io, files, &|| Ok(())))?;
            for file in uploaded {
                made.records += file.record_count() as usize;
                made.file_bytes += file.file_size_in_bytes() as usize;
            }
        }
        Ok(made)
    }
}

/// Encodes batches into files like the pipeline.
struct Encoding<'a> {
    ours: &'a Ours,
    options: EncodeOptions<'a>,
    files: HashMap<Table, Files>,
}

impl BatchSink for Encoding<'_> {
    fn batch(&mut self, batch: &TableBatch) -> otlp2iceberg::Result<()> {
        if let Some(metadata) = self.ours.metadata.get(&batch.table) {
            let files = self.files.entry(batch.table).or_default();
            let memory = &mut self.ours.writes.borrow_mut();
            let attributes = self.ours.config.tables.attribute_columns.of(batch.table);
            let batch = convert::with_attribute_columns(batch, attributes)?;
            files.append(metadata, &batch, &self.options, memory)?;
        }
        Ok(())
    }

    fn restart(&mut self) {
        self.files.clear();
    }
}
