//! Single records that are left out.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use otlp2iceberg::config::Config;
use otlp2iceberg::{Pipeline, Reason, Signal};
use prost::Message;
use serde_json::json;

use super::support::{Home, bad_histogram, export, gauge, half_bad_histogram, logs, metrics, record};
use crate::decode::encode::{delimited, nested};

/// Two requests: one valid, and one with a bad point and a metric without data.
fn requests() -> Vec<(u64, Vec<u8>)> {
    let no_data = nested(&[2, 1], "empty");
    vec![
        (1, metrics("good", &[gauge("one", 1.0)])),
        (
            2,
            metrics(
                "cart",
                &[gauge("two", 2.0), half_bad_histogram("latency"), no_data],
            ),
        ),
    ]
}

#[tokio::test]
async fn only_what_is_rejected_is_kept_under_its_own_resource() {
    let home = Home::new();
    let pipeline = home.opened("").await;
    let outcome = export(&pipeline, Signal::Metrics, &requests()).await.unwrap();
    assert_eq!((outcome.rows, outcome.rejected, outcome.commits), (3, 2, 2));
    assert_eq!(outcome.rejected_by.of(Reason::NoData), 1);
    assert_eq!(outcome.rejected_by.of(Reason::InvalidPoint), 1);
    assert_eq!((outcome.dead_letter_records, outcome.dead_letter_objects), (2, 1));
    assert!(
        outcome.rejection.contains(home.dead().to_str().unwrap()),
        "{}",
        outcome.rejection
    );

    let (name, bytes, why) = home.letter();
    assert!(name.starts_with("metrics/2025-06-15/"), "{name}");
    let request = ExportMetricsServiceRequest::decode(bytes.as_slice()).unwrap();
    let [resource_metrics] = request.resource_metrics.as_slice() else {
        panic!("{request:?}")
    };
    let attributes = &resource_metrics.resource.as_ref().unwrap().attributes;
    assert_eq!(attributes[0].key, "service.name");
    let [histogram, no_data] = resource_metrics.scope_metrics[0].metrics.as_slice() else {
        panic!("{request:?}")
    };
    assert_eq!(
        (histogram.name.as_str(), histogram.unit.as_str()),
        ("latency", "ms")
    );
    let Some(Data::Histogram(data)) = &histogram.data else {
        panic!("{histogram:?}")
    };
    assert_eq!(data.aggregation_temporality, 2);
    assert_eq!(data.data_points.len(), 1);
    assert_eq!(data.data_points[0].explicit_bounds, [1.5]);
    assert_eq!((no_data.name.as_str(), &no_data.data), ("empty", &None));

    let writer = "07".repeat(16);
    assert_eq!(
        why,
        json!({
            "version": 1,
            "signal": "metrics",
            "received": "2025-06-15T15:06:40.000000000Z",
            "whole_request": false,
            "records": 2,
            "runs": [
                {
                    "request": format!("{writer}:2"),
                    "path": "resource_metrics[0].scope_metrics[0].metrics[1].histogram.data_points[1]",
                    "records": 1,
                    "reason": "invalid_point",
                    "message": "its 0 bucket counts do not fit its 1 bounds",
                },
                {
                    "request": format!("{writer}:2"),
                    "path": "resource_metrics[0].scope_metrics[0].metrics[2]",
                    "records": 1,
                    "reason": "no_data",
                    "message": "the metric has no data",
                },
            ],
            "more_records": 0,
        })
    );
    pipeline.close().await;
}

#[tokio::test]
async fn what_is_delivered_again_is_kept_once() {
    let home = Home::new();
    let pipeline = home.opened("").await;
    export(&pipeline, Signal::Metrics, &requests()).await.unwrap();
    let before = home.letters();
    // The same batch again, then in another grouping: its tables already hold the request.
    export(&pipeline, Signal::Metrics, &requests()).await.unwrap();
    let outcome = export(&pipeline, Signal::Metrics, &requests()[1..])
        .await
        .unwrap();
    assert_eq!((outcome.rows, outcome.dead_letter_records), (0, 0));
    assert_eq!(home.letters(), before);
    pipeline.close().await;
}

