//! Commits expire old snapshots and delete their files, and nothing else.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use iceberg::TableUpdate;
use iceberg::spec::{
    ManifestList, Operation, PartitionStatisticsFile, Snapshot, SnapshotReference, SnapshotRetention,
    StatisticsFile, Summary,
};
use otlp2iceberg::ErrorKind;
use otlp2iceberg::catalog::{Catalog, CommitOutcome, LoadedTable};
use otlp2iceberg::commit::Committer;
use otlp2iceberg::config::CommitConfig;
use serde_json::json;

use crate::catalog_rest::server::{Server, Turn};
use crate::catalog_rest::stub::Reply;
use crate::commit_requests::receipts_folder;
use crate::commit_support::Fault::{Conflict, LostAnswer};
use crate::commit_support::{Faulty, Warehouse, append, entries, file_names, logs, soon, taken};
use crate::logged::warnings;

/// The minimum number of snapshots to keep.
const KEPT: usize = 20;
/// The number of snapshots, a tenth more, at which the next commit expires the excess.
const KEPT_MAX: usize = KEPT + KEPT / 10;

const TABLES: &str = r#"{"properties": {
    "history.expire.max-snapshot-age-ms": "0", "history.expire.min-snapshots-to-keep": "1",
    "commit.manifest.min-count-to-merge": "7", "write.metadata.previous-versions-max": "5"}}"#;

fn window() -> CommitConfig {
    CommitConfig {
        dedup_snapshots: KEPT,
        dedup_window: Duration::ZERO,
        ..CommitConfig::default()
    }
}

async fn in_a_rest_catalog() -> (Server, Arc<dyn Catalog>, Committer) {
    let server = Server::new();
    let catalog = server.catalog("").await;
    let spec = Warehouse::with(TABLES).spec();
    let committer = Committer::open(Arc::clone(&catalog), logs(), Some(spec), None, window())
        .await
        .expect("opens");
    (server, catalog, committer)
}

/// Another writer tags a snapshot.
async fn tag(catalog: &dyn Catalog, table: &LoadedTable, snapshot_id: i64) {
    let tag = TableUpdate::SetSnapshotRef {
        ref_name: "release".to_owned(),
        reference: SnapshotReference::new(snapshot_id, SnapshotRetention::Tag { max_ref_age_ms: None }),
    };
    let outcome = catalog.commit(table, vec![], vec![tag]).await;
    assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
}

async fn commit(committer: &Committer, sequences: impl Iterator<Item = u64>) {
    for sequence in sequences {
        committer
            .append(append(1, sequence), soon())
            .await
            .expect("committed");
    }
}

/// Another engine writes statistics of both kinds for the current snapshot. Returns the snapshot's id and the
/// paths of the files.
async fn analyze(catalog: &dyn Catalog, name: &str) -> (i64, [String; 2]) {
    let table = catalog.load(&logs()).await.expect("loads");
    let snapshot_id = table.metadata.current_snapshot_id().expect("a snapshot");
    let location = table.metadata.location();
    let paths = [".stats", ".parquet"].map(|ending| format!("{location}/metadata/{name}{ending}"));
    for path in &paths {
        let output = table.file_io.new_output(path).expect("output");
        output.write("statistics".into()).await.expect("written");
    }
    let [of_table, of_partitions] = paths.clone();
    let updates = vec![
        TableUpdate::SetStatistics {
            statistics: StatisticsFile {
                snapshot_id,
                statistics_path: of_table,
                file_size_in_bytes: 10,
                file_footer_size_in_bytes: 1,
                key_metadata: None,
                blob_metadata: Vec::new(),
            },
        },
        TableUpdate::SetPartitionStatistics {
            partition_statistics: PartitionStatisticsFile {
                snapshot_id,
                statistics_path: of_partitions,
                file_size_in_bytes: 10,
            },
        },
    ];
    let outcome = catalog.commit(&table, vec![], updates).await;
    assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
    (snapshot_id, paths)
}

