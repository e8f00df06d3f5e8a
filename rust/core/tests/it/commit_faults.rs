//! Commits that are refused or whose outcome is unknown: nothing is stored twice, nothing is lost.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use iceberg::spec::{Operation, Snapshot, SnapshotReference, SnapshotRetention, Summary};
use iceberg::{TableIdent, TableRequirement, TableUpdate};
use otlp2iceberg::catalog::{Catalog, CommitOutcome, LoadedTable, TableSpec};
use otlp2iceberg::commit::{Append, Committer};
use otlp2iceberg::config::CommitConfig;
use otlp2iceberg::{ErrorKind, RequestId, Result, RetryClass};
use tokio::time::Instant;

use crate::commit_support::Fault::{
    self, Conflict, LostAnswer, LostRequest, Panic, Refusal, Throttled, TooMany, Twice, TwiceThrottled,
};
use crate::commit_support::{Faulty, Warehouse, append, entries, logs, soon, taken};
use crate::logged::warnings;

pub async fn open(warehouse: &Warehouse, faults: &[Fault], max_retries: u32) -> (Arc<Faulty>, Committer) {
    let catalog = Faulty::new(warehouse.catalog().await, faults.iter().copied());
    let config = CommitConfig {
        max_retries: Some(max_retries),
        ..CommitConfig::default()
    };
    let committer = warehouse.committer_with(catalog.clone(), config).await;
    (catalog, committer)
}

/// Checks that there is only the manifest list and the manifest of the current snapshot.
fn assert_no_leftovers(warehouse: &Warehouse) {
    assert_eq!(
        warehouse.metadata_files(".avro").len(),
        2,
        "{:?}",
        warehouse.metadata_files(".avro")
    );
}

/// The current snapshot's manifest list.
pub fn manifest_list(table: &LoadedTable) -> String {
    let snapshot = table.metadata.current_snapshot().expect("a snapshot");
    snapshot.manifest_list().to_owned()
}

#[tokio::test]
async fn every_way_to_fail_ends_with_the_file_in_the_table_once() {
    for (faults, attempts) in [
        (vec![Conflict], 2),
        (vec![Conflict, Conflict, Conflict], 4),
        (vec![LostRequest], 2),
        (vec![LostAnswer], 1),
        (vec![Twice], 1),
        (vec![Conflict, LostAnswer], 2),
        (vec![LostRequest, Conflict, LostAnswer], 3),
        (vec![LostRequest, LostRequest], 3),
    ] {
        let warehouse = Warehouse::new();
        let (_, committer) = open(&warehouse, &faults, 5).await;
        let committed = committer.append(append(1, 1), soon()).await.expect("committed");
        assert_eq!(
            (committed.attempts, committed.folded),
            (attempts, 1),
            "{faults:?}"
        );
        // The caller gets its answer before lost attempts are cleaned up. Closing waits for the clean-up.
        committer.close().await;
        let table = warehouse.catalog().await.load(&logs()).await.expect("loads");
        assert_eq!(
            table.metadata.current_snapshot_id(),
            Some(committed.snapshot_id),
            "{faults:?}"
        );
        assert_eq!(table.metadata.snapshots().len(), 1, "{faults:?}");
        assert_eq!(entries(&table).await.len(), 1, "{faults:?}");
        assert_no_leftovers(&warehouse);
    }
}

#[tokio::test]
async fn conflict_with_another_writer_keeps_both_files() {
    let warehouse = Warehouse::new();
    let (_, ours) = open(&warehouse, &[], 5).await;
    let (_, theirs) = open(&warehouse, &[], 5).await;
    theirs.append(append(2, 1), soon()).await.expect("committed");
    let committed = ours.append(append(1, 1), soon()).await.expect("committed");
    assert_eq!(committed.attempts, 2);
    assert_eq!(entries(&ours.table()).await.len(), 2);
}

#[tokio::test]
async fn what_another_writer_moved_on_from_and_removed_is_not_missed() {
    let warehouse = Warehouse::new();
    let (_, ours) = open(&warehouse, &[], 5).await;
    ours.append(append(1, 1), soon()).await.expect("committed");
    let first = manifest_list(&ours.table());
    let (_, theirs) = open(&warehouse, &[], 5).await;
    theirs.append(append(2, 1), soon()).await.expect("committed");
    assert_ne!(manifest_list(&theirs.table()), first);
    // As if the snapshot that we know last had been expired.
    ours.table().file_io.delete(&first).await.expect("deleted");
    let committed = ours.append(append(1, 2), soon()).await.expect("committed");
    assert_eq!(
        committed.attempts, 1,
        "the catalog saw only the one that could be made"
    );
    assert_eq!(entries(&ours.table()).await.len(), 3);
}

