//! Tables whose catalog is SQLite and whose files are on S3, through the whole pipeline.

use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_cast::cast;
use arrow_schema::DataType;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use otlp2iceberg::config::{Config, OnFailure};
use otlp2iceberg::{
    Batch, Delivery, ErrorKind, Export, Outcome, Part, Pipeline, RequestId, Result, RetryClass, Signal,
    catalog,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use prost::Message;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::stub::{Answer, Stub};
use crate::commit_support::{Fault, Faulty, entries, logs};

fn lake(stub: &Stub, folder: &TempDir) -> Config {
    let database = folder.path().join("catalog.db");
    stub.config(&format!(
        r#"{{"type": "sql", "uri": "sqlite://{}", "warehouse": "s3://lake/warehouse/"}}"#,
        database.display()
    ))
}

fn bodies(texts: &[&str]) -> Vec<u8> {
    let record = |text: &&str| LogRecord {
        time_unix_nano: 1_767_323_045_000_000_000,
        body: Some(AnyValue {
            value: Some(Value::StringValue((*text).to_owned())),
        }),
        ..LogRecord::default()
    };
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: texts.iter().map(record).collect(),
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    }
    .encode_to_vec()
}

pub async fn export(pipeline: &Pipeline, sequence: u64, texts: &[&str]) -> Result<Outcome> {
    let payload = bodies(texts);
    let id = RequestId {
        writer: [1; 16],
        sequence,
    };
    let export = Export {
        signal: Signal::Logs,
        payload: &payload,
        parts: &[Part {
            id,
            len: payload.len() as u64,
        }],
        received_unix_nano: 0,
        cancel: CancellationToken::default(),
        timeout: Duration::from_secs(60),
    };
    pipeline.export(export).await
}

/// The bodies in the table, sorted, read through a separate catalog and storage.
async fn stored(config: &Config) -> Vec<String> {
    let catalog = catalog::open(config).await.expect("catalog opens");
    let table = catalog.load(&logs()).await.expect("the table is there");
    let mut found = Vec::new();
    for path in entries(&table).await.into_keys() {
        assert!(path.starts_with("s3://lake/warehouse/otel/logs/data/"), "{path}");
        let input = table.file_io.new_input(&path).expect("input");
        let content = input.read().await.expect("read");
        let reader = ParquetRecordBatchReaderBuilder::try_new(content).expect("Parquet");
        for batch in reader.build().expect("reader") {
            let batch = batch.expect("batch");
            let bodies = batch.column_by_name("Body").expect("a body");
            let bodies = cast(bodies, &DataType::Utf8).expect("text");
            let bodies = bodies.as_string::<i32>().iter().flatten();
            found.extend(bodies.map(str::to_owned));
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn rows_are_on_s3_and_in_the_catalog() {
    let (stub, folder) = (Stub::start().await, tempfile::tempdir().expect("folder"));
    let config = lake(&stub, &folder);
    let pipeline = Pipeline::open(config.clone()).await.expect("opens");
    let outcome = export(&pipeline, 1, &["one", "two"]).await.expect("stored");
    assert_eq!((outcome.rows, outcome.commits), (2, 1));
    export(&pipeline, 2, &["three"]).await.expect("stored");
    let again = export(&pipeline, 2, &["three"]).await.expect("known");
    assert_eq!(again.already_committed, 1);
    pipeline.close().await;
    assert_eq!(stored(&config).await, ["one", "three", "two"]);
    // The folder contains only the database.
    let here = std::fs::read_dir(folder.path()).expect("folder");
    for entry in here {
        let name = entry.expect("entry").file_name().into_string().expect("UTF-8");
        assert!(name.starts_with("catalog.db"), "{name}");
    }
}

#[tokio::test]
async fn a_refusal_is_worth_a_retry_and_what_was_refused_is_stored_once_it_is_mended() {
    let (stub, folder) = (Stub::start().await, tempfile::tempdir().expect("folder"));
    let config = lake(&stub, &folder);
    // The bucket is missing when the process starts, and created later.
    stub.fault("PUT", usize::MAX, Answer::Refusal(404, "NoSuchBucket", ""));
    let pipeline = Pipeline::open(config.clone()).await.expect("opens all the same");
    let error = export(&pipeline, 1, &["one"]).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert_eq!(error.retry_class(), RetryClass::Retry { after: None });
    let text = error.to_string();
    for part in [
        "the bucket does not exist",
        "catalog.warehouse",
        "s3://lake/warehouse/otel/logs/",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains('\n') && !text.contains("hush"), "{text}");

    stub.state().faults.clear();
    export(&pipeline, 1, &["one"]).await.expect("stored");
    // Denied for data files only.
    stub.fault("PUT /data/", 1, Answer::Refusal(403, "AccessDenied", ""));
    let error = export(&pipeline, 2, &["two"]).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.to_string().contains("access denied"), "{error}");
    export(&pipeline, 2, &["two"]).await.expect("stored");
    pipeline.close().await;
    assert_eq!(stored(&config).await, ["one", "two"]);
}

#[tokio::test]
async fn receipts_are_kept_and_found_again_on_s3() {
    let (stub, folder) = (Stub::start().await, tempfile::tempdir().expect("folder"));
    let mut config = lake(&stub, &folder);
    config.commit.on_failure = OnFailure::Accept;
    config.commit.max_retries = Some(0);
    let real = catalog::open(&config).await.expect("catalog opens");
    let faulty = Faulty::new(real, []);
    let pipeline = Pipeline::open_with(config.clone(), faulty.clone()).expect("opens");
    export(&pipeline, 1, &["one"]).await.expect("stored");
    faulty.set_down(true);
    for (sequence, text) in [(2, "two"), (3, "three")] {
        let outcome = export(&pipeline, sequence, &[text]).await.expect("accepted");
        assert_eq!((outcome.rows, outcome.receipts_written), (0, 1));
    }
    pipeline.close().await;
    let receipts = || {
        let state = stub.state();
        let keys = state
            .files
            .keys()
            .filter(|key| key.contains("/_otlp2iceberg/receipts/"));
        keys.count()
    };
    assert_eq!(receipts(), 2);

    let pipeline = Pipeline::open(config.clone()).await.expect("opens");
    let again = export(&pipeline, 2, &["two"]).await.expect("recognised");
    assert_eq!((again.already_committed, again.files), (1, 0));
    pipeline.collect_receipts().await.expect("committed");
    pipeline.close().await;
    assert_eq!(stored(&config).await, ["one", "three", "two"]);
    assert_eq!(receipts(), 0);
}

/// A lake with the request `one`, and receipts for others that their process left behind. Returns the
/// receipts' keys, oldest first.
async fn with_receipts(stub: &Stub, config: &Config, texts: &[&str]) -> Vec<&'static str> {
    let faulty = Faulty::new(catalog::open(config).await.expect("catalog opens"), []);
    let pipeline = Pipeline::open_with(config.clone(), faulty.clone()).expect("opens");
    export(&pipeline, 1, &["one"]).await.expect("stored");
    faulty.set_down(true);
    for (sequence, text) in (2..).zip(texts) {
        export(&pipeline, sequence, &[text]).await.expect("accepted");
    }
    pipeline.close().await;
    let keys = receipts(stub);
    assert_eq!(keys.len(), texts.len());
    keys
}

fn receipts(stub: &Stub) -> Vec<&'static str> {
    let state = stub.state();
    let keys = state.files.keys();
    keys.filter(|key| key.contains("/_otlp2iceberg/receipts/"))
        .map(|key| &*key.clone().leak())
        .collect()
}

