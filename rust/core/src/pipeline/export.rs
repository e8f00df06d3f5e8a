//! A call, from its requests to snapshots: files are made and uploaded, then committed; what no table can take
//! becomes dead letters.

use std::time::Instant;

use futures::future::join;
use tokio::sync::OnceCell;

use super::admission::Admission;
use super::batch::Batch;
use super::call::Call;
use super::destination::Destination;
use super::encode_payload::Encoded;
use super::in_flight::Share;
use super::outcome::Outcome;
use super::prepared::{Prepared, PreparedTable};
use super::register::Registration;
use super::rejected_data::RejectedData;
use super::table_files::{Remainder, State, TableEncoding};
use super::work::Work;
use super::{Delivery, Export, Pipeline};
use crate::convert::Summary;
use crate::error::{Error, ErrorKind, Result, RetryClass};
use crate::reason::Reason;
use crate::signal::{Signal, Table};
use crate::write;

/// The source of a call's files, for the steps that still need it.
struct Origin<'w, 'p> {
    /// The requests that were not refused.
    work: Work<'w>,
    summary: Summary,
    remainders: Vec<Remainder<'w>>,
    /// The tables whose files could not be written.
    failures: Vec<(Table, Error)>,
    _share: Share<'p>,
}

impl Origin<'_, '_> {
    fn rejected_data(&self) -> RejectedData<'_> {
        RejectedData {
            work: &self.work,
            summary: &self.summary,
            remainders: &self.remainders,
        }
    }
}

impl Pipeline {
    /// Stores one payload.
    ///
    /// When it returns `Ok`, the rows are in snapshots. With `commit.on_failure: accept`, the outcome says
    /// how many are in receipts instead.
    ///
    /// # Errors
    /// See [`ErrorKind`]; the error's retry class says what to do. A payload for several tables may be in
    /// some of them when the call fails. The request ids prevent duplicates when it is sent again.
    pub async fn export(&self, export: Export<'_>) -> Result<Outcome> {
        self.export_with(export, &mut Registration::default()).await
    }

    /// As [`Pipeline::export`], and adds files of the same signal's tables in the same snapshots. The files
    /// are committed even if the payload fails, unless the time runs out.
    ///
    /// # Errors
    /// As [`Pipeline::export`], for the payload only.
    pub async fn export_with(&self, export: Export<'_>, files: &mut Registration) -> Result<Outcome> {
        let (tables, timeout, begun) = (export.signal.tables(), export.timeout, Instant::now());
        let result = self.export_inner(export, files).await;
        // Commits files that the payload's call left uncommitted; usually none.
        self.commit_files(files, tables, timeout.saturating_sub(begun.elapsed()))
            .await;
        result
    }

    async fn export_inner(&self, export: Export<'_>, files: &mut Registration) -> Result<Outcome> {
        let _open = self.enter().await?;
        let work = Work::of(&export)?;
        let call = Call::new(&export.cancel, export.timeout)?;
        let (prepared, origin) = self.prepare(&work, &call).await?;
        self.finish(prepared, origin, files, &call).await
    }

    /// Stores a batch, as [`Pipeline::export`] stores a payload. After a retryable error, export it again on
    /// the same pipeline.
    ///
    /// Once its rows are in durable files, the batch releases the requests' bytes, unless they may still be
    /// needed. They are needed for dead letters, for a table whose files could not be written, or if requests
    /// were in another batch before. If the batch is exported again, its existing files are committed.
    ///
    /// # Errors
    /// As [`Pipeline::export`]; `TableMismatch` (permanent), naming the files, when the bytes were released
    /// and the table is no longer the one that the files were written for, or the files were deleted.
    pub async fn export_batch(&self, batch: &mut Batch, delivery: Delivery) -> Result<Outcome> {
        let _open = self.enter().await?;
        let call = Call::new(&delivery.cancel, delivery.timeout)?;
        if let Some(prepared) = batch.prepared() {
            return self.commit_prepared(prepared, true, &call).await;
        }
        let mut work = batch.work(delivery.received_unix_nano)?;
        work.releases_payload = self.dead_letters.is_none() && batch.is_first();
        let (prepared, origin) = self.prepare(&work, &call).await?;
        if !work.releases_payload || !origin.failures.is_empty() {
            let files = &mut Registration::default();
            return self.finish(prepared, origin, files, &call).await;
        }
        drop(origin);
        drop(work);
        self.commit_prepared(batch.release_payload(prepared), false, &call)
            .await
    }

