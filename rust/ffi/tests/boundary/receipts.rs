//! `commit.on_failure: accept` behind a handle: receipts that an earlier process left.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use otlp2iceberg_ffi::abi::{AbiPart, O2I_SIGNAL_LOGS, O2I_SIGNAL_METRICS};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::otlp;
use super::support::{FOR_EVER, Opened, Request, close, export, open, part};

fn opened_on(directory: &TempDir) -> Opened {
    let config = json!({
        "catalog": {"warehouse": directory.path()},
        "tables": {"partition_by": "none"},
        "commit": {"on_failure": "accept"},
    });
    open(&config.to_string()).unwrap()
}

/// The files below a folder with this ending, in order of their names.
fn files_below(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path, ending));
        } else if path.to_str().unwrap().ends_with(ending) {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The table's newest metadata.
fn metadata(table: &Path) -> Value {
    let newest = files_below(&table.join("metadata"), ".metadata.json")
        .pop()
        .unwrap();
    serde_json::from_slice(&fs::read(newest).unwrap()).unwrap()
}

/// How many rows the table's current snapshot has.
fn rows(table: &Path) -> u64 {
    let metadata = metadata(table);
    let mut snapshots = metadata["snapshots"].as_array().unwrap().iter();
    let current = snapshots.find(|snapshot| snapshot["snapshot-id"] == metadata["current-snapshot-id"]);
    let rows = &current.unwrap()["summary"]["total-records"];
    rows.as_str().unwrap().parse().unwrap()
}

/// Stores a copy of the table's data file that is in no snapshot, and a receipt for it, as a process does that
/// ends while the catalog is down. The copy has this many rows, those of request 1 of the writer `[8; 16]`.
fn leave_behind(table: &Path, rows: u64) -> PathBuf {
    let own = files_below(&table.join("data"), ".parquet").pop().unwrap();
    let copy = own.with_file_name("left-behind.parquet");
    fs::copy(&own, &copy).unwrap();
    let metadata = metadata(table);
    let receipt = json!({
        "version": 1,
        "table": "otel.logs",
        "table-uuid": metadata["table-uuid"],
        "base": {
            "snapshot-id": metadata["current-snapshot-id"],
            "sequence-number": metadata["last-sequence-number"],
        },
        "schema-id": metadata["current-schema-id"],
        "partition-spec-id": metadata["default-spec-id"],
        "ids": format!("{}:1", "08".repeat(16)),
        "rows": rows,
        "created-ms": 1_767_323_045_000_u64,
        "created-by": "a test",
        "files": [{
            "content": 0,
            "file_path": format!("file://{}", copy.display()),
            "file_format": "PARQUET",
            "partition": {},
            "record_count": rows,
            "file_size_in_bytes": fs::metadata(&copy).unwrap().len(),
        }],
    });
    let folder = table.join("_otlp2iceberg/receipts");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("left-behind.json");
    fs::write(&path, receipt.to_string()).unwrap();
    path
}

/// The Collector may get no more data for a table, whose rows were acknowledged.
#[test]
fn receipts_of_a_table_without_new_rows_are_committed_after_the_start() {
    let directory = TempDir::new().unwrap();
    let table = directory.path().join("otel/logs");
    let payload = otlp::logs(3);
    let handle = opened_on(&directory);
    let parts = [part(1, payload.len())];
    let (outcome, result) = export(handle, Request::new(O2I_SIGNAL_LOGS, &payload, &parts));
    assert_eq!((result, outcome.rows), (Ok(()), 3));
    assert_eq!(close(handle, FOR_EVER), Ok(()));
    let receipt = leave_behind(&table, 3);
    assert_eq!(rows(&table), 3);

    let handle = opened_on(&directory);
    let gives_up = Instant::now() + Duration::from_secs(60);
    while receipt.exists() {
        assert!(Instant::now() < gives_up, "nobody looks for the receipt");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(rows(&table), 6);
    // Another signal's call tells of it: this one may get none. (One of its points is rejected.)
    let points = otlp::histogram_with_one_bad_point();
    let parts = [part(2, points.len())];
    let (outcome, _) = export(handle, Request::new(O2I_SIGNAL_METRICS, &points, &parts));
    assert_eq!((outcome.rows, outcome.receipts_committed), (1, 1));
    // The client that was acknowledged sends again.
    let parts = [AbiPart {
        writer: [8; 16],
        ..part(1, payload.len())
    }];
    let (outcome, result) = export(handle, Request::new(O2I_SIGNAL_LOGS, &payload, &parts));
    assert_eq!((result, outcome.rows, outcome.already_committed), (Ok(()), 0, 1));
    assert_eq!(close(handle, FOR_EVER), Ok(()));
    assert_eq!(rows(&table), 6);
}
