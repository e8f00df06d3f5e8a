//! Commits receipts as snapshots: many per snapshot, and each receipt once, however many processes find it.
//!
//! The table itself shows what was committed. A receipt's requests are searched in every snapshot since the
//! receipt was made, in the same metadata that the commit is based on. If another writer commits meanwhile,
//! our commit conflicts, and the search is repeated.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::history::History;
use super::ids::Coverage;
use super::live_files::live_files;
use super::protocol::Protocol;
use super::queue::{Origin, Queued, Waiting};
use super::receipt::{Receipt, unusable};
use super::receipts::{AT_ONCE, Receipts};
use super::{Append, receipt_store};
use crate::catalog::LoadedTable;
use crate::cause::IcebergCause;
use crate::error::{Error, ErrorKind, Result, RetryClass};

/// Maximum number of receipts in one snapshot.
const BATCH: usize = 500;
/// How long a commit of receipts may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The wait before the first retry. It doubles up to the maximum.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// A receipt that is ready to be committed.
struct Ready {
    name: String,
    append: Append,
    origin: Origin,
}

/// The next step for a receipt.
enum Step {
    Commit(Ready),
    Done(String),
    Gone(String),
    Aside(String, Error),
    /// Only a later version of this program can read it.
    ForLaterVersion(String, Error),
    /// It cannot be read now.
    Unread(String, Error),
    /// The existence of its files cannot be checked now.
    Later(Error),
}

/// Commits a table's receipts periodically until it is closed.
pub(super) async fn tend(receipts: Arc<Receipts>, protocol: Arc<Mutex<Protocol>>) {
    let mut wait = first_wait(&receipts);
    loop {
        tokio::select! {
            () = receipts.closing.cancelled() => return,
            () = receipts.wake.notified() => wait = RETRY_FIRST,
            () = tokio::time::sleep(wait) => {
                let asked = pass(&receipts, &protocol).await;
                wait = if receipts.is_any_open() || receipts.is_catalog_down() {
                    wait.saturating_mul(2).clamp(RETRY_FIRST, RETRY_MAX).max(asked)
                } else {
                    receipts.interval
                };
            }
        }
    }
}

fn first_wait(receipts: &Receipts) -> Duration {
    if receipts.is_any_open() {
        Duration::ZERO
    } else {
        receipts.interval
    }
}

/// Runs one round and logs its failure. Returns the wait that the catalog asks for.
async fn pass(receipts: &Receipts, protocol: &Mutex<Protocol>) -> Duration {
    let caught = AssertUnwindSafe(collect(receipts, protocol, false))
        .catch_unwind()
        .await;
    let table = receipts.table();
    match caught {
        Ok(Ok(())) => Duration::ZERO,
        Ok(Err(error)) => {
            let open = receipts.open_names().len();
            if open > 0 || receipts.accept {
                tracing::warn!(table = %table.ident, receipts = open, %error, "receipts wait to be committed");
            }
            error.retry_after().unwrap_or_default()
        }
        Err(_) => {
            tracing::error!(table = %table.ident, "committing receipts panicked (a bug)");
            Duration::ZERO
        }
    }
}

/// Lists receipts if that is due, or with `now`, and commits the open ones.
///
/// # Errors
/// When receipts cannot be listed, or the catalog does not commit them. They are retried later.
pub(super) async fn collect(receipts: &Receipts, protocol: &Mutex<Protocol>, now: bool) -> Result<()> {
    let mut due = receipts.due.lock().await;
    receipts.delete_done().await;
    let mut looked = Ok(());
    if now || *due <= Instant::now() {
        looked = receipts.look_and_plan(&mut due).await;
    }
    // Known receipts do not wait for those that could not be listed or read.
    if !receipts.is_any_open() && !receipts.is_catalog_down() {
        return looked;
    }
    protocol.lock().await.refresh().await?;
    for names in receipts.open_names().chunks(BATCH) {
        if receipts.closing.is_cancelled() {
            return Ok(());
        }
        let (ready, waits) = prepare(receipts, names).await?;
        let count = ready.len();
        commit(receipts, protocol, ready).await?;
        if count > 0 {
            tracing::info!(table = %receipts.table().ident, receipts = count, "receipts were committed");
        }
        receipts.delete_done().await;
        looked = looked.and(waits.map_or(Ok(()), Err));
    }
    receipts.set_catalog_up();
    looked
}

