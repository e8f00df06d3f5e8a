//! Which snapshots the next commit expires: the oldest ones of a plain history, where the table asks for it.
//!
//! Each snapshot is about 840 bytes of metadata that every commit writes and every reader parses, so a table
//! that is written to every few seconds must forget. What is not plain is left to those who made it so:
//! nothing is expired that another branch or tag could need, and no data file is made unreachable but those that a compaction
//! of ours replaced (`docs/decisions/0018-snapshot-expiry.md`).

use std::collections::HashSet;
use std::time::Duration;

use iceberg::spec::{FormatVersion, MAIN_BRANCH, Operation, SnapshotRef, SnapshotRetention, TableMetadata};

use super::history::Base;
use super::ids::{Window, ancestry, is_forgotten};
use super::summary::is_compaction;
use crate::catalog::References;

/// Iceberg's table properties. Without the first one a table is left alone.
const MAX_AGE: &str = "history.expire.max-snapshot-age-ms";
const MIN_TO_KEEP: &str = "history.expire.min-snapshots-to-keep";
/// False in tables whose files belong to another table, too.
const GC_ENABLED: &str = "gc.enabled";

/// Snapshots that one commit expires at most: each costs the reading of its manifest list afterwards.
const AT_ONCE_MAX: usize = 200;
/// When so many wait to be expired, something holds that up.
const OVERDUE_MAX: usize = 2 * AT_ONCE_MAX;
/// A commit expires snapshots when they are at least one to so many that stay, so that most commits have
/// nothing to do, and the metadata is larger than it must be by a tenth at most.
const KEPT_PER_EXPIRED: usize = 10;
/// Summary keys of snapshots that took files out of the table, whatever operation they name.
const TAKEN_OUT: [&str; 2] = ["deleted-data-files", "removed-delete-files"];

/// Who deletes the files that no snapshot has any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cleaner {
    /// We do. So nothing is expired but where the table asks for it, and no data file is made unreachable that we do not know.
    Us,
    /// The service that the table is in, days later. How many snapshots a table has is up to its writers there as well;
    /// these rules hold where the table has none.
    Service(Rules),
}

/// Snapshots to be expired, and what is left of the history.
#[derive(Debug, Clone)]
pub(super) struct Expired {
    /// Oldest first; never empty.
    pub(super) snapshots: Vec<SnapshotRef>,
    /// The oldest one that stays: the child of the last of those.
    pub(super) oldest_kept: SnapshotRef,
    /// The compactions that came right after one of those: nothing that stays has the files that they replaced, but for
    /// those that were added again.
    pub(super) compactions: Vec<SnapshotRef>,
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
            metadata,
            oldest_ones(&line, in_window, rules, current, now_ms),
            cleaner,
            line.len(),
        )
    };
    // Most commits end here. To read the references takes longer than all else that a commit does to the metadata.
    lot(rules)?;
    if !is_whole(metadata, &line) {
        return None;
    }
    let snapshots = lot(rules.on_main(&References::of(metadata)?)?)?;
    let kept = line.len() - snapshots.len();
    // Newest first, and the line without its oldest one are the children of all others.
    let children = line.get(kept.checked_sub(1)?..line.len() - 1)?;
    let compactions = children.iter().filter(|child| is_compaction(child));
    Some(Expired {
        snapshots,
        oldest_kept: (*children.first()?).clone(),
        compactions: compactions.map(|child| (*child).clone()).collect(),
    })
}

/// From which age on the table's snapshots are expired by whoever commits; `None` if they are not: the table does not want it, a
/// tag or another branch keeps them, the catalog tells of none but the current one, or something else has held it up for long, such as a rewrite by somebody who does not expire what
/// came before it. Takes as long as writing the metadata.
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

/// Whether files of snapshots that a commit expired may be deleted, given the table after it: nothing came that could need them.
pub(super) fn may_delete(metadata: &TableMetadata) -> bool {
    let line: Vec<&SnapshotRef> = ancestry(metadata).collect();
    is_whole(metadata, &line) && Rules::of_main(metadata).is_some()
}

