//! The whole way, for one call: decode, convert, write, commit.
//!
//! Batches are encoded as conversion gives them away, so that at no time more than
//! `limits.batch_bytes_max` of rows is in memory; only the encoded files are kept. They are uploaded
//! when the whole payload has proved well-formed, then committed, one append per table.

mod call;
mod encoding;
mod left_out;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::join_all;
use iceberg::spec::DataFile;
use iceberg::{NamespaceIdent, TableIdent};
use tokio::sync::{OnceCell, RwLock, Semaphore};
use tokio_util::sync::CancellationToken;

use self::call::Call;
use self::encoding::{Encoding, State, TableEncoding};
use self::left_out::Warned;
use crate::catalog::{self, Catalog};
use crate::commit::{Append, Committer};
use crate::config::Config;
use crate::convert::{self, ConvertOptions, Summary};
use crate::error::{Error, ErrorKind, Result, RetryClass};
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
    /// Values left out because their table has no such column.
    pub values_left_out: u64,
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
    /// Bounds the calls that hold rows in memory.
    encoders: Semaphore,
    /// Columns left out that were warned of.
    warned: Warned,
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
        let encoders = Semaphore::new(config.limits.parallel_calls_max.min(Semaphore::MAX_PERMITS));
        Ok(Self {
            config,
            namespace,
            catalog,
            committers: std::array::from_fn(|_| OnceCell::new()),
            encoders,
            warned: Warned::default(),
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
        let (summary, tables) = self.encode(&export, &call).await?;
        let mut outcome = outcome_of(&summary);
        let mut failures = Vec::new();
        let mut appends = Vec::new();
        for encoding in tables {
            outcome.already_committed += encoding.already_committed();
            outcome.reject(encoding.rejected, &encoding.rejection());
            outcome.values_left_out += encoding.left_out.values;
            self.warn_of_left_out(&encoding);
            match self.upload(encoding, &call).await {
                Ok(Some(append)) => appends.push(append),
                Ok(None) => {}
                Err(error) => failures.push(error),
            }
        }
        call.proceed()?;
        let commits = appends
            .into_iter()
            .map(|(table, append)| self.commit(table, append, &call));
        for committed in join_all(commits).await {
            match committed {
                Ok(stored) => outcome.add(&stored),
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
        self.catalog.close().await;
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

    /// Converts and encodes a payload for every table that it fills.
    async fn encode(&self, export: &Export<'_>, call: &Call) -> Result<(Summary, Vec<TableEncoding>)> {
        let _permit = self.encoders.acquire().await.map_err(|cause| {
            Error::new(ErrorKind::Shutdown, "the exporter is shutting down").because(cause)
        })?;
        call.proceed()?;
        let options = ConvertOptions {
            arrival_time_unix_nano: match export.received_unix_nano {
                0 => now_unix_nano(),
                received => received,
            },
            column_bytes_max: self.config.limits.column_bytes_max,
            batch_bytes_max: self.config.limits.batch_bytes_max,
        };
        let mut encoding = Encoding::new(&self.config, call);
        self.add_known(&mut encoding, export);
        let summary = loop {
            let converted = convert::convert_into(export.signal, export.payload, &options, &mut encoding);
            match (converted, encoding.take_missing()) {
                // Rows of a table that this process did not open yet, or has to look at anew: then begin again.
                (Err(_), Some(table)) => encoding.add(self.look_at(table, export, call).await),
                (Err(error), None) => return Err(error),
                (Ok(summary), _) => break summary,
            }
        };
        // A batch merged anew after a restart can hold requests that went in before it: those tables
        // get the others alone.
        for (table, payload) in encoding.begin_remainders(export) {
            encoding.only(table);
            convert::convert_into(export.signal, &payload, &options, &mut encoding)?;
        }
        Ok((summary, encoding.into_tables()))
    }

    /// Makes known what needs no question to the catalog, so that the payload is converted only once.
    fn add_known(&self, encoding: &mut Encoding<'_>, export: &Export<'_>) {
        for table in export.signal.tables() {
            if let Some(committer) = self.committers[*table as usize].get()
                && !committer.is_stale()
            {
                encoding.add(TableEncoding::new(*table, committer, export.parts));
            }
        }
    }

    /// The table as it is, and which of the requests it holds already. A table that cannot be written
    /// does not stop the others: its rows are passed over and its error is told at the end.
    async fn look_at(&self, table: Table, export: &Export<'_>, call: &Call) -> TableEncoding {
        let looked = async {
            let committer = self.committer(table).await?;
            committer.refresh_if_stale().await?;
            Ok(committer)
        };
        let looked = tokio::time::timeout_at(call.deadline(), looked)
            .await
            .unwrap_or_else(|_| Err(no_answer_in_time(self.config.tables.name(table))));
        match looked {
            Ok(committer) => TableEncoding::new(table, committer, export.parts),
            Err(error) => TableEncoding::failed(table, error),
        }
    }

    fn warn_of_left_out(&self, encoding: &TableEncoding) {
        let tables = &self.config.tables;
        let name = tables.name(encoding.table);
        self.warned
            .warn_once(encoding.table, name, &encoding.left_out, tables.auto_evolve);
    }

    /// Uploads a table's files. `None` when there is nothing to add.
    async fn upload(&self, encoding: TableEncoding, call: &Call) -> Result<Option<(Table, Append)>> {
        let (loaded, files) = match encoding.state {
            State::Writing { loaded, files, .. } => (loaded, files),
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

    async fn commit(&self, table: Table, append: Append, call: &Call) -> Result<Stored> {
        let mut stored = Stored {
            rows: append.files.iter().map(DataFile::record_count).sum(),
            files: append.files.len() as u64,
            file_bytes: append.files.iter().map(DataFile::file_size_in_bytes).sum(),
            attempts: 0,
        };
        let committed = self
            .committer(table)
            .await?
            .append(append, call.deadline())
            .await?;
        stored.attempts = u64::from(committed.attempts);
        if committed.already_there {
            stored.rows = 0;
        }
        Ok(stored)
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

/// What one append added to a table.
struct Stored {
    rows: u64,
    files: u64,
    file_bytes: u64,
    attempts: u64,
}

impl Outcome {
    fn add(&mut self, stored: &Stored) {
        self.rows += stored.rows;
        self.files += stored.files;
        self.file_bytes += stored.file_bytes;
        self.commits += 1;
        self.commit_attempts += stored.attempts;
    }

    fn reject(&mut self, count: u64, reason: &str) {
        if count == 0 {
            return;
        }
        self.rejected += count;
        if !self.rejection.is_empty() {
            self.rejection.push_str("; ");
        }
        self.rejection.push_str(reason);
    }
}

fn outcome_of(summary: &Summary) -> Outcome {
    let reasons: Vec<String> = summary
        .rejections
        .iter()
        .map(|rejection| format!("{}: {}", rejection.path, rejection.reason))
        .collect();
    Outcome {
        rejected: summary.rejected,
        rejection: reasons.join("; "),
        repaired_utf8: summary.repairs.invalid_utf8,
        repaired_nesting: summary.repairs.nesting,
        repaired_ids: summary.repairs.invalid_ids,
        repaired_times: summary.repairs.invalid_times,
        ..Outcome::default()
    }
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

fn no_answer_in_time(table: &str) -> Error {
    let message =
        "the catalog did not answer in the time allowed; raise the exporter's timeout if this repeats";
    Error::new(ErrorKind::Catalog, message).with("table", table)
}

fn now_unix_nano() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
