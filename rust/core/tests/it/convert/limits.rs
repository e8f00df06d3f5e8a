//! A batch is closed before a string column exceeds `column_bytes_max`, and no row is lost by that.

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use otlp2iceberg::Reason;
use otlp2iceberg::convert::{ConvertOptions, Converted, ValueLimits, convert};
use otlp2iceberg::signal::{Signal, Table};
use proptest::prelude::*;
use prost::Message;

use super::rows::{ARRIVAL, converted, rows};
use crate::decode::encode::{delimited, double, fixed64, nested, number};
use crate::strategies;

const LIMIT: usize = 64 * 1024;

#[test]
fn no_text_column_of_logs_passes_the_limit() {
    // Body; attribute values; attribute keys; label.
    for field in [vec![5, 1], vec![6, 2, 1], vec![6, 1], vec![3]] {
        let records: Vec<u8> = (0..1000)
            .flat_map(|at| nested(&[2], nested(&field, format!("{at:0300}"))))
            .collect();
        check_split(Signal::Logs, &nested(&[1, 2], records), 5);
    }
}

#[test]
fn no_text_column_in_lists_of_spans_and_points_passes_the_limit() {
    // Event name and attribute value; link state and attribute key.
    for field in [vec![11, 2], vec![11, 3, 2, 1], vec![13, 3], vec![13, 4, 1]] {
        // Two different ones, because a batch stores equal keys once.
        let two = |at: usize| {
            [format!("{at:0300}"), format!("{at:x<300}")]
                .map(|text| nested(&field, text))
                .concat()
        };
        let spans: Vec<u8> = (0..500).flat_map(|at| delimited(2, two(at))).collect();
        check_split(Signal::Traces, &nested(&[1, 2], spans), 5);
    }
    let points: Vec<u8> = (0..500)
        .flat_map(|at| nested(&[1, 5, 7, 2, 1], format!("{at:0300}")))
        .collect();
    check_split(Signal::Metrics, &nested(&[1, 2, 2, 5], points), 3);
}

#[test]
fn attributes_shared_by_a_group_count_once_in_a_batch() {
    let records = delimited(2, []).repeat(200);
    let resource = nested(&[1, 1, 2, 1], "r".repeat(5000));
    let scope_logs = delimited(2, [nested(&[1, 3, 2, 1], "s".repeat(3000)), records].concat());
    let payload = delimited(1, [resource, scope_logs].concat());
    check_split(Signal::Logs, &payload, 1);
    // Each group has different ones, and twenty of them fill a batch.
    let groups: Vec<u8> = (0..100)
        .flat_map(|group| {
            let resource = nested(&[1, 1, 2, 1], format!("{group:05000}"));
            delimited(1, [resource, delimited(2, delimited(2, []))].concat())
        })
        .collect();
    check_split(Signal::Logs, &groups, 5);
}

/// What the records of a group share would be in the next batch as well.
#[test]
fn a_text_as_large_as_a_batch_does_not_close_it_after_each_record() {
    let service = [delimited(1, "service.name"), nested(&[2, 1], "x".repeat(LIMIT))].concat();
    let resource = nested(&[1, 1], service);
    let options = ConvertOptions {
        arrival_time_unix_nano: ARRIVAL,
        column_bytes_max: usize::MAX,
        batch_bytes_max: LIMIT,
        values: ValueLimits::default(),
    };
    let records = delimited(2, delimited(2, []).repeat(2_000));
    let bad = delimited(1, double(7, 1.5));
    let histogram = nested(&[9], [bad.repeat(1_000), delimited(1, []).repeat(1_000)].concat());
    for (signal, field) in [
        (Signal::Logs, records.clone()),
        (Signal::Traces, records),
        (Signal::Metrics, nested(&[2, 2], histogram)),
    ] {
        let payload = delimited(1, [resource.clone(), field].concat());
        let converted = convert(signal, &payload, &options).unwrap();
        let rows: usize = converted.batches.iter().map(|batch| batch.batch.num_rows()).sum();
        assert_eq!(rows as u64 + converted.rejected, 2_000, "{signal}");
        assert!(
            converted.batches.len() < 20,
            "{signal}: {}",
            converted.batches.len()
        );
    }
}

