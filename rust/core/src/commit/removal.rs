//! Removes data files from a table's manifests, because other files have their rows.
//!
//! A manifest that lists some of them is written again once, with its other files; those that are larger than
//! the removed ones get a manifest of their own. The removed files go into separate manifests, as `DELETED`.
//! Readers skip these when they plan, since they have no live file, and the next snapshot no longer lists them.
//! Iceberg spec: "Manifests", "Manifest Entry Fields".

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::future::join_all;
use iceberg::spec::{FormatVersion, ManifestEntry, ManifestEntryRef, ManifestFile};

use super::live_files::is_after;
use super::manifest_writers::ManifestWriters;
use super::merge::carry;
use super::summary::{Removed, Totals};
use super::unneeded::delete;
use crate::catalog::{LoadedTable, ReadManifest, read_manifest};
use crate::error::{Error, ErrorKind, Result, RetryClass};

/// Maximum number of manifests that are read and written concurrently.
const AT_ONCE: usize = 8;
/// Maximum size of these together. A large manifest needs much memory, since it has metadata for each file's
/// columns, so it is alone.
const AT_ONCE_BYTES: u64 = 1 << 20;
/// Maximum number of removed entries per manifest: about 1 MB.
const REMOVED_PER_MANIFEST: usize = 1_024;

/// The files to remove.
#[derive(Debug, Clone)]
pub(super) struct Removal {
    /// Their partition spec.
    pub(super) partition_spec_id: i32,
    /// The table's last sequence number when they were chosen. Each was listed once then.
    pub(super) chosen_at: i64,
    /// Their locations, with the manifest that listed each then.
    pub(super) files: Arc<HashMap<String, String>>,
    /// The number of their rows, which the new files have.
    pub(super) records: u64,
}

impl Removal {
    /// Whether an entry is one of these files. A later entry with the same path is a file that was added
    /// again.
    fn takes(&self, entry: &ManifestEntry) -> bool {
        entry
            .sequence_number()
            .is_some_and(|number| number <= self.chosen_at)
            && self.files.contains_key(entry.file_path())
    }
}

/// The table's data manifests after the removal.
#[derive(Debug, Default)]
pub(super) struct TakenOut {
    /// Those with live files, in their order.
    pub(super) manifests: Vec<ManifestFile>,
    /// The manifests of the removed files.
    pub(super) deleted: Vec<ManifestFile>,
    /// Those of all these manifests that were written now.
    pub(super) written: Vec<String>,
    /// Totals of the removed files; `None` if none were to be removed.
    pub(super) removed: Option<Removed>,
}

impl TakenOut {
    pub(super) fn nothing(manifests: Vec<ManifestFile>) -> Self {
        Self {
            manifests,
            ..Self::default()
        }
    }
}

/// Removes files from a table's manifests.
///
/// # Errors
/// `Catalog`, permanent, when one of the files is no longer in the table, or rows may have been deleted from
/// it; `Storage` when manifests cannot be read or written. Nothing that was written stays.
pub(super) async fn take_out(
    writers: &ManifestWriters,
    table: &LoadedTable,
    manifests: Vec<ManifestFile>,
    deletes: &[ManifestFile],
    removal: &Removal,
) -> Result<TakenOut> {
    // The new files' rows would have a later sequence number than the deletes, so the deletes would not apply
    // to them. In format v3 rows have ids, which the new files do not keep.
    if !deletes.is_empty() || table.metadata.format_version() != FormatVersion::V2 {
        return Err(overtaken(
            "rows of the table were deleted one by one, or its format changed",
            table,
        ));
    }
    let mut rewriting = Rewriting::of(writers, table, removal);
    match rewriting.run(&manifests).await {
        Ok(()) => Ok(rewriting.end(manifests)),
        Err(error) => {
            delete(table, rewriting.written()).await;
            Err(error)
        }
    }
}

/// A removal in progress.
struct Rewriting<'a> {
    writers: &'a ManifestWriters,
    table: &'a LoadedTable,
    removal: &'a Removal,
    /// The files that were not found yet.
    missing: HashSet<&'a str>,
    /// What is listed instead of a manifest: those with its other files, if there are any.
    instead: HashMap<String, Vec<ManifestFile>>,
    /// Removed entries that are not written yet.
    out: Vec<ManifestEntryRef>,
    deleted: Vec<ManifestFile>,
    totals: Totals,
}

