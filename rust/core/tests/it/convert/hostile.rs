//! Bytes that are cut, flipped, random, nested without end or made to be slow: rows or an error with
//! the path of the first bad field, never a panic.

use std::error::Error as _;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use otlp2iceberg::convert::{ConvertOptions, ValueLimits, convert};
use otlp2iceberg::decode::DecodeError;
use otlp2iceberg::signal::{Signal, Table};
use otlp2iceberg::{ErrorKind, RetryClass};
use proptest::prelude::*;

use super::rows::{ARRIVAL, Cell, converted, rows};
use crate::decode::encode::{delimited, nested, number, varint};
use crate::decode::walk::walk;
use crate::decode::{corpus, samples};

#[test]
fn a_request_cut_at_any_byte_gives_rows_or_the_error_of_the_decoder() {
    for signal in Signal::ALL {
        let sample = samples::sample(signal);
        let refused = (0..sample.len())
            .filter(|&cut| !agrees_with_decoder(signal, &sample[..cut]))
            .count();
        assert!(
            refused > sample.len() / 2,
            "{refused} of {} cuts refused",
            sample.len()
        );
    }
}

#[test]
fn a_request_with_any_one_bit_flipped_gives_rows_or_the_error_of_the_decoder() {
    for signal in Signal::ALL {
        let mut sample = samples::sample(signal);
        let (mut stored, mut refused) = (0, 0);
        for bit in 0..sample.len() * 8 {
            sample[bit / 8] ^= 1 << (bit % 8);
            if agrees_with_decoder(signal, &sample) {
                stored += 1;
            } else {
                refused += 1;
            }
            sample[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(
            stored > 1000 && refused > 1000,
            "{stored} stored, {refused} refused"
        );
    }
}

#[test]
fn every_seed_of_the_fuzz_corpus_gives_rows_or_the_error_of_the_decoder() {
    for signal in Signal::ALL {
        for (name, bytes) in corpus::corpus(signal) {
            assert_eq!(
                agrees_with_decoder(signal, &bytes),
                name.starts_with("good-"),
                "{signal} {name}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn requests_with_random_edits_never_panic(
        signal in prop::sample::select(Signal::ALL.to_vec()),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..8),
    ) {
        let mut bytes = samples::sample(signal);
        for (index, byte, edit) in edits {
            let index = index.index(bytes.len());
            match edit {
                0 => bytes[index] = byte,
                1 => bytes.insert(index, byte),
                _ => drop(bytes.remove(index)),
            }
        }
        agrees_with_decoder(signal, &bytes);
    }
}

#[test]
fn a_value_nested_100_000_levels_keeps_64_and_is_counted_once() {
    const LEVELS: usize = 100_000;
    for (member, list_of, open, close) in [(5, &[1][..], "[", "]"), (6, &[2, 1], "{\"\":", "}")] {
        let value = nest_values(member, list_of, LEVELS);
        let attribute = [delimited(1, "deep"), delimited(2, &value)].concat();
        let record = [delimited(5, &value), delimited(6, &attribute)].concat();
        let converted = converted(Signal::Logs, &nested(&[1, 2, 2], record));
        let text = format!("{}null{}", open.repeat(64), close.repeat(64));
        let row = &rows(&converted, Table::Logs)[0];
        assert_eq!(row["Body"], Cell::text(&text));
        assert_eq!(row["LogAttributes"], Cell::map(&[("deep", Some(&text))]));
        assert_eq!(converted.repairs.nesting, 2);
    }
}

/// Comparing the resource's name for each scope would read 400 GB.
#[test]
fn a_resource_of_4_mib_with_50_000_scopes_takes_linear_time() {
    let name = [delimited(1, "service.name"), nested(&[2, 1], "x".repeat(4 << 20))].concat();
    let scopes = delimited(2, delimited(2, [])).repeat(50_000);
    for (signal, table) in [(Signal::Logs, Table::Logs), (Signal::Traces, Table::Traces)] {
        let request = delimited(1, [nested(&[1, 1], &name), scopes.clone()].concat());
        let converted = converted(signal, &request);
        let [batch] = converted.batches.as_slice() else {
            panic!("{} batches", converted.batches.len());
        };
        assert_eq!((batch.table, batch.batch.num_rows()), (table, 50_000));
        let names = batch.batch["ServiceName"].as_dictionary::<Int32Type>();
        assert_eq!(names.values().len(), 1);
        assert_eq!(names.null_count(), 0);
    }
}

/// Comparing each key with every other one would take 10 billion steps.
#[test]
fn attributes_with_100_000_keys_of_the_same_ends_take_linear_time() {
    let attribute = |at: usize| {
        let key = format!("12345678{at:08}12345678");
        delimited(
            6,
            [delimited(1, key), delimited(2, number(3, at as u64))].concat(),
        )
    };
    let attributes: Vec<u8> = (0..100_000).chain(0..100_000).flat_map(attribute).collect();
    let converted = converted(Signal::Logs, &nested(&[1, 2, 2], attributes));
    let Cell::Map(entries) = rows(&converted, Table::Logs)[0]["LogAttributes"].clone() else {
        panic!("no attributes");
    };
    assert_eq!(entries.len(), 100_000);
    assert_eq!(
        entries[99_999],
        ("123456780009999912345678".to_owned(), Cell::text("99999"))
    );
}

/// Whether the request was stored. An error must be the decoder's own, with the same path.
fn agrees_with_decoder(signal: Signal, payload: &[u8]) -> bool {
    let options = ConvertOptions {
        arrival_time_unix_nano: ARRIVAL,
        column_bytes_max: 1 << 20,
        batch_bytes_max: 4 << 20,
        values: ValueLimits::default(),
    };
    match (convert(signal, payload, &options), walk(signal, payload)) {
        (Ok(_), Ok(_)) => true,
        (Err(error), Err(expected)) => {
            assert_eq!(error.kind(), ErrorKind::Decode, "{error}");
            assert_eq!(error.retry_class(), RetryClass::Permanent);
            let source = error
                .source()
                .and_then(|source| source.downcast_ref::<DecodeError>());
            assert_eq!(source, Some(&expected));
            false
        }
        (Ok(_), Err(error)) => panic!("stored what the decoder refuses: {error}"),
        (Err(error), Ok(_)) => panic!("refused what the decoder reads: {error}"),
    }
}

/// An empty value inside as many lists; a list is this member of `AnyValue`, and each of its
/// elements lies under these fields (the innermost first). Built from the inside in linear time.
fn nest_values(member: u8, list_of: &[u8], levels: usize) -> Vec<u8> {
    let mut reversed = Vec::new();
    for _ in 0..levels {
        for field in list_of.iter().chain([&member]) {
            let length = varint(reversed.len() as u64);
            reversed.extend(length.into_iter().rev());
            reversed.push(field << 3 | 2);
        }
    }
    reversed.reverse();
    reversed
}