/// What rejected points leave behind is not in any batch, and does not let the others grow.
#[test]
fn rejected_points_do_not_make_the_batches_of_other_tables_larger() {
    // One bound, and no counts.
    let bad = |at: usize| {
        delimited(
            1,
            [nested(&[9, 2, 1], format!("{at:01000}")), double(7, 1.5)].concat(),
        )
    };
    let histogram = nested(&[9], (0..1_000).flat_map(bad).collect::<Vec<u8>>());
    let good = |at: usize| delimited(1, nested(&[7, 2, 1], format!("{at:0100}")));
    let gauge = nested(&[5], (0..20_000).flat_map(good).collect::<Vec<u8>>());
    let payload = nested(&[1, 2], [delimited(2, histogram), delimited(2, gauge)].concat());
    let options = ConvertOptions {
        arrival_time_unix_nano: ARRIVAL,
        column_bytes_max: usize::MAX,
        batch_bytes_max: LIMIT,
        values: ValueLimits::default(),
    };
    let converted = convert(Signal::Metrics, &payload, &options).unwrap();
    assert_eq!(converted.rejected, 1_000);
    let sizes: Vec<usize> = converted
        .batches
        .iter()
        .map(|batch| batch.batch.num_rows())
        .collect();
    assert_eq!(sizes.iter().sum::<usize>(), 20_000);
    // A row takes more than its hundred bytes of text.
    assert!(sizes.iter().all(|rows| *rows < LIMIT / 100), "{sizes:?}");
}

/// Otherwise a long text is in dozens of small batches.
#[test]
fn a_batch_is_at_least_half_rows() {
    let service = [
        delimited(1, "service.name"),
        nested(&[2, 1], "x".repeat(20 * LIMIT)),
    ]
    .concat();
    let records = delimited(2, delimited(2, []).repeat(40_000));
    let payload = delimited(1, [nested(&[1, 1], service), records].concat());
    let options = ConvertOptions {
        arrival_time_unix_nano: ARRIVAL,
        column_bytes_max: usize::MAX,
        batch_bytes_max: LIMIT,
        values: ValueLimits::default(),
    };
    let converted = convert(Signal::Logs, &payload, &options).unwrap();
    let rows = converted.batches.iter().map(|batch| batch.batch.num_rows());
    assert_eq!(rows.sum::<usize>(), 40_000);
    assert!(converted.batches.len() < 4, "{}", converted.batches.len());
}

#[test]
fn list_elements_count_like_bytes() {
    // 40,000 events without text in each of 4 spans.
    let span = delimited(2, delimited(11, []).repeat(40_000));
    check_split(Signal::Traces, &nested(&[1, 2], span.repeat(4)), 4);
}

#[test]
fn labels_of_a_group_hold_in_every_batch() {
    // The points of a metric fill several batches, so its name and the service's are looked up again in each.
    let point = |at: usize| {
        delimited(
            1,
            [nested(&[7, 2, 1], format!("{at:01000}")), fixed64(6, 1)].concat(),
        )
    };
    let points: Vec<u8> = (0..300).flat_map(point).collect();
    let metric = [delimited(1, "a.metric"), nested(&[5], points)].concat();
    let service = [delimited(1, "service.name"), nested(&[2, 1], "shop")].concat();
    let payload = delimited(1, [nested(&[1, 1], service), nested(&[2, 2], metric)].concat());
    check_split(Signal::Metrics, &payload, 5);
}

#[test]
fn a_record_that_passes_the_limit_alone_is_rejected_alone() {
    let record = |length: usize| nested(&[2, 5, 1], "b".repeat(length));
    let records = [
        record(10),
        record(LIMIT),
        record(LIMIT + 1),
        record(LIMIT - 10),
        record(20),
    ]
    .concat();
    let converted = limited(Signal::Logs, &nested(&[1, 2], records));
    let found = rows(&converted, Table::Logs);
    assert_eq!(found.len(), 4);
    assert_eq!(converted.rejected, 1);
    assert_eq!(
        converted.rejections[0].path,
        "resource_logs[0].scope_logs[0].log_records[2]"
    );
    assert!(
        converted.rejections[0].message.contains("65536"),
        "{:?}",
        converted.rejections[0]
    );
    assert_within_limit(&converted);
}

