//! Columns of single attributes: their values are those of the maps.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use otlp2iceberg::convert::{TableBatch, with_attribute_columns};
use otlp2iceberg::schema::{AttributeColumn, AttributeType, AttributesOf, arrow_schema};
use otlp2iceberg::signal::{Signal, Table};
use proptest::prelude::*;
use prost::Message;

use super::rows::{Cell, cell, converted};
use super::rules::any;
use crate::decode::encode::{delimited, nested};
use crate::strategies;

const TYPES: [AttributeType; 4] = [
    AttributeType::String,
    AttributeType::Long,
    AttributeType::Double,
    AttributeType::Boolean,
];

fn column(attribute: &str, of: AttributesOf, value_type: AttributeType) -> AttributeColumn {
    AttributeColumn {
        name: format!("{attribute}_{of:?}_{value_type:?}"),
        attribute: attribute.to_owned(),
        of,
        value_type,
    }
}

/// One attribute in four types, for each kind of map.
fn columns(attribute: &str) -> Vec<AttributeColumn> {
    let maps = [AttributesOf::Record, AttributesOf::Scope, AttributesOf::Resource];
    let typed = |of| TYPES.map(|value_type| column(attribute, of, value_type));
    maps.into_iter().flat_map(typed).collect()
}

fn extended(batch: &TableBatch, columns: &[AttributeColumn]) -> TableBatch {
    let extended = with_attribute_columns(batch, columns)
        .expect("extended")
        .into_owned();
    for array in extended.batch.columns() {
        array.to_data().validate_full().expect("valid Arrow data");
    }
    extended
}

/// The cells of a column, for logs of these attributes.
fn cells(payload: &[u8], column: AttributeColumn) -> Vec<Cell> {
    let converted = converted(Signal::Logs, payload);
    let [batch] = converted.batches.as_slice() else {
        panic!("one batch");
    };
    let extended = extended(batch, &[column]);
    let array = extended.batch.columns().last().expect("a column");
    (0..array.len()).map(|row| cell(array, row)).collect()
}

/// Reading the digits for each row would take 200 billion steps.
#[test]
fn a_long_value_of_a_resource_is_read_once_for_all_rows() {
    const ROWS: usize = 200_000;
    let digits = format!("{}7", "0".repeat(1 << 20));
    let resource = nested(&[1, 1], [delimited(1, "shard"), nested(&[2, 1], digits)].concat());
    let records = delimited(2, delimited(2, []).repeat(ROWS));
    let payload = delimited(1, [resource, records].concat());
    for (value_type, seven) in [
        (AttributeType::Long, Cell::Number(7)),
        (AttributeType::Double, Cell::Double(7.0_f64.to_bits())),
    ] {
        let found = cells(&payload, column("shard", AttributesOf::Resource, value_type));
        assert_eq!(found.len(), ROWS);
        assert!(found.iter().all(|cell| *cell == seven), "{:?}", found[0]);
    }
}

fn key_value(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: any(value),
        ..KeyValue::default()
    }
}

fn log(attributes: Vec<KeyValue>) -> LogRecord {
    LogRecord {
        attributes,
        ..LogRecord::default()
    }
}

fn text(text: &str) -> Value {
    Value::StringValue(text.to_owned())
}

#[test]
fn values_are_read_as_the_type_of_the_column() {
    let values = [
        text("500"),
        Value::IntValue(-7),
        Value::DoubleValue(2.5),
        Value::BoolValue(true),
        text("false"),
        text("five"),
        text(""),
        text("9223372036854775808"),
        text("NaN"),
        Value::DoubleValue(200.0),
        text("1.0.0"),
    ];
    let records = values
        .into_iter()
        .map(|value| log(vec![key_value("code", value)]));
    let unset = KeyValue {
        key: "code".to_owned(),
        ..KeyValue::default()
    };
    let records = records.chain([log(vec![unset]), log(Vec::new())]);
    let request = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: records.collect(),
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    };
    let payload = request.encode_to_vec();
    let read = |value_type| cells(&payload, column("code", AttributesOf::Record, value_type));
    let texts = [
        "500",
        "-7",
        "2.5",
        "true",
        "false",
        "five",
        "",
        "9223372036854775808",
        "NaN",
        "200.0",
        "1.0.0",
    ];
    let texts = texts.map(Cell::text).into_iter().chain([Cell::Null, Cell::Null]);
    assert_eq!(read(AttributeType::String), texts.collect::<Vec<_>>());
    let with = |set: &[(usize, Cell)]| {
        let mut cells = vec![Cell::Null; 13];
        for (at, cell) in set {
            cells[*at] = cell.clone();
        }
        cells
    };
    assert_eq!(
        read(AttributeType::Long),
        with(&[
            (0, Cell::Number(500)),
            (1, Cell::Number(-7)),
            (9, Cell::Number(200))
        ])
    );
    assert_eq!(
        read(AttributeType::Double),
        with(&[
            (0, Cell::double(500.0)),
            (1, Cell::double(-7.0)),
            (2, Cell::double(2.5)),
            (7, Cell::double(9_223_372_036_854_775_808.0)),
            (8, Cell::double(f64::NAN)),
            (9, Cell::double(200.0)),
        ])
    );
    assert_eq!(
        read(AttributeType::Boolean),
        with(&[(3, Cell::Boolean(true)), (4, Cell::Boolean(false))])
    );
}

