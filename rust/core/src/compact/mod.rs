//! Compaction: merges small data files into few large ones, in the background of a host that writes tables.
//!
//! A commit every few seconds adds a file each time. A reader opens every file, and planning lists them all.
//! So files of a partition are merged ([`crate::write::join`]) once there are enough of one size
//! ([`choice`]). The merged file replaces them in a snapshot of its own
//! ([`crate::commit::Committer::replace`]). Replaced files are deleted when the snapshots that have them are
//! expired, so only tables whose snapshots we expire are compacted.
//!
//! The reasons are in `docs/decisions/0028-compaction.md`.

mod choice;
mod listing;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use iceberg::spec::TableMetadata;
use tokio_util::sync::CancellationToken;

use self::choice::{Rules, choose};
use self::listing::{Listed, Listings, entries};
use crate::catalog::LoadedTable;
use crate::clock::now_ms;
use crate::commit::{Committer, OddManifests, Replacement};
use crate::config::{CompactionConfig, ParquetConfig};
use crate::error::{Error, ErrorKind, Result};
use crate::write::{self, Columns, Join, JoinOptions, Joined};

/// What compaction did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Files created.
    pub made: u64,
    /// Files that they replaced.
    pub replaced: u64,
}

/// One table's compaction. Caches what is known of the table's files, so that manifests are read once.
#[derive(Debug, Default)]
pub struct Compactor {
    listings: Listings,
    /// Files that cannot be merged with others: other programs wrote them, or they cannot be read.
    excluded: HashSet<String>,
    /// Files that storage did not return once: archived, forbidden or deleted ones, or after an outage any.
    unread: HashSet<String>,
    /// Files that can only be merged with files of the same columns: mostly those from before the table got a
    /// column.
    columns: HashMap<String, Columns>,
}

impl Compactor {
    /// Merges files, one merge at a time, until nothing is left to do, `merges_max` is reached, or `stop` is
    /// cancelled. Adds its counts to `done`, even if it fails in the end.
    ///
    /// # Errors
    /// `Storage` when files cannot be read or written; as [`Committer::replace`]. Earlier merges remain.
    pub async fn run(
        &mut self,
        committer: &Committer,
        (config, parquet): (&CompactionConfig, &ParquetConfig),
        merges_max: u64,
        stop: &CancellationToken,
        done: &mut Compacted,
    ) -> Result<()> {
        let made_max = done.made.saturating_add(merges_max);
        while done.made < made_max && !stop.is_cancelled() {
            let replaced = self.merge(committer, (config, parquet), stop).await?;
            match replaced {
                None => break,
                Some(0) => {}
                Some(replaced) => {
                    done.made += 1;
                    done.replaced += replaced;
                }
            }
        }
        Ok(())
    }

    /// Performs one merge. Returns how many files were replaced; `None` if there is nothing to do.
    async fn merge(
        &mut self,
        committer: &Committer,
        (config, parquet): (&CompactionConfig, &ParquetConfig),
        stop: &CancellationToken,
    ) -> Result<Option<u64>> {
        let Some(age) = committer.snapshot_age_max() else {
            return Ok(None);
        };
        let table = committer.table();
        let odd = committer.odd_manifests();
        let Some(chosen) = self.choose(&table, odd, (config, parquet), age).await? else {
            return Ok(None);
        };
        let sources = entries(&table, &chosen)
            .await
            .map_err(|cause| unreadable(&table, cause))?;
        let stopped = || Error::new(ErrorKind::Cancelled, "compaction was stopped");
        let options = JoinOptions {
            parquet,
            proceed: &|| {
                if stop.is_cancelled() {
                    Err(stopped())
                } else {
                    Ok(())
                }
            },
        };
        let join = match write::join(&table.metadata, &table.file_io, &sources, &options).await {
            Ok(join) => join,
            Err(error) => {
                self.exclude_broken(chosen, &error);
                return Err(error.with("table", table.ident.to_string()));
            }
        };
        let of_all = chosen.first().and_then(|file| file.columns);
        let taken = join.joined.as_ref().map_or(&[][..], |joined| &joined.taken);
        let (taken, left): (Vec<_>, Vec<_>) = chosen
            .into_iter()
            .enumerate()
            .partition(|(number, _)| taken.contains(number));
        self.exclude(left, &join);
        let Some(joined) = join.joined else {
            return Ok(Some(0));
        };
        let taken = taken.into_iter().map(|(_, file)| file);
        let columns = joined.other_columns.or(of_all);
        self.replace(committer, &table, joined, taken, columns)
            .await
            .map(Some)
    }