/// The attributes of rejected points stay in the open batch until it is closed, without effect on other rows.
#[test]
fn attributes_of_rejected_points_do_not_pass_the_limit() {
    // Histogram points of one series each, with 1 kB of attributes. All but the last have one bound and no
    // count.
    let point = |at: usize| {
        let bound = if at == 399 { Vec::new() } else { double(7, 1.0) };
        let attributes = nested(&[9, 2, 1], format!("{at:01000}"));
        delimited(1, [attributes, bound].concat())
    };
    let points: Vec<u8> = (0..400).flat_map(point).collect();
    let converted = limited(Signal::Metrics, &nested(&[1, 2, 2, 9], points));
    assert_eq!(converted.rejected, 399);
    assert_eq!(rows(&converted, Table::Histogram).len(), 1);
}

/// An empty element takes many times more memory than bytes in a request.
#[test]
fn a_record_with_too_many_elements_is_left_out_by_itself() {
    const MOST: usize = 1 << 20;
    let elements = |field: u64, count: usize| delimited(field, []).repeat(count);
    let span = |events, links| delimited(2, [elements(11, events), elements(13, links)].concat());
    let spans = [span(MOST, 0), span(MOST - 1, 2), span(0, 1)].concat();
    check_left_out(Signal::Traces, &nested(&[1, 2], spans), Table::Traces);

    // Exemplars of a gauge, a sum and a histogram; buckets, packed; quantiles.
    let packed = |field: u64, count: usize| delimited(field, vec![0; count]);
    for (table, data, element, as_list) in [
        (Table::Gauge, 5, 5, true),
        (Table::Sum, 7, 5, true),
        (Table::Histogram, 9, 8, true),
        (Table::ExponentialHistogram, 10, 11, true),
        (Table::ExponentialHistogram, 10, 8, false),
        (Table::Summary, 11, 6, true),
    ] {
        let list = |count| {
            if as_list {
                elements(element, count)
            } else {
                delimited(element, packed(2, count - 8))
            }
        };
        let point = |count| delimited(1, list(count));
        let points = [point(MOST), point(MOST + 9), point(9)].concat();
        check_left_out(Signal::Metrics, &nested(&[1, 2, 2, data], points), table);
    }
}

/// Of three records the second is left out.
fn check_left_out(signal: Signal, payload: &[u8], table: Table) {
    let options = ConvertOptions {
        arrival_time_unix_nano: ARRIVAL,
        column_bytes_max: usize::MAX,
        batch_bytes_max: usize::MAX,
        values: ValueLimits::default(),
    };
    let converted = convert(signal, payload, &options).unwrap();
    let rows: usize = converted.batches.iter().map(|batch| batch.batch.num_rows()).sum();
    assert_eq!((rows, converted.rejected), (2, 1), "{table}");
    let rejection = &converted.rejections[0];
    assert_eq!(rejection.reason, Reason::RecordTooLarge);
    assert!(rejection.path.contains("[1]"), "{rejection:?}");
    assert!(rejection.message.contains("1048576"), "{rejection:?}");
    assert_eq!(converted.batches[0].table, table);
}

#[test]
fn repairs_are_counted_once_when_a_row_goes_to_a_new_batch() {
    let record = |at: usize| {
        let body = [b"\xff".to_vec(), vec![b'x'; 300 + at % 7]].concat();
        delimited(2, [nested(&[5, 1], body), delimited(9, [1, 2, 3])].concat())
    };
    let payload = nested(&[1, 2], (0..1000).flat_map(record).collect::<Vec<u8>>());
    check_split(Signal::Logs, &payload, 5);
    let repairs = limited(Signal::Logs, &payload).repairs;
    assert_eq!((repairs.invalid_utf8, repairs.invalid_ids), (1000, 1000));
}

