//! Commits data files as snapshots. Each table has one committer, which folds all finished files into the
//! next snapshot.
//!
//! The protocol (`docs/decisions/0002-iceberg-rust-and-own-commit.md`): every snapshot's summary lists the
//! requests that it holds. Before each attempt, and after each attempt that did not surely succeed, the
//! committer searches the table's recent ancestry for our requests. A request that is found is done. So a
//! request is in the table once, however often it is sent and however an attempt ended.
//!
//! With `commit.on_failure: accept`, a call whose files are stored succeeds even when the catalog does not
//! commit them. The committer stores a receipt beside the files, and the next writer to the table commits it
//! (`docs/decisions/0012-receipts.md`).

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use iceberg::TableIdent;
use iceberg::spec::DataFile;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::expire_schedule::Expiry;
use self::ids::{Coverage, Window};
use self::protocol::Protocol;
use self::queue::{Origin, Queued};
use self::receipts::Receipts;
use self::unknown_attempts::UnknownAttempts;
use self::view::{Shared, View};
use self::worker::Worker;
use crate::catalog::{Catalog, LoadedTable, TableSpec};
use crate::config::CommitConfig;
use crate::error::{Error, ErrorKind, Result, RetryClass};
use crate::request::{IdRange, RequestId};

mod accept;
mod backoff;
mod carried_ids;
mod cleanup;
mod evolution;
mod evolve;
mod expire_blocker;
mod expire_plan;
mod expire_schedule;
mod expired_files;
mod failure;
mod history;
mod idempotent;
mod ids;
mod live_files;
mod manifest_writers;
mod merge;
mod odd_manifests;
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
mod refresh;
mod removal;
mod replace;
mod replaced_files;
mod retry_rules;
mod run;
mod snapshot_updates;
mod summary;
#[cfg(test)]
mod test_table;
mod unknown_attempts;
mod unneeded;
mod view;
mod worker;

pub use accept::Stored;
pub use evolve::Wanted;
pub(crate) use evolve::has_all_columns;
pub use ids::COMMIT_IDS;
pub(crate) use odd_manifests::OddManifests;
pub(crate) use partition_types::has_types;
pub(crate) use receipt_store::OWN_FOLDER;
pub(crate) use receipt_store::has_receipts;
pub use replace::Replacement;

/// How long [`Committer::close`] waits for the deletion of files of expired snapshots.
const SWEEPING_ENDS_IN: Duration = Duration::from_secs(5);

/// Files to add, and the requests whose rows they hold.
#[derive(Debug, Clone)]
pub struct Append {
    /// The files, in storage: see [`crate::write::upload`].
    pub files: Vec<DataFile>,
    /// The partition spec that the files were written with: the default spec of the metadata that
    /// [`crate::write::Files::append`] was given. A `DataFile` does not expose it.
    pub partition_spec_id: i32,
    /// The requests, folded.
    pub ids: Vec<IdRange>,
    /// The UUID of the table that the files were written for. A table recreated under the same name may have
    /// other columns. `None` means the table as last loaded.
    pub table_id: Option<Uuid>,
    /// Bytes of the requests, as the host counts its waiting bytes; see
    /// [`crate::config::CommitConfig::WAITING_BYTES_MAX`].
    pub request_bytes: u64,
}

/// The outcome of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The snapshot that holds it.
    pub snapshot_id: i64,
    /// Number of attempts that were sent to the catalog for it.
    pub attempts: u32,
    /// Number of appends in the same snapshot, this one included; 0 if it was already there.
    pub folded: u32,
    /// Whether the ids were already in the table, so that nothing was added.
    pub already_there: bool,
}

/// The only committer of a table in this process.
///
/// A task of the runtime that it was opened in does the work. If the committer is dropped, the task finishes
/// what is queued; [`Committer::close`] waits for that.
pub struct Committer {
    shared: Arc<Shared>,
    /// Held during a commit and while the table is loaded.
    protocol: Arc<tokio::sync::Mutex<Protocol>>,
    receipts: Arc<Receipts>,
    /// `None` once closed. The number of waiting callers bounds the queue.
    queue: Mutex<Option<mpsc::UnboundedSender<Queued>>>,
    shutting_down: CancellationToken,
    closing: CancellationToken,
    /// Whether we expire old snapshots, where the table asks for it, and delete their files.
    expires: bool,
    /// The task that commits queued appends, and the task that commits receipts.
    tasks: tokio::sync::Mutex<Vec<JoinHandle<()>>>,
    /// The task that deletes files of expired snapshots.
    sweeping: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Committer {
    /// Opens the table. If it is missing and `spec` is given, creates it.
    ///
    /// With `evolve`, wanted columns that the table lacks are added first, as optional columns.
    ///
    /// When this returns, receipts left by other processes are known. They are committed in the background.
    ///
    /// # Errors
    /// As [`Catalog::ensure`]; `TableMismatch` when a column of `evolve` clashes with the table's; `Storage`
    /// when receipts cannot be listed or read, and calls may succeed with one.
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

    /// As [`Committer::open`], on a table that was just loaded.
    ///
    /// # Errors
    /// As [`Committer::open`].
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
        // Before the first request: an earlier process may have received it and stored it in a receipt.
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
            pending_cleanup: Vec::new(),
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

    /// The table as last loaded.
    #[must_use]
    pub fn table(&self) -> Arc<LoadedTable> {
        Arc::clone(&self.shared.view().table)
    }

    /// Whether [`Committer::refresh_if_stale`] would reload the table.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.shared.is_stale() && !self.receipts.is_catalog_down()
    }

