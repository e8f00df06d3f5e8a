//! Files replace others: the same rows, in one snapshot. The old files are deleted when no snapshot has them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use iceberg::TableUpdate;
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Literal, ManifestFile, ManifestStatus,
    Operation, Struct, UnboundPartitionSpec,
};
use otlp2iceberg::catalog::{Catalog, CommitOutcome};
use otlp2iceberg::commit::{Append, Committed, Committer, Replacement};
use otlp2iceberg::config::CommitConfig;
use otlp2iceberg::{ErrorKind, RequestId, Result};

use crate::commit_support::Fault::{self, Conflict, LostAnswer, LostRequest, Refusal, Twice};
use crate::commit_support::{Faulty, Warehouse, append, data_file, entries, ids, manifests, soon, summary};
use crate::odd_manifests::odd_append;

/// The minimum number of snapshots to keep.
const KEPT: usize = 10;

const TABLES: &str = r#"{"properties": {
    "history.expire.max-snapshot-age-ms": "0", "history.expire.min-snapshots-to-keep": "1",
    "commit.manifest.min-count-to-merge": "5"}}"#;

fn window() -> CommitConfig {
    keeping(KEPT)
}

fn keeping(snapshots: usize) -> CommitConfig {
    CommitConfig {
        dedup_snapshots: snapshots,
        dedup_window: Duration::ZERO,
        ..CommitConfig::default()
    }
}

/// The same with manifests that are not merged, and so keep their age.
fn unmerged() -> String {
    let merged = r#""commit.manifest.min-count-to-merge": "5""#;
    TABLES.replace(merged, r#""commit.manifest-merge.enabled": "false""#)
}

/// A table whose files are on disk. They are not read, but tests can check that they exist.
struct Stored(Warehouse);

impl Stored {
    fn path(&self, name: &str) -> PathBuf {
        self.0
            .folder
            .path()
            .join(format!("otel/logs/data/{name}.parquet"))
    }

    fn file(&self, name: &str, rows: u64) -> DataFile {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("folder")).expect("folder");
        fs::write(&path, name).expect("written");
        entry(&path, rows, by_day(), 0)
    }

    fn append(&self, sequence: u64) -> Append {
        Append {
            files: vec![self.file(&format!("1-{sequence}"), 10)],
            ..append(1, sequence)
        }
    }

    async fn commit(&self, committer: &Committer, sequences: impl Iterator<Item = u64>) {
        for sequence in sequences {
            let append = self.append(sequence);
            committer.append(append, soon()).await.expect("committed");
        }
    }

    fn there(&self) -> BTreeSet<String> {
        let names =
            crate::commit_support::file_names(&self.0.folder.path().join("otel/logs/data"), ".parquet");
        names.into_iter().collect()
    }
}

fn entry(path: &Path, rows: u64, partition: Struct, partition_spec_id: i32) -> DataFile {
    DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path(format!("file://{}", path.display()))
        .file_format(DataFileFormat::Parquet)
        .partition(partition)
        .partition_spec_id(partition_spec_id)
        .record_count(rows)
        .file_size_in_bytes(rows * 100)
        .build()
        .expect("data file")
}

fn by_day() -> Struct {
    Struct::from_iter([Some(Literal::date(20_000))])
}

fn names(names: impl IntoIterator<Item = impl ToString>) -> BTreeSet<String> {
    let name = |name: String| format!("{name}.parquet");
    names.into_iter().map(|it| name(it.to_string())).collect()
}

async fn live(committer: &Committer) -> BTreeSet<String> {
    let name = |path: &String| path.rsplit('/').next().expect("a name").to_owned();
    entries(&committer.table()).await.keys().map(name).collect()
}

/// Replaces files of the table by their names.
async fn replace(committer: &Committer, file: DataFile, replaced: &[&str]) -> Result<Committed> {
    replace_all(committer, vec![file], replaced).await
}

async fn replace_all(committer: &Committer, files: Vec<DataFile>, replaced: &[&str]) -> Result<Committed> {
    let table = committer.table();
    let mut seen = Vec::new();
    for manifest in manifests(&table).await {
        let loaded = manifest.load_manifest(&table.file_io).await.expect("manifest");
        for entry in loaded.entries().iter().filter(|entry| entry.is_alive()) {
            let path = entry.file_path();
            if replaced
                .iter()
                .any(|name| path.ends_with(&format!("/{name}.parquet")))
            {
                seen.push((path.to_owned(), manifest.manifest_path.clone()));
            }
        }
    }
    assert_eq!(seen.len(), replaced.len());
    replace_seen(committer, files, seen, 0).await
}

