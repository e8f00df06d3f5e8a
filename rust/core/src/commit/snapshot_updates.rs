//! What an attempt asks of the catalog: what must still be true of the table, and what changes.

use iceberg::spec::{MAIN_BRANCH, Snapshot, TableMetadata, TableMetadataBuilder};
use iceberg::{TableRequirement, TableUpdate};

use super::expire_plan::Expired;
use crate::catalog::LoadedTable;
use crate::cause::IcebergCause;
use crate::error::{Error, ErrorKind, Result, RetryClass};

/// Requires the same table, with its main branch at this attempt's parent.
pub(super) fn requirements(metadata: &TableMetadata) -> Vec<TableRequirement> {
    vec![
        TableRequirement::UuidMatch {
            uuid: metadata.uuid(),
        },
        TableRequirement::RefSnapshotIdMatch {
            r#ref: MAIN_BRANCH.to_owned(),
            snapshot_id: metadata.current_snapshot_id(),
        },
    ]
}

/// Adds the snapshot, moves the main branch to it, and removes expired snapshots with their statistics. Uses
/// the metadata builder, which keeps the branch's retention settings.
///
/// # Errors
/// `TableMismatch`, retryable, when iceberg-rust refuses the changes.
pub(super) fn updates(
    table: &LoadedTable,
    snapshot: Snapshot,
    expired: Option<&Expired>,
) -> Result<Vec<TableUpdate>> {
    let removed = expired.map(Expired::ids).unwrap_or_default();
    TableMetadata::clone(&table.metadata)
        .into_builder(None)
        .set_branch_snapshot(snapshot, MAIN_BRANCH)
        .map(|builder| without(builder, &removed))
        .and_then(TableMetadataBuilder::build)
        .map(|built| built.changes.into_iter().flat_map(one_each).collect())
        .map_err(|cause| {
            // iceberg-rust may refuse valid metadata, so the data is not given up.
            Error::new(ErrorKind::TableMismatch, "the table cannot take a new snapshot")
                .with("table", table.ident.to_string())
                .class(RetryClass::Retry { after: None })
                .because(IcebergCause(cause))
        })
}

/// Removes snapshots and their statistics. iceberg-rust keeps the statistics of a removed snapshot. Java and
/// pyiceberg remove them with it, and pyiceberg then refuses to remove them again. So they go first.
fn without(builder: TableMetadataBuilder, snapshot_ids: &[i64]) -> TableMetadataBuilder {
    snapshot_ids
        .iter()
        .fold(builder, |builder, id| {
            builder.remove_statistics(*id).remove_partition_statistics(*id)
        })
        .remove_snapshots(snapshot_ids)
}

/// Removes each snapshot in an update of its own: Java before 1.9 refuses an update that removes several.
fn one_each(update: TableUpdate) -> Vec<TableUpdate> {
    match update {
        TableUpdate::RemoveSnapshots { snapshot_ids } => snapshot_ids
            .into_iter()
            .map(|id| TableUpdate::RemoveSnapshots {
                snapshot_ids: vec![id],
            })
            .collect(),
        other => vec![other],
    }
}
