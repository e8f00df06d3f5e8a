//! The destination of a table's files: the table's snapshots, or without a catalog, only storage.

use std::sync::Arc;

use tokio::time::Instant;

use crate::catalog::LoadedTable;
use crate::commit::{Append, Committer, Stored};
use crate::error::{Error, ErrorKind, Result};
use crate::request::{IdRange, RequestId};

/// One table's destination.
#[derive(Debug)]
pub(super) enum Destination {
    /// Files are committed.
    Table(Committer),
    /// Only files are written; the same request writes the same files.
    Files(Arc<LoadedTable>),
}

impl Destination {
    /// The table as last loaded.
    pub(super) fn table(&self) -> Arc<LoadedTable> {
        match self {
            Destination::Table(committer) => committer.table(),
            Destination::Files(table) => Arc::clone(table),
        }
    }

    /// As [`Committer::is_stale`].
    pub(super) fn is_stale(&self) -> bool {
        self.committer().is_some_and(Committer::is_stale)
    }

    /// As [`Committer::refresh_if_stale`].
    pub(super) async fn refresh_if_stale(&self) -> Result<()> {
        match self.committer() {
            Some(committer) => committer.refresh_if_stale().await,
            None => Ok(()),
        }
    }

    /// As [`Committer::mark_stale`].
    pub(super) fn mark_stale(&self) {
        if let Some(committer) = self.committer() {
            committer.mark_stale();
        }
    }

    /// As [`Committer::already_committed`]; always false without a catalog.
    pub(super) fn already_committed(&self, ids: &[RequestId]) -> Vec<bool> {
        match self.committer() {
            Some(committer) => committer.already_committed(ids),
            None => vec![false; ids.len()],
        }
    }

    /// As [`Committer::is_committed`]; always false without a catalog.
    pub(super) fn is_committed(&self, ids: &[IdRange]) -> bool {
        self.committer()
            .is_some_and(|committer| committer.is_committed(ids))
    }

    /// As [`Committer::store`]; `None` without a catalog.
    pub(super) async fn store(&self, append: Append, deadline: Instant) -> Result<Option<Stored>> {
        match self.committer() {
            Some(committer) => committer.store(append, deadline).await.map(Some),
            None => Ok(None),
        }
    }

    /// As [`Committer::set_property`].
    pub(super) async fn set_property(&self, key: &str, value: &str) -> Result<()> {
        match self.committer() {
            Some(committer) => committer.set_property(key, value).await,
            None => Err(Error::new(
                ErrorKind::Internal,
                "there is no table to give a property",
            )),
        }
    }

    /// As [`Committer::collect_receipts`].
    pub(super) async fn collect_receipts(&self) -> Result<()> {
        match self.committer() {
            Some(committer) => committer.collect_receipts().await,
            None => Ok(()),
        }
    }

    /// As [`Committer::take_receipts_committed`].
    pub(super) fn take_receipts_committed(&self) -> u64 {
        self.committer().map_or(0, Committer::take_receipts_committed)
    }

    /// As [`Committer::begin_shutdown`].
    pub(super) fn begin_shutdown(&self) {
        if let Some(committer) = self.committer() {
            committer.begin_shutdown();
        }
    }

    /// As [`Committer::close`].
    pub(super) async fn close(&self) {
        if let Some(committer) = self.committer() {
            committer.close().await;
        }
    }

    /// The table's committer; `None` without a catalog.
    pub(super) fn committer(&self) -> Option<&Committer> {
        match self {
            Destination::Table(committer) => Some(committer),
            Destination::Files(_) => None,
        }
    }
}
