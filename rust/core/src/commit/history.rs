//! What a table remembers of its main branch, and whether that is enough to say what it never held.

use std::collections::HashSet;

use iceberg::spec::{SnapshotRef, TableMetadata};
use serde::{Deserialize, Serialize};

use super::ids::{Coverage, IdSet, ancestry, ids_of};
use crate::request::IdRange;

/// Where a table's main branch stood. What came after it can be told apart from what was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Base {
    /// The current snapshot; none in a table without snapshots.
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

    /// The later one of two, as far as sequence numbers tell; else the other one.
    pub(super) fn later(self, other: Self) -> Self {
        if other.sequence_number >= self.sequence_number {
            other
        } else {
            self
        }
    }

    /// Whether a main branch that was here may be here still, or again, given a look at the table. A look at an older copy of it, from a
    /// catalog whose reads lag behind, says nothing; in format v1, without sequence numbers, it cannot be told from a newer one.
    pub(super) fn may_be_current(&self, metadata: &TableMetadata) -> bool {
        self.snapshot_id == metadata.current_snapshot_id()
            || self.sequence_number > metadata.last_sequence_number()
    }

    /// Whether a snapshot of the main branch came after it.
    pub(super) fn is_before(&self, snapshot: &SnapshotRef) -> bool {
        self.snapshot_id != Some(snapshot.snapshot_id())
            && (self.sequence_number == 0 || snapshot.sequence_number() > self.sequence_number)
    }
}

/// All snapshots of the main branch that were not expired.
#[derive(Debug)]
pub(super) struct History {
    ids: IdSet,
    /// Those snapshots, and the parent of the oldest, which may be gone.
    reached: HashSet<i64>,
    oldest_sequence: Option<i64>,
    /// The table's, whichever snapshot has it.
    last_sequence: i64,
    /// Whether the first snapshot ever is among them, or there was none yet.
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
            // One without a parent that is not the first is all that some catalogs tell of.
            history.whole = snapshot.parent_snapshot_id().is_none() && snapshot.sequence_number() <= 1;
        }
        history
    }

    /// How much of these ids is in snapshots that are remembered.
    pub(super) fn coverage(&self, ids: &[IdRange]) -> Coverage {
        self.ids.coverage(ids)
    }

    /// Whether every snapshot that came after `base` is remembered, so that ids which are not found were
    /// not added since.
    pub(super) fn covers(&self, base: &Base) -> bool {
        let reached = match base.snapshot_id {
            None => self.whole,
            Some(id) => self.reached.contains(&id),
        };
        // An older state of the table, such as a copy of it that lags behind, says nothing of what came later.
        if base.sequence_number > self.last_sequence {
            return false;
        }
        // In format v1 all sequence numbers are 0 and tell nothing.
        let passed = base.sequence_number > 0
            && self
                .oldest_sequence
                .is_some_and(|oldest| oldest <= base.sequence_number);
        reached || passed
    }
}
