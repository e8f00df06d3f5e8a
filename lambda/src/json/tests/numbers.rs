//! Numbers in all their forms: integers, doubles, times and counts, enums, `null`.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::{Metric, exemplar, metric, number_data_point};
use otlp2iceberg::convert::{ConvertOptions, Converted, Repairs, ValueLimits, convert};
use otlp2iceberg::{Signal, Table};
use prost::Message;

use super::{metric, record, span};
use crate::json::{Form, to_protobuf};

#[test]
fn integers_are_numbers_or_strings() {
    for text in ["1700000000000000001", "\"1700000000000000001\""] {
        assert_eq!(
            record(&format!(r#""timeUnixNano":{text}"#)).time_unix_nano,
            1_700_000_000_000_000_001
        );
    }
    let last = record(r#""timeUnixNano":"18446744073709551615","flags":1e0,"droppedAttributesCount":"7""#);
    assert_eq!(
        (last.time_unix_nano, last.flags, last.dropped_attributes_count),
        (u64::MAX, 1, 7)
    );
    let Some(Value::IntValue(least)) = record(r#""body":{"intValue":"-9223372036854775808"}"#)
        .body
        .unwrap()
        .value
    else {
        panic!("no integer");
    };
    assert_eq!(least, i64::MIN);
}

#[test]
fn an_integer_that_no_int64_holds_is_a_text_of_its_digits() {
    let greatest_double = format!("17976931348623157{}", "0".repeat(292));
    for (text, digits) in [
        // JavaScript.
        ("18446744073709552000", "18446744073709552000"),
        ("1e21", "1000000000000000000000"),
        ("1e+21", "1000000000000000000000"),
        ("1.7976931348623157e+308", greatest_double.as_str()),
        // Python.
        ("\"18446744073709551616\"", "18446744073709551616"),
        ("\"-9223372036854775809\"", "-9223372036854775809"),
        // Numbers that a double would round.
        ("9223372036854775808", "9223372036854775808"),
        ("-9223372036854775809", "-9223372036854775809"),
        ("36893488147419103233", "36893488147419103233"),
        ("\"-1.8446744073709551617E19\"", "-18446744073709551617"),
        ("\"0036893488147419103233\"", "36893488147419103233"),
        ("1e1000000000", "1e1000000000"),
    ] {
        let record = record(&format!(
            r#""body":{{"intValue":{text}}},"attributes":[{{"key":"a","value":{{"intValue":{text}}}}},{{"key":"b","value":{{"intValue":7}}}}],"severityText":"kept""#
        ));
        let expected = |value| Some(AnyValue { value: Some(value) });
        let as_text = || expected(Value::StringValue(digits.to_owned()));
        assert_eq!(record.body, as_text(), "{text}");
        assert_eq!(record.attributes[0].value, as_text(), "{text}");
        assert_eq!(record.attributes[1].value, expected(Value::IntValue(7)), "{text}");
        assert_eq!(record.severity_text, "kept", "{text}");
    }
    for (text, value) in [
        ("9223372036854775807", i64::MAX),
        ("9.223372036854775807e18", i64::MAX),
        ("\"-9223372036854775808\"", i64::MIN),
        ("1e3", 1000),
        ("1000e-3", 1),
        ("1.50e1", 15),
        ("0.001e5", 100),
        ("-0.0", 0),
        ("\"\\u0031\\u0032\"", 12),
    ] {
        let body = record(&format!(r#""body":{{"intValue": {text} }}"#)).body;
        let value = Some(Value::IntValue(value));
        assert_eq!(body, Some(AnyValue { value }), "{text}");
    }
    assert_eq!(
        record(r#""body":{"intValue":null}"#).body,
        Some(AnyValue { value: None })
    );
}

#[test]
fn a_point_that_no_int64_holds_is_a_double() {
    for (text, value) in [
        ("1e21", 1e21),
        ("18446744073709552000", 18_446_744_073_709_552_000.0),
        ("\"18446744073709551616\"", 18_446_744_073_709_551_616.0),
        ("\"-9223372036854775809\"", -9_223_372_036_854_775_808.0),
    ] {
        let metric = metric(&format!(
            r#""name":"m","sum":{{"dataPoints":[{{"asInt":{text},"exemplars":[{{"asInt":{text}}},{{"asInt":"8"}}]}},{{"asInt":"7"}}]}}"#
        ));
        assert_eq!(metric.name, "m");
        let Some(metric::Data::Sum(sum)) = metric.data else {
            panic!("no sum");
        };
        let [first, second] = &*sum.data_points else {
            panic!("no two points");
        };
        assert_eq!(
            first.value,
            Some(number_data_point::Value::AsDouble(value)),
            "{text}"
        );
        assert_eq!(second.value, Some(number_data_point::Value::AsInt(7)), "{text}");
        let exemplars: Vec<Option<exemplar::Value>> =
            first.exemplars.iter().map(|exemplar| exemplar.value).collect();
        let expected = [exemplar::Value::AsDouble(value), exemplar::Value::AsInt(8)];
        assert_eq!(exemplars, expected.map(Some), "{text}");
    }
}

/// The library stores such a time as null, and rejects a point with such a count by itself.
#[test]
fn a_time_or_count_that_no_uint64_holds_is_the_greatest() {
    for text in [
        "-1",
        "\"-5\"",
        "1e30",
        "18446744073709552000",
        "\"18446744073709551616\"",
        "\"1e30\"",
    ] {
        let record = record(&format!(r#""timeUnixNano":{text},"severityText":"kept""#));
        assert_eq!(
            (record.time_unix_nano, record.severity_text.as_str()),
            (u64::MAX, "kept"),
            "{text}"
        );
        let metric = metric(&format!(
            r#""exponentialHistogram":{{"dataPoints":[{{"count":{text},"positive":{{"bucketCounts":[1,{text},2]}}}}]}}"#
        ));
        let Some(metric::Data::ExponentialHistogram(histogram)) = metric.data else {
            panic!("no histogram");
        };
        let point = &histogram.data_points[0];
        let buckets = point.positive.as_ref().unwrap();
        assert_eq!(
            (point.count, &*buckets.bucket_counts),
            (u64::MAX, &[1, u64::MAX, 2][..]),
            "{text}"
        );
    }
}

/// The protobuf of a metric with this point, and of a gauge after it; and what the library makes of them.
fn beside_a_gauge(kind: &str, point: &str) -> (Metric, Converted) {
    let text = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"first","{kind}":{{"dataPoints":[{{{point}}}]}}}},{{"name":"second","gauge":{{"dataPoints":[{{"asDouble":1.5}}]}}}}]}}]}}]}}"#
    );
    let bytes = to_protobuf(text.as_bytes(), Form::Request, usize::MAX)
        .unwrap()
        .metrics
        .unwrap();
    let request = ExportMetricsServiceRequest::decode(&*bytes).unwrap();
    let options = ConvertOptions {
        arrival_time_unix_nano: 1,
        column_bytes_max: i32::MAX as usize,
        batch_bytes_max: usize::MAX,
        values: ValueLimits::default(),
    };
    (
        request.resource_metrics[0].scope_metrics[0].metrics[0].clone(),
        convert(Signal::Metrics, &bytes, &options).unwrap(),
    )
}