/// The cells of a column of this type, for logs that have these values.
fn read(values: Vec<Value>, value_type: AttributeType) -> Vec<Cell> {
    let records = values
        .into_iter()
        .map(|value| log(vec![key_value("code", value)]));
    let request = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: records.collect(),
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    };
    let column = column("code", AttributesOf::Record, value_type);
    cells(&request.encode_to_vec(), column)
}

/// A double from 1e16 on has an exponent in its text.
#[test]
fn a_whole_number_with_an_exponent_is_the_number_that_is_written() {
    for (value, expected) in [
        (Value::DoubleValue(1e16), Some(10_000_000_000_000_000)),
        (Value::DoubleValue(-1e16), Some(-10_000_000_000_000_000)),
        (Value::DoubleValue(1.5e17), Some(150_000_000_000_000_000)),
        (Value::DoubleValue(1e18), Some(1_000_000_000_000_000_000)),
        // 2^62 has other digits at its end, but this is its text.
        (
            Value::DoubleValue(4_611_686_018_427_387_904.0),
            Some(4_611_686_018_427_388_000),
        ),
        (Value::DoubleValue(9.3e18), None),
        (Value::DoubleValue(-9.3e18), None),
        (Value::DoubleValue(1e300), None),
        (Value::DoubleValue(1.5e-300), None),
        // A double holds none of these.
        (text("9.223372036854775807e18"), Some(i64::MAX)),
        (text("9.223372036854775808E+18"), None),
        (text("-9.223372036854775808e+18"), Some(i64::MIN)),
        (text("-9.223372036854775809e18"), None),
        (text("10000000000000001e0"), Some(10_000_000_000_000_001)),
        (text("1.0000000000000001e16"), Some(10_000_000_000_000_001)),
        (text("1200e-2"), Some(12)),
        (text("1250e-2"), None),
        (text("1.50e1"), Some(15)),
        (text("0e5"), Some(0)),
        (text("-0.0e-99"), Some(0)),
        (text("1e99999999999999999999"), None),
        (text("1e4000000000"), None),
        (text("e5"), None),
        (text("-e5"), None),
        (text(".e5"), None),
        (text("1e"), None),
        (text("1e1.0"), None),
        (text("1.+5e3"), None),
        (text("1e2e3"), None),
        (text("one"), None),
    ] {
        let told = format!("{value:?}");
        let expected = expected.map_or(Cell::Null, Cell::Number);
        assert_eq!(read(vec![value], AttributeType::Long), [expected], "{told}");
    }
}

#[test]
fn a_double_has_digits_or_is_one_of_three_words() {
    let words = ["NaN", "Infinity", "-Infinity"];
    let numbers = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    let expected = numbers.map(Cell::double);
    assert_eq!(
        read(numbers.map(Value::DoubleValue).into(), AttributeType::Double),
        expected
    );
    assert_eq!(read(words.map(text).into(), AttributeType::Double), expected);
    let others = [
        "inf",
        "-inf",
        "+inf",
        "nan",
        "NAN",
        "-NaN",
        "+NaN",
        "INFINITY",
        "infinity",
        "+Infinity",
        "",
        ".",
        "e",
        "five",
    ];
    let nulls = others.map(|_| Cell::Null);
    assert_eq!(read(others.map(text).into(), AttributeType::Double), nulls);
    let numbers = ["1e16", "-0.0", ".5", "5e-324"];
    let expected = [1e16, -0.0, 0.5, 5e-324].map(Cell::double);
    assert_eq!(read(numbers.map(text).into(), AttributeType::Double), expected);
}

