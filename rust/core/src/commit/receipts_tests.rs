//! Receipts that disappear.

use std::fmt::{Debug, Write as _};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::super::test_table::TestTable;
use super::*;

/// The errors that this thread logs, a line each.
#[derive(Debug, Clone, Default)]
struct Errors(Arc<Mutex<Vec<String>>>);

impl Errors {
    /// Takes those that report a receipt as gone.
    fn take_gone(&self) -> Vec<String> {
        let mut lines = std::mem::take(&mut *self.0.lock().unwrap());
        lines.retain(|line| line.contains("a receipt that was left alone is gone"));
        lines
    }
}

impl Subscriber for Errors {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }
}

/// A table with two receipts that cannot be read, which this process knows.
async fn with_two_left_alone() -> TestTable {
    let table = TestTable::open().await;
    // Stops the background task, so that only the test looks for receipts.
    table.committer.closing.cancel();
    let receipts = &table.committer.receipts;
    for name in ["1.json", "2.json"] {
        let content = b"no receipt".to_vec();
        receipt_store::write(&receipts.table(), name, content)
            .await
            .unwrap();
    }
    receipts.look().await.unwrap();
    assert_eq!(receipts.known().aside.len(), 2);
    table
}

#[tokio::test]
async fn a_receipt_that_was_left_alone_and_is_gone_is_reported_once() {
    let errors = Errors::default();
    let _guard = tracing::subscriber::set_default(errors.clone());
    let table = with_two_left_alone().await;
    let receipts = &table.committer.receipts;
    let loaded = receipts.table();
    assert_eq!(errors.take_gone(), Vec::<String>::new());

    receipt_store::delete(&loaded, "2.json").await.unwrap();
    receipts.look().await.unwrap();
    let gone = errors.take_gone();
    let path = receipt_store::path(&loaded.metadata, "2.json");
    assert!(gone.len() == 1 && gone[0].contains(&path), "{gone:?}");

    receipts.look().await.unwrap();
    assert_eq!(errors.take_gone(), Vec::<String>::new(), "once");
}

#[tokio::test]
async fn a_receipt_that_a_person_approves_or_whose_disk_is_away_is_not_gone() {
    let errors = Errors::default();
    let _guard = tracing::subscriber::set_default(errors.clone());
    let table = with_two_left_alone().await;
    let receipts = &table.committer.receipts;
    let loaded = receipts.table();
    let content = b"no receipt".to_vec();
    receipt_store::write(&loaded, "1.approved.json", content)
        .await
        .unwrap();
    receipt_store::delete(&loaded, "1.json").await.unwrap();
    receipts.look().await.unwrap();
    assert_eq!(errors.take_gone(), Vec::<String>::new());

    let (mounted, away) = (table.folder.path().join("otel"), table.folder.path().join("away"));
    std::fs::rename(&mounted, &away).unwrap();
    receipts.look().await.unwrap();
    assert_eq!(receipts.known().aside.len(), 0, "none is listed");
    assert_eq!(errors.take_gone(), Vec::<String>::new());
    std::fs::rename(&away, &mounted).unwrap();
    receipts.look().await.unwrap();
    assert_eq!(receipts.known().aside.len(), 2);
}
