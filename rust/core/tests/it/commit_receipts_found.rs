//! Receipts that a process finds. They are committed once, regardless of which process finds them and when,
//! or left alone with a reason.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::{join, join_all};
use iceberg::spec::{
    MAIN_BRANCH, ManifestListWriter, Operation, PrimitiveType, Snapshot, Summary, TableMetadataBuilder,
};
use iceberg::{TableRequirement, TableUpdate};
use otlp2iceberg::Table;
use otlp2iceberg::catalog::{Catalog, CommitOutcome, LoadedTable};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor};

use crate::commit_requests::{ACCEPT, Process, data_files, receipts, receipts_folder, stored};
use crate::commit_support::{Warehouse, logs};
use crate::found::support::{loaded, made};
use crate::logged::warnings;

/// A warehouse that holds request 0, and one receipt for each of these requests, left behind by their
/// process.
async fn left_behind(requests: &[u64]) -> Warehouse {
    let warehouse = Warehouse::with_sections(ACCEPT);
    let process = Process::start(&warehouse).await;
    process.catalog.set_down(true);
    for number in requests {
        process.send(&[*number]).await.expect("accepted");
    }
    process.pipeline.close().await;
    assert_eq!(receipts(&warehouse).len(), requests.len());
    warehouse
}

/// All receipts by name, to restore them as if they had not been deleted.
fn copies(warehouse: &Warehouse) -> BTreeMap<String, Vec<u8>> {
    let read = |name: String| {
        let content = std::fs::read(receipts_folder(warehouse).join(&name)).expect("read");
        (name, content)
    };
    receipts(warehouse).into_iter().map(read).collect()
}

fn put_back(warehouse: &Warehouse, copies: &BTreeMap<String, Vec<u8>>) {
    for (name, content) in copies {
        std::fs::write(receipts_folder(warehouse).join(name), content).expect("written");
    }
}

/// Starts a process that stores this request and commits what it finds.
async fn collected(warehouse: &Warehouse, request: u64) -> Process {
    let process = Process::unopened(warehouse).await;
    process.send(&[request]).await.expect("stored, or known");
    process.pipeline.collect_receipts().await.expect("collected");
    process
}

#[tokio::test]
async fn the_next_process_commits_them_and_knows_their_requests_before() {
    let warehouse = left_behind(&[1, 2]).await;
    let process = Process::unopened(&warehouse).await;
    // Request 1 is delivered again, merged with a new one.
    let outcome = process.send(&[1, 3]).await.expect("stored");
    assert_eq!((outcome.already_committed, outcome.rows), (1, 1));
    process.pipeline.collect_receipts().await.expect("committed");
    assert_eq!(stored(&warehouse).await, [0, 1, 2, 3]);
    assert_eq!(receipts(&warehouse), Vec::<String>::new());
}

#[tokio::test]
async fn many_processes_that_find_the_same_receipts_commit_each_once() {
    let requests: Vec<u64> = (1..=20).collect();
    let warehouse = left_behind(&requests).await;
    let processes = join_all((0..8).map(|_| Process::unopened(&warehouse))).await;
    let all = processes.iter().map(|process| async {
        process.send(&[0]).await.expect("known");
        // Losing every race is harmless: another process wins it.
        while process.pipeline.collect_receipts().await.is_err() {}
    });
    join_all(all).await;
    assert_eq!(stored(&warehouse).await, (0..=20).collect::<Vec<u64>>());
    assert_eq!(receipts(&warehouse), Vec::<String>::new());
}

#[tokio::test]
async fn a_crash_between_commit_and_deletion_is_found_beyond_the_window_too() {
    let warehouse = left_behind(&[1]).await;
    let copies = copies(&warehouse);
    let narrow = Warehouse {
        config: with_narrow_window(&warehouse),
        ..warehouse
    };
    let process = collected(&narrow, 0).await;
    for number in 2..10 {
        process.send(&[number]).await.expect("stored");
    }
    put_back(&narrow, &copies);
    let process = collected(&narrow, 10).await;
    assert_eq!(receipts(&narrow), Vec::<String>::new());
    assert_eq!(stored(&narrow).await, (0..=10).collect::<Vec<u64>>());
    assert_eq!(process.send(&[99]).await.expect("stored").receipts_committed, 0);
}

