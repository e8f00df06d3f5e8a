//! Changes of a table whose last one is later than now: a clock went back, or another writer's is ahead.
//!
//! iceberg's builder stamps a change that adds no snapshot with the clock's time. More than a minute before
//! the table's last change it refuses that, or, for a table without snapshots, makes metadata that neither
//! it nor Java reads again. Such a change is stamped just after the last one instead, as our snapshots are.

use std::collections::HashMap;

use iceberg::spec::{TableMetadata, TableMetadataBuildResult};
use iceberg::{Error, ErrorKind, Result, TableUpdate};
use serde_json::Value;

use crate::clock::now_ms;

const LAST_UPDATED: &str = "last-updated-ms";
const SNAPSHOT_LOG: &str = "snapshot-log";
const TIMESTAMP: &str = "timestamp-ms";

/// Applies the updates to the metadata that is at `location`.
///
/// # Errors
/// When they do not fit the table.
pub(super) fn updated(
    metadata: &TableMetadata,
    location: &str,
    updates: Vec<TableUpdate>,
) -> Result<TableMetadataBuildResult> {
    let now_ms = now_ms();
    let adds_snapshot = updates
        .iter()
        .any(|update| matches!(update, TableUpdate::AddSnapshot { .. }));
    if adds_snapshot || now_ms >= metadata.last_updated_ms() {
        return applied(metadata.clone(), location, updates);
    }
    // What the builder compares with its own time is made to fit, and put right in what it built.
    let early = edited(metadata, |json| {
        for entry in entries(json) {
            let time = entry[TIMESTAMP].as_i64().unwrap_or(now_ms);
            entry[TIMESTAMP] = time.min(now_ms).into();
        }
    })?;
    let built = applied(early, location, updates)?;
    let times: HashMap<i64, i64> = metadata
        .history()
        .iter()
        .map(|entry| (entry.snapshot_id, entry.timestamp_ms))
        .collect();
    let metadata = edited(&built.metadata, |json| {
        for entry in entries(json) {
            let time = entry["snapshot-id"].as_i64().and_then(|id| times.get(&id));
            if let Some(time) = time {
                entry[TIMESTAMP] = (*time).into();
            }
        }
        json[LAST_UPDATED] = metadata.last_updated_ms().saturating_add(1).into();
    })?;
    Ok(TableMetadataBuildResult { metadata, ..built })
}

fn applied(
    metadata: TableMetadata,
    location: &str,
    updates: Vec<TableUpdate>,
) -> Result<TableMetadataBuildResult> {
    updates
        .into_iter()
        .try_fold(
            metadata.into_builder(Some(location.to_owned())),
            |builder, update| update.apply(builder),
        )?
        .build()
}

/// The metadata with some of its JSON changed.
fn edited(metadata: &TableMetadata, edit: impl FnOnce(&mut Value)) -> Result<TableMetadata> {
    let invalid = |cause| {
        Error::new(ErrorKind::DataInvalid, "the table's times cannot be put right").with_source(cause)
    };
    let mut json = serde_json::to_value(metadata).map_err(invalid)?;
    edit(&mut json);
    serde_json::from_value(json).map_err(invalid)
}

fn entries(json: &mut Value) -> impl Iterator<Item = &mut Value> {
    json[SNAPSHOT_LOG].as_array_mut().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use iceberg::spec::{
        FormatVersion, MAIN_BRANCH, Operation, Snapshot, SnapshotReference, SnapshotRetention, SortOrder,
        Summary, TableMetadataBuilder, UnboundPartitionSpec,
    };

    use super::*;
    use crate::schema;
    use crate::signal::Table;

    const LOCATION: &str = "/w/logs/metadata/1.metadata.json";

    fn table() -> TableMetadata {
        let schema = schema::iceberg_schema(Table::Logs).expect("a schema");
        let spec = UnboundPartitionSpec::default();
        let order = SortOrder::unsorted_order();
        TableMetadataBuilder::new(
            schema,
            spec,
            order,
            "/w/logs".into(),
            FormatVersion::V2,
            HashMap::new(),
        )
        .and_then(TableMetadataBuilder::build)
        .expect("a table")
        .metadata
    }

    fn append(metadata: &TableMetadata, id: i64, timestamp_ms: i64) -> Vec<TableUpdate> {
        let snapshot = Snapshot::builder()
            .with_snapshot_id(id)
            .with_parent_snapshot_id(metadata.current_snapshot_id())
            .with_sequence_number(metadata.last_sequence_number() + 1)
            .with_timestamp_ms(timestamp_ms)
            .with_manifest_list("/w/logs/metadata/snap.avro")
            .with_summary(Summary {
                operation: Operation::Append,
                additional_properties: HashMap::new(),
            })
            .build();
        let reference = SnapshotReference::new(id, SnapshotRetention::branch(None, None, None));
        vec![
            TableUpdate::AddSnapshot { snapshot },
            TableUpdate::SetSnapshotRef {
                ref_name: MAIN_BRANCH.into(),
                reference,
            },
        ]
    }

    fn property() -> Vec<TableUpdate> {
        vec![TableUpdate::SetProperties {
            updates: HashMap::from([("a".into(), "b".into())]),
        }]
    }

    #[test]
    fn a_table_that_is_ahead_of_the_clock_can_be_changed_and_read_again() {
        let ahead = now_ms() + 20 * 60_000;
        let empty = edited(&table(), |json| json[LAST_UPDATED] = ahead.into()).expect("edited");
        let appended = updated(&table(), LOCATION, append(&table(), 7, ahead)).expect("appended");
        for before in [empty, appended.metadata] {
            let after = updated(&before, LOCATION, property()).expect("changed").metadata;
            assert_eq!(after.last_updated_ms(), ahead + 1);
            assert_eq!(after.properties()["a"], "b");
            assert_eq!(after.history(), before.history());
            assert_eq!(
                after.metadata_log().last().map(|entry| entry.timestamp_ms),
                Some(ahead)
            );
            let json = serde_json::to_vec(&after).expect("written");
            assert_eq!(
                serde_json::from_slice::<TableMetadata>(&json).expect("read again"),
                after
            );
        }
    }

    #[test]
    fn a_table_that_is_not_ahead_has_the_clocks_time() {
        let before = now_ms();
        let after = updated(&table(), LOCATION, property()).expect("changed").metadata;
        assert!((before..=now_ms()).contains(&after.last_updated_ms()));
    }
}
