//! otel-arrow: OTLP bytes to OTAP record batches, and each of these to a Parquet file, like its Parquet
//! exporter.

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use otel_arrow_dfe_pdata::arrow::array::RecordBatch;
use otel_arrow_dfe_pdata::arrow::compute::cast;
use otel_arrow_dfe_pdata::arrow::datatypes::{DataType, Schema};
use otel_arrow_dfe_pdata::{OtapArrowRecords, OtlpProtoBytes, TryIntoWithOptions};
use otel_arrow_parquet::arrow::ArrowWriter;
use otel_arrow_parquet::basic::{Compression, ZstdLevel};
use otel_arrow_parquet::file::properties::WriterProperties;
use otlp2iceberg::Signal;

use super::Made;
use crate::Failure;
use crate::otap_ids;
use crate::payloads::Payload;

/// Converts and drops the batches.
pub fn to_arrow(payload: &Payload) -> Result<Made, Failure> {
    let mut made = Made::default();
    for bytes in &payload.for_otel_arrow {
        made.records += black_box(records(payload.signal, bytes)?).num_items();
    }
    Ok(made)
}

/// Converts and encodes in memory.
pub fn to_parquet(payload: &Payload) -> Result<Made, Failure> {
    let mut made = Made::default();
    for bytes in &payload.for_otel_arrow {
        let records = records(payload.signal, bytes)?;
        made.records += records.num_items();
        for (_, batch) in batches(&records) {
            let mut bytes = Vec::new();
            let batch = plain_ids(batch)?;
            let mut writer = writer(&batch, &mut bytes)?;
            writer.write(&batch)?;
            writer.close()?;
            made.file_bytes += black_box(bytes).len();
        }
    }
    Ok(made)
}

/// Converts requests and writes `<payload type>/<name>.parquet`, all requests into the same files. Ids are
/// made unique in the table, like its exporter does. `next_id` is the first free id.
pub fn to_files(payloads: &[Payload], folder: &Path, name: &str, next_id: &mut u32) -> Result<(), Failure> {
    let mut writers: Vec<(&str, ArrowWriter<File>)> = Vec::new();
    for payload in payloads {
        for bytes in &payload.for_otel_arrow {
            let records = records(payload.signal, bytes)?;
            let first_id = *next_id;
            for (table, batch) in batches(&records) {
                let batch = otap_ids::shifted(&plain_ids(batch)?, first_id, next_id)?;
                let position = writers.iter().position(|(of, _)| *of == table);
                let position = if let Some(position) = position {
                    position
                } else {
                    let folder = folder.join(table.to_lowercase());
                    std::fs::create_dir_all(&folder)?;
                    let file = File::create(folder.join(format!("{name}.parquet")))?;
                    writers.push((table, writer(&batch, file)?));
                    writers.len() - 1
                };
                writers[position].1.write(&batch)?;
            }
        }
    }
    for (_, writer) in writers {
        writer.close()?;
    }
    Ok(())
}

fn records(signal: Signal, bytes: &Bytes) -> Result<OtapArrowRecords, Failure> {
    // The bytes are shared, not copied.
    let bytes = match signal {
        Signal::Logs => OtlpProtoBytes::ExportLogsRequest(bytes.clone()),
        Signal::Traces => OtlpProtoBytes::ExportTracesRequest(bytes.clone()),
        Signal::Metrics => OtlpProtoBytes::ExportMetricsRequest(bytes.clone()),
    };
    Ok(bytes.try_into_with_default()?)
}

fn batches(records: &OtapArrowRecords) -> impl Iterator<Item = (&'static str, &RecordBatch)> {
    let types = records.allowed_payload_types().iter();
    types.filter_map(|payload_type| Some((payload_type.as_str_name(), records.get(*payload_type)?)))
}

/// Replaces dictionary-encoded ids by plain ones. The Parquet writer (59.3) treats a dictionary of fixed-size
/// binaries as one of byte arrays and writes a length before each value (apache/arrow-rs#7446), so `DuckDB`
/// would read other values.
fn plain_ids(batch: &RecordBatch) -> Result<RecordBatch, Failure> {
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        match field.data_type() {
            DataType::Dictionary(_, values) if matches!(**values, DataType::FixedSizeBinary(_)) => {
                columns.push(cast(column, values)?);
                fields.push(Arc::new(
                    field.as_ref().clone().with_data_type(values.as_ref().clone()),
                ));
            }
            _ => {
                columns.push(column.clone());
                fields.push(field.clone());
            }
        }
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

fn writer<W: Write + Send>(batch: &RecordBatch, sink: W) -> Result<ArrowWriter<W>, Failure> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .build();
    Ok(ArrowWriter::try_new(sink, batch.schema(), Some(properties))?)
}
