//! Encodes batches as files in memory, table by table, during the conversion of a payload.

use std::ops::Range;
use std::sync::Arc;

use super::call::Call;
use super::destination::Destination;
use super::work::{Request, Work};
use crate::catalog::LoadedTable;
use crate::config::Config;
use crate::convert::{self, BatchSink, RejectedRun, TableBatch};
use crate::error::{Error, ErrorKind, Result};
use crate::request::{IdRange, RequestId};
use crate::signal::Table;
use crate::write::{EncodeOptions, Files, LeftOut, Memory, NewFile};

/// Receives the batches of one call.
#[derive(Debug)]
pub(super) struct Encoding<'a> {
    config: &'a Config,
    call: &'a Call,
    tables: Vec<TableEncoding>,
    /// A table that has rows and was not loaded yet.
    missing: Option<Table>,
    /// The only table whose batches are accepted; the others are done.
    only: Option<Table>,
    /// The memory in which all tables are encoded, one batch after the other.
    memory: &'a mut Memory,
}

/// The encoding of one table's batches.
#[derive(Debug)]
pub(super) struct TableEncoding {
    /// The table.
    pub table: Table,
    /// The requests whose rows are added.
    pub ids: Vec<IdRange>,
    /// Bytes of the call's requests.
    request_bytes: usize,
    /// Rows left out because of too many partitions, by row number within the table, in order.
    pub rejected: Vec<Range<u64>>,
    /// The table's rows so far.
    rows: u64,
    /// Values for which the table has no column.
    pub left_out: LeftOut,
    /// Which of the call's requests the table already holds.
    there: Vec<bool>,
    /// The state of the encoding.
    pub state: State,
    /// Why the table could not be loaded, when its last loaded state is used. What did not fit that state may
    /// fit the current one.
    pub not_seen: Option<Error>,
}

/// The state of a table's encoding.
#[derive(Debug)]
pub(super) enum State {
    /// Its rows are encoded as files.
    Writing {
        /// The table at the beginning of the call: all files of the call share its schema and spec.
        loaded: Arc<LoadedTable>,
        /// Files so far.
        files: Files,
        /// Whether batches of the whole payload are skipped, because the table already holds some of the
        /// requests.
        waiting: bool,
    },
    /// All of its rows are already in the table.
    Done,
    /// It cannot take its rows.
    Failed(Error),
}

/// The requests that one table does not hold yet, while it holds others of the call.
#[derive(Debug)]
pub(super) struct Remainder<'a> {
    /// The table.
    pub table: Table,
    /// The requests.
    pub work: Work<'a>,
    /// The records in them that conversion left out.
    pub rejected_runs: Vec<RejectedRun>,
}

impl<'a> Remainder<'a> {
    fn new(table: Table, work: &Work<'a>, there: &[bool]) -> Self {
        let others = work.requests.iter().zip(there).filter(|(_, there)| !**there);
        Self {
            table,
            work: work.with(others.map(|(request, _)| *request)),
            rejected_runs: Vec::new(),
        }
    }
}

impl<'a> Encoding<'a> {
    pub(super) fn new(config: &'a Config, call: &'a Call, memory: &'a mut Memory) -> Self {
        Self {
            config,
            call,
            tables: Vec::new(),
            missing: None,
            only: None,
            memory,
        }
    }

    /// The table that ended the conversion because it was not loaded yet.
    pub(super) fn take_missing(&mut self) -> Option<Table> {
        self.missing.take()
    }

    /// Adds a table. The whole payload is converted again after this.
    pub(super) fn add(&mut self, table: TableEncoding) {
        self.tables.push(table);
        self.restart();
    }

    /// The tables that hold some of the requests, each with the remaining requests.
    pub(super) fn begin_remainders<'w>(&mut self, work: &Work<'w>) -> Vec<Remainder<'w>> {
        let mut remainders = Vec::new();
        for table in &mut self.tables {
            if let State::Writing { waiting, .. } = &mut table.state
                && std::mem::take(waiting)
            {
                table.rows = 0;
                remainders.push(Remainder::new(table.table, work, &table.there));
            }
        }
        remainders
    }

    /// From here on, only this table's batches are accepted.
    pub(super) fn only(&mut self, table: Table) {
        self.only = Some(table);
    }

    /// All tables that received rows.
    pub(super) fn into_tables(self) -> Vec<TableEncoding> {
        self.tables
    }
}

impl BatchSink for Encoding<'_> {
    fn batch(&mut self, batch: &TableBatch) -> Result<()> {
        if self.only.is_some_and(|only| only != batch.table) {
            return Ok(());
        }
        self.call.proceed()?;
        let Some(table) = self.tables.iter_mut().find(|known| known.table == batch.table) else {
            self.missing = Some(batch.table);
            return Err(Error::new(ErrorKind::Internal, "the table was not looked at yet"));
        };
        table.encode(batch, self.config, self.call, self.memory)
    }

    fn restart(&mut self) {
        let only = self.only;
        for table in &mut self.tables {
            if only.is_none_or(|only| only == table.table) {
                table.forget();
            }
        }
    }
}