#[tokio::test]
async fn refusal_for_good_is_tried_once_and_cleaned_up() {
    let warehouse = Warehouse::new();
    let (_, committer) = open(&warehouse, &[Refusal], 5).await;
    let error = committer.append(append(1, 1), soon()).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Catalog);
    assert!(error.to_string().contains("told to refuse"), "{error}");
    assert_eq!(warehouse.metadata_files(".avro"), Vec::<String>::new());
    committer
        .append(append(1, 1), soon())
        .await
        .expect("committed when sent again");
    committer.close().await;
    assert_no_leftovers(&warehouse);
}

/// Java's catalog answered like this to an attempt whose sequence number had been taken by a commit to
/// another branch. Other catalogs do so in general.
#[tokio::test]
async fn refusal_for_good_of_a_table_that_moved_on_is_a_lost_race() {
    for on_main in [false, true] {
        let warehouse = Warehouse::new();
        let (catalog, committer) = open(&warehouse, &[], 5).await;
        committer.append(append(1, 1), soon()).await.expect("committed");
        let base = committer.table();
        let branch = if on_main { "main" } else { "audit" };
        taken(
            catalog
                .real
                .commit(&base, vec![], empty_snapshot(&base, branch))
                .await,
        );
        catalog.faults.lock().expect("lock").push_back(Refusal);
        let committed = committer.append(append(1, 2), soon()).await.expect("committed");
        assert_eq!(committed.attempts, 2, "{branch}");
        let table = committer.table();
        let snapshot = table.metadata.current_snapshot().expect("a snapshot");
        assert_eq!(snapshot.snapshot_id(), committed.snapshot_id);
        let theirs = table.metadata.snapshot_for_ref(branch).expect("the branch");
        assert_eq!(snapshot.sequence_number(), 3, "{branch}");
        assert_eq!(theirs.snapshot_id() == snapshot.snapshot_id(), on_main);
        assert_eq!(entries(&table).await.len(), 2, "{branch}");
    }
}

/// A snapshot that another tool adds to a branch, with the files of the current one.
fn empty_snapshot(table: &LoadedTable, branch: &str) -> Vec<TableUpdate> {
    let parent = table.metadata.current_snapshot().expect("a snapshot");
    let snapshot = Snapshot::builder()
        .with_snapshot_id(77)
        .with_parent_snapshot_id(Some(parent.snapshot_id()))
        .with_sequence_number(table.metadata.next_sequence_number())
        .with_timestamp_ms(parent.timestamp_ms() + 1)
        .with_manifest_list(parent.manifest_list())
        .with_summary(Summary {
            operation: Operation::Append,
            additional_properties: HashMap::new(),
        })
        .with_schema_id(table.metadata.current_schema_id())
        .build();
    let reference = SnapshotReference::new(77, SnapshotRetention::branch(None, None, None));
    let ref_name = branch.to_owned();
    vec![
        TableUpdate::AddSnapshot { snapshot },
        TableUpdate::SetSnapshotRef { ref_name, reference },
    ]
}

#[tokio::test]
async fn conflicts_without_end_give_an_error_after_the_retries() {
    let warehouse = Warehouse::new();
    let (_, committer) = open(&warehouse, &[Conflict; 3], 2).await;
    let error = committer.append(append(1, 1), soon()).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Catalog);
    assert_eq!(error.retry_class(), RetryClass::Retry { after: None });
    assert!(error.to_string().contains("attempts: 3"), "{error}");
    assert_eq!(warehouse.metadata_files(".avro"), Vec::<String>::new());
}

#[tokio::test]
async fn a_throttled_commit_is_tried_again_in_the_same_call() {
    let warehouse = Warehouse::new();
    let (catalog, committer) = open(&warehouse, &[TooMany], 5).await;
    let before = catalog.asked.load(Ordering::SeqCst);
    let committed = committer.append(append(1, 1), soon()).await.expect("committed");
    assert_eq!(committed.attempts, 2);
    let asked = catalog.asked.load(Ordering::SeqCst) - before;
    assert_eq!(
        asked, 3,
        "both attempts, and the look that the second begins with"
    );
    assert_eq!(entries(&committer.table()).await.len(), 1);
    committer.close().await;
    assert_no_leftovers(&warehouse);
}

