//! Files in storage that are not yet committed. Committing them needs only the files and their ids, not the
//! requests' bytes or rows.

use std::time::Instant;

use futures::future::join_all;
use iceberg::spec::{DataFile, TableMetadata};

use super::Pipeline;
use super::call::Call;
use super::destination::Destination;
use super::outcome::{Added, Outcome};
use super::table_layout::TableLayout;
use super::tables::no_answer_in_time;
use crate::catalog::LoadedTable;
use crate::cause::IcebergCause;
use crate::commit::Append;
use crate::error::{Error, ErrorKind, Result, RetryClass};
use crate::request::IdRange;
use crate::schema::AttributeColumn;
use crate::signal::{Signal, Table};
use crate::storage::in_one_storage;
use crate::write;

/// The remaining work for requests whose rows are in files.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The pipeline that wrote the files.
    pub(super) pipeline: u64,
    pub(super) signal: Signal,
    /// The outcome so far.
    pub(super) outcome: Outcome,
    pub(super) tables: Vec<PreparedTable>,
}

/// One table's files.
#[derive(Debug)]
pub(super) struct PreparedTable {
    table: Table,
    append: Append,
    layout: TableLayout,
    state: State,
    /// Whether a commit was attempted.
    attempted: bool,
}

/// The state of a table's files.
#[derive(Debug)]
enum State {
    Pending,
    Stored,
    /// They will never be in the table. The error's class is permanent.
    Lost(Error),
}

/// The result for a table's files.
enum Done {
    Added(Added),
    /// The table already had the requests.
    There,
}

impl Pipeline {
    /// Commits the files that are not committed yet. Returns the tables that failed. `again` means that an
    /// earlier call did not finish: its outcome and the tables' current state are checked first.
    pub(super) async fn commit(
        &self,
        prepared: &mut Prepared,
        again: bool,
        call: &Call,
    ) -> Vec<(Table, Error)> {
        let begun = Instant::now();
        let Prepared { outcome, tables, .. } = prepared;
        let pending = tables
            .iter_mut()
            .filter(|table| matches!(table.state, State::Pending));
        let commits = pending.map(|table| async move {
            let done = self.commit_one(table, again, call).await;
            (table, done)
        });
        let (mut failures, commits_before) = (Vec::new(), outcome.commits);
        for (table, done) in join_all(commits).await {
            match done {
                Ok(done) => {
                    table.state = State::Stored;
                    match done {
                        Done::Added(added) => outcome.add(&added),
                        // The earlier commit succeeded, but its response was lost: these are its files.
                        Done::There if table.attempted => outcome.find(&added(&table.append)),
                        Done::There => outcome.already_committed += count(&table.append.ids),
                    }
                }
                Err(error) if error.retry_class() == RetryClass::Permanent => {
                    table.state = State::Lost(error);
                }
                Err(error) => failures.push((table.table, error)),
            }
        }
        if outcome.commits > commits_before {
            outcome.commit_micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        }
        failures.extend(tables.iter().filter_map(PreparedTable::loss));
        failures
    }

    async fn commit_one(&self, prepared: &mut PreparedTable, again: bool, call: &Call) -> Result<Done> {
        let destination = self.destination(prepared.table).await?;
        if again {
            let looked = tokio::time::timeout_at(call.deadline(), destination.refresh_if_stale()).await;
            looked.unwrap_or_else(|_| Err(no_answer_in_time(self.config.tables.name(prepared.table))))?;
            if destination.is_committed(&prepared.append.ids) {
                return Ok(Done::There);
            }
            prepared.fit(
                &destination.table(),
                self.config.tables.attribute_columns.of(prepared.table),
            )?;
            self.find_files(prepared, destination, call).await?;
        }
        prepared.attempted = true;
        match Self::store(&prepared.append, destination, call).await {
            Ok(added) => Ok(Done::Added(added)),
            // No attempt can land any more, and the request is given up. After a repeated call, the bytes may
            // be released, so these files may be the only copy of the rows.
            Err(error) if error.retry_class() == RetryClass::Permanent && again => {
                let message = "the table does not take these files, for good; they are in storage and in no table: add them with an \
                               engine";
                Err(prepared.lost(message).because(error))
            }
            Err(error) => {
                if error.retry_class() == RetryClass::Permanent {
                    let paths: Vec<String> = prepared.append.files.iter().map(path_of).collect();
                    write::discard(&destination.table().file_io, &paths).await;
                }
                // Otherwise a retry commits the same files again, so they are kept.
                Err(error)
            }
        }
    }

    /// Makes sure that files that were written some time ago still exist: a clean-up of orphan files may have
    /// deleted them.
    async fn find_files(
        &self,
        prepared: &PreparedTable,
        destination: &Destination,
        call: &Call,
    ) -> Result<()> {
        let table = destination.table();
        for file in &prepared.append.files {
            call.proceed()?;
            let path = file.file_path();
            if is_there(&table, path).await? {
                continue;
            }
            if let Some(known) = known_file(&table, path)
                && !is_there(&table, known).await?
            {
                // Another program may have expired it since the table was last loaded.
                destination.mark_stale();
                return Err(storage_unreachable(path, known));
            }
            // The storage may have become available between the two checks.
            if !is_there(&table, path).await? {
                let message = "a data file was deleted before its commit was known to have succeeded. Look for its rows in the table: if \
                               they are there, it was committed and compacted since; if not, they are lost. Have clean-ups of orphan \
                               files spare those that are younger than the longest outage of the catalog";
                return Err(prepared.lost(message).with("gone", path));
            }
        }
        Ok(())
    }

