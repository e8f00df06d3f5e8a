//! Which snapshots the next commit expires: the oldest ones of a linear history, where the table asks for it.
//!
//! Each snapshot adds about 840 bytes of metadata, which every commit writes and every reader parses. So a
//! table with a commit every few seconds must expire snapshots. Anything but a linear history is left to
//! those who created it. Nothing is expired that another branch or tag could need. No data file becomes
//! unreachable, except those that a compaction of ours replaced (`docs/decisions/0018-snapshot-expiry.md`).

use std::collections::HashSet;
use std::time::Duration;

use iceberg::spec::{FormatVersion, MAIN_BRANCH, Operation, SnapshotRef, SnapshotRetention, TableMetadata};

use super::history::Base;
use super::ids::{Window, ancestry, is_forgotten};
use super::summary::is_compaction;
use crate::catalog::References;
use crate::table_properties::{GC_ENABLED, MAX_SNAPSHOT_AGE_MS, MIN_SNAPSHOTS_TO_KEEP, Properties};

/// Maximum number of snapshots that one commit expires. Each costs a read of its manifest list afterwards.
const AT_ONCE_MAX: usize = 200;
/// Above this number of overdue snapshots, something blocks expiry.
pub(super) const OVERDUE_MAX: usize = 2 * AT_ONCE_MAX;
/// A commit expires snapshots when there is at least one for this many kept ones. So most commits have
/// nothing to expire, and the metadata exceeds its minimum size by a tenth at most.
const KEPT_PER_EXPIRED: usize = 10;
/// Summary keys of snapshots that removed files from the table, whatever their operation.
const TAKEN_OUT: [&str; 2] = ["deleted-data-files", "removed-delete-files"];
/// Summary key of Java's `BaseRewriteManifests`, which other operations do not set.
const ENTRIES_PROCESSED: &str = "entries-processed";

/// Which party deletes the files that no snapshot references any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cleaner {
    /// We do. So snapshots are expired only where the table asks for it, and only known data files become
    /// unreachable.
    Us,
    /// The service that hosts the table, days later. There too, the table's writers decide how many snapshots
    /// are kept. These rules apply where the table sets none.
    Service(Rules),
}

/// Snapshots to expire, and what remains of the history.
#[derive(Debug, Clone)]
pub(super) struct Expired {
    /// Oldest first; never empty.
    pub(super) snapshots: Vec<SnapshotRef>,
    /// The oldest snapshot that is kept: the child of the last expired one.
    pub(super) oldest_kept: SnapshotRef,
    /// The compactions that directly follow an expired snapshot. No kept snapshot has the files that they
    /// replaced, except files that were added again.
    pub(super) compactions: Vec<SnapshotRef>,
    /// The paths of the expired snapshots' statistics files. A kept snapshot may have the same file.
    pub(super) statistics: Vec<String>,
}

impl Expired {
    pub(super) fn ids(&self) -> Vec<i64> {
        self.snapshots
            .iter()
            .map(|snapshot| snapshot.snapshot_id())
            .collect()
    }
}

/// The snapshots that a commit on this metadata may expire; `None` if there are none, or too few to be worth
/// it. None of them is within `window` or came after `floor`.
pub(super) fn expirable(
    metadata: &TableMetadata,
    window: Window,
    floor: Option<&Base>,
    cleaner: Cleaner,
    now_ms: i64,
) -> Option<Expired> {
    let rules = Rules::of(metadata, cleaner)?;
    let current = metadata.current_snapshot()?;
    let in_window = window.recent(metadata, floor, now_ms).count();
    if metadata.snapshots().len() <= in_window {
        return None;
    }
    let line: Vec<&SnapshotRef> = ancestry(metadata).collect();
    let lot = |rules| {
        lot(
            oldest_ones(&line, in_window, rules, current, now_ms),
            cleaner,
            line.len(),
        )
    };
    // Most commits end here. Reading the references takes longer than everything else that a commit does with
    // the metadata.
    lot(rules)?;
    if !is_whole(metadata, &line) {
        return None;
    }
    let snapshots = lot(rules.on_main(&References::of(metadata)?)?)?;
    let kept = line.len() - snapshots.len();
    // The line is newest first. So this slice contains the children of the expired snapshots, the oldest kept
    // one first.
    let children = line.get(kept.checked_sub(1)?..line.len() - 1)?;
    let compactions = children.iter().filter(|child| is_compaction(child));
    Some(Expired {
        statistics: statistics_of(metadata, &snapshots),
        snapshots,
        oldest_kept: (*children.first()?).clone(),
        compactions: compactions.map(|child| (*child).clone()).collect(),
    })
}