/// Waits for a condition.
async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Does both. Fails if that takes so long that one of them will not end.
async fn both(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    let ended = tokio::time::timeout(Duration::from_secs(60), join(one, other)).await;
    ended.expect("both end");
}

/// The catalog is asked for each table in each round.
const ASKED_IN_A_ROUND: usize = Table::ALL.len();

#[tokio::test]
async fn a_process_without_data_commits_what_is_left_once_the_catalog_answers() {
    let warehouse = left_behind(&[1, 2])
        .await
        .reconfigured(r#""commit": {"on_failure": "accept", "receipts_interval": "1s"}"#);
    let process = Process::unopened(&warehouse).await;
    process.catalog.set_down(true);
    let (logged, _guard) = warnings();
    let committed = async {
        until(|| process.catalog.asked.load(Ordering::SeqCst) > ASKED_IN_A_ROUND).await;
        process.catalog.set_down(false);
        until(|| receipts(&warehouse).is_empty()).await;
    };
    // The first one ends once the catalog answered about each table.
    both(process.pipeline.commit_left_receipts(), committed).await;
    assert_eq!(stored(&warehouse).await, [0, 1, 2]);
    let lines = logged.lines();
    let told = |line: &&String| line.contains("to look for receipts of earlier processes");
    assert_eq!(lines.iter().filter(told).count(), 1, "{lines:?}");
    let tables = std::fs::read_dir(warehouse.folder.path().join("otel")).expect("folder");
    assert_eq!(tables.count(), 1, "no table is made");
    process.pipeline.close().await;
}

/// A Collector of metrics must not change another program's table that is called `logs`, nor warn of it.
#[tokio::test]
async fn a_table_without_our_columns_and_receipts_is_left_to_its_first_write() {
    for (column, of_type) in [("line", PrimitiveType::String), ("Body", PrimitiveType::Int)] {
        let warehouse = Warehouse::with_sections(ACCEPT);
        let before = made(&warehouse, &[(column, of_type)]).await;
        let process = Process::unopened(&warehouse).await;
        let (logged, _guard) = warnings();
        both(process.pipeline.commit_left_receipts(), async {}).await;
        assert_eq!(logged.lines(), Vec::<String>::new(), "{column}");
        assert_eq!(
            loaded(&warehouse).await.metadata_location,
            before.metadata_location
        );
        process.pipeline.close().await;
    }
}

#[tokio::test]
async fn the_look_for_what_is_left_ends_with_its_process() {
    let warehouse = left_behind(&[1])
        .await
        .reconfigured(r#""commit": {"on_failure": "accept", "receipts_interval": "24h"}"#);
    let process = Process::unopened(&warehouse).await;
    process.catalog.set_down(true);
    let closed = async {
        until(|| process.catalog.asked.load(Ordering::SeqCst) >= ASKED_IN_A_ROUND).await;
        process.pipeline.close().await;
    };
    both(process.pipeline.commit_left_receipts(), closed).await;
    assert_eq!(receipts(&warehouse).len(), 1);
    assert_eq!(stored(&warehouse).await, [0]);
}

#[tokio::test]
async fn without_accept_no_table_is_opened_before_its_first_write() {
    let warehouse = left_behind(&[1]).await.reconfigured(r#""commit": {}"#);
    let process = Process::unopened(&warehouse).await;
    process.pipeline.commit_left_receipts().await;
    assert_eq!(process.catalog.asked.load(Ordering::SeqCst), 0);
    process.pipeline.close().await;
}

fn with_narrow_window(warehouse: &Warehouse) -> otlp2iceberg::config::Config {
    let mut config = warehouse.config.clone();
    config.commit.dedup_snapshots = 1;
    config.commit.dedup_window = std::time::Duration::ZERO;
    config
}

#[tokio::test]
async fn after_its_snapshot_was_expired_a_receipt_is_known_by_its_files() {
    let warehouse = left_behind(&[1]).await;
    let copies = copies(&warehouse);
    let process = collected(&warehouse, 0).await;
    for number in 2..5 {
        process.send(&[number]).await.expect("stored");
    }
    process.pipeline.close().await;
    expire_all_but_the_newest(&warehouse).await;
    put_back(&warehouse, &copies);
    collected(&warehouse, 5).await;
    assert_eq!(receipts(&warehouse), Vec::<String>::new());
    assert_eq!(stored(&warehouse).await, [0, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn after_a_compaction_too_it_cannot_be_told_and_is_kept_until_a_person_says() {
    let warehouse = left_behind(&[1, 2]).await;
    let copies = copies(&warehouse);
    collected(&warehouse, 0).await.pipeline.close().await;
    // As if all rows had been rewritten into other files: none of our files is listed any more.
    replace_all_files(&warehouse).await;
    expire_all_but_the_newest(&warehouse).await;
    put_back(&warehouse, &copies);
    let process = collected(&warehouse, 7).await;
    assert_eq!(receipts(&warehouse).len(), 2, "kept");
    assert_eq!(stored(&warehouse).await, [7]);
    process.send(&[8]).await.expect("nobody is held up");
    process.pipeline.close().await;

    let first = receipts(&warehouse).remove(0);
    let approved = first.replace(".json", ".approved.json");
    std::fs::rename(
        receipts_folder(&warehouse).join(&first),
        receipts_folder(&warehouse).join(&approved),
    )
    .expect("renamed");
    collected(&warehouse, 8).await;
    assert_eq!(
        stored(&warehouse).await,
        [1, 7, 8],
        "{first} was approved, and no other"
    );
    assert_eq!(receipts(&warehouse).len(), 1);
}

#[tokio::test]
async fn snapshots_of_others_since_do_not_hide_that_it_was_not_committed() {
    let warehouse = left_behind(&[1]).await;
    replace_all_files(&warehouse).await;
    expire_all_but_the_newest(&warehouse).await;
    collected(&warehouse, 2).await;
    assert_eq!(
        stored(&warehouse).await,
        [1, 2],
        "the one snapshot left follows the one that the receipt was made on"
    );
}

#[tokio::test]
async fn receipts_that_cannot_be_committed_hold_nobody_up() {
    let warehouse = left_behind(&[1, 2, 3, 4, 5]).await;
    let names = receipts(&warehouse);
    let change = |name: &String, change: &dyn Fn(&mut Value)| {
        let path = receipts_folder(&warehouse).join(name);
        let mut receipt: Value = serde_json::from_slice(&std::fs::read(&path).expect("read")).expect("JSON");
        change(&mut receipt);
        std::fs::write(&path, receipt.to_string()).expect("written");
    };
    change(&names[0], &|receipt| {
        receipt["table-uuid"] = json!("00000000-0000-0000-0000-000000000000");
    });
    change(&names[1], &|receipt| receipt["version"] = json!(2));
    std::fs::write(
        receipts_folder(&warehouse).join(&names[2]),
        r#"{"version": 1, "table"#,
    )
    .expect("written");
    change(&names[3], &|receipt| {
        let path = receipt["files"][0]["file_path"].as_str().expect("a path");
        std::fs::remove_file(path.trim_start_matches("file://")).expect("removed");
    });
    std::fs::write(receipts_folder(&warehouse).join("notes.txt"), "not ours").expect("written");
    let process = collected(&warehouse, 0).await;
    assert_eq!(stored(&warehouse).await, [0, 5]);
    assert_eq!(receipts(&warehouse), names[..4], "left alone");
    process.pipeline.collect_receipts().await.expect("nothing to do");
    // Requests of receipts that will never be committed count as new.
    let outcome = process.send(&[1]).await.expect("stored");
    assert_eq!((outcome.already_committed, outcome.rows), (0, 1));
}

#[tokio::test]
async fn a_request_that_was_committed_otherwise_keeps_its_receipt_from_doubling_it() {
    let warehouse = Warehouse::with_sections(ACCEPT);
    let process = Process::start(&warehouse).await;
    process.catalog.set_down(true);
    process.send(&[1]).await.expect("accepted");
    process.send(&[2, 3]).await.expect("accepted");
    process.pipeline.close().await;
    // A process that cannot see receipts stores requests 1 and 2.
    let aside = receipts_folder(&warehouse).with_file_name("aside");
    std::fs::rename(receipts_folder(&warehouse), &aside).expect("moved");
    let other = Process::unopened(&warehouse).await;
    other.send(&[1, 2]).await.expect("stored");
    std::fs::rename(&aside, receipts_folder(&warehouse)).expect("moved back");
    other.pipeline.collect_receipts().await.expect("collected");
    assert_eq!(stored(&warehouse).await, [0, 1, 2]);
    assert_eq!(
        receipts(&warehouse).len(),
        1,
        "the one for 2 and 3 is kept and told of"
    );
    other.pipeline.close().await;

    // No caller relies on the receipt, so request 3 is stored when it is sent again. Then all requests are
    // stored.
    let next = Process::unopened(&warehouse).await;
    let outcome = next.send(&[2, 3]).await.expect("stored");
    assert_eq!((outcome.already_committed, outcome.rows), (1, 1));
    next.pipeline.close().await;
    collected(&warehouse, 0).await.pipeline.close().await;
    assert_eq!(stored(&warehouse).await, [0, 1, 2, 3]);
    assert_eq!(receipts(&warehouse), Vec::<String>::new());
}

#[tokio::test]
async fn a_receipt_of_a_table_that_was_made_anew_is_left_alone() {
    let warehouse = left_behind(&[1]).await;
    let options = SqliteConnectOptions::new().filename(warehouse.folder.path().join("catalog.db"));
    let mut connection = options.connect().await.expect("connects");
    connection
        .execute("DELETE FROM iceberg_tables")
        .await
        .expect("deleted");
    // Without its metadata, the new table is made in the same folder, as in catalogs that always choose that.
    std::fs::remove_dir_all(warehouse.folder.path().join("otel/logs/metadata")).expect("removed");
    let process = Process::unopened(&warehouse).await;
    process.send(&[2]).await.expect("stored in the new table");
    process.pipeline.collect_receipts().await.expect("collected");
    assert_eq!(stored(&warehouse).await, [2]);
    assert_eq!(receipts(&warehouse).len(), 1);
    assert_eq!(data_files(&warehouse).len(), 3, "its file is not touched");
    process.pipeline.close().await;
    // A request of the receipt that is sent again is not in the new table, whatever the receipt says, even
    // before the receipt is read.
    let process = Process::unopened(&warehouse).await;
    let outcome = process.send(&[1]).await.expect("stored in the new table");
    assert_eq!((outcome.already_committed, outcome.rows), (0, 1));
    process.pipeline.close().await;
    assert_eq!(stored(&warehouse).await, [1, 2]);
}

/// Changes the metadata like an engine's expiration.
async fn expire_all_but_the_newest(warehouse: &Warehouse) {
    let catalog = warehouse.catalog().await;
    let table = catalog.load(&logs()).await.expect("loads");
    let current = table.metadata.current_snapshot_id();
    let snapshot_ids: Vec<i64> = table
        .metadata
        .snapshots()
        .map(|snapshot| snapshot.snapshot_id())
        .filter(|id| Some(*id) != current)
        .collect();
    commit(
        &catalog,
        &table,
        vec![TableUpdate::RemoveSnapshots { snapshot_ids }],
    )
    .await;
}

/// A snapshot of another engine that lists none of our files.
async fn replace_all_files(warehouse: &Warehouse) {
    let catalog = warehouse.catalog().await;
    let table = catalog.load(&logs()).await.expect("loads");
    let metadata = &table.metadata;
    let path = format!("{}/metadata/snap-77-1-theirs.avro", metadata.location());
    let output = table.file_io.new_output(&path).expect("output");
    let (parent, sequence) = (metadata.current_snapshot_id(), metadata.next_sequence_number());
    let list = ManifestListWriter::v2(output.writer().await.expect("writer"), 77, parent, sequence);
    list.close().await.expect("written");
    let snapshot = Snapshot::builder()
        .with_snapshot_id(77)
        .with_parent_snapshot_id(parent)
        .with_sequence_number(sequence)
        .with_timestamp_ms(metadata.last_updated_ms() + 1)
        .with_manifest_list(path)
        .with_summary(Summary {
            operation: Operation::Replace,
            additional_properties: std::collections::HashMap::default(),
        })
        .with_schema_id(metadata.current_schema_id())
        .build();
    let changes = metadata
        .as_ref()
        .clone()
        .into_builder(None)
        .set_branch_snapshot(snapshot, MAIN_BRANCH)
        .and_then(TableMetadataBuilder::build)
        .expect("a snapshot")
        .changes;
    commit(&catalog, &table, changes).await;
}

async fn commit(catalog: &Arc<dyn Catalog>, table: &LoadedTable, updates: Vec<TableUpdate>) {
    let requirements = vec![TableRequirement::UuidMatch {
        uuid: table.metadata.uuid(),
    }];
    let outcome = catalog.commit(table, requirements, updates).await;
    assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
}
