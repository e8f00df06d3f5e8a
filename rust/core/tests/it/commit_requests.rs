//! Logs requests through the whole pipeline, for tests of their outcomes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_cast::cast;
use arrow_schema::DataType;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use otlp2iceberg::catalog::Catalog;
use otlp2iceberg::{Export, Outcome, Part, Pipeline, RequestId, Result, Signal};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use prost::Message;
use tokio_util::sync::CancellationToken;

use crate::commit_support::{Faulty, Warehouse, entries, file_names, logs};

/// Receipts instead of errors.
pub const ACCEPT: &str = r#""commit": {"on_failure": "accept", "max_retries": 0}"#;

/// A warehouse whose calls may end with a receipt, and one process on it.
pub struct Process {
    pub catalog: Arc<Faulty>,
    pub pipeline: Pipeline,
}

impl Process {
    /// A process that has opened its `logs` table, which holds request 0.
    pub async fn start(warehouse: &Warehouse) -> Self {
        let process = Self::unopened(warehouse).await;
        process.send(&[0]).await.expect("stored");
        process
    }

    pub async fn unopened(warehouse: &Warehouse) -> Self {
        let catalog = Faulty::new(warehouse.catalog().await, []);
        let shared: Arc<dyn Catalog> = Arc::<Faulty>::clone(&catalog);
        let pipeline = Pipeline::open_with(warehouse.config.clone(), shared).expect("opens");
        Self { catalog, pipeline }
    }

    /// Sends requests merged into one payload. Each has one record, whose body is the request's number.
    pub async fn send(&self, requests: &[u64]) -> Result<Outcome> {
        self.send_within(requests, Duration::from_secs(60)).await
    }

    pub async fn send_within(&self, requests: &[u64], timeout: Duration) -> Result<Outcome> {
        let payloads: Vec<Vec<u8>> = requests.iter().map(|number| request(*number)).collect();
        let parts: Vec<Part> = requests
            .iter()
            .zip(&payloads)
            .map(|(sequence, payload)| Part {
                id: RequestId {
                    writer: [1; 16],
                    sequence: *sequence,
                },
                len: payload.len() as u64,
            })
            .collect();
        let export = Export {
            signal: Signal::Logs,
            payload: &payloads.concat(),
            parts: &parts,
            received_unix_nano: 0,
            cancel: CancellationToken::new(),
            timeout,
        };
        self.pipeline.export(export).await
    }
}

/// A request of one record, whose body is its number.
pub fn request(number: u64) -> Vec<u8> {
    let record = LogRecord {
        time_unix_nano: 1_767_323_045_000_000_000,
        body: Some(AnyValue {
            value: Some(Value::StringValue(number.to_string())),
        }),
        ..LogRecord::default()
    };
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: vec![record],
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    }
    .encode_to_vec()
}

/// The numbers of the requests in the table, in order, read from its files.
pub async fn stored(warehouse: &Warehouse) -> Vec<u64> {
    let table = warehouse
        .catalog()
        .await
        .load(&logs())
        .await
        .expect("the table is there");
    let mut found = Vec::new();
    for path in entries(&table).await.into_keys() {
        let input = table.file_io.new_input(&path).expect("input");
        let content = input.read().await.expect("read");
        let reader = ParquetRecordBatchReaderBuilder::try_new(content).expect("Parquet");
        for batch in reader.build().expect("reader") {
            let batch = batch.expect("batch");
            let bodies = cast(batch.column_by_name("Body").expect("a body"), &DataType::Utf8).expect("text");
            let bodies = bodies.as_string::<i32>().iter().flatten();
            found.extend(bodies.map(|body| body.parse::<u64>().expect("a number")));
        }
    }
    found.sort_unstable();
    found
}

/// How many snapshots the table has.
pub async fn snapshots(warehouse: &Warehouse) -> usize {
    let table = warehouse.catalog().await.load(&logs()).await.expect("loads");
    table.metadata.snapshots().len()
}

pub fn receipts_folder(warehouse: &Warehouse) -> PathBuf {
    warehouse.folder.path().join("otel/logs/_otlp2iceberg/receipts")
}

/// The names of the receipts in storage.
pub fn receipts(warehouse: &Warehouse) -> Vec<String> {
    let folder = receipts_folder(warehouse);
    if folder.exists() {
        file_names(&folder, ".json")
    } else {
        Vec::new()
    }
}

/// All data files in storage, whether in a table or not.
pub fn data_files(warehouse: &Warehouse) -> Vec<String> {
    let mut names = Vec::new();
    let data = warehouse.folder.path().join("otel/logs/data");
    for partition in std::fs::read_dir(data).expect("folder") {
        names.extend(file_names(&partition.expect("entry").path(), ".parquet"));
    }
    names
}
