//! Batches are passed on as they close, so that the memory for one request is bounded.

use arrow_array::RecordBatch;
use otlp2iceberg::Result;
use otlp2iceberg::convert::{
    BatchSink, ConvertOptions, Converted, Memory, Rejection, Repairs, Summary, TableBatch, ValueLimits,
    convert_all_into, convert_into,
};
use otlp2iceberg::error::{Error, ErrorKind};
use otlp2iceberg::signal::{Signal, Table};
use proptest::prelude::*;
use prost::Message;

use super::rows::{ARRIVAL, converted, rows};
use crate::decode::encode::{delimited, double, nested};
use crate::strategies;

/// Keeps batches until it is void. Refuses batches from a given one on.
#[derive(Default)]
struct Keeper {
    batches: Vec<TableBatch>,
    restarts: usize,
    void: usize,
    refuses_from: Option<usize>,
}

impl BatchSink for Keeper {
    fn batch(&mut self, batch: &TableBatch) -> Result<()> {
        if self.refuses_from == Some(self.batches.len()) {
            return Err(Error::new(ErrorKind::Storage, "the disk is full"));
        }
        self.batches.push(batch.clone());
        Ok(())
    }

    fn restart(&mut self) {
        self.restarts += 1;
        self.void = self.batches.len();
        self.batches.clear();
    }
}

fn keep(signal: Signal, payload: &[u8], batch_bytes_max: usize) -> (Keeper, Summary) {
    let mut keeper = Keeper::default();
    let summary = convert_into(signal, payload, &options(batch_bytes_max), &mut keeper).unwrap();
    (keeper, summary)
}

fn options(batch_bytes_max: usize) -> ConvertOptions {
    ConvertOptions {
        arrival_time_unix_nano: ARRIVAL,
        column_bytes_max: usize::MAX,
        batch_bytes_max,
        values: ValueLimits::default(),
    }
}

/// The bytes of a batch's values, without unused capacity of its buffers.
fn bytes(batch: &RecordBatch) -> usize {
    let sizes = batch
        .columns()
        .iter()
        .map(|column| column.to_data().get_slice_memory_size());
    sizes.sum::<std::result::Result<_, _>>().unwrap()
}

/// Records with a body of 100 kB.
fn large(records: usize) -> Vec<u8> {
    with_bodies(records, 100_000)
}

/// Records with a body of this many bytes.
fn with_bodies(records: usize, bytes: usize) -> Vec<u8> {
    let record = nested(&[2, 5, 1], "b".repeat(bytes));
    nested(&[1, 2], record.repeat(records))
}

/// Gauge points with this many empty exemplars, which take two bytes each.
fn with_exemplars(points: usize, exemplars: usize) -> Vec<u8> {
    let point = nested(&[1], delimited(5, []).repeat(exemplars));
    nested(&[1, 2, 2, 5], point.repeat(points))
}

/// Measures batches and drops them.
#[derive(Default)]
struct Scale {
    rows: usize,
    batches: usize,
    largest: usize,
    largest_memory: usize,
}

impl BatchSink for Scale {
    fn batch(&mut self, TableBatch { batch, .. }: &TableBatch) -> Result<()> {
        self.rows += batch.num_rows();
        self.batches += 1;
        self.largest = self.largest.max(bytes(batch));
        self.largest_memory = self.largest_memory.max(batch.get_array_memory_size());
        Ok(())
    }

    fn restart(&mut self) {
        panic!("all text is UTF-8");
    }
}

#[test]
fn a_large_request_gives_batches_of_bounded_size() {
    const MAX: usize = 4 << 20;
    let mut scale = Scale::default();
    convert_into(Signal::Logs, &large(400), &options(MAX), &mut scale).unwrap();
    assert_eq!(scale.rows, 400);
    assert!(scale.batches >= 9, "{} batches", scale.batches);
    // One row is slightly more than 100 kB.
    assert!(scale.largest >= MAX - 1024, "{} bytes", scale.largest);
    assert!(scale.largest <= MAX + 101_000, "{} bytes", scale.largest);
    // Buffers grow by doubling.
    assert!(
        scale.largest_memory <= 2 * (MAX + 101_000),
        "{} bytes",
        scale.largest_memory
    );
}

