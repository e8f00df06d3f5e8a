//! Manifests of a table that are not merged with others, because something in them cannot be used.
//!
//! Other programs write them. Without this memory, each commit would read them again, together with all
//! manifests that they could be merged with.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use iceberg::spec::ManifestFile;

use super::Committer;
use crate::catalog::LoadedTable;
use crate::cause::IcebergCause;
use crate::error::{Error, ErrorKind};

/// What is known of such manifests of one table.
#[derive(Debug, Default)]
pub(crate) struct OddManifests(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// The locations of those that are not merged.
    unmerged: HashSet<String>,
    /// The locations of those that could not be read once. After an outage, that may be any.
    unread: HashSet<String>,
    /// Whether one was logged as a warning.
    is_told: bool,
}

impl OddManifests {
    /// Logs a manifest that cannot be merged, or whose files cannot. The first one of a table is a warning: a
    /// program that writes one of them writes more.
    pub(crate) fn tell(&self, table: &LoadedTable, path: &str, cause: iceberg::Error) {
        let error = Error::new(ErrorKind::Storage, "it has something that iceberg-rust refuses")
            .because(IcebergCause(cause));
        let was_told = std::mem::replace(&mut self.known().is_told, true);
        if was_told {
            tracing::debug!(table = %table.ident, path, %error, "a manifest stays as it is");
            return;
        }
        tracing::warn!(
            table = %table.ident, path, %error,
            "a manifest stays as it is, and its files are not merged with others; further ones are logged as debug. \
             It is probably from another program: update that program, then rewrite its files with an engine (Spark: \
             rewrite_data_files with rewrite-all, then rewrite_manifests)"
        );
    }

    /// Records that a manifest cannot be merged.
    pub(super) fn leave_unmerged(&self, table: &LoadedTable, path: &str, cause: iceberg::Error) {
        self.known().unmerged.insert(path.to_owned());
        self.tell(table, path, cause);
    }

    /// Records that a manifest could not be read. At the second time, it is not merged any more.
    pub(super) fn was_not_read(&self, path: &str) {
        let mut known = self.known();
        if !known.unread.insert(path.to_owned()) {
            known.unmerged.insert(path.to_owned());
        }
    }

    /// The locations of those of the table's manifests that are not merged. Forgets manifests that the table
    /// no longer has.
    pub(super) fn unmerged_of(&self, manifests: &[ManifestFile]) -> HashSet<String> {
        let mut known = self.known();
        if !known.unmerged.is_empty() || !known.unread.is_empty() {
            let paths = manifests.iter().map(|manifest| manifest.manifest_path.as_str());
            let listed: HashSet<&str> = paths.collect();
            known.unmerged.retain(|path| listed.contains(path.as_str()));
            known.unread.retain(|path| listed.contains(path.as_str()));
        }
        known.unmerged.clone()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Committer {
    /// What is known of the table's manifests that cannot be merged.
    pub(crate) fn odd_manifests(&self) -> &OddManifests {
        &self.shared.odd_manifests
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_table::manifest;
    use super::*;

    #[test]
    fn a_manifest_that_is_not_read_twice_is_left_until_the_table_drops_it() {
        let odd = OddManifests::default();
        let both = ["a", "b"].map(|path| manifest(path, 1, 0));
        odd.was_not_read("a");
        assert!(odd.unmerged_of(&both).is_empty(), "it may have been an outage");
        odd.was_not_read("a");
        odd.was_not_read("b");
        assert_eq!(odd.unmerged_of(&both), HashSet::from(["a".to_owned()]));
        assert!(odd.unmerged_of(&both[1..]).is_empty());
        assert_eq!(odd.known().unread, HashSet::from(["b".to_owned()]));
    }
}