/// The age at which writers of the table expire its snapshots; `None` if they do not.
///
/// They do not if the table does not ask for it, a tag or another branch keeps snapshots, the catalog exposes
/// only the current snapshot, or expiry has been blocked for long. A rewrite by a writer that does not expire
/// the snapshots before it can block expiry. Takes as long as writing the metadata.
pub(super) fn age_max(metadata: &TableMetadata, window: Window, now_ms: i64) -> Option<Duration> {
    let rules = Rules::of_main(metadata)?;
    if let Some(current) = metadata.current_snapshot() {
        let line: Vec<&SnapshotRef> = ancestry(metadata).collect();
        let in_window = window.recent(metadata, None, now_ms).count();
        let overdue = oldest_ones(&line, in_window, rules, current, now_ms).count();
        if !is_whole(metadata, &line) || overdue > OVERDUE_MAX || is_forgotten(metadata) {
            return None;
        }
    }
    Some(Duration::from_millis(rules.max_age_ms.unsigned_abs()))
}

/// Whether files of snapshots that a commit expired may be deleted, given the table after it: no new tag,
/// branch or property could need them.
pub(super) fn may_delete(metadata: &TableMetadata) -> bool {
    let line: Vec<&SnapshotRef> = ancestry(metadata).collect();
    is_whole(metadata, &line) && Rules::of_main(metadata).is_some()
}

/// The leading snapshots of `oldest` (pairs of snapshot and child) that can be expired, out of `count`
/// snapshots; `None` if they are too few to be worth it.
fn lot<'a>(
    oldest: impl Iterator<Item = (&'a SnapshotRef, &'a SnapshotRef)>,
    cleaner: Cleaner,
    count: usize,
) -> Option<Vec<SnapshotRef>> {
    let snapshots: Vec<SnapshotRef> = oldest
        .take_while(|(snapshot, child)| can_go(snapshot, child, cleaner))
        .map(|(snapshot, _)| snapshot.clone())
        .take(AT_ONCE_MAX)
        .collect();
    let kept = count - snapshots.len();
    let is_worth_it = snapshots.len() == AT_ONCE_MAX || snapshots.len() * KEPT_PER_EXPIRED >= kept;
    (is_worth_it && !snapshots.is_empty()).then_some(snapshots)
}

/// Whether a snapshot can be expired once all before it are.
pub(super) fn can_go(snapshot: &SnapshotRef, child: &SnapshotRef, cleaner: Cleaner) -> bool {
    let keeps_files = cleaner != Cleaner::Us || has_files_of_parent(child) || is_compaction(child);
    keeps_files && !snapshot.manifest_list().is_empty()
}

/// Snapshots that are older than those to keep, oldest first, each with its child. `line` is the main branch,
/// newest first.
pub(super) fn oldest_ones<'a>(
    line: &'a [&'a SnapshotRef],
    in_window: usize,
    rules: Rules,
    current: &SnapshotRef,
    now_ms: i64,
) -> impl Iterator<Item = (&'a SnapshotRef, &'a SnapshotRef)> {
    // At least the current snapshot is kept: it is the parent of the new one. If our clock is ahead of the
    // current snapshot's timestamp, ages count from that timestamp: a wrong clock must not expire everything.
    let kept = in_window.max(rules.min_to_keep).max(1);
    let before_ms = now_ms
        .min(current.timestamp_ms())
        .saturating_sub(rules.max_age_ms);
    let children = line.iter().skip(kept - 1);
    let pairs: Vec<_> = line.iter().skip(kept).zip(children).collect();
    pairs
        .into_iter()
        .rev()
        .map(|(snapshot, child)| (*snapshot, *child))
        // Expiring the snapshot before a compaction also deletes the files that the compaction replaced.
        // Until the compaction, queries may have been planned on them, so it must be old enough, too.
        .take_while(move |(snapshot, child)| {
            let is_old = |snapshot: &SnapshotRef| snapshot.timestamp_ms() < before_ms;
            is_old(snapshot) && (is_old(child) || !is_compaction(child))
        })
}

