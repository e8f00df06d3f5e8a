//! Batches: the requests' bytes are released once their files are stored. No request is lost or duplicated by
//! that, however the commit ends.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join;
use iceberg::spec::{NestedField, PrimitiveType, Schema, Type};
use otlp2iceberg::catalog::{Catalog, CommitOutcome};
use otlp2iceberg::{
    Batch, Delivery, Error, ErrorKind, Outcome, Pipeline, RequestId, Result, RetryClass, Signal,
};
use tokio_util::sync::CancellationToken;

use crate::commit_renamed::drop_table;
use crate::commit_requests::{ACCEPT, Process, data_files, receipts, request, snapshots, stored};
use crate::commit_support::Fault::{LostAnswer, LostRequest, Refusal};
use crate::commit_support::{Fault, Faulty, Warehouse, entries, logs};
use crate::compaction::widen;
use crate::found::support::made;

/// One attempt per commit.
pub const ONE_ATTEMPT: &str = r#""commit": {"max_retries": 0}"#;

/// A batch of requests with one record each, merged one by one.
pub fn batch(numbers: &[u64]) -> Batch {
    let mut batch = Batch::new(Signal::Logs);
    for number in numbers {
        let mut next = Batch::new(Signal::Logs);
        next.append(id(*number), &request(*number)).expect("new");
        batch.merge(&mut next).expect("of one signal");
    }
    batch
}

fn id(sequence: u64) -> RequestId {
    RequestId {
        writer: [1; 16],
        sequence,
    }
}

pub async fn export(pipeline: &Pipeline, batch: &mut Batch) -> Result<Outcome> {
    let delivery = Delivery {
        received_unix_nano: 1_750_000_000_000_000_000,
        cancel: CancellationToken::new(),
        timeout: Duration::from_secs(60),
    };
    pipeline.export_batch(batch, delivery).await
}

fn will(process: &Process, faults: &[Fault]) {
    process.catalog.faults.lock().expect("lock").extend(faults);
}

/// A batch of requests 1 and 2 whose first commit ended with this fault.
pub async fn failed(process: &Process, fault: Fault) -> (Batch, Error) {
    let mut batch = batch(&[1, 2]);
    will(process, &[fault]);
    let error = export(&process.pipeline, &mut batch).await.expect_err("as told");
    assert_eq!(batch.bytes(), 0, "the rows are in files");
    (batch, error)
}

