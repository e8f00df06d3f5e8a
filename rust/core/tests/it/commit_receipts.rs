//! `commit.on_failure: accept`: the behaviour of this process when its catalog does not commit.

use std::sync::atomic::Ordering;
use std::time::Duration;

use otlp2iceberg::write::register::{Footer, Tail};
use otlp2iceberg::{ParquetFile, Registered, RequestId, RetryClass, Table};

use crate::commit_requests::{ACCEPT, Process, data_files, receipts, receipts_folder, snapshots, stored};
use crate::commit_support::Fault::{LostAnswer, LostRequest, Refusal};
use crate::commit_support::{Warehouse, entries, logs};

#[tokio::test]
async fn a_call_succeeds_with_a_receipt_that_is_committed_when_the_catalog_is_back() {
    let warehouse = Warehouse::with_sections(ACCEPT);
    let process = Process::start(&warehouse).await;
    process.catalog.set_down(true);
    let outcome = process.send(&[1, 2]).await.expect("accepted");
    assert_eq!((outcome.rows, outcome.commits, outcome.files), (0, 0, 1));
    assert_eq!((outcome.receipts_written, outcome.receipt_rows), (1, 2));
    assert_eq!(receipts(&warehouse).len(), 1);
    assert_eq!(stored(&warehouse).await, [0]);
    process
        .pipeline
        .collect_receipts()
        .await
        .expect_err("the catalog is down");
    assert_eq!(receipts(&warehouse).len(), 1);

    process.catalog.set_down(false);
    process.pipeline.collect_receipts().await.expect("committed");
    assert_eq!(stored(&warehouse).await, [0, 1, 2]);
    assert_eq!(receipts(&warehouse), Vec::<String>::new());
    let outcome = process.send(&[3]).await.expect("stored");
    assert_eq!(
        (outcome.rows, outcome.receipts_written, outcome.receipts_committed),
        (1, 0, 1)
    );
    assert_eq!(process.send(&[3]).await.expect("known").receipts_committed, 0);
}

#[tokio::test]
async fn every_failure_that_may_pass_is_accepted_and_stored_once() {
    for faults in [vec![Refusal], vec![LostRequest], vec![LostAnswer]] {
        let warehouse = Warehouse::with_sections(ACCEPT);
        let process = Process::start(&warehouse).await;
        process
            .catalog
            .faults
            .lock()
            .expect("lock")
            .extend(faults.clone());
        if faults != [Refusal] {
            process.catalog.set_blind(true);
        }
        let outcome = process.send(&[1]).await.expect("accepted");
        assert_eq!(
            (outcome.receipts_written, outcome.receipt_rows),
            (1, 1),
            "{faults:?}"
        );
        let outcome = process.send(&[1]).await.expect("recognised");
        assert_eq!((outcome.already_committed, outcome.files), (1, 0), "{faults:?}");
        process.catalog.set_blind(false);
        process.pipeline.collect_receipts().await.expect("committed");
        assert_eq!(stored(&warehouse).await, [0, 1], "{faults:?}");
        assert_eq!(receipts(&warehouse), Vec::<String>::new(), "{faults:?}");
    }
}

#[tokio::test]
async fn the_task_commits_receipts_by_itself() {
    let warehouse = Warehouse::with_sections(ACCEPT);
    let process = Process::start(&warehouse).await;
    process.catalog.set_down(true);
    process.send(&[1]).await.expect("accepted");
    process.catalog.set_down(false);
    let committed = async {
        while !receipts(&warehouse).is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), committed)
        .await
        .expect("committed without a call");
    assert_eq!(stored(&warehouse).await, [0, 1]);
    process.pipeline.close().await;
}

#[tokio::test]
async fn while_the_catalog_is_down_calls_do_not_ask_it_and_their_receipts_share_a_snapshot() {
    let warehouse = Warehouse::with_sections(ACCEPT);
    let process = Process::start(&warehouse).await;
    process.catalog.set_down(true);
    process.send(&[1]).await.expect("accepted");
    let asked = process.catalog.asked.load(Ordering::SeqCst);
    // The background task for receipts asks periodically, less often than there are calls.
    for number in 2..=300 {
        let outcome = process.send(&[number]).await.expect("accepted");
        assert_eq!(outcome.receipts_written, 1);
    }
    let asked = process.catalog.asked.load(Ordering::SeqCst) - asked;
    assert!(asked < 100, "{asked}");
    assert_eq!(receipts(&warehouse).len(), 300);
    process.catalog.set_down(false);
    process.pipeline.collect_receipts().await.expect("committed");
    assert_eq!(snapshots(&warehouse).await, 2);
    assert_eq!(stored(&warehouse).await, (0..=300).collect::<Vec<u64>>());
    assert_eq!(receipts(&warehouse), Vec::<String>::new());
    let outcome = process.send(&[301]).await.expect("stored");
    assert_eq!((outcome.rows, outcome.receipts_committed), (1, 300));
}