/// Statistics of several snapshots, the oldest of which are expired.
async fn statistics_go_with_their_snapshots(catalog: Arc<dyn Catalog>, committer: Committer) {
    commit(&committer, 1..=3).await;
    let (old, old_files) = analyze(catalog.as_ref(), "old").await;
    commit(&committer, 4..=4).await;
    // The same files as those of a snapshot that stays.
    analyze(catalog.as_ref(), "shared").await;
    commit(&committer, 5..=40).await;
    let (sharing, shared_files) = analyze(catalog.as_ref(), "shared").await;
    commit(&committer, 41..=41).await;
    let (new, new_files) = analyze(catalog.as_ref(), "new").await;
    commit(&committer, 42..=45).await;
    committer.close().await;

    let table = catalog.load(&logs()).await.expect("loads");
    assert!(table.metadata.snapshots().len() <= KEPT_MAX, "expired");
    assert!(table.metadata.snapshot_by_id(old).is_none());
    let of_table = table.metadata.statistics_iter().map(|file| file.snapshot_id);
    assert_eq!(of_table.collect::<BTreeSet<_>>(), BTreeSet::from([sharing, new]));
    let of_partitions = table.metadata.partition_statistics_iter();
    let of_partitions = of_partitions.map(|file| file.snapshot_id);
    assert_eq!(
        of_partitions.collect::<BTreeSet<_>>(),
        BTreeSet::from([sharing, new])
    );
    for (paths, stay) in [(old_files, false), (shared_files, true), (new_files, true)] {
        for path in paths {
            let exists = table.file_io.exists(&path).await.expect("storage answers");
            assert_eq!(exists, stay, "{path}");
        }
    }
    assert_eq!(entries(&table).await.len(), 45);
}

/// Manifest lists and manifests of all snapshots, by name. Reads each of them.
async fn listed(table: &LoadedTable) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for snapshot in table.metadata.snapshots() {
        let list = table.file_io.new_input(snapshot.manifest_list()).expect("input");
        let content = list.read().await.expect("the list of a snapshot that stays");
        let list =
            ManifestList::parse_with_version(&content, table.metadata.format_version()).expect("parses");
        let mut files = 0;
        for manifest in list.entries() {
            let loaded = manifest.load_manifest(&table.file_io).await;
            files += loaded
                .expect("a manifest of a snapshot that stays")
                .entries()
                .len();
            paths.insert(manifest.manifest_path.clone());
        }
        let total = &snapshot.summary().additional_properties["total-data-files"];
        assert_eq!(*total, files.to_string());
        paths.insert(snapshot.manifest_list().to_owned());
    }
    let name = |path: &String| path.rsplit('/').next().expect("a name").to_owned();
    paths.iter().map(name).collect()
}

/// The table's manifest lists and manifests in storage.
fn stored(warehouse: &Warehouse) -> BTreeSet<String> {
    warehouse.metadata_files(".avro").into_iter().collect()
}

#[tokio::test]
async fn many_commits_leave_a_small_table_that_is_whole() {
    let warehouse = Warehouse::with(TABLES);
    let committer = warehouse
        .committer_with(warehouse.catalog().await, window())
        .await;
    let mut largest = 0;
    for sequence in 1..=200 {
        commit(&committer, sequence..=sequence).await;
        largest = largest.max(committer.table().metadata.snapshots().len());
    }
    committer.close().await;
    assert_eq!(largest, KEPT_MAX);
    let table = warehouse.catalog().await.load(&logs()).await.expect("loads");
    assert_eq!(entries(&table).await.len(), 200, "every file is in the table");
    assert_eq!(
        stored(&warehouse),
        listed(&table).await,
        "and no other metadata file is there"
    );
    assert_eq!(warehouse.metadata_files(".json").len(), 6);
    let history: BTreeSet<i64> = table
        .metadata
        .history()
        .iter()
        .map(|entry| entry.snapshot_id)
        .collect();
    let known: BTreeSet<i64> = table
        .metadata
        .snapshots()
        .map(|known| known.snapshot_id())
        .collect();
    assert_eq!(history, known);
    // Requests of the window are still recognised.
    let committer = warehouse
        .committer_with(warehouse.catalog().await, window())
        .await;
    for (sequence, there) in [(200, true), (181, true), (200 - KEPT_MAX as u64, false)] {
        let request = append(1, sequence).ids[0];
        let id = otlp2iceberg::RequestId {
            writer: request.writer,
            sequence,
        };
        assert_eq!(committer.already_committed(&[id]), [there], "{sequence}");
    }
}

