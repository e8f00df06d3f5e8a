//! The `SQLite` catalog's database file: gone, replaced, held by another process, closed.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use iceberg::TableUpdate;
use otlp2iceberg::catalog::{Catalog, CommitOutcome, LoadedTable};
use otlp2iceberg::{Error, ErrorKind, Pipeline, RetryClass};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, Row, SqliteConnection};

use crate::commit_support::{Warehouse, append, entries, logs, soon};

fn database(warehouse: &Warehouse) -> PathBuf {
    warehouse.folder.path().join("catalog.db")
}

async fn connect(path: PathBuf) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path);
    options.connect().await.expect("connects")
}

async fn set_property(catalog: &dyn Catalog, base: &LoadedTable) -> CommitOutcome {
    let update = TableUpdate::SetProperties {
        updates: [("a".to_owned(), "1".to_owned())].into(),
    };
    catalog.commit(base, vec![], vec![update]).await
}

fn assert_tells_of_removal(error: &Error, warehouse: &Warehouse) {
    let expected = format!(
        "the catalog database {} was removed or replaced while the Collector ran; restart it (catalog.uri)",
        database(warehouse).display()
    );
    assert!(error.to_string().contains(&expected), "{error}");
    assert_eq!(error.retry_class(), RetryClass::Retry { after: None }, "{error}");
}

#[tokio::test]
async fn removed_database_takes_nothing_and_says_so() {
    let warehouse = Warehouse::new();
    let catalog = warehouse.catalog().await;
    let committer = warehouse.committer(catalog.clone()).await;
    committer.append(append(1, 1), soon()).await.expect("committed");
    let base = catalog.load(&logs()).await.expect("loads");
    std::fs::remove_dir_all(warehouse.folder.path()).expect("removed");

    let error = committer.append(append(1, 2), soon()).await.expect_err("gone");
    assert_tells_of_removal(&error, &warehouse);
    let error = committer.refresh_if_stale().await.expect_err("gone");
    assert_tells_of_removal(&error, &warehouse);
    let outcome = set_property(catalog.as_ref(), &base).await;
    let CommitOutcome::Refused { conflict, error } = outcome else {
        panic!("{outcome:?}")
    };
    assert!(!conflict);
    assert_tells_of_removal(&error, &warehouse);
    let error = catalog
        .ensure(&logs(), Some(warehouse.spec()))
        .await
        .expect_err("gone");
    assert_tells_of_removal(&error, &warehouse);
    assert!(!database(&warehouse).exists(), "not made anew");
}

#[tokio::test]
async fn replaced_database_takes_nothing_until_the_first_is_back() {
    let warehouse = Warehouse::new();
    let committer = warehouse.committer(warehouse.catalog().await).await;
    committer.append(append(1, 1), soon()).await.expect("committed");
    let aside = warehouse.folder.path().join("aside.db");
    std::fs::rename(database(&warehouse), &aside).expect("moved");
    std::fs::copy(&aside, database(&warehouse)).expect("copied");

    let error = committer
        .append(append(1, 2), soon())
        .await
        .expect_err("another file");
    assert_tells_of_removal(&error, &warehouse);
    std::fs::rename(&aside, database(&warehouse)).expect("moved back");
    committer.append(append(1, 2), soon()).await.expect("committed");
    assert_eq!(entries(&committer.table()).await.len(), 2);
}

#[tokio::test]
async fn closed_catalog_leaves_all_in_the_database_file() {
    let warehouse = Warehouse::new();
    let catalog = warehouse.catalog().await;
    let committer = warehouse.committer(catalog.clone()).await;
    committer.append(append(1, 1), soon()).await.expect("committed");
    committer.close().await;
    // While another process uses the database, closing our last connection does not checkpoint.
    let mut other = connect(database(&warehouse)).await;
    other
        .fetch_one("SELECT count(*) FROM iceberg_tables")
        .await
        .expect("reads");
    catalog.close().await;
    catalog.close().await;

    let copy = warehouse.folder.path().join("copy.db");
    std::fs::copy(database(&warehouse), &copy).expect("copied alone");
    let row = connect(copy)
        .await
        .fetch_one("SELECT metadata_location FROM iceberg_tables")
        .await
        .expect("the table is in it");
    assert_eq!(row.get::<String, _>(0), committer.table().metadata_location);
    other.close().await.expect("closed");
}

#[tokio::test]
async fn closed_pipeline_leaves_no_write_ahead_log() {
    let warehouse = Warehouse::new();
    let pipeline = Pipeline::open(warehouse.config.clone()).await.expect("opens");
    let log = warehouse.folder.path().join("catalog.db-wal");
    assert!(log.exists(), "while it is open");
    pipeline.close().await;
    assert!(!log.exists());
}

#[tokio::test]
async fn database_held_by_another_process_is_a_conflict_that_names_it_soon() {
    let warehouse = Warehouse::new();
    let catalog = warehouse.catalog().await;
    let base = catalog
        .ensure(&logs(), Some(warehouse.spec()))
        .await
        .expect("ensured");
    let mut other = connect(database(&warehouse)).await;
    other.execute("BEGIN IMMEDIATE").await.expect("held");
    let begun = Instant::now();
    let outcome = set_property(catalog.as_ref(), &base).await;
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let CommitOutcome::Refused { conflict, error } = outcome else {
        panic!("{outcome:?}")
    };
    assert!(conflict, "worth repeating");
    assert_eq!(error.kind(), ErrorKind::Catalog);
    let text = error.to_string();
    assert!(
        text.contains("another process holds the database") && text.contains("catalog.db"),
        "{text}"
    );
    assert_eq!(
        text.matches("database is locked").count(),
        1,
        "each cause once: {text}"
    );
    other.execute("ROLLBACK").await.expect("let go");
    let outcome = set_property(catalog.as_ref(), &base).await;
    assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
}