/// A copy of the only data file, outside the table's own folders.
async fn file_to_register(warehouse: &Warehouse) -> ParquetFile {
    let table = warehouse.catalog().await.load(&logs()).await.expect("loads");
    let own = entries(&table).await.into_keys().next().expect("a file");
    let copy = warehouse.folder.path().join("raw/logs/copy.parquet");
    std::fs::create_dir_all(copy.parent().expect("parent")).expect("made");
    std::fs::copy(own.trim_start_matches("file://"), &copy).expect("copied");
    let bytes = std::fs::read(&copy).expect("readable");
    let footer = match Footer::read(&bytes, bytes.len() as u64).expect("a footer") {
        Tail::Whole(footer) => *footer,
        Tail::Needs(bytes) => panic!("{bytes} bytes are there"),
    };
    let [content, place] = [0, 1].map(|sequence| RequestId {
        writer: [2; 16],
        sequence,
    });
    ParquetFile {
        location: format!("file://{}", copy.display()),
        footer,
        content,
        place,
    }
}

/// Registers one file. Returns whether it was there already, and whether it got a receipt.
async fn register(process: &Process, file: &ParquetFile) -> (bool, bool) {
    let (pipeline, time) = (&process.pipeline, Duration::from_secs(60));
    let mut files = pipeline.prepare_files(std::slice::from_ref(file), time).await;
    pipeline.commit_files(&mut files, &[Table::Logs], time).await;
    let results: Vec<Registered> = files
        .into_results()
        .map(|result| result.expect("not refused"))
        .collect();
    assert_eq!((results.len(), results[0].rows), (1, 1));
    (results[0].already_there, results[0].in_receipt)
}

#[tokio::test]
async fn a_registered_file_says_whether_it_is_in_a_receipt() {
    let warehouse = Warehouse::with_sections(ACCEPT);
    let process = Process::start(&warehouse).await;
    let file = file_to_register(&warehouse).await;
    process.catalog.set_down(true);
    assert_eq!(register(&process, &file).await, (false, true));
    assert_eq!(receipts(&warehouse).len(), 1);
    assert_eq!(stored(&warehouse).await, [0]);
    // It is notified of again: the receipt holds it.
    assert_eq!(register(&process, &file).await, (true, false));
    assert_eq!(receipts(&warehouse).len(), 1);

    process.catalog.set_down(false);
    process.pipeline.collect_receipts().await.expect("committed");
    assert_eq!(receipts(&warehouse), Vec::<String>::new());
    // The row of request 0, in its own file and in the copy.
    assert_eq!(stored(&warehouse).await, [0, 0]);
    assert_eq!(register(&process, &file).await, (true, false));
}

#[tokio::test]
async fn a_table_that_was_never_opened_cannot_be_accepted_for() {
    let warehouse = Warehouse::with_sections(ACCEPT);
    let process = Process::unopened(&warehouse).await;
    process.catalog.set_down(true);
    let error = process.send(&[1]).await.expect_err("no table, no receipt");
    assert_eq!(error.retry_class(), RetryClass::Retry { after: None });
    let text = error.to_string();
    assert!(
        text.contains("commit.on_failure: accept can accept nothing") && text.contains("cannot be reached"),
        "{text}"
    );
    process.catalog.set_down(false);
    assert_eq!(process.send(&[1]).await.expect("stored").rows, 1);
}

#[tokio::test]
async fn a_receipt_that_cannot_be_written_is_a_failure_to_be_retried() {
    let warehouse = Warehouse::with_sections(ACCEPT);
    let process = Process::start(&warehouse).await;
    let folder = receipts_folder(&warehouse);
    std::fs::create_dir_all(folder.parent().expect("parent")).expect("made");
    std::fs::write(&folder, "in the way").expect("written");
    process.catalog.set_down(true);
    let error = process.send(&[1]).await.expect_err("not accepted");
    assert_eq!(error.retry_class(), RetryClass::Retry { after: None });
    assert!(error.to_string().contains("cannot write a receipt"), "{error}");
    assert_eq!(data_files(&warehouse).len(), 2, "the retry writes the same file");
    std::fs::remove_file(&folder).expect("removed");
    assert_eq!(process.send(&[1]).await.expect("accepted").receipts_written, 1);
    assert_eq!(data_files(&warehouse).len(), 2);
    process.catalog.set_down(false);
    process.pipeline.collect_receipts().await.expect("committed");
    assert_eq!(stored(&warehouse).await, [0, 1]);
}

#[tokio::test]
async fn without_accept_a_failure_is_a_failure_and_its_files_stay_for_the_retry() {
    let warehouse = Warehouse::with_sections(r#""commit": {"max_retries": 0}"#);
    let process = Process::start(&warehouse).await;
    process.catalog.set_down(true);
    process.send(&[1]).await.expect_err("not stored");
    assert_eq!(receipts(&warehouse), Vec::<String>::new());
    assert_eq!(data_files(&warehouse).len(), 2);
    process.catalog.set_down(false);
    process.send(&[1]).await.expect("stored");
    assert_eq!(data_files(&warehouse).len(), 2);
    assert_eq!(stored(&warehouse).await, [0, 1]);
}