async fn replace_seen(
    committer: &Committer,
    files: Vec<DataFile>,
    seen: Vec<(String, String)>,
    partition_spec_id: i32,
) -> Result<Committed> {
    let table = committer.table();
    let replacement = Replacement {
        files,
        partition_spec_id,
        replaced: seen,
        table_id: table.metadata.uuid(),
        chosen_at: table.metadata.last_sequence_number(),
    };
    committer.replace(replacement).await
}

async fn opened(faults: impl IntoIterator<Item = Fault>) -> (Stored, Arc<Faulty>, Committer) {
    opened_with(TABLES, faults).await
}

async fn opened_with(
    tables: &str,
    faults: impl IntoIterator<Item = Fault>,
) -> (Stored, Arc<Faulty>, Committer) {
    opened_keeping(KEPT, tables, faults).await
}

async fn opened_keeping(
    snapshots: usize,
    tables: &str,
    faults: impl IntoIterator<Item = Fault>,
) -> (Stored, Arc<Faulty>, Committer) {
    let warehouse = Warehouse::with(tables);
    let catalog = Faulty::new(warehouse.catalog().await, []);
    let committer = warehouse
        .committer_with(Arc::clone(&catalog) as Arc<_>, keeping(snapshots))
        .await;
    let stored = Stored(warehouse);
    stored.commit(&committer, 1..=4).await;
    catalog.faults.lock().expect("lock").extend(faults);
    (stored, catalog, committer)
}

#[tokio::test]
async fn a_file_takes_the_place_of_others() {
    let (stored, _, committer) = opened([]).await;
    let before = committer.table();
    replace(&committer, stored.file("joined", 20), &["1-2", "1-3"])
        .await
        .expect("replaced");
    let table = committer.table();
    let snapshot = table.metadata.current_snapshot().expect("a snapshot");
    assert_eq!(snapshot.summary().operation, Operation::Replace);
    assert_eq!(
        snapshot.parent_snapshot_id(),
        before.metadata.current_snapshot_id()
    );
    let facts = [
        ("added-data-files", "1"),
        ("added-records", "20"),
        ("deleted-data-files", "2"),
        ("deleted-records", "20"),
        ("removed-files-size", "2000"),
        ("total-data-files", "3"),
        ("total-records", "40"),
        ("total-files-size", "4000"),
        ("manifests-created", "2"),
        ("manifests-kept", "2"),
        ("manifests-replaced", "2"),
    ];
    for (key, value) in facts {
        assert_eq!(summary(&table).get(key).map(String::as_str), Some(value), "{key}");
    }
    assert_eq!(live(&committer).await, names(["1-1", "1-4", "joined"]));
    let gone = manifests(&table).await;
    let gone: Vec<_> = gone
        .iter()
        .filter(|manifest| manifest.deleted_files_count != Some(0))
        .collect();
    assert_eq!(gone.len(), 1);
    assert!(
        !gone[0].has_added_files() && !gone[0].has_existing_files(),
        "readers pass it over"
    );
    let gone = gone[0].load_manifest(&table.file_io).await.expect("manifest");
    for (entry, sequence_number) in gone.entries().iter().zip([3, 2]) {
        assert_eq!(entry.status(), ManifestStatus::Deleted);
        assert_eq!(entry.snapshot_id(), table.metadata.current_snapshot_id());
        assert_eq!(entry.sequence_number(), Some(sequence_number), "its own stays");
    }
    // Requests are still recognised, and old snapshots can be read.
    for sequence in 1..=4 {
        let request = ids(1, sequence, sequence);
        let id = RequestId {
            writer: request.writer,
            sequence,
        };
        assert_eq!(committer.already_committed(&[id]), [true]);
    }
    assert_eq!(entries(&before).await.len(), 4);
    assert_eq!(stored.there(), names(["1-1", "1-2", "1-3", "1-4", "joined"]));
    // The next snapshot does not list the removed entries any more.
    stored.commit(&committer, 5..=5).await;
    assert!(
        manifests(&committer.table())
            .await
            .iter()
            .all(|manifest| manifest.deleted_files_count == Some(0))
    );
    assert_eq!(live(&committer).await, names(["1-1", "1-4", "1-5", "joined"]));
}

