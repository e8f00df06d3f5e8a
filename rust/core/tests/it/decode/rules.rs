//! Rules of the wire format that prost's own output does not test.

use otlp2iceberg::decode::{
    AnyValue, Buckets, ExponentialHistogramDataPoint, HistogramDataPoint, LogRecord, LogsRequest, Message,
    Metric, MetricData, NumberDataPoint, NumberValue, ResourceLogs, ResourceMetrics, ResourceSpans, Span,
    SummaryDataPoint, Text, ValueAtQuantile, records_above, subset,
};
use otlp2iceberg::signal::Signal;
use proptest::prelude::*;
use prost::Message as _;

use super::encode::{delimited, double, fixed32, fixed64, number, split_fields, varint};
use super::to_prost;
use crate::strategies;

#[test]
fn nothing_at_all_is_an_empty_request() {
    let bytes = [];
    let request = LogsRequest::parse(&bytes).unwrap();
    assert!(request.resource_logs.is_empty());
    assert_eq!(request.resource_logs.iter().count(), 0);
}

#[test]
fn the_last_scalar_wins() {
    let bytes = [
        fixed64(1, 1),
        number(2, 9),
        delimited(3, "first"),
        fixed64(1, 2),
        number(2, 17),
        delimited(3, "last"),
        delimited(9, [1; 16]),
        delimited(9, []),
    ]
    .concat();
    let record = LogRecord::parse(&bytes).unwrap();
    assert_eq!(record.time_unix_nano, 2);
    assert_eq!(record.severity_number, 17);
    assert_eq!(record.severity_text, Text(b"last"));
    assert_eq!(record.trace_id, b"");
}

#[test]
fn the_last_singular_message_wins_whole() {
    let with_name = [delimited(1, delimited(1, delimited(1, "a"))), number(2, 7)].concat();
    let bytes = [delimited(1, with_name), delimited(1, [])].concat();
    let resource = ResourceLogs::parse(&bytes).unwrap().resource.unwrap();
    assert!(resource.attributes.is_empty());
    assert_eq!(resource.dropped_attributes_count, 0);

    let statuses = [delimited(15, number(3, 2)), delimited(15, delimited(2, "m"))].concat();
    let status = Span::parse(&statuses).unwrap().status.unwrap();
    assert_eq!((status.code, status.message), (0, Text(b"m")));
}

/// Field 1000, from before OTLP 0.15. The Collector does the same.
#[test]
fn scopes_of_old_senders_count_where_there_are_no_others() {
    let scope = |name: &str| [delimited(1, delimited(1, name)), delimited(2, [])].concat();
    let old = |name: &str| delimited(1000, scope(name));
    let names = |bytes: &[u8]| -> Vec<String> {
        let scopes = ResourceLogs::parse(bytes).unwrap().scope_logs;
        let names = scopes
            .iter()
            .map(|scope| scope.unwrap().scope.unwrap().name.to_str_lossy().0);
        names.map(Into::into).collect()
    };
    assert_eq!(names(&[old("a"), old("b")].concat()), ["a", "b"]);
    assert_eq!(
        names(&[old("a"), delimited(2, scope("c")), old("b")].concat()),
        ["c"]
    );
    assert_eq!(
        ResourceSpans::parse(&old("a")).unwrap().scope_spans.len(),
        1,
        "spans"
    );
    assert_eq!(
        ResourceMetrics::parse(&old("a")).unwrap().scope_metrics.len(),
        1,
        "metrics"
    );

    let request = delimited(1, [old("a"), old("b")].concat());
    assert_eq!(records_above(Signal::Logs, &request, 1), Ok(Some(2)));
    let second = subset(Signal::Logs, &request, &mut |place| {
        place.to_string() == "resource_logs[0].scope_logs[1].log_records[0]"
    });
    assert_eq!(second.unwrap(), delimited(1, old("b")));
}

