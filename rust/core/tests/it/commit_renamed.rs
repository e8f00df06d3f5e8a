//! Commits to a table that was renamed or dropped meanwhile.

use iceberg::TableIdent;
use otlp2iceberg::catalog::LoadedTable;
use otlp2iceberg::{ErrorKind, RetryClass};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor};

use crate::commit_faults::{manifest_list, open};
use crate::commit_support::Fault::LostAnswer;
use crate::commit_support::{Warehouse, append, entries, soon};
use crate::logged::warnings;

/// An answer is lost, and then the table is renamed and created again: the commit is in the renamed one.
#[tokio::test]
async fn nothing_of_a_table_that_was_renamed_is_deleted() {
    let warehouse = Warehouse::new();
    let (catalog, committer) = open(&warehouse, &[], 1).await;
    committer.append(append(1, 1), soon()).await.expect("committed");
    catalog.faults.lock().expect("lock").push_back(LostAnswer);
    catalog.set_blind(true);
    let error = committer.append(append(1, 2), soon()).await.expect_err("unknown");
    assert_eq!(error.kind(), ErrorKind::CommitUnknown);
    rename_table(&warehouse, "logs_old").await;
    catalog.set_blind(false);
    let error = committer
        .append(append(1, 3), soon())
        .await
        .expect_err("written for the old table");
    assert_eq!(error.kind(), ErrorKind::Catalog);
    committer.append(append(1, 3), soon()).await.expect("committed");
    committer.close().await;
    let renamed = TableIdent::from_strs(["otel", "logs_old"]).expect("ident");
    let renamed = warehouse.catalog().await.load(&renamed).await.expect("loads");
    assert_eq!(entries(&renamed).await.len(), 2, "all of it can be read");
}

/// A clean-up of orphan files deletes what lies below a table's location and is not the table's.
#[tokio::test]
async fn a_table_made_anew_after_a_rename_is_not_where_the_renamed_one_is() {
    let warehouse = Warehouse::new();
    let (_, committer) = open(&warehouse, &[], 1).await;
    committer.append(append(1, 1), soon()).await.expect("committed");
    let renamed = committer.table();
    rename_table(&warehouse, "logs_2025").await;
    let (logged, _guard) = warnings();
    let error = committer
        .append(append(1, 2), soon())
        .await
        .expect_err("written for the renamed table");
    assert_eq!(error.kind(), ErrorKind::Catalog);
    let files = warehouse.metadata_files("");
    committer.append(append(1, 2), soon()).await.expect("committed");
    committer.close().await;
    let new = committer.table();
    let folder = |table: &LoadedTable| format!("{}/", table.metadata.location());
    let (old_folder, new_folder) = (folder(&renamed), folder(&new));
    assert!(!new_folder.starts_with(&old_folder), "{new_folder}");
    assert!(!old_folder.starts_with(&new_folder), "{new_folder}");
    assert_eq!(
        warehouse.metadata_files(""),
        files,
        "nothing is written beside the renamed table's files"
    );
    assert!(new.metadata_location.starts_with(&new_folder));
    assert!(manifest_list(&new).starts_with(&new_folder));
    assert_eq!(entries(&new).await.len(), 1);
    let lines = logged.lines();
    let told = lines
        .iter()
        .filter(|line| line.contains("another one of its name is written from here on"));
    assert_eq!(told.count(), 1, "{lines:?}");
}

async fn rename_table(warehouse: &Warehouse, name: &str) {
    let options = SqliteConnectOptions::new().filename(warehouse.folder.path().join("catalog.db"));
    let mut connection = options.connect().await.expect("connects");
    let rename = sqlx::query("UPDATE iceberg_tables SET table_name = ?").bind(name);
    rename.execute(&mut connection).await.expect("renamed");
}

#[tokio::test]
async fn table_dropped_meanwhile_is_made_anew_and_its_old_files_are_turned_away() {
    let warehouse = Warehouse::new();
    let (_, committer) = open(&warehouse, &[], 5).await;
    committer.append(append(1, 1), soon()).await.expect("committed");
    let old = committer.table().metadata.uuid();
    drop_table(&warehouse).await;
    let error = committer
        .append(append(1, 2), soon())
        .await
        .expect_err("written for the old table");
    assert_eq!(
        (error.kind(), error.retry_class()),
        (ErrorKind::Catalog, RetryClass::Retry { after: None })
    );
    committer
        .append(append(1, 2), soon())
        .await
        .expect("committed when sent again");
    assert_ne!(committer.table().metadata.uuid(), old);
    assert_eq!(entries(&committer.table()).await.len(), 1);
}

pub async fn drop_table(warehouse: &Warehouse) {
    let options = SqliteConnectOptions::new().filename(warehouse.folder.path().join("catalog.db"));
    let mut connection = options.connect().await.expect("connects");
    connection
        .execute("DELETE FROM iceberg_tables")
        .await
        .expect("deleted");
}
