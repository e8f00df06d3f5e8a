//! The appends of one commit and the attempts made for them.

use std::collections::BTreeMap;

use iceberg::spec::TableMetadata;
use tokio::time::Instant;
use uuid::Uuid;

use super::history::{Base, History};
use super::ids::ancestry;
use super::producer::{AttemptFiles, Producer};
use super::queue::Queued;
use super::{Committed, Files, View};
use crate::catalog::LoadedTable;

/// The states of the table that a run's attempts were based on.
#[derive(Debug, Clone, Copy)]
pub(super) struct AttemptBases {
    table_id: Uuid,
    /// The base of the first attempt.
    first: Base,
    /// The latest base.
    last: Base,
}

/// The appends of one commit, and the attempts made for them.
pub(super) struct Run {
    pub(super) batch: Vec<Queued>,
    /// Latest deadline of the batch. No attempt begins after it.
    pub(super) deadline: Instant,
    /// Created at the first attempt, and again when the batch shrinks.
    pub(super) producer: Option<Producer>,
    /// The files that the producer's attempts wrote.
    pub(super) attempts: Vec<AttemptFiles>,
    /// Number of attempts that were sent to the catalog.
    pub(super) sent: u32,
    /// The bases of these attempts.
    pub(super) bases: Option<AttemptBases>,
    /// Whether it last waited because the catalog throttled a load.
    pub(super) has_waited: bool,
    /// Whether an attempt had an unknown outcome. The first is logged as a warning, since the others mostly follow
    /// from the same cause.
    pub(super) is_in_doubt: bool,
}

impl AttemptBases {
    /// Adds an attempt on this metadata to those `before`.
    pub(super) fn on(metadata: &TableMetadata, before: Option<Self>) -> Self {
        let base = Base::of(metadata);
        let new = Self {
            table_id: metadata.uuid(),
            first: base,
            last: base,
        };
        before.map_or(new, |before| Self {
            last: before.last.later(base),
            ..before
        })
    }

    /// Whether the table lacks this snapshot and its history would show it if it had been added. A snapshot
    /// that landed and was expired, or was lost with another table of the same name, is no longer visible. A
    /// snapshot that was rolled back still is. An older copy of the table than an attempt's base cannot show
    /// it either.
    pub(super) fn would_show(&self, metadata: &TableMetadata, snapshot_id: i64) -> bool {
        let history = History::of(metadata);
        self.table_id == metadata.uuid()
            && metadata.snapshot_by_id(snapshot_id).is_none()
            && history.covers(&self.first)
            && history.covers(&self.last)
    }
}

impl Run {
    /// A run for these appends, without attempts.
    pub(super) fn new(batch: Vec<Queued>) -> Self {
        let deadline = batch.iter().map(|queued| queued.deadline).max();
        Self {
            batch,
            deadline: deadline.unwrap_or_else(Instant::now),
            producer: None,
            attempts: Vec::new(),
            sent: 0,
            bases: None,
            has_waited: false,
            is_in_doubt: false,
        }
    }

    pub(super) fn producer_for(&mut self, table: &LoadedTable) -> &mut Producer {
        let (batch, metadata) = (&self.batch, &table.metadata);
        self.producer.get_or_insert_with(|| {
            let mut groups: BTreeMap<i32, Files> = BTreeMap::new();
            for append in batch
                .iter()
                .map(|queued| &queued.append)
                .filter(|append| !append.files.is_empty())
            {
                let id = append.partition_spec_id;
                let group = groups.entry(id).or_insert_with(|| Files {
                    partition_spec_id: id,
                    files: Vec::new(),
                });
                group.files.extend(append.files.iter().cloned());
            }
            let ids = batch.iter().flat_map(|queued| queued.append.ids.iter().copied());
            // A replacement is alone in its batch.
            let removal = batch.iter().find_map(|queued| queued.removal.clone());
            Producer::new(metadata, groups.into_values().collect(), removal, ids.collect())
        })
    }

    /// Whether none of the attempts is in the table, as far as its history shows.
    pub(super) fn is_surely_lacking(&self, metadata: &TableMetadata) -> bool {
        let snapshot_id = self.producer.as_ref().map_or(0, Producer::snapshot_id);
        self.bases
            .is_none_or(|bases| bases.would_show(metadata, snapshot_id))
    }

    /// The manifest list of the attempt that is in the table, if one is.
    pub(super) fn landed(&self, view: &View) -> Option<String> {
        let id = self.producer.as_ref()?.snapshot_id();
        ancestry(&view.table.metadata)
            .find(|snapshot| snapshot.snapshot_id() == id)
            .map(|snapshot| snapshot.manifest_list().to_owned())
    }

    pub(super) fn answer_committed(&mut self) {
        let snapshot_id = self.producer.as_ref().map_or(0, Producer::snapshot_id);
        let folded = u32::try_from(self.batch.len()).unwrap_or(u32::MAX);
        for queued in self.batch.drain(..) {
            queued.answer(Ok(Committed {
                snapshot_id,
                attempts: self.sent,
                folded,
                already_there: false,
            }));
        }
    }
}