#[tokio::test]
async fn urls_of_folders_are_those_folders() {
    for scheme in ["file://", "file:"] {
        let home = Home::new();
        let [dead, warehouse] = ["dead", "warehouse"].map(|name| home.dead().with_file_name(name));
        let json = format!(
            r#"{{"catalog": {{"warehouse": "{scheme}{}"}}, "dead_letter": {{"path": "{scheme}{}"}}}}"#,
            warehouse.display(),
            dead.display()
        );
        let config = Config::from_json(json.as_bytes()).unwrap();
        let pipeline = Pipeline::open(config).await.unwrap();
        export(&pipeline, Signal::Metrics, &requests()).await.unwrap();
        assert_eq!(home.letters().len(), 1, "{scheme}");
        assert!(warehouse.join("otel/metrics_gauge/data").is_dir(), "{scheme}");
        pipeline.close().await;
    }
}

#[tokio::test]
async fn without_a_place_for_dead_letters_they_are_counted() {
    let home = Home::new();
    let pipeline = home.opened_as("").await;
    let outcome = export(&pipeline, Signal::Metrics, &requests()).await.unwrap();
    assert_eq!((outcome.rows, outcome.rejected_by.total()), (3, 2));
    assert_eq!((outcome.dead_letter_records, outcome.dead_letter_objects), (0, 0));
    assert!(!home.dead().exists());
    pipeline.close().await;
}

#[tokio::test]
async fn no_object_passes_its_size_and_no_record_is_missing() {
    let home = Home::new();
    let dead = home.dead();
    let dead = dead.to_str().unwrap();
    let pipeline = home
        .opened_as(&format!(
            r#""dead_letter": {{"path": {dead:?}, "object_bytes_max": 1024}}"#
        ))
        .await;
    // One of 100 requests is far larger than an object.
    let no_data = |name: usize| nested(&[2, 1], format!("metric {name:04}"));
    let mut requests: Vec<(u64, Vec<u8>)> = (0..99)
        .map(|at| (at as u64, metrics("s", &[no_data(at)])))
        .collect();
    let many: Vec<Vec<u8>> = (99..400).map(no_data).collect();
    requests.push((99, metrics("s", &many)));
    let outcome = export(&pipeline, Signal::Metrics, &requests).await.unwrap();
    assert_eq!((outcome.rejected, outcome.dead_letter_records), (400, 400));

    let mut names = Vec::new();
    let mut told = 0;
    for (bytes, why) in home.letters().values() {
        assert!(bytes.len() <= 1024, "{}", bytes.len());
        told += why["records"].as_u64().unwrap();
        let request = ExportMetricsServiceRequest::decode(bytes.as_slice()).unwrap();
        let scopes = request
            .resource_metrics
            .into_iter()
            .flat_map(|group| group.scope_metrics);
        names.extend(scopes.flat_map(|scope| scope.metrics).map(|metric| metric.name));
    }
    names.sort_unstable();
    let expected: Vec<String> = (0..400).map(|at| format!("metric {at:04}")).collect();
    assert_eq!((names, told), (expected, 400));
    pipeline.close().await;
}

/// A small request would otherwise fill the disk: each object has the whole resource of its records.
#[tokio::test]
async fn records_of_a_large_resource_are_kept_with_one_copy_of_it() {
    for (service, expected) in [("s".repeat(4000), 1), ("s".to_owned(), 4)] {
        let home = Home::new();
        let dead = home.dead();
        let dead = dead.to_str().unwrap();
        let pipeline = home
            .opened_as(&format!(
                r#""dead_letter": {{"path": {dead:?}, "object_bytes_max": 1024}}"#
            ))
            .await;
        let request = metrics(&service, &[bad_histogram("latency", 100)]);
        let outcome = export(&pipeline, Signal::Metrics, &[(1, request.clone())])
            .await
            .unwrap();
        assert_eq!((outcome.rejected, outcome.dead_letter_records), (100, 100));
        assert_eq!(outcome.dead_letter_objects, expected);
        let letters = home.letters();
        let told: u64 = letters
            .values()
            .map(|(_, why)| why["records"].as_u64().unwrap())
            .sum();
        assert_eq!((letters.len() as u64, told), (expected, 100));
        let sizes: Vec<usize> = letters.values().map(|(bytes, _)| bytes.len()).collect();
        if expected == 1 {
            assert_eq!(sizes, [request.len()], "the request itself");
        } else {
            assert!(sizes.iter().all(|bytes| *bytes <= 1024), "{sizes:?}");
        }
        pipeline.close().await;
    }
}