/// The tables with rows, and how many.
fn rows(converted: &Converted) -> Vec<(Table, usize)> {
    let batches = converted.batches.iter();
    batches.map(|rows| (rows.table, rows.batch.num_rows())).collect()
}

/// As opentelemetry-cpp writes doubles that are not finite.
#[test]
fn null_in_a_list_of_doubles_is_nan() {
    let (metric, converted) = beside_a_gauge(
        "histogram",
        r#""count":6,"bucketCounts":[1,2,3,0],"explicitBounds":[1,null,3.5]"#,
    );
    let Some(metric::Data::Histogram(histogram)) = metric.data else {
        panic!("no histogram");
    };
    let bounds = histogram.data_points[0].explicit_bounds.iter();
    let bits: Vec<u64> = bounds.map(|bound| bound.to_bits()).collect();
    assert_eq!(bits, [1.0, f64::NAN, 3.5].map(f64::to_bits));
    assert_eq!(rows(&converted), [(Table::Gauge, 1), (Table::Histogram, 1)]);
    assert_eq!((converted.rejected, converted.repairs), (0, Repairs::default()));
    let stored = converted.batches[1].batch.column_by_name("ExplicitBounds");
    let stored = format!("{stored:?}");
    let places = ["1.0", "NaN", "3.5"].map(|bound| stored.find(bound));
    assert!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "{stored}"
    );
}

