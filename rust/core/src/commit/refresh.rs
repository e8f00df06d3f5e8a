//! Loading the table again: before an attempt, and to find out why one failed.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::failure::asks_to_wait;
use super::protocol::Protocol;
use crate::catalog::LoadedTable;
use crate::error::{Error, ErrorKind, Result};

/// How long a loaded table stays usable for attempts, where the catalog does not compare all of the metadata.
const FRESH_FOR: Duration = Duration::from_secs(2);
/// How long a commit waits for an optional reload.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(2);

/// Which state of the table an attempt is based on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BaseState {
    /// The current state: the table was just loaded.
    Fresh,
    /// The last loaded state, which is recent enough or newer than what the catalog returns.
    Sufficient,
    /// The last loaded state, because the reload failed.
    Failed,
}

impl Protocol {
    /// Reloads the table before an attempt, if that is necessary or useful.
    ///
    /// # Errors
    /// When a necessary reload fails, or the catalog asks to wait or throttles us. `has_waited` says that it did
    /// the latter before in this commit.
    pub(super) async fn prepare_base(&mut self, deadline: Instant, has_waited: bool) -> Result<BaseState> {
        // Tagging a snapshot or setting a property does not move the main branch, and catalogs compare only
        // that. So expiry is planned on a freshly loaded table.
        if self.shared.is_stale() || self.expiring().is_some() {
            self.refresh().await?;
        } else if !self.may_be_outdated() {
            return Ok(BaseState::Sufficient);
        } else {
            match self.try_refresh(deadline).await {
                Ok(true) => {}
                Ok(false) => return Ok(BaseState::Sufficient),
                Err(error) if asks_to_wait(&error) || error.is_throttled() && !has_waited => {
                    return Err(error);
                }
                // If the catalog is down, the attempt fails too, and its error handling applies.
                Err(error) => {
                    tracing::debug!(%error, "the table is taken as it was last seen");
                    return Ok(BaseState::Failed);
                }
            }
        }
        Ok(BaseState::Fresh)
    }

    /// Whether another writer may have changed the table without making our commit conflict. A commit
    /// rewrites the main branch's reference, with the retention settings as last loaded. The response to our
    /// own commit does not count as a load: under steady load, the next commit would always fall within the
    /// time limit.
    fn may_be_outdated(&self) -> bool {
        let is_fresh = |loaded: Instant| loaded.elapsed() < FRESH_FOR;
        !self.catalog.compares_metadata() && !self.loaded.is_some_and(is_fresh)
    }

    /// Reloads the table. Attempts whose parent is no longer current can never land.
    pub(super) async fn refresh(&mut self) -> Result<()> {
        let ident = self.shared.view().table.ident.clone();
        let begun = Instant::now();
        let looked = self.catalog.ensure(&ident, self.spec.clone()).await;
        let was_failing = std::mem::replace(&mut self.load_failing, looked.is_err());
        match &looked {
            Err(error) if was_failing => {
                tracing::debug!(table = %ident, %error, "still cannot reload the table");
            }
            Err(error) => {
                tracing::warn!(table = %ident, %error, "cannot reload the table; further failures are logged at debug level");
            }
            Ok(_) if was_failing => {
                tracing::warn!(table = %ident, "the table can be reloaded again");
            }
            Ok(_) => {}
        }
        let table = looked?;
        self.set_loaded(table);
        self.loaded = Some(begun);
        Ok(())
    }

    /// Reloads the table to see changes that do not move the main branch. They do not justify a long wait.
    /// Returns false if the catalog returned an older copy than the last loaded one, as catalogs with lagging
    /// reads do.
    async fn try_refresh(&mut self, deadline: Instant) -> Result<bool> {
        let last = Arc::clone(&self.shared.view().table);
        let begun = Instant::now();
        let time = REFRESH_TIMEOUT.min(deadline.saturating_duration_since(begun) / 4);
        let load = tokio::time::timeout(time, self.catalog.load(&last.ident)).await;
        let table = load.unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Catalog,
                "the catalog is slow to load the table",
            ))
        })?;
        let (now, before) = (&table.metadata, &last.metadata);
        if now.uuid() == before.uuid() && now.last_sequence_number() < before.last_sequence_number() {
            return Ok(false);
        }
        self.set_loaded(table);
        self.loaded = Some(begun);
        Ok(true)
    }

    /// Whether this state of the table is behind the current one. A snapshot of another branch also counts:
    /// it takes the sequence number that the attempt's snapshot was to have.
    pub(super) async fn is_behind(&mut self, base: &LoadedTable) -> Result<bool> {
        self.refresh().await?;
        let now = &self.shared.view().table.metadata;
        let base = &base.metadata;
        Ok(now.uuid() == base.uuid()
            && (now.current_snapshot_id() != base.current_snapshot_id()
                || now.last_sequence_number() > base.last_sequence_number()))
    }

    /// Makes a loaded table the last loaded state.
    pub(super) fn set_loaded(&mut self, table: LoadedTable) {
        let last = Arc::clone(&self.shared.view().table);
        if table.metadata.uuid() != last.metadata.uuid() {
            // Nothing is known of the first table any more, so nothing of it is deleted.
            self.pending_cleanup.clear();
            tracing::warn!(
                table = %table.ident,
                old_location = last.metadata.location(),
                location = table.metadata.location(),
                "the table was renamed or dropped, and another one of its name is written from here on; receipts of the first one \
                 stay in its folder"
            );
        }
        self.unknown
            .looked(&table.metadata, self.config.dedup_window, Instant::now());
        self.shared.set(table, self.unknown.floor());
        // An attempt that can still land may have landed by the next load.
        self.shared.set_stale(self.unknown.is_open());
    }
}
