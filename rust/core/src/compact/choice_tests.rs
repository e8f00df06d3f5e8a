use std::sync::Arc;

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
fn files(day: i32, from: i64, sizes: &[u64]) -> Vec<Listed> {
    (from..)
        .zip(sizes)
        .map(|(sequence_number, bytes)| Listed {
            path: sequence_number.to_string(),
            bytes: *bytes,
            partition: Struct::from_iter([Some(Literal::date(day))]),
            sequence_number,
            manifest: Arc::from("m"),
            columns: None,
        })
        .collect()
}

fn chosen(files: &[Listed], rules: Rules) -> Option<Vec<String>> {
    choose(files, rules).map(|chosen| chosen.into_iter().map(|file| file.path).collect())
}

fn names(numbers: impl IntoIterator<Item = i64>) -> Vec<String> {
    numbers.into_iter().map(|number| number.to_string()).collect()
}

#[test]
fn files_of_one_size_are_merged_when_there_are_enough() {
    assert_eq!(chosen(&files(1, 1, &[1000; 3]), RULES), None);
    assert_eq!(chosen(&files(1, 1, &[1000; 4]), RULES), Some(names(1..=4)));
    assert_eq!(chosen(&files(1, 1, &[1000; 9]), RULES), Some(names(1..=9)));
    assert_eq!(chosen(&[], RULES), None);
}

#[test]
fn those_of_other_sizes_are_left_for_later() {
    let sizes = [40 * MIB, 1000, 1000, 40 * MIB, 1000, 300 * MIB, 1000];
    assert_eq!(chosen(&files(1, 1, &sizes), RULES), Some(names([2, 3, 5, 7])));
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
    assert_eq!(chosen(&files(1, 1, &sizes), RULES), Some(names([1, 4, 7, 8])));
}

#[test]
fn partitions_are_never_mixed() {
    let mut two_days = files(1, 1, &[1000; 3]);
    two_days.extend(files(2, 4, &[1000; 3]));
    assert_eq!(chosen(&two_days, RULES), None);
    two_days.extend(files(2, 7, &[1000; 1]));
    assert_eq!(chosen(&two_days, RULES), Some(names(4..=7)));
}

#[test]
fn a_merged_file_is_no_larger_than_the_target() {
    assert_eq!(chosen(&files(1, 1, &[130 * MIB; 6]), RULES), Some(names(1..=3)));
    assert_eq!(chosen(&files(1, 1, &[384 * MIB; 6]), RULES), None, "large enough");
    assert_eq!(
        chosen(&files(1, 1, &[380 * MIB; 6]), RULES),
        None,
        "no two of them fit into one"
    );
}

#[test]
fn so_many_are_merged_at_a_time_at_most() {
    assert_eq!(chosen(&files(1, 1, &[1000; 100]), RULES), Some(names(1..=64)));
}

#[test]
fn what_is_left_in_a_quiet_partition_becomes_one_file() {
    let sizes = [60 * MIB, 9 * MIB, 1000];
    assert_eq!(chosen(&files(1, 1, &sizes), RULES), None);
    assert_eq!(chosen(&files(1, 1, &sizes), QUIET), Some(names(1..=3)));
    assert_eq!(chosen(&files(1, 1, &sizes[..1]), QUIET), None);
    let just_written = Rules {
        quiet_until: 2,
        ..QUIET
    };
    assert_eq!(chosen(&files(1, 1, &sizes), just_written), None);
}

#[test]
fn a_straggler_does_not_have_a_large_file_written_again() {
    assert_eq!(chosen(&files(1, 1, &[300 * MIB, 1000]), QUIET), None);
    assert_eq!(
        chosen(&files(1, 1, &[300 * MIB, 1000, 1000]), QUIET),
        Some(names(2..=3))
    );
    assert_eq!(
        chosen(&files(1, 1, &[300 * MIB, 1000, 250 * MIB, 70 * MIB]), QUIET),
        Some(names([3, 4])),
        "what fits, and the small one waits"
    );
}

#[test]
fn merging_ends() {
    // Whatever the sizes are, each choice reduces the number of files.
    let mut state = 7_u64;
    for rules in [RULES, QUIET] {
        for _ in 0..200 {
            let sizes: Vec<u64> = (0..50)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    1 << (state >> 59)
                })
                .collect();
            let mut files = files(1, 1, &sizes);
            while let Some(chosen) = choose(&files, rules) {
                let before = files.len();
                files.retain(|file| !chosen.contains(file));
                let merged = Listed {
                    bytes: chosen.iter().map(|file| file.bytes).sum(),
                    sequence_number: 1000,
                    path: format!("{before}"),
                    ..chosen[0].clone()
                };
                assert!(merged.bytes <= rules.target_bytes);
                files.push(merged);
                assert!(files.len() < before);
            }
        }
    }
}