impl TableEncoding {
    /// A table as its committer knows it.
    pub(super) fn new(table: Table, destination: &Destination, requests: &[Request<'_>]) -> Self {
        let request_bytes = requests.iter().map(|request| request.bytes.len()).sum();
        let ids: Vec<RequestId> = requests.iter().map(|request| request.id).collect();
        let there = destination.already_committed(&ids);
        let pending = ids
            .iter()
            .zip(&there)
            .filter(|(_, there)| !**there)
            .map(|(id, _)| *id);
        let ids = IdRange::from_ids(pending);
        let state = if ids.is_empty() && !there.is_empty() {
            State::Done
        } else {
            State::Writing {
                loaded: destination.table(),
                files: Files::default(),
                waiting: there.contains(&true),
            }
        };
        Self {
            table,
            ids,
            request_bytes,
            rejected: Vec::new(),
            rows: 0,
            left_out: LeftOut::default(),
            there,
            state,
            not_seen: None,
        }
    }

    /// A table as its committer last loaded it, because a reload failed.
    pub(super) fn unseen(
        table: Table,
        destination: &Destination,
        requests: &[Request<'_>],
        cause: Error,
    ) -> Self {
        Self {
            not_seen: Some(cause),
            ..Self::new(table, destination, requests)
        }
    }

    /// A table that cannot be written.
    pub(super) fn failed(table: Table, error: Error) -> Self {
        let state = State::Failed(error);
        Self {
            table,
            ids: Vec::new(),
            request_bytes: 0,
            rejected: Vec::new(),
            rows: 0,
            left_out: LeftOut::default(),
            there: Vec::new(),
            state,
            not_seen: None,
        }
    }

    /// Number of requests that the table already holds.
    pub(super) fn already_committed(&self) -> u64 {
        self.there.iter().filter(|there| **there).count() as u64
    }

    /// Whether the table already holds this one of the call's requests.
    pub(super) fn holds(&self, request: usize) -> bool {
        self.there.get(request).copied().unwrap_or_default()
    }

    /// Number of rows that were left out because of too many partitions.
    pub(super) fn rejected_rows(&self) -> u64 {
        self.rejected.iter().map(|rows| rows.end - rows.start).sum()
    }

    /// Why rows were left out.
    pub(super) fn rejection(&self) -> String {
        format!(
            "{} rows of table {}: their partition values are more than limits.partitions_max lets a request open, or \
             longer than 1,024 bytes, or each would repeat long texts of their resources; look for clients with a wrong clock, \
             partition by less, or raise the limit (not for long texts)",
            self.rejected_rows(),
            self.table
        )
    }

    /// Only the end of the call is an error of the whole conversion.
    fn encode(
        &mut self,
        batch: &TableBatch,
        config: &Config,
        call: &Call,
        memory: &mut Memory,
    ) -> Result<()> {
        let first_row = self.rows;
        self.rows += batch.batch.num_rows() as u64;
        let State::Writing {
            loaded,
            files,
            waiting: false,
        } = &mut self.state
        else {
            return Ok(());
        };
        let proceed = || call.proceed();
        let options = options(&self.ids, self.there.len(), self.request_bytes, config, &proceed);
        let attributes = config.tables.attribute_columns.of(self.table);
        let appended = convert::with_attribute_columns(batch, attributes)
            .and_then(|batch| files.append(&loaded.metadata, &batch, &options, memory));
        match appended {
            Ok(appended) => {
                let rejected = appended.rejected.into_iter();
                add_rows(&mut self.rejected, rejected.map(|row| first_row + u64::from(row)));
                self.left_out.merge(appended.left_out);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Cancelled => Err(error),
            Err(error) => {
                let table = loaded.ident.to_string();
                self.state = State::Failed(error.with("table", table));
                Ok(())
            }
        }
    }

    /// Finishes the files. Empty when there is nothing to add.
    ///
    /// # Errors
    /// When the table cannot take its rows.
    pub(super) fn finish(&mut self, config: &Config, call: &Call) -> Result<Vec<NewFile>> {
        let State::Writing { loaded, files, .. } = &mut self.state else {
            return Ok(Vec::new());
        };
        let proceed = || call.proceed();
        let options = options(&self.ids, self.there.len(), self.request_bytes, config, &proceed);
        files.finish(&loaded.metadata, &options)
    }

    /// Drops the encoded files.
    fn forget(&mut self) {
        self.rejected.clear();
        self.rows = 0;
        self.left_out = LeftOut::default();
        if let State::Writing { files, .. } = &mut self.state {
            *files = Files::default();
        }
    }
}

fn options<'a>(
    ids: &'a [IdRange],
    requests: usize,
    request_bytes: usize,
    config: &'a Config,
    proceed: &'a dyn Fn() -> Result<()>,
) -> EncodeOptions<'a> {
    EncodeOptions {
        ids,
        parquet: &config.parquet,
        partitions_max: config.limits.partitions_of_call(requests),
        request_bytes,
        proceed,
    }
}

/// Adds row numbers, which are in ascending order.
fn add_rows(ranges: &mut Vec<Range<u64>>, rows: impl Iterator<Item = u64>) {
    for row in rows {
        match ranges.last_mut() {
            Some(last) if last.end == row => last.end += 1,
            _ => ranges.push(row..row + 1),
        }
    }
}
