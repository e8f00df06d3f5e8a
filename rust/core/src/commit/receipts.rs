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
use crate::error::{Error, ErrorKind, Result, RetryClass};
use crate::request::{IdRange, RequestId};

/// Files looked at or read at once: enough to hide the storage's latency.
pub(super) const AT_ONCE: usize = 16;

/// A receipt that cannot be read so many times, while the table's own files can, is passed over.
const UNREAD_MAX: u32 = 3;
/// The wait before it is looked at again when a table is opened.
const UNREAD_PAUSE: Duration = Duration::from_millis(500);

/// Where listing fails and `commit.on_failure` is `retry_rules`, it is tried again after so long.
const PAUSE_WITHOUT_LISTING: Duration = Duration::from_secs(3_600);

/// A table's receipts.
#[derive(Debug)]
pub(super) struct Receipts {
    pub(super) shared: Arc<Shared>,
    /// Whether calls may succeed with a receipt.
    pub(super) accept: bool,
    /// How often they are looked for.
    pub(super) interval: Duration,
    known: Mutex<Known>,
    /// Held while they are committed; when it is time to look for them.
    pub(super) due: tokio::sync::Mutex<Instant>,
    /// Whether the catalog did not commit lately, so that calls do not wait for it.
    catalog_down: AtomicBool,
    /// Wakes the task that commits receipts.
    pub(super) wake: Notify,
    /// Ends that task.
    pub(super) closing: CancellationToken,
    /// Receipts committed and not told of yet.
    committed: AtomicU64,
}

/// Receipts by name.
#[derive(Debug, Default)]
struct Known {
    /// To be committed, with their requests.
    open: BTreeMap<String, Vec<IdRange>>,
    /// The requests of those, once asked for.
    ids: Option<IdSet>,
    /// In the table, and not deleted yet.
    done: BTreeSet<String>,
    /// Told of, and left alone.
    aside: BTreeSet<String>,
    /// Not the table's as it was last seen.
    doubted: BTreeSet<String>,
    /// How often each could not be read, though the table's own files could.
    unread: BTreeMap<String, u32>,
}

