//! Recognises the tables' own files. If tables share a bucket with objects to load, the bucket's events also
//! report the tables' files.
//!
//! The writer of a table's file commits it, whether it is this library, a compaction or an engine.
//! Registering it again would duplicate its rows.

use iceberg::spec::TableMetadata;

use super::Pipeline;
use crate::catalog::metadata_folder;
use crate::commit::OWN_FOLDER;
use crate::signal::Table;
use crate::write::writers_folders;

impl Pipeline {
    /// The table that owns the file at this location, judging by the location alone: whether the table's
    /// writers put data files, metadata or receipts there.
    ///
    /// Tables that this process has not used yet are loaded if the name is that of a metadata file. A data
    /// file's table is loaded when the file is [prepared](Pipeline::prepare_files).
    pub async fn owner(&self, location: &str) -> Option<Table> {
        if self.config.catalog.is_in_s3_tables() {
            // These tables are in buckets without events.
            return None;
        }
        let known = self.known_owner(location);
        let may_be_another_tables = is_named_as_metadata(location) || !self.catalog.keeps_tables();
        if known.is_some() || !may_be_another_tables {
            return known;
        }
        self.warm().await;
        self.known_owner(location)
    }

    /// As [`Pipeline::owner`], for open tables only.
    pub(super) fn known_owner(&self, location: &str) -> Option<Table> {
        Table::ALL.into_iter().find(|table| {
            let destination = self.destinations[*table as usize].get();
            destination.is_some_and(|destination| is_own(&destination.table().metadata, location))
        })
    }
}

/// Whether a location is in a folder that the table's writers use.
fn is_own(metadata: &TableMetadata, location: &str) -> bool {
    let table = metadata.location().trim_end_matches('/');
    let others = [
        format!("{}/", metadata_folder(metadata)),
        format!("{table}/metadata/"),
        format!("{table}/{OWN_FOLDER}/"),
    ];
    let path = without_scheme(location);
    let mut folders = writers_folders(metadata).into_iter().chain(others);
    folders.any(|folder| path.starts_with(without_scheme(&folder)))
}

/// `s3://` and `s3a://` are the same place.
fn without_scheme(location: &str) -> &str {
    location.split_once("://").map_or(location, |(_, path)| path)
}

/// Manifests, table metadata, statistics, receipts: OTLP files have no such names.
fn is_named_as_metadata(location: &str) -> bool {
    let endings = [
        ".avro",
        ".metadata.json",
        ".metadata.json.gz",
        ".stats",
        ".puffin",
    ];
    endings.iter().any(|ending| location.ends_with(ending)) || location.contains(&format!("/{OWN_FOLDER}/"))
}
