//! The merges of one commit: joins the files of each, then commits all joined files in one snapshot.
//!
//! Each snapshot costs every reader and each later commit something, and the manifests that list the replaced
//! files are written again for it. Flushes into many partitions would need a snapshot for each partition
//! otherwise. A joined file is in storage before the next merge begins, so memory holds only its manifest entry.

use std::collections::HashMap;

use futures::future::join_all;
use iceberg::spec::DataFile;

use super::Compacted;
use super::choice::Merge;
use super::known::Known;
use super::listing::{Listed, entries};
use super::unreadable;
use crate::catalog::LoadedTable;
use crate::commit::{Committer, Replacement};
use crate::error::{ErrorKind, Result};
use crate::write::{self, Columns, JoinOptions, Joined};

/// Maximum number of files whose manifest entries are in memory to be joined, some 10 KB each.
const ENTRIES_AT_ONCE: usize = 1_024;
/// Number of files deleted concurrently.
const DELETED_AT_ONCE: usize = 8;

/// Joins the files of each merge and commits the joined files together. Adds its counts to `done`, even if it
/// fails in the end.
///
/// The first failure to join ends it. What was joined before is committed nevertheless, except when compaction
/// was stopped: then there is no time for it, and the joined files are deleted.
///
/// # Errors
/// As [`entries`], [`write::join`] and [`Committer::replace`]. If the commit fails, nothing was merged.
pub(super) async fn merge(
    committer: &Committer,
    table: &LoadedTable,
    merges: Vec<Merge>,
    options: &JoinOptions<'_>,
    known: &mut Known,
    done: &mut Compacted,
) -> Result<()> {
    let mut batch = Batch::on(table);
    let joined = batch.join(merges, options, known).await;
    let is_stopped = joined
        .as_ref()
        .is_err_and(|error| error.kind() == ErrorKind::Cancelled);
    if is_stopped {
        batch.discard().await;
    } else if !batch.files.is_empty() {
        batch.commit(committer, known, done).await?;
    }
    joined
}

/// The files that were joined for a commit.
struct Batch<'a> {
    /// The table that their sources were chosen from.
    table: &'a LoadedTable,
    files: Vec<DataFile>,
    /// The sources, with the manifests that list them.
    replaced: Vec<(String, String)>,
    /// The columns of those new files for which they are known.
    columns: Vec<(String, Columns)>,
}

impl<'a> Batch<'a> {
    fn on(table: &'a LoadedTable) -> Self {
        Self {
            table,
            files: Vec::new(),
            replaced: Vec::new(),
            columns: Vec::new(),
        }
    }

    /// Joins the files of each merge, until one fails.
    async fn join(&mut self, merges: Vec<Merge>, options: &JoinOptions<'_>, known: &mut Known) -> Result<()> {
        let table = self.table;
        let failed = |cause| unreadable(table, cause);
        for group in in_groups(merges) {
            let files: Vec<&Listed> = group
                .iter()
                .flat_map(|merge| merge.files.iter().map(|file| &**file))
                .collect();
            let mut entries = entries(table, &files).await.map_err(failed)?;
            for merge in group {
                let sources = sources_of(&merge, &mut entries).map_err(failed)?;
                let join = match write::join(&table.metadata, &table.file_io, &sources, options).await {
                    Ok(join) => join,
                    Err(error) => {
                        known.exclude_broken(&merge, &error);
                        return Err(error.with("table", table.ident.to_string()));
                    }
                };
                known.learn(&merge, &join);
                if let Some(joined) = join.joined {
                    self.add(&merge, joined);
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, merge: &Merge, joined: Joined) {
        let taken = joined.taken.iter().filter_map(|place| merge.files.get(*place));
        self.replaced
            .extend(taken.map(|file| (file.path.clone(), file.manifest.to_string())));
        if let Some(columns) = joined.other_columns.or(merge.columns) {
            let path = joined.data_file.file_path().to_owned();
            self.columns.push((path, columns));
        }
        self.files.push(joined.data_file);
    }

    /// Commits the joined files in place of their sources. Deletes them if they are surely not in the table.
    async fn commit(self, committer: &Committer, known: &mut Known, done: &mut Compacted) -> Result<()> {
        let metadata = &self.table.metadata;
        let (table_id, chosen_at) = (metadata.uuid(), metadata.last_sequence_number());
        let paths = self.paths();
        let (made, replaced) = (self.files.len() as u64, self.replaced.len() as u64);
        let replacement = Replacement {
            files: self.files,
            partition_spec_id: metadata.default_partition_spec_id(),
            replaced: self.replaced,
            table_id,
            chosen_at,
        };
        let Err(error) = committer.replace(replacement).await else {
            tracing::debug!(table = %self.table.ident, made, replaced, "small files were merged");
            known.add_columns(self.columns);
            done.made += made;
            done.replaced += replaced;
            return Ok(());
        };
        // After any other error, the new files may be in the table, and the replaced files may be gone.
        let was_not_taken = matches!(
            error.kind(),
            ErrorKind::Catalog | ErrorKind::Storage | ErrorKind::TableMismatch
        );
        if was_not_taken && committer.surely_lacks(&paths, table_id, chosen_at).await {
            discard(self.table, &paths).await;
        }
        Err(error)
    }

    /// Deletes the joined files.
    async fn discard(self) {
        discard(self.table, &self.paths()).await;
    }

    fn paths(&self) -> Vec<String> {
        let paths = self.files.iter().map(|file| file.file_path().to_owned());
        paths.collect()
    }
}

/// Deletes new files that are not in the table, several at a time: closing waits for it only a few seconds.
async fn discard(table: &LoadedTable, paths: &[String]) {
    let mut parts = Vec::with_capacity(DELETED_AT_ONCE);
    for part in paths.chunks(paths.len().div_ceil(DELETED_AT_ONCE).max(1)) {
        parts.push(write::discard(&table.file_io, part));
    }
    join_all(parts).await;
}

/// Divides merges so that the manifest entries of each group's files fit into memory.
fn in_groups(merges: Vec<Merge>) -> Vec<Vec<Merge>> {
    let mut groups: Vec<Vec<Merge>> = Vec::new();
    let mut files = 0;
    for merge in merges {
        files += merge.files.len();
        match groups.last_mut() {
            Some(group) if files <= ENTRIES_AT_ONCE => group.push(merge),
            _ => {
                files = merge.files.len();
                groups.push(vec![merge]);
            }
        }
    }
    groups
}

/// The manifest entries of a merge's files, in the same order.
fn sources_of(merge: &Merge, entries: &mut HashMap<String, DataFile>) -> iceberg::Result<Vec<DataFile>> {
    let gone = || iceberg::Error::new(iceberg::ErrorKind::DataInvalid, "a manifest changed its files");
    let files = merge.files.iter();
    files
        .map(|file| entries.remove(&file.path).ok_or_else(gone))
        .collect()
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