/// What became of an append that the catalog did not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// A receipt holds it now.
    Receipt,
    /// The table holds it, as has been seen meanwhile.
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

    /// Looks for receipts as [`Receipts::look`] does, and says when to look again. Who may not list, and need
    /// not, asks seldom.
    pub(super) async fn look_and_plan(&self, due: &mut Instant) -> Result<()> {
        let looked = self.look().await;
        let pause = match &looked {
            Err(_) if !self.accept => self.interval.max(PAUSE_WITHOUT_LISTING),
            _ => self.interval,
        };
        // Beyond what the clock can tell is as good as never.
        let year = Duration::from_secs(365 * 86_400);
        *due = Instant::now() + pause.min(year);
        looked
    }

    /// The first look, before any request. What cannot be read is tried a few times at once, for whoever opens the table waits.
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

    /// Looks for receipts of any process, and learns which requests they hold.
    ///
    /// # Errors
    /// `Storage` when they cannot be listed, or when one cannot be read and is not [passed over](Receipts::pass_over); the others are
    /// known then.
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
        // What was there before and is not now was committed by another process, or removed.
        if self.known().forget(before.difference(&listed)) {
            self.shared.set_stale(true);
        }
        failure.map_or(Ok(()), Err)
    }

    /// Takes note of a receipt as it was read.
    fn learn(&self, name: &str, content: &[u8], table: &LoadedTable) {
        self.known().unread.remove(name);
        match Receipt::parse(content) {
            // It can never be committed, so those of its requests that come again must be stored. When all
            // of them are in the table, the next process deletes it.
            Ok(receipt) if self.is_partly_stored(&receipt) => {
                self.set_aside(name, &unusable(RECEIPT_PARTLY_COMMITTED))
            }
            // Nor could one of a table that was dropped: its requests are not in this one.
            Ok(receipt) => match receipt.check_table(&table.metadata) {
                Ok(()) => self.known().open(name.to_owned(), receipt.ids()),
                Err(error) => self.mark_unknown(name, &error),
            },
            Err(error) => self.set_aside(name, &error),
        }
    }

    /// Receipts that could not be read. One may never be readable again, because it was archived, or because its key is somebody
    /// else's: after some looks it is told of once, and no longer waited for. It is never deleted, and tried again with each look. If
    /// the table's own files cannot be read either, it is the storage that is down, and all are waited for.
    ///
    /// Gives the first failure of those that are waited for.
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

    /// A receipt is another table's than the one last seen. It may be the newer one, so the table is looked at before it is
    /// left alone.
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

    /// Stores a receipt for files that the catalog did not take.
    ///
    /// # Errors
    /// `Storage` when it cannot be written; `Catalog` when the table holds a part of the requests.
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
        // An attempt may be in doubt, so nothing is given up here.
        let receipt =
            Receipt::new(append, table).map_err(|error| error.class(RetryClass::Retry { after: None }))?;
        let name = format!("{}{}", Uuid::now_v7().simple(), receipt_store::ENDING);
        // One whose writing failed may be there all the same. It is left: once any process has found it, calls with
        // its requests end well because of it, and its requests are in the table once in any case.
        receipt_store::write(table, &name, receipt.to_json()?).await?;
        self.known().open(name, receipt.ids());
        self.set_catalog_down();
        Ok(Kept::Receipt)
    }

    pub(super) fn table(&self) -> Arc<LoadedTable> {
        Arc::clone(&self.shared.view().table)
    }

    /// Which of these requests are in receipts that are still to be committed.
    pub(super) fn contains(&self, ids: &[RequestId]) -> Vec<bool> {
        let mut known = self.known();
        let held = known.ids();
        ids.iter().map(|id| held.contains(id)).collect()
    }

    /// How much of these ids is in receipts that are still to be committed.
    pub(super) fn coverage(&self, ids: &[IdRange]) -> Coverage {
        self.known().ids().coverage(ids)
    }

    /// Whether calls get a receipt without waiting for the catalog.
    pub(super) fn is_catalog_down(&self) -> bool {
        self.accept && self.catalog_down.load(Ordering::Acquire)
    }

    /// From here on calls do not wait for the catalog, and the task that commits receipts finds out when it
    /// is back.
    pub(super) fn set_catalog_down(&self) {
        if !self.catalog_down.swap(true, Ordering::AcqRel) {
            self.wake.notify_one();
        }
    }

    pub(super) fn set_catalog_up(&self) {
        self.catalog_down.store(false, Ordering::Release);
    }

    /// Names of the receipts to be committed, oldest first.
    pub(super) fn open_names(&self) -> Vec<String> {
        self.known().open.keys().cloned().collect()
    }

    pub(super) fn is_any_open(&self) -> bool {
        !self.known().open.is_empty()
    }

    /// A receipt is in the table; `by_us` if this process put it there.
    pub(super) fn set_done(&self, name: &str, by_us: bool) {
        if by_us {
            self.committed.fetch_add(1, Ordering::AcqRel);
        }
        let mut known = self.known();
        known.close(name);
        known.done.insert(name.to_owned());
    }

    /// A receipt can never be committed: says so, once.
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

    /// A receipt is not there any more.
    pub(super) fn set_gone(&self, name: &str) {
        self.known().close(name);
        self.shared.set_stale(true);
    }

    /// Deletes the receipts that are in the table. What cannot be deleted is tried again with the next.
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

    /// How many receipts this process committed since it was asked last.
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

    /// Forgets all of these; whether one of them was open.
    fn forget<'a>(&mut self, names: impl Iterator<Item = &'a String>) -> bool {
        let mut any = false;
        for name in names {
            any |= self.close(name);
            self.done.remove(name);
            self.aside.remove(name);
        }
        any
    }
}
