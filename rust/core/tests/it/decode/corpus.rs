//! The seeds of the fuzz targets, `testdata/fuzz/<signal>/`: `good-*` are read completely, `bad-*` are
//! refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use otlp2iceberg::signal::Signal;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use prost::Message;

use super::encode::{delimited, fixed64, nested, number, tag, varint};
use super::samples;
use super::walk::walk;
use crate::strategies;

const SIGNALS: [Signal; 3] = [Signal::Logs, Signal::Traces, Signal::Metrics];
const RECORD: [u64; 3] = [1, 2, 2];

/// Every seed of a signal by its file name.
pub fn corpus(signal: Signal) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(directory(signal))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read(path).unwrap())
        })
        .collect()
}

#[test]
fn seeds_are_read_or_refused_as_their_names_say() {
    for signal in SIGNALS {
        let seeds = corpus(signal);
        for (name, bytes) in &seeds {
            let walked = walk(signal, bytes);
            match name.split('-').next() {
                Some("good") => assert!(walked.is_ok(), "{signal} {name}: {walked:?}"),
                Some("bad") => assert!(walked.is_err(), "{signal} {name} is read"),
                _ => panic!("{signal} {name} is neither good nor bad"),
            }
        }
        let good = seeds.keys().filter(|name| name.starts_with("good")).count();
        assert!(good >= 6 && seeds.len() - good >= 6, "{signal}: {seeds:?}");
    }
}

#[test]
fn the_first_seeds_are_the_samples() {
    for signal in SIGNALS {
        assert_eq!(
            corpus(signal)["good-every-field.binpb"],
            samples::sample(signal),
            "{signal}"
        );
    }
}

/// Random seeds depend on the version of proptest, so this is no check.
#[test]
#[ignore = "writes testdata/fuzz; run it by name when the seeds should change"]
fn write_seeds() {
    for signal in SIGNALS {
        let directory = directory(signal);
        if directory.exists() {
            fs::remove_dir_all(&directory).unwrap();
        }
        fs::create_dir_all(&directory).unwrap();
        for (name, bytes) in good_seeds(signal).into_iter().chain(bad_seeds()) {
            fs::write(directory.join(format!("{name}.binpb")), bytes).unwrap();
        }
    }
}

fn directory(signal: Signal) -> PathBuf {
    let name = match signal {
        Signal::Logs => "logs",
        Signal::Traces => "traces",
        Signal::Metrics => "metrics",
    };
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../testdata/fuzz")
        .join(name)
}

fn good_seeds(signal: Signal) -> Vec<(String, Vec<u8>)> {
    let unknown = [number(99, 1), samples::sample(signal), fixed64(98, 1)].concat();
    let twice = samples::sample(signal).repeat(2);
    let mut seeds = vec![
        ("good-empty".to_owned(), Vec::new()),
        ("good-every-field".to_owned(), samples::sample(signal)),
        ("good-unknown-fields".to_owned(), unknown),
        ("good-merged".to_owned(), twice),
        ("good-empty-record".to_owned(), nested(&RECORD, [])),
    ];
    let deep = (0..100).fold(Vec::new(), |inner, _| nested(&[5, 1], inner));
    // As the value of a resource attribute.
    seeds.push(("good-nested".to_owned(), nested(&[1, 1, 1, 2], deep)));
    let not_utf8 = nested(
        &[1, 1, 1],
        [delimited(1, [0xff]), delimited(2, delimited(1, [0xc3]))].concat(),
    );
    seeds.push(("good-not-utf8".to_owned(), not_utf8));
    let random = random_requests(signal).into_iter().enumerate();
    seeds.extend(random.map(|(index, bytes)| (format!("good-random-{index}"), bytes)));
    seeds
}

/// Four requests of moderate size.
fn random_requests(signal: Signal) -> Vec<Vec<u8>> {
    let mut runner = TestRunner::deterministic();
    let strategy = match signal {
        Signal::Logs => strategies::logs_request().prop_map(|m| m.encode_to_vec()).boxed(),
        Signal::Traces => strategies::traces_request()
            .prop_map(|m| m.encode_to_vec())
            .boxed(),
        Signal::Metrics => strategies::metrics_request()
            .prop_map(|m| m.encode_to_vec())
            .boxed(),
    };
    std::iter::repeat_with(|| strategy.new_tree(&mut runner).unwrap().current())
        .filter(|bytes| (500..3000).contains(&bytes.len()))
        .take(4)
        .collect()
}

fn bad_seeds() -> Vec<(String, Vec<u8>)> {
    [
        ("bad-group", nested(&RECORD, tag(5, 3))),
        ("bad-wire-type-6", nested(&RECORD, tag(5, 6))),
        ("bad-field-number", nested(&RECORD, tag(0, 0))),
        ("bad-string-as-number", nested(&[1], number(3, 1))),
        (
            "bad-length",
            nested(&RECORD, [tag(3, 2), varint(u64::MAX)].concat()),
        ),
        (
            "bad-varint",
            nested(&RECORD, [tag(99, 0), vec![0xff; 11]].concat()),
        ),
        ("bad-cut", nested(&RECORD, [tag(99, 1), vec![0; 7]].concat())),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .into()
}
