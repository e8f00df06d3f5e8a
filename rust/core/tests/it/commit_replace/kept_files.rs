//! When replaced files are deleted, and which of them stay.

use std::fs;
use std::time::{Duration, SystemTime};

use iceberg::TableUpdate;
use iceberg::spec::{Struct, UnboundPartitionSpec};
use otlp2iceberg::catalog::{Catalog, CommitOutcome};
use otlp2iceberg::commit::Append;

use super::support::{
    KEPT, Stored, TABLES, by_day, entry, live, names, opened, opened_keeping, opened_with, replace,
    replace_seen, unmerged, window,
};
use crate::commit_support::{Warehouse, append, ids, manifests, soon};
use crate::odd_manifests::odd_append;

#[tokio::test]
async fn replaced_files_go_with_the_last_snapshot_that_has_them() {
    let (stored, _, committer) = opened([]).await;
    replace(&committer, stored.file("joined", 20), &["1-2", "1-3"])
        .await
        .expect("replaced");
    for sequence in 5..=40 {
        stored.commit(&committer, sequence..=sequence).await;
        let oldest = committer
            .table()
            .metadata
            .snapshots()
            .map(|kept| kept.sequence_number())
            .min();
        if oldest < Some(5) {
            assert!(
                stored.there().is_superset(&names(["1-2", "1-3"])),
                "a snapshot has them"
            );
        }
    }
    committer.close().await;
    let live = live(&committer).await;
    assert_eq!(live.len(), 39);
    assert_eq!(stored.there(), live, "the others are all there");
    assert!(committer.table().metadata.snapshots().len() <= KEPT + 1);
}

#[tokio::test]
async fn files_that_came_again_stay() {
    let (stored, _, committer) = opened([]).await;
    replace(&committer, stored.file("joined", 20), &["1-2", "1-3"])
        .await
        .expect("replaced");
    stored.commit(&committer, 5..=9).await;
    // A request that is not recognised any more adds the same file to the table again.
    let late = Append {
        ids: vec![ids(2, 1, 1)],
        ..stored.append(2)
    };
    committer.append(late, soon()).await.expect("committed");
    // Another request has a file that is written and not committed yet.
    let written = SystemTime::now() + Duration::from_secs(3_600);
    let file = fs::File::options()
        .write(true)
        .open(stored.path("1-3"))
        .expect("opens");
    file.set_modified(written).expect("set");
    stored.commit(&committer, 10..=40).await;
    committer.close().await;
    assert!(live(&committer).await.contains("1-2.parquet"));
    assert!(stored.there().is_superset(&names(["1-2", "1-3"])));
}

#[tokio::test]
async fn a_file_that_came_again_while_it_was_being_replaced_stays() {
    let (stored, _, committer) = opened_with(&unmerged(), []).await;
    let other = stored.0.committer_with(stored.0.catalog().await, window()).await;
    // The committer has loaded the state that the files were chosen from. Then another writer adds one of
    // them again.
    let late = Append {
        ids: vec![ids(2, 1, 1)],
        ..stored.append(2)
    };
    other.append(late, soon()).await.expect("committed");
    replace(&committer, stored.file("joined", 20), &["1-2", "1-3"])
        .await
        .expect("replaced");
    assert_eq!(live(&committer).await, names(["1-1", "1-2", "1-4", "joined"]));
    stored.commit(&committer, 5..=40).await;
    committer.close().await;
    assert!(live(&committer).await.contains("1-2.parquet"));
    assert!(stored.there().contains("1-2.parquet"), "the table has it");
    assert!(!stored.there().contains("1-3.parquet"));
}

/// A file that is registered, or added again by an engine, after the table's partition spec has changed is
/// listed under both specs.
#[tokio::test]
async fn a_file_that_the_table_has_in_another_partition_spec_stays() {
    in_another_spec(KEPT, None).await;
}

/// Enough snapshots to expire those before both compactions at once.
#[tokio::test]
async fn such_a_file_stays_also_if_others_of_that_spec_were_replaced_shortly_before() {
    in_another_spec(60, Some(["1-3", "1-4"])).await;
}

