//! Chooses which files are merged next. Pure: it depends only on the table's files.
//!
//! If a file were merged again with each new file, its rows would be rewritten each time. So files are merged
//! with others of similar size, as soon as there are enough. Each merge makes a file of the next larger size
//! class, so a row is rewritten once per size class. When a partition gets no more files, the rest of all
//! sizes is merged into as few files as possible.

use std::cmp::Reverse;
use std::collections::HashMap;

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

/// Files of one partition, with the same columns as far as known, to be merged; oldest first, at least two.
/// `None` if no merge is worthwhile.
pub(super) fn choose(files: &[Listed], rules: Rules) -> Option<Vec<Listed>> {
    let mut partitions: HashMap<(&Struct, Option<Columns>), Vec<&Listed>> = HashMap::new();
    for file in files {
        partitions
            .entry((&file.partition, file.columns))
            .or_default()
            .push(file);
    }
    let choices = partitions.into_values().filter_map(|mut partition| {
        let is_quiet = partition
            .iter()
            .all(|file| file.sequence_number <= rules.quiet_until);
        partition.retain(|file| file.bytes < rules.large_bytes());
        let of_one_size = of_one_size(&partition, rules);
        of_one_size.or_else(|| if is_quiet { rest(&partition, rules) } else { None })
    });
    // The choice with the most files comes first.
    let mut chosen: Vec<Listed> = choices.max_by_key(Vec::len)?.into_iter().cloned().collect();
    chosen.sort_by_key(|file| file.sequence_number);
    Some(chosen)
}

/// The oldest files of the smallest size class that has enough files.
fn of_one_size<'a>(files: &[&'a Listed], rules: Rules) -> Option<Vec<&'a Listed>> {
    let mut sizes: HashMap<u32, Vec<&'a Listed>> = HashMap::new();
    for file in files {
        sizes
            .entry(steps_below(file.bytes, rules))
            .or_default()
            .push(file);
    }
    let mut sizes: Vec<(u32, Vec<&Listed>)> = sizes.into_iter().collect();
    sizes.sort_by_key(|(below, _)| Reverse(*below));
    sizes
        .into_iter()
        .filter(|(_, files)| files.len() >= rules.files_min)
        .find_map(|(_, mut files)| {
            files.sort_by_key(|file| file.sequence_number);
            fill(files, rules)
        })
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
fn rest<'a>(files: &[&'a Listed], rules: Rules) -> Option<Vec<&'a Listed>> {
    let mut files = files.to_vec();
    files.sort_by_key(|file| file.bytes);
    let cost = |file: &Listed| file.bytes.max(TRIFLE_BYTES);
    (0..files.len()).find_map(|from| {
        let mut sum = 0_u64;
        let run = files.iter().skip(from).take_while(|file| {
            let fits = sum == 0 || cost(file) <= sum.saturating_mul(GROWTH);
            sum = sum.saturating_add(cost(file));
            fits
        });
        fill(run.copied().collect(), rules)
    })
}

/// As many files as fit into one, in this order; `None` if fewer than two fit.
fn fill(files: Vec<&Listed>, rules: Rules) -> Option<Vec<&Listed>> {
    let mut sum = 0_u64;
    let mut chosen = files;
    chosen.retain(|file| {
        let fits = sum.saturating_add(file.bytes) <= rules.target_bytes;
        sum = if fits { sum + file.bytes } else { sum };
        fits
    });
    chosen.truncate(FILES_MAX);
    (chosen.len() >= 2).then_some(chosen)
}

#[cfg(test)]
#[path = "choice_tests.rs"]
mod tests;
