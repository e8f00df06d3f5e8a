//! Rules 5 to 8 of `docs/schema.md`: values and text.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValueList, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use otlp2iceberg::convert::Repairs;
use otlp2iceberg::signal::{Signal, Table};
use prost::Message;

use super::rows::{Cell, converted, rows};
use super::rules::{any, attribute, log};
use crate::decode::encode::{delimited, nested};

#[test]
fn rules_5_and_6_every_value_has_its_text() {
    use Value::{BoolValue, BytesValue, DoubleValue, IntValue, StringValue};
    let string = |text: &str| StringValue(text.to_owned());
    let nan = f64::from_bits(0xfff8_0000_0000_0001);
    let list = array(vec![
        Some(string("a\"\\\u{8}\u{c}\n\r\t\u{1}\u{1f}\u{7f}/é😀")),
        Some(IntValue(-1)),
        Some(DoubleValue(2.0)),
        Some(DoubleValue(nan)),
        Some(DoubleValue(f64::INFINITY)),
        Some(DoubleValue(f64::NEG_INFINITY)),
        Some(BytesValue(vec![1, 2])),
        Some(BoolValue(false)),
        None,
        Some(array(vec![])),
        Some(object(vec![])),
    ]);
    let list_text = "[\"a\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\u{7f}/é😀\",-1,2.0,\"NaN\",\"Infinity\",\
                     \"-Infinity\",\"AQI=\",false,null,[],{}]";
    for (value, text) in [
        (string("as it \"is\"\n"), "as it \"is\"\n"),
        (string(""), ""),
        (BoolValue(true), "true"),
        (BoolValue(false), "false"),
        (IntValue(i64::MIN), "-9223372036854775808"),
        (IntValue(i64::MAX), "9223372036854775807"),
        (DoubleValue(1.0), "1.0"),
        (DoubleValue(-0.0), "-0.0"),
        (DoubleValue(1.5), "1.5"),
        (DoubleValue(0.1), "0.1"),
        (DoubleValue(f64::MAX), "1.7976931348623157e+308"),
        (DoubleValue(f64::from_bits(1)), "5e-324"),
        (DoubleValue(nan), "NaN"),
        (DoubleValue(f64::INFINITY), "Infinity"),
        (DoubleValue(f64::NEG_INFINITY), "-Infinity"),
        (BytesValue(vec![0xfb, 0xff, 0]), "+/8A"),
        (BytesValue(vec![]), ""),
        (list, list_text),
        (array(vec![]), "[]"),
        (object(vec![]), "{}"),
        (
            object(vec![
                ("k", Some(IntValue(1))),
                ("l", None),
                ("", Some(array(vec![None]))),
            ]),
            "{\"k\":1,\"l\":null,\"\":[null]}",
        ),
    ] {
        let value = Some(AnyValue { value: Some(value) });
        let (row, repairs) = log(LogRecord {
            body: value.clone(),
            attributes: vec![attribute("key", value)],
            ..Default::default()
        });
        assert_eq!(row["Body"], Cell::text(text));
        assert_eq!(row["LogAttributes"], Cell::map(&[("key", Some(text))]));
        assert_eq!(repairs, Repairs::default());
    }
}

#[test]
fn rules_5_and_6_a_value_with_nothing_set_is_null() {
    for value in [None, Some(AnyValue { value: None })] {
        let (row, _) = log(LogRecord {
            body: value.clone(),
            attributes: vec![attribute("key", value)],
            ..Default::default()
        });
        assert_eq!(row["Body"], Cell::Null);
        assert_eq!(row["LogAttributes"], Cell::map(&[("key", None)]));
    }
}

#[test]
fn rule_5_the_last_of_equal_keys_wins_in_nested_lists_too() {
    let number = |number| Some(Value::IntValue(number));
    let inner = object(vec![
        ("x", number(1)),
        ("y", number(2)),
        ("x", number(3)),
        ("", None),
        ("", number(4)),
    ]);
    let all_equal = object(vec![
        ("x", number(1)),
        ("x", Some(inner.clone())),
        ("x", number(5)),
    ]);
    let (row, _) = log(LogRecord {
        body: any(object(vec![
            ("a", number(1)),
            ("in", Some(inner)),
            ("a", Some(all_equal)),
        ])),
        attributes: vec![
            attribute("a", any(Value::IntValue(1))),
            attribute("b", None),
            attribute("a", None),
            attribute("b", any(Value::StringValue("last".into()))),
        ],
        ..Default::default()
    });
    assert_eq!(
        row["Body"],
        Cell::text("{\"in\":{\"y\":2,\"x\":3,\"\":4},\"a\":{\"x\":5}}")
    );
    assert_eq!(
        row["LogAttributes"],
        Cell::map(&[("a", None), ("b", Some("last"))])
    );
}

