//! otlp2records: `transform_*` to Arrow; its Parquet writer with the codec set.

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::path::Path;

use arrow_array::RecordBatch;
use otlp2iceberg::Signal;
use otlp2records::{InputFormat, transform_logs, transform_metrics, transform_traces};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::Made;
use crate::Failure;
use crate::payloads::Payload;

/// A table's name and its rows.
type Batches = Vec<(&'static str, RecordBatch)>;

/// Converts and drops the batches.
pub fn to_arrow(payload: &Payload) -> Result<Made, Failure> {
    let (batches, left_out) = batches(payload)?;
    Ok(made(&black_box(batches), left_out))
}

/// Converts and encodes in memory.
pub fn to_parquet(payload: &Payload) -> Result<Made, Failure> {
    let (batches, left_out) = batches(payload)?;
    let mut made = made(&batches, left_out);
    for (_, batch) in batches {
        let mut bytes = Vec::new();
        write(&batch, &mut bytes)?;
        made.file_bytes += black_box(bytes).len();
    }
    Ok(made)
}

/// Converts and writes `<table>/<name>.parquet`.
pub fn to_files(payload: &Payload, folder: &Path, name: &str) -> Result<(), Failure> {
    for (table, batch) in batches(payload)?.0 {
        let folder = folder.join(table);
        std::fs::create_dir_all(&folder)?;
        write(&batch, File::create(folder.join(format!("{name}.parquet")))?)?;
    }
    Ok(())
}

fn batches(payload: &Payload) -> Result<(Batches, usize), Failure> {
    Ok(match payload.signal {
        Signal::Logs => (
            vec![("logs", transform_logs(&payload.bytes, InputFormat::Protobuf)?)],
            0,
        ),
        Signal::Traces => (
            vec![("traces", transform_traces(&payload.bytes, InputFormat::Protobuf)?)],
            0,
        ),
        Signal::Metrics => {
            let made = transform_metrics(&payload.bytes, InputFormat::Protobuf)?;
            let tables = [
                ("gauge", made.gauge),
                ("sum", made.sum),
                ("histogram", made.histogram),
                ("exp_histogram", made.exp_histogram),
            ];
            let filled = tables
                .into_iter()
                .filter_map(|(table, batch)| Some((table, batch?)));
            // It has no table for summaries.
            (filled.collect(), made.skipped.summaries)
        }
    })
}

fn made(batches: &Batches, left_out: usize) -> Made {
    Made {
        records: batches.iter().map(|(_, batch)| batch.num_rows()).sum(),
        left_out,
        file_bytes: 0,
    }
}

/// Like its `to_parquet`, which has no codec setting: writes one batch through `ArrowWriter`.
fn write(batch: &RecordBatch, sink: impl Write + Send) -> Result<(), Failure> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .build();
    let mut writer = ArrowWriter::try_new(sink, batch.schema(), Some(properties))?;
    writer.write(batch)?;
    writer.close()?;
    Ok(())
}