#[tokio::test]
async fn throttling_without_end_gives_an_error_after_the_retries() {
    let warehouse = Warehouse::new();
    let (_, committer) = open(&warehouse, &[TooMany; 3], 2).await;
    let error = committer.append(append(1, 1), soon()).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Catalog);
    assert_eq!(error.retry_class(), RetryClass::Retry { after: None });
    assert!(error.to_string().contains("attempts: 3"), "{error}");
    assert_eq!(warehouse.metadata_files(".avro"), Vec::<String>::new());
}

#[tokio::test]
async fn attempts_stop_at_the_deadline() {
    let warehouse = Warehouse::new();
    let (_, committer) = open(&warehouse, &[Conflict; 1000], 1000).await;
    let error = committer
        .append(append(1, 1), Instant::now() + Duration::from_millis(200))
        .await
        .expect_err("late");
    assert_eq!(error.kind(), ErrorKind::Catalog);
}

#[tokio::test]
async fn unknown_stays_unknown_while_the_attempt_can_still_land() {
    let warehouse = Warehouse::new();
    let (_, committer) = open(&warehouse, &[LostRequest, Refusal], 5).await;
    let error = committer.append(append(1, 1), soon()).await.expect_err("unknown");
    assert_eq!(
        error.kind(),
        ErrorKind::CommitUnknown,
        "a refusal after an unknown outcome settles nothing"
    );
    assert_eq!(error.retry_class(), RetryClass::Retry { after: None });
    let told = "it is not known whether the commit was taken; a retry adds only what is missing";
    assert!(error.to_string().contains(told), "{error}");
    let left = warehouse.metadata_files(".avro");
    assert!(
        left.iter().any(|name| name.starts_with("snap-")),
        "files of an attempt in doubt are kept: {left:?}"
    );
    committer
        .append(append(1, 1), soon())
        .await
        .expect("committed when sent again");
    assert_eq!(entries(&committer.table()).await.len(), 1);
    // Now that the table has moved on, it cannot land any more.
    committer.close().await;
    assert_no_leftovers(&warehouse);
}

/// As in an outage in which tables can be loaded and no commit is answered.
#[tokio::test]
async fn files_of_many_commits_in_doubt_are_deleted_after_the_next_ones() {
    let in_doubt = [LostRequest; 70];
    let warehouse = Warehouse::new();
    let (_, committer) = open(&warehouse, &in_doubt, 0).await;
    for (sequence, _) in (1..).zip(in_doubt) {
        let error = committer.append(append(1, sequence), soon()).await;
        assert_eq!(error.expect_err("unknown").kind(), ErrorKind::CommitUnknown);
    }
    let left = warehouse.metadata_files(".avro").len();
    assert_eq!(left, 2 * in_doubt.len(), "each of them may still land");
    // One commit does not delete all of them.
    for sequence in [71, 72] {
        committer
            .append(append(1, sequence), soon())
            .await
            .expect("committed");
    }
    committer.close().await;
    assert_eq!(entries(&committer.table()).await.len(), 2);
    // The list and the manifest of both snapshots.
    assert_eq!(warehouse.metadata_files(".avro").len(), 4);
}

#[tokio::test]
async fn attempts_in_doubt_of_one_commit_are_warned_of_once() {
    let warehouse = Warehouse::new();
    let (_, committer) = open(&warehouse, &[LostRequest; 3], 5).await;
    let (logged, _guard) = warnings();
    let committed = committer.append(append(1, 1), soon()).await.expect("committed");
    assert_eq!(committed.attempts, 4);
    let lines = logged.lines();
    let told = lines
        .iter()
        .filter(|line| line.contains("the outcome of a commit attempt is unknown"));
    assert_eq!(told.count(), 1, "{lines:?}");
}

