//! Which files are merged next. Pure: what a table has decides.
//!
//! A file that is merged again and again with what came since is written again and again. So files are merged with
//! those of about their size, as soon as there are enough: each merge makes one of the next larger size, and a row is written
//! again once for each size. When nothing comes to a partition any more, what is left of all sizes becomes as few files
//! as can be.

use std::cmp::Reverse;
use std::collections::HashMap;

use iceberg::spec::Struct;

use super::listing::Listed;
use crate::write::Columns;

/// Files merged at a time at most: their footers are in memory together.
const FILES_MAX: usize = 64;
/// A file with so much of the target, in percent, stays as it is.
const LARGE_PERCENT: u64 = 75;
/// In a quiet partition a file is merged with smaller ones if it is at most so many times all of them together: a
/// straggler must not have a large file written again.
const GROWTH: u64 = 4;
/// Files smaller than this count as large as this there: to write them again costs nothing to speak of.
const TRIFLE_BYTES: u64 = 8 << 20;

/// What a choice goes by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// How large files are to become.
    pub(super) target_bytes: u64,
    /// Files of one size that are merged at least.
    pub(super) files_min: usize,
    /// A partition is quiet when no file of it was added after the snapshot with this sequence number.
    pub(super) quiet_until: i64,
}

impl Rules {
    /// A file of so many bytes stays as it is.
    pub(super) fn large_bytes(&self) -> u64 {
        self.target_bytes / 100 * LARGE_PERCENT
    }
}

/// Files of one partition and with the same columns, as far as is known, to be made one, oldest first, at least two; none if
/// nothing is worth it.
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
    // Where most files go first.
    let mut chosen: Vec<Listed> = choices.max_by_key(Vec::len)?.into_iter().cloned().collect();
    chosen.sort_by_key(|file| file.sequence_number);
    Some(chosen)
}

/// The oldest of the smallest files of which there are enough of one size.
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

/// How many steps a file is below the target, each of `files_min` times the size: the more the smaller.
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

/// What is left of all sizes, from the smallest on.
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

/// As many as fit into one file, in this order; none if that is not two.
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