#[tokio::test]
async fn a_rest_catalog_takes_it_in_the_same_commit() {
    let (server, catalog, committer) = in_a_rest_catalog().await;
    commit(&committer, 1..=100).await;
    committer.close().await;
    let table = catalog.load(&logs()).await.expect("loads");
    assert!(table.metadata.snapshots().len() <= KEPT_MAX);
    assert_eq!(entries(&table).await.len(), 100);
    let folder = server.folder.path().join("otel/logs/metadata");
    let stored: BTreeSet<String> = file_names(&folder, ".avro").into_iter().collect();
    assert_eq!(stored, listed(&table).await);
    let expiring = server
        .stub
        .asked()
        .into_iter()
        .filter(|asked| asked.method == "POST" && asked.target.ends_with("/logs"))
        .map(|asked| asked.json())
        .find(|body| body["updates"].to_string().contains("remove-snapshots"))
        .expect("a commit that expires snapshots");
    let updates = expiring["updates"].as_array().expect("updates");
    let (first, removals) = updates.split_at(2);
    let actions: Vec<&str> = first
        .iter()
        .filter_map(|update| update["action"].as_str())
        .collect();
    assert_eq!(actions, ["add-snapshot", "set-snapshot-ref"]);
    assert_eq!(removals.len(), KEPT_MAX - KEPT);
    for removal in removals {
        assert_eq!(removal["action"], "remove-snapshots");
        let ids = removal["snapshot-ids"].as_array().expect("ids");
        assert_eq!(ids.len(), 1, "Java before 1.9 refuses more");
    }
    let requirement = &expiring["requirements"][1];
    assert_eq!(
        (&requirement["type"], &requirement["ref"]),
        (&json!("assert-ref-snapshot-id"), &json!("main"))
    );
}

#[tokio::test]
async fn statistics_go_with_their_snapshots_in_sqlite() {
    let warehouse = Warehouse::with(TABLES);
    let catalog = warehouse.catalog().await;
    let committer = warehouse.committer_with(Arc::clone(&catalog), window()).await;
    statistics_go_with_their_snapshots(catalog, committer).await;
}

#[tokio::test]
async fn statistics_go_with_their_snapshots_in_a_rest_catalog() {
    let (server, catalog, committer) = in_a_rest_catalog().await;
    statistics_go_with_their_snapshots(catalog, committer).await;
    let mut found = BTreeSet::new();
    for asked in server.stub.asked_for("POST", "/tables/logs") {
        let body = asked.json();
        let updates = body["updates"].as_array().expect("updates");
        let actions = updates.iter().filter_map(|update| update["action"].as_str());
        let is_removal = |action: &&str| action.starts_with("remove-");
        let removals: Vec<&str> = actions.filter(is_removal).collect();
        let is_last = removals.is_sorted_by_key(|action| *action == "remove-snapshots");
        assert!(is_last, "pyiceberg removes the statistics, too: {removals:?}");
        found.extend(removals.into_iter().map(str::to_owned));
    }
    let expected = [
        "remove-partition-statistics",
        "remove-snapshots",
        "remove-statistics",
    ];
    assert_eq!(found, BTreeSet::from(expected.map(str::to_owned)));
}

/// A REST catalog compares only the main branch, which a tag does not move. So the table is reloaded before
/// snapshots are expired.
#[tokio::test]
async fn what_somebody_tags_meanwhile_stays_in_a_rest_catalog() {
    let (server, catalog, committer) = in_a_rest_catalog().await;
    commit(&committer, 1..=KEPT_MAX as u64).await;
    let table = catalog.load(&logs()).await.expect("loads");
    let oldest = table
        .metadata
        .snapshots()
        .min_by_key(|snapshot| snapshot.sequence_number())
        .expect("one")
        .snapshot_id();
    tag(server.catalog("").await.as_ref(), &table, oldest).await;
    commit(&committer, 101..=110).await;
    committer.close().await;
    let table = catalog.load(&logs()).await.expect("loads");
    let tagged = table.metadata.snapshot_for_ref("release").expect("the tag");
    assert_eq!(tagged.snapshot_id(), oldest);
    assert_eq!(table.metadata.snapshots().len(), KEPT_MAX + 10);
    listed(&table).await;
}

