//! A table that cannot store its rows, and a location that cannot store dead letters.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use iceberg::{TableIdent, TableRequirement, TableUpdate};
use otlp2iceberg::catalog::{self, Catalog, CommitOutcome, LoadedTable, TableSpec};
use otlp2iceberg::{Error, ErrorKind, Pipeline, Reason, Result, RetryClass, Signal};

use super::support::{DAY, Home, RECEIVED, export, gauge, logs, metrics, record};
use crate::decode::encode::{delimited, double, fixed64, nested};

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

/// A catalog that refuses the first commit to the table of sums.
#[derive(Debug)]
struct RefusesSums {
    real: Arc<dyn Catalog>,
    has_refused: AtomicBool,
}

#[async_trait]
impl Catalog for RefusesSums {
    async fn ensure(&self, ident: &TableIdent, spec: Option<TableSpec>) -> Result<LoadedTable> {
        self.real.ensure(ident, spec).await
    }

    async fn load(&self, ident: &TableIdent) -> Result<LoadedTable> {
        self.real.load(ident).await
    }

    async fn commit(
        &self,
        base: &LoadedTable,
        requirements: Vec<TableRequirement>,
        updates: Vec<TableUpdate>,
    ) -> CommitOutcome {
        if base.ident.name() == "metrics_sum" && !self.has_refused.swap(true, Ordering::SeqCst) {
            return CommitOutcome::Refused {
                conflict: false,
                error: Error::new(ErrorKind::Catalog, "told to refuse"),
            };
        }
        self.real.commit(base, requirements, updates).await
    }

    async fn reach(&self, ident: &TableIdent) -> Result<()> {
        self.real.reach(ident).await
    }
}

#[tokio::test]
async fn what_a_table_left_out_stays_kept_when_another_table_is_tried_again() {
    let home = Home::new();
    let config = home.config(r#""limits": {"partitions_max": 1}"#);
    let catalog = RefusesSums {
        real: catalog::open(&config).await.unwrap(),
        has_refused: AtomicBool::new(false),
    };
    let pipeline = Pipeline::open_with(config, Arc::new(catalog)).unwrap();
    let point = |data: u64, name: &str, days: u64| {
        let point = [fixed64(3, RECEIVED + days * DAY), double(4, 1.0)].concat();
        delimited(2, [delimited(1, name), nested(&[data, 1], point)].concat())
    };
    let [late_gauge, late_sum] = [(5, "gauge"), (7, "sum")].map(|(data, name)| point(data, name, 1));
    let no_data = nested(&[2, 1], "empty");
    let all = [
        point(5, "gauge", 0),
        point(5, "gauge", 0),
        late_gauge.clone(),
        point(7, "sum", 0),
        point(7, "sum", 0),
        late_sum.clone(),
        no_data.clone(),
    ];
    let requests = [(1, metrics("s", &all))];
    let error = export(&pipeline, Signal::Metrics, &requests)
        .await
        .expect_err("the sums are refused");
    assert_eq!(error.retry_class(), RetryClass::Retry { after: None }, "{error}");
    let outcome = export(&pipeline, Signal::Metrics, &requests).await.unwrap();
    assert_eq!((outcome.rows, outcome.already_committed), (2, 1));
    pipeline.close().await;

    let letters = home.letters();
    let kept: Vec<(&str, &[u8])> = letters
        .iter()
        .map(|(name, (bytes, _))| (name.split_once('.').map_or("", |(_, of)| of), bytes.as_slice()))
        .collect();
    let [no_data, late_gauge, late_sum] = [no_data, late_gauge, late_sum].map(|one| metrics("s", &[one]));
    assert_eq!(
        kept,
        [
            ("", no_data.as_slice()),
            ("metrics_gauge.partitions", late_gauge.as_slice()),
            ("metrics_sum.partitions", late_sum.as_slice()),
        ]
    );
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
