//! Changes of a table whose last change has a later time than now: our clock was set back, or another
//! writer's clock is ahead.
//!
//! iceberg's builder stamps a change without a new snapshot with the current time. If that is more than a
//! minute before the table's last change, it returns an error. For a table without snapshots, it builds
//! metadata that neither it nor Java can read. This module stamps such a change just after the last one
//! instead, as we do for our snapshots.

use std::collections::{HashMap, VecDeque};

use iceberg::spec::{TableMetadata, TableMetadataBuildResult};
use iceberg::{Error, ErrorKind, Result, TableUpdate};
use serde_json::{Map, Value};

use crate::clock::now_ms;

const LAST_UPDATED: &str = "last-updated-ms";
const TIMESTAMP: &str = "timestamp-ms";
/// The metadata's logs with times, and the field that identifies their entries.
const LOGS: [(&str, &str); 2] = [("snapshot-log", "snapshot-id"), ("metadata-log", "metadata-file")];

/// Applies the updates to the metadata at `location`.
///
/// # Errors
/// When the updates do not fit the table.
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
    // Logged times that the builder compares with its own time are lowered to it, and restored in the result.
    let mut times: HashMap<String, VecDeque<i64>> = HashMap::new();
    let early = edited(metadata, |fields| {
        for (name, entry) in entries(fields) {
            let time = entry.get(TIMESTAMP).and_then(Value::as_i64).unwrap_or(now_ms);
            entry.insert(TIMESTAMP.to_owned(), time.min(now_ms).into());
            times.entry(name).or_default().push_back(time);
        }
    })?;
    let built = applied(early, location, updates)?;
    // The previous metadata file's entry gets the time of the table's last change.
    let left = entry_name("metadata-log", &Value::from(location));
    times
        .entry(left)
        .or_default()
        .push_back(metadata.last_updated_ms());
    let last_updated_ms = metadata.last_updated_ms().saturating_add(1);
    let metadata = edited(&built.metadata, |fields| {
        for (name, entry) in entries(fields) {
            if let Some(time) = times.get_mut(&name).and_then(VecDeque::pop_front) {
                entry.insert(TIMESTAMP.to_owned(), time.into());
            }
        }
        fields.insert(LAST_UPDATED.to_owned(), last_updated_ms.into());
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

/// The metadata after `edit` has changed its JSON.
fn edited(metadata: &TableMetadata, edit: impl FnOnce(&mut Map<String, Value>)) -> Result<TableMetadata> {
    let invalid = |cause| {
        Error::new(ErrorKind::DataInvalid, "the table's times cannot be put right").with_source(cause)
    };
    let mut json = serde_json::to_value(metadata).map_err(invalid)?;
    if let Some(fields) = json.as_object_mut() {
        edit(fields);
    }
    serde_json::from_value(json).map_err(invalid)
}

/// The entries of both logs in order, with their names. A snapshot that was rolled back to appears again.
fn entries(fields: &mut Map<String, Value>) -> Vec<(String, &mut Map<String, Value>)> {
    let mut found = Vec::new();
    for (key, value) in fields.iter_mut() {
        let Some((log, name)) = LOGS.iter().find(|(log, _)| log == key) else {
            continue;
        };
        let entries = value.as_array_mut().into_iter().flatten();
        for entry in entries.filter_map(Value::as_object_mut) {
            let name = entry.get(*name).map(|name| entry_name(log, name));
            found.push((name.unwrap_or_default(), entry));
        }
    }
    found
}

fn entry_name(log: &str, name: &Value) -> String {
    format!("{log} {name}")
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
        let schema = schema::iceberg_schema(Table::Logs, &[], schema::ColumnCase::Pascal).expect("a schema");
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
        let empty = edited(&table(), |json| {
            json.insert(LAST_UPDATED.to_owned(), ahead.into());
        })
        .expect("edited");
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
            let again =
                updated(&after, "/w/logs/metadata/2.metadata.json", property()).expect("changed again");
            assert_eq!(again.metadata.last_updated_ms(), ahead + 2);
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
