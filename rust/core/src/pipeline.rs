//! The whole way, for one call: decode, convert, write, commit.
//!
//! Batches are encoded as conversion gives them away, so that at no time more than
//! `limits.batch_bytes_max` of rows is in memory; only the encoded files are kept. They are uploaded
//! when the whole payload has proved well-formed, then committed, one append per table.

mod admission;
mod call;
mod dead_letter;
mod destination;
mod encode;
mod encoding;
mod guard;
mod in_flight;
mod left_out;
mod letters;
mod outcome;
mod register;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::future::{join, join_all};
use iceberg::spec::DataFile;
use iceberg::{NamespaceIdent, TableIdent};
use tokio::sync::{OnceCell, RwLock, Semaphore};
use tokio_util::sync::CancellationToken;

use self::admission::Admission;
use self::call::Call;
use self::dead_letter::Store;
use self::destination::Destination;
use self::encode::Encoded;
use self::encoding::{State, TableEncoding};
use self::in_flight::InFlight;
use self::left_out::Warned;
use self::letters::Letters;
use self::outcome::Added;
pub use self::outcome::Outcome;
pub use self::register::{ParquetFile, Registered, Registration};
use crate::catalog::{self, Catalog, LoadedTable};
use crate::commit::{Append, Committer};
use crate::config::{Config, OnFailure};
use crate::error::{Error, ErrorKind, Result, RetryClass};
use crate::reason::Reason;
use crate::request::Part;
use crate::schema;
use crate::signal::{Signal, Table};
use crate::write;

/// One call: a payload and who it is.
#[derive(Debug)]
pub struct Export<'a> {
    /// Which service's request the payload is.
    pub signal: Signal,
    /// A serialized `Export*ServiceRequest`; several may be concatenated, which is their merge.
    pub payload: &'a [u8],
    /// The requests in the payload, in order; their lengths add up to the payload's.
    pub parts: &'a [Part],
    /// When the host received the oldest of these requests, nanoseconds since the Unix epoch; 0 means now.
    /// The time of records that have none, so the same for each delivery of the same request.
    pub received_unix_nano: u64,
    /// Stops the call before its commit is begun.
    pub cancel: CancellationToken,
    /// How long the call may take.
    pub timeout: Duration,
}

/// The library, opened: a catalog and a committer per table.
#[derive(Debug)]
pub struct Pipeline {
    config: Config,
    namespace: NamespaceIdent,
    catalog: Arc<dyn Catalog>,
    /// One per [`Table`], opened on the table's first write.
    committers: [OnceCell<Destination>; Table::ALL.len()],
    /// Bounds the calls that hold rows in memory.
    encoders: Semaphore,
    /// Columns left out that were warned of.
    warned: Warned,
    /// Bounds the payloads under way.
    in_flight: InFlight,
    /// Where rejected data is kept, if it is.
    dead_letters: Option<Store>,
    /// True until [`Pipeline::close`]. Calls hold it for reading, so that closing waits for them.
    open: RwLock<bool>,
}

impl Pipeline {
    /// Opens the catalog. Tables are made on the first write of each.
    ///
    /// # Errors
    /// `Config` when the configuration cannot work.
    pub async fn open(config: Config) -> Result<Self> {
        let namespace = namespace(&config)?;
        let catalog = catalog::open(&config).await?;
        Self::with_catalog(config, namespace, catalog)
    }

