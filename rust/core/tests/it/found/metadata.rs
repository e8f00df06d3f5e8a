//! Table properties of metadata files and commits.

use std::path::Path;
use std::time::Duration;

use otlp2iceberg::config::CommitConfig;

use super::support::{loaded, stored, values};
use crate::commit_support::{Fault, Faulty, Warehouse, append, file_names, manifests, soon};

#[tokio::test]
async fn all_metadata_files_go_where_the_table_says() {
    for folder in ["elsewhere", "elsewhere/metadata"] {
        let place = tempfile::tempdir().unwrap();
        let path = format!("{}/{folder}", place.path().display());
        let properties = format!(
            r#"{{"properties": {{"write.metadata.path": "file://{path}/", "write.data.path": "file://{path}/rows"}}}}"#
        );
        let warehouse = Warehouse::with(&properties);
        stored(&warehouse, 1, &["a"]).await;
        stored(&warehouse, 2, &["b"]).await;
        let table = loaded(&warehouse).await;
        assert_eq!(values(&table, "Body").await, ["a", "b"]);
        let prefix = format!("file://{path}/");
        let list = table
            .metadata
            .current_snapshot()
            .unwrap()
            .manifest_list()
            .to_owned();
        let mut paths = vec![table.metadata_location.clone(), list];
        paths.extend(
            manifests(&table)
                .await
                .into_iter()
                .map(|manifest| manifest.manifest_path),
        );
        for path in paths {
            let name = path
                .strip_prefix(&prefix)
                .unwrap_or_else(|| panic!("{path} is not in {prefix}"));
            assert!(!name.contains('/'), "{name}");
        }
        assert!(table.metadata_location.starts_with(&format!("{prefix}00002-")));
        assert!(
            !warehouse.folder.path().join("otel/logs").exists(),
            "nothing is in the table's own folder"
        );
    }
}

#[tokio::test]
async fn metadata_files_are_compressed_kept_and_deleted_as_the_table_says() {
    let warehouse = Warehouse::with(
        r#"{"properties": {
            "write.metadata.compression-codec": "gzip",
            "write.metadata.previous-versions-max": "3",
            "write.metadata.delete-after-commit.enabled": "true"
        }}"#,
    );
    for sequence in 1..=6 {
        stored(&warehouse, sequence, &["a"]).await;
    }
    let folder = Path::new(warehouse.folder.path()).join("otel/logs/metadata");
    let names = file_names(&folder, ".gz.metadata.json");
    let versions: Vec<&str> = names.iter().map(|name| &name[..5]).collect();
    assert_eq!(versions, ["00003", "00004", "00005", "00006"]);
    assert_eq!(file_names(&folder, ".metadata.json").len(), 4, "none is without");
    assert_eq!(values(&loaded(&warehouse).await, "Body").await.len(), 6);
}

#[tokio::test]
async fn a_commit_is_tried_as_often_as_the_table_says_unless_configured() {
    for (property, configured, attempts) in [
        (None, None, 101),
        (Some("2"), None, 3),
        (Some("2"), Some(0), 1),
        (Some("7"), Some(1), 2),
    ] {
        let properties = property.map_or_else(
            || r#"{"properties": {"commit.retry.min-wait-ms": "1", "commit.retry.max-wait-ms": "1"}}"#.to_owned(),
            |retries| {
                format!(
                    r#"{{"properties": {{"commit.retry.num-retries": "{retries}", "commit.retry.min-wait-ms": "1"}}}}"#
                )
            },
        );
        let warehouse = Warehouse::with(&properties);
        let faulty = Faulty::new(warehouse.catalog().await, vec![Fault::Conflict; 120]);
        let config = CommitConfig {
            max_retries: configured,
            ..CommitConfig::default()
        };
        let committer = warehouse.committer_with(faulty.clone(), config).await;
        committer
            .append(append(1, 1), soon())
            .await
            .expect_err("never taken");
        let left = faulty.faults.lock().expect("lock").len();
        assert_eq!(120 - left, attempts, "{property:?} {configured:?}");
    }
}

#[tokio::test]
async fn no_attempt_is_begun_after_the_tables_total_timeout() {
    let warehouse = Warehouse::with(
        r#"{"properties": {"commit.retry.min-wait-ms": "60000", "commit.retry.total-timeout-ms": "1000"}}"#,
    );
    let faulty = Faulty::new(warehouse.catalog().await, [Fault::Conflict]);
    let committer = warehouse
        .committer_with(faulty.clone(), CommitConfig::default())
        .await;
    // The first wait would be at least half a minute, and the deadline allows it.
    let deadline = soon() + Duration::from_secs(3600);
    let error = committer
        .append(append(1, 1), deadline)
        .await
        .expect_err("not tried again");
    assert!(error.to_string().contains("told to refuse"), "{error}");
}
