//! A table that cannot store its rows, and a location that cannot store dead letters.

use std::fs;

use otlp2iceberg::{ErrorKind, Reason, RetryClass, Signal};

use super::support::{Home, export, gauge, logs, metrics, record};
use crate::decode::encode::{delimited, nested};

/// A configuration that writes `logs` to a table of gauges, whose required time column logs do not have.
const CLASHING: &str = r#""tables": {"names": {"logs": "points"}}"#;

async fn make_points(home: &Home) {
    let pipeline = home
        .opened(r#""tables": {"names": {"metrics_gauge": "points"}}"#)
        .await;
    let request = metrics("s", &[gauge("one", 1.0)]);
    export(&pipeline, Signal::Metrics, &[(100, request)])
        .await
        .unwrap();
    pipeline.close().await;
}

#[tokio::test]
async fn rows_that_their_table_cannot_take_are_kept_and_stored_once_it_is_mended() {
    let home = Home::new();
    make_points(&home).await;
    let requests = [
        (1, logs("cart", &[record("a", 0), record("b", 0)])),
        (2, logs("till", &[record("c", 0)])),
    ];
    let pipeline = home.opened(CLASHING).await;
    let outcome = export(&pipeline, Signal::Logs, &requests).await.unwrap();
    assert_eq!((outcome.rows, outcome.commits), (0, 0));
    assert_eq!(outcome.rejected_by.of(Reason::Table), 3);
    assert!(outcome.rejection.contains("TimeUnix"), "{}", outcome.rejection);
    let (name, bytes, why) = home.letter();
    assert!(name.rsplit_once('.').unwrap().1 == "logs", "{name}");
    assert_eq!(bytes, [requests[0].1.clone(), requests[1].1.clone()].concat());
    assert_eq!(why["runs"][0]["records"], 2);
    assert_eq!(
        (&why["runs"][0]["reason"], &why["runs"][0]["table"]),
        (&"table".into(), &"otel.points".into())
    );
    assert!(
        why["runs"][0]["message"].as_str().unwrap().contains("TimeUnix"),
        "{why}"
    );
    // A second delivery is kept once.
    export(&pipeline, Signal::Logs, &requests).await.unwrap();
    assert_eq!(home.letters().len(), 1);
    pipeline.close().await;

    let pipeline = home.opened("").await;
    let outcome = export(&pipeline, Signal::Logs, &[(3, bytes)]).await.unwrap();
    assert_eq!((outcome.rows, outcome.rejected), (3, 0));
    pipeline.close().await;
}

#[tokio::test]
async fn other_tables_of_the_batch_are_stored() {
    let home = Home::new();
    let pipeline = home.opened(r#""tables": {"names": {"logs": "shared"}}"#).await;
    export(&pipeline, Signal::Logs, &[(1, logs("s", &[record("a", 0)]))])
        .await
        .unwrap();
    pipeline.close().await;

    // Sums go to a table of logs.
    let pipeline = home
        .opened(r#""tables": {"names": {"metrics_sum": "shared"}}"#)
        .await;
    let sum = delimited(2, [delimited(1, "a sum"), nested(&[7, 1], [])].concat());
    let request = metrics("s", &[gauge("one", 1.0), sum.clone(), gauge("two", 2.0)]);
    let outcome = export(&pipeline, Signal::Metrics, &[(2, request)]).await.unwrap();
    assert_eq!((outcome.rows, outcome.rejected_by.of(Reason::Table)), (2, 1));
    let (name, bytes, _) = home.letter();
    assert!(name.rsplit_once('.').unwrap().1 == "metrics_sum", "{name}");
    assert_eq!(bytes, metrics("s", &[sum]));
    pipeline.close().await;
}

#[tokio::test]
async fn without_a_place_for_dead_letters_a_clash_is_the_hosts_to_answer() {
    let home = Home::new();
    make_points(&home).await;
    let pipeline = home.opened_as(CLASHING).await;
    let requests = [(1, logs("cart", &[record("a", 0)]))];
    let error = export(&pipeline, Signal::Logs, &requests)
        .await
        .expect_err("refused");
    assert_eq!(
        (error.kind(), error.retry_class()),
        (ErrorKind::TableMismatch, RetryClass::Permanent)
    );
    pipeline.close().await;
}

#[tokio::test]
async fn nothing_is_committed_or_lost_while_dead_letters_cannot_be_written() {
    let home = Home::new();
    let pipeline = home.opened(r#""limits": {"partitions_max": 1}"#).await;
    // A file blocks the path of the folder.
    fs::write(home.dead().join("logs"), "in the way").unwrap();
    let requests = [(
        1,
        logs("cart", &[record("now", 0), record("now", 0), record("later", 1)]),
    )];
    let error = export(&pipeline, Signal::Logs, &requests)
        .await
        .expect_err("to be retried");
    assert_eq!(error.retry_class(), RetryClass::Retry { after: None });
    let message = error.to_string();
    assert!(
        message.contains("dead_letter.path") && message.contains("cannot write a dead letter"),
        "{message}"
    );

    fs::remove_file(home.dead().join("logs")).unwrap();
    let outcome = export(&pipeline, Signal::Logs, &requests).await.unwrap();
    assert_eq!(
        (
            outcome.rows,
            outcome.already_committed,
            outcome.dead_letter_records
        ),
        (2, 0, 1)
    );
    let (_, bytes, _) = home.letter();
    assert_eq!(bytes, logs("cart", &[record("later", 1)]));
    pipeline.close().await;
}

#[tokio::test]
async fn a_place_that_cannot_be_is_said_when_the_library_is_opened() {
    let home = Home::new();
    fs::write(home.dead(), "a file").unwrap();
    let json = format!(
        r#"{{"catalog": {{"warehouse": {:?}}}, "dead_letter": {{"path": {:?}}}}}"#,
        home.dead().with_file_name("warehouse").to_str().unwrap(),
        home.dead().join("below").to_str().unwrap()
    );
    let config = otlp2iceberg::config::Config::from_json(json.as_bytes()).unwrap();
    let error = otlp2iceberg::Pipeline::open(config).await.expect_err("no folder");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("dead_letter.path"), "{error}");
}