/// Selects the receipts that can be committed. Also returns why others must wait, if any.
///
/// # Errors
/// `Storage` when the table's manifests cannot be read, so that nothing is known of any receipt.
async fn prepare(receipts: &Receipts, names: &[String]) -> Result<(Vec<Ready>, Option<Error>)> {
    let table = receipts.table();
    let history = History::of(&table.metadata);
    let mut steps = Vec::with_capacity(names.len());
    for some in names.chunks(AT_ONCE) {
        steps.extend(join_all(some.iter().map(|name| examine(name, &table, &history))).await);
    }
    let mut live = None;
    let mut ready = Vec::new();
    let mut unread = Vec::new();
    let mut waits = None;
    for step in steps {
        match step {
            Step::Commit(one) if is_forgotten(&one, &history) => {
                // A file that is in the table now was committed. A file that is not may have been compacted.
                let live = match &live {
                    Some(live) => live,
                    None => live.insert(live_files(&table, 0).await?),
                };
                if one
                    .append
                    .files
                    .iter()
                    .any(|file| live.contains(file.file_path()))
                {
                    receipts.set_done(&one.name, false);
                } else {
                    ready.push(one);
                }
            }
            Step::Commit(one) => ready.push(one),
            Step::Done(name) => receipts.set_done(&name, false),
            Step::Gone(name) => receipts.set_gone(&name),
            Step::Aside(name, error) => receipts.set_aside(&name, &error),
            Step::ForLaterVersion(name, error) => receipts.set_aside_for_later_version(&name, &error),
            Step::Unread(name, error) => unread.push((name, error)),
            Step::Later(error) => waits = waits.or(Some(error)),
        }
    }
    let is_up = unread.is_empty() || receipt_store::can_read_table(&table).await;
    let waits = waits.or(receipts.pass_over(unread, is_up));
    Ok((ready, waits))
}

/// Whether the table's history is too short to say whether it holds the receipt.
fn is_forgotten(ready: &Ready, history: &History) -> bool {
    matches!(ready.origin, Origin::Receipt(base) if !history.covers(&base))
        && history.coverage(&ready.append.ids) == Coverage::None
}

/// Reads a receipt and checks that its files exist.
async fn examine(name: &str, table: &LoadedTable, history: &History) -> Step {
    let content = match receipt_store::read(table, name).await {
        Ok(Some(content)) => content,
        Ok(None) => return Step::Gone(name.to_owned()),
        Err(error) => return Step::Unread(name.to_owned(), error),
    };
    // Other programs may have written it, and iceberg's reader may panic on it.
    let parsed = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let receipt = Receipt::parse(&content)?;
        Ok((receipt.base, receipt.append(&table.metadata)?))
    }));
    let (base, append) = match parsed {
        Ok(Ok(parsed)) => parsed,
        Ok(Err(error)) if Receipt::is_of_later_version(&content) => {
            return Step::ForLaterVersion(name.to_owned(), error);
        }
        Ok(Err(error)) => return Step::Aside(name.to_owned(), error),
        Err(_) => return Step::Aside(name.to_owned(), unusable("it cannot be read")),
    };
    if append.files.is_empty() {
        return Step::Done(name.to_owned());
    }
    // A committed receipt's files may be gone, because they were compacted since.
    let needed = match history.coverage(&append.ids) {
        Coverage::Full => &[],
        Coverage::Partial | Coverage::None => append.files.as_slice(),
    };
    for file in needed {
        match table.file_io.exists(file.file_path()).await {
            Ok(true) => {}
            Ok(false) => {
                let error = unusable(
                    "a file of it is gone; look for its rows in the table: if they are there, it was committed and \
                     compacted, and the receipt can be deleted; if not, restore the file, or its data is lost",
                )
                .with("path", file.file_path());
                return Step::Aside(name.to_owned(), error);
            }
            Err(cause) => {
                let error = Error::new(ErrorKind::Storage, "cannot look for a receipt's file");
                return Step::Later(error.with("path", file.file_path()).because(IcebergCause(cause)));
            }
        }
    }
    let origin = if name.ends_with(receipt_store::APPROVED) {
        Origin::ApprovedReceipt
    } else {
        Origin::Receipt(base)
    };
    Step::Commit(Ready {
        name: name.to_owned(),
        append,
        origin,
    })
}