fn parquet_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            found.extend(parquet_files(&path));
        } else if path.extension().is_some_and(|ending| ending == "parquet") {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn a_batch_is_stored_as_its_payload_would_be() {
    let warehouse = Warehouse::with_sections(ONE_ATTEMPT);
    let process = Process::unopened(&warehouse).await;
    let mut batch = batch(&[1, 2, 3]);
    assert_eq!(batch.bytes(), request(1).len() * 3);
    let outcome = export(&process.pipeline, &mut batch).await.expect("stored");
    assert_eq!((outcome.rows, outcome.files, outcome.commits), (3, 1, 1));
    assert_eq!(batch.bytes(), 0);
    assert_eq!(stored(&warehouse).await, [1, 2, 3]);
    let again = process.send(&[1, 2, 3]).await.expect("recognised");
    assert_eq!((again.rows, again.already_committed), (0, 3));
}

#[tokio::test]
async fn a_commit_that_failed_is_made_again_from_the_files() {
    for fault in [Refusal, LostRequest] {
        let warehouse = Warehouse::with_sections(ONE_ATTEMPT);
        let process = Process::start(&warehouse).await;
        let (mut batch, error) = failed(&process, fault).await;
        assert!(matches!(error.retry_class(), RetryClass::Retry { .. }), "{error}");
        assert_eq!(stored(&warehouse).await, [0], "{fault:?}");
        let files = data_files(&warehouse);
        let outcome = export(&process.pipeline, &mut batch).await.expect("stored");
        assert_eq!(
            (outcome.rows, outcome.files, outcome.commits),
            (2, 1, 1),
            "{fault:?}"
        );
        assert_eq!(data_files(&warehouse), files, "nothing is written again");
        assert_eq!(stored(&warehouse).await, [0, 1, 2], "{fault:?}");
    }
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_found_and_not_made_again() {
    let warehouse = Warehouse::with_sections(ONE_ATTEMPT);
    let process = Process::start(&warehouse).await;
    let mut batch = batch(&[1, 2]);
    will(&process, &[LostAnswer]);
    process.catalog.set_blind(true);
    let error = export(&process.pipeline, &mut batch).await.expect_err("blind");
    assert_eq!(error.kind(), ErrorKind::CommitUnknown);
    export(&process.pipeline, &mut batch)
        .await
        .expect_err("still blind");
    process.catalog.set_blind(false);
    let outcome = export(&process.pipeline, &mut batch).await.expect("found");
    assert_eq!(
        (outcome.commits, outcome.rows, outcome.already_committed),
        (1, 2, 0)
    );
    assert_eq!(stored(&warehouse).await, [0, 1, 2]);
    assert_eq!(snapshots(&warehouse).await, 2);
}

#[tokio::test]
async fn bytes_are_held_where_they_may_be_needed() {
    let dead = tempfile::tempdir().expect("temporary folder");
    let letters = format!(r#"{ONE_ATTEMPT}, "dead_letter": {{"path": {:?}}}"#, dead.path());
    for (sections, redelivered) in [(letters.as_str(), false), (ONE_ATTEMPT, true)] {
        let warehouse = Warehouse::with_sections(sections);
        let process = Process::start(&warehouse).await;
        let mut batch = batch(&[1, 2]);
        if redelivered {
            batch.set_redelivered();
        }
        will(&process, &[Refusal]);
        export(&process.pipeline, &mut batch).await.expect_err("refused");
        assert_eq!(batch.bytes(), 2 * request(1).len());
        // Another process stores some of these requests first, in another batch.
        let other = Process::unopened(&warehouse).await;
        assert_eq!(other.send(&[2]).await.expect("stored").rows, 1);
        while let Err(error) = export(&process.pipeline, &mut batch).await {
            assert!(matches!(error.retry_class(), RetryClass::Retry { .. }), "{error}");
        }
        assert_eq!(stored(&warehouse).await, [0, 1, 2]);
    }
}

#[tokio::test]
async fn bytes_are_held_while_a_table_cannot_be_written() {
    let warehouse = Warehouse::with_sections(ONE_ATTEMPT);
    let process = Process::unopened(&warehouse).await;
    process.catalog.set_down(true);
    let mut batch = batch(&[1]);
    export(&process.pipeline, &mut batch).await.expect_err("no table");
    assert_eq!(batch.bytes(), request(1).len());
    process.catalog.set_down(false);
    export(&process.pipeline, &mut batch).await.expect("stored");
    assert_eq!(stored(&warehouse).await, [1]);
}

#[tokio::test]
async fn while_the_catalog_is_away_files_are_made_for_the_table_as_last_seen() {
    let warehouse = Warehouse::with_sections(ONE_ATTEMPT);
    let process = Process::start(&warehouse).await;
    process.catalog.set_blind(true);
    let (mut first, _) = failed(&process, LostAnswer).await;
    let mut second = batch(&[3, 4]);
    for _ in 0..2 {
        let error = export(&process.pipeline, &mut second).await.expect_err("away");
        assert!(matches!(error.retry_class(), RetryClass::Retry { .. }), "{error}");
        assert_eq!(second.bytes(), 0, "the rows are in files");
    }
    assert_eq!(data_files(&warehouse).len(), 3, "each batch is written once");
    process.catalog.set_blind(false);
    let found = export(&process.pipeline, &mut first).await.expect("found");
    assert_eq!((found.rows, found.already_committed), (2, 0));
    let outcome = export(&process.pipeline, &mut second).await.expect("stored");
    assert_eq!((outcome.rows, outcome.commits), (2, 1));
    assert_eq!(stored(&warehouse).await, [0, 1, 2, 3, 4]);
    assert_eq!(data_files(&warehouse).len(), 3);
}

#[tokio::test]
async fn a_commit_that_gets_no_answer_does_not_keep_other_files_from_being_made() {
    let warehouse = Warehouse::new();
    let gated = Faulty::gated(warehouse.catalog().await);
    let shared: Arc<dyn Catalog> = Arc::<Faulty>::clone(&gated);
    let pipeline = Pipeline::open_with(warehouse.config.clone(), shared).expect("opens");
    gated.faults.lock().expect("lock").push_back(LostRequest);
    gated.gate.add_permits(1);
    let (mut first, mut second) = (batch(&[1]), batch(&[2]));
    let second = async {
        // The attempt whose request was lost, and the next one, which waits at the gate.
        gated.reached.acquire_many(2).await.expect("open").forget();
        let written = async {
            while data_files(&warehouse).len() < 2 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            gated.gate.add_permits(10);
        };
        join(export(&pipeline, &mut second), written).await.0
    };
    let (first, second) = Box::pin(join(export(&pipeline, &mut first), second)).await;
    first.and(second).expect("stored");
    assert_eq!(stored(&warehouse).await, [1, 2]);
}

#[tokio::test]
async fn a_table_that_did_not_fit_is_not_judged_while_it_cannot_be_seen() {
    let warehouse = Warehouse::with_sections(r#""tables": {"auto_evolve": false}"#);
    made(
        &warehouse,
        &[
            ("Timestamp", PrimitiveType::Timestamptz),
            ("Body", PrimitiveType::Int),
        ],
    )
    .await;
    let process = Process::unopened(&warehouse).await;
    let mut batch = batch(&[1]);
    let error = export(&process.pipeline, &mut batch).await.expect_err("no fit");
    assert_eq!(error.retry_class(), RetryClass::Permanent, "{error}");
    process.catalog.set_blind(true);
    let error = export(&process.pipeline, &mut batch).await.expect_err("not seen");
    assert!(matches!(error.retry_class(), RetryClass::Retry { .. }), "{error}");
    assert_eq!(batch.bytes(), request(1).len());
}

#[tokio::test]
async fn a_table_that_evolved_meanwhile_takes_the_files() {
    let warehouse = Warehouse::with_sections(ONE_ATTEMPT);
    let process = Process::start(&warehouse).await;
    let (mut batch, _) = failed(&process, Refusal).await;
    let catalog = warehouse.catalog().await;
    let table = catalog.load(&logs()).await.expect("there");
    let columns = table
        .metadata
        .current_schema()
        .as_struct()
        .fields()
        .iter()
        .cloned();
    let added = NestedField::optional(9_000, "Added", Type::Primitive(PrimitiveType::Int));
    let schema = Schema::builder()
        .with_fields(columns.chain([Arc::new(added)]))
        .build()
        .expect("schema");
    let built = table.metadata.as_ref().clone().into_builder(None);
    let changes = built
        .add_current_schema(schema)
        .expect("added")
        .build()
        .expect("metadata")
        .changes;
    let outcome = catalog.commit(&table, Vec::new(), changes).await;
    assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
    let error = export(&process.pipeline, &mut batch)
        .await
        .expect_err("not the last");
    assert!(matches!(error.retry_class(), RetryClass::Retry { .. }), "{error}");
    let outcome = export(&process.pipeline, &mut batch).await.expect("stored");
    assert_eq!(outcome.rows, 2);
    assert_eq!(stored(&warehouse).await, [0, 1, 2]);
}

/// The files' partitions have the type that the column had.
#[tokio::test]
async fn a_table_whose_partition_column_was_made_wider_meanwhile_takes_the_files() {
    let sections =
        format!(r#"{ONE_ATTEMPT}, "tables": {{"partition_by": ["identity(ScopeDroppedAttributesCount)"]}}"#);
    let warehouse = Warehouse::with_sections(&sections);
    let process = Process::start(&warehouse).await;
    let (mut batch, _) = failed(&process, LostRequest).await;
    widen(&warehouse).await;
    let outcome = export(&process.pipeline, &mut batch).await.expect("stored");
    assert_eq!(outcome.rows, 2);
    assert_eq!(stored(&warehouse).await, [0, 1, 2]);
}

#[tokio::test]
async fn a_table_made_anew_as_it_was_takes_the_files() {
    let warehouse = Warehouse::with_sections(ONE_ATTEMPT);
    let process = Process::start(&warehouse).await;
    let (mut batch, _) = failed(&process, LostRequest).await;
    drop_table(&warehouse).await;
    let outcome = export(&process.pipeline, &mut batch).await.expect("stored");
    assert_eq!(outcome.rows, 2);
    assert_eq!(stored(&warehouse).await, [1, 2]);
}

#[tokio::test]
async fn a_table_made_anew_in_another_way_does_not_and_the_files_are_named() {
    for tables in [
        r#""tables": {"partition_by": "none"}"#,
        r#""tables": {"partition_by": "month"}"#,
    ] {
        let warehouse = Warehouse::with_sections(ONE_ATTEMPT);
        let process = Process::start(&warehouse).await;
        let before = data_files(&warehouse);
        let (mut batch, _) = failed(&process, LostRequest).await;
        drop_table(&warehouse).await;
        let other = Warehouse::with_sections(tables);
        let catalog = warehouse.catalog().await;
        catalog
            .ensure(&logs(), Some(other.spec()))
            .await
            .expect("made anew");
        for _ in 0..2 {
            let error = export(&process.pipeline, &mut batch).await.expect_err("no fit");
            assert_eq!(
                (error.kind(), error.retry_class()),
                (ErrorKind::TableMismatch, RetryClass::Permanent)
            );
            let after = data_files(&warehouse);
            let written = after.iter().find(|name| !before.contains(name));
            assert!(error.to_string().contains(written.expect("kept")), "{error}");
        }
        let table = catalog.load(&logs()).await.expect("there");
        assert!(table.metadata.current_snapshot().is_none());
    }
}

#[tokio::test]
async fn a_file_that_is_gone_is_told_and_not_committed() {
    let warehouse = Warehouse::with_sections(ONE_ATTEMPT);
    let process = Process::start(&warehouse).await;
    let data = warehouse.folder.path().join("otel/logs/data");
    let before = parquet_files(&data);
    let (mut batch, _) = failed(&process, Refusal).await;
    let written = parquet_files(&data)
        .into_iter()
        .find(|path| !before.contains(path));
    std::fs::remove_file(written.as_ref().expect("one")).expect("removed");
    let error = export(&process.pipeline, &mut batch).await.expect_err("lost");
    assert_eq!(error.retry_class(), RetryClass::Permanent);
    assert!(
        error
            .to_string()
            .contains(written.expect("one").to_str().expect("UTF-8")),
        "{error}"
    );
    assert_eq!(stored(&warehouse).await, [0]);
}

#[tokio::test]
async fn with_accept_a_batch_ends_with_a_receipt() {
    let warehouse = Warehouse::with_sections(ACCEPT);
    let process = Process::start(&warehouse).await;
    process.catalog.set_down(true);
    let mut batch = batch(&[1, 2]);
    let outcome = export(&process.pipeline, &mut batch).await.expect("accepted");
    assert_eq!((outcome.receipts_written, outcome.receipt_rows), (1, 2));
    assert_eq!((receipts(&warehouse).len(), batch.bytes()), (1, 0));
    process.catalog.set_down(false);
    process.pipeline.collect_receipts().await.expect("committed");
    assert_eq!(stored(&warehouse).await, [0, 1, 2]);
}

#[tokio::test]
async fn one_table_s_failure_leaves_the_other_s_rows_where_they_are() {
    /// A metrics request: a gauge and a sum, each with one point without fields.
    const GAUGE_AND_SUM: &[u8] = b"\x0a\x0e\x12\x0c\x12\x04\x2a\x02\x0a\x00\x12\x04\x3a\x02\x0a\x00";
    let warehouse = Warehouse::with_sections(ONE_ATTEMPT);
    let process = Process::unopened(&warehouse).await;
    let mut batch = Batch::new(Signal::Metrics);
    batch.append(id(1), GAUGE_AND_SUM).expect("new");
    will(&process, &[Refusal]);
    export(&process.pipeline, &mut batch)
        .await
        .expect_err("one table refused");
    assert_eq!(batch.bytes(), 0);
    let outcome = export(&process.pipeline, &mut batch).await.expect("stored");
    assert_eq!((outcome.rows, outcome.commits, outcome.files), (2, 2, 2));
    for name in ["metrics_gauge", "metrics_sum"] {
        let ident = iceberg::TableIdent::from_strs(["otel", name]).expect("ident");
        let table = warehouse.catalog().await.load(&ident).await.expect("there");
        assert_eq!(entries(&table).await.len(), 1, "{name}");
        assert_eq!(table.metadata.snapshots().len(), 1, "{name}");
    }
}

#[tokio::test]
async fn what_waits_for_a_commit_holds_no_bytes_in_flight() {
    let large = |number: u64| {
        let mut batch = batch(&[number]);
        // A field that OTLP does not have, of 700 kB.
        let unknown = [b"\x7a\xe0\xdc\x2a".as_slice(), &vec![0; 700_000]].concat();
        batch.append(id(1000 + number), &unknown).expect("new");
        batch
    };
    let warehouse = Warehouse::with_sections(r#""limits": {"in_flight_bytes_max": 1048576}"#);
    let catalog = Faulty::gated(warehouse.catalog().await);
    let shared: Arc<dyn Catalog> = Arc::<Faulty>::clone(&catalog);
    let pipeline = Pipeline::open_with(warehouse.config.clone(), shared).expect("opens");
    let (mut first, mut second) = (large(1), large(2));
    let commits = async {
        // The first commit waits here until the second's files are stored. Both fit into memory only if the
        // first's bytes were released.
        catalog.reached.acquire().await.expect("reached").forget();
        while data_files(&warehouse).len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        catalog.gate.add_permits(10);
    };
    let (first, second, ()) = tokio::join!(
        export(&pipeline, &mut first),
        export(&pipeline, &mut second),
        commits
    );
    let (first, second) = (first.expect("stored"), second.expect("stored"));
    assert_eq!(first.rows + second.rows, 2);
    assert_eq!(stored(&warehouse).await, [1, 2]);
}

#[tokio::test]
async fn a_batch_goes_on_where_it_began_only() {
    let warehouse = Warehouse::with_sections(ONE_ATTEMPT);
    let process = Process::start(&warehouse).await;
    let (mut first, _) = failed(&process, Refusal).await;
    let other = Process::unopened(&warehouse).await;
    let error = export(&other.pipeline, &mut first)
        .await
        .expect_err("not its own");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(
        first.append(id(3), b"").expect_err("gone").kind(),
        ErrorKind::InvalidArgument
    );
    assert!(first.pieces().is_err() && batch(&[4]).merge(&mut first).is_err());
    export(&process.pipeline, &mut first).await.expect("stored");
    assert_eq!(stored(&warehouse).await, [0, 1, 2]);
}
