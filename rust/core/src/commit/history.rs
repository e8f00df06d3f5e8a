//! Which part of the main branch's history the metadata still contains, and whether it is enough to say what
//! the table never held.

use std::collections::HashSet;

use iceberg::spec::{SnapshotRef, TableMetadata};
use serde::{Deserialize, Serialize};

use super::ids::{Coverage, IdSet, ancestry, ids_of};
use crate::request::IdRange;

/// A state of a table's main branch. It separates later snapshots from those that were there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Base {
    /// The current snapshot; `None` in a table without snapshots.
    snapshot_id: Option<i64>,
    /// The table's last sequence number; 0 in format v1, which has none.
    sequence_number: i64,
}

impl Base {
    pub(super) fn of(metadata: &TableMetadata) -> Self {
        Self {
            snapshot_id: metadata.current_snapshot_id(),
            sequence_number: metadata.last_sequence_number(),
        }
    }

    /// The later of two bases by sequence number; `other` if they are equal.
    pub(super) fn later(self, other: Self) -> Self {
        if other.sequence_number >= self.sequence_number {
            other
        } else {
            self
        }
    }

    /// Whether the main branch may be at this base now or again, given the loaded metadata. An older copy,
    /// from a catalog with lagging reads, proves nothing. In format v1, without sequence numbers, an older
    /// copy cannot be distinguished from a newer one.
    pub(super) fn may_be_current(&self, metadata: &TableMetadata) -> bool {
        self.snapshot_id == metadata.current_snapshot_id()
            || self.sequence_number > metadata.last_sequence_number()
    }

    /// Whether a snapshot of the main branch came after this base.
    pub(super) fn is_before(&self, snapshot: &SnapshotRef) -> bool {
        self.snapshot_id != Some(snapshot.snapshot_id())
            && (self.sequence_number == 0 || snapshot.sequence_number() > self.sequence_number)
    }
}

/// All snapshots of the main branch that were not expired.
#[derive(Debug)]
pub(super) struct History {
    ids: IdSet,
    /// These snapshots, and the parent of the oldest, which may be expired.
    reached: HashSet<i64>,
    oldest_sequence: Option<i64>,
    /// The table's last sequence number, whichever snapshot has it.
    last_sequence: i64,
    /// Whether the history includes the first snapshot ever, or there was none yet.
    whole: bool,
}

impl History {
    pub(super) fn of(metadata: &TableMetadata) -> Self {
        let mut history = Self {
            ids: IdSet::from_ranges(ancestry(metadata).flat_map(ids_of)),
            reached: HashSet::new(),
            oldest_sequence: None,
            last_sequence: metadata.last_sequence_number(),
            whole: metadata.current_snapshot_id().is_none(),
        };
        for snapshot in ancestry(metadata) {
            history.reached.insert(snapshot.snapshot_id());
            history.reached.extend(snapshot.parent_snapshot_id());
            history.oldest_sequence = Some(snapshot.sequence_number());
            // Some catalogs return only one snapshot, without a parent, although it is not the first.
            history.whole = snapshot.parent_snapshot_id().is_none() && snapshot.sequence_number() <= 1;
        }
        history
    }

    /// How many of these ids are in snapshots of the history.
    pub(super) fn coverage(&self, ids: &[IdRange]) -> Coverage {
        self.ids.coverage(ids)
    }

    /// Whether the history contains every snapshot after `base`, so that ids that are not found were not
    /// added since.
    pub(super) fn covers(&self, base: &Base) -> bool {
        let reached = match base.snapshot_id {
            None => self.whole,
            Some(id) => self.reached.contains(&id),
        };
        // An older state of the table, such as a lagging copy, does not show later snapshots.
        if base.sequence_number > self.last_sequence {
            return false;
        }
        // In format v1 all sequence numbers are 0 and carry no information.
        let passed = base.sequence_number > 0
            && self
                .oldest_sequence
                .is_some_and(|oldest| oldest <= base.sequence_number);
        reached || passed
    }
}
