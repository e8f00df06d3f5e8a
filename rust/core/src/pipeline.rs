//! The whole way, for one call: decode, convert, write, commit.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::future::join_all;
use iceberg::{NamespaceIdent, TableIdent};
use tokio::sync::{OnceCell, RwLock};
use tokio_util::sync::CancellationToken;

use crate::catalog::{self, Catalog};
use crate::commit::{Append, Committer};
use crate::config::Config;
use crate::convert::{self, ConvertOptions, Converted, TableBatch};
use crate::error::{Error, ErrorKind, Result, RetryClass};
use crate::request::{IdRange, Part, RequestId};
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
    /// Stops the call before its commit is begun.
    pub cancel: CancellationToken,
    /// How long the call may take.
    pub timeout: Duration,
}

/// What became of a call that did not fail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Rows that this call added to tables.
    pub rows: u64,
    /// Records and points left out, with `rejection` saying why.
    pub rejected: u64,
    /// Data files written.
    pub files: u64,
    /// Their bytes.
    pub file_bytes: u64,
    /// Commits that hold them, one per table.
    pub commits: u64,
    /// Commit attempts made.
    pub commit_attempts: u64,
    /// Requests that a table held already and that were left out of it, counted once per table.
    pub already_committed: u64,
    /// Strings stored with U+FFFD for invalid UTF-8.
    pub repaired_utf8: u64,
    /// Values nested too deeply, stored as null.
    pub repaired_nesting: u64,
    /// Invalid ids, stored as null.
    pub repaired_ids: u64,
    /// Times out of range, stored as null.
    pub repaired_times: u64,
    /// The first reasons why records were left out; empty if none was.
    pub rejection: String,
}

/// The library, opened: a catalog and a committer per table.
#[derive(Debug)]
pub struct Pipeline {
    config: Config,
    namespace: NamespaceIdent,
    catalog: Arc<dyn Catalog>,
    /// One committer per [`Table`], opened on the table's first write.
    committers: [OnceCell<Committer>; Table::ALL.len()],
    /// True until [`Pipeline::close`]. Calls hold it for reading, so that closing waits for them.
    open: RwLock<bool>,
}

impl Pipeline {
    /// Opens the catalog. Tables are made on the first write of each.
    ///
    /// # Errors
    /// `Config` when the configuration cannot work.
    pub async fn open(config: Config) -> Result<Self> {
        let namespace = NamespaceIdent::from_strs(config.catalog.namespace.split('.'))
            .map_err(|cause| Error::new(ErrorKind::Config, "catalog.namespace").because(cause))?;
        let catalog = catalog::open(&config).await?;
        Ok(Self {
            config,
            namespace,
            catalog,
            committers: std::array::from_fn(|_| OnceCell::new()),
            open: RwLock::new(true),
        })
    }

    /// Stores one payload. When it returns `Ok`, the rows are in snapshots.
    ///
    /// # Errors
    /// See [`ErrorKind`]; the error's retry class says what to do. A payload that fills several
    /// tables may be in some of them when it fails; the request ids keep it from being added twice
    /// when it is sent again.
    pub async fn export(&self, export: Export<'_>) -> Result<Outcome> {
        let open = self.open.read().await;
        if !*open {
            return Err(Error::new(ErrorKind::Shutdown, "the exporter is shutting down"));
        }
        let call = Call::new(&export)?;
        self.check_limits(&export)?;
        let options = ConvertOptions {
            arrival_time_unix_nano: now_unix_nano(),
            column_bytes_max: self.config.limits.column_bytes_max,
        };
        let converted = convert::convert(export.signal, export.payload, &options)?;
        let mut outcome = outcome_of(&converted);

        let mut appends = Vec::new();
        let mut failures = Vec::new();
        for (table, batches) in by_table(converted.batches) {
            call.check()?;
            match self
                .write_table(&export, &options, table, batches, &mut outcome)
                .await
            {
                Ok(Some(append)) => appends.push((table, append)),
                Ok(None) => {}
                Err(error) => failures.push(error),
            }
        }
        call.check()?;
        let commits = appends
            .into_iter()
            .map(|(table, append)| self.commit_table(table, append, call.deadline));
        for committed in join_all(commits).await {
            match committed {
                Ok(attempts) => {
                    outcome.commits += 1;
                    outcome.commit_attempts += attempts;
                }
                Err(error) => failures.push(error),
            }
        }
        match most_hopeful(failures) {
            Some(error) => Err(error),
            None => Ok(outcome),
        }
    }

    /// Refuses new calls, waits for those in flight, then lets the committers finish.
    pub async fn close(&self) {
        let mut open = self.open.write().await;
        *open = false;
        for committer in self.committers.iter().filter_map(OnceCell::get) {
            committer.close().await;
        }
    }

    fn check_limits(&self, export: &Export<'_>) -> Result<()> {
        let max = self.config.limits.payload_bytes_max;
        if export.payload.len() > max {
            return Err(Error::new(
                ErrorKind::Limit,
                format!(
                    "a payload of {} bytes is above limits.payload_bytes_max ({max}); raise it or send smaller batches",
                    export.payload.len()
                ),
            )
            .class(RetryClass::Permanent));
        }
        Ok(())
    }