/// Commits receipts together. If one of them fails the whole commit permanently, commits each by itself.
async fn commit(receipts: &Receipts, protocol: &Mutex<Protocol>, ready: Vec<Ready>) -> Result<()> {
    let spoilt = commit_together(receipts, protocol, ready, false).await?;
    for one in spoilt {
        commit_together(receipts, protocol, vec![one], true).await?;
    }
    Ok(())
}

/// Commits receipts in one snapshot. Returns those that failed permanently, unless this is the `last` try.
async fn commit_together(
    receipts: &Receipts,
    protocol: &Mutex<Protocol>,
    ready: Vec<Ready>,
    last: bool,
) -> Result<Vec<Ready>> {
    if ready.is_empty() {
        return Ok(ready);
    }
    let deadline = Instant::now() + TIMEOUT;
    let mut batch = Vec::with_capacity(ready.len());
    let mut waiting: Vec<Waiting> = Vec::with_capacity(ready.len());
    for one in &ready {
        // Not the id of the current table: it may have been recreated since the receipt was examined.
        let table_id = one.append.table_id.unwrap_or_default();
        let (queued, answer) = Queued::new(one.append.clone(), table_id, deadline, one.origin);
        // It cannot be withdrawn.
        queued.begin();
        batch.push(queued);
        waiting.push(answer);
    }
    protocol.lock().await.commit_guarded(batch).await;
    let mut spoilt = Vec::new();
    let mut failure = None;
    for (one, answer) in ready.into_iter().zip(waiting) {
        match answer.answer().await {
            Ok(committed) => receipts.set_done(&one.name, !committed.already_there),
            Err(error) if error.retry_class() != RetryClass::Permanent => failure = Some(error),
            Err(error) if last => receipts.set_aside(&one.name, &error),
            Err(_) => spoilt.push(one),
        }
    }
    match failure {
        Some(error) => Err(error),
        None => Ok(spoilt),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use iceberg::spec::{DataContentType, DataFileBuilder, DataFileFormat, Struct};

    use super::super::ids::tests::range;
    use super::super::test_table::TestTable;
    use super::*;

    /// An append of a file that exists.
    fn append(table: &TestTable) -> Append {
        let path = table.folder.path().join("1.parquet");
        std::fs::write(&path, "rows").unwrap();
        let file = DataFileBuilder::default()
            .content(DataContentType::Data)
            .file_path(format!("file://{}", path.display()))
            .file_format(DataFileFormat::Parquet)
            .partition(Struct::empty())
            .partition_spec_id(0)
            .record_count(1)
            .file_size_in_bytes(4)
            .value_counts(HashMap::from([(1, 1)]))
            .build()
            .unwrap();
        Append {
            files: vec![file],
            partition_spec_id: 0,
            ids: vec![range(1, 1, 1)],
            table_id: None,
            request_bytes: 0,
        }
    }

    #[tokio::test]
    async fn a_receipt_is_for_the_table_that_it_was_examined_with() {
        let table = TestTable::open().await;
        let (receipts, protocol) = (&table.committer.receipts, &table.committer.protocol);
        // Stops the background task, so that it does not commit the receipt meanwhile.
        table.committer.closing.cancel();
        receipts.keep(&append(&table)).await.unwrap();
        let (ready, waits) = prepare(receipts, &receipts.open_names()).await.unwrap();
        assert!(waits.is_none());
        assert_eq!(ready.len(), 1);
        // A call reloads the table, which was dropped and recreated.
        table.drop_from_catalog().await;
        protocol.lock().await.refresh().await.unwrap();
        let Err(error) = commit_together(receipts, protocol, ready, false).await else {
            panic!("the file's columns may have other ids in the new table");
        };
        assert_eq!(error.kind(), ErrorKind::Catalog, "{error}");
        assert_eq!(table.committer.table().metadata.current_snapshot_id(), None);
        // The next round leaves the receipt alone.
        let (ready, _) = prepare(receipts, &receipts.open_names()).await.unwrap();
        assert!(ready.is_empty() && !receipts.is_any_open());
    }
}