/// Labels of rejected points stay in a dictionary only as long as they fit.
#[test]
fn labels_of_rejected_points_do_not_pass_the_limit() {
    // Histograms with names of 1 kB; three of four have a point with one bound and no count.
    let metric = |at: usize| {
        let bound = if at.is_multiple_of(4) {
            Vec::new()
        } else {
            double(7, 1.0)
        };
        delimited(
            2,
            [delimited(1, format!("{at:01000}")), nested(&[9, 1], bound)].concat(),
        )
    };
    let payload = nested(&[1, 2], (0..400).flat_map(metric).collect::<Vec<u8>>());
    check_split(Signal::Metrics, &payload, 2);
    assert_eq!(limited(Signal::Metrics, &payload).rejected, 300);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn random_requests_split_into_the_same_rows(
        logs in strategies::logs_request(),
        traces in strategies::traces_request(),
        metrics in strategies::metrics_request(),
    ) {
        let payloads = [logs.encode_to_vec(), traces.encode_to_vec(), metrics.encode_to_vec()];
        for (signal, payload) in Signal::ALL.into_iter().zip(payloads) {
            let times = (300_000 / (payload.len() + 1)).clamp(1, 100);
            check_split(signal, &payload.repeat(times), 0);
        }
    }
}

/// Checks the limit in every batch, the minimum number of batches, and that rows, rejections and repairs
/// equal those of a conversion without a limit.
fn check_split(signal: Signal, payload: &[u8], batches_min: usize) {
    let (whole, split) = (converted(signal, payload), limited(signal, payload));
    assert!(
        split.batches.len() >= batches_min,
        "{} batches",
        split.batches.len()
    );
    assert_within_limit(&split);
    for table in Table::ALL {
        let (split, whole) = (rows(&split, table), rows(&whole, table));
        assert_eq!(split.len(), whole.len(), "rows of {table}");
        for (at, (split, whole)) in split.iter().zip(&whole).enumerate() {
            assert_eq!(split, whole, "{table}[{at}]");
        }
    }
    assert_eq!(split.rejected, whole.rejected);
    assert_eq!(split.rejections, whole.rejections);
    assert_eq!(split.repairs, whole.repairs);
}

fn limited(signal: Signal, payload: &[u8]) -> Converted {
    let options = ConvertOptions {
        arrival_time_unix_nano: ARRIVAL,
        column_bytes_max: LIMIT,
        batch_bytes_max: usize::MAX,
        values: ValueLimits::default(),
    };
    convert(signal, payload, &options).unwrap()
}

fn assert_within_limit(converted: &Converted) {
    for batch in &converted.batches {
        let schema = batch.batch.schema();
        for (column, field) in batch.batch.columns().iter().zip(schema.fields()) {
            let longest = longest_text(column);
            assert!(
                longest <= LIMIT,
                "{}.{} has {longest} bytes",
                batch.table,
                field.name()
            );
        }
    }
}

fn longest_text(array: &ArrayRef) -> usize {
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value_data().len(),
        DataType::Dictionary(..) => longest_text(array.as_dictionary::<Int32Type>().values()),
        DataType::List(_) => longest_text(array.as_list::<i32>().values()),
        DataType::Struct(_) => array
            .as_struct()
            .columns()
            .iter()
            .map(longest_text)
            .max()
            .unwrap_or_default(),
        DataType::Map(..) => array
            .as_map()
            .entries()
            .columns()
            .iter()
            .map(longest_text)
            .max()
            .unwrap_or_default(),
        _ => 0,
    }
}

#[test]
fn the_limit_is_measured_in_nested_columns_too() {
    let attribute = [delimited(1, "k".repeat(70)), nested(&[2], number(2, 1))].concat();
    let converted = converted(Signal::Traces, &nested(&[1, 2, 2, 11, 3], attribute));
    assert_eq!(
        longest_text(converted.batches[0].batch.column_by_name("Events").unwrap()),
        70
    );
}