/// Those of `oldest`, with their children, that can be taken from so many snapshots; `None` if they are too few to
/// be worth it.
fn lot<'a>(
    metadata: &TableMetadata,
    oldest: impl Iterator<Item = (&'a SnapshotRef, &'a SnapshotRef)>,
    cleaner: Cleaner,
    count: usize,
) -> Option<Vec<SnapshotRef>> {
    let snapshots: Vec<SnapshotRef> = oldest
        .take_while(|(snapshot, child)| {
            (cleaner != Cleaner::Us || adds_only(child) || is_compaction(child))
                && !has_statistics(metadata, snapshot)
                && !snapshot.manifest_list().is_empty()
        })
        .map(|(snapshot, _)| snapshot.clone())
        .take(AT_ONCE_MAX)
        .collect();
    let kept = count - snapshots.len();
    let is_worth_it = snapshots.len() == AT_ONCE_MAX || snapshots.len() * KEPT_PER_EXPIRED >= kept;
    (is_worth_it && !snapshots.is_empty()).then_some(snapshots)
}

/// Snapshots older than what is kept, oldest first, each with the one that came after it. `line` is the main
/// branch, newest first.
fn oldest_ones<'a>(
    line: &'a [&'a SnapshotRef],
    in_window: usize,
    rules: Rules,
    current: &SnapshotRef,
    now_ms: i64,
) -> impl Iterator<Item = (&'a SnapshotRef, &'a SnapshotRef)> {
    // At least the current one stays; it is the parent of what is committed now. Ages are from its time, too,
    // if our clock is ahead of it: a clock that is wrong must not forget everything.
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
        // With the one before a compaction go the files that it replaced: queries may have been planned on them until then.
        .take_while(move |(snapshot, child)| {
            let is_old = |snapshot: &SnapshotRef| snapshot.timestamp_ms() < before_ms;
            is_old(snapshot) && (is_old(child) || !is_compaction(child))
        })
}

/// How long snapshots stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rules {
    /// Older ones may go.
    pub(super) max_age_ms: i64,
    /// So many of the newest stay.
    pub(super) min_to_keep: usize,
}

impl Rules {
    /// What the table's properties say.
    fn of(metadata: &TableMetadata, cleaner: Cleaner) -> Option<Self> {
        // iceberg-rust does not read the branches and tags of that format.
        if metadata.format_version() == FormatVersion::V1 {
            return None;
        }
        let text = |key: &str| metadata.properties().get(key).map(|value| value.trim());
        if text(GC_ENABLED).is_some_and(|value| value.eq_ignore_ascii_case("false")) {
            return None;
        }
        let others = match cleaner {
            Cleaner::Us => None,
            Cleaner::Service(rules) => Some(rules),
        };
        let max_age_ms = match text(MAX_AGE) {
            None => others?.max_age_ms,
            Some(text) => text.parse().ok().filter(|age: &i64| *age >= 0)?,
        };
        let min_to_keep = match text(MIN_TO_KEEP) {
            None => others.map_or(1, |rules| rules.min_to_keep),
            // What cannot be read may have meant many.
            Some(text) => text.parse().ok()?,
        };
        Some(Self {
            max_age_ms,
            min_to_keep,
        })
    }

    /// The table's and the main branch's together. Takes as long as writing the metadata.
    fn of_main(metadata: &TableMetadata) -> Option<Self> {
        Self::of(metadata, Cleaner::Us)?.on_main(&References::of(metadata)?)
    }

    /// The same with what the main branch says itself; `None` where there is a tag or another branch.
    fn on_main(self, references: &References) -> Option<Self> {
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

/// Whether every snapshot that the table knows is in the main branch. One that is not was rolled back, or
/// waits to be published.
fn is_whole(metadata: &TableMetadata, line: &[&SnapshotRef]) -> bool {
    // Parents in a circle would make the line as long as it should be.
    let distinct: HashSet<i64> = line.iter().map(|snapshot| snapshot.snapshot_id()).collect();
    distinct.len() == metadata.snapshots().len()
}

/// Whether all files of the snapshot before it are in this one, too.
fn adds_only(snapshot: &SnapshotRef) -> bool {
    let summary = snapshot.summary();
    let took_out = |key: &&str| {
        summary
            .additional_properties
            .get(*key)
            .is_some_and(|count| count.trim() != "0")
    };
    summary.operation == Operation::Append && !TAKEN_OUT.iter().any(took_out)
}

/// Whether somebody made statistics of this snapshot.
fn has_statistics(metadata: &TableMetadata, snapshot: &SnapshotRef) -> bool {
    let id = snapshot.snapshot_id();
    metadata.statistics_for_snapshot(id).is_some() || metadata.partition_statistics_for_snapshot(id).is_some()
}

#[cfg(test)]
#[path = "expire_plan_tests.rs"]
mod tests;
