//! Commits for which a second attempt cannot be built, or is not made.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use iceberg::spec::{SnapshotReference, SnapshotRetention};
use iceberg::{TableIdent, TableRequirement, TableUpdate};
use otlp2iceberg::catalog::{Catalog, CommitOutcome, LoadedTable, TableSpec};
use otlp2iceberg::config::CommitConfig;
use otlp2iceberg::{Error, ErrorKind, Result};

use crate::commit_support::{Warehouse, append, entries, logs, soon, taken};

/// The fate of the first commit of an [`Overtaken`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    /// It is still in flight when a column of the sort order is dropped, so that iceberg-rust builds no
    /// second one.
    Late,
    /// It is committed, and the table is rolled back before it is reloaded.
    RolledBack,
    /// It is still in flight when its call ends. A second one could be built.
    Delayed,
}

/// A catalog whose first commit, once armed, has an unknown outcome. For most of them, no second attempt can be
/// built.
#[derive(Debug)]
struct Overtaken {
    real: Arc<dyn Catalog>,
    armed: AtomicBool,
    first: First,
    held: tokio::sync::Mutex<Option<(LoadedTable, Vec<TableUpdate>)>>,
}

impl Overtaken {
    async fn new(warehouse: &Warehouse, first: First) -> Arc<Self> {
        Arc::new(Self {
            real: warehouse.catalog().await,
            armed: AtomicBool::new(false),
            first,
            held: tokio::sync::Mutex::new(None),
        })
    }

    /// Moves the main branch.
    async fn set_main(&self, snapshot_id: i64) -> LoadedTable {
        let table = self.real.load(&logs()).await.expect("loads");
        let reference = SnapshotReference::new(snapshot_id, SnapshotRetention::branch(None, None, None));
        let ref_name = "main".to_owned();
        taken(
            self.real
                .commit(
                    &table,
                    vec![],
                    vec![TableUpdate::SetSnapshotRef { ref_name, reference }],
                )
                .await,
        )
    }
}

/// The table with a schema that lacks a column of the sort order. Real catalogs allow engines to do so. The
/// catalog of these tests is built on iceberg-rust and does not.
fn without_sort_column(table: LoadedTable) -> LoadedTable {
    let mut json = serde_json::to_value(table.metadata.as_ref()).expect("JSON");
    let mut schema = json["schemas"][0].clone();
    let sorted_by = json["sort-orders"][0]["fields"][0]["source-id"].clone();
    assert!(sorted_by.is_number(), "{json}");
    let fields = schema["fields"].as_array_mut().expect("fields");
    fields.retain(|field| field["id"] != sorted_by);
    schema["schema-id"] = 1.into();
    json["schemas"].as_array_mut().expect("schemas").push(schema);
    json["current-schema-id"] = 1.into();
    LoadedTable {
        metadata: Arc::new(serde_json::from_value(json).expect("metadata")),
        ..table
    }
}

#[async_trait::async_trait]
impl Catalog for Overtaken {
    async fn ensure(&self, ident: &TableIdent, spec: Option<TableSpec>) -> Result<LoadedTable> {
        let table = self.real.ensure(ident, spec).await?;
        let is_held = self.held.lock().await.is_some();
        Ok(if is_held && self.first == First::Late {
            without_sort_column(table)
        } else {
            table
        })
    }

    async fn load(&self, ident: &TableIdent) -> Result<LoadedTable> {
        self.ensure(ident, None).await
    }

    async fn commit(
        &self,
        base: &LoadedTable,
        requirements: Vec<TableRequirement>,
        updates: Vec<TableUpdate>,
    ) -> CommitOutcome {
        if !self.armed.swap(false, Ordering::SeqCst) {
            return self.real.commit(base, requirements, updates).await;
        }
        if self.first == First::RolledBack {
            taken(self.real.commit(base, requirements, updates.clone()).await);
            self.set_main(base.metadata.current_snapshot_id().expect("a parent"))
                .await;
        }
        *self.held.lock().await = Some((base.clone(), updates));
        CommitOutcome::Unknown(Error::new(ErrorKind::CommitUnknown, "no answer"))
    }

    async fn reach(&self, ident: &TableIdent) -> Result<()> {
        self.real.reach(ident).await
    }
}

/// All attempts share the manifests of the new files, so an attempt that cannot be built must leave them to
/// the previous one.
#[tokio::test]
async fn an_attempt_that_cannot_be_built_leaves_the_files_of_one_that_may_land() {
    for first in [First::Late, First::RolledBack] {
        let warehouse = Warehouse::new();
        let catalog = Overtaken::new(&warehouse, first).await;
        let committer = warehouse.committer(catalog.clone()).await;
        committer.append(append(1, 1), soon()).await.expect("committed");
        catalog.armed.store(true, Ordering::SeqCst);
        let error = committer
            .append(append(1, 2), soon())
            .await
            .expect_err("no second attempt");
        assert!(
            error.to_string().contains("the table cannot take a new snapshot"),
            "{first:?}: {error}"
        );
        committer.close().await;

        let (base, updates) = catalog.held.lock().await.take().expect("held");
        let landed = updates
            .iter()
            .find_map(|update| match update {
                TableUpdate::AddSnapshot { snapshot } => Some(snapshot.snapshot_id()),
                _ => None,
            })
            .expect("a snapshot");
        let table = match first {
            First::Late | First::Delayed => taken(catalog.real.commit(&base, vec![], updates).await),
            First::RolledBack => catalog.set_main(landed).await,
        };
        assert_eq!(table.metadata.current_snapshot_id(), Some(landed), "{first:?}");
        assert_eq!(entries(&table).await.len(), 2, "{first:?}: all of it can be read");
        // The attempt that was not built leaves no files: there is a list and a manifest for each snapshot.
        assert_eq!(warehouse.metadata_files(".avro").len(), 4, "{first:?}");
    }
}

/// Its files are remembered, to be deleted once it cannot land any more.
#[tokio::test]
async fn an_attempt_that_lands_after_its_call_has_all_its_files() {
    let warehouse = Warehouse::new();
    let catalog = Overtaken::new(&warehouse, First::Delayed).await;
    let one_attempt = CommitConfig {
        max_retries: Some(0),
        ..CommitConfig::default()
    };
    let committer = warehouse.committer_with(catalog.clone(), one_attempt).await;
    committer.append(append(1, 1), soon()).await.expect("committed");
    catalog.armed.store(true, Ordering::SeqCst);
    let error = committer
        .append(append(1, 2), soon())
        .await
        .expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::CommitUnknown, "{error}");
    let (base, updates) = catalog.held.lock().await.take().expect("held");
    taken(catalog.real.commit(&base, vec![], updates).await);
    committer.append(append(1, 3), soon()).await.expect("committed");
    committer.close().await;
    let table = catalog.real.load(&logs()).await.expect("loads");
    assert_eq!(entries(&table).await.len(), 3, "all of it can be read");
    // The list and the manifest of each snapshot.
    assert_eq!(warehouse.metadata_files(".avro").len(), 6);
}