#[test]
fn the_last_member_of_a_oneof_wins() {
    let bytes = [delimited(1, "text"), number(3, 5)].concat();
    let value = AnyValue::parse(&bytes).unwrap();
    assert!(matches!(value, AnyValue::Int(5)), "{value:?}");
    let bytes = [number(3, 5), delimited(1, "")].concat();
    let value = AnyValue::parse(&bytes).unwrap();
    assert!(matches!(value, AnyValue::String(Text(b""))), "{value:?}");

    let bytes = [double(4, 1.5), fixed64(6, u64::MAX)].concat();
    let point = NumberDataPoint::parse(&bytes).unwrap();
    assert_eq!(point.value, Some(NumberValue::Int(-1)));
    let bytes = [fixed64(6, 1), double(4, 1.5)].concat();
    let point = NumberDataPoint::parse(&bytes).unwrap();
    assert_eq!(point.value, Some(NumberValue::Double(1.5)));

    let metric = [delimited(5, delimited(1, [])), delimited(7, number(3, 1))].concat();
    let MetricData::Sum {
        data_points,
        is_monotonic,
        ..
    } = Metric::parse(&metric).unwrap().data
    else {
        panic!("a sum is the last")
    };
    assert!(data_points.is_empty() && is_monotonic);
}

#[test]
fn a_value_with_a_field_that_we_do_not_know_keeps_the_one_we_do() {
    // Field 8, string_value_strindex, belongs to profiles.
    let bytes = [delimited(1, "text"), number(8, 3)].concat();
    let value = AnyValue::parse(&bytes).unwrap();
    assert!(matches!(value, AnyValue::String(Text(b"text"))), "{value:?}");
    assert!(matches!(AnyValue::parse(&number(8, 3)).unwrap(), AnyValue::Empty));
}

#[test]
fn varints_are_cut_to_the_width_of_their_field() {
    for (value, expected) in [
        (0, 0),
        (u64::MAX, -1),
        (1 << 32 | 5, 5),
        (1 << 31, i32::MIN),
        (i64::MIN.cast_unsigned(), 0),
    ] {
        let bytes = [number(2, value), number(7, value)].concat();
        let record = LogRecord::parse(&bytes).unwrap();
        assert_eq!(record.severity_number, expected, "enum of {value:#x}");
        assert_eq!(record.dropped_attributes_count, expected.cast_unsigned());
        let prost = opentelemetry_proto::tonic::logs::v1::LogRecord::decode(&*bytes).unwrap();
        assert_eq!(prost.severity_number, record.severity_number);
        assert_eq!(prost.dropped_attributes_count, record.dropped_attributes_count);
    }
    for (value, expected) in [
        (0, false),
        (1, true),
        (2, true),
        (1 << 32, true),
        (u64::MAX, true),
    ] {
        let bytes = number(2, value);
        let read = AnyValue::parse(&bytes).unwrap();
        assert!(
            matches!(read, AnyValue::Bool(read) if read == expected),
            "{value:#x}"
        );
    }
    for (zigzag, expected) in [
        (0, 0),
        (1, -1),
        (2, 1),
        (u64::from(u32::MAX - 1), i32::MAX),
        (u64::from(u32::MAX), i32::MIN),
        (1 << 32 | 3, -2),
    ] {
        assert_eq!(Buckets::parse(&number(1, zigzag)).unwrap().offset, expected);
    }
    for value in [0, 1, -1, i64::MIN, i64::MAX] {
        let bytes = number(3, value.cast_unsigned());
        let read = AnyValue::parse(&bytes).unwrap();
        assert!(matches!(read, AnyValue::Int(read) if read == value), "{value}");
    }
}

#[test]
fn varints_of_every_length_are_read_in_padded_form_too() {
    for shift in 0..64 {
        for value in [1_u64 << shift, (1_u64 << shift) - 1, u64::MAX >> shift] {
            let shortest = varint(value);
            for length in shortest.len()..=10 {
                let mut padded = shortest.clone();
                let last = padded.len() - 1;
                if length > padded.len() {
                    padded[last] |= 0x80;
                    padded.resize(length - 1, 0x80);
                    padded.push(0);
                }
                let bytes = [vec![3 << 3], padded].concat();
                let read = AnyValue::parse(&bytes).unwrap();
                assert!(
                    matches!(read, AnyValue::Int(read) if read == value.cast_signed()),
                    "{value:#x} in {length} bytes"
                );
            }
        }
    }
}