/// How long snapshots are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rules {
    /// Older snapshots may be expired.
    pub(super) max_age_ms: i64,
    /// The number of newest snapshots that are always kept.
    pub(super) min_to_keep: usize,
}

impl Rules {
    /// The rules in the table's properties.
    pub(super) fn of(metadata: &TableMetadata, cleaner: Cleaner) -> Option<Self> {
        // iceberg-rust does not read branches and tags in format v1.
        if metadata.format_version() == FormatVersion::V1 {
            return None;
        }
        let properties = Properties::of(metadata);
        if !properties.flag(GC_ENABLED, true) {
            return None;
        }
        let others = match cleaner {
            Cleaner::Us => None,
            Cleaner::Service(rules) => Some(rules),
        };
        let max_age_ms = match properties.text(MAX_SNAPSHOT_AGE_MS) {
            // Without this property, we expire nothing.
            None => others?.max_age_ms,
            Some(text) => text.parse().ok().filter(|age: &i64| *age >= 0)?,
        };
        let min_to_keep = match properties.text(MIN_SNAPSHOTS_TO_KEEP) {
            None => others.map_or(1, |rules| rules.min_to_keep),
            // An unreadable value may have meant a large number.
            Some(text) => text.parse().ok()?,
        };
        Some(Self {
            max_age_ms,
            min_to_keep,
        })
    }

    /// The rules of the table and its main branch together. Takes as long as writing the metadata.
    fn of_main(metadata: &TableMetadata) -> Option<Self> {
        Self::of(metadata, Cleaner::Us)?.on_main(&References::of(metadata)?)
    }

    /// Overrides these rules with those of the main branch; `None` if there is a tag or another branch.
    pub(super) fn on_main(self, references: &References) -> Option<Self> {
        if references.0.keys().any(|name| name != MAIN_BRANCH) {
            return None;
        }
        let Some(main) = references.0.get(MAIN_BRANCH) else {
            return Some(self);
        };
        match main.retention {
            SnapshotRetention::Tag { .. } => None,
            SnapshotRetention::Branch {
                min_snapshots_to_keep,
                max_snapshot_age_ms,
                ..
            } => Some(Self {
                max_age_ms: max_snapshot_age_ms.unwrap_or(self.max_age_ms).max(0),
                min_to_keep: min_snapshots_to_keep
                    .map_or(self.min_to_keep, |count| usize::try_from(count).unwrap_or(0)),
            }),
        }
    }
}

/// Whether every snapshot in the metadata is on the main branch. Others were rolled back, or wait to be
/// published.
pub(super) fn is_whole(metadata: &TableMetadata, line: &[&SnapshotRef]) -> bool {
    // A cycle of parents would give the line the expected length.
    let distinct: HashSet<i64> = line.iter().map(|snapshot| snapshot.snapshot_id()).collect();
    distinct.len() == metadata.snapshots().len()
}

/// Whether this snapshot has all files of its parent: it added files, or it only wrote manifests again.
fn has_files_of_parent(snapshot: &SnapshotRef) -> bool {
    let summary = snapshot.summary();
    let properties = &summary.additional_properties;
    let counts = |key: &str| properties.get(key).is_some_and(|count| count.trim() != "0");
    let keeps_files = match summary.operation {
        Operation::Append => true,
        Operation::Replace => properties.contains_key(ENTRIES_PROCESSED) && !counts("added-data-files"),
        Operation::Overwrite | Operation::Delete => false,
    };
    keeps_files && !TAKEN_OUT.iter().any(|key| counts(key))
}

/// The paths of these snapshots' statistics files, of both kinds.
fn statistics_of(metadata: &TableMetadata, snapshots: &[SnapshotRef]) -> Vec<String> {
    let paths = snapshots.iter().flat_map(|snapshot| {
        let id = snapshot.snapshot_id();
        let of_table = metadata.statistics_for_snapshot(id);
        let of_partitions = metadata.partition_statistics_for_snapshot(id);
        of_table
            .map(|file| file.statistics_path.clone())
            .into_iter()
            .chain(of_partitions.map(|file| file.statistics_path.clone()))
    });
    paths.collect()
}

#[cfg(test)]
#[path = "expire_plan_tests.rs"]
mod tests;