#[test]
fn null_in_a_list_of_counts_costs_its_point_only() {
    for (kind, point, list) in [
        (
            "histogram",
            r#""bucketCounts":[1,null],"explicitBounds":[5]"#,
            "histogram",
        ),
        (
            "exponentialHistogram",
            r#""positive":{"bucketCounts":[null]}"#,
            "exponential_histogram",
        ),
        (
            "exponentialHistogram",
            r#""negative":{"bucketCounts":[1,null,2]}"#,
            "exponential_histogram",
        ),
    ] {
        let (_, converted) = beside_a_gauge(kind, point);
        assert_eq!(rows(&converted), [(Table::Gauge, 1)], "{point}");
        assert_eq!(converted.rejected, 1, "{point}");
        let rejection = &converted.rejections[0];
        let place = format!("metrics[0].{list}.data_points[0] (metric \"first\")");
        assert!(rejection.path.ends_with(&place), "{}", rejection.path);
        assert_eq!(
            rejection.message,
            "its bucket count 18446744073709551615 is above 9223372036854775807"
        );
    }
}

#[test]
fn enums_are_numbers_or_names() {
    assert_eq!(record(r#""severityNumber":17"#).severity_number, 17);
    assert_eq!(
        record(r#""severityNumber":"SEVERITY_NUMBER_ERROR""#).severity_number,
        17
    );
    assert_eq!(record(r#""severityNumber":-3"#).severity_number, -3);
    assert_eq!(
        span(r#""kind":"SPAN_KIND_CONSUMER","status":{"code":"STATUS_CODE_ERROR"}"#).kind,
        5
    );
    assert_eq!(span(r#""kind":"2","status":{"code":2}"#).status.unwrap().code, 2);
}

#[test]
fn doubles_and_bytes_in_all_their_forms() {
    for (text, value) in [
        ("1", 1.0),
        ("-0.0", -0.0),
        ("1e300", 1e300),
        // The nearest double of many digits: a power of ten is not exact in binary.
        ("0.9452706955539223", 0.945_270_695_553_922_3),
        ("2.8810000000000002", 2.881_000_000_000_000_2),
        ("123456789.12345679", 123_456_789.123_456_79),
        ("2.2250738585072011e-308", f64::from_bits(0x000f_ffff_ffff_ffff)),
        ("\"1.5\"", 1.5),
        ("\"Infinity\"", f64::INFINITY),
        ("\"-Infinity\"", f64::NEG_INFINITY),
        ("\"NaN\"", f64::NAN),
    ] {
        let metric = metric(&format!(r#""gauge":{{"dataPoints":[{{"asDouble":{text}}}]}}"#));
        let Some(metric::Data::Gauge(gauge)) = metric.data else {
            panic!("no gauge");
        };
        let Some(number_data_point::Value::AsDouble(found)) = gauge.data_points[0].value else {
            panic!("no double");
        };
        assert_eq!(found.to_bits(), value.to_bits(), "{text}");
    }
    for text in ["+/8=", "-_8=", "-_8"] {
        let body = record(&format!(r#""body":{{"bytesValue":"{text}"}}"#))
            .body
            .unwrap();
        assert_eq!(body.value, Some(Value::BytesValue(vec![0xfb, 0xff])), "{text}");
    }
}

#[test]
fn zero_is_a_value_only_where_there_is_presence() {
    let metric = metric(
        r#""histogram":{"dataPoints":[{"sum":0,"min":null,"count":0,"bucketCounts":[],"explicitBounds":[0,1.5]}]}"#,
    );
    let Some(metric::Data::Histogram(histogram)) = metric.data else {
        panic!("no histogram");
    };
    let point = &histogram.data_points[0];
    assert_eq!((point.sum, point.min, point.count), (Some(0.0), None, 0));
    assert_eq!(
        (point.bucket_counts.len(), &*point.explicit_bounds),
        (0, &[0.0, 1.5][..])
    );
    for (text, value) in [
        (r#"{"stringValue":""}"#, Some(Value::StringValue(String::new()))),
        (r#"{"boolValue":false}"#, Some(Value::BoolValue(false))),
        (r#"{"intValue":0}"#, Some(Value::IntValue(0))),
        (r#"{"stringValue":null}"#, None),
        ("{}", None),
    ] {
        assert_eq!(
            record(&format!(r#""body":{text}"#)).body,
            Some(AnyValue { value }),
            "{text}"
        );
    }
    assert_eq!(record(r#""body":null"#).body, None);
}
