//! Receipts that disappear, and what is logged of them.

use std::fmt::{Debug, Write as _};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::super::test_table::TestTable;
use super::*;

/// What this thread logs at a level or above, a line for each event.
#[derive(Debug, Clone)]
pub(in crate::commit) struct Logged {
    level: Level,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Logged {
    pub(in crate::commit) fn at(level: Level) -> Self {
        Self {
            level,
            lines: Arc::default(),
        }
    }

    /// Takes all lines, and returns those that contain this text.
    pub(in crate::commit) fn take(&self, text: &str) -> Vec<String> {
        let mut lines = std::mem::take(&mut *self.lines.lock().unwrap());
        lines.retain(|line| line.contains(text));
        lines
    }

    /// Takes those that report a receipt as gone.
    fn take_gone(&self) -> Vec<String> {
        self.take("a receipt that was left alone is gone")
    }
}

impl Subscriber for Logged {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.lines.lock().unwrap().push(line.0);
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
    let errors = Logged::at(Level::ERROR);
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
    let errors = Logged::at(Level::ERROR);
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

/// Its own version commits it, so the table holds requests then that this process has not seen.
#[tokio::test]
async fn after_a_receipt_of_a_later_version_is_gone_the_table_is_loaded_again() {
    let table = TestTable::open().await;
    table.committer.closing.cancel();
    let receipts = &table.committer.receipts;
    let loaded = receipts.table();
    receipt_store::write(&loaded, "1.json", br#"{"version": 2}"#.to_vec())
        .await
        .unwrap();
    receipts.look().await.unwrap();
    assert!(receipts.is_any_for_later_version() && !receipts.is_any_open());
    assert!(!receipts.shared.is_stale());

    receipt_store::delete(&loaded, "1.json").await.unwrap();
    receipts.look().await.unwrap();
    assert!(!receipts.is_any_for_later_version());
    assert!(receipts.shared.is_stale());
}
