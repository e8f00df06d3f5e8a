//! How a request that is already stored is recognised: request by request, as far back as configured, and
//! further back after an unknown outcome.

use std::collections::HashMap;
use std::time::Duration;

use iceberg::TableUpdate;
use iceberg::spec::{MAIN_BRANCH, Operation, Snapshot, SnapshotReference, SnapshotRetention, Summary};
use otlp2iceberg::catalog::CommitOutcome;
use otlp2iceberg::config::CommitConfig;
use otlp2iceberg::{ErrorKind, RequestId, RetryClass};
use tokio::time::Instant;

use crate::catalog_rest::server::{Server, Turn};
use crate::catalog_rest::stub::Reply;
use crate::commit_requests::{Process, data_files, stored};
use crate::commit_support::Fault::LostAnswer;
use crate::commit_support::{Faulty, Warehouse, append, entries, logs, soon};

#[tokio::test]
async fn requests_merged_anew_after_a_crash_are_left_out_one_by_one() {
    let warehouse = Warehouse::new();
    let process = Process::start(&warehouse).await;
    process.send(&[1, 2, 3]).await.expect("stored");
    process.pipeline.close().await;
    // Their acknowledgement was lost with the process. The next process merges them in another way.
    let process = Process::unopened(&warehouse).await;
    for (merge, known, rows) in [
        (&[2, 4][..], 1, 1),
        (&[5, 1, 3, 6], 2, 2),
        (&[1, 2, 3], 3, 0),
        (&[6, 7, 0], 2, 1),
    ] {
        let outcome = process.send(merge).await.expect("stored");
        assert_eq!(
            (outcome.already_committed, outcome.rows),
            (known, rows),
            "{merge:?}"
        );
    }
    process.pipeline.close().await;
    assert_eq!(stored(&warehouse).await, (0..=7).collect::<Vec<u64>>());
}

#[tokio::test]
async fn the_window_is_what_is_configured() {
    let request = |sequence| RequestId {
        writer: [1; 16],
        sequence,
    };
    let asked = [request(1), request(2), request(3)];
    let hour = Duration::from_secs(3600);
    for (snapshots, age, found) in [
        (1, Duration::ZERO, [false, false, true]),
        (2, Duration::ZERO, [false, true, true]),
        (1, hour, [true, true, true]),
    ] {
        let warehouse = Warehouse::new();
        let config = CommitConfig {
            dedup_snapshots: snapshots,
            dedup_window: age,
            ..CommitConfig::default()
        };
        let committer = warehouse.committer_with(warehouse.catalog().await, config).await;
        for sequence in 1..=3 {
            // Snapshots of the same millisecond have the same age.
            tokio::time::sleep(Duration::from_millis(2)).await;
            committer
                .append(append(1, sequence), soon())
                .await
                .expect("committed");
        }
        assert_eq!(committer.already_committed(&asked), found, "{snapshots} {age:?}");
    }
}

#[tokio::test]
async fn after_an_unknown_outcome_the_window_reaches_back_to_it() {
    let warehouse = Warehouse::new();
    let config = CommitConfig {
        max_retries: Some(0),
        dedup_snapshots: 1,
        dedup_window: Duration::from_millis(1),
        ..CommitConfig::default()
    };
    let catalog = Faulty::new(warehouse.catalog().await, [LostAnswer]);
    let committer = warehouse.committer_with(catalog.clone(), config).await;
    catalog.set_blind(true);
    let error = committer.append(append(1, 1), soon()).await.expect_err("unknown");
    assert_eq!(error.kind(), ErrorKind::CommitUnknown);
    let other = warehouse.committer(warehouse.catalog().await).await;
    for sequence in 1..=5 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        other
            .append(append(2, sequence), soon())
            .await
            .expect("committed");
    }
    catalog.set_blind(false);
    let again = committer.append(append(1, 1), soon()).await.expect("found");
    assert!(again.already_there);
    assert_eq!(entries(&committer.table()).await.len(), 6);
}

