//! How much compaction does at a time: in one commit, and in one run.

use std::collections::HashSet;

use super::choice::Merge;

/// Maximum number of merges per commit. The manifest entry of each new file, some 10 KB, is in memory until the
/// commit.
const MERGES_PER_COMMIT: usize = 512;
/// Maximum number of replaced files per commit.
const FILES_PER_COMMIT: usize = 4_096;
/// Maximum size of the replaced files per commit: so much work is lost if another writer removes one of them
/// meanwhile.
const BYTES_PER_COMMIT: u64 = 1 << 30;
/// Maximum number of manifests per commit that list the replaced files. They are read and written again while
/// appends wait.
const MANIFESTS_PER_COMMIT: usize = 256;

/// How much a run does at most. The last merge may exceed it.
///
/// Files count when they are chosen: each is opened, whether it turns out to be mergeable or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// The number of chosen files.
    pub files: u64,
    /// Their size together.
    pub bytes: u64,
}

impl Budget {
    /// Until nothing is left to do.
    pub const UNLIMITED: Self = Self {
        files: u64::MAX,
        bytes: u64::MAX,
    };
    /// For one table in a round in the background. A few minutes of work at most: one table must not occupy a core
    /// for hours while the others wait. It is several times of what a table that one process writes to needs in a
    /// minute.
    pub const ROUND: Self = Self {
        files: 8_192,
        bytes: 8 << 30,
    };

    /// Takes the merges of the next commit from the front: at least one, unless the budget is used up. Returns
    /// them and those for later.
    pub(super) fn take(&mut self, mut merges: Vec<Merge>) -> (Vec<Merge>, Vec<Merge>) {
        let later = merges.split_off(self.spend(&merges));
        (merges, later)
    }

    /// Subtracts the merges of the next commit, and returns their number.
    fn spend(&mut self, merges: &[Merge]) -> usize {
        let mut commit = CommitSize::default();
        let mut taken = 0;
        for merge in merges {
            if self.files == 0 || self.bytes == 0 || !commit.fits(merge) {
                break;
            }
            self.files = self.files.saturating_sub(merge.files.len() as u64);
            self.bytes = self.bytes.saturating_sub(merge.bytes());
            taken += 1;
        }
        taken
    }
}

/// What one commit replaces.
#[derive(Debug, Default)]
struct CommitSize<'a> {
    merges: usize,
    files: usize,
    bytes: u64,
    manifests: HashSet<&'a str>,
}

impl<'a> CommitSize<'a> {
    /// Adds a merge, and returns whether the commit is still within its limits. One merge always is.
    fn fits(&mut self, merge: &'a Merge) -> bool {
        self.merges += 1;
        self.files += merge.files.len();
        self.bytes = self.bytes.saturating_add(merge.bytes());
        self.manifests
            .extend(merge.files.iter().map(|file| &*file.manifest));
        let is_within = self.merges <= MERGES_PER_COMMIT
            && self.files <= FILES_PER_COMMIT
            && self.bytes <= BYTES_PER_COMMIT
            && self.manifests.len() <= MANIFESTS_PER_COMMIT;
        is_within || self.merges == 1
    }
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
