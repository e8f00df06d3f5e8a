//! Builds our snapshots without committing them: from data files to manifests, a manifest list and a
//! snapshot.
//!
//! One producer makes all attempts of one commit: of an append, or of a file that replaces others with the
//! same rows. The snapshot id and the manifests of the new files are the same in all attempts. Sequence
//! numbers are inherited, so any snapshot can list these manifests. The manifest list and merged manifests
//! are written again for each attempt. Iceberg spec: "Manifests", "Manifest Lists", "Snapshots", "Sequence
//! Number Inheritance".

use std::collections::HashSet;

use iceberg::spec::{
    FormatVersion, ManifestContentType, ManifestFile, ManifestListWriter, Snapshot, Summary, TableMetadata,
    UNASSIGNED_SEQUENCE_NUMBER,
};
use iceberg::{TableRequirement, TableUpdate};

use super::Files;
use super::expire_plan::Expired;
use super::ids::{joined, to_text};
use super::manifest_writers::{ManifestWriters, partition_spec};
use super::merge::{Merged, merge};
use super::odd_manifests::OddManifests;
use super::partition_types::by_schema;
use super::removal::{Removal, TakenOut, take_out};
use super::snapshot_updates::{requirements, updates};
use super::summary::{ManifestCounts, Removed, summary};
use super::unneeded::delete;
use crate::catalog::{LoadedTable, manifests, metadata_folder};
use crate::clock::now_ms;
use crate::error::Result;
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

/// The manifests of one attempt's list.
struct Listed {
    manifests: Vec<ManifestFile>,
    /// The locations of those that were written for this attempt only.
    written: Vec<String>,
    /// The files that the attempt replaces, if any.
    removed: Option<Removed>,
    /// The locations of the parent snapshot's manifests.
    in_parent: HashSet<String>,
}

/// Makes the attempts of one commit.
#[derive(Debug)]
pub(super) struct Producer {
    writers: ManifestWriters,
    files: Vec<Files>,
    /// The files whose rows `files` hold, if any.
    removal: Option<Removal>,
    ids: Vec<IdRange>,
    /// Manifests of `files`, once written.
    added: Vec<ManifestFile>,
    /// Manifests of attempts whose manifest list could not be written, so that no list contains them.
    unlisted: Vec<String>,
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
            writers: ManifestWriters::new(metadata),
            files,
            removal,
            ids,
            added: Vec::new(),
            unlisted: Vec::new(),
            attempts: 0,
            handed_out: false,
        }
    }

    /// The snapshot id in every attempt.
    pub(super) fn snapshot_id(&self) -> i64 {
        self.writers.snapshot_id()
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
        let listed = self.listed(table, odd).await?;
        let files = AttemptFiles {
            manifest_list: self.manifest_list_path(metadata),
            listed: listed
                .manifests
                .iter()
                .map(|manifest| manifest.manifest_path.clone())
                .collect(),
            written: listed.written,
            expired,
        };
        let counts = ManifestCounts {
            created: files.listed.difference(&listed.in_parent).count(),
            kept: files.listed.intersection(&listed.in_parent).count(),
            replaced: listed.in_parent.difference(&files.listed).count(),
        };
        let summary = summary(
            metadata,
            &self.files,
            listed.removed,
            [to_text(&self.ids), joined(others)],
            counts,
        );
        let list = self.write_manifest_list(table, &files.manifest_list, listed.manifests);
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

    /// The manifests of an attempt: those of the new files, which are written already, and the parent's. Merges
    /// some of them, and removes the replaced files from them.
    async fn listed(&self, table: &LoadedTable, odd: &OddManifests) -> Result<Listed> {
        let writers = &self.writers;
        let (parent_data, parent_deletes) = parent_manifests(table).await?;
        let in_parent: HashSet<String> = parent_data
            .iter()
            .chain(&parent_deletes)
            .map(|manifest| manifest.manifest_path.clone())
            .collect();
        let taken_out = match &self.removal {
            // Boxed: it is rare, and would make every append's future larger.
            Some(removal) => {
                Box::pin(take_out(writers, table, parent_data, &parent_deletes, removal)).await?
            }
            None => TakenOut::nothing(parent_data),
        };

        let mut data = self.added.clone();
        data.extend(taken_out.manifests);
        let Merged {
            mut manifests,
            written: merged,
        } = merge(writers, table, data, odd).await;
        manifests.extend(taken_out.deleted);
        manifests.extend(parent_deletes);
        Ok(Listed {
            manifests,
            written: [taken_out.written, merged].concat(),
            removed: taken_out.removed,
            in_parent,
        })
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
            let mut writer = self.writers.writer_with(table, part.spec_id, part.schema)?;
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
            self.writers.snapshot_id(),
            self.attempts,
            self.writers.commit_id()
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
            self.writers.snapshot_id(),
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
            .with_snapshot_id(self.writers.snapshot_id())
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
