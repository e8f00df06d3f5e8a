//! Registers Parquet files that are already in storage: adds them to the tables without rewriting them.
//!
//! Each file is an append of its own, so that a refused file does not block others. Files that are ready at
//! the same time, and a payload's files, are committed in one snapshot of each table.

use futures::future::join_all;
use tokio::time::{Duration, Instant};

use super::{Destination, Pipeline};
use crate::commit::{Append, Stored};
use crate::deadline;
use crate::error::{Error, ErrorKind, Result, RetryClass};
use crate::request::{IdRange, RequestId};
use crate::signal::Table;
use crate::table_properties::NAME_MAPPING;
use crate::write::register::{self, Footer};

/// A Parquet file in storage.
#[derive(Debug, Clone)]
pub struct ParquetFile {
    /// Its location for readers of the table, such as `s3://bucket/key`.
    pub location: String,
    /// Its footer.
    pub footer: Footer,
    /// Identifies this content at this location. Content that is already registered is skipped.
    pub content: RequestId,
    /// Identifies the location only. Other content at a registered location is refused.
    pub place: RequestId,
}

/// The result of a registered file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registered {
    /// The table.
    pub table: Table,
    /// The file's rows.
    pub rows: u64,
    /// The file's bytes.
    pub bytes: u64,
    /// Whether a table, or a receipt, already held it.
    pub already_there: bool,
    /// Whether this call stored a receipt for it, because the catalog did not commit. Its rows are in no table
    /// yet.
    pub in_receipt: bool,
}

/// Files that are being registered.
#[derive(Debug, Default)]
pub struct Registration(Vec<State>);

#[derive(Debug)]
enum State {
    Ready(Box<Ready>),
    Done(Result<Registered>),
}

#[derive(Debug)]
struct Ready {
    append: Append,
    registered: Registered,
}

impl Registration {
    /// The result of each file, in their order. A file that was not committed should be retried.
    pub fn into_results(self) -> impl Iterator<Item = Result<Registered>> {
        self.0.into_iter().map(|state| match state {
            State::Done(result) => result,
            State::Ready(_) => Err(Error::new(
                ErrorKind::Cancelled,
                "the file was not committed in time",
            )),
        })
    }

    /// Whether there are no files.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The files of some tables that are registered so far.
    pub fn of<'a>(&'a self, tables: &'a [Table]) -> impl Iterator<Item = &'a Registered> {
        self.0.iter().filter_map(|state| match state {
            State::Done(Ok(registered)) if tables.contains(&registered.table) => Some(registered),
            _ => None,
        })
    }
}

impl Pipeline {
    /// Checks files against their tables, which are created if missing. Nothing is committed yet.
    pub async fn prepare_files(&self, files: &[ParquetFile], timeout: Duration) -> Registration {
        let mut states = Vec::with_capacity(files.len());
        let deadline = deadline::after(timeout);
        for file in files {
            let prepared = tokio::time::timeout_at(deadline, self.prepare_file(file)).await;
            let state = prepared.unwrap_or_else(|_| {
                Err(Error::new(
                    ErrorKind::Cancelled,
                    "the time allowed ran out before the file was held against its table",
                ))
            });
            states.push(state.unwrap_or_else(|error| State::Done(Err(error.with("file", &file.location)))));
        }
        Registration(states)
    }

    /// Commits the files of some tables that are ready.
    pub async fn commit_files(&self, registration: &mut Registration, tables: &[Table], timeout: Duration) {
        let open = self.open.read().await;
        // During closing, the files stay as they are and are reported as not committed.
        if *open {
            self.commit_ready(registration, tables, deadline::after(timeout))
                .await;
        }
    }

    /// As [`Pipeline::commit_files`], for a caller that holds the pipeline open.
    pub(super) async fn commit_ready(
        &self,
        registration: &mut Registration,
        tables: &[Table],
        deadline: Instant,
    ) {
        let ready = registration.0.iter_mut().filter(|state| match state {
            State::Ready(ready) => tables.contains(&ready.registered.table),
            State::Done(_) => false,
        });
        let commits = ready.map(|state| async move {
            if let State::Ready(ready) = state {
                *state = State::Done(self.commit_file(ready, deadline).await);
            }
        });
        join_all(commits).await;
    }

