//! Data files to snapshots: one committer per table that folds whatever has finished into the next one.
//!
//! The protocol (`docs/decisions/0002-iceberg-rust-and-own-commit.md`): every snapshot's summary says
//! which requests it holds; before an attempt, and after every one that did not surely succeed, the
//! table's recent ancestry is searched for ours; a request that is found is done. So a request is in
//! the table once, however often it is sent and however an attempt ended.
//!
//! With `commit.on_failure: accept` a call whose files are stored ends well even when the catalog does not
//! commit them: a receipt is stored beside them, and whoever writes to the table next commits it
//! (`docs/decisions/0012-receipts.md`).

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use iceberg::TableIdent;
use iceberg::spec::DataFile;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::carried_ids::carried;
use self::expire_schedule::Expiry;
use self::history::Base;
use self::ids::{Coverage, IdSet, Window};
use self::protocol::Protocol;
use self::queue::{Origin, Queued};
use self::receipts::Receipts;
use self::unknown_attempts::UnknownAttempts;
use self::worker::Worker;
use crate::catalog::{Catalog, LoadedTable, TableSpec};
use crate::clock::now_ms;
use crate::config::CommitConfig;
use crate::error::{Error, ErrorKind, Result, RetryClass};
use crate::request::{IdRange, RequestId};

mod accept;
mod backoff;
mod carried_ids;
mod evolve;
mod expire_plan;
mod expire_schedule;
mod expired_files;
mod failure;
mod history;
mod ids;
mod live_files;
mod merge;
mod partition_types;
mod producer;
mod property;
mod protocol;
mod queue;
mod receipt;
mod receipt_committer;
mod receipt_store;
mod receipts;
mod recognition;
mod removal;
mod replace;
mod replaced_files;
mod retry_rules;
mod summary;
#[cfg(test)]
mod test_table;
mod unknown_attempts;
mod worker;

pub use accept::Stored;
pub use evolve::Wanted;
pub use ids::COMMIT_IDS;
pub(crate) use partition_types::has_types;
pub(crate) use receipt_store::OWN_FOLDER;
pub use replace::Replacement;

/// How long closing waits for files of expired snapshots to be deleted.
const SWEEPING_ENDS_IN: Duration = Duration::from_secs(5);

/// Files to add, and the requests whose rows they hold.
#[derive(Debug, Clone)]
pub struct Append {
    /// The files of one or more [`crate::write::Written`].
    pub files: Vec<DataFile>,
    /// The partition spec that the files were written with: the default one of the metadata that
    /// [`crate::write::write`] was given. A `DataFile` does not tell.
    pub partition_spec_id: i32,
    /// The requests, folded.
    pub ids: Vec<IdRange>,
    /// The table that the files were written for, by its UUID: one that is made anew under its name may
    /// have other columns. `None` is the table as last seen.
    pub table_id: Option<Uuid>,
    /// Bytes of the requests, as a host counts what it waits for; see [`crate::config::CommitConfig::WAITING_BYTES_MAX`].
    pub request_bytes: u64,
}

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The snapshot that holds it.
    pub snapshot_id: i64,
    /// How many attempts the catalog saw for it.
    pub attempts: u32,
    /// How many appends went into the same snapshot, this one included; 0 when it was there already.
    pub folded: u32,
    /// Whether the ids were found in the table already, so that nothing was added.
    pub already_there: bool,
}

