//! Appends to a table that other tools also write to.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use iceberg::TableUpdate;
use iceberg::spec::{
    DataContentType, DataFileBuilder, DataFileFormat, Literal, ManifestContentType, ManifestListWriter,
    ManifestWriterBuilder, Operation, Snapshot, SnapshotReference, SnapshotRetention, Struct, Summary,
    UNASSIGNED_SEQUENCE_NUMBER,
};
use otlp2iceberg::catalog::{Catalog, LoadedTable};
use otlp2iceberg::commit::Committer;
use otlp2iceberg::config::CommitConfig;

use crate::catalog_rest::server::Server;
use crate::catalog_rest::stub::Reply;
use crate::commit_support::{Faulty, Warehouse, append, logs, manifests, soon, summary, taken};

const SNAPSHOT: i64 = 77;
const HOUR_MS: i64 = 3_600_000;

/// A snapshot with one position delete file, dated an hour ahead of our clock, as another tool with
/// another clock would commit it, on a main branch with retention settings.
pub async fn foreign_snapshot(table: &LoadedTable) -> Vec<TableUpdate> {
    let metadata = &table.metadata;
    let location = metadata.location();
    let output = |name: &str| {
        table
            .file_io
            .new_output(format!("{location}/metadata/{name}"))
            .expect("output")
    };
    let deletes = DataFileBuilder::default()
        .content(DataContentType::PositionDeletes)
        .file_path("file:///nowhere/deletes.parquet".to_owned())
        .file_format(DataFileFormat::Parquet)
        .partition(Struct::from_iter([Some(Literal::date(20_000))]))
        .partition_spec_id(0)
        .record_count(4)
        .file_size_in_bytes(50)
        .build()
        .expect("delete file");
    let spec = metadata.default_partition_spec().as_ref().clone();
    let schema = metadata.current_schema().clone();
    let mut writer =
        ManifestWriterBuilder::new(output("deletes.avro"), Some(SNAPSHOT), schema, spec).build_v2_deletes();
    writer
        .add_file(deletes, UNASSIGNED_SEQUENCE_NUMBER)
        .expect("added");
    let manifest = writer.write_manifest_file().await.expect("manifest");
    let parent = metadata.current_snapshot_id();
    let sequence_number = metadata.next_sequence_number();
    let writer = output("list.avro").writer().await.expect("writer");
    let mut list = ManifestListWriter::v2(writer, SNAPSHOT, parent, sequence_number);
    list.add_manifests(manifests(table).await.into_iter().chain([manifest]))
        .expect("added");
    list.close().await.expect("list");
    // It has only one of the totals.
    let additional_properties = HashMap::from([("total-delete-files".to_owned(), "1".to_owned())]);
    let snapshot = Snapshot::builder()
        .with_snapshot_id(SNAPSHOT)
        .with_parent_snapshot_id(parent)
        .with_sequence_number(sequence_number)
        .with_timestamp_ms(metadata.last_updated_ms() + HOUR_MS)
        .with_manifest_list(format!("{location}/metadata/list.avro"))
        .with_summary(Summary {
            operation: Operation::Delete,
            additional_properties,
        })
        .with_schema_id(0)
        .build();
    vec![TableUpdate::AddSnapshot { snapshot }, main_keeps(SNAPSHOT, 42)]
}

/// Sets the main branch to a snapshot, with this number of snapshots to keep.
fn main_keeps(snapshot_id: i64, snapshots: i32) -> TableUpdate {
    let retention = SnapshotRetention::branch(Some(snapshots), None, None);
    TableUpdate::SetSnapshotRef {
        ref_name: "main".to_owned(),
        reference: SnapshotReference::new(snapshot_id, retention),
    }
}

/// The number of snapshots that the main branch keeps.
fn kept_on_main(table: &LoadedTable) -> serde_json::Value {
    let json = serde_json::to_value(table.metadata.as_ref()).expect("serializes");
    json["refs"]["main"]["min-snapshots-to-keep"].clone()
}

async fn open(server: &Server) -> (Arc<dyn Catalog>, Committer) {
    let (catalog, spec) = (server.catalog("").await, Warehouse::new().spec());
    let config = CommitConfig::default();
    let committer = Committer::open(catalog.clone(), logs(), Some(spec), None, config).await;
    (catalog, committer.expect("opens"))
}

