//! `commit.on_failure: accept`: stores a receipt instead of failing.

use std::time::Duration;

use iceberg::spec::DataFile;
use tokio::time::Instant;

use super::ids::Coverage;
use super::receipts::Kept;
use super::{Append, Committed, Committer, receipt_committer, recognition};
use crate::error::{Error, ErrorKind, Result, RetryClass};

/// How an append was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It is in the table.
    Committed(Committed),
    /// The catalog did not commit it. A receipt is stored and will be committed later.
    Receipt {
        /// Whether this call wrote the receipt. Otherwise another call had written it.
        written: bool,
    },
}

/// Time reserved for writing a receipt, out of a call's remaining time; at most a quarter of that.
const RECEIPT_TIME: Duration = Duration::from_secs(10);

impl Committer {
    /// Adds files as [`Committer::append`] does, or stores a receipt for them.
    ///
    /// With `commit.on_failure: accept`, files get a receipt if the catalog does not commit them for a
    /// transient reason. While the catalog is known to be down, they get it at once.
    ///
    /// # Errors
    /// As [`Committer::append`]; `Storage` when the receipt cannot be written either.
    pub async fn store(&self, append: Append, deadline: Instant) -> Result<Stored> {
        match self.receipts.coverage(&append.ids) {
            Coverage::None => {}
            Coverage::Full => return Ok(Stored::Receipt { written: false }),
            Coverage::Partial => {
                let error = Error::new(ErrorKind::Catalog, recognition::PARTLY_STORED);
                return Err(error.with("table", self.table().ident.to_string()));
            }
        }
        if !self.receipts.accept || append.ids.is_empty() {
            return self.append(append, deadline).await.map(Stored::Committed);
        }
        if self.receipts.is_catalog_down() {
            return self.keep(&append, None).await;
        }
        let now = Instant::now();
        let reserved = RECEIPT_TIME.min(deadline.saturating_duration_since(now) / 4);
        let deadline = deadline.checked_sub(reserved).unwrap_or(deadline);
        match self.append(append.clone(), deadline).await {
            Ok(committed) => Ok(Stored::Committed(committed)),
            Err(error) if may_pass(&error) => self.keep(&append, Some(error)).await,
            Err(error) => Err(error),
        }
    }

    /// Stores a receipt. `cause` is why the catalog did not commit the files, if it was asked.
    async fn keep(&self, append: &Append, cause: Option<Error>) -> Result<Stored> {
        let table = self.table().ident.to_string();
        let rows: u64 = append.files.iter().map(DataFile::record_count).sum();
        let cause = cause.map_or_else(
            || "it did not commit lately".to_owned(),
            |cause| cause.to_string(),
        );
        match self.receipts.keep(append).await {
            Ok(Kept::Receipt) => {
                tracing::warn!(
                    table,
                    rows,
                    cause,
                    "the catalog does not commit: the rows are stored with a receipt, to be committed later"
                );
                Ok(Stored::Receipt { written: true })
            }
            Ok(Kept::AlreadyThere) => Ok(Stored::Committed(Committed {
                snapshot_id: self.table().metadata.current_snapshot_id().unwrap_or(0),
                attempts: 0,
                folded: 0,
                already_there: true,
            })),
            Err(error) => {
                tracing::warn!(table, cause, "the catalog does not commit");
                Err(error)
            }
        }
    }

    /// Commits receipts now: the known ones, and those found if a listing is due. A task of the committer
    /// also does this in the background.
    ///
    /// # Errors
    /// When receipts cannot be listed, or the catalog does not commit them.
    pub async fn collect_receipts(&self) -> Result<()> {
        receipt_committer::collect(&self.receipts, &self.protocol, true).await
    }

    /// Returns the number of receipts committed since the last call.
    #[must_use]
    pub(crate) fn take_receipts_committed(&self) -> u64 {
        self.receipts.take_committed()
    }
}

/// Whether a failure is transient, so that a receipt is worth storing. Bugs get no receipt.
fn may_pass(error: &Error) -> bool {
    matches!(error.retry_class(), RetryClass::Retry { .. }) && error.kind() != ErrorKind::Internal
}