    /// Writes a table's batches, less what the table holds already. `None` when nothing is left to add.
    async fn write_table(
        &self,
        export: &Export<'_>,
        options: &ConvertOptions,
        table: Table,
        mut batches: Vec<TableBatch>,
        outcome: &mut Outcome,
    ) -> Result<Option<Append>> {
        let committer = self.committer(table).await?;
        let ids: Vec<RequestId> = export.parts.iter().map(|part| part.id).collect();
        let there = committer.already_committed(&ids);
        let there_count = there.iter().filter(|there| **there).count();
        let mut pending = ids;
        if there_count > 0 {
            outcome.already_committed += there_count as u64;
            if there_count == there.len() {
                return Ok(None);
            }
            // A batch merged anew after a restart can hold requests that went in before it.
            let payload = pending_payload(export, &there);
            batches = convert::convert(export.signal, &payload, options)?.batches;
            batches.retain(|batch| batch.table == table);
            pending = pending
                .into_iter()
                .zip(&there)
                .filter(|(_, there)| !**there)
                .map(|(id, _)| id)
                .collect();
        }
        let ids = IdRange::from_ids(pending);
        // One view of the table for all its batches: their files share its partition spec.
        let loaded = committer.table();
        let mut files = Vec::new();
        for (ordinal, batch) in batches.into_iter().enumerate() {
            let written = write::write(
                &loaded.metadata,
                &loaded.file_io,
                batch,
                &ids,
                ordinal,
                &self.config.parquet,
            )
            .await
            .map_err(|error| error.with("table", loaded.ident.to_string()))?;
            outcome.rows += written.rows;
            outcome.files += written.files.len() as u64;
            outcome.file_bytes += written.bytes;
            files.extend(written.files);
        }
        let partition_spec_id = loaded.metadata.default_partition_spec_id();
        Ok((!files.is_empty()).then_some(Append {
            files,
            partition_spec_id,
            ids,
        }))
    }

    /// Commits; gives the number of attempts.
    async fn commit_table(&self, table: Table, append: Append, deadline: Instant) -> Result<u64> {
        let committed = self.committer(table).await?.append(append, deadline).await?;
        Ok(u64::from(committed.attempts))
    }

    /// The table's committer, opened on first use.
    async fn committer(&self, table: Table) -> Result<&Committer> {
        let ident = TableIdent::new(self.namespace.clone(), self.config.tables.name(table).to_owned());
        let open = || async {
            let tables = &self.config.tables;
            let spec = tables
                .auto_create
                .then(|| catalog::table_spec(&self.config, table))
                .transpose()?;
            let wanted = tables
                .auto_evolve
                .then(|| schema::iceberg_schema(table))
                .transpose()?;
            let catalog = Arc::clone(&self.catalog);
            Committer::open(catalog, ident, spec, wanted.as_ref(), self.config.commit.clone()).await
        };
        // `committers` has one cell per variant of `Table`.
        self.committers[table as usize].get_or_try_init(open).await
    }
}

/// What bounds a call in time.
struct Call {
    cancel: CancellationToken,
    deadline: Instant,
}

impl Call {
    fn new(export: &Export<'_>) -> Result<Self> {
        let total: u64 = export
            .parts
            .iter()
            .fold(0, |sum: u64, part| sum.saturating_add(part.len));
        if total != export.payload.len() as u64 {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "the lengths of the request's parts add up to {total} bytes, the payload has {}",
                    export.payload.len()
                ),
            ));
        }
        let now = Instant::now();
        let call = Self {
            cancel: export.cancel.clone(),
            // A timeout too large for the clock is as good as a year.
            deadline: now
                .checked_add(export.timeout)
                .unwrap_or(now + Duration::from_secs(365 * 86_400)),
        };
        call.check()?;
        Ok(call)
    }

    /// Between stages: an error when the caller gave up or the time is over.
    fn check(&self) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(Error::new(
                ErrorKind::Cancelled,
                "cancelled before the commit was begun",
            ));
        }
        if Instant::now() >= self.deadline {
            return Err(Error::new(
                ErrorKind::Cancelled,
                "the time allowed ran out before the commit was begun; raise the exporter's timeout if this repeats",
            ));
        }
        Ok(())
    }
}

fn outcome_of(converted: &Converted) -> Outcome {
    let repairs = converted.repairs;
    Outcome {
        rejected: converted.rejected,
        rejection: converted
            .rejections
            .iter()
            .map(|rejection| format!("{}: {}", rejection.path, rejection.reason))
            .collect::<Vec<_>>()
            .join("; "),
        repaired_utf8: repairs.invalid_utf8,
        repaired_nesting: repairs.nesting,
        repaired_ids: repairs.invalid_ids,
        repaired_times: repairs.invalid_times,
        ..Outcome::default()
    }
}

/// Groups batches, which come in table order, by table.
fn by_table(batches: Vec<TableBatch>) -> Vec<(Table, Vec<TableBatch>)> {
    let mut groups: Vec<(Table, Vec<TableBatch>)> = Vec::new();
    for batch in batches {
        match groups.last_mut() {
            Some((table, group)) if *table == batch.table => group.push(batch),
            _ => groups.push((batch.table, vec![batch])),
        }
    }
    groups
}

/// The bytes of the requests that are not there yet.
fn pending_payload(export: &Export<'_>, there: &[bool]) -> Vec<u8> {
    let mut rest = export.payload;
    let mut pending = Vec::new();
    for (part, there) in export.parts.iter().zip(there) {
        let len = usize::try_from(part.len).unwrap_or(usize::MAX).min(rest.len());
        let (own, tail) = rest.split_at(len);
        if !there {
            pending.extend_from_slice(own);
        }
        rest = tail;
    }
    pending
}

/// The error that speaks for a call: one that a retry may cure before one that it cannot, so that
/// the tables which could still take their rows are tried again.
fn most_hopeful(failures: Vec<Error>) -> Option<Error> {
    let mut failures = failures.into_iter();
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

fn now_unix_nano() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
