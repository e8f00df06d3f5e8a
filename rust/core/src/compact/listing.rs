//! The data files of a table, with the properties that choosing among them needs.

use std::collections::HashMap;
use std::sync::Arc;

use iceberg::spec::{DataFile, FormatVersion, ManifestContentType, ManifestFile, Struct};

use crate::catalog::{LoadedTable, manifests};
use crate::commit::has_types;
use crate::schema::name_not_in_avro;
use crate::write::Columns;

/// A live data file of the table's default partition spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// Its location.
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) partition: Struct,
    /// The sequence number of the snapshot that added it.
    pub(super) sequence_number: i64,
    /// The location of the manifest that lists it.
    pub(super) manifest: Arc<str>,
    /// Its columns, if they are known to differ from those of newer files.
    pub(super) columns: Option<Columns>,
}

/// The known manifests of a table. Manifests never change, so each is read once.
#[derive(Debug, Default)]
pub(super) struct Listings {
    by_manifest: HashMap<String, Arc<[Listed]>>,
    /// The size limit of the cached files.
    below_bytes: u64,
}

impl Listings {
    /// The files of the current snapshot that are smaller than this, oldest manifest first.
    ///
    /// Empty where files must not be replaced: in formats other than v2, because rows have ids or snapshots
    /// have no sequence numbers, where delete files exist, and where manifests cannot have the names of the
    /// partition fields. Files written before a partition source column
    /// was widened are left out: their entries cannot be rewritten.
    ///
    /// # Errors
    /// When the manifest list or a manifest cannot be read.
    pub(super) async fn of(&mut self, table: &LoadedTable, below_bytes: u64) -> iceberg::Result<Vec<Listed>> {
        let metadata = &table.metadata;
        let Some(current) = metadata.current_snapshot() else {
            return Ok(Vec::new());
        };
        let is_rewritable = name_not_in_avro(metadata.default_partition_spec()).is_none();
        if metadata.format_version() != FormatVersion::V2 || !is_rewritable {
            return Ok(Vec::new());
        }
        let mut listed = manifests(table, current.manifest_list()).await?;
        listed.retain(|manifest| manifest.has_added_files() || manifest.has_existing_files());
        if listed
            .iter()
            .any(|manifest| manifest.content != ManifestContentType::Data)
        {
            return Ok(Vec::new());
        }
        if self.below_bytes != below_bytes {
            self.below_bytes = below_bytes;
            self.by_manifest.clear();
        }
        let spec_id = metadata.default_partition_spec_id();
        listed.retain(|manifest| manifest.partition_spec_id == spec_id && manifest.key_metadata.is_none());
        self.by_manifest
            .retain(|path, _| listed.iter().any(|manifest| manifest.manifest_path == *path));
        // One at a time: a large manifest needs much memory, since it has metadata for each file's columns.
        for manifest in &listed {
            if !self.by_manifest.contains_key(&manifest.manifest_path) {
                let files = files_in(table, manifest, below_bytes).await?;
                self.by_manifest.insert(manifest.manifest_path.clone(), files);
            }
        }
        Ok(listed
            .iter()
            .rev()
            .filter_map(|manifest| self.by_manifest.get(&manifest.manifest_path))
            .flat_map(|files| files.iter())
            .filter(|file| has_types(&file.partition, metadata.default_partition_type()))
            .cloned()
            .collect())
    }
}

async fn files_in(
    table: &LoadedTable,
    manifest: &ManifestFile,
    below_bytes: u64,
) -> iceberg::Result<Arc<[Listed]>> {
    let path: Arc<str> = manifest.manifest_path.as_str().into();
    let manifest = manifest.load_manifest(&table.file_io).await?;
    let small = manifest
        .entries()
        .iter()
        .filter(|entry| entry.is_alive() && entry.file_size_in_bytes() < below_bytes);
    Ok(small
        .map(|entry| Listed {
            path: entry.file_path().to_owned(),
            bytes: entry.file_size_in_bytes(),
            partition: entry.data_file().partition().clone(),
            sequence_number: entry.sequence_number().unwrap_or_default(),
            manifest: Arc::clone(&path),
            columns: None,
        })
        .collect())
}

/// The manifests' entries for chosen files, in the same order.
///
/// # Errors
/// When a manifest cannot be read, or does not list its file.
pub(super) async fn entries(table: &LoadedTable, chosen: &[Listed]) -> iceberg::Result<Vec<DataFile>> {
    let Some(current) = table.metadata.current_snapshot() else {
        return Ok(Vec::new());
    };
    let mut found: HashMap<String, DataFile> = HashMap::new();
    for manifest in manifests(table, current.manifest_list()).await? {
        if !chosen
            .iter()
            .any(|file| *file.manifest == *manifest.manifest_path)
        {
            continue;
        }
        let manifest = manifest.load_manifest(&table.file_io).await?;
        for entry in manifest.entries().iter().filter(|entry| entry.is_alive()) {
            if chosen.iter().any(|file| file.path == entry.file_path()) {
                found.insert(entry.file_path().to_owned(), entry.data_file().clone());
            }
        }
    }
    let gone = || iceberg::Error::new(iceberg::ErrorKind::DataInvalid, "a manifest changed its files");
    chosen
        .iter()
        .map(|file| found.remove(&file.path).ok_or_else(gone))
        .collect()
}
