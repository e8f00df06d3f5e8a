//! Encodes a call's payload as files in memory, request by request when one of them is bad.

use std::time::Duration;

use tokio::time::Instant;

use super::admission::{Admission, Refusal};
use super::buffer_pool::CallBuffers;
use super::call::Call;
use super::table_files::{Encoding, Remainder, TableEncoding};
use super::tables::no_answer_in_time;
use super::work::Work;
use super::worker_thread::run_on_worker;
use super::{Pipeline, catch_panic};
use crate::convert::{self, BatchSink, ConvertOptions, Summary, TableBatch, ValueLimits};
use crate::error::{Error, ErrorKind, Result, RetryClass};
use crate::reason::Reason;
use crate::signal::Table;

/// How long a call waits for a reload when it could write files for the table as last loaded.
const LOOK_MAX: Duration = Duration::from_secs(2);

/// An encoded payload.
#[derive(Debug, Default)]
pub(super) struct Encoded<'a> {
    pub(super) summary: Summary,
    pub(super) tables: Vec<TableEncoding>,
    /// The results of the second conversion, for tables that hold some of the requests.
    pub(super) remainders: Vec<Remainder<'a>>,
}

/// Why a payload was not encoded.
#[derive(Debug)]
enum Failure {
    /// The payload's own fault, or a bug that it triggers: it fails every time.
    Payload(Reason, Error),
    /// Anything else.
    Other(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Decode => Failure::Payload(Reason::Malformed, error),
            _ => Failure::Other(error),
        }
    }
}

/// Discards all rows.
struct Discarded;

impl BatchSink for Discarded {
    fn batch(&mut self, _: &TableBatch) -> Result<()> {
        Ok(())
    }

    fn restart(&mut self) {}
}

