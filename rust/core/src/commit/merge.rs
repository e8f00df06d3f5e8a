//! Merges small data manifests, by the rules of Java's `ManifestMergeManager`.
//!
//! Merging only makes later reads cheaper, so manifests that cannot be merged are kept.

use std::collections::{BTreeMap, HashSet};

use futures::{StreamExt, stream};
use iceberg::spec::{
    FormatVersion, ManifestEntry, ManifestFile, ManifestStatus, ManifestWriter, TableMetadata,
};

use super::manifest_writers::ManifestWriters;
use super::odd_manifests::OddManifests;
use super::partition_types::may_have_types;
use crate::catalog::{LoadedTable, ReadManifest, read_manifest};
use crate::error::Result;
use crate::schema::name_not_in_avro;
use crate::table_properties::{
    MANIFEST_MERGE_ENABLED, MANIFEST_MIN_COUNT_TO_MERGE, MANIFEST_TARGET_SIZE_BYTES, Properties,
};

/// Number of manifests read concurrently.
const READS_MAX: usize = 8;

/// The table properties that control merging, with Iceberg's defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MergeRules {
    enabled: bool,
    min_count: usize,
    target_bytes: u64,
}

impl MergeRules {
    pub(super) fn of(metadata: &TableMetadata) -> Self {
        let properties = Properties::of(metadata);
        Self {
            // In format v3, files without row ids of their own inherit them from the manifest. iceberg-rust's
            // reader does not pass these on, so merging would renumber rows.
            enabled: metadata.format_version() < FormatVersion::V3
                && properties.flag(MANIFEST_MERGE_ENABLED, true),
            min_count: properties.parsed(MANIFEST_MIN_COUNT_TO_MERGE).unwrap_or(100),
            target_bytes: properties.parsed(MANIFEST_TARGET_SIZE_BYTES).unwrap_or(8 << 20),
        }
    }
}

/// The result of merging a list of data manifests.
#[derive(Debug, Default)]
pub(super) struct Merged {
    /// The manifests to list.
    pub(super) manifests: Vec<ManifestFile>,
    /// Those of them that were written now.
    pub(super) written: Vec<String>,
}

/// Merges data manifests, newest first, where the rules allow it. Those that cannot be merged are remembered as
/// `odd`: a later commit does not read them again.
pub(super) async fn merge(
    writers: &ManifestWriters,
    table: &LoadedTable,
    manifests: Vec<ManifestFile>,
    odd: &OddManifests,
) -> Merged {
    let rules = MergeRules::of(&table.metadata);
    let newest = manifests.first().map(|manifest| manifest.manifest_path.clone());
    if !rules.enabled || manifests.len() < 2 {
        return Merged {
            manifests,
            ..Merged::default()
        };
    }
    let mut merged = Merged::default();
    let unmerged = odd.unmerged_of(&manifests);
    for (spec_id, group) in by_spec(manifests) {
        let (group, others) = mergeable(&table.metadata, spec_id, group, &unmerged);
        for bin in pack_from_end(group, rules.target_bytes) {
            let has_newest = bin
                .iter()
                .any(|manifest| Some(&manifest.manifest_path) == newest.as_ref());
            let encrypted = bin.iter().any(|manifest| manifest.key_metadata.is_some());
            if bin.len() < 2 || encrypted || (has_newest && bin.len() < rules.min_count) {
                merged.manifests.extend(bin);
                continue;
            }
            match merge_bin(writers, table, spec_id, &bin, odd).await {
                Ok(Some((manifest, left))) => {
                    merged.written.push(manifest.manifest_path.clone());
                    merged.manifests.push(manifest);
                    merged.manifests.extend(left);
                }
                Ok(None) => merged.manifests.extend(bin),
                Err(error) => {
                    tracing::warn!(table = %table.ident, %error, "manifests are left unmerged");
                    merged.manifests.extend(bin);
                }
            }
        }
        merged.manifests.extend(others);
    }
    merged
}

/// Splits a spec's manifests into those that can be rewritten with the table's current schema, and the
/// others. If the schema lacks a column of the spec, or a manifest cannot have its fields' names, none can.
/// Otherwise those with values narrower than its types cannot, nor those that are known as `unmerged`. Trying to
/// merge the others would read them at each commit.
fn mergeable(
    metadata: &TableMetadata,
    spec_id: i32,
    manifests: Vec<ManifestFile>,
    unmerged: &HashSet<String>,
) -> (Vec<ManifestFile>, Vec<ManifestFile>) {
    let types = metadata
        .partition_spec_by_id(spec_id)
        .filter(|spec| name_not_in_avro(spec).is_none())
        .and_then(|spec| spec.partition_type(metadata.current_schema()).ok());
    manifests.into_iter().partition(|manifest| {
        let fits = types
            .as_ref()
            .is_some_and(|types| may_have_types(manifest, types));
        fits && !unmerged.contains(&manifest.manifest_path)
    })
}

/// Newest spec first, as in Java.
fn by_spec(manifests: Vec<ManifestFile>) -> impl Iterator<Item = (i32, Vec<ManifestFile>)> {
    let mut groups: BTreeMap<i32, Vec<ManifestFile>> = BTreeMap::new();
    for manifest in manifests {
        groups
            .entry(manifest.partition_spec_id)
            .or_default()
            .push(manifest);
    }
    groups.into_iter().rev()
}

