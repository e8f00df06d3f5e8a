//! Batches to files in memory, table by table, while a payload is converted.

use std::sync::Arc;

use super::Export;
use super::call::Call;
use crate::catalog::LoadedTable;
use crate::commit::Committer;
use crate::config::Config;
use crate::convert::{BatchSink, TableBatch};
use crate::error::{Error, ErrorKind, Result};
use crate::request::{IdRange, Part, RequestId};
use crate::signal::Table;
use crate::write::{self, EncodeOptions, LeftOut, NewFile};

/// Takes the batches of one call.
#[derive(Debug)]
pub(super) struct Encoding<'a> {
    config: &'a Config,
    call: &'a Call,
    tables: Vec<TableEncoding>,
    /// A table whose rows came and that was not looked at yet.
    missing: Option<Table>,
    /// The one table whose batches are taken; the others are done.
    only: Option<Table>,
}

/// What becomes of one table's batches.
#[derive(Debug)]
pub(super) struct TableEncoding {
    /// The table.
    pub table: Table,
    /// The requests whose rows are added.
    pub ids: Vec<IdRange>,
    /// Rows left out for want of partitions.
    pub rejected: u64,
    /// What the table has no column for.
    pub left_out: LeftOut,
    /// Which of the call's parts the table holds already.
    there: Vec<bool>,
    /// The batch's number within the call.
    ordinal: usize,
    /// Where it stands.
    pub state: State,
}

/// Where a table stands.
#[derive(Debug)]
pub(super) enum State {
    /// Its rows become files.
    Writing {
        /// The table as it was when the call began: all files of the call share its schema and spec.
        loaded: Arc<LoadedTable>,
        /// Files so far.
        files: Vec<NewFile>,
        /// Whether batches of the whole payload are passed over, because some of its requests are there.
        waiting: bool,
    },
    /// All of its rows are there already.
    Done,
    /// It cannot take its rows.
    Failed(Error),
}

impl<'a> Encoding<'a> {
    pub(super) fn new(config: &'a Config, call: &'a Call) -> Self {
        Self {
            config,
            call,
            tables: Vec::new(),
            missing: None,
            only: None,
        }
    }

    /// The table that ended the conversion because it is not known yet.
    pub(super) fn take_missing(&mut self) -> Option<Table> {
        self.missing.take()
    }

    /// Makes a table known; everything is converted anew after it.
    pub(super) fn add(&mut self, table: TableEncoding) {
        self.tables.push(table);
        self.restart();
    }

    /// The tables that hold some of the requests, each with the bytes of the others.
    pub(super) fn begin_remainders(&mut self, export: &Export<'_>) -> Vec<(Table, Vec<u8>)> {
        let mut remainders = Vec::new();
        for table in &mut self.tables {
            if let State::Writing { waiting, .. } = &mut table.state
                && std::mem::take(waiting)
            {
                remainders.push((table.table, pending_payload(export, &table.there)));
            }
        }
        remainders
    }

    /// From here on only this table's batches are taken.
    pub(super) fn only(&mut self, table: Table) {
        self.only = Some(table);
    }

    /// All tables that rows came for.
    pub(super) fn into_tables(self) -> Vec<TableEncoding> {
        self.tables
    }
}

impl BatchSink for Encoding<'_> {
    fn batch(&mut self, batch: TableBatch) -> Result<()> {
        if self.only.is_some_and(|only| only != batch.table) {
            return Ok(());
        }
        self.call.proceed()?;
        let Some(table) = self.tables.iter_mut().find(|known| known.table == batch.table) else {
            self.missing = Some(batch.table);
            return Err(Error::new(ErrorKind::Internal, "the table was not looked at yet"));
        };
        table.encode(batch, self.config, self.call)
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
    pub(super) fn new(table: Table, committer: &Committer, parts: &[Part]) -> Self {
        let ids: Vec<RequestId> = parts.iter().map(|part| part.id).collect();
        let there = committer.already_committed(&ids);
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
                loaded: committer.table(),
                files: Vec::new(),
                waiting: there.contains(&true),
            }
        };
        Self {
            table,
            ids,
            rejected: 0,
            left_out: LeftOut::default(),
            there,
            ordinal: 0,
            state,
        }
    }

    /// A table that cannot be written.
    pub(super) fn failed(table: Table, error: Error) -> Self {
        let state = State::Failed(error);
        Self {
            table,
            ids: Vec::new(),
            rejected: 0,
            left_out: LeftOut::default(),
            there: Vec::new(),
            ordinal: 0,
            state,
        }
    }

    /// How many of the requests the table holds already.
    pub(super) fn already_committed(&self) -> u64 {
        self.there.iter().filter(|there| **there).count() as u64
    }

    /// Why rows were left out.
    pub(super) fn rejection(&self) -> String {
        format!(
            "{} rows of table {}: their partition values are more than limits.partitions_max allows in one batch; \
             look for clients with a wrong clock, or partition by less",
            self.rejected, self.table
        )
    }

    /// Only the end of the call is an error of the whole conversion.
    fn encode(&mut self, batch: TableBatch, config: &Config, call: &Call) -> Result<()> {
        let State::Writing {
            loaded,
            files,
            waiting: false,
        } = &mut self.state
        else {
            return Ok(());
        };
        let options = EncodeOptions {
            ids: &self.ids,
            ordinal: self.ordinal,
            parquet: &config.parquet,
            partitions_max: config.limits.partitions_max,
            proceed: &|| call.proceed(),
        };
        match write::encode(&loaded.metadata, batch, &options) {
            Ok(encoded) => {
                files.extend(encoded.files);
                self.rejected += encoded.rejected;
                self.left_out.merge(encoded.left_out);
                self.ordinal += 1;
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

    /// Drops what was encoded.
    fn forget(&mut self) {
        self.rejected = 0;
        self.left_out = LeftOut::default();
        self.ordinal = 0;
        if let State::Writing { files, .. } = &mut self.state {
            files.clear();
        }
    }
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