    /// Opens the library on a catalog of the caller's.
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
            config,
            namespace,
            catalog,
            committers: std::array::from_fn(|_| OnceCell::new()),
            encoders,
            warned: Warned::default(),
            in_flight,
            dead_letters,
            open: RwLock::new(true),
        })
    }

    /// Looks at the tables that are there, all at once, so that the first call need not. Nothing is made.
    /// What cannot be reached is left to the first call that needs it.
    pub async fn warm(&self) {
        let warm = Table::ALL.into_iter().map(|table| async move {
            if let Ok(there) = self.catalog.load(&self.ident(table)).await {
                // A failure is told to the call that meets it again.
                let _ = self.committer_on(table, Some(there)).await;
            }
        });
        join_all(warm).await;
    }

    /// Stores one payload. When it returns `Ok`, the rows are in snapshots; with `commit.on_failure: accept`
    /// the outcome says how many are in receipts instead.
    ///
    /// # Errors
    /// See [`ErrorKind`]; the error's retry class says what to do. A payload that fills several
    /// tables may be in some of them when it fails; the request ids keep it from being added twice
    /// when it is sent again.
    pub async fn export(&self, export: Export<'_>) -> Result<Outcome> {
        self.export_with(export, &mut Registration::default()).await
    }

    /// The same, with files of the same signal's tables in the same snapshots. They are committed also when the
    /// payload fails, except when the time is over.
    ///
    /// # Errors
    /// As [`Pipeline::export`], of the payload alone.
    pub async fn export_with(&self, export: Export<'_>, files: &mut Registration) -> Result<Outcome> {
        let (tables, timeout, begun) = (export.signal.tables(), export.timeout, Instant::now());
        let result = self.export_beside(export, files).await;
        // What the payload's end left behind; nothing usually.
        self.commit_files(files, tables, timeout.saturating_sub(begun.elapsed()))
            .await;
        result
    }

    async fn export_beside(&self, export: Export<'_>, files: &mut Registration) -> Result<Outcome> {
        let open = self.open.read().await;
        if !*open {
            return Err(Error::new(ErrorKind::Shutdown, "the exporter is shutting down"));
        }
        let call = Call::new(&export)?;
        let mut admission = Admission::new(&export);
        admission.refuse_too_large(&self.config.limits, self.dead_letters.is_some())?;
        let share = self.in_flight.enter(export.payload.len(), &call).await?;
        admission.refuse_long(&self.config.limits);
        let Encoded {
            summary,
            tables,
            remainders,
        } = self.encode(&mut admission, &call).await?;
        let mut outcome = Outcome::of(&summary);
        outcome.in_flight_waits = u64::from(share.waited);
        admission.refused().for_each(|refused| outcome.refuse(&refused));
        for encoding in &tables {
            outcome.already_committed += encoding.already_committed();
            let rejected = encoding.rejected_rows();
            outcome.reject(Reason::TooManyPartitions, rejected, &encoding.rejection());
            outcome.values_left_out += encoding.left_out.values;
            self.warn_of_left_out(encoding);
        }
        let left = admission.left();
        let letters = Letters {
            export: &left,
            received: arrival(&export),
            summary: &summary,
            remainders: &remainders,
        };
        // Before any commit: a request that a table holds has its dead letters kept.
        if let Some(store) = &self.dead_letters {
            let collected = letters.of_rejected(store, &tables, admission.refused())?;
            outcome.keep(store, store.write(collected, &call).await?);
        }
        let (mut failures, mut appends) = (Vec::new(), Vec::new());
        for encoding in tables {
            let table = encoding.table;
            match self.upload(encoding, &call).await {
                Ok(Some(append)) => appends.push(append),
                Ok(None) => {}
                Err(error) => failures.push((table, error)),
            }
        }
        call.proceed()?;
        let begun = Instant::now();
        let commits = appends.into_iter().map(|(table, append)| {
            let call = &call;
            async move { (table, self.commit(table, append, call).await) }
        });
        let files = self.commit_ready(files, export.signal.tables(), call.deadline());
        let (commits, ()) = join(join_all(commits), files).await;
        for (table, committed) in commits {
            match committed {
                Ok(stored) => outcome.add(&stored),
                Err(error) => failures.push((table, error)),
            }
        }
        if outcome.commits > 0 {
            outcome.commit_micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        }
        self.keep_lost(&letters, failures, &mut outcome, &call).await?;
        let committers = export
            .signal
            .tables()
            .iter()
            .filter_map(|table| self.committers[*table as usize].get());
        outcome.receipts_committed = committers.map(Destination::take_receipts_committed).sum();
        Ok(outcome)
    }

    /// Keeps the rows of tables that can never take them, once nothing else stands in the way of the
    /// call's end.
    ///
    /// # Errors
    /// What failed, when trying again may help or lost rows are not kept.
    async fn keep_lost(
        &self,
        letters: &Letters<'_>,
        failures: Vec<(Table, Error)>,
        outcome: &mut Outcome,
        call: &Call,
    ) -> Result<()> {
        let is_lost = |error: &Error| error.retry_class() == RetryClass::Permanent;
        match &self.dead_letters {
            Some(store) if failures.iter().all(|(_, error)| is_lost(error)) => {
                for (table, error) in failures {
                    let name = format!(
                        "{}.{}",
                        self.config.catalog.namespace,
                        self.config.tables.name(table)
                    );
                    let collected = letters.of_table(store, table, &name, &error)?;
                    let kept = store.write(collected, call).await?;
                    outcome.reject(Reason::Table, kept.records, &error.to_string());
                    outcome.keep(store, kept);
                }
                Ok(())
            }
            _ => match most_hopeful(failures.into_iter().map(|(_, error)| error)) {
                Some(error) => Err(error),
                None => Ok(()),
            },
        }
    }

    /// Commits receipts now, in the tables that this process has written to.
    ///
    /// # Errors
    /// When receipts cannot be looked for, or the catalog does not take them; they are kept then.
    pub async fn collect_receipts(&self) -> Result<()> {
        for committer in self.committers.iter().filter_map(OnceCell::get) {
            committer.collect_receipts().await?;
        }
        Ok(())
    }

    /// Refuses new calls, waits for those in flight, then lets the committers finish.
    pub async fn close(&self) {
        let mut open = self.open.write().await;
        *open = false;
        for committer in self.committers.iter().filter_map(OnceCell::get) {
            committer.close().await;
        }
        self.catalog.close().await;
    }

    fn warn_of_left_out(&self, encoding: &TableEncoding) {
        let tables = &self.config.tables;
        let name = tables.name(encoding.table);
        self.warned
            .warn_once(encoding.table, name, &encoding.left_out, tables.auto_evolve);
    }

    /// Says why `commit.on_failure: accept` did not help: a table that was never seen has no place for a
    /// receipt.
    fn without_receipt(&self, table: Table, error: Error) -> Error {
        let never_seen = self.committers[table as usize].get().is_none();
        if self.config.commit.on_failure != OnFailure::Accept
            || !never_seen
            || !matches!(error.retry_class(), RetryClass::Retry { .. })
        {
            return error;
        }
        let message = "the table could not be opened since this process started, and before that commit.on_failure: accept \
                       can accept nothing; send the data again";
        Error::new(error.kind(), message)
            .class(error.retry_class())
            .because(error)
    }

    /// Uploads a table's files. `None` when there is nothing to add.
    async fn upload(&self, mut encoding: TableEncoding, call: &Call) -> Result<Option<(Table, Append)>> {
        let files = encoding.finish(&self.config, call)?;
        let loaded = match encoding.state {
            State::Writing { loaded, .. } => loaded,
            State::Done => return Ok(None),
            State::Failed(error) => {
                if error.kind() == ErrorKind::TableMismatch
                    && let Some(committer) = self.committers[encoding.table as usize].get()
                {
                    committer.look_again();
                }
                return Err(error);
            }
        };
        if files.is_empty() {
            return Ok(None);
        }
        let files = write::upload(&loaded.file_io, files, &|| call.proceed())
            .await
            .map_err(|error| error.with("table", loaded.ident.to_string()))?;
        let partition_spec_id = loaded.metadata.default_partition_spec_id();
        let append = Append {
            files,
            partition_spec_id,
            ids: encoding.ids,
        };
        Ok(Some((encoding.table, append)))
    }

    async fn commit(&self, table: Table, append: Append, call: &Call) -> Result<Added> {
        let committer = self.committer(table).await?;
        let loaded = committer.table();
        let paths: Vec<String> = append
            .files
            .iter()
            .map(|file| file.file_path().to_owned())
            .collect();
        let mut added = Added {
            rows: append.files.iter().map(DataFile::record_count).sum(),
            files: append.files.len() as u64,
            file_bytes: append.files.iter().map(DataFile::file_size_in_bytes).sum(),
            stored: None,
        };
        added.stored = match committer.store(append, call.deadline()).await {
            Ok(stored) => stored,
            // No attempt can land any more, and the request is given up. A retry would write the same
            // files again, so until then they stay.
            Err(error) if error.retry_class() == RetryClass::Permanent => {
                write::discard(&loaded.file_io, &paths).await;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        Ok(added)
    }

    /// The table's committer, opened on first use.
    async fn committer(&self, table: Table) -> Result<&Destination> {
        self.committer_on(table, None).await
    }

    /// The same, on the table as it was just `loaded`, if it was.
    async fn committer_on(&self, table: Table, loaded: Option<LoadedTable>) -> Result<&Destination> {
        let open = || async {
            let tables = &self.config.tables;
            if !self.catalog.keeps_tables() {
                let spec = catalog::table_spec(&self.config, table)?;
                let defined = self.catalog.ensure(&self.ident(table), Some(spec)).await?;
                return Ok(Destination::Files(Arc::new(defined)));
            }
            let spec = tables
                .auto_create
                .then(|| catalog::table_spec(&self.config, table))
                .transpose()?;
            let wanted = tables
                .auto_evolve
                .then(|| schema::iceberg_schema(table))
                .transpose()?;
            let catalog = Arc::clone(&self.catalog);
            let (wanted, mut config) = (wanted.as_ref(), self.config.commit.clone());
            // The service expires snapshots and deletes files itself.
            config.expire_snapshots &= !self.config.catalog.is_in_s3_tables();
            let committer = match loaded {
                Some(loaded) => Committer::on(catalog, loaded, spec, wanted, config).await,
                None => Committer::open(catalog, self.ident(table), spec, wanted, config).await,
            };
            committer.map(Destination::Table)
        };
        // `committers` has one cell per variant of `Table`.
        self.committers[table as usize].get_or_try_init(open).await
    }

    fn ident(&self, table: Table) -> TableIdent {
        TableIdent::new(self.namespace.clone(), self.config.tables.name(table).to_owned())
    }
}

/// The error that speaks for a call: one that a retry may cure before one that it cannot, so that
/// the tables which could still take their rows are tried again.
fn most_hopeful(mut failures: impl Iterator<Item = Error>) -> Option<Error> {
    let first = failures.next()?;
    Some(failures.fold(first, |best, error| {
        let retries = |error: &Error| matches!(error.retry_class(), RetryClass::Retry { .. });
        if retries(&error) && !retries(&best) {
            error
        } else {
            best
        }
    }))
}

fn namespace(config: &Config) -> Result<NamespaceIdent> {
    NamespaceIdent::from_strs(config.catalog.namespace.split('.'))
        .map_err(|cause| Error::new(ErrorKind::Config, "catalog.namespace").because(cause))
}

/// When a call's requests arrived, nanoseconds since the Unix epoch.
fn arrival(export: &Export<'_>) -> u64 {
    match export.received_unix_nano {
        0 => now_unix_nano(),
        received => received,
    }
}

fn now_unix_nano() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
