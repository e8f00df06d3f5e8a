//! Builds our snapshots without committing them: from data files to manifests, a manifest list and a
//! snapshot.
//!
//! One producer makes all attempts of one commit: of an append, or of a file that replaces others with the
//! same rows. The snapshot id and the manifests of the new files are the same in all attempts. Sequence
//! numbers are inherited, so any snapshot can list these manifests. The manifest list and merged manifests
//! are written again for each attempt. Iceberg spec: "Manifests", "Manifest Lists", "Snapshots", "Sequence
//! Number Inheritance".

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::future::join_all;
use iceberg::spec::{
    FormatVersion, MAIN_BRANCH, ManifestContentType, ManifestFile, ManifestListWriter, ManifestWriter,
    ManifestWriterBuilder, PartitionSpecRef, SchemaRef, Snapshot, Summary, TableMetadata,
    TableMetadataBuilder, UNASSIGNED_SEQUENCE_NUMBER,
};
use iceberg::{TableRequirement, TableUpdate};
use uuid::Uuid;

use super::Files;
use super::expire_plan::Expired;
use super::ids::{joined, to_text};
use super::merge::{Merged, merge};
use super::odd_manifests::OddManifests;
use super::partition_types::by_schema;
use super::receipts::AT_ONCE;
use super::removal::{Removal, TakenOut, take_out};
use super::summary::{ManifestCounts, summary};
use crate::catalog::{LoadedTable, manifests, metadata_folder};
use crate::cause::IcebergCause;
use crate::clock::now_ms;
use crate::error::{Error, ErrorKind, Result, RetryClass};
use crate::request::IdRange;

/// One attempt, ready to be committed.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) requirements: Vec<TableRequirement>,
    pub(super) updates: Vec<TableUpdate>,
    pub(super) files: AttemptFiles,
}

/// The metadata files of one attempt.
#[derive(Debug)]
pub(super) struct AttemptFiles {
    /// The manifest list, which also identifies the attempt.
    pub(super) manifest_list: String,
    /// All manifests in the list.
    pub(super) listed: HashSet<String>,
    /// Manifests written for this attempt only.
    written: Vec<String>,
    /// The snapshots that it expires.
    pub(super) expired: Option<Expired>,
}

/// Makes the attempts of one commit.
#[derive(Debug)]
pub(super) struct Producer {
    snapshot_id: i64,
    commit_id: Uuid,
    files: Vec<Files>,
    /// The files whose rows `files` hold, if any.
    removal: Option<Removal>,
    ids: Vec<IdRange>,
    /// Manifests of `files`, once written.
    added: Vec<ManifestFile>,
    /// Manifests of attempts whose manifest list could not be written, so that no list contains them.
    unlisted: Vec<String>,
    manifests_named: AtomicU32,
    attempts: u32,
    /// Whether an attempt was handed out. Such an attempt lists `added`, and may be in the table now or
    /// later.
    handed_out: bool,
}

impl Producer {
    /// `files` by partition spec, each group not empty. The summary gets `ids`.
    pub(super) fn new(
        metadata: &TableMetadata,
        files: Vec<Files>,
        removal: Option<Removal>,
        ids: Vec<IdRange>,
    ) -> Self {
        Self {
            snapshot_id: new_snapshot_id(metadata),
            commit_id: Uuid::new_v4(),
            files,
            removal,
            ids,
            added: Vec::new(),
            unlisted: Vec::new(),
            manifests_named: AtomicU32::new(0),
            attempts: 0,
            handed_out: false,
        }
    }

    /// The snapshot id in every attempt.
    pub(super) fn snapshot_id(&self) -> i64 {
        self.snapshot_id
    }

