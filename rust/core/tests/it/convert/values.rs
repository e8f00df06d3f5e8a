//! Rules 7, 14 and 15: limits of a record's values. Content beyond them is cut off and counted.

use otlp2iceberg::convert::{
    ConvertOptions, Converted, RejectedRun, Repairs, ValueLimits, convert, convert_into,
};
use otlp2iceberg::signal::{Signal, Table};
use otlp2iceberg::{Reason, ReasonCounts};

use super::rows::{ARRIVAL, Cell, rows};
use crate::decode::encode::{delimited, nested, number};

fn limited(signal: Signal, payload: &[u8], values: ValueLimits) -> Converted {
    let options = ConvertOptions {
        arrival_time_unix_nano: ARRIVAL,
        column_bytes_max: usize::MAX,
        batch_bytes_max: usize::MAX,
        values,
    };
    convert(signal, payload, &options).expect("a well-formed request")
}

fn attribute(field: u64, key: &str, value: &str) -> Vec<u8> {
    delimited(field, [delimited(1, key), nested(&[2, 1], value)].concat())
}

fn texts(max: usize) -> ValueLimits {
    ValueLimits {
        text_bytes_max: max,
        ..ValueLimits::default()
    }
}

#[test]
fn rule_14_attributes_beyond_the_first_are_dropped_and_counted_as_dropped() {
    let three = |field| ["a", "b", "c"].map(|key| attribute(field, key, "1")).concat();
    let resource = delimited(1, [three(1), number(2, 5)].concat());
    let scope = delimited(1, three(3));
    let record = delimited(2, [three(6), number(7, 4_294_967_295)].concat());
    let payload = delimited(
        1,
        [resource, delimited(2, [scope, record.repeat(2)].concat())].concat(),
    );
    let values = ValueLimits {
        attributes_max: 2,
        ..ValueLimits::default()
    };
    let converted = limited(Signal::Logs, &payload, values);
    let rows = rows(&converted, Table::Logs);
    assert_eq!(rows.len(), 2);
    let two = Cell::map(&[("a", Some("1")), ("b", Some("1"))]);
    for row in rows {
        assert_eq!(
            (
                &row["LogAttributes"],
                &row["ResourceAttributes"],
                &row["ScopeAttributes"]
            ),
            (&two, &two, &two)
        );
        assert_eq!(row["ResourceDroppedAttributesCount"], Cell::Number(6));
        assert_eq!(row["ScopeDroppedAttributesCount"], Cell::Number(1));
        assert_eq!(
            row["LogDroppedAttributesCount"],
            Cell::Number(i64::from(i32::MAX))
        );
    }
    // One of the resource, one of the scope, and one of each record.
    assert_eq!(
        converted.repairs,
        Repairs {
            dropped_attributes: 4,
            ..Default::default()
        }
    );
}

#[test]
fn rule_15_a_text_is_cut_at_the_end_of_a_character() {
    // The third character has four bytes, from 3 to 7.
    let text = "aé\u{1f600}z";
    for (max, kept) in [
        (8, text),
        (7, "aé\u{1f600}"),
        (6, "aé"),
        (3, "aé"),
        (2, "a"),
        (1, "a"),
    ] {
        let record = [nested(&[5, 1], text), attribute(6, "k", text)].concat();
        let converted = limited(Signal::Logs, &nested(&[1, 2, 2], record), texts(max));
        let row = &rows(&converted, Table::Logs)[0];
        assert_eq!(row["Body"], Cell::text(kept), "{max}");
        assert_eq!(row["LogAttributes"], Cell::map(&[("k", Some(kept))]));
        let cut_texts = if kept == text { 0 } else { 2 };
        assert_eq!(
            converted.repairs,
            Repairs {
                cut_texts,
                ..Default::default()
            }
        );
    }
}

#[test]
fn rule_15_text_that_is_no_utf8_is_cut_and_mended() {
    let record = nested(&[5, 1], [0xff, b'a', b'b', 0xf0, 0x9f, 0x98, 0x80]);
    let converted = limited(Signal::Logs, &nested(&[1, 2, 2], record), texts(5));
    assert_eq!(rows(&converted, Table::Logs)[0]["Body"], Cell::text("\u{fffd}ab"));
    assert_eq!(
        converted.repairs,
        Repairs {
            cut_texts: 1,
            invalid_utf8: 1,
            ..Default::default()
        }
    );
}

