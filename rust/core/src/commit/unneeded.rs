//! Deletes files of commits that nothing needs.

use futures::future::join_all;

use crate::catalog::LoadedTable;

/// Maximum number of files that are deleted concurrently.
const AT_ONCE: usize = 16;

/// Deletes unneeded files, several at a time: other commits of the table wait for it.
pub(super) async fn delete(table: &LoadedTable, paths: Vec<String>) {
    for some in paths.chunks(AT_ONCE) {
        let deletions = some.iter().map(|path| async move {
            if let Err(cause) = table.file_io.delete(path).await {
                tracing::warn!(path, %cause, "cannot delete a file that is not needed");
            }
        });
        join_all(deletions).await;
    }
}
