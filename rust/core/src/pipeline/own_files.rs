//! Files that are the tables' own. Where tables share a bucket with objects that are to be loaded, the bucket's
//! events tell of them as well.
//!
//! Whoever writes a file of a table commits it, be it this library, a compaction or an engine. To register it again would
//! double its rows.

use iceberg::spec::TableMetadata;

use super::Pipeline;
use crate::catalog::metadata_folder;
use crate::commit::OWN_FOLDER;
use crate::signal::Table;
use crate::write::writers_folders;

impl Pipeline {
    /// The table whose own file lies at this location, as far as its place tells: where the table's writers put data files,
    /// metadata and receipts.
    ///
    /// Tables that this process has not used yet are looked at when the name is that of metadata. A data file's table is
    /// looked at when the file is [prepared](Pipeline::prepare_files).
    pub async fn owner(&self, location: &str) -> Option<Table> {
        if self.config.catalog.is_in_s3_tables() {
            // They lie in buckets that have no events.
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

    /// The same, of the tables that are open.
    pub(super) fn known_owner(&self, location: &str) -> Option<Table> {
        Table::ALL.into_iter().find(|table| {
            let destination = self.destinations[*table as usize].get();
            destination.is_some_and(|destination| is_own(&destination.table().metadata, location))
        })
    }
}

/// Whether a file of the table's writers would lie there.
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

/// Manifests, table metadata, statistics, receipts: no names of OTLP.
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
