use std::collections::HashMap;
use std::sync::Arc;

use iceberg::spec::{Literal, Struct};

use super::super::backlog::Backlog;
use super::super::choice::{Candidate, Rules, choose};
use super::super::listing::Listed;
use super::*;

const RULES: Rules = Rules {
    target_bytes: 512 << 20,
    files_min: 16,
    quiet_until: 0,
};
const FLUSHES_PER_ROUND: usize = 6;

/// A table without storage. It is flushed and compacted as in a Collector.
#[derive(Default)]
struct Simulated {
    files: HashMap<String, Candidate>,
    sequence_number: i64,
    snapshots: usize,
}

impl Simulated {
    /// A snapshot with these files.
    fn commit(&mut self, files: impl IntoIterator<Item = (Struct, u64)>) {
        self.sequence_number += 1;
        self.snapshots += 1;
        let manifest: Arc<str> = Arc::from(format!("m{}", self.sequence_number));
        for (number, (partition, bytes)) in files.into_iter().enumerate() {
            let listed = Listed {
                path: format!("{}-{number}", self.sequence_number),
                bytes,
                partition,
                sequence_number: self.sequence_number,
                manifest: Arc::clone(&manifest),
            };
            let candidate = Candidate {
                file: Arc::new(listed),
                columns: None,
            };
            self.files.insert(candidate.file.path.clone(), candidate);
        }
    }

    /// A minute's flushes, each with a file for each of so many tenants.
    fn flush(&mut self, tenants: i32) {
        for _ in 0..FLUSHES_PER_ROUND {
            self.commit((0..tenants).map(|tenant| (Struct::from_iter([Some(Literal::int(tenant))]), 20_000)));
        }
    }

    /// A round of compaction, as [`super::super::Compactor::run`]. Returns how many files it left over.
    fn compact(&mut self, mut budget: Budget) -> u64 {
        loop {
            let candidates: Vec<Candidate> = self.files.values().cloned().collect();
            let (now, later) = budget.take(choose(&candidates, RULES));
            if now.is_empty() {
                return later.iter().map(|merge| merge.files.len() as u64).sum();
            }
            for file in now.iter().flat_map(|merge| &merge.files) {
                assert!(self.files.remove(&file.path).is_some(), "merged once");
            }
            let merged = |merge: &Merge| (merge.files[0].partition.clone(), merge.bytes());
            self.commit(now.iter().map(merged));
        }
    }
}

#[test]
fn a_table_of_many_partitions_keeps_up() {
    const TENANTS: i32 = 200;
    let mut table = Simulated::default();
    for round in 0..120 {
        table.flush(TENANTS);
        let before = table.snapshots;
        assert_eq!(table.compact(Budget::ROUND), 0, "round {round}");
        assert!(table.snapshots - before <= 3, "round {round}");
        // Files of 20 KB, of 360 KB, of 6 MB and of 100 MB.
        let files_max = 4 * (RULES.files_min - 1) * TENANTS as usize;
        assert!(table.files.len() <= files_max, "round {round}");
    }
}

#[test]
fn a_table_that_gets_more_files_than_are_merged_is_noticed_once() {
    let budget = Budget {
        files: 64,
        ..Budget::UNLIMITED
    };
    let (mut table, mut backlog) = (Simulated::default(), Backlog::default());
    let mut news = 0;
    for _ in 0..40 {
        table.flush(20);
        news += u32::from(backlog.is_news(table.compact(budget)));
    }
    assert_eq!(news, 1);
    assert_eq!(table.compact(Budget::UNLIMITED), 0);
}

fn merges(count: usize, files: usize, bytes: u64) -> Vec<Merge> {
    let merge = |number: usize| {
        let file = |place| Listed {
            path: format!("{number}-{place}"),
            bytes,
            partition: Struct::empty(),
            sequence_number: 1,
            manifest: Arc::from(format!("{number}-{place}")),
        };
        Merge {
            files: (0..files).map(|place| Arc::new(file(place))).collect(),
            columns: None,
        }
    };
    (0..count).map(merge).collect()
}

/// The numbers of merges in each commit, and of those left.
fn commits(mut budget: Budget, mut merges: Vec<Merge>) -> (Vec<usize>, usize) {
    let mut commits = Vec::new();
    loop {
        let (now, later) = budget.take(merges);
        if now.is_empty() {
            return (commits, later.len());
        }
        commits.push(now.len());
        merges = later;
    }
}

#[test]
fn a_commit_is_limited_in_bytes_and_manifests() {
    let unlimited = Budget::UNLIMITED;
    assert_eq!(commits(unlimited, merges(10, 4, 64 << 20)), (vec![4, 4, 2], 0));
    let large = merges(2, 4, 300 << 20);
    assert_eq!(commits(unlimited, large), (vec![1, 1], 0), "one is always taken");
    assert_eq!(commits(unlimited, merges(7, 64, 1)), (vec![4, 3], 0));
    assert_eq!(commits(unlimited, merges(200, 2, 1)), (vec![128, 72], 0));
}

#[test]
fn a_commit_is_limited_in_merges_and_files() {
    let in_one_manifest = |mut merges: Vec<Merge>| {
        for file in merges.iter_mut().flat_map(|merge| &mut merge.files) {
            Arc::get_mut(file).unwrap().manifest = Arc::from("m");
        }
        merges
    };
    let small = in_one_manifest(merges(600, 2, 1));
    assert_eq!(commits(Budget::UNLIMITED, small), (vec![512, 88], 0));
    let many = in_one_manifest(merges(100, 64, 1));
    assert_eq!(commits(Budget::UNLIMITED, many), (vec![64, 36], 0));
}

#[test]
fn a_budget_ends_with_the_merge_that_uses_it_up() {
    let of_files = |files| Budget {
        files,
        ..Budget::UNLIMITED
    };
    assert_eq!(commits(of_files(0), merges(3, 4, 1)), (vec![], 3));
    assert_eq!(commits(of_files(1), merges(3, 4, 1)), (vec![1], 2));
    assert_eq!(commits(of_files(4), merges(3, 4, 1)), (vec![1], 2));
    assert_eq!(commits(of_files(5), merges(3, 4, 1)), (vec![2], 1));
    let of_bytes = Budget {
        bytes: 401,
        ..Budget::UNLIMITED
    };
    assert_eq!(commits(of_bytes, merges(3, 4, 100)), (vec![2], 1));
}