#[test]
fn negative_zero_is_kept_where_prost_would_not_write_it() {
    let negative_zero = (-0.0_f64).to_bits();
    let bytes = [double(1, -0.0), double(2, -0.0)].concat();
    let quantile = ValueAtQuantile::parse(&bytes).unwrap();
    assert_eq!(quantile.quantile.to_bits(), negative_zero);
    assert_eq!(quantile.value.to_bits(), negative_zero);
    let bytes = double(5, -0.0);
    let summary = SummaryDataPoint::parse(&bytes).unwrap();
    assert_eq!(summary.sum.to_bits(), negative_zero);
    let bytes = double(14, -0.0);
    let point = ExponentialHistogramDataPoint::parse(&bytes).unwrap();
    assert_eq!(point.zero_threshold.to_bits(), negative_zero);
}

#[test]
fn optional_numbers_are_set_when_present_even_if_zero() {
    let bytes = double(5, 0.0);
    let point = HistogramDataPoint::parse(&bytes).unwrap();
    assert_eq!((point.sum, point.min, point.max), (Some(0.0), None, None));
}

#[test]
fn text_that_is_not_utf8_is_mended_and_said_so() {
    let bytes = delimited(3, b"a\xff\xfeb\xe6\xbc");
    let text = LogRecord::parse(&bytes).unwrap().severity_text;
    assert_eq!(text.0, b"a\xff\xfeb\xe6\xbc");
    let (mended, was_invalid) = text.to_str_lossy();
    assert_eq!((&*mended, was_invalid), ("a\u{fffd}\u{fffd}b\u{fffd}", true));
    // A real U+FFFD is not a repaired one.
    assert_eq!(
        Text("\u{fffd}".as_bytes()).to_str_lossy(),
        ("\u{fffd}".into(), false)
    );
    assert!(Text(b"").is_empty() && !Text(b"\xff").is_empty());
}

#[test]
fn empty_packed_lists_are_empty() {
    let bytes = [delimited(6, []), delimited(7, []), delimited(6, [])].concat();
    let point = HistogramDataPoint::parse(&bytes).unwrap();
    assert!(point.bucket_counts.is_empty() && point.explicit_bounds.is_empty());
    assert_eq!(point.bucket_counts.iter().count(), 0);
}

#[test]
fn a_malformed_list_of_scalars_gives_the_same_error_and_elements_however_it_is_read() {
    let long = vec![1; 300];
    let fields = [
        // A packed fixed64 and half of one. The same after a valid one.
        delimited(6, [1; 12]),
        [delimited(6, [1; 16]), delimited(6, [1; 12])].concat(),
        delimited(6, long),
    ];
    let lists = fields
        .iter()
        .map(|bytes| HistogramDataPoint::parse(bytes).map(|point| point.bucket_counts));
    // Packed varints that do not end, or are too long.
    let varints = [
        delimited(2, [1, 2, 0x80]),
        delimited(2, [[1].as_slice(), &[0xff; 11]].concat()),
    ];
    let buckets = varints
        .iter()
        .map(|bytes| Buckets::parse(bytes).map(|buckets| buckets.bucket_counts));
    let mut malformed = 0;
    for list in lists.chain(buckets).flatten() {
        let each: Vec<_> = list.iter().collect();
        let error = each.iter().find_map(|element| element.as_ref().err());
        let mut all = Vec::new();
        let result = list.append_to(&mut all, |count: u64| count);
        assert_eq!(
            result.as_ref().err().map(ToString::to_string),
            error.map(ToString::to_string)
        );
        assert_eq!(all, each.iter().flatten().copied().collect::<Vec<_>>());
        malformed += usize::from(result.is_err());
    }
    assert_eq!(malformed, 5);
}

