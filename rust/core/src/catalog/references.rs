//! A table's branches and tags. iceberg-rust exposes them only by name.

use std::collections::HashMap;

use iceberg::TableUpdate;
use iceberg::spec::{MAIN_BRANCH, SnapshotReference, SnapshotRetention, TableMetadata};
use serde::{Deserialize, Serialize};

/// All branches and tags of a table's metadata, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct References(pub(crate) HashMap<String, SnapshotReference>);

impl References {
    /// Reads them from the metadata's JSON. This takes as long as writing the whole metadata.
    pub(crate) fn of(metadata: &TableMetadata) -> Option<Self> {
        Self::in_json(&serde_json::to_vec(metadata).ok()?)
    }

    /// Reads them from a metadata file's JSON. Format v1 has none.
    pub(super) fn in_json(text: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct OnlyReferences {
            #[serde(default)]
            refs: References,
        }
        let only: OnlyReferences = serde_json::from_slice(text).ok()?;
        Some(only.refs)
    }

    /// Whether there is no reference but a main branch without retention settings.
    pub(super) fn are_main_alone(&self) -> bool {
        self.0.iter().all(|(name, reference)| {
            name == MAIN_BRANCH
                && matches!(
                    reference.retention,
                    SnapshotRetention::Branch {
                        min_snapshots_to_keep: None,
                        max_snapshot_age_ms: None,
                        max_ref_age_ms: None,
                    }
                )
        })
    }

    /// The references after these updates.
    pub(super) fn updated(&self, updates: &[TableUpdate]) -> Self {
        let mut names = self.0.clone();
        for update in updates {
            match update {
                TableUpdate::SetSnapshotRef { ref_name, reference } => {
                    names.insert(ref_name.clone(), reference.clone());
                }
                TableUpdate::RemoveSnapshotRef { ref_name } => {
                    names.remove(ref_name);
                }
                _ => {}
            }
        }
        Self(names)
    }

    /// The references that the metadata built by the same updates has: the builder drops those of removed
    /// snapshots. `None` if the two disagree.
    pub(super) fn confirmed(mut self, metadata: &TableMetadata) -> Option<Self> {
        let points_to = |name: &str| {
            metadata
                .snapshot_for_ref(name)
                .map(|snapshot| snapshot.snapshot_id())
        };
        self.0.retain(|name, _| points_to(name).is_some());
        let agrees = self
            .0
            .iter()
            .all(|(name, reference)| points_to(name) == Some(reference.snapshot_id))
            && (points_to(MAIN_BRANCH).is_some() == self.0.contains_key(MAIN_BRANCH));
        agrees.then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use iceberg::spec::SnapshotRetention;
    use serde_json::json;

    use super::*;

    fn table() -> TableMetadata {
        let snapshot = |id: i64| {
            json!({"snapshot-id": id, "sequence-number": id, "timestamp-ms": id, "manifest-list": "/t/snap.avro",
                "summary": {"operation": "append"}})
        };
        serde_json::from_value(json!({
            "format-version": 2,
            "table-uuid": "9c12d441-03fe-4693-9a96-a0705ddf69c1",
            "location": "/t",
            "last-sequence-number": 3, "last-updated-ms": 3, "last-column-id": 0,
            "current-schema-id": 0, "schemas": [{"type": "struct", "schema-id": 0, "fields": []}],
            "default-spec-id": 0, "partition-specs": [{"spec-id": 0, "fields": []}], "last-partition-id": 999,
            "default-sort-order-id": 0, "sort-orders": [{"order-id": 0, "fields": []}],
            "current-snapshot-id": 3,
            "snapshots": [snapshot(1), snapshot(2), snapshot(3)],
            "snapshot-log": [{"snapshot-id": 3, "timestamp-ms": 3}],
            "refs": {"main": {"snapshot-id": 3, "type": "branch", "max-ref-age-ms": 9},
                "old": {"snapshot-id": 1, "type": "tag"}},
        }))
        .expect("a table")
    }

    fn set(name: &str, snapshot_id: i64, retention: SnapshotRetention) -> TableUpdate {
        TableUpdate::SetSnapshotRef {
            ref_name: name.to_owned(),
            reference: SnapshotReference::new(snapshot_id, retention),
        }
    }

    fn removed(name: &str) -> TableUpdate {
        TableUpdate::RemoveSnapshotRef {
            ref_name: name.to_owned(),
        }
    }

    #[test]
    fn what_updates_lead_to_is_what_the_metadata_has() {
        let tag = SnapshotRetention::Tag {
            max_ref_age_ms: Some(4),
        };
        let branch = SnapshotRetention::branch(Some(1), Some(2), None);
        for updates in [
            vec![],
            vec![set("new", 2, tag.clone()), set("old", 2, tag.clone())],
            vec![set("main", 2, branch.clone())],
            vec![set("old", 2, branch), removed("old"), removed("never")],
            vec![removed("main")],
            vec![TableUpdate::RemoveSnapshots {
                snapshot_ids: vec![1],
            }],
            vec![
                set("new", 2, tag),
                TableUpdate::RemoveSnapshots {
                    snapshot_ids: vec![1, 2],
                },
            ],
        ] {
            let before = table();
            let expected = References::of(&before).expect("references").updated(&updates);
            let builder = updates
                .iter()
                .try_fold(before.into_builder(None), |builder, update| {
                    update.clone().apply(builder)
                });
            let after = builder
                .and_then(iceberg::spec::TableMetadataBuilder::build)
                .expect("updated")
                .metadata;
            assert_eq!(expected.confirmed(&after), References::of(&after), "{updates:?}");
        }
    }

    #[test]
    fn what_the_metadata_does_not_have_so_is_not_known() {
        let metadata = table();
        let known = References::of(&metadata).expect("references");
        let elsewhere = known.updated(&[set("main", 2, SnapshotRetention::branch(None, None, None))]);
        assert_eq!(elsewhere.confirmed(&metadata), None);
        assert_eq!(References::default().confirmed(&metadata), None);
        assert_eq!(known.clone().confirmed(&metadata), Some(known));
    }
}
