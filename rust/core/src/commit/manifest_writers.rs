//! Writers of the data manifests that one commit adds to the table's metadata.

use std::sync::atomic::{AtomicU32, Ordering};

use iceberg::spec::{
    FormatVersion, ManifestWriter, ManifestWriterBuilder, PartitionSpecRef, SchemaRef, TableMetadata,
};
use uuid::Uuid;

use crate::catalog::{LoadedTable, metadata_folder};
use crate::error::{Error, ErrorKind, Result};

/// Makes the writers of one commit's manifests.
#[derive(Debug)]
pub(super) struct ManifestWriters {
    snapshot_id: i64,
    commit_id: Uuid,
    /// Number of manifests that have a name. All attempts share it, so no name is given twice.
    named: AtomicU32,
}

impl ManifestWriters {
    pub(super) fn new(metadata: &TableMetadata) -> Self {
        Self {
            snapshot_id: new_snapshot_id(metadata),
            commit_id: Uuid::new_v4(),
            named: AtomicU32::new(0),
        }
    }

    /// The id of the commit's snapshot.
    pub(super) fn snapshot_id(&self) -> i64 {
        self.snapshot_id
    }

    /// The id in the names of the commit's metadata files.
    pub(super) fn commit_id(&self) -> Uuid {
        self.commit_id
    }

    /// A writer for a new data manifest of this commit, with the table's current schema.
    pub(super) fn writer(&self, table: &LoadedTable, spec_id: i32) -> Result<ManifestWriter> {
        self.writer_with(table, spec_id, table.metadata.current_schema())
    }

    /// As [`ManifestWriters::writer`], with another schema of the table.
    pub(super) fn writer_with(
        &self,
        table: &LoadedTable,
        spec_id: i32,
        schema: &SchemaRef,
    ) -> Result<ManifestWriter> {
        let metadata = &table.metadata;
        let spec = partition_spec(table, spec_id)?;
        let number = self.named.fetch_add(1, Ordering::Relaxed);
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
}

/// The partition spec of files that are to be listed.
///
/// # Errors
/// `TableMismatch` when the table no longer has it.
pub(super) fn partition_spec(table: &LoadedTable, id: i32) -> Result<&PartitionSpecRef> {
    table.metadata.partition_spec_by_id(id).ok_or_else(|| {
        Error::new(
            ErrorKind::TableMismatch,
            "the table no longer has the partition spec that files were written with",
        )
        .with("table", table.ident.to_string())
        .with("partition spec", id.to_string())
    })
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