#[test]
fn rule_5_keys_that_identify_a_resource_a_scope_or_a_series_are_sorted() {
    let text = |key: &str| attribute(key, any(Value::StringValue(format!("of {key}"))));
    let sorted = Cell::map(&[
        ("B", Some("of B")),
        ("a", Some("of a")),
        ("a.b", Some("of a.b")),
        ("b", None),
    ]);
    let unsorted = || vec![attribute("b", None), text("a.b"), text("a"), text("B"), text("a")];
    let point = |attributes| NumberDataPoint {
        attributes,
        ..NumberDataPoint::default()
    };
    let mut reversed = unsorted();
    reversed.reverse();
    let metric = Metric {
        metadata: unsorted(),
        data: Some(Data::Gauge(Gauge {
            data_points: vec![point(unsorted()), point(reversed)],
        })),
        ..Metric::default()
    };
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource {
                attributes: unsorted(),
                ..Resource::default()
            }),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(InstrumentationScope {
                    attributes: unsorted(),
                    ..InstrumentationScope::default()
                }),
                metrics: vec![metric],
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    };
    let converted = converted(Signal::Metrics, &request.encode_to_vec());
    let rows = rows(&converted, Table::Gauge);
    assert_eq!(rows.len(), 2);
    for row in rows {
        for column in [
            "ResourceAttributes",
            "ScopeAttributes",
            "MetricMetadata",
            "Attributes",
        ] {
            assert_eq!(row[column], sorted, "{column}");
        }
    }
}

/// Keys that are equal or ordered otherwise once their bytes are repaired.
#[test]
fn rule_5_keys_are_sorted_as_they_are_stored() {
    let key = |key: &[u8], value: &str| delimited(7, [delimited(1, key), nested(&[2, 1], value)].concat());
    for others in [0, 40] {
        let more: Vec<u8> = (0..others)
            .flat_map(|at| key(format!("k{at:02}").as_bytes(), "x"))
            .collect();
        let attributes = [
            key(b"a\xff", "1"),
            key(b"a\xfe", "2"),
            key("\u{1f600}".as_bytes(), "3"),
            key(b"\xff", "4"),
        ];
        let point = [attributes.concat(), more].concat();
        let converted = converted(Signal::Metrics, &nested(&[1, 2, 2, 5, 1], point));
        let rows = rows(&converted, Table::Gauge);
        let Cell::Map(entries) = &rows[0]["Attributes"] else {
            panic!("{:?}", rows[0]["Attributes"]);
        };
        let keys: Vec<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
        assert!(keys.is_sorted(), "{keys:?}");
        assert_eq!(keys.len(), others + 3);
        assert_eq!(entries[0], ("a\u{fffd}".to_owned(), Cell::text("2")));
    }
}

#[test]
fn rule_7_values_below_level_64_are_null_and_counted() {
    let nest = |levels: usize| {
        let leaf = array(vec![
            Some(Value::BoolValue(true)),
            None,
            Some(Value::BoolValue(false)),
        ]);
        (1..levels).fold(leaf, |inner, level| {
            if level % 2 == 0 {
                array(vec![Some(inner)])
            } else {
                object(vec![("k", Some(inner))])
            }
        })
    };
    // The leaves of 63 lists are at level 64, those of 64 lists at level 65.
    for (levels, leaves, nesting) in [(63, "[true,null,false]", 0), (64, "[null,null,null]", 4)] {
        let (row, repairs) = log(LogRecord {
            body: any(nest(levels)),
            attributes: vec![attribute("key", any(nest(levels)))],
            ..Default::default()
        });
        let Cell::Text(text) = &row["Body"] else {
            panic!("{row:?}")
        };
        assert!(text.contains(leaves), "{text}");
        assert_eq!(text.matches(['[', '{']).count(), levels);
        assert_eq!(row["LogAttributes"], Cell::map(&[("key", Some(text))]));
        assert_eq!(
            repairs,
            Repairs {
                nesting,
                ..Default::default()
            }
        );
    }
}

