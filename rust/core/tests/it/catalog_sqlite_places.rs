//! The folders of the `SQLite` catalog's tables: none is shared with another table, renamed or forgotten.

use std::sync::Arc;

use sqlx::Executor;

use crate::catalog_sqlite::database;
use crate::commit_support::{Warehouse, append, file_names, logs, soon};
use crate::logged::warnings;

/// Makes the table of logs, or finds it, as another process does. Returns its location.
async fn made(warehouse: &Warehouse) -> String {
    let catalog = warehouse.catalog().await;
    let table = catalog.ensure(&logs(), Some(warehouse.spec())).await;
    table.expect("ensured").metadata.location().to_owned()
}

/// The location that the table's name gives.
fn named_location(warehouse: &Warehouse) -> String {
    format!("file://{}/otel/logs", warehouse.folder.path().display())
}

/// Checks that this location is a table's own, beside the one that its name gives.
fn assert_is_own(location: &str, warehouse: &Warehouse) {
    let own = location.strip_prefix(&format!("{}-", named_location(warehouse)));
    assert!(own.is_some_and(|id| id.len() == 32), "{location}");
}

#[tokio::test]
async fn a_table_of_another_catalog_name_keeps_its_folder_and_is_told_of() {
    let mut warehouse = Warehouse::new();
    let (logged, _guard) = warnings();
    for (name, warned) in [("default", 0), ("other", 1)] {
        warehouse.config.catalog.name = Some(name.to_owned());
        let location = made(&warehouse).await;
        if warned == 0 {
            assert_eq!(location, named_location(&warehouse));
        } else {
            assert_is_own(&location, &warehouse);
        }
        let lines = logged.lines();
        let told = lines
            .iter()
            .filter(|line| line.contains("or catalog.name was changed"))
            .count();
        assert_eq!(told, warned, "{name}: {lines:?}");
    }
}

/// The table was dropped, or another database has it.
#[tokio::test]
async fn a_table_that_the_database_does_not_have_keeps_its_folder() {
    let warehouse = Warehouse::new();
    let committer = warehouse.committer(warehouse.catalog().await).await;
    committer.append(append(1, 1), soon()).await.expect("committed");
    committer.close().await;
    run(&warehouse, "DELETE FROM iceberg_tables").await;
    let (logged, _guard) = warnings();
    let location = made(&warehouse).await;
    assert_is_own(&location, &warehouse);
    let newest = committer.table().metadata_location.clone();
    let lines = logged.lines();
    let told = lines
        .iter()
        .filter(|line| line.contains("in the folder of another one") && line.contains(&newest));
    assert_eq!(told.count(), 1, "{newest}: {lines:?}");
    assert_eq!(made(&warehouse).await, location, "found, not made again");
}

/// Another process may be creating this very table, and has not registered it yet.
#[tokio::test]
async fn a_first_metadata_file_alone_does_not_take_the_folder() {
    let warehouse = Warehouse::new();
    made(&warehouse).await;
    run(&warehouse, "DELETE FROM iceberg_tables").await;
    let (logged, _guard) = warnings();
    assert_eq!(made(&warehouse).await, named_location(&warehouse));
    assert_eq!(logged.lines(), Vec::<String>::new());
}

/// A rename is no reason for a warning.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_make_a_table_anew_after_a_rename_agree_on_its_folder() {
    let warehouse = Arc::new(Warehouse::new());
    assert_eq!(made(&warehouse).await, named_location(&warehouse));
    run(&warehouse, "UPDATE iceberg_tables SET table_name = 'logs_2025'").await;
    let (logged, guard) = warnings();
    let location = made(&warehouse).await;
    drop(guard);
    assert_is_own(&location, &warehouse);
    assert_eq!(logged.lines(), Vec::<String>::new());
    run(
        &warehouse,
        "UPDATE iceberg_tables SET table_name = 'logs_2026' WHERE table_name = 'logs'",
    )
    .await;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let warehouse = Arc::clone(&warehouse);
            tokio::spawn(async move { made(&warehouse).await })
        })
        .collect();
    let mut locations = Vec::new();
    for task in tasks {
        locations.push(task.await.expect("joined"));
    }
    locations.dedup();
    assert_eq!(locations.len(), 1, "{locations:?}");
    assert_ne!(locations[0], location);
    let folders = std::fs::read_dir(warehouse.folder.path().join("otel")).expect("folder");
    let files = folders.map(|folder| {
        let folder = folder.expect("entry").path().join("metadata");
        file_names(&folder, ".metadata.json").len()
    });
    assert_eq!(files.sum::<usize>(), 3, "losers remove their metadata");
}

async fn run(warehouse: &Warehouse, sql: &str) {
    database(warehouse).await.execute(sql).await.expect("changed");
}
