//! The receipts of a table that this process knows: those that it wrote, and those that it found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::ids::{Coverage, IdSet};
use super::receipt::{Receipt, unusable};
use super::recognition::{PARTLY_STORED, RECEIPT_PARTLY_COMMITTED, TABLE_RECREATED};
use super::{Append, Shared, receipt_store};
use crate::catalog::LoadedTable;
use crate::config::{CommitConfig, OnFailure};
use crate::deadline;
use crate::error::{Error, ErrorKind, Result, RetryClass};
use crate::request::{IdRange, RequestId};

/// Number of files checked or read concurrently: enough to hide the storage's latency.
pub(super) const AT_ONCE: usize = 16;

/// After this number of failed reads, while the table's own files can be read, a receipt is skipped.
const UNREAD_MAX: u32 = 3;
/// The wait between these reads when a table is opened.
const UNREAD_PAUSE: Duration = Duration::from_millis(500);

/// The wait before the next try to list, if listing fails and `commit.on_failure` is `retry`.
const PAUSE_WITHOUT_LISTING: Duration = Duration::from_secs(3_600);

/// A table's receipts.
#[derive(Debug)]
pub(super) struct Receipts {
    pub(super) shared: Arc<Shared>,
    /// Whether calls may succeed with a receipt.
    pub(super) accept: bool,
    /// How often receipts are listed.
    pub(super) interval: Duration,
    known: Mutex<Known>,
    /// The time of the next listing. Held while receipts are committed.
    pub(super) due: tokio::sync::Mutex<Instant>,
    /// Whether the catalog did not commit recently, so that calls do not wait for it.
    catalog_down: AtomicBool,
    /// Wakes the task that commits receipts.
    pub(super) wake: Notify,
    /// Ends that task.
    pub(super) closing: CancellationToken,
    /// Number of receipts committed and not yet reported.
    committed: AtomicU64,
}

/// Receipts by name.
#[derive(Debug, Default)]
struct Known {
    /// To be committed, with their requests.
    open: BTreeMap<String, Vec<IdRange>>,
    /// The requests of the open receipts; built on first use.
    ids: Option<IdSet>,
    /// In the table, and not deleted yet.
    done: BTreeSet<String>,
    /// Logged, and left alone.
    aside: BTreeSet<String>,
    /// Those of `aside` that a later version of this program wrote. It commits them.
    for_later_version: BTreeSet<String>,
    /// Of another table than the one last loaded.
    doubted: BTreeSet<String>,
    /// How often each could not be read while the table's own files could.
    unread: BTreeMap<String, u32>,
}

/// The result of storing an append that the catalog did not commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// A receipt holds it now.
    Receipt,
    /// The table already holds it, as a later load showed.
    AlreadyThere,
}

impl Receipts {
    pub(super) fn new(shared: Arc<Shared>, config: &CommitConfig, closing: CancellationToken) -> Self {
        Self {
            shared,
            accept: config.on_failure == OnFailure::Accept,
            interval: config.receipts_interval,
            known: Mutex::default(),
            due: tokio::sync::Mutex::new(Instant::now()),
            catalog_down: AtomicBool::new(false),
            wake: Notify::new(),
            closing,
            committed: AtomicU64::new(0),
        }
    }

    /// Lists receipts as [`Receipts::look`] does, and sets the time of the next listing. A process that has
    /// no right to list, and does not need it, tries rarely.
    pub(super) async fn look_and_plan(&self, due: &mut Instant) -> Result<()> {
        let looked = self.look().await;
        let pause = match &looked {
            Err(_) if !self.accept => self.interval.max(PAUSE_WITHOUT_LISTING),
            _ => self.interval,
        };
        *due = deadline::after(pause);
        looked
    }

