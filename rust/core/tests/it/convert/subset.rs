//! Some records of a request convert to the same rows as among all the others. The walks through a request in
//! `decode::subset`, `decode::records_above` and conversion number records in the same way.

use otlp2iceberg::convert::{BatchSink, ConvertOptions, RejectedRun, TableBatch, ValueLimits, convert_into};
use otlp2iceberg::decode::{Place, records_above, subset};
use otlp2iceberg::signal::{Signal, Table};
use proptest::prelude::*;
use prost::Message;

use super::rows::{ARRIVAL, converted, rows};
use crate::decode::encode::{delimited, nested};
use crate::strategies;

struct Nothing;

impl BatchSink for Nothing {
    fn batch(&mut self, _: &TableBatch) -> otlp2iceberg::Result<()> {
        Ok(())
    }

    fn restart(&mut self) {}
}

fn rejected_runs(signal: Signal, payload: &[u8]) -> Vec<RejectedRun> {
    let options = ConvertOptions {
        arrival_time_unix_nano: ARRIVAL,
        column_bytes_max: usize::MAX,
        batch_bytes_max: usize::MAX,
        values: ValueLimits::default(),
    };
    convert_into(signal, payload, &options, &mut Nothing)
        .unwrap()
        .rejected_runs
}

/// Checks the half of a request's records whose numbers have this bit.
fn check(signal: Signal, payload: &[u8], bit: u64) {
    let mut places: Vec<Place> = Vec::new();
    let half = subset(signal, payload, &mut |place| {
        places.push(place);
        (places.len() as u64 - 1) & bit != 0
    })
    .unwrap();
    let count = places.len() as u64;
    for max in [0, count / 2, count.saturating_sub(1), count, count + 1] {
        let above = records_above(signal, payload, max).unwrap();
        assert_eq!(above, (count > max).then_some(count), "records above {max}");
    }
    let runs = rejected_runs(signal, payload);
    let is_rejected = |record: u64| {
        runs.iter()
            .any(|run| (run.first..run.first + run.count).contains(&record))
    };
    let (whole, half) = (converted(signal, payload), converted(signal, &half));
    for table in Table::ALL {
        let of_table = (0..)
            .zip(&places)
            .filter(|(record, place)| place.table == Some(table) && !is_rejected(*record));
        let all = rows(&whole, table);
        let numbers: Vec<u64> = of_table.map(|(record, _)| record).collect();
        assert_eq!(numbers.len(), all.len(), "rows of {table}");
        let expected: Vec<_> = numbers
            .into_iter()
            .zip(all)
            .filter(|(record, _)| record & bit != 0)
            .map(|(_, row)| row)
            .collect();
        assert_eq!(rows(&half, table), expected, "half of the rows of {table}");
    }
    let rejected = (0..places.len() as u64).filter(|record| is_rejected(*record) && record & bit != 0);
    assert_eq!(half.rejected, rejected.count() as u64);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn half_of_a_random_request_gives_half_of_its_rows(
        logs in strategies::logs_request(),
        traces in strategies::traces_request(),
        metrics in strategies::metrics_request(),
    ) {
        let payloads = [logs.encode_to_vec(), traces.encode_to_vec(), metrics.encode_to_vec()];
        for (signal, payload) in Signal::ALL.into_iter().zip(payloads) {
            check(signal, &payload, 1);
            check(signal, &payload, 2);
        }
    }
}

#[test]
fn of_several_kinds_of_data_the_last_one_counts_in_both() {
    let point = delimited(1, []);
    let metric = [delimited(7, point.repeat(3)), delimited(5, point.repeat(4))].concat();
    check(Signal::Metrics, &nested(&[1, 2, 2], metric), 1);
}

#[test]
fn a_path_is_that_of_the_record_in_its_request() {
    let metric = delimited(2, delimited(11, delimited(1, []).repeat(2)));
    let payload = [vec![], metric.repeat(2)]
        .map(|metrics| delimited(1, delimited(2, metrics)))
        .concat();
    let mut paths = Vec::new();
    let none = subset(Signal::Metrics, &payload, &mut |place| {
        paths.push(place.to_string());
        false
    });
    assert!(none.unwrap().is_empty());
    assert_eq!(paths.len(), 4);
    assert_eq!(
        paths[3],
        "resource_metrics[1].scope_metrics[0].metrics[1].summary.data_points[1]"
    );
}
