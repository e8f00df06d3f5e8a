//! Library benchmarks on one thread: prost decode beside ours, to Arrow, to Parquet in memory.
//!
//! The steps are interleaved over several rounds and the medians printed, with ratios; the rows are
//! counted before anything is timed.

mod payloads;

use std::collections::HashMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use iceberg::TableCreation;
use iceberg::io::FileIO;
use iceberg::spec::{TableMetadata, TableMetadataBuilder};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use otlp2iceberg::catalog;
use otlp2iceberg::config::Config;
use otlp2iceberg::convert::{self, ConvertOptions, Converted, ValueLimits};
use otlp2iceberg::{IdRange, Signal, Table};
use prost::Message;

const ROUNDS: usize = 10;
const BATCHES: [usize; 3] = [1_000, 8_192, 65_536];
type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    println!(
        "One thread, medians of {ROUNDS} interleaved rounds; microseconds per record, MB/s of OTLP in.\n"
    );
    println!(
        "| payload | records | bytes/record | prost decode µs | to Arrow µs | to Parquet µs | Parquet records/s | Parquet MB/s | file bytes/record | Arrow vs prost |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    for records in BATCHES {
        for signal in Signal::ALL {
            let payload = match signal {
                Signal::Logs => payloads::logs(records),
                Signal::Traces => payloads::traces(records),
                Signal::Metrics => payloads::metrics(records),
            };
            measure(&runtime, signal, records, &payload)?;
        }
    }
    Ok(())
}

fn measure(
    runtime: &tokio::runtime::Runtime,
    signal: Signal,
    records: usize,
    payload: &[u8],
) -> Result<(), Failure> {
    let tables = Tables::new()?;
    let rows: usize = to_arrow(signal, payload)?
        .batches
        .iter()
        .map(|b| b.batch.num_rows())
        .sum();
    if rows != records {
        return Err(format!("{signal}: {records} records in, {rows} rows out").into());
    }
    // Enough repetitions that a round lasts some tens of milliseconds.
    let repeat = (100_000 / records).max(1);
    let (mut prost, mut arrow, mut parquet) = (Vec::new(), Vec::new(), Vec::new());
    let mut file_bytes = 0;
    for _ in 0..ROUNDS {
        prost.push(time(repeat, || prost_decode(signal, payload))?);
        arrow.push(time(repeat, || to_arrow(signal, payload).map(|_| ()))?);
        parquet.push(time(repeat, || {
            file_bytes = runtime.block_on(tables.to_parquet(signal, payload))?;
            Ok(())
        })?);
    }
    let [prost, arrow, parquet] = [prost, arrow, parquet].map(median);
    let per_record = |seconds: f64| seconds * 1e6 / records as f64;
    println!(
        "| {signal} | {records} | {:.0} | {:.2} | {:.2} | {:.2} | {:.0} | {:.0} | {:.1} | {:.2} |",
        payload.len() as f64 / records as f64,
        per_record(prost),
        per_record(arrow),
        per_record(parquet),
        records as f64 / parquet,
        payload.len() as f64 / parquet / 1e6,
        file_bytes as f64 / records as f64,
        prost / arrow,
    );
    Ok(())
}

/// Seconds of one call, over `repeat` calls.
fn time(repeat: usize, mut step: impl FnMut() -> Result<(), Failure>) -> Result<f64, Failure> {
    let start = Instant::now();
    for _ in 0..repeat {
        step()?;
    }
    let spent: Duration = start.elapsed();
    Ok(spent.as_secs_f64() / repeat as f64)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn prost_decode(signal: Signal, payload: &[u8]) -> Result<(), Failure> {
    match signal {
        Signal::Logs => drop(black_box(ExportLogsServiceRequest::decode(payload)?)),
        Signal::Traces => drop(black_box(ExportTraceServiceRequest::decode(payload)?)),
        Signal::Metrics => drop(black_box(ExportMetricsServiceRequest::decode(payload)?)),
    }
    Ok(())
}

fn to_arrow(signal: Signal, payload: &[u8]) -> Result<Converted, Failure> {
    let options = ConvertOptions {
        arrival_time_unix_nano: 0,
        column_bytes_max: 1 << 30,
        batch_bytes_max: usize::MAX,
        values: ValueLimits::default(),
    };
    Ok(black_box(convert::convert(signal, payload, &options)?))
}

/// The tables' metadata as the catalog would have made them, and storage in memory.
struct Tables {
    metadata: HashMap<Table, TableMetadata>,
    file_io: FileIO,
    config: Config,
}

impl Tables {
    fn new() -> Result<Self, Failure> {
        let config = Config::from_json(b"{}")?;
        let mut metadata = HashMap::new();
        for table in Table::ALL {
            let spec = catalog::table_spec(&config, table)?;
            let creation = TableCreation::builder()
                .name(table.default_name().to_owned())
                .location(format!("memory:///otel/{}", table.default_name()))
                .schema(spec.schema)
                .partition_spec(spec.partition_spec)
                .sort_order(spec.sort_order)
                .build();
            let built = TableMetadataBuilder::from_table_creation(creation)?.build()?;
            metadata.insert(table, built.metadata);
        }
        Ok(Self {
            metadata,
            file_io: FileIO::new_with_memory(),
            config,
        })
    }

    /// The whole way but the commit; gives the files' bytes.
    async fn to_parquet(&self, signal: Signal, payload: &[u8]) -> Result<u64, Failure> {
        let ids = [IdRange {
            writer: [7; 16],
            from: 1,
            to: 1,
        }];
        let mut bytes = 0;
        for batch in to_arrow(signal, payload)?.batches {
            let Some(metadata) = self.metadata.get(&batch.table) else {
                continue;
            };
            let written =
                otlp2iceberg::write::write(metadata, &self.file_io, batch, &ids, &self.config.parquet)
                    .await?;
            bytes += written.bytes;
        }
        Ok(bytes)
    }
}
