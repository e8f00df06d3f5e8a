//! A bucket that tables share with objects also reports the tables' own files: none of them is ever added
//! again.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::write::register::{Footer, Tail};

/// A file as described by its last bytes and its location.
fn parquet_file(path: &Path, sequence: u64) -> ParquetFile {
    let bytes = fs::read(path).expect("readable");
    let footer = match Footer::read(&bytes, bytes.len() as u64) {
        Ok(Tail::Whole(footer)) => *footer,
        other => panic!("no footer: {other:?}"),
    };
    let [content, place] = [sequence, sequence + 1].map(|sequence| part(sequence).id);
    ParquetFile {
        location: format!("file://{}", path.display()),
        footer,
        content,
        place,
    }
}

#[tokio::test]
async fn a_tables_own_files_are_never_registered_and_those_beside_them_are() {
    let warehouse = tempfile::tempdir().expect("temporary folder");
    let json = format!(r#"{{"catalog": {{"warehouse": {:?}}}}}"#, warehouse.path());
    let pipeline = Pipeline::open(Config::from_json(json.as_bytes()).expect("valid"))
        .await
        .expect("opens");
    export_logs(&pipeline, &["one"]).await.expect("stored");
    let table = warehouse.path().join("otel/logs");
    let own = own_data_file(&table.join("data"));
    // The path at which the same rows lie when they are written without a catalog.
    let foreign = table.join("Timestamp_day=2025-06-15");
    fs::create_dir(&foreign).expect("made");
    let foreign = foreign.join("a.parquet");
    fs::copy(&own, &foreign).expect("copied");

    let files = [parquet_file(&own, 100), parquet_file(&foreign, 200)];
    let mut registration = pipeline.prepare_files(&files, Duration::from_secs(60)).await;
    pipeline
        .commit_files(&mut registration, &[Table::Logs], Duration::from_secs(60))
        .await;
    let results: Vec<Registered> = registration
        .into_results()
        .map(|result| result.expect("no file is refused"))
        .collect();
    let seen: Vec<(u64, bool)> = results
        .iter()
        .map(|file| (file.rows, file.already_there))
        .collect();
    assert_eq!(seen, [(1, true), (1, false)]);
    let destination = pipeline.destination(Table::Logs).await.expect("open");
    let metadata = &destination.table().metadata;
    let total = &metadata
        .current_snapshot()
        .expect("written")
        .summary()
        .additional_properties["total-records"];
    assert_eq!(total, "2");

    let owner = |place: &str| {
        let location = format!("file://{}/{place}", table.display());
        let pipeline = &pipeline;
        async move { pipeline.owner(&location).await }
    };
    for (place, table) in [
        ("metadata/00001-a.metadata.json", Some(Table::Logs)),
        ("metadata/snap-1.avro", Some(Table::Logs)),
        ("_otlp2iceberg/receipts/1.json", Some(Table::Logs)),
        ("data/logs.binpb", Some(Table::Logs)),
        ("database/logs.binpb", None),
        ("raw/logs.binpb", None),
    ] {
        assert_eq!(owner(place).await, table, "{place}");
    }
    pipeline.close().await;
}

/// Another process created the table: a process that has not used it yet loads it for the name of a metadata
/// file.
#[tokio::test]
async fn metadata_of_a_table_that_is_not_open_is_its_own() {
    let warehouse = tempfile::tempdir().expect("temporary folder");
    let json = format!(r#"{{"catalog": {{"warehouse": {:?}}}}}"#, warehouse.path());
    let open = || async {
        Pipeline::open(Config::from_json(json.as_bytes()).expect("valid"))
            .await
            .expect("opens")
    };
    let (early, writer) = (open().await, open().await);
    export_logs(&writer, &["one"]).await.expect("stored");
    let location = |name: &str| format!("file://{}/otel/logs/{name}", warehouse.path().display());
    assert_eq!(early.owner(&location("metadata/raw_logs")).await, None);
    assert_eq!(
        early.owner(&location("metadata/a-m0.avro")).await,
        Some(Table::Logs)
    );
    let own = own_data_file(&warehouse.path().join("otel/logs/data"));
    let late = open().await;
    let prepared = late
        .prepare_files(&[parquet_file(&own, 100)], Duration::from_secs(60))
        .await;
    let registered: Vec<_> = prepared.of(&[Table::Logs]).collect();
    assert!(registered.iter().all(|file| file.already_there) && registered.len() == 1);
    for pipeline in [early, writer, late] {
        pipeline.close().await;
    }
}

/// Without a catalog, we write to the whole folder of a table.
#[tokio::test]
async fn files_that_are_written_without_a_catalog_are_own_to_who_writes_them() {
    let warehouse = tempfile::tempdir().expect("temporary folder");
    let json = format!(
        r#"{{"catalog": {{"type": "none", "warehouse": {:?}}}}}"#,
        warehouse.path()
    );
    let pipeline = Pipeline::open(Config::from_json(json.as_bytes()).expect("valid"))
        .await
        .expect("opens");
    let location = |path: &str| format!("file://{}/{path}", warehouse.path().display());
    let file = location("otel/traces/Timestamp_day=2025-06-15/a.parquet");
    assert_eq!(pipeline.owner(&file).await, Some(Table::Traces));
    assert_eq!(pipeline.owner(&location("raw/traces/a.parquet")).await, None);
    pipeline.close().await;
}

/// The only data file below a folder.
fn own_data_file(folder: &Path) -> PathBuf {
    let mut path = folder.to_owned();
    while path.is_dir() {
        path = fs::read_dir(&path)
            .expect("a folder")
            .map(|entry| entry.expect("readable").path())
            .find(|path| {
                !path
                    .file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with('.'))
            })
            .expect("not empty");
    }
    path
}