    async fn prepare_file(&self, file: &ParquetFile) -> Result<State> {
        if let Some(table) = self.owner(&file.location).await {
            return Ok(own(file, table));
        }
        if !self.catalog.keeps_tables() {
            return Err(refused(
                "there is no catalog to register files in (catalog.type: none)",
            ));
        }
        if self.config.catalog.is_in_s3_tables() {
            return Err(refused(
                "a table in S3 Tables holds no files of other buckets, so that none can be registered; \
                 use another catalog, or send OTLP",
            ));
        }
        let table = register::table_of(key(&file.location), &file.footer, &self.config.tables)?;
        let destination = self.destination(table).await?;
        destination.refresh_if_stale().await?;
        if let Some(table) = self.known_owner(&file.location) {
            return Ok(own(file, table));
        }
        let described = self.describe_file(destination, file).await;
        let described =
            described.map_err(|error| error.with("table", destination.table().ident.to_string()))?;
        let registered = Registered {
            table,
            rows: described.record_count(),
            bytes: described.file_size_in_bytes(),
            already_there: false,
            in_receipt: false,
        };
        match destination
            .already_committed(&[file.content, file.place])
            .as_slice()
        {
            [true, ..] => {
                return Ok(State::Done(Ok(Registered {
                    already_there: true,
                    ..registered
                })));
            }
            [_, true] => {
                return Err(refused(
                    "the table holds an earlier content of this place already; \
                     files of a table must never be overwritten: write new ones under new names",
                ));
            }
            // A file without rows adds nothing.
            _ if registered.rows == 0 => return Ok(State::Done(Ok(registered))),
            _ => {}
        }
        let append = Append {
            partition_spec_id: destination.table().metadata.default_partition_spec_id(),
            files: vec![described],
            ids: IdRange::from_ids([file.content, file.place]),
            table_id: Some(destination.table().metadata.uuid()),
            request_bytes: 0,
        };
        Ok(State::Ready(Box::new(Ready { append, registered })))
    }

    /// Describes a file to its table. If readers need a name mapping for the file, the table gets one first.
    async fn describe_file(
        &self,
        destination: &Destination,
        file: &ParquetFile,
    ) -> Result<iceberg::spec::DataFile> {
        let describe = || register::describe(&destination.table().metadata, &file.location, &file.footer);
        let described = describe()?;
        let Some(mapping) = described.name_mapping else {
            return Ok(described.data_file);
        };
        if !self.config.tables.auto_evolve {
            return Err(refused(format!(
                "the file has no field ids, and the table has no property {NAME_MAPPING}, by which readers would find \
                 its columns; set it, or allow it with tables.auto_evolve"
            )));
        }
        destination.set_property(NAME_MAPPING, &mapping).await?;
        let described = describe()?;
        match described.name_mapping {
            None => Ok(described.data_file),
            Some(_) => Err(Error::new(
                ErrorKind::Catalog,
                format!("the catalog does not keep the table's property {NAME_MAPPING}"),
            )),
        }
    }

    async fn commit_file(&self, ready: &Ready, deadline: Instant) -> Result<Registered> {
        let destination = self.destination(ready.registered.table).await?;
        // The file belongs to its writer: it is never deleted here.
        let stored = destination.store(ready.append.clone(), deadline).await?;
        let (already_there, in_receipt) = match stored {
            Some(Stored::Committed(committed)) => (committed.already_there, false),
            // Without `written`, another call stored the receipt.
            Some(Stored::Receipt { written }) => (!written, written),
            None => (false, false),
        };
        Ok(Registered {
            already_there,
            in_receipt,
            ..ready.registered
        })
    }
}

/// The result for a file among the table's own files. The file's writer commits it.
fn own(file: &ParquetFile, table: Table) -> State {
    tracing::warn!(
        file = file.location,
        %table,
        "the file lies among the table's own files and is passed over; give objects that are to be loaded a bucket or \
         prefix of their own"
    );
    State::Done(Ok(Registered {
        table,
        rows: file.footer.rows(),
        bytes: file.footer.file_bytes,
        already_there: true,
        in_receipt: false,
    }))
}

/// The key in `s3://bucket/key`.
fn key(location: &str) -> &str {
    let path = location.split_once("://").map_or(location, |(_, path)| path);
    path.split_once('/').map_or("", |(_, key)| key)
}

fn refused(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::TableMismatch, why).class(RetryClass::Permanent)
}
