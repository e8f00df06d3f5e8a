//! Small requests that stand for large tables: what records get from their resource and scope is sent once.

use otlp2iceberg::convert::{ConvertOptions, ValueLimits, convert};
use otlp2iceberg::{Reason, Signal};

use super::support::{Home, export};
use crate::decode::encode::{delimited, fixed64, nested};

/// Hexadecimal digits that neither repeat nor compress below their half.
fn noise(len: usize) -> String {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let digits = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        format!("{:08x}", state >> 32)
    });
    digits.take(len / 8).collect()
}

fn attribute(key: &str, value: &str) -> Vec<u8> {
    delimited(1, [delimited(1, key), nested(&[2, 1], value)].concat())
}

/// Empty log records with this resource and this scope.
fn logs(resource: &[u8], scope: &[u8], records: usize) -> Vec<u8> {
    let records = delimited(2, []).repeat(records);
    let scope_logs = [delimited(1, scope), records].concat();
    delimited(1, [delimited(1, resource), delimited(2, scope_logs)].concat())
}

#[tokio::test]
async fn long_texts_that_records_share_are_in_a_file_once() {
    let text = noise(1_200_000);
    let of_resource = logs(&attribute("certificate", &text), b"", 8_192);
    let of_scope = logs(b"", &delimited(1, &text), 40_000);
    // Most resources have few records, so the encodings of their attributes are not kept.
    let few = (0..5_000).flat_map(|at| logs(&attribute("host.name", &format!("host-{at}")), b"", 1));
    let among_others = few
        .chain(logs(&attribute("certificate", &text), b"", 3_192))
        .collect();
    for (request, rows) in [(of_resource, 8_192), (of_scope, 40_000), (among_others, 8_192)] {
        let home = Home::new();
        let pipeline = home.opened("").await;
        let outcome = export(&pipeline, Signal::Logs, &[(1, request)]).await.unwrap();
        assert_eq!((outcome.rows, outcome.rejected), (rows, 0));
        assert!(outcome.file_bytes < 3_000_000, "{} bytes", outcome.file_bytes);
        pipeline.close().await;
    }
}

/// One row for each day, so each of a hundred files would have the text. Real rows outweigh what they share.
#[tokio::test]
async fn a_long_text_is_not_stored_for_a_hundred_partitions() {
    let span = |day: usize, attributes: &[u8]| {
        let start = 1_700_000_000_000_000_000 + day as u64 * 86_400_000_000_000;
        delimited(2, [fixed64(7, start), attributes.to_vec()].concat())
    };
    let spans = |own: &str, days: usize| -> Vec<u8> {
        let own = delimited(9, [delimited(1, "own"), nested(&[2, 1], own)].concat());
        (0..days).flat_map(|day| span(day, &own)).collect()
    };
    let request = |text: &str, spans: Vec<u8>| {
        let resource = nested(&[1], attribute("certificate", text));
        delimited(1, [resource, delimited(2, spans)].concat())
    };
    let text = noise(4_000_000);
    let many = request(&text, spans("", 90));
    let bytes = many.len() as u64;
    let usual = request(&text[..4_000], spans(&text[..10_000], 90));
    for (request, rejected) in [(many, 73), (usual, 0)] {
        let home = Home::new();
        let pipeline = home.opened("").await;
        let outcome = export(&pipeline, Signal::Traces, &[(1, request)]).await.unwrap();
        assert_eq!((outcome.rows, outcome.rejected), (90 - rejected, rejected));
        assert!(outcome.file_bytes < 10 * bytes, "{} bytes", outcome.file_bytes);
        pipeline.close().await;
    }
}

/// Requests of many clients come in one call.
#[tokio::test]
async fn a_long_text_of_one_request_does_not_reject_the_rows_of_another() {
    let span = |day: u64| {
        delimited(
            2,
            fixed64(7, 1_700_000_000_000_000_000 + day * 86_400_000_000_000),
        )
    };
    let resource = nested(&[1], attribute("certificate", &noise(4_000_000)));
    let days: Vec<u8> = (0..90).flat_map(span).collect();
    let many = delimited(1, [resource, delimited(2, days)].concat());
    let plain = delimited(1, delimited(2, span(89).repeat(1_000)));
    let home = Home::new();
    let pipeline = home.opened("").await;
    let outcome = export(&pipeline, Signal::Traces, &[(1, many), (2, plain)])
        .await
        .unwrap();
    assert_eq!((outcome.rows, outcome.rejected), (1_017, 73));
    pipeline.close().await;
}

#[test]
fn records_whose_shared_attributes_are_too_many_are_rejected_and_those_of_others_are_stored() {
    let attributes: Vec<u8> = (0..1_024)
        .flat_map(|at| attribute(&format!("k{at}"), ""))
        .collect();
    let resource = delimited(1, &attributes);
    let empty = delimited(2, delimited(2, []).repeat(131_072));
    let many = delimited(1, [resource, empty.clone(), empty].concat());
    let options = ConvertOptions {
        arrival_time_unix_nano: 1,
        column_bytes_max: i32::MAX as usize,
        batch_bytes_max: usize::MAX,
        values: ValueLimits::default(),
    };
    // Half of the attributes are a metric's metadata.
    let half: Vec<u8> = (0..512).flat_map(|at| attribute(&format!("k{at}"), "")).collect();
    let metadata: Vec<u8> = (0..512)
        .flat_map(|at| {
            let value = [delimited(1, format!("m{at}")), nested(&[2, 1], "")].concat();
            delimited(12, value)
        })
        .collect();
    let metric = [metadata, delimited(5, delimited(1, []).repeat(131_072))].concat();
    let metrics = delimited(2, delimited(2, metric));
    let many_points = delimited(1, [delimited(1, &half), metrics.clone(), metrics].concat());
    for (signal, request) in [
        (Signal::Logs, &many),
        (Signal::Traces, &many),
        (Signal::Metrics, &many_points),
    ] {
        let honest = match signal {
            Signal::Metrics => nested(&[1, 2, 2, 5], delimited(1, []).repeat(10)),
            Signal::Logs | Signal::Traces => logs(b"", b"", 10),
        };
        let mut kept = Vec::new();
        for request in [request, &honest] {
            let converted = convert(signal, request, &options).unwrap();
            let rows: usize = converted.batches.iter().map(|batch| batch.batch.num_rows()).sum();
            kept.push((rows, converted.rejected));
            if let Some(first) = converted.rejections.first() {
                assert_eq!(first.reason, Reason::RecordTooLarge);
                assert!(first.message.contains("1024 attributes"), "{}", first.message);
                assert!(first.path.contains(&format!("[{}]", kept[0].0)), "{}", first.path);
            }
        }
        let stored = ((1 << 22) + 64 * request.len()) / 1_024;
        assert_eq!(kept, [(stored, 262_144 - stored as u64), (10, 0)], "{signal}");
    }
}