/// The answer of S3 for an archived object.
fn withhold(stub: &Stub, key: &str) {
    let archived = Answer::Refusal(403, "InvalidObjectState", "");
    stub.fault(format!("GET {key}").leak(), 1_000_000, archived);
}

fn accepting(stub: &Stub, folder: &TempDir) -> Config {
    let mut config = lake(stub, folder);
    config.commit.on_failure = OnFailure::Accept;
    config.commit.max_retries = Some(0);
    config
}

#[tokio::test]
async fn a_receipt_that_cannot_be_read_is_passed_over_until_it_can() {
    let (stub, folder) = (Stub::start().await, tempfile::tempdir().expect("folder"));
    let config = accepting(&stub, &folder);
    let keys = with_receipts(&stub, &config, &["two", "three", "four"]).await;
    withhold(&stub, keys[1]);
    let pipeline = Pipeline::open(config.clone()).await.expect("opens");
    let again = export(&pipeline, 4, &["four"]).await.expect("recognised");
    assert_eq!(again.already_committed, 1, "the others are known");
    export(&pipeline, 5, &["five"]).await.expect("stored");
    pipeline
        .collect_receipts()
        .await
        .expect("the others are committed");
    assert_eq!(stored(&config).await, ["five", "four", "one", "two"]);
    assert_eq!(receipts(&stub), [keys[1]], "never deleted");

    stub.state().faults.clear();
    pipeline.collect_receipts().await.expect("committed");
    pipeline.close().await;
    assert_eq!(stored(&config).await, ["five", "four", "one", "three", "two"]);
    assert_eq!(receipts(&stub), Vec::<&str>::new());
}