#[tokio::test]
async fn append_keeps_deletes_retention_and_order_in_time_of_another_tools_snapshot() {
    let warehouse = Warehouse::with(r#"{"properties": {"commit.manifest.min-count-to-merge": "2"}}"#);
    let catalog = warehouse.catalog().await;
    let committer = warehouse.committer(catalog.clone()).await;
    committer.append(append(1, 1), soon()).await.expect("committed");
    let base = committer.table();
    let theirs = taken(catalog.commit(&base, vec![], foreign_snapshot(&base).await).await);
    let theirs_ms = theirs
        .metadata
        .current_snapshot()
        .expect("a snapshot")
        .timestamp_ms();

    let committed = committer.append(append(1, 2), soon()).await.expect("committed");
    assert_eq!(committed.attempts, 2, "the base was stale");
    let table = catalog.load(&logs()).await.expect("loads");
    let snapshot = table.metadata.current_snapshot().expect("a snapshot");
    assert_eq!(snapshot.parent_snapshot_id(), Some(SNAPSHOT));
    assert_eq!(snapshot.timestamp_ms(), theirs_ms + 1);
    let listed = manifests(&table).await;
    let deletes: Vec<_> = listed
        .iter()
        .filter(|manifest| manifest.content == ManifestContentType::Deletes)
        .collect();
    assert_eq!(
        (listed.len(), deletes.len()),
        (2, 1),
        "data manifests are merged, delete manifests are not"
    );
    assert!(deletes[0].manifest_path.ends_with("/deletes.avro") && deletes[0].sequence_number == 2);
    assert_eq!(
        summary(&table).get("total-delete-files").map(String::as_str),
        Some("1")
    );
    assert_eq!(
        summary(&table).get("total-records"),
        None,
        "a total that the parent does not have is not made up"
    );
    assert_eq!(kept_on_main(&table), 42);
}

/// A REST catalog compares only the snapshot of the main branch, and each commit writes the whole reference.
#[tokio::test]
async fn retention_that_somebody_sets_meanwhile_stays_in_a_rest_catalog() {
    let server = Server::new();
    let (catalog, committer) = open(&server).await;
    let loads = || server.stub.asked_for("GET", "/tables/logs").len();
    for (sequence, kept) in [(1, 42), (2, 43)] {
        committer
            .append(append(1, sequence), soon())
            .await
            .expect("committed");
        let base = catalog.load(&logs()).await.expect("loads");
        let current = base.metadata.current_snapshot_id().expect("a snapshot");
        taken(
            catalog
                .commit(&base, vec![], vec![main_keeps(current, kept)])
                .await,
        );
    }
    let before = loads();
    let committed = committer.append(append(1, 3), soon()).await.expect("committed");
    assert_eq!((committed.attempts, loads() - before), (1, 1));
    let table = catalog.load(&logs()).await.expect("loads");
    assert_eq!(table.metadata.current_snapshot_id(), Some(committed.snapshot_id));
    assert_eq!(kept_on_main(&table), 43);
}

/// The reload is optional: a commit that the catalog accepts does not wait for it.
#[tokio::test]
async fn a_rest_catalog_that_does_not_load_the_table_is_asked_to_commit_all_the_same() {
    let server = Server::new();
    let (catalog, committer) = open(&server).await;
    committer.append(append(1, 1), soon()).await.expect("committed");
    let loads = || server.stub.asked_for("GET", "/tables/logs").len();
    let before = loads();
    let failing = Reply::error(500, "Boom", "not now");
    server.state().gate.push_back(Some(failing));
    let committed = committer.append(append(1, 2), soon()).await.expect("committed");
    assert_eq!((committed.attempts, loads() - before), (1, 1));
    let table = catalog.load(&logs()).await.expect("loads");
    assert_eq!(table.metadata.snapshots().len(), 2);
}

#[tokio::test]
async fn a_catalog_that_compares_all_of_the_metadata_is_not_asked_before_each_commit() {
    let warehouse = Warehouse::new();
    let catalog = Faulty::new(warehouse.catalog().await, []);
    let committer = warehouse.committer(catalog.clone()).await;
    let before = catalog.asked.load(Ordering::SeqCst);
    for sequence in 1..=3 {
        committer
            .append(append(1, sequence), soon())
            .await
            .expect("committed");
    }
    assert_eq!(
        catalog.asked.load(Ordering::SeqCst) - before,
        3,
        "the commits alone"
    );
}
