//! Whether a table's local folder is in sight. A disk that is not mounted leaves an empty folder, which takes files as the disk would:
//! they end below the mount point, and nobody sees them once the disk is back.

use super::{IcebergCause, LoadedTable};
use crate::config::on_s3;
use crate::error::{Error, ErrorKind, Result, RetryClass};
use crate::storage::in_one_storage;

impl LoadedTable {
    /// Looks for the table before something of it is written to `path`. One of its own files is enough: other programs expire snapshots and
    /// delete old metadata.
    ///
    /// On S3 nothing is asked: a bucket that is not there takes no files, and it would be a request for each batch.
    ///
    /// # Errors
    /// `Storage`, to be retried, when storage shows none of the table's own files, or does not say.
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
        let message = "storage does not show the table's own files, so nothing is written; is their disk mounted? \
                       Nothing is given up, it is tried again";
        missing.map_or(Ok(()), |known| Err(self.unseen(message, known)))
    }

    fn unseen(&self, message: &str, known: &str) -> Error {
        Error::new(ErrorKind::Storage, message)
            .with("table", self.ident.to_string())
            .with("table's file", known)
            .class(RetryClass::Retry { after: None })
    }
}