#[test]
fn rule_8_invalid_utf_8_is_replaced_and_counted_once_for_each_string() {
    let bad = b"a\xffb\xe2\x82";
    let mended = "a\u{fffd}b\u{fffd}";
    let json = format!("[\"{mended}\"]");
    let attribute = [delimited(1, bad), nested(&[2, 5, 1, 1], bad)].concat();
    let record = [
        delimited(3, bad),
        nested(&[5, 1], bad),
        delimited(6, &attribute),
        delimited(12, bad),
    ]
    .concat();
    let scope = [delimited(1, bad), delimited(2, bad), delimited(3, &attribute)].concat();
    let scope_logs = [
        delimited(1, scope),
        delimited(2, &record),
        delimited(2, &record),
        delimited(3, bad),
    ]
    .concat();
    let service = [delimited(1, "service.name"), nested(&[2, 1], bad)].concat();
    let resource_logs = [
        delimited(1, [delimited(1, &attribute), delimited(1, service)].concat()),
        delimited(2, scope_logs),
        delimited(3, bad),
    ]
    .concat();
    let converted = converted(Signal::Logs, &delimited(1, resource_logs));
    let rows = rows(&converted, Table::Logs);
    assert_eq!(rows.len(), 2);
    let map = Cell::map(&[(mended, Some(&json))]);
    let resource = Cell::map(&[(mended, Some(&json)), ("service.name", Some(mended))]);
    for row in rows {
        for column in [
            "SeverityText",
            "Body",
            "EventName",
            "ScopeName",
            "ScopeVersion",
            "ScopeSchemaUrl",
            "ResourceSchemaUrl",
            "ServiceName",
        ] {
            assert_eq!(row[column], Cell::text(mended), "{column}");
        }
        assert_eq!((&row["LogAttributes"], &row["ScopeAttributes"]), (&map, &map));
        assert_eq!(row["ResourceAttributes"], resource);
    }
    // Five strings in each record, five in the scope with its URL, four in the resource with its URL.
    let repairs = Repairs {
        invalid_utf8: 2 * 5 + 5 + 4,
        ..Default::default()
    };
    assert_eq!(converted.repairs, repairs);
}

#[test]
fn rule_8_halves_of_a_character_in_neighbouring_strings_do_not_join() {
    let records = [nested(&[2, 5, 1], b"caf\xc3"), nested(&[2, 5, 1], b"\xa9!")].concat();
    let converted = converted(Signal::Logs, &nested(&[1, 2], records));
    let bodies: Vec<Cell> = rows(&converted, Table::Logs)
        .iter()
        .map(|row| row["Body"].clone())
        .collect();
    assert_eq!(bodies, [Cell::text("caf\u{fffd}"), Cell::text("\u{fffd}!")]);
    assert_eq!(converted.repairs.invalid_utf8, 2);
}

#[test]
fn rule_8_keys_that_are_equal_once_mended_are_one() {
    let attribute = |key: &[u8], value: &str| [delimited(1, key), nested(&[2, 1], value)].concat();
    let attributes = [
        delimited(6, attribute(b"\xff", "first")),
        delimited(6, attribute(b"\xfe", "last")),
    ]
    .concat();
    let converted = converted(Signal::Logs, &nested(&[1, 2, 2], attributes));
    let row = &rows(&converted, Table::Logs)[0];
    assert_eq!(row["LogAttributes"], Cell::map(&[("\u{fffd}", Some("last"))]));
}

fn array(values: Vec<Option<Value>>) -> Value {
    let values = values.into_iter().map(|value| AnyValue { value }).collect();
    Value::ArrayValue(ArrayValue { values })
}

fn object(members: Vec<(&str, Option<Value>)>) -> Value {
    let member = |(key, value): (&str, Option<Value>)| attribute(key, value.and_then(any));
    Value::KvlistValue(KeyValueList {
        values: members.into_iter().map(member).collect(),
    })
}