/// Columns are not measured after each row of short records.
#[test]
fn batches_of_long_and_short_records_are_bounded_by_one_row() {
    const MAX: usize = 4 << 20;
    for (signal, payload, rows, row_bytes) in [
        (Signal::Logs, with_bodies(10_000, 3_900), 10_000, 4_100),
        (Signal::Logs, with_bodies(2_500, 15_000), 2_500, 15_200),
        (Signal::Metrics, with_exemplars(300, 2_000), 300, 2_000 * 50),
        (Signal::Metrics, with_exemplars(10, 200_000), 10, 200_000 * 50),
    ] {
        let mut scale = Scale::default();
        convert_into(signal, &payload, &options(MAX), &mut scale).unwrap();
        assert_eq!(scale.rows, rows);
        assert!(scale.batches > 3, "{} batches of {rows} rows", scale.batches);
        assert!(
            scale.largest <= MAX + row_bytes,
            "{} bytes of {rows} rows",
            scale.largest
        );
    }
}

#[test]
fn what_rows_share_is_in_a_batch_once() {
    let resource = nested(&[1, 1, 2, 1], "r".repeat(100_000));
    let records = delimited(2, delimited(2, []).repeat(10_000));
    let (keeper, _) = keep(Signal::Logs, &delimited(1, [resource, records].concat()), 4 << 20);
    assert_eq!(keeper.batches.len(), 1);
    assert_eq!(keeper.batches[0].batch.num_rows(), 10_000);
}

#[test]
fn a_row_above_the_limit_is_stored() {
    let (keeper, summary) = keep(Signal::Logs, &large(3), 1000);
    let row_counts: Vec<_> = keeper
        .batches
        .iter()
        .map(|batch| batch.batch.num_rows())
        .collect();
    assert_eq!((row_counts, summary.rejected), (vec![1, 1, 1], 0));
}

#[test]
fn invalid_text_in_a_later_batch_voids_the_earlier_ones() {
    let record = |at: usize| {
        let body = if at < 900 {
            format!("{at:0300}").into_bytes()
        } else {
            vec![0xff; 300]
        };
        delimited(2, [nested(&[5, 1], body), delimited(9, [1, 2, 3])].concat())
    };
    let payload = nested(&[1, 2], (0..1000).flat_map(record).collect::<Vec<u8>>());
    let (keeper, summary) = keep(Signal::Logs, &payload, 64 * 1024);
    assert_eq!(keeper.restarts, 1);
    assert!(keeper.void > 2, "{} batches were void", keeper.void);
    assert_eq!(
        summary.repairs,
        Repairs {
            invalid_utf8: 100,
            invalid_ids: 1000,
            ..Default::default()
        }
    );
    assert_same(&payload, Signal::Logs, keeper, &summary);
}

#[test]
fn an_error_of_the_sink_ends_the_conversion() {
    let mut keeper = Keeper {
        refuses_from: Some(2),
        ..Default::default()
    };
    let error = convert_into(Signal::Logs, &large(9), &options(1000), &mut keeper).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert_eq!((keeper.batches.len(), keeper.restarts), (2, 0));
}

/// A table that rarely gets a row does not get a batch for each row while another table fills.
#[test]
fn the_largest_open_batch_is_closed() {
    let gauge = |at: usize| nested(&[2, 5, 1, 7, 2, 1], format!("{at:01000}"));
    let sum = nested(&[2, 7, 1], []);
    let group = |at: usize| {
        [
            (0..10).flat_map(|point| gauge(10 * at + point)).collect(),
            sum.clone(),
        ]
        .concat()
    };
    let scope_metrics: Vec<u8> = (0..50).flat_map(group).collect();
    let (keeper, _) = keep(Signal::Metrics, &nested(&[1, 2], scope_metrics), 100_000);
    let count = |table| keeper.batches.iter().filter(|batch| batch.table == table).count();
    assert!(count(Table::Gauge) >= 5, "{} batches", count(Table::Gauge));
    assert_eq!(count(Table::Sum), 1);
}