impl<'a> Rewriting<'a> {
    fn of(writers: &'a ManifestWriters, table: &'a LoadedTable, removal: &'a Removal) -> Self {
        Self {
            writers,
            table,
            removal,
            missing: removal.files.keys().map(String::as_str).collect(),
            instead: HashMap::new(),
            out: Vec::new(),
            deleted: Vec::new(),
            totals: Totals::default(),
        }
    }

    /// Finds the files and writes all manifests. Manifests in which the files were last seen are read first;
    /// usually no others are needed. A file that has left its manifest can only be in one that was written since,
    /// so a large table is not read as a whole when another writer was faster.
    async fn run(&mut self, manifests: &[ManifestFile]) -> Result<()> {
        let removal = self.removal;
        let seen_in: HashSet<&String> = removal.files.values().collect();
        let (likely, mut others): (Vec<_>, Vec<_>) = manifests
            .iter()
            .filter(|manifest| manifest.partition_spec_id == removal.partition_spec_id)
            .filter(|manifest| manifest.key_metadata.is_none())
            .partition(|manifest| seen_in.contains(&manifest.manifest_path));
        others.retain(|manifest| is_after(manifest, removal.chosen_at));
        for some in at_once(likely).into_iter().chain(at_once(others)) {
            if self.missing.is_empty() {
                break;
            }
            self.rewrite(&some).await?;
        }
        if !self.missing.is_empty() {
            let message = "files that were to be replaced are not in the table any more";
            return Err(overtaken(message, self.table));
        }
        if self.totals.records != removal.records {
            let message = "files that were to be replaced do not have as many rows as the new ones";
            return Err(overtaken(message, self.table));
        }
        self.write_out().await
    }

    /// Writes those of these manifests again that list files to remove.
    async fn rewrite(&mut self, manifests: &[&ManifestFile]) -> Result<()> {
        let mut splits = Vec::with_capacity(manifests.len());
        for manifest in manifests {
            splits.push(split(self.writers, self.table, self.removal, manifest));
        }
        let mut failed = Ok(());
        for (manifest, split) in manifests.iter().zip(join_all(splits).await) {
            match split {
                Ok(Some(split)) => self.add(manifest, split),
                Ok(None) => {}
                // The others were written, and must be known to be deleted.
                Err(error) => failed = Err(error),
            }
        }
        failed?;
        if self.out.len() < REMOVED_PER_MANIFEST {
            return Ok(());
        }
        self.write_out().await
    }

    fn add(&mut self, manifest: &ManifestFile, split: Split) {
        for entry in &split.out {
            self.missing.remove(entry.file_path());
            self.totals.add(entry.data_file());
        }
        self.out.extend(split.out);
        self.instead.insert(manifest.manifest_path.clone(), split.stay);
    }

    /// Writes the removed entries.
    async fn write_out(&mut self) -> Result<()> {
        let table = self.table;
        let unwritten = |cause| table.storage_error("cannot write a manifest", cause);
        let out = std::mem::take(&mut self.out);
        for some in out.chunks(REMOVED_PER_MANIFEST) {
            let mut writer = self.writers.writer(table, self.removal.partition_spec_id)?;
            for entry in some {
                let sequence_number = entry.sequence_number().unwrap_or_default();
                let file = entry.data_file().clone();
                writer
                    .add_delete_file(file, sequence_number, entry.file_sequence_number)
                    .map_err(unwritten)?;
            }
            let written = writer.write_manifest_file().await.map_err(unwritten)?;
            self.deleted.push(written);
        }
        Ok(())
    }

    /// The locations of all manifests that were written.
    fn written(&self) -> Vec<String> {
        let staying = self.instead.values().flatten();
        let written = staying.chain(&self.deleted);
        written.map(|manifest| manifest.manifest_path.clone()).collect()
    }

    fn end(mut self, manifests: Vec<ManifestFile>) -> TakenOut {
        let written = self.written();
        let manifests = manifests.into_iter().flat_map(|manifest| {
            let instead = self.instead.remove(&manifest.manifest_path);
            instead.unwrap_or_else(|| vec![manifest])
        });
        TakenOut {
            manifests: manifests.collect(),
            deleted: self.deleted,
            written,
            removed: Some(Removed {
                totals: self.totals,
                chosen_at: self.removal.chosen_at,
            }),
        }
    }
}

