//! Manifests of many commits become few, and every file keeps what it came with.

use otlp2iceberg::commit::Append;

use crate::commit_support::{Warehouse, append, data_file, entries, ids, logs, manifests, soon, summary};

#[tokio::test]
async fn a_hundred_manifests_become_one_with_all_files_and_their_numbers() {
    let warehouse = Warehouse::new();
    let committer = warehouse.committer(warehouse.catalog().await).await;
    let mut snapshots = Vec::new();
    for sequence in 1..=105 {
        snapshots.push(
            committer
                .append(append(1, sequence), soon())
                .await
                .expect("committed")
                .snapshot_id,
        );
        let expected = if sequence < 100 { sequence } else { sequence - 99 };
        assert_eq!(
            manifests(&committer.table()).await.len() as u64,
            expected,
            "after {sequence} commits"
        );
        if sequence == 100 {
            let table = committer.table();
            for (key, value) in [
                ("manifests-created", "1"),
                ("manifests-kept", "0"),
                ("manifests-replaced", "99"),
            ] {
                assert_eq!(summary(&table).get(key).map(String::as_str), Some(value), "{key}");
            }
        }
    }
    let table = warehouse.catalog().await.load(&logs()).await.expect("loads");
    let entries = entries(&table).await;
    assert_eq!(entries.len(), 105);
    for (sequence, snapshot_id) in (1i64..).zip(&snapshots) {
        let entry = &entries[&format!("file:///nowhere/1-{sequence}.parquet")];
        assert_eq!(entry.snapshot_id(), Some(*snapshot_id), "{sequence}");
        assert_eq!(entry.sequence_number(), Some(sequence), "{sequence}");
        assert_eq!(entry.file_sequence_number, Some(sequence), "{sequence}");
        assert_eq!(
            entry.data_file(),
            &data_file(&format!("1-{sequence}"), 10),
            "{sequence}"
        );
    }
    assert_eq!(
        summary(&table).get("total-data-files").map(String::as_str),
        Some("105")
    );
    let oldest = manifests(&table).await.pop().expect("a manifest");
    assert_eq!(
        (oldest.added_files_count, oldest.existing_files_count),
        (Some(1), Some(99))
    );
    assert_eq!(oldest.min_sequence_number, 1);
}

#[tokio::test]
async fn properties_of_the_table_rule_merging() {
    for (properties, expected) in [
        (
            r#"{"properties": {"commit.manifest.min-count-to-merge": "3"}}"#,
            2,
        ),
        (
            r#"{"properties": {"commit.manifest.min-count-to-merge": "3", "commit.manifest-merge.enabled": "false"}}"#,
            6,
        ),
        (
            r#"{"properties": {"commit.manifest.min-count-to-merge": "3", "commit.manifest.target-size-bytes": "10"}}"#,
            6,
        ),
        (
            r#"{"properties": {"commit.manifest.min-count-to-merge": "3", "format-version": "1"}}"#,
            2,
        ),
        // Rows would get other ids.
        (
            r#"{"properties": {"commit.manifest.min-count-to-merge": "3", "format-version": "3"}}"#,
            6,
        ),
    ] {
        let warehouse = Warehouse::with(properties);
        let committer = warehouse.committer(warehouse.catalog().await).await;
        for sequence in 1..=6 {
            committer
                .append(append(1, sequence), soon())
                .await
                .expect("committed");
        }
        let table = warehouse.catalog().await.load(&logs()).await.expect("loads");
        assert_eq!(manifests(&table).await.len(), expected, "{properties}");
        assert_eq!(entries(&table).await.len(), 6, "{properties}");
    }
}

#[tokio::test]
async fn rows_of_a_format_v3_table_are_numbered_on() {
    let warehouse = Warehouse::with(r#"{"properties": {"format-version": "3"}}"#);
    let committer = warehouse.committer(warehouse.catalog().await).await;
    for sequence in 0..3 {
        let files = vec![
            data_file(&format!("a{sequence}"), 10),
            data_file(&format!("b{sequence}"), 7),
        ];
        let append = Append {
            table_id: None,
            files,
            partition_spec_id: 0,
            ids: vec![ids(1, sequence, sequence)],
            request_bytes: 0,
        };
        committer.append(append, soon()).await.expect("committed");
    }
    let table = warehouse.catalog().await.load(&logs()).await.expect("loads");
    let snapshot = table.metadata.current_snapshot().expect("a snapshot");
    assert_eq!(
        (snapshot.row_range(), table.metadata.next_row_id()),
        (Some((34, 17)), 51)
    );
    let mut first_rows: Vec<_> = manifests(&table)
        .await
        .iter()
        .map(|manifest| manifest.first_row_id)
        .collect();
    first_rows.sort();
    assert_eq!(first_rows, [Some(0), Some(17), Some(34)]);
}
