//! A catalog that exposes only a table's current snapshot, without its parent, like Nessie's REST interface.
//! Requests are still recognised.

use std::sync::Arc;

use iceberg::spec::TableMetadata;
use iceberg::{TableIdent, TableRequirement, TableUpdate};
use otlp2iceberg::catalog::{Catalog, CommitOutcome, LoadedTable, TableSpec};
use otlp2iceberg::commit::{COMMIT_IDS, Committer};
use otlp2iceberg::config::CommitConfig;
use otlp2iceberg::{ErrorKind, Result};

use crate::commit_support::Fault::{self, LostAnswer, TwiceThrottled};
use crate::commit_support::{Faulty, Warehouse, append, entries, logs, soon, summary};

#[derive(Debug)]
struct Forgetful(Arc<dyn Catalog>);

fn forgetful(table: LoadedTable) -> LoadedTable {
    let mut json = serde_json::to_value(table.metadata.as_ref()).expect("JSON");
    let current = json["current-snapshot-id"].clone();
    let snapshots = json["snapshots"].as_array().cloned().unwrap_or_default();
    let mut snapshots: Vec<_> = snapshots
        .into_iter()
        .filter(|snapshot| snapshot["snapshot-id"] == current)
        .collect();
    for snapshot in &mut snapshots {
        snapshot
            .as_object_mut()
            .expect("object")
            .remove("parent-snapshot-id");
    }
    json["snapshots"] = snapshots.into();
    json["snapshot-log"] = serde_json::json!([]);
    let metadata: TableMetadata = serde_json::from_value(json).expect("metadata");
    LoadedTable {
        metadata: Arc::new(metadata),
        ..table
    }
}

#[async_trait::async_trait]
impl Catalog for Forgetful {
    async fn ensure(&self, ident: &TableIdent, spec: Option<TableSpec>) -> Result<LoadedTable> {
        self.0.ensure(ident, spec).await.map(forgetful)
    }

    async fn load(&self, ident: &TableIdent) -> Result<LoadedTable> {
        self.0.load(ident).await.map(forgetful)
    }

    async fn commit(
        &self,
        base: &LoadedTable,
        requirements: Vec<TableRequirement>,
        updates: Vec<TableUpdate>,
    ) -> CommitOutcome {
        // The catalog itself keeps all of its history.
        let whole = self.0.load(&base.ident).await.expect("loads");
        let base = if whole.metadata_location == base.metadata_location {
            &whole
        } else {
            base
        };
        match self.0.commit(base, requirements, updates).await {
            CommitOutcome::Committed(table) => CommitOutcome::Committed(forgetful(table)),
            outcome => outcome,
        }
    }

    async fn reach(&self, ident: &TableIdent) -> Result<()> {
        self.0.reach(ident).await
    }

    fn tells_history(&self) -> bool {
        false
    }
}

async fn open(warehouse: &Warehouse, faults: &[Fault]) -> (Arc<Faulty>, Committer) {
    let catalog = Faulty::new(
        Arc::new(Forgetful(warehouse.catalog().await)),
        faults.iter().copied(),
    );
    let config = CommitConfig {
        max_retries: Some(0),
        ..CommitConfig::default()
    };
    let committer = warehouse.committer_with(catalog.clone(), config).await;
    (catalog, committer)
}

#[tokio::test]
async fn a_lost_answer_is_found_after_later_commits() {
    let warehouse = Warehouse::new();
    let (catalog, committer) = open(&warehouse, &[Fault::None, LostAnswer]).await;
    committer.append(append(1, 1), soon()).await.expect("committed");
    catalog.set_blind(true);
    let error = committer.append(append(1, 2), soon()).await.expect_err("unknown");
    assert_eq!(error.kind(), ErrorKind::CommitUnknown);
    catalog.set_blind(false);
    for sequence in 3..=5 {
        committer
            .append(append(1, sequence), soon())
            .await
            .expect("committed");
    }
    for sequence in 1..=5 {
        let committed = committer
            .append(append(1, sequence), soon())
            .await
            .expect("there");
        assert!(committed.already_there, "{sequence}");
    }
    assert_eq!(entries(&committer.table()).await.len(), 5);
}

/// Also requests of another process, and those that a third process added meanwhile.
#[tokio::test]
async fn requests_are_recognised_after_a_restart() {
    let warehouse = Warehouse::new();
    let (_, committer) = open(&warehouse, &[]).await;
    for sequence in 1..=4 {
        committer
            .append(append(1, sequence), soon())
            .await
            .expect("committed");
    }
    let (_, other) = open(&warehouse, &[]).await;
    other.append(append(2, 1), soon()).await.expect("committed");
    committer.close().await;
    let (_, committer) = open(&warehouse, &[]).await;
    for (writer, sequence) in [(1, 2), (1, 4), (2, 1)] {
        let committed = committer
            .append(append(writer, sequence), soon())
            .await
            .expect("there");
        assert!(committed.already_there, "{writer} {sequence}");
    }
    let table = committer.table();
    assert_eq!(entries(&table).await.len(), 5);
    assert_eq!(summary(&table)[COMMIT_IDS].split(',').count(), 1, "its own");
    let carried = &summary(&table)["otlp2iceberg.carried-ids"];
    assert_eq!(
        carried.split(',').count(),
        1,
        "a range for each writer: {carried}"
    );
    assert_eq!(
        committer.snapshot_age_max(),
        None,
        "what is compacted would be stored twice for ever"
    );
    let whole = warehouse.catalog().await.load(&logs()).await.expect("loads");
    assert_eq!(whole.metadata.snapshots().len(), 5);
}

/// The first snapshot looks the same as in any other catalog.
#[tokio::test]
async fn what_landed_first_is_found_after_another_process_committed() {
    for fault in [LostAnswer, TwiceThrottled] {
        let warehouse = Warehouse::new();
        let (catalog, committer) = open(&warehouse, &[fault]).await;
        catalog.set_blind(true);
        committer
            .append(append(1, 1), soon())
            .await
            .expect_err("unknown, or to wait");
        let (_, other) = open(&warehouse, &[]).await;
        other.append(append(2, 1), soon()).await.expect("committed");
        catalog.set_blind(false);
        committer.append(append(1, 2), soon()).await.expect("committed");
        let committed = committer.append(append(1, 1), soon()).await.expect("there");
        assert!(committed.already_there, "{fault:?}");
        committer.close().await;
        // Each manifest can still be read.
        let table = warehouse.catalog().await.load(&logs()).await.expect("loads");
        assert_eq!(entries(&table).await.len(), 3, "{fault:?}");
    }
}
