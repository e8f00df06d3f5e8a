//! Appends without faults, and many concurrent writers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use iceberg::spec::Operation;
use otlp2iceberg::commit::{Append, COMMIT_IDS, Committed, Committer};
use otlp2iceberg::config::CommitConfig;
use otlp2iceberg::{ErrorKind, RequestId, Result};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::commit_support::{
    Faulty, Warehouse, append, data_file, data_file_on_day, entries, ids, logs, manifests, soon, summary,
};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn appends_make_snapshots_with_the_totals_that_java_writes() {
    let warehouse = Warehouse::new();
    let committer = warehouse.committer(warehouse.catalog().await).await;
    let first = Append {
        table_id: None,
        files: vec![data_file("a", 10), data_file_on_day("b", 5, 20_001)],
        partition_spec_id: 0,
        ids: vec![ids(1, 1, 3), ids(2, 7, 7)],
        request_bytes: 0,
    };
    let committed = committer.append(first, soon()).await.expect("committed");
    let expected = Committed {
        snapshot_id: committed.snapshot_id,
        attempts: 1,
        folded: 1,
        already_there: false,
    };
    assert_eq!(committed, expected);
    let table = committer.table();
    let snapshot = table.metadata.current_snapshot().expect("a snapshot");
    assert_eq!(snapshot.snapshot_id(), committed.snapshot_id);
    assert_eq!(
        (snapshot.sequence_number(), snapshot.parent_snapshot_id()),
        (1, None)
    );
    assert_eq!(snapshot.summary().operation, Operation::Append);

    committer.append(append(1, 4), soon()).await.expect("committed");
    let table = warehouse.catalog().await.load(&logs()).await.expect("loads");
    let snapshot = table.metadata.current_snapshot().expect("a snapshot");
    assert_eq!(snapshot.parent_snapshot_id(), Some(committed.snapshot_id));
    assert_eq!(snapshot.sequence_number(), 2);
    for (key, value) in [
        ("added-data-files", "1"),
        ("added-records", "10"),
        ("added-files-size", "1000"),
        ("changed-partition-count", "1"),
        ("total-data-files", "3"),
        ("total-records", "25"),
        ("total-files-size", "2500"),
        ("total-delete-files", "0"),
        ("total-position-deletes", "0"),
        ("total-equality-deletes", "0"),
        ("manifests-created", "1"),
        ("manifests-kept", "1"),
        ("manifests-replaced", "0"),
        (COMMIT_IDS, "01010101010101010101010101010101:4"),
    ] {
        assert_eq!(summary(&table).get(key).map(String::as_str), Some(value), "{key}");
    }
    let entries = entries(&table).await;
    let numbers: Vec<_> = entries
        .values()
        .map(|entry| (entry.sequence_number(), entry.record_count()))
        .collect();
    assert_eq!(numbers, [(Some(2), 10), (Some(1), 10), (Some(1), 5)]);
    let bounds = manifests(&table)
        .await
        .pop()
        .and_then(|manifest| manifest.partitions)
        .expect("summaries");
    assert_eq!(
        bounds[0].lower_bound.as_deref(),
        Some(&20_000i32.to_le_bytes().to_vec())
    );
    assert_eq!(
        bounds[0].upper_bound.as_deref(),
        Some(&20_001i32.to_le_bytes().to_vec())
    );
}

#[tokio::test]
async fn ids_are_found_after_reopening_and_not_added_again() {
    let warehouse = Warehouse::new();
    let committer = warehouse.committer(warehouse.catalog().await).await;
    let first = committer.append(append(1, 1), soon()).await.expect("committed");
    committer.append(append(1, 2), soon()).await.expect("committed");
    committer.close().await;

    let committer = warehouse.committer(warehouse.catalog().await).await;
    let asked = [(1, 1), (1, 2), (1, 3), (2, 1)].map(|(writer, sequence)| RequestId {
        writer: [writer; 16],
        sequence,
    });
    assert_eq!(committer.already_committed(&asked), [true, true, false, false]);
    let again = committer.append(append(1, 1), soon()).await.expect("found");
    assert_eq!(
        again,
        Committed {
            snapshot_id: first.snapshot_id,
            attempts: 0,
            folded: 0,
            already_there: true
        }
    );
    assert_eq!(entries(&committer.table()).await.len(), 2);
}

#[tokio::test]
async fn append_that_is_there_in_part_is_turned_away() {
    let warehouse = Warehouse::new();
    let committer = warehouse.committer(warehouse.catalog().await).await;
    committer.append(append(1, 1), soon()).await.expect("committed");
    let both = Append {
        table_id: None,
        ids: vec![ids(1, 1, 2)],
        ..append(1, 2)
    };
    let error = committer.append(both, soon()).await.expect_err("in part");
    assert_eq!(error.kind(), ErrorKind::Catalog);
    assert_eq!(entries(&committer.table()).await.len(), 1);
}