    /// Makes sure that files written to `path` will be in the same storage as the table: they may become the
    /// only copy of the requests' rows.
    pub(super) async fn check_storage(&self, table: Table, path: &str) -> Result<()> {
        // It is open: the files are made for it.
        let Some(destination) = self.destinations[table as usize].get() else {
            return Ok(());
        };
        let now = destination.table();
        // An empty table has only its metadata file, which a server may store where we cannot read it.
        if now.metadata.current_snapshot().is_none() && !self.catalog.compares_metadata() {
            return Ok(());
        }
        let looked = now.check_storage(path).await;
        if looked.is_err() {
            // Other programs may have deleted the files of the last loaded state.
            destination.mark_stale();
        }
        looked
    }

    async fn store(append: &Append, destination: &Destination, call: &Call) -> Result<Added> {
        let stored = destination.store(append.clone(), call.deadline()).await?;
        Ok(Added {
            stored,
            ..added(append)
        })
    }
}

impl PreparedTable {
    /// `metadata` is the table's metadata when the files were written.
    pub(super) fn new(
        table: Table,
        metadata: &TableMetadata,
        files: Vec<DataFile>,
        ids: Vec<IdRange>,
        request_bytes: usize,
    ) -> Self {
        Self {
            table,
            append: Append {
                files,
                partition_spec_id: metadata.default_partition_spec_id(),
                ids,
                table_id: Some(metadata.uuid()),
                request_bytes: request_bytes as u64,
            },
            layout: TableLayout::of(table, metadata),
            state: State::Pending,
            attempted: false,
        }
    }

    /// Assigns the files to the current table, which may have been dropped and recreated.
    ///
    /// # Errors
    /// `TableMismatch` (permanent), naming the files, when they do not fit it.
    fn fit(&mut self, now: &LoadedTable, attributes: &[AttributeColumn]) -> Result<()> {
        if !self.layout.fits(&now.metadata, attributes) {
            let message = "the table was dropped and created again with another layout, or lost its partition spec, before these \
                           files were committed; they are in storage and in no table: add them with an engine";
            return Err(self.lost(message).with("table", now.ident.to_string()));
        }
        self.append.table_id = Some(now.metadata.uuid());
        Ok(())
    }

    fn lost(&self, message: &str) -> Error {
        let paths: Vec<&str> = self.append.files.iter().map(DataFile::file_path).collect();
        Error::new(ErrorKind::TableMismatch, message)
            .with("files", paths.join(" "))
            .class(RetryClass::Permanent)
    }

    /// Why the files will never be in the table.
    fn loss(&self) -> Option<(Table, Error)> {
        let State::Lost(error) = &self.state else {
            return None;
        };
        let error = Error::new(error.kind(), error.to_string()).class(RetryClass::Permanent);
        Some((self.table, error))
    }
}

async fn is_there(table: &LoadedTable, path: &str) -> Result<bool> {
    table.file_io.exists(path).await.map_err(|cause| {
        let message = "cannot look whether files that are to be committed are still in storage";
        Error::new(ErrorKind::Storage, message)
            .with("path", path)
            .class(RetryClass::Retry { after: None })
            .because(IcebergCause(cause))
    })
}

/// A file that the table must have, in the storage of `path`. If it is missing as well, the storage is
/// unreachable and the data file may still exist: a missing bucket, a proxy with its own response and an
/// unmounted disk report every file as missing.
fn known_file<'a>(table: &'a LoadedTable, path: &str) -> Option<&'a str> {
    table.own_files().find(|known| in_one_storage(known, path))
}

fn storage_unreachable(path: &str, known: &str) -> Error {
    let message = "storage shows neither a data file that is to be committed nor the table's own files, so nothing is \
                   committed: does the bucket of catalog.warehouse exist, does storage.s3.endpoint lead to it, is its disk \
                   mounted? If they were deleted, drop the table from the catalog";
    Error::new(ErrorKind::Storage, message)
        .with("path", path)
        .with("table's file", known)
        .class(RetryClass::Retry { after: None })
}

fn added(append: &Append) -> Added {
    Added {
        rows: append.files.iter().map(DataFile::record_count).sum(),
        files: append.files.len() as u64,
        file_bytes: append.files.iter().map(DataFile::file_size_in_bytes).sum(),
        stored: None,
    }
}

fn path_of(file: &DataFile) -> String {
    file.file_path().to_owned()
}

fn count(ids: &[IdRange]) -> u64 {
    ids.iter()
        .map(|range| (range.to - range.from).saturating_add(1))
        .sum()
}