async fn in_another_spec(snapshots: usize, replaced_before: Option<[&str; 2]>) {
    let (stored, catalog, committer) = opened_keeping(snapshots, &unmerged(), []).await;
    if let Some(before) = replaced_before {
        replace(&committer, stored.file("before", 20), &before)
            .await
            .expect("replaced");
    }
    let unpartitioned = vec![
        TableUpdate::AddSpec {
            spec: UnboundPartitionSpec::builder().build(),
        },
        TableUpdate::SetDefaultSpec { spec_id: -1 },
    ];
    let outcome = catalog.commit(&committer.table(), vec![], unpartitioned).await;
    assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
    committer.mark_stale();
    committer.refresh_if_stale().await.expect("looked at");
    let spec_id = committer.table().metadata.default_partition_spec_id();
    let without_partition = |name: &str, rows: u64| {
        stored.file(name, rows);
        entry(&stored.path(name), rows, Struct::empty(), spec_id)
    };
    let again = Append {
        files: vec![without_partition("1-2", 10), without_partition("2-1", 10)],
        partition_spec_id: spec_id,
        ..append(2, 1)
    };
    committer.append(again, soon()).await.expect("committed");
    let table = committer.table();
    let manifests = manifests(&table).await;
    let of_spec = manifests
        .iter()
        .find(|manifest| manifest.partition_spec_id == spec_id);
    let manifest = &of_spec.expect("a manifest").manifest_path;
    let path = |name: &str| format!("file://{}", stored.path(name).display());
    let seen = ["1-2", "2-1"].map(|name| (path(name), manifest.clone()));
    let joined = vec![without_partition("joined", 20)];
    replace_seen(&committer, joined, seen.into(), spec_id)
        .await
        .expect("replaced");
    stored.commit(&committer, 5..=snapshots as u64 + 30).await;
    committer.close().await;
    assert!(live(&committer).await.is_superset(&names(["1-2", "joined"])));
    assert!(stored.there().contains("1-2.parquet"), "the table has it");
    let gone = replaced_before.into_iter().flatten().chain(["2-1"]);
    assert!(stored.there().is_disjoint(&names(gone)), "and not these");
}

/// Another program adds a replaced file again, in a manifest that iceberg-rust refuses.
#[tokio::test]
async fn a_manifest_that_is_refused_still_says_which_replaced_files_stay() {
    let (stored, _, committer) = opened([]).await;
    replace(&committer, stored.file("joined", 20), &["1-2", "1-3"])
        .await
        .expect("replaced");
    let again = format!("file://{}", stored.path("1-2").display());
    odd_append(&stored.0, &again, by_day(), 1_000).await;
    stored.commit(&committer, 5..=40).await;
    committer.close().await;
    assert!(committer.table().metadata.snapshots().len() <= KEPT + 1);
    assert!(stored.there().contains("1-2.parquet"), "the table has it");
    assert!(!stored.there().contains("1-3.parquet"), "and not this one");
}

#[tokio::test]
async fn nothing_outside_of_the_table_is_deleted() {
    let warehouse = Warehouse::with(TABLES);
    let committer = warehouse
        .committer_with(warehouse.catalog().await, window())
        .await;
    let elsewhere = tempfile::tempdir().expect("folder");
    let path = elsewhere.path().join("1-1.parquet");
    fs::write(&path, "of somebody else").expect("written");
    let stored = Stored(warehouse);
    let append = Append {
        files: vec![entry(&path, 10, by_day(), 0)],
        ..append(1, 1)
    };
    committer.append(append, soon()).await.expect("committed");
    stored.commit(&committer, 2..=2).await;
    replace(&committer, stored.file("joined", 20), &["1-1", "1-2"])
        .await
        .expect("replaced");
    stored.commit(&committer, 3..=30).await;
    committer.close().await;
    assert!(path.exists());
    assert!(!stored.path("1-2").exists());
}
