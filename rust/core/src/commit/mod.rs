//! Data files to snapshots: one committer per table that folds whatever has finished into the next one.

use std::sync::Arc;
use std::time::Instant;

use iceberg::TableIdent;
use iceberg::spec::DataFile;

use crate::catalog::{Catalog, LoadedTable, TableSpec};
use crate::config::CommitConfig;
use crate::error::Result;
use crate::request::{IdRange, RequestId};

/// Files to add, and the requests whose rows they hold.
#[derive(Debug, Clone)]
pub struct Append {
    /// The files of one or more [`crate::write::Written`].
    pub files: Vec<DataFile>,
    /// The requests, folded.
    pub ids: Vec<IdRange>,
}

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The snapshot that holds it.
    pub snapshot_id: i64,
    /// How many attempts the catalog saw for it.
    pub attempts: u32,
    /// How many appends went into the same snapshot, this one included.
    pub folded: u32,
    /// Whether the ids were found in the table already, so that nothing was added.
    pub already_there: bool,
}

/// The one committer of a table in this process.
#[derive(Debug)]
pub struct Committer {}

impl Committer {
    /// Opens the table (made if missing and `spec` is given).
    ///
    /// # Errors
    /// As [`Catalog::ensure`].
    pub async fn open(
        _catalog: Arc<dyn Catalog>,
        _ident: TableIdent,
        _spec: Option<TableSpec>,
        _config: CommitConfig,
    ) -> Result<Self> {
        todo!()
    }

    /// The table as last seen.
    pub fn table(&self) -> Arc<LoadedTable> {
        todo!()
    }

    /// Which of these requests the table's recent ancestry holds already, as last seen.
    pub fn already_committed(&self, _ids: &[RequestId]) -> Vec<bool> {
        todo!()
    }

    /// Adds files. Appends that arrive while a commit is in flight go out together in the next one.
    /// Dropping the future does not stop a commit that was begun.
    ///
    /// # Errors
    /// `Catalog` (refused for good, files may be deleted), `CommitUnknown` (retry; files stay),
    /// `Cancelled` when `deadline` passed before the commit was begun.
    pub async fn append(&self, _append: Append, _deadline: Instant) -> Result<Committed> {
        todo!()
    }
}
