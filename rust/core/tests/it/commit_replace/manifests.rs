//! The snapshot of a replacement: its summary, and the manifests that are written again.

use iceberg::spec::{ManifestFile, ManifestStatus, Operation};
use otlp2iceberg::RequestId;
use otlp2iceberg::commit::{Append, Committer};

use super::support::{TABLES, live, names, opened, replace, replace_all, replace_seen, window};
use crate::commit_support::{Warehouse, append, data_file, entries, ids, manifests, soon, summary};

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