impl Pipeline {
    /// Converts and encodes a payload for every table that it fills. Requests that are malformed, or that
    /// make the library panic, are refused; the other requests are stored.
    pub(super) async fn encode<'a>(&self, admission: &mut Admission<'a>, call: &Call) -> Result<Encoded<'a>> {
        let permit = call.wait(self.encoders.acquire()).await.ok_or_else(|| {
            let max = self.config.limits.parallel_calls_max;
            let message = format!(
                "other calls, limits.parallel_calls_max ({max}) at a time, were making files until this one's time ran out; send less, or give more CPUs"
            );
            Error::new(ErrorKind::Cancelled, message)
        })?;
        let _permit = permit.map_err(|cause| {
            Error::new(ErrorKind::Shutdown, "the exporter is shutting down").because(cause)
        })?;
        call.proceed()?;
        let mut memory = self.buffers.take();
        let encoded = self.encode_good(admission, &mut memory, call).await;
        self.buffers.give_back(memory);
        encoded
    }

    async fn encode_good<'a>(
        &self,
        admission: &mut Admission<'a>,
        memory: &mut CallBuffers,
        call: &Call,
    ) -> Result<Encoded<'a>> {
        loop {
            match self.encode_once(&admission.left(), memory, call).await {
                Ok(encoded) => return Ok(encoded),
                Err(Failure::Other(error)) => return Err(error),
                Err(Failure::Payload(reason, error)) => {
                    self.refuse_bad(admission, reason, error, memory, call).await?;
                }
            }
        }
    }

    async fn encode_once<'a>(
        &self,
        work: &Work<'a>,
        memory: &mut CallBuffers,
        call: &Call,
    ) -> Result<Encoded<'a>, Failure> {
        let options = self.convert_options(work);
        let CallBuffers { convert, write } = memory;
        let mut encoding = Encoding::new(&self.config, call, write);
        self.add_known(&mut encoding, work);
        let summary = loop {
            let converted = self.convert(work, &options, convert, &mut encoding);
            match (converted, encoding.take_missing()) {
                // Rows of a table that this process has not opened yet, or must reload: the conversion begins
                // again.
                (Err(Failure::Other(_)), Some(table)) => {
                    encoding.add(self.look_at(table, work, call).await);
                }
                (Err(failure), _) => return Err(failure),
                (Ok(summary), _) => break summary,
            }
        };
        // A batch that was merged again after a restart can contain requests that were stored before it.
        // Tables that hold some get only the others.
        let mut remainders = encoding.begin_remainders(work);
        for remainder in &mut remainders {
            encoding.only(remainder.table);
            let summary = self.convert(&remainder.work, &options, convert, &mut encoding)?;
            remainder.rejected_runs = summary.rejected_runs;
        }
        Ok(Encoded {
            summary,
            tables: encoding.into_tables(),
            remainders,
        })
    }

    /// Converts a payload. Without a dead-letter store, a panic propagates to the host: it ends the process,
    /// and a queue on disk keeps the payload.
    fn convert(
        &self,
        work: &Work<'_>,
        options: &ConvertOptions,
        memory: &mut convert::Memory,
        sink: &mut (dyn BatchSink + Send),
    ) -> Result<Summary, Failure> {
        let mut convert = || {
            run_on_worker(|| {
                #[cfg(test)]
                work.messages().for_each(super::tests::panic_at);
                convert::convert_all_into(work.signal, work.messages(), options, memory, sink)
            })
        };
        if self.dead_letters.is_none() {
            return Ok(convert()??);
        }
        match catch_panic::caught(convert) {
            Ok(converted) => Ok(converted??),
            Err(panic) => Err(Failure::Payload(Reason::Panic, panic)),
        }
    }

    /// Finds the requests that cause a failure and refuses them. If none of them fails by itself, refuses
    /// all.
    ///
    /// # Errors
    /// The failure itself when no request is left and refused ones are not kept. The host is responsible for
    /// them then.
    pub(super) async fn refuse_bad(
        &self,
        admission: &mut Admission<'_>,
        reason: Reason,
        error: Error,
        memory: &mut CallBuffers,
        call: &Call,
    ) -> Result<()> {
        let left = admission.left_indices();
        let mut bad = Vec::new();
        for &index in left.iter().filter(|_| left.len() > 1) {
            call.proceed()?;
            let only = admission.only(index);
            let tried = if reason == Reason::Malformed {
                // Malformed bytes are detected without encoding.
                let options = self.convert_options(&only);
                self.convert(&only, &options, &mut memory.convert, &mut Discarded)
                    .map(drop)
            } else {
                self.encode_once(&only, memory, call).await.map(drop)
            };
            match tried {
                Ok(()) => {}
                Err(Failure::Payload(reason, error)) => bad.push((index, refusal(reason, &error))),
                Err(Failure::Other(error)) => return Err(error),
            }
        }
        if bad.is_empty() {
            bad.extend(left.iter().map(|index| (*index, refusal(reason, &error))));
        }
        if bad.len() == left.len() && self.dead_letters.is_none() {
            return Err(error);
        }
        admission.refuse(bad);
        Ok(())
    }

    fn convert_options(&self, work: &Work<'_>) -> ConvertOptions {
        let limits = &self.config.limits;
        let or_none = |limit| if limit == 0 { usize::MAX } else { limit };
        ConvertOptions {
            arrival_time_unix_nano: work.received,
            column_bytes_max: limits.column_bytes_max,
            batch_bytes_max: limits.batch_bytes_max,
            values: ValueLimits {
                attributes_max: or_none(limits.attributes_max),
                text_bytes_max: or_none(limits.value_bytes_max),
                nesting_max: limits.nesting_max,
            },
        }
    }

    /// Adds the tables that need no catalog request, so that the payload is converted only once.
    pub(super) fn add_known(&self, encoding: &mut Encoding<'_>, work: &Work<'_>) {
        for table in work.signal.tables() {
            if let Some(destination) = self.destinations[*table as usize].get()
                && !destination.is_stale()
            {
                encoding.add(TableEncoding::new(*table, destination, &work.requests));
            }
        }
    }

    /// Loads the table and finds which of the requests it already holds. A table that cannot be written does
    /// not stop the others: its rows are skipped and its error is reported at the end.
    ///
    /// While the catalog is unavailable, the last loaded state of a table is used if only files are needed of
    /// the requests. The commit reloads the table anyway, and files in storage take no memory meanwhile.
    pub(super) async fn look_at(&self, table: Table, work: &Work<'_>, call: &Call) -> TableEncoding {
        let looked = async {
            let destination = self.destination(table).await?;
            destination.refresh_if_stale().await?;
            Ok(destination)
        };
        let seen_before = self.destinations[table as usize]
            .get()
            .filter(|_| work.releases_payload);
        let by = match seen_before {
            Some(_) => call.deadline().min(Instant::now() + LOOK_MAX),
            None => call.deadline(),
        };
        let looked = tokio::time::timeout_at(by, looked)
            .await
            .unwrap_or_else(|_| Err(no_answer_in_time(self.config.tables.name(table))));
        match (looked, seen_before) {
            (Ok(destination), _) => TableEncoding::new(table, destination, &work.requests),
            (Err(error), Some(destination)) if matches!(error.retry_class(), RetryClass::Retry { .. }) => {
                tracing::debug!(%table, %error, "files are made for the table as last seen");
                TableEncoding::unseen(table, destination, &work.requests, error)
            }
            (Err(error), _) => TableEncoding::failed(table, self.without_receipt(table, error)),
        }
    }
}

fn refusal(reason: Reason, error: &Error) -> Refusal {
    Refusal {
        reason,
        message: error.to_string(),
        records: 1,
    }
}