#[tokio::test]
async fn other_files_of_a_manifest_stay_as_they_were() {
    let (stored, _, committer) = opened([]).await;
    // The fifth manifest causes a merge of all five.
    stored.commit(&committer, 5..=5).await;
    assert_eq!(manifests(&committer.table()).await.len(), 1);
    let before = entries(&committer.table()).await;
    replace(&committer, stored.file("joined", 20), &["1-2", "1-4"])
        .await
        .expect("replaced");
    assert_eq!(live(&committer).await, names(["1-1", "1-3", "1-5", "joined"]));
    let after = entries(&committer.table()).await;
    for (path, entry) in after.iter().filter(|(path, _)| !path.ends_with("joined.parquet")) {
        let same = &before[path];
        assert_eq!(entry.status(), ManifestStatus::Existing);
        assert_eq!(entry.snapshot_id(), same.snapshot_id());
        assert_eq!(entry.sequence_number(), same.sequence_number());
        assert_eq!(entry.data_file(), same.data_file());
    }
}

/// The merges of many partitions are committed together, so that each manifest is written again once for all.
#[tokio::test]
async fn many_files_take_the_places_of_others_in_one_snapshot() {
    let (stored, _, committer) = opened([]).await;
    stored.commit(&committer, 5..=5).await;
    let [merged] = <[_; 1]>::try_from(manifests(&committer.table()).await).expect("one manifest");
    let before = committer.table();
    let joined = [("first", 20), ("second", 20)].map(|(name, rows)| stored.file(name, rows));
    replace_all(&committer, joined.into(), &["1-1", "1-2", "1-4", "1-5"])
        .await
        .expect("replaced");
    let table = committer.table();
    assert_eq!(
        table.metadata.snapshots().len(),
        before.metadata.snapshots().len() + 1
    );
    assert_eq!(live(&committer).await, names(["1-3", "first", "second"]));
    let counts = |manifest: &ManifestFile| {
        [
            manifest.added_files_count,
            manifest.existing_files_count,
            manifest.deleted_files_count,
        ]
        .map(Option::unwrap_or_default)
    };
    let listed = manifests(&table).await;
    assert!(listed.iter().all(|it| it.manifest_path != merged.manifest_path));
    let mut listed: Vec<_> = listed.iter().map(counts).collect();
    listed.sort_unstable();
    assert_eq!(listed, [[0, 0, 4], [0, 1, 0], [2, 0, 0]]);
    // The old files go with the snapshots that have them.
    stored.commit(&committer, 6..=40).await;
    committer.close().await;
    let gone = names(["1-1", "1-2", "1-4", "1-5"]);
    assert!(stored.there().is_disjoint(&gone));
    assert_eq!(stored.there(), live(&committer).await, "the others are all there");
}

/// The next merges take small files again. The manifest of the large ones stays as it is then.
#[tokio::test]
async fn large_files_that_stay_get_a_manifest_of_their_own() {
    let (stored, _, committer) = opened([]).await;
    let files = [
        ("a", 10),
        ("b", 10),
        ("c", 10),
        ("d", 10),
        ("e", 10),
        ("large", 500),
    ];
    let append = Append {
        files: files.map(|(name, rows)| stored.file(name, rows)).into(),
        ..append(1, 5)
    };
    committer.append(append, soon()).await.expect("committed");
    let with_large = async |committer: &Committer| {
        let table = committer.table();
        for manifest in manifests(&table).await {
            let loaded = manifest.load_manifest(&table.file_io).await.expect("manifest");
            let mut live = loaded.entries().iter().filter(|entry| entry.is_alive());
            if live.any(|entry| entry.file_path().ends_with("/large.parquet")) {
                return (manifest.manifest_path, loaded.entries().len());
            }
        }
        panic!("it is in no manifest");
    };
    replace(&committer, stored.file("ab", 20), &["a", "b"])
        .await
        .expect("replaced");
    let (first, entries) = with_large(&committer).await;
    assert_eq!(entries, 1);
    replace(&committer, stored.file("cd", 20), &["c", "d"])
        .await
        .expect("replaced");
    assert_eq!(with_large(&committer).await.0, first);
}

/// So that no manifest becomes too large for readers, however many files are replaced at once.
#[tokio::test]
async fn the_removed_entries_are_divided_among_manifests() {
    const FILES: usize = 1_100;
    let warehouse = Warehouse::with(TABLES);
    let committer = warehouse
        .committer_with(warehouse.catalog().await, window())
        .await;
    let append = Append {
        files: (0..FILES)
            .map(|file| data_file(&format!("1-{file}"), 1))
            .collect(),
        ..append(1, 1)
    };
    committer.append(append, soon()).await.expect("committed");
    let [manifest] = <[_; 1]>::try_from(manifests(&committer.table()).await).expect("one manifest");
    let seen = entries(&committer.table()).await.into_keys();
    let seen: Vec<_> = seen.map(|path| (path, manifest.manifest_path.clone())).collect();
    let joined = vec![data_file("joined", FILES as u64)];
    replace_seen(&committer, joined, seen, 0).await.expect("replaced");
    assert_eq!(live(&committer).await, names(["joined"]));
    let listed = manifests(&committer.table()).await.into_iter();
    let mut deleted: Vec<u32> = listed.filter_map(|it| it.deleted_files_count).collect();
    deleted.sort_unstable();
    assert_eq!(deleted, [0, 76, 1_024]);
}

