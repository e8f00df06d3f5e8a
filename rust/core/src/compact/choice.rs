//! Chooses which files are merged next. Pure: it depends only on the table's files.
//!
//! If a file were merged again with each new file, its rows would be rewritten each time. So files are merged
//! with others of similar size, as soon as there are enough. Each merge makes a file of the next larger size
//! class, so a row is rewritten once per size class. When a partition gets no more files, the rest of all
//! sizes is merged into as few files as possible.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use iceberg::spec::Struct;

use super::listing::Listed;
use crate::write::Columns;

/// Maximum number of files per merge: their footers are in memory together.
const FILES_MAX: usize = 64;
/// A file of at least this percentage of the target is not merged.
const LARGE_PERCENT: u64 = 75;
/// In a quiet partition, a file is merged with smaller ones if it is at most this many times their total
/// size: a small late file must not cause a rewrite of a large one.
const GROWTH: u64 = 4;
/// For that comparison, smaller files count as this size: rewriting them costs almost nothing.
const TRIFLE_BYTES: u64 = 8 << 20;

/// The rules for a choice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// The target size of files.
    pub(super) target_bytes: u64,
    /// Minimum number of files of one size class for a merge.
    pub(super) files_min: usize,
    /// A partition is quiet when no file of it was added after the snapshot with this sequence number.
    pub(super) quiet_until: i64,
}

impl Rules {
    /// A file of at least this many bytes is not merged.
    pub(super) fn large_bytes(&self) -> u64 {
        self.target_bytes / 100 * LARGE_PERCENT
    }
}

/// A file that may be merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) file: Arc<Listed>,
    /// Its columns, if they are known to differ from those of newer files.
    pub(super) columns: Option<Columns>,
}

/// Files of one partition, with the same columns as far as known, to be merged; oldest first, at least two.
#[derive(Debug)]
pub(super) struct Merge {
    pub(super) files: Vec<Arc<Listed>>,
    /// Their columns, as in [`Candidate`].
    pub(super) columns: Option<Columns>,
}

impl Merge {
    fn of(mut files: Vec<Arc<Listed>>, columns: Option<Columns>) -> Self {
        files.sort_by_key(|file| file.sequence_number);
        Self { files, columns }
    }

    /// The size of its files together.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = self.files.iter().map(|file| file.bytes);
        bytes.fold(0, u64::saturating_add)
    }

    fn oldest(&self) -> Option<i64> {
        self.files.first().map(|file| file.sequence_number)
    }
}

/// All merges that are worthwhile now, in all partitions. No file is in two of them. Those with the most files
/// come first.
pub(super) fn choose(files: &[Candidate], rules: Rules) -> Vec<Merge> {
    let mut partitions: HashMap<(&Struct, Option<Columns>), Vec<&Arc<Listed>>> = HashMap::new();
    for candidate in files {
        partitions
            .entry((&candidate.file.partition, candidate.columns))
            .or_default()
            .push(&candidate.file);
    }
    let mut merges: Vec<Merge> = Vec::new();
    for ((_, columns), files) in partitions {
        let of_partition = in_partition(files, rules).into_iter();
        merges.extend(of_partition.map(|files| Merge::of(files.into_iter().cloned().collect(), columns)));
    }
    merges.sort_by_key(|merge| (Reverse(merge.files.len()), merge.oldest()));
    merges
}

/// The merges of one partition.
fn in_partition(mut files: Vec<&Arc<Listed>>, rules: Rules) -> Vec<Vec<&Arc<Listed>>> {
    let is_quiet = files.iter().all(|file| file.sequence_number <= rules.quiet_until);
    files.retain(|file| file.bytes < rules.large_bytes());
    let of_one_size = of_one_size(&files, rules);
    if of_one_size.is_empty() && is_quiet {
        rest(files, rules)
    } else {
        of_one_size
    }
}

/// The files of the smallest size class that has enough for a merge, oldest first. Larger classes follow when
/// these are merged.
fn of_one_size<'a>(files: &[&'a Arc<Listed>], rules: Rules) -> Vec<Vec<&'a Arc<Listed>>> {
    let mut sizes: HashMap<u32, Vec<&'a Arc<Listed>>> = HashMap::new();
    for file in files {
        sizes
            .entry(steps_below(file.bytes, rules))
            .or_default()
            .push(file);
    }
    let mut sizes: Vec<(u32, Vec<&Arc<Listed>>)> = sizes.into_iter().collect();
    sizes.sort_by_key(|(below, _)| Reverse(*below));
    sizes
        .into_iter()
        .map(|(_, mut files)| {
            files.sort_by_key(|file| file.sequence_number);
            packed(files, rules.files_min, rules)
        })
        .find(|merges| !merges.is_empty())
        .unwrap_or_default()
}

/// How many steps a file is below the target. Each step is a factor of `files_min`, so smaller files have
/// more steps.
fn steps_below(bytes: u64, rules: Rules) -> u32 {
    let step = rules.files_min.max(2) as u64;
    let mut limit = rules.target_bytes;
    let mut below = 0;
    while bytes < limit && limit > 1 {
        limit /= step;
        below += 1;
    }
    below
}

/// The remaining files of all sizes, starting with the smallest.
fn rest(mut files: Vec<&Arc<Listed>>, rules: Rules) -> Vec<Vec<&Arc<Listed>>> {
    files.sort_by_key(|file| file.bytes);
    let cost = |file: &Listed| file.bytes.max(TRIFLE_BYTES);
    let fit = |two: &[&Arc<Listed>]| two.iter().map(|file| file.bytes).sum::<u64>() <= rules.target_bytes;
    let starts = files.windows(2).enumerate();
    starts
        // If two neighbours do not fit into one file, larger ones do not either.
        .take_while(|(_, two)| fit(two))
        .map(|(from, _)| {
            let mut sum = 0_u64;
            let run = files.iter().skip(from).take_while(|file| {
                let fits = sum == 0 || cost(file) <= sum.saturating_mul(GROWTH);
                sum = sum.saturating_add(cost(file));
                fits
            });
            packed(run.copied().collect(), 2, rules)
        })
        .find(|merges| !merges.is_empty())
        .unwrap_or_default()
}

/// Divides files into merges of at most the target size, in this order, as long as `files_min` are left. A file
/// that does not fit waits for the next merge.
fn packed(files: Vec<&Arc<Listed>>, files_min: usize, rules: Rules) -> Vec<Vec<&Arc<Listed>>> {
    let mut waiting = VecDeque::from(files);
    let mut merges = Vec::new();
    while waiting.len() >= files_min.max(2)
        && let Some(first) = waiting.pop_front()
    {
        let mut sum = first.bytes;
        let mut merge = vec![first];
        // Limited, so that the time is proportional to the number of files.
        let mut passed_over = Vec::new();
        while merge.len() < FILES_MAX
            && passed_over.len() < FILES_MAX
            && let Some(file) = waiting.pop_front()
        {
            let with_it = sum.saturating_add(file.bytes);
            if with_it <= rules.target_bytes {
                sum = with_it;
                merge.push(file);
            } else {
                passed_over.push(file);
            }
        }
        for file in passed_over.into_iter().rev() {
            waiting.push_front(file);
        }
        if merge.len() >= 2 {
            merges.push(merge);
        }
    }
    merges
}

#[cfg(test)]
#[path = "choice_tests.rs"]
mod tests;