#[tokio::test]
async fn lost_answer_and_a_catalog_out_of_reach_are_found_when_sent_again() {
    let warehouse = Warehouse::new();
    let (catalog, committer) = open(&warehouse, &[LostAnswer], 1).await;
    catalog.set_blind(true);
    let error = committer.append(append(1, 1), soon()).await.expect_err("unknown");
    assert_eq!(error.kind(), ErrorKind::CommitUnknown);
    let error = committer
        .append(append(1, 1), soon())
        .await
        .expect_err("still unknown");
    assert_eq!(
        error.kind(),
        ErrorKind::CommitUnknown,
        "without a look nothing may be said, nor tried"
    );
    catalog.set_blind(false);
    let committed = committer.append(append(1, 1), soon()).await.expect("found");
    assert!(committed.already_there);
    assert_eq!(entries(&committer.table()).await.len(), 1);
}

#[tokio::test]
async fn refusal_without_a_fresh_look_is_unknown() {
    let warehouse = Warehouse::new();
    let (catalog, committer) = open(&warehouse, &[Conflict, Conflict], 1).await;
    catalog.set_blind(true);
    let error = committer.append(append(1, 1), soon()).await.expect_err("no look");
    assert_eq!(
        error.kind(),
        ErrorKind::CommitUnknown,
        "an earlier process may have committed these ids"
    );
}

#[tokio::test]
async fn a_commit_that_was_delivered_twice_keeps_its_files_until_it_is_found() {
    let warehouse = Warehouse::new();
    let (catalog, committer) = open(&warehouse, &[Twice], 1).await;
    catalog.set_blind(true);
    let error = committer.append(append(1, 1), soon()).await.expect_err("no look");
    assert_eq!(error.kind(), ErrorKind::CommitUnknown);
    catalog.set_blind(false);
    let committed = committer.append(append(1, 1), soon()).await.expect("found");
    assert!(committed.already_there);
    assert_eq!(entries(&committer.table()).await.len(), 1);
    assert_no_leftovers(&warehouse);
}

/// After a request to wait, the table is not reloaded. The attempt's files wait for the next reload.
#[tokio::test]
async fn what_was_refused_without_a_look_is_deleted_after_the_next_unless_it_is_in_the_table() {
    for (fault, already_there) in [(TwiceThrottled, true), (Throttled, false)] {
        let warehouse = Warehouse::new();
        let (_, committer) = open(&warehouse, &[fault], 5).await;
        let error = committer.append(append(1, 1), soon()).await.expect_err("to wait");
        assert!(
            error.retry_after().is_some_and(|after| !after.is_zero()),
            "{error}"
        );
        let left = warehouse.metadata_files(".avro");
        assert_eq!(left.len(), 2, "{fault:?}: {left:?}");
        let committed = committer.append(append(1, 1), soon()).await.expect("committed");
        assert_eq!(committed.already_there, already_there, "{fault:?}");
        committer.append(append(1, 2), soon()).await.expect("committed");
        assert_eq!(entries(&committer.table()).await.len(), 2, "{fault:?}");
        committer.close().await;
        // The list and the manifest of both snapshots.
        assert_eq!(warehouse.metadata_files(".avro").len(), 4, "{fault:?}");
    }
}

#[tokio::test]
async fn metadata_that_cannot_be_written_is_a_storage_error_and_commits_nothing() {
    let warehouse = Warehouse::new();
    let (_, committer) = open(&warehouse, &[], 5).await;
    let folder = warehouse.folder.path().join("otel/logs/metadata");
    let aside = warehouse.folder.path().join("aside");
    std::fs::rename(&folder, &aside).expect("moved");
    std::fs::write(&folder, "in the way").expect("written");
    let error = committer
        .append(append(1, 1), soon())
        .await
        .expect_err("cannot write");
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(
        error.to_string().contains("a file is in the way of a folder"),
        "{error}"
    );
    std::fs::remove_file(&folder).expect("removed");
    std::fs::rename(&aside, &folder).expect("moved back");
    committer
        .append(append(1, 1), soon())
        .await
        .expect("committed when sent again");
    committer.close().await;
    assert_no_leftovers(&warehouse);
}