#[tokio::test]
async fn a_known_receipt_that_cannot_be_read_any_more_holds_up_no_other() {
    let (stub, folder) = (Stub::start().await, tempfile::tempdir().expect("folder"));
    let config = accepting(&stub, &folder);
    let faulty = Faulty::new(catalog::open(&config).await.expect("catalog opens"), []);
    let pipeline = Pipeline::open_with(config.clone(), faulty.clone()).expect("opens");
    export(&pipeline, 1, &["one"]).await.expect("stored");
    faulty.set_down(true);
    for (sequence, text) in [(2, "two"), (3, "three")] {
        export(&pipeline, sequence, &[text]).await.expect("accepted");
    }
    let keys = receipts(&stub);
    withhold(&stub, keys[0]);
    faulty.set_down(false);
    let error = pipeline.collect_receipts().await.expect_err("one waits");
    assert!(error.to_string().contains(keys[0]), "{error}");
    assert_eq!(stored(&config).await, ["one", "three"]);
    let outcome = export(&pipeline, 4, &["four"]).await.expect("stored");
    assert_eq!(
        (outcome.rows, outcome.receipts_written),
        (1, 0),
        "the catalog is up"
    );
    // The third failure is the last one to wait for, whichever process had the failures before.
    for _ in 0..3 {
        let _ = pipeline.collect_receipts().await;
    }
    pipeline.collect_receipts().await.expect("passed over");
    assert_eq!(receipts(&stub), [keys[0]]);
    stub.state().faults.clear();
    pipeline.collect_receipts().await.expect("committed");
    pipeline.close().await;
    assert_eq!(stored(&config).await, ["four", "one", "three", "two"]);
}

#[tokio::test]
async fn storage_that_gives_out_nothing_is_not_taken_for_receipts_that_cannot_be_read() {
    let (stub, folder) = (Stub::start().await, tempfile::tempdir().expect("folder"));
    let config = accepting(&stub, &folder);
    let keys = with_receipts(&stub, &config, &["two", "three"]).await;
    for key in [keys[0], keys[1], "/metadata/snap-"] {
        withhold(&stub, key);
    }
    let pipeline = Pipeline::open(config.clone()).await.expect("opens");
    for _ in 0..5 {
        let error = export(&pipeline, 2, &["two"]).await.expect_err("storage is down");
        assert_eq!(error.kind(), ErrorKind::Storage);
        assert!(error.to_string().contains("cannot read a receipt"), "{error}");
    }
    stub.state().faults.clear();
    let again = export(&pipeline, 2, &["two"]).await.expect("recognised");
    assert_eq!((again.already_committed, again.files), (1, 0));
    pipeline.collect_receipts().await.expect("committed");
    pipeline.close().await;
    assert_eq!(stored(&config).await, ["one", "three", "two"]);
    assert_eq!(receipts(&stub), Vec::<&str>::new());
}

#[tokio::test]
async fn who_may_not_list_cannot_accept_but_can_write() {
    let (stub, folder) = (Stub::start().await, tempfile::tempdir().expect("folder"));
    stub.fault("GET list-type=2", 1000, Answer::Refusal(403, "AccessDenied", ""));
    let mut config = lake(&stub, &folder);
    let pipeline = Pipeline::open(config.clone()).await.expect("opens");
    assert_eq!(export(&pipeline, 1, &["one"]).await.expect("stored").rows, 1);
    pipeline.close().await;

    config.commit.on_failure = OnFailure::Accept;
    let pipeline = Pipeline::open(config).await.expect("opens");
    let error = export(&pipeline, 2, &["two"]).await.expect_err("cannot list");
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.to_string().contains("s3:ListBucket"), "{error}");
}

#[tokio::test]
async fn a_bucket_that_is_missing_for_a_while_has_not_lost_a_file() {
    let (stub, folder) = (Stub::start().await, tempfile::tempdir().expect("folder"));
    let mut config = lake(&stub, &folder);
    config.commit.max_retries = Some(0);
    let faulty = Faulty::new(catalog::open(&config).await.expect("opens"), []);
    let pipeline = Pipeline::open_with(config.clone(), faulty.clone()).expect("opens");
    export(&pipeline, 0, &["zero"]).await.expect("stored");
    let mut batch = Batch::new(Signal::Logs);
    let id = RequestId {
        writer: [1; 16],
        sequence: 1,
    };
    batch.append(id, &bodies(&["one"])).expect("new");
    faulty.faults.lock().expect("lock").push_back(Fault::Refusal);
    let mut again = async || {
        let delivery = Delivery {
            received_unix_nano: 0,
            cancel: CancellationToken::new(),
            timeout: Duration::from_secs(60),
        };
        pipeline.export_batch(&mut batch, delivery).await
    };
    again().await.expect_err("refused");
    // A proxy may answer so for all keys. For a HEAD, a missing bucket cannot be distinguished from a missing
    // file.
    stub.fault("HEAD", 2, Answer::Refusal(404, "", ""));
    let error = again().await.expect_err("not there");
    assert_eq!(
        (error.kind(), error.retry_class()),
        (ErrorKind::Storage, RetryClass::Retry { after: None }),
        "{error}"
    );
    assert_eq!(stub.count("HEAD /data/"), 1);
    assert_eq!(stub.count("HEAD /metadata/snap-"), 1, "the manifest list");
    // It came back between the two requests.
    stub.fault("HEAD", 1, Answer::Refusal(404, "", ""));
    let outcome = again().await.expect("stored");
    assert_eq!((outcome.rows, outcome.commits), (1, 1));
    assert_eq!(stored(&config).await, ["one", "zero"]);
}
