//! Sets a table property once, before files that need it are added.

use iceberg::{TableRequirement, TableUpdate};
use tokio::time::{Duration, Instant};

use super::Committer;
use super::backoff::Backoff;
use super::retry_rules::RetryRules;
use crate::catalog::CommitOutcome;
use crate::error::{Error, ErrorKind, Result};

/// No attempt begins after this time.
const TIME_MAX: Duration = Duration::from_secs(30);

impl Committer {
    /// Sets a property that the table does not have. If another writer set it meanwhile, that value stays;
    /// [`Committer::table`] then shows it.
    ///
    /// # Errors
    /// As [`crate::catalog::Catalog::load`] and [`crate::catalog::Catalog::commit`].
    pub async fn set_property(&self, key: &str, value: &str) -> Result<()> {
        let mut protocol = self.protocol.lock().await;
        let rules = RetryRules::of(&protocol.config, &self.table().metadata);
        let mut backoff = Backoff::new(rules, Instant::now() + TIME_MAX);
        let mut failure = None;
        while backoff.allows_another().await {
            let begun = Instant::now();
            protocol.refresh().await?;
            let base = self.table();
            if base.metadata.properties().contains_key(key) {
                return Ok(());
            }
            let requirements = vec![TableRequirement::UuidMatch {
                uuid: base.metadata.uuid(),
            }];
            let updates = vec![TableUpdate::SetProperties {
                updates: [(key.to_owned(), value.to_owned())].into(),
            }];
            match protocol.catalog.commit(&base, requirements, updates).await {
                CommitOutcome::Committed(_) => {
                    tracing::info!(table = %base.ident, property = key, "a property of the table is set");
                    return protocol.refresh().await;
                }
                CommitOutcome::Refused {
                    conflict: false,
                    error,
                } => return Err(error),
                CommitOutcome::Refused { error, .. } => {
                    backoff.lost_race(begun.elapsed());
                    failure = Some(error);
                }
                // Setting a property is idempotent, so a reload resolves an unknown outcome.
                CommitOutcome::Unknown(error) => {
                    backoff.failed(error.retry_after());
                    failure = Some(error);
                }
            }
        }
        Err(failure
            .unwrap_or_else(|| Error::new(ErrorKind::Catalog, "a property of the table could not be set")))
    }
}