/// Packs neighbouring manifests into bins up to the target size. Packing begins at the oldest, so that the
/// newest bin is the one that is not full. It grows with the next commits.
fn pack_from_end(manifests: Vec<ManifestFile>, target_bytes: u64) -> Vec<Vec<ManifestFile>> {
    let mut bins: Vec<Vec<ManifestFile>> = Vec::new();
    let mut bin_bytes = 0u64;
    for manifest in manifests.into_iter().rev() {
        let bytes = u64::try_from(manifest.manifest_length).unwrap_or(0);
        match bins.last_mut() {
            Some(bin) if bin_bytes.saturating_add(bytes) <= target_bytes => {
                bin_bytes += bytes;
                bin.push(manifest);
            }
            _ => {
                bin_bytes = bytes;
                bins.push(vec![manifest]);
            }
        }
    }
    for bin in &mut bins {
        bin.reverse();
    }
    bins.reverse();
    bins
}

/// Writes one manifest with the live files of several. Files of this snapshot stay `ADDED`; all others become
/// `EXISTING` with their original snapshot and sequence numbers. Also returns the manifests that could not be
/// merged; `None` if nothing was.
///
/// # Errors
/// `Storage` when none of the manifests can be read, or the merged one cannot be written.
async fn merge_bin(
    writers: &ManifestWriters,
    table: &LoadedTable,
    spec_id: i32,
    bin: &[ManifestFile],
    odd: &OddManifests,
) -> Result<Option<(ManifestFile, Vec<ManifestFile>)>> {
    let failed = |cause| table.storage_error("cannot merge manifests", cause);
    let mut writer = writers.writer(table, spec_id)?;
    let (mut left, mut unread) = (Vec::new(), Vec::new());
    let mut reads = stream::iter(bin.to_vec())
        .map(|manifest| {
            let file_io = table.file_io.clone();
            async move {
                let read = read_manifest(&file_io, &manifest).await;
                (manifest, read)
            }
        })
        .buffered(READS_MAX);
    while let Some((manifest, read)) = reads.next().await {
        match read {
            Ok(ReadManifest::Whole(whole)) => {
                let mut entries = whole.entries().iter();
                if let Err(cause) = entries.try_for_each(|entry| carry(&mut writer, entry, writers)) {
                    // The writer has some of its entries. The next commit merges the others without it.
                    odd.leave_unmerged(table, &manifest.manifest_path, cause);
                    return Ok(None);
                }
            }
            Ok(ReadManifest::Paths { cause, .. }) => {
                odd.leave_unmerged(table, &manifest.manifest_path, cause);
                left.push(manifest);
            }
            Err(cause) => {
                unread.push((manifest.manifest_path.clone(), cause));
                left.push(manifest);
            }
        }
    }
    if unread.len() == bin.len()
        && let Some((path, cause)) = unread.pop()
    {
        // Storage may be unreachable, so only one of them is remembered.
        odd.was_not_read(&path);
        return Err(failed(cause));
    }
    for (path, cause) in unread {
        odd.was_not_read(&path);
        tracing::warn!(table = %table.ident, path, error = %failed(cause), "a manifest is left unmerged");
    }
    if bin.len() - left.len() < 2 {
        return Ok(None);
    }
    let written = writer.write_manifest_file().await.map_err(failed)?;
    Ok(Some((written, left)))
}

/// Writes a live entry into another manifest; skips entries that are not live.
pub(super) fn carry(
    writer: &mut ManifestWriter,
    entry: &ManifestEntry,
    writers: &ManifestWriters,
) -> iceberg::Result<()> {
    let file = entry.data_file.clone();
    let is_new = entry.status == ManifestStatus::Added && entry.snapshot_id == Some(writers.snapshot_id());
    match (entry.status, entry.snapshot_id, entry.sequence_number) {
        (ManifestStatus::Deleted, _, _) => Ok(()),
        _ if is_new => writer.add_file(file, iceberg::spec::UNASSIGNED_SEQUENCE_NUMBER),
        (_, Some(snapshot_id), Some(sequence_number)) => {
            writer.add_existing_file(file, snapshot_id, sequence_number, entry.file_sequence_number)
        }
        _ => {
            let message = "a manifest entry has no snapshot id or no sequence number";
            Err(iceberg::Error::new(iceberg::ErrorKind::DataInvalid, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_table::manifest;
    use super::*;

    fn names(bins: &[Vec<ManifestFile>]) -> Vec<Vec<&str>> {
        bins.iter()
            .map(|bin| bin.iter().map(|m| m.manifest_path.as_str()).collect())
            .collect()
    }

    #[test]
    fn bins_are_packed_from_the_oldest_and_keep_their_order() {
        let manifests = ["new", "b", "c", "d", "old"]
            .map(|name| manifest(name, 4, 0))
            .to_vec();
        let bins = pack_from_end(manifests, 8);
        assert_eq!(names(&bins), [vec!["new"], vec!["b", "c"], vec!["d", "old"]]);
    }

    #[test]
    fn manifest_larger_than_the_target_has_a_bin_of_its_own() {
        let manifests = vec![manifest("a", 1, 0), manifest("big", 100, 0), manifest("c", 1, 0)];
        assert_eq!(
            names(&pack_from_end(manifests, 8)),
            [vec!["a"], vec!["big"], vec!["c"]]
        );
    }

    #[test]
    fn specs_are_never_mixed_and_the_newest_comes_first() {
        let manifests = vec![manifest("a", 1, 1), manifest("b", 1, 0), manifest("c", 1, 1)];
        let groups: Vec<(i32, usize)> = by_spec(manifests).map(|(id, group)| (id, group.len())).collect();
        assert_eq!(groups, [(1, 2), (0, 1)]);
    }
}