#[tokio::test]
async fn a_catalog_that_refuses_it_gets_the_same_call_without() {
    for status in [400, 403] {
        let (server, _, committer) = in_a_rest_catalog().await;
        let next = before_an_expiry(&committer).await;
        let forbidden = Reply::error(status, "ForbiddenException", "no snapshot may be removed");
        server.state().turns.push_back(Turn::Instead(forbidden));
        let sent = server.stub.asked_for("POST", "/tables/logs").len();
        let committed = committer.append(append(1, next), soon()).await;
        assert_eq!(committed.expect("committed").attempts, 2, "{status}");
        commit(&committer, next + 1..next + 5).await;
        assert_eq!(committer.table().metadata.snapshots().len(), KEPT_MAX + 5);
        let bodies = server.stub.asked_for("POST", "/tables/logs").split_off(sent);
        let expires: Vec<bool> = bodies
            .iter()
            .map(|asked| asked.json()["updates"].to_string().contains("remove-snapshots"))
            .collect();
        assert_eq!(expires, [true, false, false, false, false, false], "{status}");
        committer.close().await;
    }
}

#[tokio::test]
async fn what_is_refused_without_an_expiry_too_is_an_error_at_once() {
    let (server, _, committer) = in_a_rest_catalog().await;
    let next = before_an_expiry(&committer).await;
    let forbidden = || Turn::Instead(Reply::error(403, "ForbiddenException", "nothing may be written"));
    server.state().turns.extend([forbidden(), forbidden()]);
    let error = committer
        .append(append(1, next), soon())
        .await
        .expect_err("forbidden");
    assert_eq!(error.kind(), ErrorKind::Catalog);
    assert!(error.to_string().contains("attempts: 2"), "{error}");
    committer.close().await;
}

#[tokio::test]
async fn a_catalog_that_throttles_it_gets_it_again() {
    let (server, _, committer) = in_a_rest_catalog().await;
    let next = before_an_expiry(&committer).await;
    server.state().turns.push_back(Turn::Instead(Reply::throttled()));
    let committed = committer.append(append(1, next), soon()).await;
    assert_eq!(committed.expect("committed").attempts, 2);
    let left = committer.table().metadata.snapshots().len();
    assert_eq!(left, KEPT + 1, "expired by the second attempt");
    committer.close().await;
}

/// Such a catalog's outcome is unknown each time.
#[tokio::test]
async fn a_catalog_that_answers_it_with_a_failure_gets_commits_without() {
    let (server, _, committer) = in_a_rest_catalog().await;
    let next = before_an_expiry(&committer).await;
    let failed = Reply::error(500, "InternalServerError", "no snapshot can be removed");
    server.state().turns.push_back(Turn::Instead(failed));
    let sent = server.stub.asked_for("POST", "/tables/logs").len();
    commit(&committer, next..next + 5).await;
    assert_eq!(committer.table().metadata.snapshots().len(), KEPT_MAX + 5);
    let sent = server.stub.asked_for("POST", "/tables/logs").len() - sent;
    assert_eq!(sent, 6, "only the first is sent twice");
    committer.close().await;
}

/// Commits until the next commit expires snapshots. Returns its number.
async fn before_an_expiry(committer: &Committer) -> u64 {
    commit(committer, 1..=KEPT_MAX as u64 + 1).await;
    loop {
        let table = committer.table();
        let next = table.metadata.last_sequence_number().unsigned_abs() + 1;
        if table.metadata.snapshots().len() == KEPT_MAX {
            return next;
        }
        commit(committer, next..=next).await;
    }
}

/// When the reload before an expiry fails, the outcome of a batch must stay unknown: otherwise the caller
/// would delete its files.
#[tokio::test]
async fn a_look_that_fails_leaves_it_open() {
    let warehouse = Warehouse::with(TABLES);
    let catalog = Faulty::new(warehouse.catalog().await, []);
    let shared: Arc<dyn Catalog> = Arc::<Faulty>::clone(&catalog);
    let committer = warehouse.committer_with(shared, window()).await;
    commit(&committer, 1..=KEPT_MAX as u64).await;
    let next = KEPT_MAX as u64 + 1;
    catalog.set_blind(true);
    let soon_over = tokio::time::Instant::now() + Duration::from_millis(200);
    let error = committer
        .append(append(1, next), soon_over)
        .await
        .expect_err("blind");
    assert_eq!(error.kind(), ErrorKind::CommitUnknown, "{error}");
    assert!(committer.is_stale());
    catalog.set_blind(false);
    commit(&committer, next..=next).await;
    assert!(
        committer.table().metadata.snapshots().len() <= KEPT + 1,
        "expired"
    );
}