#[tokio::test]
async fn rows_beyond_the_partitions_are_kept_and_stored_when_sent_again() {
    let home = Home::new();
    let pipeline = home.opened(r#""limits": {"partitions_max": 1}"#).await;
    // The two requests may open two partitions. The days with two records stay, wherever they are.
    let records = [
        record("first", 0),
        record("second", 1),
        record("third", 2),
        record("fourth", 1),
        record("fifth", 2),
        record("sixth", 3),
    ];
    let requests = [(1, logs("cart", &records[..3])), (2, logs("cart", &records[3..]))];
    let outcome = export(&pipeline, Signal::Logs, &requests).await.unwrap();
    assert_eq!((outcome.rows, outcome.files, outcome.rejected), (4, 2, 2));
    assert_eq!(outcome.rejected_by.of(Reason::TooManyPartitions), 2);
    let (_, bytes, why) = home.letter();
    let expected = [
        logs("cart", &[record("first", 0)]),
        logs("cart", &[record("sixth", 3)]),
    ]
    .concat();
    assert_eq!(bytes, expected, "byte by byte");
    assert_eq!(
        why["runs"][1]["path"],
        "resource_logs[0].scope_logs[0].log_records[2]"
    );
    assert_eq!(why["runs"][1]["reason"], "too_many_partitions");

    let requests = [
        (3, bytes[..expected.len() / 2].to_vec()),
        (4, bytes[expected.len() / 2..].to_vec()),
    ];
    let outcome = export(&pipeline, Signal::Logs, &requests).await.unwrap();
    assert_eq!((outcome.rows, outcome.rejected), (2, 0));
    pipeline.close().await;
}

#[tokio::test]
async fn a_call_may_open_the_partitions_of_ten_requests() {
    let home = Home::new();
    let pipeline = home.opened(r#""limits": {"partitions_max": 2}"#).await;
    let days_of = |request: u64| [record("first", 2 * request), record("second", 2 * request + 1)];
    let requests: Vec<_> = (0..12).map(|at| (at, logs("cart", &days_of(at)))).collect();
    let outcome = export(&pipeline, Signal::Logs, &requests[..10]).await.unwrap();
    assert_eq!((outcome.rows, outcome.files, outcome.rejected), (20, 20, 0));
    let again: Vec<_> = requests
        .into_iter()
        .map(|(at, bytes)| (at + 100, bytes))
        .collect();
    let outcome = export(&pipeline, Signal::Logs, &again).await.unwrap();
    assert_eq!((outcome.rows, outcome.files, outcome.rejected), (20, 20, 4));
    pipeline.close().await;
}

#[tokio::test]
async fn batches_of_a_call_share_its_partitions() {
    let home = Home::new();
    let pipeline = home
        .opened(r#""limits": {"partitions_max": 2, "batch_bytes_max": 1048576}"#)
        .await;
    // Each record closes a batch. The last two days exceed the limit, but the repeated first day does not.
    let body = "b".repeat(1 << 20);
    let records: Vec<Vec<u8>> = [0, 1, 2, 3, 0].map(|day| record(&body, day)).to_vec();
    let outcome = export(&pipeline, Signal::Logs, &[(1, logs("cart", &records))])
        .await
        .unwrap();
    assert_eq!((outcome.rows, outcome.rejected), (3, 2));
    let (_, bytes, _) = home.letter();
    assert_eq!(bytes, logs("cart", &records[2..4]));
    pipeline.close().await;
}

#[tokio::test]
async fn fields_that_we_do_not_know_are_kept_too() {
    let home = Home::new();
    let pipeline = home.opened(r#""limits": {"partitions_max": 1}"#).await;
    let unknown = delimited(99, "later");
    let late = [record("late", 1), unknown.clone()].concat();
    let request = [logs("cart", &[record("now", 0), late.clone()]), unknown.clone()].concat();
    export(&pipeline, Signal::Logs, &[(1, request)]).await.unwrap();
    let (_, bytes, _) = home.letter();
    assert_eq!(bytes, [logs("cart", &[late]), unknown].concat());
    pipeline.close().await;
}