    /// Writes all metadata files of an attempt on top of the table as loaded. The attempt also expires the
    /// `expired` snapshots. `others` are ids of other snapshots that its summary carries over. `odd` are the
    /// table's manifests that are not merged.
    pub(super) async fn attempt(
        &mut self,
        table: &LoadedTable,
        expired: Option<Expired>,
        others: &[IdRange],
        odd: &OddManifests,
    ) -> Result<Attempt> {
        self.attempts += 1;
        let metadata = &table.metadata;
        self.write_added(table).await?;
        let (parent_data, parent_deletes) = parent_manifests(table).await?;
        let parents: HashSet<String> = parent_data
            .iter()
            .chain(&parent_deletes)
            .map(|manifest| manifest.manifest_path.clone())
            .collect();
        let taken_out = match &self.removal {
            // Boxed: it is rare, and would make every append's future larger.
            Some(removal) => Box::pin(take_out(self, table, parent_data, &parent_deletes, removal)).await?,
            None => TakenOut::nothing(parent_data),
        };

        let mut data = self.added.clone();
        data.extend(taken_out.manifests);
        let Merged {
            manifests: mut listed,
            written: merged,
        } = merge(self, table, data, odd).await;
        listed.extend(taken_out.deleted);
        listed.extend(parent_deletes);

        let files = AttemptFiles {
            manifest_list: self.manifest_list_path(metadata),
            listed: listed
                .iter()
                .map(|manifest| manifest.manifest_path.clone())
                .collect(),
            written: [taken_out.written, merged].concat(),
            expired,
        };
        let counts = ManifestCounts {
            created: files.listed.difference(&parents).count(),
            kept: files.listed.intersection(&parents).count(),
            replaced: parents.difference(&files.listed).count(),
        };
        let summary = summary(
            metadata,
            &self.files,
            taken_out.removed,
            [to_text(&self.ids), joined(others)],
            counts,
        );
        let list = self.write_manifest_list(table, &files.manifest_list, listed);
        let row_range = match list.await {
            Ok(row_range) => row_range,
            Err(error) => {
                self.unlisted.extend(files.written);
                return Err(error);
            }
        };
        let snapshot = self.snapshot(metadata, &files.manifest_list, summary, row_range);
        match updates(table, snapshot, files.expired.as_ref()) {
            Ok(updates) => {
                self.handed_out = true;
                Ok(Attempt {
                    requirements: requirements(metadata),
                    updates,
                    files,
                })
            }
            Err(error) => {
                // This may happen for each attempt, so its files are deleted at once.
                delete(table, self.unseen(files)).await;
                Err(error)
            }
        }
    }

    /// The metadata files of an attempt that was not handed out. Includes the manifests that all attempts
    /// share only if no attempt was handed out.
    fn unseen(&mut self, attempt: AttemptFiles) -> Vec<String> {
        let mut paths = attempt.written;
        paths.push(attempt.manifest_list);
        if !self.handed_out {
            paths.extend(self.added.drain(..).map(|manifest| manifest.manifest_path));
        }
        paths
    }

    /// The metadata files of attempts that no snapshot uses, given the manifest list of the attempt that won,
    /// if any. Empty if none of the attempts has the winner's manifest list, because the table has it under
    /// another name.
    pub(super) fn unused(&self, attempts: &[AttemptFiles], winner: Option<&str>) -> Vec<String> {
        let won = attempts
            .iter()
            .find(|attempt| Some(attempt.manifest_list.as_str()) == winner);
        if winner.is_some() && won.is_none() {
            return Vec::new();
        }
        let added = self.added.iter().map(|manifest| &manifest.manifest_path);
        attempts
            .iter()
            .flat_map(|attempt| attempt.written.iter().chain([&attempt.manifest_list]))
            .chain(added)
            .chain(&self.unlisted)
            .filter(|path| won.is_none_or(|won| won.manifest_list != **path && !won.listed.contains(*path)))
            .cloned()
            .collect()
    }