/// The one committer of a table in this process. Its work is done by a task of the runtime that it
/// was opened in; dropping it lets the task finish what is queued, [`Committer::close`] waits for that.
pub struct Committer {
    shared: Arc<Shared>,
    /// Held while a commit is made, and while the table is looked at.
    protocol: Arc<tokio::sync::Mutex<Protocol>>,
    receipts: Arc<Receipts>,
    /// None once closed. As many appends are queued as callers wait for.
    queue: Mutex<Option<mpsc::UnboundedSender<Queued>>>,
    shutting_down: CancellationToken,
    closing: CancellationToken,
    /// Whether old snapshots are expired, where the table asks for it, and their files deleted by us.
    expires: bool,
    /// The one that commits what is queued, and the one that commits receipts.
    tasks: tokio::sync::Mutex<Vec<JoinHandle<()>>>,
    /// The one that deletes files of expired snapshots.
    sweeping: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Committer {
    /// Opens the table, made if missing and `spec` is given. With `evolve`, columns that are wanted
    /// and that the table lacks are added first, as optional ones.
    ///
    /// Receipts that other processes left are known when this returns, and committed by and by.
    ///
    /// # Errors
    /// As [`Catalog::ensure`]; `TableMismatch` when a column of `evolve` clashes with the table's; `Storage`
    /// when receipts cannot be looked for and calls may succeed with one.
    pub async fn open(
        catalog: Arc<dyn Catalog>,
        ident: TableIdent,
        spec: Option<TableSpec>,
        evolve: Option<Wanted<'_>>,
        config: CommitConfig,
    ) -> Result<Self> {
        let table = catalog.ensure(&ident, spec.clone()).await?;
        Self::on(catalog, table, spec, evolve, config).await
    }

    /// As [`Committer::open`], on a table as it was just loaded.
    ///
    /// # Errors
    /// As there.
    pub async fn on(
        catalog: Arc<dyn Catalog>,
        mut table: LoadedTable,
        spec: Option<TableSpec>,
        evolve: Option<Wanted<'_>>,
        config: CommitConfig,
    ) -> Result<Self> {
        if let Some(wanted) = evolve {
            table = evolve::add_missing_columns(catalog.as_ref(), table, wanted, &config).await?;
        }
        let shared = Arc::new(Shared::new(table, Window::new(&config), catalog.tells_history()));
        let closing = CancellationToken::new();
        let receipts = Arc::new(Receipts::new(Arc::clone(&shared), &config, closing.clone()));
        // Before the first request, which may have come before and be in one of them.
        let looked = receipts.look_first().await;
        if let Err(error) = looked {
            if receipts.accept {
                return Err(error);
            }
            tracing::info!(%error, "receipts of other writers are not looked for");
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        let by_service = catalog.deletes_files();
        let (interval, expires) = (config.interval, config.expire_snapshots && !by_service);
        let (leftovers, to_sweep) = mpsc::channel(1);
        let expiry = Expiry::new(&config, by_service, Arc::clone(&receipts), leftovers);
        let sweeping = tokio::spawn(expired_files::sweep(Arc::clone(&catalog), to_sweep));
        let protocol = Arc::new(tokio::sync::Mutex::new(Protocol {
            catalog,
            spec,
            config,
            shared: Arc::clone(&shared),
            unknown: UnknownAttempts::default(),
            left: Vec::new(),
            expiry,
            load_failing: false,
            loaded: Some(Instant::now()),
        }));
        let shutting_down = CancellationToken::new();
        let worker = Worker::new(Arc::clone(&protocol), interval, receiver, shutting_down.clone());
        let tend = receipt_committer::tend(Arc::clone(&receipts), Arc::clone(&protocol));
        let tasks = vec![tokio::spawn(worker.run()), tokio::spawn(tend)];
        Ok(Self {
            shared,
            protocol,
            receipts,
            queue: Mutex::new(Some(sender)),
            shutting_down,
            closing,
            expires,
            tasks: tokio::sync::Mutex::new(tasks),
            sweeping: tokio::sync::Mutex::new(Some(sweeping)),
        })
    }

    /// The table as last seen.
    #[must_use]
    pub fn table(&self) -> Arc<LoadedTable> {
        Arc::clone(&self.shared.view().table)
    }

    /// Whether [`Committer::refresh_if_stale`] would ask the catalog.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.shared.is_stale() && !self.receipts.is_catalog_down()
    }

    /// Whether the catalog is known not to commit, so that calls get receipts: no time to ask it for what can wait.
    pub(crate) fn is_catalog_down(&self) -> bool {
        self.receipts.is_catalog_down()
    }

    /// Loads the table anew if an attempt was refused, or its outcome is not known, and the table was
    /// not looked at since. Waits for a commit that is in flight then, which settles it. Nothing
    /// otherwise. To be called before [`Committer::already_committed`] when its answer decides whether
    /// files are written again: a snapshot may hold files of their names already.
    ///
    /// With `commit.on_failure: accept` a table that cannot be looked at is taken as last seen: what
    /// becomes of the call is a receipt then, and whoever commits that looks before.
    ///
    /// # Errors
    /// `Catalog`, to be retried, when the table cannot be loaded.
    pub async fn refresh_if_stale(&self) -> Result<()> {
        if !self.is_stale() {
            return Ok(());
        }
        let mut protocol = self.protocol.lock().await;
        if !self.is_stale() {
            return Ok(());
        }
        let looked = protocol.refresh().await;
        if looked.is_err() && self.receipts.accept {
            self.receipts.set_catalog_down();
            return Ok(());
        }
        looked.map_err(|cause| {
            let class = match cause.retry_class() {
                class @ (RetryClass::Retry { .. } | RetryClass::Shutdown) => class,
                // What an earlier attempt did is not known yet: nothing may be given up.
                RetryClass::Permanent | RetryClass::Partial => RetryClass::Retry { after: None },
            };
            let message = "an earlier commit did not end well, and the table cannot be looked at again";
            Error::new(ErrorKind::Catalog, message)
                .with("table", self.table().ident.to_string())
                .class(class)
                .because(cause)
        })
    }

    /// Has the table looked at again before the next write: it did not fit, and somebody may mend it.
    pub fn mark_stale(&self) {
        self.shared.set_stale(true);
    }

    /// Which of these requests the table's recent ancestry holds already, as last seen, or a receipt that
    /// will be committed.
    #[must_use]
    pub fn already_committed(&self, ids: &[RequestId]) -> Vec<bool> {
        let view = self.shared.view();
        let in_receipts = self.receipts.contains(ids);
        let committed = ids.iter().map(|id| view.ids.contains(id));
        committed
            .zip(in_receipts)
            .map(|(committed, in_receipt)| committed || in_receipt)
            .collect()
    }

    /// Whether the table's recent ancestry holds all of these requests, as last seen.
    #[must_use]
    pub fn is_committed(&self, ids: &[IdRange]) -> bool {
        self.shared.view().ids.coverage(ids) == Coverage::Full
    }

    /// Adds files. Appends that arrive while a commit is in flight go out together in the next one.
    /// Dropping the future does not stop a commit that was begun; one that was not is withdrawn.
    /// Once begun, the answer comes when the outcome is known or no more attempts fit before
    /// `deadline`, which may be a little after it.
    ///
    /// The data files are the caller's: the committer never deletes them. They may be deleted after a
    /// `Catalog` error, which is only given when a fresh look at the table showed that it holds none
    /// of them and never will; after any other error an earlier attempt may hold them.
    ///
    /// # Errors
    /// `Catalog` (refused for good), `CommitUnknown` (it may be in the table: send it again, and it
    /// is found), `Storage` (a metadata file could not be written), `Cancelled` when `deadline` passed
    /// before the commit was begun, `Internal` when the commit panicked (not known whether it was
    /// taken; the committer goes on), `Shutdown` after [`Committer::close`].
    pub async fn append(&self, append: Append, deadline: Instant) -> Result<Committed> {
        let table = self.table();
        let stopped =
            |kind, message: &str| Err(Error::new(kind, message).with("table", table.ident.to_string()));
        let table_id = append.table_id.unwrap_or_else(|| table.metadata.uuid());
        let (queued, waiting) = Queued::new(append, table_id, deadline, Origin::Call);
        let sender = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(sender) = sender else {
            return stopped(ErrorKind::Shutdown, "the committer is closed");
        };
        if sender.send(queued).is_err() {
            return stopped(ErrorKind::Internal, "the committer's task has ended");
        }
        // Held no longer than needed: the task ends when the last sender is gone.
        drop(sender);
        waiting.answer().await
    }

    /// Commits what is queued at once, and from now on what comes, as if `commit.interval` were 0.
    pub fn begin_shutdown(&self) {
        self.shutting_down.cancel();
    }

    /// Refuses new appends, commits what is queued without further waiting, and stops the tasks. Waits for
    /// files that are still to be deleted, but not long.
    pub async fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.begin_shutdown();
        self.closing.cancel();
        // Held while waiting, so that a second caller waits too.
        let mut tasks = self.tasks.lock().await;
        for task in tasks.drain(..) {
            if let Err(cause) = task.await {
                tracing::error!(%cause, "a table's committer ended badly");
            }
        }
        drop(tasks);
        self.protocol.lock().await.expiry.stop();
        if let Some(mut sweeping) = self.sweeping.lock().await.take()
            && tokio::time::timeout(SWEEPING_ENDS_IN, &mut sweeping)
                .await
                .is_err()
        {
            // What is left costs space only.
            sweeping.abort();
        }
    }
}