    /// The first listing, before any request. Unreadable receipts are retried a few times at once, because
    /// the caller waits for the table to open.
    ///
    /// # Errors
    /// As [`Receipts::look`].
    pub(super) async fn look_first(&self) -> Result<()> {
        let mut due = self.due.lock().await;
        let mut looked = self.look_and_plan(&mut due).await;
        for _ in 1..UNREAD_MAX {
            if looked.is_ok() || self.known().unread.is_empty() {
                break;
            }
            tokio::time::sleep(UNREAD_PAUSE).await;
            looked = self.look_and_plan(&mut due).await;
        }
        looked
    }

    /// Lists receipts of any process, and reads which requests they hold.
    ///
    /// # Errors
    /// `Storage` when they cannot be listed, or when one cannot be read and is not
    /// [skipped](Receipts::pass_over). The others are known then.
    async fn look(&self) -> Result<()> {
        let table = self.table();
        let before = self.known().names();
        let listed: BTreeSet<String> = receipt_store::list(&table).await?.into_iter().collect();
        let new: Vec<&String> = listed.difference(&before).collect();
        let mut failure = None;
        for some in new.chunks(AT_ONCE) {
            let contents = join_all(some.iter().map(|name| receipt_store::read(&table, name))).await;
            let mut unread = Vec::new();
            for (name, content) in some.iter().zip(contents) {
                match content {
                    Ok(Some(content)) => self.learn(name, &content, &table),
                    Ok(None) => {}
                    Err(error) => unread.push(((*name).clone(), error)),
                }
            }
            let is_up = unread.is_empty() || receipt_store::can_read_table(&table).await;
            failure = failure.or(self.pass_over(unread, is_up));
            if !is_up {
                break;
            }
        }
        self.known().unread.retain(|name, _| listed.contains(name));
        let Gone {
            was_any_to_commit,
            aside,
        } = self.known().forget(before.difference(&listed));
        // A receipt that is gone was committed by another process, or removed.
        if was_any_to_commit {
            self.shared.set_stale(true);
        }
        // A person may have approved it, which renames it.
        let removed = |name: &&String| !listed.contains(&receipt_store::approved(name));
        let removed: Vec<&String> = aside.iter().filter(removed).collect();
        // Without its disk, a folder is empty.
        if !removed.is_empty() && receipt_store::can_read_table(&table).await {
            for name in removed {
                log_removed(&table, name);
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Records a receipt's content.
    fn learn(&self, name: &str, content: &[u8], table: &LoadedTable) {
        self.known().unread.remove(name);
        match Receipt::parse(content) {
            // It can never be committed, so its missing requests must be stored when they are sent again.
            // Once all of them are in the table, the next process deletes it.
            Ok(receipt) if self.is_partly_stored(&receipt) => {
                self.set_aside(name, &unusable(RECEIPT_PARTLY_COMMITTED));
            }
            // A receipt of a dropped table cannot be committed either: its requests are not in this table.
            Ok(receipt) => match receipt.check_table(&table.metadata) {
                Ok(()) => self.known().open(name.to_owned(), receipt.ids()),
                Err(error) => self.mark_unknown(name, &error),
            },
            Err(error) if Receipt::is_of_later_version(content) => {
                self.set_aside_for_later_version(name, &error);
            }
            Err(error) => self.set_aside(name, &error),
        }
    }

    /// Counts failed reads of receipts, and skips receipts that stay unreadable.
    ///
    /// A receipt may never be readable again, because it was archived, or because the key belongs to someone
    /// else. After some tries it is logged once, and nothing waits for it any more. It is never deleted, and
    /// each listing tries it again. If the table's own files cannot be read either, the storage is down, and
    /// all receipts are waited for.
    ///
    /// Returns the first failure of those that are waited for.
    pub(super) fn pass_over(&self, unread: Vec<(String, Error)>, is_storage_up: bool) -> Option<Error> {
        let mut failure = None;
        for (name, error) in unread {
            let times = if is_storage_up {
                self.known().count_unread(&name)
            } else {
                0
            };
            if times < UNREAD_MAX {
                failure.get_or_insert(error);
                continue;
            }
            self.known().close(&name);
            if times == UNREAD_MAX {
                let table = self.table();
                tracing::warn!(
                    table = %table.ident,
                    receipt = receipt_store::path(&table.metadata, &name),
                    %error,
                    "a receipt cannot be read, and other files of its table can: it is passed over until it can be read"
                );
            }
        }
        failure
    }

    /// Handles a receipt of another table than the one last loaded. The receipt's table may be the newer one,
    /// so the table is reloaded before the receipt is left alone.
    fn mark_unknown(&self, name: &str, error: &Error) {
        if self.known().doubted.insert(name.to_owned()) {
            self.shared.set_stale(true);
        } else if !self.shared.is_stale() {
            self.set_aside(name, error);
        }
    }

    fn is_partly_stored(&self, receipt: &Receipt) -> bool {
        self.shared.view().ids.coverage(&receipt.ids()) == Coverage::Partial
    }

    /// Stores a receipt for files that the catalog did not commit.
    ///
    /// # Errors
    /// `Storage` when it cannot be written; `Catalog` when the table holds a part of the requests, or was
    /// recreated.
    pub(super) async fn keep(&self, append: &Append) -> Result<Kept> {
        let view = self.shared.view();
        match view.ids.coverage(&append.ids) {
            Coverage::Full => return Ok(Kept::AlreadyThere),
            Coverage::Partial => {
                return Err(Error::new(ErrorKind::Catalog, PARTLY_STORED));
            }
            Coverage::None => {}
        }
        let table = &view.table;
        if append.table_id.is_some_and(|id| id != table.metadata.uuid()) {
            return Err(Error::new(ErrorKind::Catalog, TABLE_RECREATED));
        }
        // An attempt may have an unknown outcome, so nothing is given up here.
        let receipt =
            Receipt::new(append, table).map_err(|error| error.class(RetryClass::Retry { after: None }))?;
        let name = format!("{}{}", Uuid::now_v7().simple(), receipt_store::ENDING);
        // A receipt whose write failed may exist all the same. It is left in place: once a process has found
        // it, calls with its requests succeed because of it. Its requests are in the table once in any case.
        receipt_store::write(table, &name, receipt.to_json()?).await?;
        self.known().open(name, receipt.ids());
        self.set_catalog_down();
        Ok(Kept::Receipt)
    }

    pub(super) fn table(&self) -> Arc<LoadedTable> {
        Arc::clone(&self.shared.view().table)
    }

    /// Which of these requests are in receipts that are not yet committed.
    pub(super) fn contains(&self, ids: &[RequestId]) -> Vec<bool> {
        let mut known = self.known();
        let held = known.ids();
        ids.iter().map(|id| held.contains(id)).collect()
    }

    /// How many of these ids are in receipts that are not yet committed.
    pub(super) fn coverage(&self, ids: &[IdRange]) -> Coverage {
        self.known().ids().coverage(ids)
    }

    /// Whether calls get a receipt without waiting for the catalog.
    pub(super) fn is_catalog_down(&self) -> bool {
        self.accept && self.catalog_down.load(Ordering::Acquire)
    }

    /// From here on calls do not wait for the catalog. The task that commits receipts finds out when it is
    /// available again.
    pub(super) fn set_catalog_down(&self) {
        if !self.catalog_down.swap(true, Ordering::AcqRel) {
            self.wake.notify_one();
        }
    }

    pub(super) fn set_catalog_up(&self) {
        self.catalog_down.store(false, Ordering::Release);
    }

    /// Names of the open receipts, oldest first.
    pub(super) fn open_names(&self) -> Vec<String> {
        self.known().open.keys().cloned().collect()
    }

    pub(super) fn is_any_open(&self) -> bool {
        !self.known().open.is_empty()
    }

    /// Records that a receipt is in the table; `by_us` if this process committed it.
    pub(super) fn set_done(&self, name: &str, by_us: bool) {
        if by_us {
            self.committed.fetch_add(1, Ordering::AcqRel);
        }
        let mut known = self.known();
        known.close(name);
        known.done.insert(name.to_owned());
    }

    /// Records and logs that a receipt can never be committed.
    pub(super) fn set_aside(&self, name: &str, error: &Error) {
        let table = self.table();
        tracing::error!(
            table = %table.ident,
            receipt = receipt_store::path(&table.metadata, name),
            %error,
            "a receipt cannot be committed and is left alone"
        );
        let mut known = self.known();
        known.close(name);
        known.aside.insert(name.to_owned());
    }

    /// Records and logs that only a later version of this program can commit a receipt.
    pub(super) fn set_aside_for_later_version(&self, name: &str, error: &Error) {
        self.set_aside(name, error);
        self.known().for_later_version.insert(name.to_owned());
    }

    /// Whether a later version of this program has receipts to commit, which this one cannot read.
    pub(super) fn is_any_for_later_version(&self) -> bool {
        !self.known().for_later_version.is_empty()
    }

    /// Records that a receipt no longer exists.
    pub(super) fn set_gone(&self, name: &str) {
        self.known().close(name);
        self.shared.set_stale(true);
    }

    /// Deletes the receipts that are in the table. Failed deletions are retried at the next call.
    pub(super) async fn delete_done(&self) {
        let table = self.table();
        let names: Vec<String> = self.known().done.iter().cloned().collect();
        for some in names.chunks(AT_ONCE) {
            let deleted = join_all(some.iter().map(|name| receipt_store::delete(&table, name))).await;
            for (name, deleted) in some.iter().zip(deleted) {
                match deleted {
                    Ok(()) => {
                        self.known().done.remove(name);
                    }
                    Err(error) => tracing::warn!(%error, "a receipt that was committed is still there"),
                }
            }
        }
    }

    /// Returns the number of receipts that this process committed since the last call.
    pub(super) fn take_committed(&self) -> u64 {
        self.committed.swap(0, Ordering::AcqRel)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn names(&self) -> BTreeSet<String> {
        let open = self.open.keys();
        open.chain(&self.done).chain(&self.aside).cloned().collect()
    }

    fn ids(&mut self) -> &IdSet {
        self.ids
            .get_or_insert_with(|| IdSet::from_ranges(self.open.values().flatten().copied()))
    }

    fn open(&mut self, name: String, ids: Vec<IdRange>) {
        if let Some(held) = &mut self.ids {
            held.extend(ids.iter().copied());
        }
        self.open.insert(name, ids);
    }

    fn count_unread(&mut self, name: &str) -> u32 {
        let times = self.unread.entry(name.to_owned()).or_default();
        *times = times.saturating_add(1);
        *times
    }

    fn close(&mut self, name: &str) -> bool {
        let was_open = self.open.remove(name).is_some();
        if was_open {
            self.ids = None;
        }
        was_open
    }

    /// Forgets these receipts.
    fn forget<'a>(&mut self, names: impl Iterator<Item = &'a String>) -> Gone {
        let mut gone = Gone::default();
        for name in names {
            gone.was_any_to_commit |= self.close(name);
            gone.was_any_to_commit |= self.for_later_version.remove(name);
            self.done.remove(name);
            gone.aside.extend(self.aside.take(name));
        }
        gone
    }
}

/// Receipts that no longer exist.
#[derive(Debug, Default)]
struct Gone {
    /// Whether one of them was to be committed, by this process or another.
    was_any_to_commit: bool,
    /// The names of those that were left alone.
    aside: Vec<String>,
}

/// Logs that a receipt that waited for a person is gone. We do not delete such receipts, and the data files, which
/// are in no table either, probably went with it.
fn log_removed(table: &LoadedTable, name: &str) {
    tracing::error!(
        table = %table.ident,
        receipt = receipt_store::path(&table.metadata, name),
        "a receipt that was left alone is gone; unless a person or another writer settled it, an orphan-file cleanup \
         deleted it, and its data files with it"
    );
}

#[cfg(test)]
#[path = "receipts_tests.rs"]
pub(super) mod tests;