    /// A writer for a new data manifest of this commit, with the table's current schema.
    pub(super) fn manifest_writer(&self, table: &LoadedTable, spec_id: i32) -> Result<ManifestWriter> {
        self.manifest_writer_with(table, spec_id, table.metadata.current_schema())
    }

    fn manifest_writer_with(
        &self,
        table: &LoadedTable,
        spec_id: i32,
        schema: &SchemaRef,
    ) -> Result<ManifestWriter> {
        let metadata = &table.metadata;
        let spec = partition_spec(table, spec_id)?;
        let number = self.manifests_named.fetch_add(1, Ordering::Relaxed);
        let path = format!("{}/{}-m{number}.avro", metadata_folder(metadata), self.commit_id);
        let output = table
            .file_io
            .new_output(path)
            .map_err(|cause| table.storage_error("cannot write a manifest", cause))?;
        let builder = ManifestWriterBuilder::new(
            output,
            Some(self.snapshot_id),
            schema.clone(),
            spec.as_ref().clone(),
        );
        Ok(match metadata.format_version() {
            FormatVersion::V1 => builder.build_v1(),
            FormatVersion::V2 => builder.build_v2_data(),
            FormatVersion::V3 => builder.build_v3_data(),
        })
    }

    /// Writes the manifests of the new files, unless an earlier attempt did: one per partition spec, and
    /// another one for files from before one of the spec's columns was widened.
    async fn write_added(&mut self, table: &LoadedTable) -> Result<()> {
        // Also checked for manifests that were already written: the table may have changed since.
        for group in &self.files {
            partition_spec(table, group.partition_spec_id)?
                .partition_type(table.metadata.current_schema())
                .map_err(|cause| table.storage_error("the partition spec does not fit the schema", cause))?;
        }
        if !self.added.is_empty() {
            return Ok(());
        }
        let mut parts = Vec::with_capacity(self.files.len());
        for group in &self.files {
            let spec = partition_spec(table, group.partition_spec_id)?;
            parts.extend(by_schema(table, spec, &group.files)?);
        }
        let mut manifests = Vec::with_capacity(parts.len());
        for part in parts {
            let mut writer = self.manifest_writer_with(table, part.spec_id, part.schema)?;
            for file in part.files {
                writer
                    .add_file(file.clone(), UNASSIGNED_SEQUENCE_NUMBER)
                    .map_err(|cause| table.storage_error("cannot add a data file to a manifest", cause))?;
            }
            let written = writer.write_manifest_file().await;
            manifests.push(written.map_err(|cause| table.storage_error("cannot write a manifest", cause))?);
        }
        self.added = manifests;
        Ok(())
    }

    fn manifest_list_path(&self, metadata: &TableMetadata) -> String {
        format!(
            "{}/snap-{}-{}-{}.avro",
            metadata_folder(metadata),
            self.snapshot_id,
            self.attempts,
            self.commit_id
        )
    }

    /// Writes the manifest list. Returns the snapshot's first row id and number of rows in format v3.
    async fn write_manifest_list(
        &self,
        table: &LoadedTable,
        path: &str,
        manifests: Vec<ManifestFile>,
    ) -> Result<Option<(u64, u64)>> {
        let metadata = &table.metadata;
        let (id, parent, sequence) = (
            self.snapshot_id,
            metadata.current_snapshot_id(),
            metadata.next_sequence_number(),
        );
        let first_row_id = metadata.next_row_id();
        let written = async {
            let writer = table.file_io.new_output(path)?.writer().await?;
            let mut list = match metadata.format_version() {
                FormatVersion::V1 => ManifestListWriter::v1(writer, id, parent),
                FormatVersion::V2 => ManifestListWriter::v2(writer, id, parent, sequence),
                FormatVersion::V3 => ManifestListWriter::v3(writer, id, parent, sequence, Some(first_row_id)),
            };
            list.add_manifests(manifests.into_iter())?;
            let next_row_id = list.next_row_id();
            list.close().await?;
            Ok(next_row_id)
        };
        let next_row_id = written
            .await
            .map_err(|cause| table.storage_error("cannot write the manifest list", cause))?;
        Ok(next_row_id.map(|next| (first_row_id, next.saturating_sub(first_row_id))))
    }