    /// All steps up to files in storage.
    async fn prepare<'w>(&self, work: &'w Work<'_>, call: &Call) -> Result<(Prepared, Origin<'w, '_>)> {
        let mut admission = Admission::new(work);
        admission.refuse_large(&self.config.limits, self.dead_letters.is_some())?;
        let request_bytes = work.bytes();
        let share = self.in_flight.enter(request_bytes, call).await?;
        admission.refuse_long(&self.config.limits);
        let Encoded {
            summary,
            tables,
            remainders,
        } = self.encode(&mut admission, call).await?;
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
        let mut origin = Origin {
            work: admission.left(),
            summary,
            remainders,
            failures: Vec::new(),
            _share: share,
        };
        // Before any commit: the dead letters of a request that is in a table must already be stored.
        if let Some(store) = &self.dead_letters {
            let collected = origin
                .rejected_data()
                .of_rejected(store, &tables, admission.refused())?;
            outcome.keep(store, store.write(collected, call).await?);
        }
        let mut prepared = Prepared {
            pipeline: self.id,
            signal: work.signal,
            outcome,
            tables: Vec::with_capacity(tables.len()),
        };
        for encoding in tables {
            let table = encoding.table;
            match self.upload(encoding, request_bytes, call).await {
                Ok(Some(files)) => prepared.tables.push(files),
                Ok(None) => {}
                Err(error) => origin.failures.push((table, error)),
            }
        }
        Ok((prepared, origin))
    }

    /// Commits the prepared files and the registered ones, while the requests are still in memory.
    async fn finish(
        &self,
        mut prepared: Prepared,
        mut origin: Origin<'_, '_>,
        files: &mut Registration,
        call: &Call,
    ) -> Result<Outcome> {
        call.proceed()?;
        let mut failures = std::mem::take(&mut origin.failures);
        let files = self.commit_ready(files, prepared.signal.tables(), call.deadline());
        let (failed, ()) = join(self.commit(&mut prepared, false, call), files).await;
        failures.extend(failed);
        self.dead_letter_failed_tables(&origin.rejected_data(), failures, &mut prepared.outcome, call)
            .await?;
        Ok(self.with_background_counts(prepared.signal, prepared.outcome))
    }

    /// Commits prepared files whose requests were released. `again` means that an earlier call did not
    /// finish.
    async fn commit_prepared(&self, prepared: &mut Prepared, again: bool, call: &Call) -> Result<Outcome> {
        if prepared.pipeline != self.id {
            let message = "the batch was exported on another handle before";
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        call.proceed()?;
        let failures = self.commit(prepared, again, call).await;
        match prefer_retryable(failures.into_iter().map(|(_, error)| error)) {
            Some(error) => Err(error),
            None => Ok(self.with_background_counts(prepared.signal, prepared.outcome.clone())),
        }
    }

    /// The outcome of a successful call, with the counts of background work added.
    fn with_background_counts(&self, signal: Signal, mut outcome: Outcome) -> Outcome {
        // Those of any table: one that gets no rows has nobody else to tell.
        let destinations = self.destinations.iter().filter_map(OnceCell::get);
        outcome.receipts_committed = destinations.map(Destination::take_receipts_committed).sum();
        outcome.merges = self.compaction.take(signal.tables());
        outcome
    }

    /// Stores the rows of tables that can never take them as dead letters, if no other failure remains.
    ///
    /// # Errors
    /// The tables' failure, when a retry may help or dead letters are not kept.
    async fn dead_letter_failed_tables(
        &self,
        rejected: &RejectedData<'_>,
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
                    let collected = rejected.of_table(store, table, &name, &error)?;
                    let kept = store.write(collected, call).await?;
                    outcome.reject(Reason::Table, kept.records, &error.to_string());
                    outcome.keep(store, kept);
                }
                Ok(())
            }
            _ => match prefer_retryable(failures.into_iter().map(|(_, error)| error)) {
                Some(error) => Err(error),
                None => Ok(()),
            },
        }
    }

    fn warn_of_left_out(&self, encoding: &TableEncoding) {
        let tables = &self.config.tables;
        let name = tables.name(encoding.table);
        self.warned
            .warn_once(encoding.table, name, &encoding.left_out, tables.auto_evolve);
    }

    /// Uploads a table's files. `None` when there is nothing to add.
    async fn upload(
        &self,
        mut encoding: TableEncoding,
        request_bytes: usize,
        call: &Call,
    ) -> Result<Option<PreparedTable>> {
        let files = encoding.finish(&self.config, call)?;
        let loaded = match encoding.state {
            State::Writing { loaded, .. } => loaded,
            State::Done => return Ok(None),
            State::Failed(error) => {
                if error.kind() == ErrorKind::TableMismatch
                    && let Some(destination) = self.destinations[encoding.table as usize].get()
                {
                    destination.mark_stale();
                }
                return Err(encoding.not_seen.unwrap_or(error));
            }
        };
        let Some(first) = files.first() else {
            return Ok(None);
        };
        self.check_storage(encoding.table, first.data_file.file_path())
            .await?;
        let files = write::upload(&loaded.file_io, files, &|| call.proceed())
            .await
            .map_err(|error| error.with("table", loaded.ident.to_string()))?;
        Ok(Some(PreparedTable::new(
            encoding.table,
            &loaded.metadata,
            files,
            encoding.ids,
            request_bytes,
        )))
    }
}

/// The error to report for a call. Prefers a retryable error to a permanent one, so that tables that may
/// still take their rows are retried.
fn prefer_retryable(mut failures: impl Iterator<Item = Error>) -> Option<Error> {
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