#[tokio::test]
async fn files_of_a_refusal_for_good_are_deleted() {
    let warehouse = Warehouse::with(r#"{"partition_by": "day"}"#);
    let process = Process::start(&warehouse).await;
    assert_eq!(data_files(&warehouse).len(), 1);
    // Without the process's knowledge, the table loses the partition spec that the process uses.
    let catalog = warehouse.catalog().await;
    let table = catalog.load(&logs()).await.expect("loads");
    let outcome = catalog
        .commit(
            &table,
            vec![],
            vec![
                TableUpdate::AddSpec {
                    spec: iceberg::spec::UnboundPartitionSpec::builder()
                        .with_spec_id(1)
                        .build(),
                },
                TableUpdate::SetDefaultSpec { spec_id: -1 },
            ],
        )
        .await;
    let CommitOutcome::Committed(table) = outcome else {
        panic!("{outcome:?}");
    };
    let outcome = catalog
        .commit(
            &table,
            vec![],
            vec![TableUpdate::RemovePartitionSpecs { spec_ids: vec![0] }],
        )
        .await;
    assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
    process
        .catalog
        .faults
        .lock()
        .expect("lock")
        .push_back(crate::commit_support::Fault::Conflict);
    let error = process.send(&[1]).await.expect_err("no such spec");
    assert_eq!(
        (error.kind(), error.retry_class()),
        (ErrorKind::TableMismatch, RetryClass::Permanent),
        "{error}"
    );
    assert_eq!(
        data_files(&warehouse).len(),
        1,
        "only the file that the table knows"
    );
}

#[tokio::test]
async fn the_wait_that_a_catalog_asks_for_is_kept_and_passed_on() {
    for status in [429, 503] {
        let server = Server::new();
        let catalog = server.catalog("").await;
        let config = CommitConfig::default();
        let spec = Warehouse::new().spec();
        let committer = otlp2iceberg::commit::Committer::open(catalog, logs(), Some(spec), None, config)
            .await
            .expect("opens");
        let busy = Reply::Answer(status, vec![("retry-after", "17".into())], String::new());
        server.state().turns.push_back(Turn::Instead(busy));
        let before = server.stub.asked().len();
        let deadline = Instant::now() + Duration::from_secs(10);
        let error = committer.append(append(1, 1), deadline).await.expect_err("busy");
        let after = Some(Duration::from_secs(17));
        assert_eq!(error.retry_class(), RetryClass::Retry { after }, "{error}");
        assert_eq!(
            server.stub.asked().len() - before,
            1,
            "the commit alone: nothing is asked of it before the time"
        );
        committer
            .append(append(1, 1), soon())
            .await
            .expect("committed when sent again");
        assert_eq!(entries(&committer.table()).await.len(), 1);
    }
}

/// The last writer's clock is 20 minutes ahead.
#[tokio::test]
async fn a_table_that_is_ahead_of_the_clock_remembers_as_long_as_ever_and_stays_in_order() {
    let warehouse = Warehouse::new();
    let catalog = warehouse.catalog().await;
    let committer = warehouse.committer(catalog.clone()).await;
    committer.append(append(1, 1), soon()).await.expect("committed");
    let table = catalog.load(&logs()).await.expect("loaded");
    let parent = table.metadata.current_snapshot().expect("a snapshot").clone();
    let ahead = parent.timestamp_ms() + 20 * 60_000;
    let snapshot = Snapshot::builder()
        .with_snapshot_id(7)
        .with_parent_snapshot_id(Some(parent.snapshot_id()))
        .with_sequence_number(table.metadata.last_sequence_number() + 1)
        .with_timestamp_ms(ahead)
        .with_manifest_list(parent.manifest_list())
        .with_schema_id(table.metadata.current_schema_id())
        .with_summary(Summary {
            operation: Operation::Append,
            additional_properties: HashMap::new(),
        })
        .build();
    let reference = SnapshotReference::new(7, SnapshotRetention::branch(None, None, None));
    let updates = vec![
        TableUpdate::AddSnapshot { snapshot },
        TableUpdate::SetSnapshotRef {
            ref_name: MAIN_BRANCH.into(),
            reference,
        },
    ];
    let outcome = catalog.commit(&table, Vec::new(), updates).await;
    assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");

    let config = CommitConfig {
        dedup_snapshots: 1,
        dedup_window: Duration::from_secs(600),
        ..CommitConfig::default()
    };
    let committer = warehouse.committer_with(catalog.clone(), config).await;
    let request = |sequence| RequestId {
        writer: [1; 16],
        sequence,
    };
    assert_eq!(
        committer.already_committed(&[request(1), request(2)]),
        [true, false]
    );
    committer.append(append(1, 2), soon()).await.expect("committed");
    let metadata = catalog.load(&logs()).await.expect("loaded").metadata;
    let newest = metadata.current_snapshot().expect("a snapshot");
    assert_eq!(newest.timestamp_ms(), ahead + 1);
    assert_eq!(metadata.last_updated_ms(), ahead + 1);
}