    /// Whether the catalog is known not to commit, so that calls get receipts. Optional catalog requests
    /// should wait then.
    pub(crate) fn is_catalog_down(&self) -> bool {
        self.receipts.is_catalog_down()
    }

    /// Reloads the table if an attempt was refused or has an unknown outcome, and the table was not loaded
    /// since.
    ///
    /// Otherwise does nothing. Waits for a commit in flight, because that commit settles the question. Call
    /// this before [`Committer::already_committed`] when the answer decides whether files are written again:
    /// a snapshot may already hold files with their names.
    ///
    /// With `commit.on_failure: accept`, the table as last loaded is used if the reload fails. The call then
    /// ends with a receipt, and the process that commits the receipt searches the table first.
    ///
    /// # Errors
    /// `Catalog`, retryable, when the table cannot be loaded.
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
                // An earlier attempt still has an unknown outcome, so the data must not be given up.
                RetryClass::Permanent | RetryClass::Partial => RetryClass::Retry { after: None },
            };
            let message = "the outcome of an earlier commit is not known, and the table cannot be reloaded";
            Error::new(ErrorKind::Catalog, message)
                .with("table", self.table().ident.to_string())
                .class(class)
                .because(cause)
        })
    }

    /// Marks the table for a reload before the next write. Used after a mismatch, which another writer may
    /// have fixed.
    pub fn mark_stale(&self) {
        self.shared.set_stale(true);
    }

    /// Which of these requests are already in the table's recent ancestry, as last loaded, or in a receipt
    /// that will be committed.
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

    /// Whether all of these requests are in the table's recent ancestry, as last loaded.
    #[must_use]
    pub fn is_committed(&self, ids: &[IdRange]) -> bool {
        self.shared.view().ids.coverage(ids) == Coverage::Full
    }

    /// Adds files. Appends that arrive during a commit go into the next one together.
    ///
    /// Dropping the future withdraws the append if its commit has not begun; otherwise the commit continues.
    /// Once the commit has begun, this returns when the outcome is known or no more attempts fit before
    /// `deadline`. That may be slightly after `deadline`.
    ///
    /// The data files belong to the caller; the committer never deletes them. The caller may delete them
    /// after an error of class [`RetryClass::Permanent`], whatever its kind: it is returned only when a fresh
    /// load showed that the table holds none of them and never will. After any other error, the table may
    /// hold them, or a retry adds them.
    ///
    /// # Errors
    /// `Catalog` (the catalog refused the commit, or another writer changed what it relies on),
    /// `TableMismatch` (the table no longer has the files' partition spec, which is permanent, or cannot take
    /// a snapshot), `CommitUnknown` (it may be in the table: send it again, and it is found), `Storage` (a
    /// metadata file could not be read or written), `Cancelled` when `deadline` passed before the commit
    /// began, `Internal` when the commit panicked (with an unknown outcome; the committer continues),
    /// `Shutdown` after [`Committer::close`].
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
        // Released early, because the task ends when the last sender is gone.
        drop(sender);
        waiting.answer().await
    }

    /// Commits queued appends at once, and later ones as if `commit.interval` were 0.
    pub fn begin_shutdown(&self) {
        self.shutting_down.cancel();
    }

    /// Refuses new appends, commits queued ones without further delay, and stops the tasks.
    ///
    /// Waits for pending file deletions, but only for a limited time.
    pub async fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.begin_shutdown();
        self.closing.cancel();
        // Held while waiting, so that a second caller also waits.
        let mut tasks = self.tasks.lock().await;
        for task in tasks.drain(..) {
            if let Err(cause) = task.await {
                tracing::error!(%cause, "a table's committer task failed");
            }
        }
        drop(tasks);
        self.protocol.lock().await.expiry.stop();
        if let Some(mut sweeping) = self.sweeping.lock().await.take()
            && tokio::time::timeout(SWEEPING_ENDS_IN, &mut sweeping)
                .await
                .is_err()
        {
            // Remaining files only take up space.
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