impl fmt::Debug for Committer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Committer")
            .field("table", &self.table().ident)
            .finish_non_exhaustive()
    }
}

/// Files of one partition spec.
#[derive(Debug, Clone)]
struct Files {
    partition_spec_id: i32,
    files: Vec<DataFile>,
}

/// What the committer's task and its callers share.
#[derive(Debug)]
struct Shared {
    view: RwLock<Arc<View>>,
    /// How far back views reach.
    window: Window,
    /// See [`Catalog::tells_history`].
    tells_history: bool,
    /// The table must be looked at again before the next attempt, and before anything is said of what
    /// it holds.
    stale: AtomicBool,
}

/// The table as last seen, and the requests in its recent ancestry.
#[derive(Debug)]
struct View {
    table: Arc<LoadedTable>,
    ids: IdSet,
    /// See [`carried_ids`].
    carried: Vec<IdRange>,
}

impl Shared {
    fn new(table: LoadedTable, window: Window, tells_history: bool) -> Self {
        let carried = carried(&table.metadata, tells_history, None);
        Self {
            view: RwLock::new(Arc::new(View::new(table, window, None, carried))),
            window,
            tells_history,
            stale: AtomicBool::new(false),
        }
    }

    fn is_stale(&self) -> bool {
        self.stale.load(Ordering::Acquire)
    }

    fn set_stale(&self, stale: bool) {
        self.stale.store(stale, Ordering::Release);
    }

    fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, table: LoadedTable, floor: Option<Base>) {
        let carried = carried(&table.metadata, self.tells_history, Some(&self.view()));
        let view = Arc::new(View::new(table, self.window, floor, carried));
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = view;
    }
}

impl View {
    fn new(table: LoadedTable, window: Window, floor: Option<Base>, carried: Vec<IdRange>) -> Self {
        let mut ids = IdSet::of_table(&table.metadata, window, floor.as_ref(), now_ms());
        ids.extend(carried.iter().copied());
        Self {
            table: Arc::new(table),
            ids,
            carried,
        }
    }
}
