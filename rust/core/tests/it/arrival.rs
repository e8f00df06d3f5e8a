//! A request's time of arrival, through the whole pipeline: records without a time get it, and nothing else
//! in a file depends on the time of writing.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use otlp2iceberg::config::Config;
use otlp2iceberg::{Export, Outcome, Part, Pipeline, RequestId, Signal};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::decode::encode::{delimited, fixed64, nested};

/// 2025-06-15 15:06:40.987654321 UTC, which is not the day of any test run.
const RECEIVED: u64 = 1_750_000_000_987_654_321;
/// A record's own time: 2025-06-16.
const OWN: u64 = 1_750_090_000_000_000_000;

/// A logs request: a record without times, and one with its own.
fn request(body: &str) -> Vec<u8> {
    let text = nested(&[5, 1], body);
    let timeless = delimited(2, &text);
    let timed = delimited(2, [fixed64(1, OWN), text].concat());
    nested(&[1, 2], [timeless, timed].concat())
}

fn part(sequence: u64, request: &[u8]) -> Part {
    Part {
        id: RequestId {
            writer: [7; 16],
            sequence,
        },
        len: request.len() as u64,
    }
}

/// Opens the library on a warehouse, as a process does, and stores one payload.
async fn stored(warehouse: &TempDir, requests: &[(u64, Vec<u8>)], received_unix_nano: u64) -> Outcome {
    let path = warehouse.path().to_str().unwrap();
    let json = format!(r#"{{"catalog": {{"warehouse": "{path}"}}}}"#);
    let pipeline = Pipeline::open(Config::from_json(json.as_bytes()).unwrap())
        .await
        .unwrap();
    let parts: Vec<Part> = requests
        .iter()
        .map(|(sequence, request)| part(*sequence, request))
        .collect();
    let payload: Vec<u8> = requests.iter().flat_map(|(_, request)| request.clone()).collect();
    let outcome = pipeline
        .export(Export {
            signal: Signal::Logs,
            payload: &payload,
            parts: &parts,
            received_unix_nano,
            cancel: CancellationToken::new(),
            timeout: Duration::from_secs(60),
        })
        .await
        .unwrap();
    pipeline.close().await;
    outcome
}

/// The data files of `logs`, in order of their paths.
fn data_files(warehouse: &TempDir) -> Vec<PathBuf> {
    fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, files);
            } else {
                files.push(path);
            }
        }
    }
    let mut files = Vec::new();
    collect(&warehouse.path().join("otel/logs/data"), &mut files);
    files.sort();
    files
}

/// Each file's partition folder and bytes. The file name contains the table's UUID, which differs for each
/// new table.
fn contents(warehouse: &TempDir) -> Vec<(PathBuf, Vec<u8>)> {
    let files = data_files(warehouse);
    let content = |path: &PathBuf| {
        let folder = path.parent().unwrap().strip_prefix(warehouse.path()).unwrap();
        (folder.to_owned(), fs::read(path).unwrap())
    };
    files.iter().map(content).collect()
}

/// `Timestamp` of all rows in microseconds, smallest first.
fn timestamps(warehouse: &TempDir) -> Vec<i64> {
    let mut times = Vec::new();
    for path in data_files(warehouse) {
        let file = File::open(path).unwrap();
        let batches = ParquetRecordBatchReaderBuilder::try_new(file)
            .unwrap()
            .build()
            .unwrap();
        for batch in batches {
            let batch = batch.unwrap();
            let column = batch
                .column_by_name("Timestamp")
                .unwrap()
                .as_primitive::<TimestampMicrosecondType>();
            times.extend(column.values());
        }
    }
    times.sort_unstable();
    times
}

fn microseconds(unix_nano: u64) -> i64 {
    i64::try_from(unix_nano / 1_000).unwrap()
}

#[tokio::test]
async fn a_record_without_times_gets_the_time_at_which_its_request_was_received() {
    let warehouse = tempfile::tempdir().unwrap();
    let outcome = stored(&warehouse, &[(1, request("one"))], RECEIVED).await;
    assert_eq!(outcome.rows, 2);
    assert_eq!(
        timestamps(&warehouse),
        [microseconds(RECEIVED), microseconds(OWN)]
    );
}

#[tokio::test]
async fn a_request_whose_time_of_arrival_is_unknown_arrives_when_it_is_stored() {
    let warehouse = tempfile::tempdir().unwrap();
    let now = || microseconds(u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos()).unwrap());
    let before = now();
    stored(&warehouse, &[(1, request("one"))], 0).await;
    let after = now();
    let times = timestamps(&warehouse);
    assert_eq!(times.len(), 2);
    assert_eq!(times[0], microseconds(OWN));
    assert!((before..=after).contains(&times[1]), "{before} {times:?} {after}");
}

#[tokio::test]
async fn the_same_requests_stored_at_another_time_give_files_of_the_same_bytes() {
    let requests = [(1, request("one")), (2, request("two"))];
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for warehouse in [&first, &second] {
        assert_eq!(stored(warehouse, &requests, RECEIVED).await.rows, 4);
    }
    let files = contents(&first);
    assert_eq!(files.len(), 2, "one per day");
    // Not `assert_eq`, which would print the bytes.
    assert!(files == contents(&second), "the files differ");
}

#[tokio::test]
async fn another_time_of_arrival_gives_other_bytes() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    stored(&first, &[(1, request("one"))], RECEIVED).await;
    stored(&second, &[(1, request("one"))], RECEIVED + 1_000).await;
    assert!(
        contents(&first) != contents(&second),
        "the comparison sees one microsecond"
    );
}