/// Resources with equal values of an attribute share one value, even if they differ otherwise.
#[test]
fn what_resources_share_is_there_once() {
    let resource_logs = |attributes: &[(&str, &str)]| ResourceLogs {
        resource: Some(Resource {
            attributes: attributes
                .iter()
                .map(|(key, value)| key_value(key, text(value)))
                .collect(),
            ..Resource::default()
        }),
        scope_logs: vec![ScopeLogs {
            scope: Some(InstrumentationScope::default()),
            log_records: vec![LogRecord::default(); 2],
            ..ScopeLogs::default()
        }],
        ..ResourceLogs::default()
    };
    let request = ExportLogsServiceRequest {
        resource_logs: vec![
            resource_logs(&[("pod", "1"), ("tenant", "a")]),
            resource_logs(&[("tenant", "b"), ("pod", "2")]),
            resource_logs(&[("pod", "3"), ("tenant", "a")]),
            resource_logs(&[("pod", "4")]),
            resource_logs(&[]),
        ],
    };
    let converted = converted(Signal::Logs, &request.encode_to_vec());
    let tenant = column("tenant", AttributesOf::Resource, AttributeType::String);
    let extended = extended(&converted.batches[0], &[tenant]);
    let array = extended.batch.columns().last().expect("a column");
    let found: Vec<Cell> = (0..array.len()).map(|row| cell(array, row)).collect();
    let [a, b] = ["a", "b"].map(Cell::text);
    let null = Cell::Null;
    assert_eq!(
        found,
        [&a, &a, &b, &b, &a, &a, &null, &null, &null, &null].map(Clone::clone)
    );
    let labels = arrow_array::cast::as_dictionary_array::<arrow_array::types::Int32Type>(array);
    assert_eq!(arrow_array::Array::len(labels.values()), 2);
}

/// The value of the attribute in the map of a row, converted to a type.
fn expected(map: &Cell, attribute: &str, value_type: AttributeType) -> Cell {
    let entry = match map {
        Cell::Map(entries) => entries.iter().find(|(key, _)| key == attribute),
        _ => None,
    };
    let Some((_, Cell::Text(text))) = entry else {
        return Cell::Null;
    };
    match value_type {
        AttributeType::String => Cell::text(text),
        // Without its exponent, as Rust writes doubles.
        AttributeType::Long if text.contains(['e', 'E']) => {
            let double = text.parse().unwrap_or(f64::NAN);
            let digits = double.to_string();
            digits.parse().map_or(Cell::Null, Cell::Number)
        }
        AttributeType::Long => {
            let digits = text.trim_end_matches(".0");
            let is_whole = text.len() - digits.len() <= 2;
            digits
                .parse()
                .ok()
                .filter(|_| is_whole)
                .map_or(Cell::Null, Cell::Number)
        }
        AttributeType::Double => {
            let is_word = ["NaN", "Infinity", "-Infinity"].contains(&text.as_str());
            let number = text.parse().ok();
            let number = number.filter(|_| is_word || text.contains(|letter: char| letter.is_ascii_digit()));
            number.map_or(Cell::Null, Cell::double)
        }
        AttributeType::Boolean => text.parse().map_or(Cell::Null, Cell::Boolean),
    }
}

fn check(signal: Signal, payload: &[u8]) -> Result<(), TestCaseError> {
    for batch in converted(signal, payload).batches {
        for attribute in ["a", "service.name", "never"] {
            let columns = columns(attribute);
            let extended = extended(&batch, &columns).batch;
            let own = arrow_schema(batch.table).fields().len();
            prop_assert_eq!(extended.num_columns(), own + columns.len());
            prop_assert_eq!(&extended.columns()[..own], batch.batch.columns());
            for column in &columns {
                let found = extended.column_by_name(&column.name).expect("by its name");
                let maps = batch
                    .batch
                    .column_by_name(column.map(batch.table))
                    .expect("a map");
                for row in 0..extended.num_rows() {
                    let wanted = expected(&cell(maps, row), attribute, column.value_type);
                    prop_assert_eq!(cell(found, row), wanted, "{} of row {}", column.name, row);
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn columns_of_logs_are_as_their_maps(request in strategies::logs_request()) {
        check(Signal::Logs, &request.encode_to_vec())?;
    }

    #[test]
    fn columns_of_traces_are_as_their_maps(request in strategies::traces_request()) {
        check(Signal::Traces, &request.encode_to_vec())?;
    }

    #[test]
    fn columns_of_metrics_are_as_their_maps(request in strategies::metrics_request()) {
        check(Signal::Metrics, &request.encode_to_vec())?;
    }
}

#[test]
fn every_table_has_the_maps() {
    for table in Table::ALL {
        let schema = arrow_schema(table);
        for column in columns("a") {
            assert!(schema.field_with_name(column.map(table)).is_ok(), "{table}");
        }
    }
}
