//! Removes data files from a table's manifests, because another file has their rows.
//!
//! A manifest that lists one of them is rewritten with its other files. The removed files go into a separate
//! manifest, as `DELETED`. Readers skip that manifest when they plan, since it has no live file, and the next
//! snapshot no longer lists it. Iceberg spec: "Manifests", "Manifest Entry Fields".

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use iceberg::spec::{FormatVersion, ManifestEntry, ManifestFile};

use super::live_files::is_after;
use super::merge::carry;
use super::producer::Producer;
use super::summary::{Removed, Totals};
use crate::catalog::{LoadedTable, ReadManifest, read_manifest};
use crate::error::{Error, ErrorKind, Result, RetryClass};

/// The files to remove.
#[derive(Debug, Clone)]
pub(super) struct Removal {
    /// Their partition spec.
    pub(super) partition_spec_id: i32,
    /// The table's last sequence number when they were chosen. Each was listed once then.
    pub(super) chosen_at: i64,
    /// Their locations, with the manifest that listed each then.
    pub(super) files: Arc<HashMap<String, String>>,
}

impl Removal {
    /// Whether an entry is one of these files. A later entry with the same path is a file that was added
    /// again.
    fn takes(&self, entry: &ManifestEntry) -> bool {
        entry
            .sequence_number()
            .is_some_and(|number| number <= self.chosen_at)
            && self.files.contains_key(entry.file_path())
    }
}

/// The table's data manifests after the removal.
#[derive(Debug, Default)]
pub(super) struct TakenOut {
    /// Those with live files, in their order.
    pub(super) manifests: Vec<ManifestFile>,
    /// The manifest of the removed files.
    pub(super) deleted: Option<ManifestFile>,
    /// Those of all these manifests that were written now.
    pub(super) written: Vec<String>,
    /// Totals of the removed files; `None` if none were to be removed.
    pub(super) removed: Option<Removed>,
}

impl TakenOut {
    pub(super) fn nothing(manifests: Vec<ManifestFile>) -> Self {
        Self {
            manifests,
            ..Self::default()
        }
    }
}

/// Removes files from a table's manifests.
///
/// # Errors
/// `Catalog`, permanent, when one of the files is no longer in the table, or rows may have been deleted from
/// it; `Storage` when manifests cannot be read or written.
pub(super) async fn take_out(
    producer: &Producer,
    table: &LoadedTable,
    manifests: Vec<ManifestFile>,
    deletes: &[ManifestFile],
    removal: &Removal,
) -> Result<TakenOut> {
    // The new file's rows would have a later sequence number than the deletes, so the deletes would not apply
    // to them. In format v3 rows have ids, which the new file does not keep.
    if !deletes.is_empty() || table.metadata.format_version() != FormatVersion::V2 {
        return Err(overtaken(
            "rows of the table were deleted one by one, or its format changed",
            table,
        ));
    }
    let mut affected = find(table, &manifests, removal).await?;
    let mut taken = TakenOut::default();
    let mut totals = Totals::default();
    let mut gone = producer.manifest_writer(table, removal.partition_spec_id)?;
    for manifest in manifests {
        let Some(entries) = affected.remove(&manifest.manifest_path) else {
            taken.manifests.push(manifest);
            continue;
        };
        let (out, stay): (Vec<_>, Vec<_>) = entries
            .iter()
            .filter(|entry| entry.is_alive())
            .partition(|entry| removal.takes(entry));
        for entry in out {
            let sequence_number = entry.sequence_number().unwrap_or_default();
            totals.add(entry.data_file());
            gone.add_delete_file(
                entry.data_file().clone(),
                sequence_number,
                entry.file_sequence_number,
            )
            .map_err(|cause| table.storage_error("cannot write a manifest", cause))?;
        }
        if stay.is_empty() {
            continue;
        }
        let mut writer = producer.manifest_writer(table, removal.partition_spec_id)?;
        for entry in stay {
            carry(&mut writer, entry, producer)
                .map_err(|cause| table.storage_error("cannot write a manifest", cause))?;
        }
        let written = writer.write_manifest_file().await;
        let written = written.map_err(|cause| table.storage_error("cannot write a manifest", cause))?;
        taken.written.push(written.manifest_path.clone());
        taken.manifests.push(written);
    }
    let gone = gone.write_manifest_file().await;
    let gone = gone.map_err(|cause| table.storage_error("cannot write a manifest", cause))?;
    taken.written.push(gone.manifest_path.clone());
    taken.deleted = Some(gone);
    taken.removed = Some(Removed {
        totals,
        chosen_at: removal.chosen_at,
    });
    Ok(taken)
}

/// The entries of the manifests that list the files, by the manifests' locations. Manifests in which they
/// were last seen are read first; usually no others are needed. A file that has left its manifest can only be
/// in one that was written since, so a large table is not read as a whole when another writer was faster.
async fn find(
    table: &LoadedTable,
    manifests: &[ManifestFile],
    removal: &Removal,
) -> Result<HashMap<String, Vec<Arc<ManifestEntry>>>> {
    let seen_in: HashSet<&String> = removal.files.values().collect();
    let (likely, mut others): (Vec<_>, Vec<_>) = manifests
        .iter()
        .filter(|manifest| manifest.partition_spec_id == removal.partition_spec_id)
        .filter(|manifest| manifest.key_metadata.is_none())
        .partition(|manifest| seen_in.contains(&manifest.manifest_path));
    others.retain(|manifest| is_after(manifest, removal.chosen_at));
    let mut missing: HashSet<&str> = removal.files.keys().map(String::as_str).collect();
    let mut found = HashMap::new();
    for manifest in likely.into_iter().chain(others) {
        if missing.is_empty() {
            break;
        }
        let read = read_manifest(&table.file_io, manifest).await;
        // A manifest that is not read as a whole cannot be written again, so its files cannot be removed.
        let ReadManifest::Whole(read) =
            read.map_err(|cause| table.storage_error("cannot read a manifest", cause))?
        else {
            continue;
        };
        let mut is_affected = false;
        for entry in read.entries().iter().filter(|entry| entry.is_alive()) {
            is_affected |= removal.takes(entry) && missing.remove(entry.file_path());
        }
        if is_affected {
            found.insert(manifest.manifest_path.clone(), read.entries().to_vec());
        }
    }
    if missing.is_empty() {
        return Ok(found);
    }
    Err(overtaken(
        "files that were to be replaced are not in the table any more",
        table,
    ))
}

/// Another writer was faster: nothing was changed, and the new file is useless.
fn overtaken(message: &'static str, table: &LoadedTable) -> Error {
    Error::new(ErrorKind::Catalog, message)
        .with("table", table.ident.to_string())
        .class(RetryClass::Permanent)
}