    /// The files of the next merge; `None` if there are none. `age` is how long the table keeps snapshots.
    async fn choose(
        &mut self,
        table: &LoadedTable,
        odd: &OddManifests,
        (config, parquet): (&CompactionConfig, &ParquetConfig),
        age: Duration,
    ) -> Result<Option<Vec<Listed>>> {
        let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let rules = Rules {
            target_bytes: write::target_file_bytes(parquet, &table.metadata)?,
            files_min: config.min_files,
            quiet_until: last_before(&table.metadata, now_ms().saturating_sub(age_ms)),
        };
        let files = self
            .listings
            .of(table, rules.large_bytes(), odd)
            .await
            .map_err(|cause| unreadable(table, cause))?;
        let files = self.alone(files);
        Ok(choose(&files, rules))
    }

    /// Commits the joined file in place of those `taken`. Returns how many these are. `columns` are the joined
    /// file's, if known.
    async fn replace(
        &mut self,
        committer: &Committer,
        table: &LoadedTable,
        joined: Joined,
        taken: impl Iterator<Item = Listed>,
        columns: Option<Columns>,
    ) -> Result<u64> {
        let replaced: Vec<(String, String)> =
            taken.map(|file| (file.path, file.manifest.to_string())).collect();
        let count = replaced.len() as u64;
        let path = joined.data_file.file_path().to_owned();
        let (table_id, chosen_at) = (table.metadata.uuid(), table.metadata.last_sequence_number());
        let replacement = Replacement {
            file: joined.data_file,
            partition_spec_id: table.metadata.default_partition_spec_id(),
            replaced,
            table_id,
            chosen_at,
        };
        let Err(error) = committer.replace(replacement).await else {
            tracing::debug!(table = %table.ident, path, replaced = count, "small files were made one");
            self.columns.extend(columns.map(|columns| (path, columns)));
            return Ok(count);
        };
        // After any other error, the new file may be in the table, and the replaced files may be gone.
        let was_not_taken = matches!(
            error.kind(),
            ErrorKind::Catalog | ErrorKind::Storage | ErrorKind::TableMismatch
        );
        if was_not_taken && committer.surely_lacks(&path, table_id, chosen_at).await {
            write::discard(&table.file_io, &[path]).await;
        }
        Err(error)
    }

    /// Excludes chosen files of which one cannot be read by anybody, or not be joined by us, so that it does
    /// not block the table's other files. If the error does not name the file, all chosen ones are excluded.
    ///
    /// A file that storage does not return is excluded at the second failure, and only if the error names it.
    /// So an outage costs at most one file in two rounds.
    fn exclude_broken(&mut self, chosen: Vec<Listed>, error: &Error) {
        let named = error.context("path");
        let named = named.filter(|path| chosen.iter().any(|file| file.path == *path));
        let is_broken = match (error.kind(), named) {
            (ErrorKind::Decode | ErrorKind::Internal, _) => true,
            (ErrorKind::Storage, Some(path)) => !self.unread.insert(path.to_owned()),
            _ => false,
        };
        if !is_broken {
            return;
        }
        let broken = chosen
            .into_iter()
            .map(|file| file.path)
            .filter(|path| named.is_none_or(|named| named == path));
        self.excluded.extend(broken);
    }

    /// Prevents chosen files that were not joined from being chosen with the same files again.
    fn exclude(&mut self, left: Vec<(usize, Listed)>, join: &Join) {
        // Otherwise the same files would be chosen again without being joined.
        let mut is_stuck = join.joined.is_none() && join.unfit.is_empty();
        for (number, file) in &left {
            let others = join.other_columns.iter().find(|(place, _)| place == number);
            if let Some((_, columns)) = others {
                is_stuck &= file.columns == Some(*columns);
                self.columns.insert(file.path.clone(), *columns);
            }
        }
        let unfit = left
            .into_iter()
            .filter(|(number, _)| is_stuck || join.unfit.contains(number));
        self.excluded.extend(unfit.map(|(_, file)| file.path));
    }

    /// The files that may be merged: those that are listed only once. A request that was sent again after it
    /// left the deduplication window is in the table twice, with one file. It would be unclear which of the
    /// two entries a snapshot removes.
    fn alone(&mut self, files: Vec<Listed>) -> Vec<Listed> {
        let mut listed: HashMap<String, u32> = HashMap::new();
        for file in &files {
            *listed.entry(file.path.clone()).or_default() += 1;
        }
        self.excluded.retain(|path| listed.contains_key(path));
        self.unread.retain(|path| listed.contains_key(path));
        self.columns.retain(|path, _| listed.contains_key(path));
        files
            .into_iter()
            .filter(|file| listed.get(&file.path) == Some(&1) && !self.excluded.contains(&file.path))
            .map(|file| Listed {
                columns: self.columns.get(&file.path).copied(),
                ..file
            })
            .collect()
    }
}

