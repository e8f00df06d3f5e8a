//! What prevents the expiry of a table's oldest snapshots, for the log. Nothing else shows it.

use std::collections::HashSet;
use std::fmt;

use iceberg::spec::{MAIN_BRANCH, Operation, SnapshotRef, SnapshotRetention, TableMetadata};

use super::expire_plan::{Cleaner, OVERDUE_MAX, Rules, can_go, is_whole, oldest_ones};
use super::history::Base;
use super::ids::{Window, ancestry};
use crate::catalog::References;

/// What blocks expiry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Blocker {
    /// A tag.
    Tag(String),
    /// A branch other than the main one.
    Branch(String),
    /// A snapshot that is not on the main branch.
    OffMain(i64),
    /// A snapshot that may have removed files, which those before it need.
    Removal { id: i64, operation: Operation },
    /// A snapshot without a manifest list.
    NoList(i64),
}

impl Blocker {
    /// What the operator can do.
    pub(super) fn remedy(&self) -> &'static str {
        match self {
            Self::Tag(_) | Self::Branch(_) => {
                "Drop it when nobody needs it, or expire the others with an engine, regularly"
            }
            Self::OffMain(_) => "Expire it with an engine (Spark: expire_snapshots with snapshot_ids)",
            Self::Removal { .. } => {
                "Expire the snapshots before it with an engine (Spark: expire_snapshots with older_than shortly \
                 after it and retain_last 500; Athena: VACUUM with vacuum_min_snapshots_to_keep 500), regularly if \
                 that program keeps running; after Glue's compaction, switch on Glue's snapshot retention"
            }
            Self::NoList(_) => {
                "Expire the snapshots before it with an engine (Spark: expire_snapshots with older_than shortly \
                 after it and retain_last 500)"
            }
        }
    }
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(name) => write!(f, "the tag {name:?}"),
            Self::Branch(name) => write!(f, "the branch {name:?}"),
            Self::OffMain(id) => {
                write!(f, "the snapshot {id}, which was rolled back or is not published")
            }
            Self::Removal { id, operation } => {
                let operation = operation.as_str();
                write!(
                    f,
                    "the snapshot {id} of another program ({operation}), which removed files"
                )
            }
            Self::NoList(id) => write!(f, "the snapshot {id}, which has no manifest list"),
        }
    }
}

/// Whether so many snapshots are overdue that something must prevent their expiry. To be asked when
/// [`super::expire_plan::expirable`] has found nothing.
pub(super) fn is_blocked(
    metadata: &TableMetadata,
    window: Window,
    floor: Option<&Base>,
    cleaner: Cleaner,
    now_ms: i64,
) -> bool {
    let (Some(rules), Some(current)) = (Rules::of(metadata, cleaner), metadata.current_snapshot()) else {
        return false;
    };
    if metadata.snapshots().len() <= OVERDUE_MAX {
        return false;
    }
    let in_window = window.recent(metadata, floor, now_ms).count();
    let line: Vec<&SnapshotRef> = ancestry(metadata).collect();
    oldest_ones(&line, in_window, rules, current, now_ms).count() > OVERDUE_MAX
}

/// What prevents the expiry of this table's snapshots, if [`is_blocked`]. Takes as long as writing the metadata.
pub(super) fn blocker(
    metadata: &TableMetadata,
    window: Window,
    floor: Option<&Base>,
    cleaner: Cleaner,
    now_ms: i64,
) -> Option<Blocker> {
    let rules = Rules::of(metadata, cleaner)?;
    let current = metadata.current_snapshot()?;
    let in_window = window.recent(metadata, floor, now_ms).count();
    let line: Vec<&SnapshotRef> = ancestry(metadata).collect();
    let references = References::of(metadata)?;
    let others = references.0.iter().filter(|(name, _)| *name != MAIN_BRANCH);
    if let Some((name, reference)) = others.min_by(|one, other| one.0.cmp(other.0)) {
        return Some(match reference.retention {
            SnapshotRetention::Tag { .. } => Blocker::Tag(name.clone()),
            SnapshotRetention::Branch { .. } => Blocker::Branch(name.clone()),
        });
    }
    if !is_whole(metadata, &line) {
        let on_main: HashSet<i64> = line.iter().map(|snapshot| snapshot.snapshot_id()).collect();
        let ids = metadata.snapshots().map(|snapshot| snapshot.snapshot_id());
        return ids.filter(|id| !on_main.contains(id)).min().map(Blocker::OffMain);
    }
    // The branch may keep more than the table.
    let rules = rules.on_main(&references)?;
    let overdue: Vec<_> = oldest_ones(&line, in_window, rules, current, now_ms).collect();
    if overdue.len() <= OVERDUE_MAX {
        return None;
    }
    let (snapshot, child) = overdue
        .into_iter()
        .find(|(snapshot, child)| !can_go(snapshot, child, cleaner))?;
    Some(if snapshot.manifest_list().is_empty() {
        Blocker::NoList(snapshot.snapshot_id())
    } else {
        Blocker::Removal {
            id: child.snapshot_id(),
            operation: child.summary().operation.clone(),
        }
    })
}
