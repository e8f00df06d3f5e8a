//! Compaction: merges small data files into few large ones, in the background of a host that writes tables.
//!
//! A commit every few seconds adds a file each time, to each partition that gets rows. A reader opens every
//! file, and planning lists them all. So files of a partition are merged ([`crate::write::join`]) once there are
//! enough of one size ([`choice`]). The merged files of many partitions replace them in one snapshot
//! ([`batch`], [`crate::commit::Committer::replace`]). Replaced files are deleted when the snapshots that have
//! them are expired, so only tables whose snapshots we expire are compacted.
//!
//! The reasons are in `docs/decisions/0028-compaction.md`.

mod backlog;
mod batch;
mod budget;
mod choice;
mod known;
mod listing;

use std::time::Duration;

use iceberg::spec::TableMetadata;
use tokio_util::sync::CancellationToken;

pub(crate) use self::backlog::Backlog;
pub use self::budget::Budget;
use self::choice::{Merge, Rules, choose};
use self::known::Known;
use self::listing::Listings;
use crate::catalog::LoadedTable;
use crate::clock::now_ms;
use crate::commit::{Committer, OddManifests};
use crate::config::{CompactionConfig, ParquetConfig};
use crate::error::{Error, ErrorKind, Result};
use crate::write::{self, JoinOptions};

/// What compaction did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Files created.
    pub made: u64,
    /// Files that they replaced.
    pub replaced: u64,
}

/// One table's compaction. Caches what is known of the table's files, so that manifests are read once.
#[derive(Debug, Default)]
pub struct Compactor {
    listings: Listings,
    known: Known,
}

impl Compactor {
    /// Merges files, the merges of many partitions in one commit, until nothing is left to do, the budget is used
    /// up, or `stop` is cancelled. Adds its counts to `done`, even if it fails in the end.
    ///
    /// Returns how many files are left that could have been merged with a larger budget.
    ///
    /// # Errors
    /// `Storage` or `Decode` when files cannot be read or written; `Cancelled` when `stop` ended a merge; as
    /// [`Committer::replace`]. What was committed before remains.
    pub async fn run(
        &mut self,
        committer: &Committer,
        (config, parquet): (&CompactionConfig, &ParquetConfig),
        mut budget: Budget,
        stop: &CancellationToken,
        done: &mut Compacted,
    ) -> Result<u64> {
        let proceed = || {
            if stop.is_cancelled() {
                Err(Error::new(ErrorKind::Cancelled, "compaction was stopped"))
            } else {
                Ok(())
            }
        };
        let options = JoinOptions {
            parquet,
            proceed: &proceed,
        };
        while !stop.is_cancelled() {
            let Some(age) = committer.snapshot_age_max() else {
                return Ok(0);
            };
            let table = committer.table();
            let odd = committer.odd_manifests();
            let merges = self.choose(&table, odd, (config, parquet), age).await?;
            let (now, later) = budget.take(merges);
            if now.is_empty() {
                return Ok(later.iter().map(|merge| merge.files.len() as u64).sum());
            }
            batch::merge(committer, &table, now, &options, &mut self.known, done).await?;
        }
        Ok(0)
    }

    /// All merges that are worthwhile now. `age` is how long the table keeps snapshots.
    async fn choose(
        &mut self,
        table: &LoadedTable,
        odd: &OddManifests,
        (config, parquet): (&CompactionConfig, &ParquetConfig),
        age: Duration,
    ) -> Result<Vec<Merge>> {
        let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let rules = Rules {
            target_bytes: write::target_file_bytes(parquet, &table.metadata)?,
            files_min: config.min_files,
            quiet_until: last_before(&table.metadata, now_ms().saturating_sub(age_ms)),
        };
        let files = self
            .listings
            .of(table, rules.large_bytes(), odd)
            .await
            .map_err(|cause| unreadable(table, cause))?;
        Ok(choose(&self.known.candidates(&files), rules))
    }
}

fn unreadable(table: &LoadedTable, cause: iceberg::Error) -> Error {
    table.storage_error("cannot read which files the table has", cause)
}

/// The sequence number of the last snapshot older than a point in time, as far as the history shows.
fn last_before(metadata: &TableMetadata, before_ms: i64) -> i64 {
    let of_old = metadata
        .snapshots()
        .filter(|snapshot| snapshot.timestamp_ms() < before_ms)
        .map(|snapshot| snapshot.sequence_number())
        .max();
    // Everything before the oldest snapshot in the metadata is older still.
    let oldest = metadata
        .snapshots()
        .map(|snapshot| snapshot.sequence_number())
        .min();
    of_old
        .or_else(|| oldest.map(|oldest| oldest - 1))
        .unwrap_or_default()
}
