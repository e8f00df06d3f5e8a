//! The data files of a table, with the properties that choosing among them needs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use iceberg::spec::{DataFile, FormatVersion, Manifest, ManifestContentType, ManifestFile, Struct};

use crate::catalog::{LoadedTable, ReadManifest, manifests, read_manifest};
use crate::commit::{OddManifests, has_types};
use crate::schema::name_not_in_avro;

/// A live data file of the table's default partition spec.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// Its location.
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) partition: Struct,
    /// The sequence number of the snapshot that added it.
    pub(super) sequence_number: i64,
    /// The location of the manifest that lists it.
    pub(super) manifest: Arc<str>,
}

/// The known manifests of a table. Manifests never change, so each is read once.
#[derive(Debug, Default)]
pub(super) struct Listings {
    by_manifest: HashMap<String, Vec<Arc<Listed>>>,
    /// The size limit of the cached files.
    below_bytes: u64,
    /// The files of manifests that cannot be rewritten, by manifest.
    fixed: HashMap<String, Vec<String>>,
    /// Whether it was logged that the table has delete files.
    told_of_deletes: bool,
}

impl Listings {
    /// The files of the current snapshot that are smaller than this, oldest manifest first.
    ///
    /// Empty where files must not be replaced: in formats other than v2, because rows have ids or snapshots
    /// have no sequence numbers, where delete files exist, and where manifests cannot have the names of the
    /// partition fields. Files whose entries cannot be rewritten are left out, also where they are listed once
    /// more: those written before a partition source column was widened, and those in manifests that
    /// iceberg-rust refuses in part, which `odd` is told of.
    ///
    /// # Errors
    /// When the manifest list or a manifest cannot be read.
    pub(super) async fn of(
        &mut self,
        table: &LoadedTable,
        below_bytes: u64,
        odd: &OddManifests,
    ) -> iceberg::Result<Vec<Arc<Listed>>> {
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
        let has_deletes = listed
            .iter()
            .any(|manifest| manifest.content != ManifestContentType::Data);
        if self.is_news(has_deletes) {
            tracing::warn!(
                table = %table.ident,
                "rows of the table were deleted by delete files; its small files are not merged until an engine has removed \
                 these (Spark: rewrite_data_files with delete-file-threshold 1 and remove-dangling-deletes)"
            );
        }
        if has_deletes {
            return Ok(Vec::new());
        }
        if self.below_bytes != below_bytes {
            self.below_bytes = below_bytes;
            self.by_manifest.clear();
        }
        let spec_id = metadata.default_partition_spec_id();
        listed.retain(|manifest| manifest.partition_spec_id == spec_id && manifest.key_metadata.is_none());
        let paths: HashSet<&str> = listed.iter().map(|it| it.manifest_path.as_str()).collect();
        self.by_manifest.retain(|path, _| paths.contains(path.as_str()));
        self.fixed.retain(|path, _| paths.contains(path.as_str()));
        // One at a time: a large manifest needs much memory, since it has metadata for each file's columns.
        for manifest in &listed {
            self.read(table, manifest, odd).await?;
        }
        let files: Vec<&Arc<Listed>> = listed
            .iter()
            .rev()
            .filter_map(|manifest| self.by_manifest.get(&manifest.manifest_path))
            .flatten()
            .collect();
        let types = metadata.default_partition_type();
        let narrow = files.iter().filter(|file| !has_types(&file.partition, types));
        let fixed = self.fixed.values().flatten().map(String::as_str);
        // Another entry of such a file must not be replaced either: the file would be deleted in the end, while
        // the table has it.
        let fixed: HashSet<&str> = fixed.chain(narrow.map(|file| file.path.as_str())).collect();
        Ok(files
            .iter()
            .filter(|file| !fixed.contains(file.path.as_str()))
            .copied()
            .cloned()
            .collect())
    }

    /// Whether the table has delete files and had none when it was last listed.
    fn is_news(&mut self, has_deletes: bool) -> bool {
        let was_told = std::mem::replace(&mut self.told_of_deletes, has_deletes);
        has_deletes && !was_told
    }

    /// Reads a manifest, unless it is known.
    async fn read(
        &mut self,
        table: &LoadedTable,
        manifest: &ManifestFile,
        odd: &OddManifests,
    ) -> iceberg::Result<()> {
        let path = &manifest.manifest_path;
        if self.by_manifest.contains_key(path) || self.fixed.contains_key(path) {
            return Ok(());
        }
        match read_manifest(&table.file_io, manifest).await? {
            ReadManifest::Whole(whole) => {
                let files = small_files(&whole, path, self.below_bytes);
                self.by_manifest.insert(path.clone(), files);
            }
            ReadManifest::Paths { live, cause } => {
                odd.tell(table, path, cause);
                self.fixed.insert(path.clone(), live);
            }
        }
        Ok(())
    }
}

/// The live files below this size of a manifest at `path`.
fn small_files(manifest: &Manifest, path: &str, below_bytes: u64) -> Vec<Arc<Listed>> {
    let path: Arc<str> = path.into();
    let small = manifest
        .entries()
        .iter()
        .filter(|entry| entry.is_alive() && entry.file_size_in_bytes() < below_bytes);
    small
        .map(|entry| {
            Arc::new(Listed {
                path: entry.file_path().to_owned(),
                bytes: entry.file_size_in_bytes(),
                partition: entry.data_file().partition().clone(),
                sequence_number: entry.sequence_number().unwrap_or_default(),
                manifest: Arc::clone(&path),
            })
        })
        .collect()
}

/// The manifests' entries for these files, by the files' locations. Each manifest is read once.
///
/// # Errors
/// When a manifest cannot be read.
pub(super) async fn entries(
    table: &LoadedTable,
    files: &[&Listed],
) -> iceberg::Result<HashMap<String, DataFile>> {
    let mut found = HashMap::with_capacity(files.len());
    let Some(current) = table.metadata.current_snapshot() else {
        return Ok(found);
    };
    let paths: HashSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let listing: HashSet<&str> = files.iter().map(|file| &*file.manifest).collect();
    for manifest in manifests(table, current.manifest_list()).await? {
        if !listing.contains(manifest.manifest_path.as_str()) {
            continue;
        }
        let manifest = manifest.load_manifest(&table.file_io).await?;
        for entry in manifest.entries().iter().filter(|entry| entry.is_alive()) {
            if paths.contains(entry.file_path()) {
                found.insert(entry.file_path().to_owned(), entry.data_file().clone());
            }
        }
    }
    Ok(found)
}