#[test]
fn a_rejection_names_the_metric_and_the_service() {
    let service = [delimited(1, "service.name"), nested(&[2, 1], "cart")].concat();
    let name = "n".repeat(101);
    let metric = |name: &str| delimited(2, [delimited(1, name), nested(&[9, 1], double(7, 1.0))].concat());
    let metrics = [metric("http.server.duration"), metric(&name)].concat();
    let payload = delimited(1, [nested(&[1, 1], service), delimited(2, metrics)].concat());
    let paths: Vec<_> = converted(Signal::Metrics, &payload)
        .rejections
        .into_iter()
        .map(|one| one.path)
        .collect();
    let cut = &name[..100];
    assert_eq!(
        paths,
        [
            "resource_metrics[0].scope_metrics[0].metrics[0].histogram.data_points[0] (metric \"http.server.duration\" of service \"cart\")".to_owned(),
            format!("resource_metrics[0].scope_metrics[0].metrics[1].histogram.data_points[0] (metric \"{cut}\" of service \"cart\")"),
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn random_requests_give_the_same_rows_in_any_batches(
        logs in strategies::logs_request(),
        traces in strategies::traces_request(),
        metrics in strategies::metrics_request(),
        batch_bytes_max in 0usize..20_000,
    ) {
        let payloads = [logs.encode_to_vec(), traces.encode_to_vec(), metrics.encode_to_vec()];
        for (signal, payload) in Signal::ALL.into_iter().zip(payloads) {
            let (keeper, summary) = keep(signal, &payload, batch_bytes_max);
            assert_same(&payload, signal, keeper, &summary);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Messages may be split into any number of pieces.
    #[test]
    fn messages_in_pieces_give_the_rows_that_they_give_in_one(
        logs in prop::collection::vec(strategies::logs_request(), 0..5),
        traces in prop::collection::vec(strategies::traces_request(), 0..5),
        metrics in prop::collection::vec(strategies::metrics_request(), 0..5),
        together in 1usize..4,
        batch_bytes_max in 0usize..20_000,
    ) {
        let messages = [
            logs.iter().map(Message::encode_to_vec).collect::<Vec<_>>(),
            traces.iter().map(Message::encode_to_vec).collect(),
            metrics.iter().map(Message::encode_to_vec).collect(),
        ];
        for (signal, messages) in Signal::ALL.into_iter().zip(messages) {
            let pieces: Vec<Vec<u8>> = messages.chunks(together).map(<[Vec<u8>]>::concat).collect();
            let pieces = pieces.iter().map(Vec::as_slice);
            let mut keeper = Keeper::default();
            let options = options(batch_bytes_max);
            // The memory is reused from an earlier conversion, and none of its content may remain.
            let mut memory = Memory::default();
            convert_all_into(signal, pieces.clone(), &options, &mut memory, &mut Scale::default()).unwrap();
            let summary = convert_all_into(signal, pieces, &options, &mut memory, &mut keeper).unwrap();
            let paths_apart = |rejections: &[Rejection]| -> Vec<_> {
                rejections.iter().map(|rejection| (rejection.reason, rejection.message.clone())).collect()
            };
            let payload = messages.concat();
            let whole = converted(signal, &payload);
            prop_assert_eq!(paths_apart(&summary.rejections), paths_apart(&whole.rejections));
            let summary = Summary { rejections: whole.rejections, ..summary };
            assert_same(&payload, signal, keeper, &summary);
        }
    }
}

/// Checks for each table that its rows, in the order of its batches, are those of the request converted at
/// once, and that the rest of the result is the same.
fn assert_same(payload: &[u8], signal: Signal, keeper: Keeper, summary: &Summary) {
    let whole = converted(signal, payload);
    let mut batches = keeper.batches;
    batches.sort_by_key(|batch| batch.table);
    let split = Converted {
        batches,
        ..Default::default()
    };
    for table in Table::ALL {
        assert_eq!(rows(&split, table), rows(&whole, table), "rows of {table}");
    }
    assert_eq!(summary.rejected, whole.rejected);
    assert_eq!(summary.rejections, whole.rejections);
    assert_eq!(summary.repairs, whole.repairs);
}