#[test]
fn rule_15_the_text_of_other_values_is_cut_too() {
    // The array [1,2,3] and 6 bytes as base64.
    let array = delimited(5, [1, 2, 3].map(|value| delimited(1, number(3, value))).concat());
    for (value, kept) in [(array, "[1,2"), (delimited(7, b"abcdef"), "YWJj")] {
        let converted = limited(Signal::Logs, &nested(&[1, 2, 2, 5], value), texts(4));
        assert_eq!(rows(&converted, Table::Logs)[0]["Body"], Cell::text(kept));
        assert_eq!(converted.repairs.cut_texts, 1);
    }
}

#[test]
fn rule_7_the_levels_of_nesting_can_be_fewer_but_not_more() {
    for (nesting_max, levels) in [(1, 1), (2, 2), (u32::MAX, 64)] {
        // 70 nested arrays.
        let value = (0..70).fold(Vec::new(), |inner, _| delimited(5, delimited(1, inner)));
        let values = ValueLimits {
            nesting_max,
            ..ValueLimits::default()
        };
        let converted = limited(Signal::Logs, &nested(&[1, 2, 2, 5], value), values);
        let Cell::Text(body) = &rows(&converted, Table::Logs)[0]["Body"] else {
            panic!()
        };
        assert_eq!(body.matches('[').count(), levels);
        assert_eq!(converted.repairs.nesting, 1);
    }
}

#[test]
fn rejected_records_are_told_by_reason_and_in_runs() {
    struct Nothing;
    impl otlp2iceberg::convert::BatchSink for Nothing {
        fn batch(&mut self, _: &otlp2iceberg::convert::TableBatch) -> otlp2iceberg::Result<()> {
            Ok(())
        }
        fn restart(&mut self) {}
    }
    let no_data = delimited(2, []);
    let gauge = nested(&[2, 5, 1], []);
    let bad = nested(&[2, 9, 1, 7], 1.5f64.to_le_bytes());
    let metrics = [&no_data, &no_data, &gauge, &bad, &no_data, &no_data]
        .map(Vec::as_slice)
        .concat();
    let options = ConvertOptions {
        arrival_time_unix_nano: ARRIVAL,
        column_bytes_max: usize::MAX,
        batch_bytes_max: usize::MAX,
        values: ValueLimits::default(),
    };
    let summary = convert_into(Signal::Metrics, &nested(&[1, 2], metrics), &options, &mut Nothing).unwrap();
    let run = |first, count, reason| RejectedRun { first, count, reason };
    assert_eq!(
        summary.rejected_runs,
        [
            run(0, 2, Reason::NoData),
            run(3, 1, Reason::InvalidPoint),
            run(4, 2, Reason::NoData)
        ]
    );
    let mut counts = ReasonCounts::default();
    counts.add(Reason::NoData, 4);
    counts.add(Reason::InvalidPoint, 1);
    assert_eq!((summary.rejected_by, summary.rejected), (counts, 5));
}

/// Elements after the cut are never rendered: an element of 2 bytes would temporarily take 30 in memory.
#[test]
fn rule_15_a_list_is_written_as_far_as_it_is_kept() {
    let lists = [
        nested(&[5, 5], delimited(1, [])).repeat(1),
        nested(&[5, 5], delimited(1, []).repeat(1000)),
        nested(&[5, 6], delimited(1, delimited(1, "k")).repeat(1000)),
        nested(&[5, 5, 1, 5], delimited(1, []).repeat(1000)),
    ];
    let expected = ["[null]", "[null,null", "{\"k\":null}", "[[null,nul"];
    // Of members with the same key, one remains.
    for (list, expected) in lists.into_iter().zip(expected) {
        let converted = limited(Signal::Logs, &nested(&[1, 2, 2], list), texts(10));
        assert_eq!(rows(&converted, Table::Logs)[0]["Body"], Cell::text(expected));
        let cut = u64::from(expected.len() == 10);
        assert_eq!(converted.repairs.cut_texts, cut, "{expected}");
    }
}

/// The replacement of a bad byte takes three bytes.
#[test]
fn rule_15_text_that_is_mended_is_cut_too_and_counted_once() {
    for (bytes, cut) in [(3, 0), (4, 1), (11, 1)] {
        let body = nested(&[5, 1], vec![0xff; bytes]);
        let converted = limited(Signal::Logs, &nested(&[1, 2, 2], body), texts(10));
        let expected = "\u{fffd}".repeat(bytes.min(3));
        assert_eq!(rows(&converted, Table::Logs)[0]["Body"], Cell::text(expected));
        let repairs = Repairs {
            invalid_utf8: 1,
            cut_texts: cut,
            ..Default::default()
        };
        assert_eq!(converted.repairs, repairs, "{bytes} bytes");
    }
}
