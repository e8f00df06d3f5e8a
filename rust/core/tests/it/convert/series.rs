//! Points of a series have the same attributes, which are rendered once. Each point's row is the same as
//! without the other points.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::NumberDataPoint;
use otlp2iceberg::convert::{ConvertOptions, Converted, Repairs, ValueLimits, convert};
use otlp2iceberg::signal::{Signal, Table};
use proptest::prelude::*;
use prost::Message;

use super::rows::{ARRIVAL, Cell, cell, rows};
use super::rules::{any, attribute};
use crate::decode::encode::{delimited, nested};
use crate::strategies;

/// A gauge of serialized points.
fn converted<'a>(
    points: impl IntoIterator<Item = &'a Vec<u8>>,
    values: ValueLimits,
    batch_bytes_max: usize,
) -> Converted {
    let points: Vec<u8> = points.into_iter().flat_map(|point| delimited(1, point)).collect();
    let options = ConvertOptions {
        arrival_time_unix_nano: ARRIVAL,
        column_bytes_max: usize::MAX,
        batch_bytes_max,
        values,
    };
    convert(Signal::Metrics, &nested(&[1, 2, 2, 5], points), &options).unwrap()
}

fn point(time: usize, attributes: Vec<KeyValue>) -> Vec<u8> {
    let point = NumberDataPoint {
        time_unix_nano: ARRIVAL + 1000 * time as u64,
        attributes,
        ..NumberDataPoint::default()
    };
    point.encode_to_vec()
}

/// Attributes of which some come twice, are cut or left out.
fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let long = prop::collection::vec("[a-c]{1,2}", 0..4).prop_map(|keys| {
        let value = |key: &String| any(Value::StringValue(key.repeat(12)));
        keys.iter().map(|key| attribute(key, value(key))).collect()
    });
    prop_oneof![strategies::attributes(), long]
}

proptest! {
    #[test]
    fn a_point_is_what_it_is_by_itself(
        series in prop::collection::vec(attributes(), 1..6),
        order in prop::collection::vec(prop::num::usize::ANY, 1..60),
        attributes_max in 0usize..4,
        batch_bytes_max in 0usize..20_000,
    ) {
        let values = ValueLimits {
            attributes_max,
            text_bytes_max: 20,
            ..ValueLimits::default()
        };
        let points = order.iter().enumerate();
        let points: Vec<Vec<u8>> = points
            .map(|(time, index)| point(time, series[index % series.len()].clone()))
            .collect();
        let (mut expected, mut repairs) = (Vec::new(), Repairs::default());
        for point in &points {
            let alone = converted([point], values, usize::MAX);
            expected.extend(rows(&alone, Table::Gauge));
            repairs.cut_texts += alone.repairs.cut_texts;
            repairs.dropped_attributes += alone.repairs.dropped_attributes;
            repairs.nesting += alone.repairs.nesting;
        }
        let together = converted(&points, values, batch_bytes_max);
        prop_assert_eq!(rows(&together, Table::Gauge), expected);
        prop_assert_eq!(together.repairs, repairs);
    }
}

/// A point whose attribute `series` has these bytes.
fn of_series(value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = delimited(2, delimited(1, value));
    delimited(7, [delimited(1, "series"), value].concat())
}

fn map(value: impl Into<String>) -> Cell {
    Cell::Map(vec![("series".to_owned(), Cell::text(value))])
}

/// More series than are remembered, limited by number or by bytes. Each comes once, or repeatedly.
#[test]
fn however_many_series_there_are_each_has_its_attributes() {
    for (series, width, times) in [(40_000, 5, 1), (40_000, 5, 3), (600, 10_000, 1), (600, 10_000, 2)] {
        let name = |number: usize| format!("{number:0width$}");
        let points: Vec<Vec<u8>> = (0..series).map(|number| of_series(name(number))).collect();
        // The first ones come twice, so that remembering series pays off.
        let numbers = || (0..series / 2).chain((0..times).flat_map(|_| 0..series));
        let all = numbers().map(|number| &points[number]);
        let converted = converted(all, ValueLimits::default(), usize::MAX);
        let [gauges] = converted.batches.as_slice() else {
            panic!("one batch");
        };
        let maps = gauges.batch.column_by_name("Attributes").unwrap();
        assert_eq!(maps.len(), numbers().count());
        for (row, number) in numbers().enumerate() {
            assert!(cell(maps, row) == map(name(number)), "{number} of {series}");
        }
    }
}

#[test]
fn text_that_is_not_utf8_is_mended_and_counted_each_time() {
    let points = [of_series("a"), of_series([0xff, b'b']), of_series("c")];
    let all = points.iter().cycle().take(9);
    let converted = converted(all, ValueLimits::default(), usize::MAX);
    assert_eq!(converted.repairs.invalid_utf8, 3);
    let rows = rows(&converted, Table::Gauge);
    let expected = ["a", "\u{fffd}b", "c"].into_iter().cycle().take(9).map(map);
    assert!(rows.iter().map(|row| row["Attributes"].clone()).eq(expected));
}
