//! Checks that a table's local folder is available. If a disk is not mounted, its mount point is an empty
//! folder, which accepts files. They would be written below the mount point, and be invisible once the disk
//! is mounted again.

use super::LoadedTable;
use crate::cause::IcebergCause;
use crate::config::on_s3;
use crate::error::{Error, ErrorKind, Result, RetryClass};
use crate::storage::in_one_storage;

impl LoadedTable {
    /// Checks that the table is visible before a file of it is written to `path`. One of the table's own
    /// files is enough, because other programs expire snapshots and delete old metadata.
    ///
    /// S3 is not checked: a bucket that does not exist accepts no files, and the check would cost a request
    /// per batch.
    ///
    /// # Errors
    /// `Storage`, to be retried, when storage shows none of the table's own files, or the check fails.
    pub(crate) async fn check_storage(&self, path: &str) -> Result<()> {
        if on_s3(path).is_some() {
            return Ok(());
        }
        let mut missing = None;
        for known in self.own_files().filter(|known| in_one_storage(known, path)) {
            let there = self.file_io.exists(known).await.map_err(|cause| {
                self.unseen("cannot look for the table's own files", known)
                    .because(IcebergCause(cause))
            })?;
            if there {
                return Ok(());
            }
            missing = Some(known);
        }
        let message = "storage does not show the table's own files, so nothing is written: mount their disk; if they \
                       were deleted, drop the table from the catalog";
        missing.map_or(Ok(()), |known| Err(self.unseen(message, known)))
    }

    fn unseen(&self, message: &str, known: &str) -> Error {
        Error::new(ErrorKind::Storage, message)
            .with("table", self.ident.to_string())
            .with("table's file", known)
            .class(RetryClass::Retry { after: None })
    }
}
