use iceberg::spec::Literal;

use super::*;

const MIB: u64 = 1 << 20;
const RULES: Rules = Rules {
    target_bytes: 512 * MIB,
    files_min: 4,
    quiet_until: 0,
};
/// All files are old.
const QUIET: Rules = Rules {
    quiet_until: i64::MAX,
    ..RULES
};

/// Files of a day with these sizes, oldest first. Each is named by its sequence number, beginning with
/// `from`.
fn files(day: i32, from: i64, sizes: &[u64]) -> Vec<Candidate> {
    let sizes = (from..).zip(sizes);
    sizes
        .map(|(sequence_number, bytes)| file(day, sequence_number, *bytes))
        .collect()
}

fn file(day: i32, sequence_number: i64, bytes: u64) -> Candidate {
    let listed = Listed {
        path: sequence_number.to_string(),
        bytes,
        partition: Struct::from_iter([Some(Literal::date(day))]),
        sequence_number,
        manifest: Arc::from("m"),
    };
    Candidate {
        file: Arc::new(listed),
        columns: None,
    }
}

/// The names of the files of each merge.
fn chosen(files: &[Candidate], rules: Rules) -> Vec<Vec<String>> {
    let name = |file: &Arc<Listed>| file.path.clone();
    let merges = choose(files, rules).into_iter();
    merges
        .map(|merge| merge.files.iter().map(name).collect())
        .collect()
}

/// No merge.
const NONE: [Vec<String>; 0] = [];

fn names(numbers: impl IntoIterator<Item = i64>) -> Vec<String> {
    numbers.into_iter().map(|number| number.to_string()).collect()
}

#[test]
fn files_of_one_size_are_merged_when_there_are_enough() {
    assert_eq!(chosen(&files(1, 1, &[1000; 3]), RULES), NONE);
    assert_eq!(chosen(&files(1, 1, &[1000; 4]), RULES), [names(1..=4)]);
    assert_eq!(chosen(&files(1, 1, &[1000; 9]), RULES), [names(1..=9)]);
    assert_eq!(chosen(&[], RULES), NONE);
}

#[test]
fn those_of_other_sizes_are_left_for_later() {
    let sizes = [40 * MIB, 1000, 1000, 40 * MIB, 1000, 300 * MIB, 1000];
    assert_eq!(chosen(&files(1, 1, &sizes), RULES), [names([2, 3, 5, 7])]);
    let sizes = [
        40 * MIB,
        1000,
        1000,
        40 * MIB,
        1000,
        300 * MIB,
        40 * MIB,
        40 * MIB,
    ];
    assert_eq!(chosen(&files(1, 1, &sizes), RULES), [names([1, 4, 7, 8])]);
}

#[test]
fn partitions_are_never_mixed() {
    let mut two_days = files(1, 1, &[1000; 3]);
    two_days.extend(files(2, 4, &[1000; 3]));
    assert_eq!(chosen(&two_days, RULES), NONE);
    two_days.extend(files(2, 7, &[1000; 1]));
    assert_eq!(chosen(&two_days, RULES), [names(4..=7)]);
}

#[test]
fn files_of_known_other_columns_are_merged_among_themselves() {
    let mut some = files(1, 1, &[1000; 9]);
    for candidate in some.iter_mut().step_by(2) {
        candidate.columns = Some(Columns::of_test(1));
    }
    assert_eq!(
        chosen(&some, RULES),
        [names([1, 3, 5, 7, 9]), names([2, 4, 6, 8])]
    );
    let merges = choose(&some, RULES);
    assert_eq!(merges[0].columns, Some(Columns::of_test(1)));
    assert_eq!(merges[1].columns, None);
}

#[test]
fn all_partitions_are_merged_at_once_and_the_one_with_the_most_files_first() {
    let mut days = files(1, 1, &[1000; 4]);
    days.extend(files(2, 5, &[1000; 6]));
    days.extend(files(3, 11, &[1000; 2]));
    days.extend(files(4, 13, &[1000; 4]));
    assert_eq!(
        chosen(&days, RULES),
        [names(5..=10), names(1..=4), names(13..=16)]
    );
}

#[test]
fn a_merged_file_is_no_larger_than_the_target() {
    assert_eq!(chosen(&files(1, 1, &[130 * MIB; 6]), RULES), [names(1..=3)]);
    assert_eq!(
        chosen(&files(1, 1, &[130 * MIB; 7]), RULES),
        [names(1..=3), names(4..=6)]
    );
    assert_eq!(chosen(&files(1, 1, &[384 * MIB; 6]), RULES), NONE, "large enough");
    assert_eq!(
        chosen(&files(1, 1, &[380 * MIB; 6]), RULES),
        NONE,
        "no two of them fit into one"
    );
    let sizes = [300 * MIB, 200 * MIB, 300 * MIB, 200 * MIB, 200 * MIB];
    assert_eq!(
        chosen(&files(1, 1, &sizes), RULES),
        [names([1, 2])],
        "the other three wait for a fourth"
    );
}

#[test]
fn so_many_are_merged_into_one_file_at_most() {
    assert_eq!(
        chosen(&files(1, 1, &[1000; 100]), RULES),
        [names(1..=64), names(65..=100)]
    );
    assert_eq!(chosen(&files(1, 1, &[1000; 67]), RULES), [names(1..=64)]);
}

#[test]
fn what_is_left_in_a_quiet_partition_becomes_one_file() {
    let sizes = [60 * MIB, 9 * MIB, 1000];
    assert_eq!(chosen(&files(1, 1, &sizes), RULES), NONE);
    assert_eq!(chosen(&files(1, 1, &sizes), QUIET), [names(1..=3)]);
    assert_eq!(chosen(&files(1, 1, &sizes[..1]), QUIET), NONE);
    let just_written = Rules {
        quiet_until: 2,
        ..QUIET
    };
    assert_eq!(chosen(&files(1, 1, &sizes), just_written), NONE);
}

#[test]
fn a_straggler_does_not_have_a_large_file_written_again() {
    assert_eq!(chosen(&files(1, 1, &[300 * MIB, 1000]), QUIET), NONE);
    assert_eq!(
        chosen(&files(1, 1, &[300 * MIB, 1000, 1000]), QUIET),
        [names(2..=3)]
    );
    assert_eq!(
        chosen(&files(1, 1, &[300 * MIB, 1000, 250 * MIB, 70 * MIB]), QUIET),
        [names([3, 4])],
        "what fits, and the small one waits"
    );
}

#[test]
fn merging_ends() {
    // Whatever the sizes are, the merges reduce the number of files, and no file is in two of them.
    let mut state = 7_u64;
    for rules in [RULES, QUIET] {
        for _ in 0..200 {
            let sizes: Vec<u64> = (0..50)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    1 << (state >> 59)
                })
                .collect();
            let mut left = files(1, 1, &sizes);
            let mut number = 1000;
            loop {
                let merges = choose(&left, rules);
                if merges.is_empty() {
                    break;
                }
                for merge in merges {
                    let before = left.len();
                    left.retain(|candidate| !merge.files.contains(&candidate.file));
                    assert_eq!(left.len(), before - merge.files.len());
                    assert!(merge.files.len() >= 2 && merge.bytes() <= rules.target_bytes);
                    number += 1;
                    left.push(file(1, number, merge.bytes()));
                }
            }
        }
    }
}
