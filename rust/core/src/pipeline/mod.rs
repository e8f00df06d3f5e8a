//! The whole path of one call: decode, convert, write, commit.
//!
//! Batches are encoded as conversion produces them. So at most `limits.batch_bytes_max` of rows are in memory
//! at any time, and only the encoded files are kept. The files are uploaded once the whole payload has proved
//! well-formed. Then they are committed, one append per table. A call that waits for a commit needs only the
//! files, so a [`Batch`] releases its bytes then.

mod admission;
mod batch;
mod buffer_pool;
mod call;
mod catch_panic;
mod compaction;
mod dead_letter;
mod destination;
mod encode_payload;
mod export;
mod ignored_settings;
mod in_flight;
mod left_receipts;
mod missing_columns;
mod outcome;
mod own_files;
mod prepared;
mod register;
mod rejected_data;
mod request_memory;
mod table_files;
mod table_layout;
mod tables;
#[cfg(test)]
mod tests;
mod work;
mod worker_thread;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures::future::join_all;
use iceberg::NamespaceIdent;
use tokio::sync::{OnceCell, RwLock, RwLockReadGuard, Semaphore};
use tokio_util::sync::CancellationToken;

pub use self::batch::Batch;
use self::buffer_pool::BufferPool;
use self::compaction::Compaction;
use self::dead_letter::Store;
use self::destination::Destination;
use self::in_flight::InFlight;
use self::missing_columns::Warned;
pub use self::outcome::{CompactionCounts, Outcome};
pub use self::register::{ParquetFile, Registered, Registration};
use crate::catalog::{self, Catalog};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::request::Part;
use crate::signal::{Signal, Table};

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// One call: a payload and its requests.
#[derive(Debug)]
pub struct Export<'a> {
    /// The service whose request the payload is.
    pub signal: Signal,
    /// A serialized `Export*ServiceRequest`. Several may be concatenated, which merges them.
    pub payload: &'a [u8],
    /// The requests in the payload, in order. Their lengths add up to the payload's.
    pub parts: &'a [Part],
    /// When the host received the oldest of these requests, in nanoseconds since the Unix epoch; 0 means now.
    /// Records without a time get this one, so it must be the same for each delivery of the same request.
    pub received_unix_nano: u64,
    /// Stops the call before its commit begins.
    pub cancel: CancellationToken,
    /// How long the call may take.
    pub timeout: Duration,
}

/// How to store a [`Batch`]. The fields are as in [`Export`].
#[derive(Debug)]
pub struct Delivery {
    /// When the oldest request was received.
    pub received_unix_nano: u64,
    /// Stops the call.
    pub cancel: CancellationToken,
    /// How long the call may take.
    pub timeout: Duration,
}

/// The opened library: a catalog and a committer per table.
#[derive(Debug)]
pub struct Pipeline {
    /// Unique among the pipelines of the process.
    id: u64,
    config: Config,
    namespace: NamespaceIdent,
    catalog: Arc<dyn Catalog>,
    /// One per [`Table`], opened on the table's first write, or before it if the table exists.
    destinations: [OnceCell<Destination>; Table::ALL.len()],
    /// Whether this process has written to the table, and so looks after its small files.
    written: [AtomicBool; Table::ALL.len()],
    /// Limits the calls that hold rows in memory.
    encoders: Semaphore,
    /// Memory for these calls.
    buffers: BufferPool,
    /// Left-out columns that were already logged.
    warned: Warned,
    /// Limits the payload bytes in flight.
    in_flight: InFlight,
    compaction: Box<Compaction>,
    /// The store for rejected data, if configured.
    dead_letters: Option<Store>,
    /// Cancelled once the host is about to stop: commits no longer wait for the interval.
    shutting_down: CancellationToken,
    /// True until [`Pipeline::close`]. Calls hold a read lock, so that closing waits for them.
    open: RwLock<bool>,
}

impl Pipeline {
    /// Opens the catalog. Each table is created on its first write.
    ///
    /// # Errors
    /// `Config` when the configuration cannot work.
    pub async fn open(config: Config) -> Result<Self> {
        let namespace = namespace(&config)?;
        let catalog = catalog::open(&config).await?;
        Self::with_catalog(config, namespace, catalog)
    }

    /// Opens the library on the caller's own catalog.
    ///
    /// # Errors
    /// As [`Pipeline::open`].
    pub fn open_with(config: Config, catalog: Arc<dyn Catalog>) -> Result<Self> {
        let namespace = namespace(&config)?;
        Self::with_catalog(config, namespace, catalog)
    }

    fn with_catalog(config: Config, namespace: NamespaceIdent, catalog: Arc<dyn Catalog>) -> Result<Self> {
        let encoders = Semaphore::new(config.limits.parallel_calls_max.min(Semaphore::MAX_PERMITS));
        let in_flight = InFlight::new(config.limits.in_flight_bytes_max);
        let dead_letters = dead_letter::open(&config)?;
        Ok(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            config,
            namespace,
            catalog,
            destinations: std::array::from_fn(|_| OnceCell::new()),
            written: std::array::from_fn(|_| AtomicBool::new(false)),
            encoders,
            buffers: BufferPool::default(),
            warned: Warned::default(),
            in_flight,
            compaction: Box::default(),
            dead_letters,
            shutting_down: CancellationToken::new(),
            open: RwLock::new(true),
        })
    }

    /// # Errors
    /// `Shutdown` once it is closed.
    async fn enter(&self) -> Result<RwLockReadGuard<'_, bool>> {
        let open = self.open.read().await;
        if *open {
            return Ok(open);
        }
        Err(Error::new(ErrorKind::Shutdown, "the exporter is shutting down"))
    }

    /// Commits receipts now, in the tables that this process has opened.
    ///
    /// # Errors
    /// When receipts cannot be listed, or the catalog does not commit them. They are kept then.
    pub async fn collect_receipts(&self) -> Result<()> {
        for destination in self.destinations.iter().filter_map(OnceCell::get) {
            destination.collect_receipts().await?;
        }
        Ok(())
    }

    /// Asks the catalog's service what the first call for logs would ask first, so that a host learns at its start
    /// of a wrong address, warehouse or credential. The table need not exist. A catalog without a service was
    /// reached when it was opened.
    ///
    /// # Errors
    /// What that call would return, if nothing changes until then.
    pub async fn reach_catalog(&self) -> Result<()> {
        self.catalog.reach(&self.ident(Table::Logs)).await
    }

    /// Commits without waiting from now on, as if `commit.interval` were 0. For a host that is about to stop
    /// and still has calls in flight or to make before [`Pipeline::close`]. This cannot be undone.
    pub fn begin_shutdown(&self) {
        self.compaction.stop();
        // Before the committers are visited: a committer that is being opened checks it afterwards.
        self.shutting_down.cancel();
        self.destinations
            .iter()
            .filter_map(OnceCell::get)
            .for_each(Destination::begin_shutdown);
    }

    /// Refuses new calls, commits those in flight without waiting, and closes the committers.
    pub async fn close(&self) {
        self.begin_shutdown();
        let mut open = self.open.write().await;
        *open = false;
        self.compaction.stopped().await;
        // Concurrently, because a slow catalog or pending file deletions may delay each of them.
        let destinations = self.destinations.iter().filter_map(OnceCell::get);
        join_all(destinations.map(Destination::close)).await;
        self.catalog.close().await;
    }
}

fn namespace(config: &Config) -> Result<NamespaceIdent> {
    NamespaceIdent::from_strs(config.catalog.namespace.split('.'))
        .map_err(|cause| Error::new(ErrorKind::Config, "catalog.namespace").because(cause))
}