    fn snapshot(
        &self,
        metadata: &TableMetadata,
        manifest_list: &str,
        summary: Summary,
        row_range: Option<(u64, u64)>,
    ) -> Snapshot {
        let builder = Snapshot::builder()
            .with_snapshot_id(self.snapshot_id)
            .with_parent_snapshot_id(metadata.current_snapshot_id())
            .with_sequence_number(metadata.next_sequence_number())
            .with_timestamp_ms(timestamp_ms(now_ms(), metadata))
            .with_manifest_list(manifest_list)
            .with_summary(summary)
            .with_schema_id(metadata.current_schema_id());
        match row_range {
            Some((first_row_id, rows)) => builder.with_row_range(first_row_id, rows).build(),
            None => builder.build(),
        }
    }
}

fn partition_spec(table: &LoadedTable, id: i32) -> Result<&PartitionSpecRef> {
    table.metadata.partition_spec_by_id(id).ok_or_else(|| {
        Error::new(
            ErrorKind::TableMismatch,
            "the table no longer has the partition spec that files were written with",
        )
        .with("table", table.ident.to_string())
        .with("partition spec", id.to_string())
    })
}

/// Adds the snapshot, moves the main branch to it, and removes expired snapshots with their statistics. Uses
/// the metadata builder, which keeps the branch's retention settings.
fn updates(table: &LoadedTable, snapshot: Snapshot, expired: Option<&Expired>) -> Result<Vec<TableUpdate>> {
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

/// Deletes unneeded files, several at a time: other commits of the table wait for it.
pub(super) async fn delete(table: &LoadedTable, paths: Vec<String>) {
    for some in paths.chunks(AT_ONCE) {
        let deletions = some.iter().map(|path| async move {
            if let Err(cause) = table.file_io.delete(path).await {
                tracing::warn!(path, %cause, "cannot delete a file that is not needed");
            }
        });
        join_all(deletions).await;
    }
}

/// Requires the same table, with its main branch at this attempt's parent.
fn requirements(metadata: &TableMetadata) -> Vec<TableRequirement> {
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

/// The current snapshot's data and delete manifests. Manifests without a live file are left out, as in Java's
/// `MergingSnapshotProducer`.
async fn parent_manifests(table: &LoadedTable) -> Result<(Vec<ManifestFile>, Vec<ManifestFile>)> {
    let Some(parent) = table.metadata.current_snapshot() else {
        return Ok((Vec::new(), Vec::new()));
    };
    let listed = manifests(table, parent.manifest_list()).await;
    Ok(listed
        .map_err(|cause| table.storage_error("cannot read the current manifest list", cause))?
        .into_iter()
        .filter(|manifest| manifest.has_added_files() || manifest.has_existing_files())
        .partition(|manifest| manifest.content == ManifestContentType::Data))
}

/// A positive random id that no snapshot of the table has.
fn new_snapshot_id(metadata: &TableMetadata) -> i64 {
    loop {
        let (high, low) = Uuid::new_v4().as_u64_pair();
        let id = ((high ^ low) & i64::MAX.unsigned_abs()).cast_signed();
        if id != 0 && metadata.snapshot_by_id(id).is_none() {
            return id;
        }
    }
}

/// The current time, or just after the table's latest timestamp if the clock went back.
fn timestamp_ms(now_ms: i64, metadata: &TableMetadata) -> i64 {
    let Some(parent) = metadata.current_snapshot() else {
        return now_ms.max(metadata.last_updated_ms());
    };
    let seen = parent.timestamp_ms().max(metadata.last_updated_ms());
    if now_ms >= seen {
        now_ms
    } else {
        seen.saturating_add(1)
    }
}