fn unreadable(table: &LoadedTable, cause: iceberg::Error) -> Error {
    table.storage_error("cannot read which files the table has", cause)
}

/// The sequence number of the last snapshot older than a point in time, as far as the history shows.
fn last_before(metadata: &TableMetadata, before_ms: i64) -> i64 {
    let of_old = metadata
        .snapshots()
        .filter(|snapshot| snapshot.timestamp_ms() < before_ms)
        .map(|snapshot| snapshot.sequence_number())
        .max();
    // Everything before the oldest snapshot in the metadata is older still.
    let oldest = metadata
        .snapshots()
        .map(|snapshot| snapshot.sequence_number())
        .min();
    of_old
        .or_else(|| oldest.map(|oldest| oldest - 1))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use iceberg::spec::Struct;

    use super::*;

    fn listed(path: &str, sequence_number: i64) -> Listed {
        Listed {
            path: path.to_owned(),
            bytes: 1,
            partition: Struct::empty(),
            sequence_number,
            manifest: Arc::from("m"),
            columns: None,
        }
    }

    /// Whatever the result of a join, the same files are not chosen in the same way again.
    #[test]
    fn files_that_were_not_joined_are_told_apart() {
        let [columns, others] = [Columns::of_test(1), Columns::of_test(2)];
        let join = |other_columns: &[(usize, Columns)], unfit: &[usize]| Join {
            joined: None,
            other_columns: other_columns.to_vec(),
            unfit: unfit.to_vec(),
        };
        let mut compactor = Compactor::default();
        let left = || vec![(0, listed("a", 1)), (1, listed("b", 2)), (2, listed("c", 3))];
        let columns_of = |compactor: &mut Compactor| {
            let files = compactor.alone(left().into_iter().map(|(_, file)| file).collect());
            files
                .into_iter()
                .map(|file| (file.path, file.columns))
                .collect::<Vec<_>>()
        };
        compactor.exclude(left(), &join(&[(0, columns), (1, others)], &[]));
        let [a, b, c] = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(
            columns_of(&mut compactor),
            [(a, Some(columns)), (b, Some(others)), (c.clone(), None)]
        );
        compactor.exclude(left(), &join(&[], &[0, 1]));
        assert_eq!(columns_of(&mut compactor), [(c, None)]);
        // The join gives no reason for any file.
        compactor.exclude(left(), &join(&[], &[]));
        assert_eq!(columns_of(&mut compactor), []);
    }

    #[test]
    fn a_broken_file_is_set_apart_alone_where_it_is_known() {
        let apart = |errors: &[Error]| {
            let mut compactor = Compactor::default();
            for error in errors {
                compactor.exclude_broken(vec![listed("a", 1), listed("b", 2)], error);
            }
            let mut excluded: Vec<String> = compactor.excluded.into_iter().collect();
            excluded.sort();
            excluded
        };
        let decode = || Error::new(ErrorKind::Decode, "it cannot be read");
        assert_eq!(apart(&[decode().with("path", "b")]), ["b"]);
        assert_eq!(apart(&[decode()]), ["a", "b"]);
        assert_eq!(apart(&[decode().with("path", "the merged one")]), ["a", "b"]);
        let storage = |path: &str| Error::new(ErrorKind::Storage, "it does not answer").with("path", path);
        assert_eq!(
            apart(&[storage("b"), storage("a")]),
            [""; 0],
            "they may be there again"
        );
        assert_eq!(apart(&[storage("b"), storage("a"), storage("b")]), ["b"]);
        assert_eq!(apart(&["the merged one"; 2].map(storage)), [""; 0]);
    }

    #[test]
    fn a_file_that_is_listed_twice_is_left_alone() {
        let mut compactor = Compactor::default();
        compactor
            .excluded
            .extend(["others".to_owned(), "gone".to_owned()]);
        let files = [("a", 1), ("twice", 2), ("others", 3), ("twice", 4), ("b", 5)];
        let alone = compactor.alone(files.map(|(path, number)| listed(path, number)).to_vec());
        assert_eq!(alone, [listed("a", 1), listed("b", 5)]);
        assert_eq!(compactor.excluded, HashSet::from(["others".to_owned()]));
    }
}