#[tokio::test]
async fn file_whose_partition_does_not_fit_is_an_error_and_not_a_panic() {
    let warehouse = Warehouse::with(r#"{"partition_by": "none"}"#);
    let (_, committer) = open(&warehouse, &[], 5).await;
    let error = committer
        .append(append(1, 1), soon())
        .await
        .expect_err("the table has no partitions");
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(error.to_string().contains("/1-1.parquet"), "{error}");
    let unknown_spec = Append {
        table_id: None,
        partition_spec_id: 9,
        ..append(1, 2)
    };
    let error = committer
        .append(unknown_spec, soon())
        .await
        .expect_err("there is no such spec");
    assert_eq!(error.kind(), ErrorKind::TableMismatch);
}

#[tokio::test]
async fn what_a_lost_attempt_left_is_seen_before_it_is_asked_for() {
    let warehouse = Warehouse::new();
    let (catalog, committer) = open(&warehouse, &[LostAnswer], 1).await;
    let asked = [request(1, 1), request(1, 2)];
    catalog.set_blind(true);
    let error = committer.append(append(1, 1), soon()).await.expect_err("unknown");
    assert_eq!(error.kind(), ErrorKind::CommitUnknown);
    assert_eq!(
        committer.already_committed(&asked),
        [false, false],
        "as last seen"
    );
    let error = committer.refresh_if_stale().await.expect_err("out of reach");
    assert_eq!(
        (error.kind(), error.retry_class()),
        (ErrorKind::Catalog, RetryClass::Retry { after: None })
    );
    catalog.set_blind(false);
    committer.refresh_if_stale().await.expect("looked");
    assert_eq!(committer.already_committed(&asked), [true, false]);
    catalog.set_blind(true);
    committer
        .refresh_if_stale()
        .await
        .expect("nothing is in doubt any more, so nothing is loaded");
}

fn request(writer: u8, sequence: u64) -> RequestId {
    RequestId {
        writer: [writer; 16],
        sequence,
    }
}

#[tokio::test]
async fn panic_in_a_commit_ends_that_commit_only() {
    let warehouse = Warehouse::new();
    let (_, committer) = open(&warehouse, &[Panic], 5).await;
    let error = committer
        .append(append(1, 1), soon())
        .await
        .expect_err("panicked");
    assert_eq!(
        (error.kind(), error.retry_class()),
        (ErrorKind::Internal, RetryClass::Retry { after: None })
    );
    committer.append(append(1, 2), soon()).await.expect("committed");
    let committed = committer.append(append(1, 1), soon()).await.expect("found");
    assert!(committed.already_there);
    assert_eq!(entries(&committer.table()).await.len(), 2);
}

/// A catalog whose next answer to a commit reports the table after another writer's commit on top of it.
#[derive(Debug)]
struct Followed {
    real: Arc<dyn Catalog>,
    other: tokio::sync::Mutex<Option<Committer>>,
}

#[async_trait::async_trait]
impl Catalog for Followed {
    async fn ensure(&self, ident: &TableIdent, spec: Option<TableSpec>) -> Result<LoadedTable> {
        self.real.ensure(ident, spec).await
    }

    async fn load(&self, ident: &TableIdent) -> Result<LoadedTable> {
        self.real.load(ident).await
    }

    async fn commit(
        &self,
        base: &LoadedTable,
        requirements: Vec<TableRequirement>,
        updates: Vec<TableUpdate>,
    ) -> CommitOutcome {
        let outcome = self.real.commit(base, requirements, updates).await;
        if let Some(other) = self.other.lock().await.take() {
            assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
            other.append(append(9, 1), soon()).await.expect("committed");
            return CommitOutcome::Committed(self.real.load(&logs()).await.expect("loads"));
        }
        outcome
    }

    async fn reach(&self, ident: &TableIdent) -> Result<()> {
        self.real.reach(ident).await
    }
}

#[tokio::test]
async fn an_answer_that_tells_of_a_later_snapshot_deletes_nothing_of_ours() {
    let warehouse = Warehouse::new();
    let other = warehouse.committer(warehouse.catalog().await).await;
    let catalog = Arc::new(Followed {
        real: warehouse.catalog().await,
        other: tokio::sync::Mutex::new(Some(other)),
    });
    let committer = warehouse.committer(catalog).await;
    let committed = committer.append(append(1, 1), soon()).await.expect("committed");
    let table = committer.table();
    assert_ne!(Some(committed.snapshot_id), table.metadata.current_snapshot_id());
    assert_eq!(entries(&table).await.len(), 2, "both manifests can be read");
    assert!(table.metadata.snapshot_by_id(committed.snapshot_id).is_some());
    for snapshot in table.metadata.snapshots() {
        let list = table.file_io.new_input(snapshot.manifest_list()).expect("input");
        assert!(
            list.exists().await.expect("looked"),
            "{}",
            snapshot.manifest_list()
        );
    }
    committer.close().await;
}