#[tokio::test]
async fn it_is_off_where_it_is_switched_off() {
    let warehouse = Warehouse::with(TABLES);
    let config = CommitConfig {
        expire_snapshots: false,
        ..window()
    };
    let committer = warehouse.committer_with(warehouse.catalog().await, config).await;
    commit(&committer, 1..=30).await;
    assert_eq!(committer.table().metadata.snapshots().len(), 30);
}

/// Only a later version can look up the receipt's requests in the snapshots since, and it needs them for that.
#[tokio::test]
async fn nothing_is_expired_while_a_receipt_of_a_later_version_waits() {
    let warehouse = Warehouse::with(TABLES);
    let committer = warehouse
        .committer_with(warehouse.catalog().await, window())
        .await;
    commit(&committer, 1..=1).await;
    committer.close().await;
    let folder = receipts_folder(&warehouse);
    std::fs::create_dir_all(&folder).expect("made");
    let receipt = folder.join("later.json");
    std::fs::write(&receipt, r#"{"version": 2, "files": "in another form"}"#).expect("written");

    let (logged, _guard) = warnings();
    let committer = warehouse
        .committer_with(warehouse.catalog().await, window())
        .await;
    commit(&committer, 2..=60).await;
    assert_eq!(committer.table().metadata.snapshots().len(), 60);
    let warned = |text: &str| {
        let lines = logged.lines();
        lines.iter().filter(|line| line.contains(text)).count()
    };
    let told = "old snapshots are not expired while receipts of a newer version of otlp2iceberg wait";
    assert_eq!(warned(told), 1, "{:?}", logged.lines());
    assert_eq!(warned("run a newer one"), 1, "{:?}", logged.lines());
    assert!(receipt.exists(), "left alone");

    // The later version committed it.
    std::fs::remove_file(&receipt).expect("removed");
    committer.collect_receipts().await.expect("looked");
    commit(&committer, 61..=65).await;
    committer.close().await;
    let table = warehouse.catalog().await.load(&logs()).await.expect("loads");
    assert!(table.metadata.snapshots().len() <= KEPT_MAX, "expired");
    assert_eq!(entries(&table).await.len(), 65);
}

#[tokio::test]
async fn what_a_tag_holds_stays() {
    let warehouse = Warehouse::with(TABLES);
    let catalog = warehouse.catalog().await;
    let committer = warehouse.committer_with(Arc::clone(&catalog), window()).await;
    commit(&committer, 1..=10).await;
    let table = committer.table();
    let tagged = table.metadata.current_snapshot_id().expect("a snapshot");
    tag(catalog.as_ref(), &table, tagged).await;
    commit(&committer, 11..=60).await;
    committer.close().await;
    let table = catalog.load(&logs()).await.expect("loads");
    assert_eq!(table.metadata.snapshots().len(), 60);
    assert_eq!(
        table
            .metadata
            .snapshot_for_ref("release")
            .map(|tagged| tagged.snapshot_id()),
        Some(tagged)
    );
    assert_eq!(listed(&table).await, stored(&warehouse));
}

#[tokio::test]
async fn lost_races_and_lost_answers_delete_nothing_that_is_needed() {
    let warehouse = Warehouse::with(TABLES);
    let catalog = Faulty::new(warehouse.catalog().await, []);
    let shared: Arc<dyn Catalog> = Arc::<Faulty>::clone(&catalog);
    let committer = warehouse.committer_with(shared, window()).await;
    commit(&committer, 1..=KEPT_MAX as u64).await;
    let other = warehouse
        .committer_with(warehouse.catalog().await, window())
        .await;
    let mut files = KEPT_MAX;
    for round in 0..40 {
        let is_lost = round % 5 == 4;
        let fault = if is_lost { LostAnswer } else { Conflict };
        catalog.faults.lock().expect("lock").push_back(fault);
        // Only the writer that would win can lose an answer.
        if !is_lost {
            other.append(append(2, round), soon()).await.expect("committed");
            files += 1;
        }
        committer
            .append(append(3, round), soon())
            .await
            .expect("committed");
        files += 1;
        assert_eq!(entries(&committer.table()).await.len(), files, "{round}");
    }
    committer.close().await;
    other.close().await;
    let table = warehouse.catalog().await.load(&logs()).await.expect("loads");
    assert!(listed(&table).await.is_subset(&stored(&warehouse)));
    assert!(
        table.metadata.snapshots().len() <= KEPT_MAX + 5,
        "most were expired"
    );
}

/// An answer that is lost now and then delays only the expiry of snapshots that were added since.
#[tokio::test]
async fn snapshots_are_expired_although_outcomes_were_in_doubt_lately() {
    let warehouse = Warehouse::with(TABLES);
    let catalog = Faulty::new(warehouse.catalog().await, []);
    let config = CommitConfig {
        dedup_window: Duration::from_secs(3600),
        ..window()
    };
    let committer = warehouse.committer_with(catalog.clone(), config).await;
    commit(&committer, 1..=60).await;
    let all = committer.table().metadata.snapshots().len();
    assert_eq!(all, 60, "none is older than an hour");
    committer.close().await;

    let committer = warehouse.committer_with(catalog.clone(), window()).await;
    for sequence in 61..=200 {
        if sequence % 20 == 0 {
            catalog.faults.lock().expect("lock").push_back(LostAnswer);
        }
        commit(&committer, sequence..=sequence).await;
    }
    committer.close().await;
    let table = warehouse.catalog().await.load(&logs()).await.expect("loads");
    assert!(
        table.metadata.snapshots().len() <= KEPT_MAX + 20,
        "{} snapshots",
        table.metadata.snapshots().len()
    );
    assert_eq!(entries(&table).await.len(), 200);
}

/// Another writer adds so many snapshots at once that expiry looks blocked as long as they are there. The second
/// one has this operation. Returns the table and the second one's id.
async fn many_snapshots(catalog: &dyn Catalog, operation: Operation) -> (LoadedTable, i64) {
    const FIRST: i64 = 1_000;
    let base = catalog.load(&logs()).await.expect("loads");
    let current = base.metadata.current_snapshot().expect("a snapshot");
    let snapshot = |id: i64| {
        let parent = if id == FIRST {
            current.snapshot_id()
        } else {
            id - 1
        };
        let operation = if id == FIRST + 1 {
            operation.clone()
        } else {
            Operation::Append
        };
        let snapshot = Snapshot::builder()
            .with_snapshot_id(id)
            .with_parent_snapshot_id(Some(parent))
            .with_sequence_number(current.sequence_number() + 1 + id - FIRST)
            .with_timestamp_ms(base.metadata.last_updated_ms())
            .with_manifest_list(current.manifest_list())
            .with_summary(Summary {
                operation,
                additional_properties: HashMap::new(),
            })
            .with_schema_id(base.metadata.current_schema_id())
            .build();
        TableUpdate::AddSnapshot { snapshot }
    };
    let last = FIRST + 450;
    let main = TableUpdate::SetSnapshotRef {
        ref_name: "main".to_owned(),
        reference: SnapshotReference::new(last, SnapshotRetention::branch(None, None, None)),
    };
    let updates = (FIRST..=last).map(snapshot).chain([main]).collect();
    let table = taken(catalog.commit(&base, vec![], updates).await);
    // What is as old as the newest snapshot is not overdue.
    tokio::time::sleep(Duration::from_millis(5)).await;
    (table, FIRST + 1)
}

#[tokio::test]
async fn what_blocks_expiry_for_long_is_logged_once() {
    for (operation, tagged) in [
        (Operation::Delete, false),
        (Operation::Append, true),
        (Operation::Append, false),
    ] {
        let (logged, _guard) = warnings();
        let warehouse = Warehouse::with(TABLES);
        let catalog = warehouse.catalog().await;
        let committer = warehouse.committer_with(Arc::clone(&catalog), window()).await;
        commit(&committer, 1..=1).await;
        let (table, id) = many_snapshots(catalog.as_ref(), operation).await;
        if tagged {
            tag(catalog.as_ref(), &table, id).await;
        }
        commit(&committer, 2..=6).await;
        committer.close().await;
        let lines = logged.lines();
        let expected = match (tagged, table.metadata.snapshot_by_id(id)) {
            (true, _) => Some("the tag \"release\"".to_owned()),
            (false, Some(snapshot)) if snapshot.summary().operation == Operation::Delete => {
                Some(format!("the snapshot {id} of another program (delete)"))
            }
            (false, _) => None,
        };
        let Some(expected) = expected else {
            assert_eq!(lines, [] as [String; 0], "they are expired");
            continue;
        };
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].contains(&expected) && lines[0].contains("otel.logs"),
            "{lines:?}"
        );
    }
}