#[tokio::test]
async fn appends_that_arrive_during_a_commit_share_the_next_snapshot() {
    let warehouse = Warehouse::new();
    let catalog = Faulty::gated(warehouse.catalog().await);
    let committer = Arc::new(warehouse.committer(catalog.clone()).await);
    let send = |sequence| {
        let committer = Arc::clone(&committer);
        tokio::spawn(async move {
            committer
                .append(append(1, sequence), soon())
                .await
                .expect("committed")
        })
    };
    let first = send(1);
    catalog.reached.acquire().await.expect("reached").forget();
    let others: Vec<_> = (2..=6).map(send).collect();
    // The same request sent twice at once must be added once.
    let twin = send(2);
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    catalog.gate.add_permits(2);
    assert_eq!(first.await.expect("joined").folded, 1);
    let mut snapshots = BTreeSet::new();
    for other in others {
        let committed = other.await.expect("joined");
        assert!(committed.already_there || committed.folded == 5, "{committed:?}");
        snapshots.insert(committed.snapshot_id);
    }
    assert!(snapshots.contains(&twin.await.expect("joined").snapshot_id));
    assert_eq!(snapshots.len(), 1);
    assert_eq!(committer.table().metadata.snapshots().len(), 2);
    assert_eq!(entries(&committer.table()).await.len(), 6);
}

#[tokio::test]
async fn append_not_begun_by_its_deadline_is_cancelled_and_one_begun_is_finished() {
    let warehouse = Warehouse::new();
    let catalog = Faulty::gated(warehouse.catalog().await);
    let committer = Arc::new(warehouse.committer(catalog.clone()).await);
    let begun = tokio::spawn({
        let committer = Arc::clone(&committer);
        async move { committer.append(append(1, 1), soon()).await }
    });
    catalog.reached.acquire().await.expect("reached").forget();
    let error = committer
        .append(append(1, 2), Instant::now() + Duration::from_millis(20))
        .await
        .expect_err("late");
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    // The caller is cancelled, but the commit that was begun is not.
    begun.abort();
    catalog.gate.add_permits(1);
    committer.close().await;
    assert_eq!(entries(&committer.table()).await.len(), 1);
    let error = committer.append(append(1, 3), soon()).await.expect_err("closed");
    assert_eq!(error.kind(), ErrorKind::Shutdown);
}

/// A committer whose next commit is allowed only in an hour, and three appends that wait for it.
async fn three_that_wait(warehouse: &Warehouse) -> (Arc<Committer>, Vec<JoinHandle<Result<Committed>>>) {
    let config = CommitConfig {
        interval: HOUR,
        ..CommitConfig::default()
    };
    let committer = Arc::new(warehouse.committer_with(warehouse.catalog().await, config).await);
    committer
        .append(append(1, 1), soon())
        .await
        .expect("the first does not wait");
    let waiting = (2..=4)
        .map(|sequence| {
            let committer = Arc::clone(&committer);
            tokio::spawn(async move { committer.append(append(1, sequence), Instant::now() + HOUR).await })
        })
        .collect();
    // All three are queued when this returns: each has been polled once.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    (committer, waiting)
}

#[tokio::test]
async fn interval_keeps_commits_apart_and_yields_to_closing() {
    let warehouse = Warehouse::new();
    let (committer, waiting) = three_that_wait(&warehouse).await;
    committer.close().await;
    for task in waiting {
        assert_eq!(task.await.expect("joined").expect("committed").folded, 3);
    }
}

#[tokio::test]
async fn interval_yields_to_much_that_waits() {
    let warehouse = Warehouse::new();
    let (committer, waiting) = three_that_wait(&warehouse).await;
    let much = Append {
        request_bytes: CommitConfig::WAITING_BYTES_MAX - 300,
        ..append(1, 5)
    };
    let committed = committer.append(much, Instant::now() + HOUR).await;
    assert_eq!(committed.expect("committed").folded, 4);
    for task in waiting {
        assert_eq!(task.await.expect("joined").expect("committed").folded, 4);
    }
    // The next interval has begun.
    let little = committer.append(append(1, 6), Instant::now() + HOUR);
    assert!(
        tokio::time::timeout(Duration::from_millis(50), little)
            .await
            .is_err()
    );
    committer.close().await;
}

#[tokio::test]
async fn interval_yields_to_haste_and_so_it_stays() {
    let warehouse = Warehouse::new();
    let (committer, waiting) = three_that_wait(&warehouse).await;
    committer.begin_shutdown();
    for task in waiting {
        assert_eq!(task.await.expect("joined").expect("committed").folded, 3);
    }
    let late = Instant::now() + HOUR;
    let committed = committer.append(append(1, 5), late).await.expect("committed");
    assert_eq!(committed.folded, 1);
    committer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_with_eight_tasks_each_append_everything_once() {
    let warehouse = Warehouse::new();
    let config = CommitConfig {
        max_retries: Some(100),
        ..CommitConfig::default()
    };
    let mut tasks = Vec::new();
    let mut committers = Vec::new();
    for process in 1..=2u8 {
        let catalog = warehouse.catalog().await;
        let committer = Arc::new(warehouse.committer_with(catalog, config.clone()).await);
        committers.push(Arc::clone(&committer));
        for task in 0..8u64 {
            let committer = Arc::clone(&committer);
            tasks.push(tokio::spawn(async move {
                for i in 0..5 {
                    let committed = committer
                        .append(append(process, 100 * task + i), soon())
                        .await
                        .expect("committed");
                    assert!(!committed.already_there);
                }
            }));
        }
    }
    for task in tasks {
        task.await.expect("joined");
    }
    let table = warehouse.catalog().await.load(&logs()).await.expect("loads");
    assert_eq!(entries(&table).await.len(), 80);
    assert_eq!(
        summary(&table).get("total-records").map(String::as_str),
        Some("800")
    );
    // Lost attempts leave no files behind: there is one list per snapshot.
    for committer in committers {
        committer.close().await;
    }
    let files = warehouse.metadata_files(".avro");
    let lists = files.iter().filter(|name| name.starts_with("snap-")).count();
    assert_eq!(lists, table.metadata.snapshots().len());
}