/// Divides manifests into those that are read and written concurrently.
fn at_once(manifests: Vec<&ManifestFile>) -> Vec<Vec<&ManifestFile>> {
    let mut groups: Vec<Vec<&ManifestFile>> = Vec::new();
    let mut bytes = 0_u64;
    for manifest in manifests {
        let length = u64::try_from(manifest.manifest_length).unwrap_or(0);
        bytes = bytes.saturating_add(length);
        match groups.last_mut() {
            Some(group) if group.len() < AT_ONCE && bytes <= AT_ONCE_BYTES => group.push(manifest),
            _ => {
                bytes = length;
                groups.push(vec![manifest]);
            }
        }
    }
    groups
}

/// The files of a manifest that lists files to remove.
struct Split {
    /// The new manifests of those that stay.
    stay: Vec<ManifestFile>,
    /// The entries of those to remove.
    out: Vec<ManifestEntryRef>,
}

/// Reads a manifest and, if it lists files to remove, writes its other files into new ones.
async fn split(
    writers: &ManifestWriters,
    table: &LoadedTable,
    removal: &Removal,
    manifest: &ManifestFile,
) -> Result<Option<Split>> {
    let read = read_manifest(&table.file_io, manifest).await;
    // A manifest that is not read as a whole cannot be written again, so its files cannot be removed.
    let ReadManifest::Whole(read) =
        read.map_err(|cause| table.storage_error("cannot read a manifest", cause))?
    else {
        return Ok(None);
    };
    let live = read.entries().iter().filter(|entry| entry.is_alive());
    let (out, stay): (Vec<_>, Vec<_>) = live.cloned().partition(|entry| removal.takes(entry));
    let Some(largest) = out.iter().map(|entry| entry.file_size_in_bytes()).max() else {
        return Ok(None);
    };
    // So that each entry that stays is freed when it is written.
    drop(read);
    // The next merges mostly take files of the same size or smaller. The larger ones are not written again then.
    let (small, large): (Vec<_>, Vec<_>) = stay
        .into_iter()
        .partition(|entry| entry.file_size_in_bytes() <= largest);
    let mut split = Split {
        stay: Vec::new(),
        out,
    };
    for entries in [small, large] {
        if entries.is_empty() {
            continue;
        }
        match write(writers, table, removal, entries).await {
            Ok(written) => split.stay.push(written),
            Err(error) => {
                let written = split.stay.into_iter().map(|manifest| manifest.manifest_path);
                delete(table, written.collect()).await;
                return Err(error);
            }
        }
    }
    Ok(Some(split))
}

/// Writes a manifest of files that stay. Their entries keep their snapshot ids and sequence numbers.
async fn write(
    writers: &ManifestWriters,
    table: &LoadedTable,
    removal: &Removal,
    entries: Vec<ManifestEntryRef>,
) -> Result<ManifestFile> {
    let unwritten = |cause| table.storage_error("cannot write a manifest", cause);
    let mut writer = writers.writer(table, removal.partition_spec_id)?;
    for entry in entries {
        carry(&mut writer, &entry, writers).map_err(unwritten)?;
    }
    writer.write_manifest_file().await.map_err(unwritten)
}

/// Another writer was faster: nothing was changed, and the new files are useless.
fn overtaken(message: &'static str, table: &LoadedTable) -> Error {
    Error::new(ErrorKind::Catalog, message)
        .with("table", table.ident.to_string())
        .class(RetryClass::Permanent)
}

#[cfg(test)]
mod tests {
    use super::super::test_table::manifest;
    use super::*;

    #[test]
    fn small_manifests_are_read_together_and_a_large_one_alone() {
        let lengths = |lengths: &[i64]| {
            let manifests: Vec<ManifestFile> =
                lengths.iter().map(|length| manifest("m", *length, 0)).collect();
            let groups = at_once(manifests.iter().collect());
            groups.iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(lengths(&[10_000; 20]), [8, 8, 4]);
        assert_eq!(lengths(&[300_000; 7]), [3, 3, 1]);
        assert_eq!(lengths(&[10_000, 8_000_000, 10_000, 10_000]), [1, 1, 2]);
        assert_eq!(lengths(&[]), [0; 0]);
    }
}