/// Otherwise rows would be lost or doubled.
#[tokio::test]
async fn files_with_another_number_of_rows_than_the_replaced_ones_are_refused() {
    for rows in [19, 21] {
        let (stored, _, committer) = opened([]).await;
        let metadata = stored.0.metadata_files("");
        let error = replace(&committer, stored.file("joined", rows), &["1-2", "1-3"])
            .await
            .expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Catalog, "{error}");
        assert!(error.to_string().contains("rows"), "{error}");
        assert_eq!(stored.0.metadata_files(""), metadata, "nothing is left behind");
        assert_eq!(live(&committer).await, names(["1-1", "1-2", "1-3", "1-4"]));
    }
}

#[tokio::test]
async fn a_lost_race_is_run_again_on_what_the_winner_left() {
    for fault in [Conflict, Twice, LostAnswer, LostRequest] {
        let (stored, catalog, committer) = opened([fault]).await;
        let committed = replace(&committer, stored.file("joined", 20), &["1-2", "1-3"]).await;
        let committed = committed.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_eq!(
            Some(committed.snapshot_id),
            committer.table().metadata.current_snapshot_id()
        );
        assert_eq!(
            live(&committer).await,
            names(["1-1", "1-4", "joined"]),
            "{fault:?}"
        );
        stored.commit(&committer, 5..=5).await;
        assert_eq!(
            live(&committer).await,
            names(["1-1", "1-4", "1-5", "joined"]),
            "{fault:?}"
        );
        assert_eq!(summary(&committer.table())["total-data-files"], "4");
        drop(catalog);
    }
}

#[tokio::test]
async fn appends_of_others_meanwhile_stay() {
    let (stored, _, committer) = opened([]).await;
    let other = stored.0.committer_with(stored.0.catalog().await, window()).await;
    stored.commit(&other, 5..=9).await;
    // Chosen from an older state of the table. Its manifests have been merged since.
    replace(&committer, stored.file("joined", 20), &["1-2", "1-3"])
        .await
        .expect("replaced");
    let all = ["1-1", "1-4", "1-5", "1-6", "1-7", "1-8", "1-9", "joined"];
    assert_eq!(live(&committer).await, names(all));
}

#[tokio::test]
async fn what_somebody_else_replaced_is_not_replaced_again() {
    let (stored, _, committer) = opened([]).await;
    let other = stored.0.committer_with(stored.0.catalog().await, window()).await;
    replace(&other, stored.file("first", 20), &["1-2", "1-3"])
        .await
        .expect("replaced");
    let metadata = stored.0.metadata_files("");
    let error = replace(&committer, stored.file("second", 20), &["1-3", "1-4"])
        .await
        .expect_err("one of them is gone");
    assert_eq!(
        error.kind(),
        ErrorKind::Catalog,
        "so the file is of no use: {error}"
    );
    assert!(error.to_string().contains("not in the table any more"), "{error}");
    assert_eq!(stored.0.metadata_files(""), metadata, "nothing is left behind");
    assert_eq!(live(&committer).await, names(["1-1", "1-4", "first"]));
}

#[tokio::test]
async fn manifests_that_were_written_before_a_file_was_found_to_be_gone_are_deleted() {
    let (stored, _, committer) = opened([]).await;
    // The fifth manifest causes a merge of all five, so that other files stay in it.
    stored.commit(&committer, 5..=5).await;
    let other = stored.0.committer_with(stored.0.catalog().await, window()).await;
    replace(&other, stored.file("first", 20), &["1-2", "1-3"])
        .await
        .expect("replaced");
    let metadata = stored.0.metadata_files("");
    replace(&committer, stored.file("second", 20), &["1-3", "1-4"])
        .await
        .expect_err("one of them is gone");
    assert_eq!(stored.0.metadata_files(""), metadata);
    assert_eq!(live(&committer).await, names(["1-1", "1-4", "1-5", "first"]));
}

#[tokio::test]
async fn a_refusal_leaves_everything_as_it_was() {
    let (stored, _, committer) = opened([Refusal]).await;
    let metadata = stored.0.metadata_files("");
    let error = replace(&committer, stored.file("joined", 20), &["1-2", "1-3"])
        .await
        .expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Catalog, "{error}");
    assert_eq!(stored.0.metadata_files(""), metadata);
    assert_eq!(live(&committer).await, names(["1-1", "1-2", "1-3", "1-4"]));
}

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
