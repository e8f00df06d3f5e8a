//! Batches while storage is away: the mount point of an unmounted disk shows no files and accepts any.
//! Nothing is lost or written below the mount point.

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::join;
use otlp2iceberg::catalog::Catalog;
use otlp2iceberg::config::Config;
use otlp2iceberg::{ErrorKind, Pipeline, RetryClass};

use crate::batches::{ONE_ATTEMPT, batch, export, failed};
use crate::commit_requests::{ACCEPT, Process, request, stored};
use crate::commit_support::Fault::Refusal;
use crate::commit_support::{Faulty, Warehouse, logs};

/// A warehouse on its own disk, and its database elsewhere.
fn mounted(sections: &str) -> (Warehouse, PathBuf) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (disk, database) = (folder.path().join("disk"), folder.path().join("catalog.db"));
    let json = format!(
        r#"{{"catalog": {{"uri": "sqlite://{}", "warehouse": "{}"}}, {sections}}}"#,
        database.display(),
        disk.display()
    );
    let config = Config::from_json(json.as_bytes()).expect("valid configuration");
    (Warehouse { folder, config }, disk)
}

#[tokio::test]
async fn files_that_are_out_of_sight_with_all_of_storage_are_not_lost() {
    for has_snapshot in [true, false] {
        let (warehouse, disk) = mounted(ONE_ATTEMPT);
        let process = Process::unopened(&warehouse).await;
        if has_snapshot {
            process.send(&[0]).await.expect("stored");
        }
        let (mut batch, _) = failed(&process, Refusal).await;
        let elsewhere = disk.with_extension("unmounted");
        std::fs::rename(&disk, &elsewhere).expect("unmounted");
        let error = export(&process.pipeline, &mut batch)
            .await
            .expect_err("out of sight");
        assert_eq!(error.kind(), ErrorKind::Storage, "{error}");
        for part in [
            "so nothing is committed: does the bucket of catalog.warehouse exist",
            "otel/logs/data",
            "otel/logs/metadata",
            "is its disk mounted? If they were deleted, drop the table from the catalog",
        ] {
            assert!(error.to_string().contains(part), "{part} in {error}");
        }
        for _ in 0..2 {
            let error = export(&process.pipeline, &mut batch).await.expect_err("still");
            assert_eq!(error.retry_class(), RetryClass::Retry { after: None }, "{error}");
        }
        std::fs::rename(&elsewhere, &disk).expect("mounted again");
        let outcome = export(&process.pipeline, &mut batch).await.expect("stored");
        assert_eq!((outcome.rows, outcome.commits), (2, 1));
        let expected: &[u64] = if has_snapshot { &[0, 1, 2] } else { &[1, 2] };
        assert_eq!(stored(&warehouse).await, expected);
    }
}

#[tokio::test]
async fn nothing_is_written_below_the_mount_point_of_a_disk_that_is_away() {
    let told =
        "so nothing is written: mount their disk; if they were deleted, drop the table from the catalog";
    let mut times_told = 0;
    for (sections, has_snapshot, redelivered) in [
        (ONE_ATTEMPT, true, false),
        (ONE_ATTEMPT, true, true),
        (ONE_ATTEMPT, false, false),
        (ACCEPT, true, false),
        (ACCEPT, true, true),
    ] {
        let case = format!("{sections}, a snapshot: {has_snapshot}, redelivered: {redelivered}");
        let (warehouse, disk) = mounted(sections);
        let process = Process::unopened(&warehouse).await;
        if has_snapshot {
            process.send(&[0]).await.expect("stored");
        } else {
            process
                .catalog
                .ensure(&logs(), Some(warehouse.spec()))
                .await
                .expect("made");
            process.pipeline.warm().await;
        }
        let elsewhere = disk.with_extension("unmounted");
        std::fs::rename(&disk, &elsewhere).expect("unmounted");
        let mut batch = batch(&[1, 2]);
        if redelivered {
            batch.set_redelivered();
        }
        for _ in 0..2 {
            let error = export(&process.pipeline, &mut batch).await.expect_err("no disk");
            assert!(
                matches!(error.retry_class(), RetryClass::Retry { .. }),
                "{case}: {error}"
            );
            // A file that must be read first, such as the table's metadata, is missing with another text.
            let is_told = error.to_string().contains(told);
            assert!(
                is_told || error.to_string().contains("mounted"),
                "{case}: {error}"
            );
            times_told += usize::from(is_told);
            assert!(!disk.exists(), "{case}");
            assert_eq!(batch.bytes(), 2 * request(1).len(), "{case}");
        }
        std::fs::rename(&elsewhere, &disk).expect("mounted again");
        export(&process.pipeline, &mut batch).await.expect("stored");
        process.pipeline.collect_receipts().await.expect("committed");
        let expected: &[u64] = if has_snapshot { &[0, 1, 2] } else { &[1, 2] };
        assert_eq!(stored(&warehouse).await, expected, "{case}");
    }
    assert!(times_told > 0, "told in no case");
}

#[tokio::test]
async fn a_table_whose_last_seen_snapshot_was_expired_by_others_is_not_missed() {
    let warehouse = Warehouse::with_sections(ONE_ATTEMPT);
    let process = Process::start(&warehouse).await;
    let seen = warehouse.catalog().await.load(&logs()).await.expect("there");
    let other = Process::unopened(&warehouse).await;
    other.send(&[5]).await.expect("stored");
    let list = seen.metadata.current_snapshot().expect("one").manifest_list();
    seen.file_io.delete(list).await.expect("expired");
    let mut batch = batch(&[1, 2]);
    // Its commit needs the missing files.
    export(&process.pipeline, &mut batch)
        .await
        .expect_err("overtaken");
    assert_eq!(batch.bytes(), 0, "the rows are in files");
    export(&process.pipeline, &mut batch).await.expect("stored");
    assert_eq!(stored(&warehouse).await, [0, 1, 2, 5]);
}

#[tokio::test]
async fn no_receipt_is_written_where_the_disk_of_its_files_is_not() {
    let (warehouse, disk) = mounted(ACCEPT);
    let catalog = Faulty::gated(warehouse.catalog().await);
    let shared: Arc<dyn Catalog> = Arc::<Faulty>::clone(&catalog);
    let pipeline = Pipeline::open_with(warehouse.config.clone(), shared).expect("opens");
    catalog.gate.add_permits(1);
    export(&pipeline, &mut batch(&[0])).await.expect("stored");
    catalog.reached.acquire().await.expect("open").forget();
    let elsewhere = disk.with_extension("unmounted");
    let unmounted = async {
        // Its data file is on the disk.
        catalog.reached.acquire().await.expect("open").forget();
        std::fs::rename(&disk, &elsewhere).expect("unmounted");
        catalog.faults.lock().expect("lock").push_back(Refusal);
        catalog.gate.add_permits(10);
    };
    let mut batch = batch(&[1, 2]);
    let (result, ()) = join(export(&pipeline, &mut batch), unmounted).await;
    let error = result.expect_err("no place for a receipt");
    assert!(matches!(error.retry_class(), RetryClass::Retry { .. }), "{error}");
    assert!(!disk.exists());
    std::fs::rename(&elsewhere, &disk).expect("mounted again");
    export(&pipeline, &mut batch).await.expect("stored");
    pipeline.collect_receipts().await.expect("committed");
    assert_eq!(stored(&warehouse).await, [0, 1, 2]);
}
