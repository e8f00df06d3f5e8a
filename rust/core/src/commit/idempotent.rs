//! Commits of changes that may be made any number of times, such as a property or a column.
//!
//! Each attempt begins with the table as it is then. So whatever became of the attempt before, a reload shows
//! whether the change is still to be made.

use std::time::Duration;

use iceberg::spec::TableMetadata;
use iceberg::{TableRequirement, TableUpdate};
use tokio::time::Instant;

use super::backoff::Backoff;
use super::failure::asks_to_wait;
use super::retry_rules::RetryRules;
use crate::catalog::{Catalog, CommitOutcome, LoadedTable};
use crate::config::CommitConfig;
use crate::error::{Error, Result};

/// No attempt begins after this time.
const TIME_MAX: Duration = Duration::from_secs(30);

/// The attempts to make one such change.
pub(super) struct IdempotentCommit {
    backoff: Backoff,
    /// When the current attempt began, with the reload of the table.
    begun: Instant,
}

/// What became of an attempt.
pub(super) enum Attempted {
    /// It was committed. Contains the table after it.
    Committed(LoadedTable),
    /// It was refused, and another one would be, too.
    Refused(Error),
    /// Reload the table. If the change is still to be made, make the next attempt.
    Again,
}

impl IdempotentCommit {
    /// For a change that begins now, by the table's rules for retries.
    pub(super) fn new(config: &CommitConfig, metadata: &TableMetadata) -> Self {
        let begun = Instant::now();
        Self {
            backoff: Backoff::new(RetryRules::of(config, metadata), begun + TIME_MAX),
            begun,
        }
    }

    /// Makes one attempt on the table as just loaded. If another one may succeed, waits until it is due.
    ///
    /// # Errors
    /// The catalog's, when it asks for a wait, which is left to the host, or when retries or time are used up.
    pub(super) async fn attempt(
        &mut self,
        catalog: &dyn Catalog,
        base: &LoadedTable,
        requirements: Vec<TableRequirement>,
        updates: Vec<TableUpdate>,
    ) -> Result<Attempted> {
        let error = match catalog.commit(base, requirements, updates).await {
            CommitOutcome::Committed(table) => return Ok(Attempted::Committed(table)),
            CommitOutcome::Refused {
                conflict: true,
                error,
            } => {
                self.backoff.lost_race(self.begun.elapsed());
                error
            }
            CommitOutcome::Refused { error, .. } if !error.is_throttled() => {
                return Ok(Attempted::Refused(error));
            }
            CommitOutcome::Refused { error, .. } if asks_to_wait(&error) => return Err(error),
            CommitOutcome::Refused { error, .. } => {
                self.backoff.failed(None);
                error
            }
            CommitOutcome::Unknown(error) => {
                self.backoff.failed(error.retry_after());
                error
            }
        };
        if !self.backoff.allows_another().await {
            return Err(error);
        }
        self.begun = Instant::now();
        Ok(Attempted::Again)
    }
}