/// How a test writes the next element of a repeated scalar field.
#[derive(Debug, Clone)]
enum Chunk {
    Packed(Vec<u64>),
    Single(u64),
    Unknown,
    Other(f64),
}

fn chunks() -> impl Strategy<Value = Vec<Chunk>> {
    let chunk = prop_oneof![
        prop::collection::vec(any::<u64>(), 0..5).prop_map(Chunk::Packed),
        strategies::count().prop_map(Chunk::Single),
        Just(Chunk::Unknown),
        strategies::double().prop_map(Chunk::Other),
    ];
    prop::collection::vec(chunk, 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn packed_and_unpacked_scalars_mix(chunks in chunks()) {
        let (mut point, mut buckets) = (Vec::new(), Vec::new());
        let (mut counts, mut bounds) = (Vec::new(), Vec::new());
        for chunk in &chunks {
            match chunk {
                Chunk::Packed(values) => {
                    counts.extend(values);
                    point.extend(delimited(6, values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>()));
                    buckets.extend(delimited(2, values.iter().flat_map(|v| varint(*v)).collect::<Vec<_>>()));
                }
                Chunk::Single(value) => {
                    counts.push(*value);
                    point.extend(fixed64(6, *value));
                    buckets.extend(number(2, *value));
                }
                Chunk::Unknown => {
                    point.extend(fixed32(100, 1));
                    buckets.extend(delimited(3, "unknown"));
                }
                Chunk::Other(value) => {
                    bounds.push(value.to_bits());
                    point.extend(double(7, *value));
                }
            }
        }
        let point = HistogramDataPoint::parse(&point).unwrap();
        let buckets = Buckets::parse(&buckets).unwrap();
        prop_assert_eq!(point.bucket_counts.iter().collect::<Result<Vec<_>, _>>().unwrap(), counts.clone());
        prop_assert_eq!(buckets.bucket_counts.iter().collect::<Result<Vec<_>, _>>().unwrap(), counts.clone());
        for scalars in [point.bucket_counts, buckets.bucket_counts] {
            let mut all = vec![7];
            scalars.append_to(&mut all, |count| count).unwrap();
            prop_assert_eq!(&all[1..], counts.as_slice());
        }
        let read = point.explicit_bounds.iter().map(|bound| bound.unwrap().to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(read, bounds);
        prop_assert_eq!(buckets.bucket_counts.is_empty(), counts.is_empty());
    }

    /// Fields in any order, with unknown ones between them, read the same as in the order of the proto file.
    #[test]
    fn the_order_of_fields_does_not_matter(span in strategies::span(), seed in any::<u64>()) {
        let in_order = in_request(&span.encode_to_vec());
        let shuffled = in_request(&shuffle(&span.encode_to_vec(), seed));
        let expected = to_prost::traces_request(&in_order).unwrap();
        let read = to_prost::traces_request(&shuffled).unwrap();
        prop_assert_eq!(format!("{read:?}"), format!("{expected:?}"));
    }
}

fn in_request(span: &[u8]) -> Vec<u8> {
    super::encode::nested(&[1, 2, 2], span)
}

/// Reorders fields, keeping the order of those with the same number, and adds unknown fields.
fn shuffle(message: &[u8], mut seed: u64) -> Vec<u8> {
    let mut queues: Vec<(u64, Vec<Vec<u8>>)> = Vec::new();
    for (field, bytes) in split_fields(message) {
        match queues.iter_mut().find(|(number, _)| *number == field) {
            Some((_, queue)) => queue.push(bytes),
            None => queues.push((field, vec![bytes])),
        }
    }
    let unknown = [
        number(17, 1),
        fixed64(99, 1),
        delimited(1 << 28, "unknown"),
        fixed32(18, 1),
    ];
    queues.push((0, unknown.to_vec()));
    let mut shuffled = Vec::new();
    while !queues.is_empty() {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let index = (seed >> 33) as usize % queues.len();
        shuffled.extend(queues[index].1.remove(0));
        if queues[index].1.is_empty() {
            queues.remove(index);
        }
    }
    shuffled
}
