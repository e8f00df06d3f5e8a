//! Temporary credentials from a catalog, which really expire.

use std::sync::{Arc, Barrier};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use iceberg::io::FileIO;
use otlp2iceberg::Pipeline;
use otlp2iceberg::catalog::{self, Catalog, table_spec};
use otlp2iceberg::config::Config;
use serde_json::{Value, json};

use super::stub::Stub;
use super::tables::export;
use crate::catalog_rest::server::Server;
use crate::catalog_rest::stub::Reply;
use crate::commit_support::{logs, pass, summary};

/// A catalog whose tables are on S3, with these credentials.
fn catalog_with(s3: &Stub, key: &str) -> Server {
    let server = Server::new();
    server.state().files = Some("s3://lake/otel");
    server.state().extra = vending(s3, key);
    server
}

/// The correct credentials are those with the longest prefix. They are neither first nor last.
fn vending(s3: &Stub, key: &str) -> Value {
    let credentials = |prefix: &str, key: &str| {
        json!({"prefix": prefix, "config": {
            "s3.access-key-id": key, "s3.secret-access-key": "hush", "s3.session-token": "hush-too",
        }})
    };
    json!({
        "config": {"s3.endpoint": format!("http://127.0.0.1:{}", s3.port)},
        "storage-credentials": [
            credentials("s3://lake/", "ASIASHORT"),
            credentials("s3://lake/otel/otel/", key),
            credentials("s3", "ASIASHORTER"),
            credentials("s3://lake/otel/otel/traces/of/others", "ASIAOTHER"),
        ],
    })
}

#[tokio::test]
async fn rows_go_on_when_storage_stops_accepting_what_the_catalog_gave() {
    let s3 = Stub::start().await;
    s3.state().accepts = Some("ASIAFIRST");
    let server = catalog_with(&s3, "ASIAFIRST");
    let pipeline = Pipeline::open(server.config("")).await.expect("opens");
    export(&pipeline, 0, &["one"]).await.expect("stored");
    s3.state().accepts = Some("ASIASECOND");
    server.state().extra = vending(&s3, "ASIASECOND");
    let before = s3.state().requests.len();
    for sequence in 1..4 {
        export(&pipeline, sequence, &["more"]).await.expect("stored");
    }
    let refused = {
        let state = s3.state();
        let later = state.requests.iter().skip(before);
        later
            .filter(|request| !request.is_signed_with("ASIASECOND"))
            .count()
    };
    assert_eq!(refused, 1, "the first to be refused is the last");
    let table = server.catalog("").await.load(&logs()).await.expect("loaded");
    assert_eq!(summary(&table)["total-records"], "4");
}

#[tokio::test]
async fn a_catalog_that_gives_new_credentials_with_each_load_does_not_cost_new_connections() {
    let s3 = Stub::start().await;
    let server = catalog_with(&s3, "ASIAFIRST");
    let pipeline = Pipeline::open(server.config("")).await.expect("opens");
    let signed_with = |key: &str| {
        let state = s3.state();
        let requests = state.requests.iter();
        requests.filter(|request| request.is_signed_with(key)).count()
    };
    let loads = || server.stub.asked_for("GET", "/tables/logs").len();
    let mut before = (0, 0);
    for (sequence, key) in (0..).zip(["ASIAFIRST", "ASIASECOND", "ASIATHIRD"]) {
        let mut credentials = vending(&s3, key);
        // Lakekeeper says it in addition to S3's own property.
        credentials["storage-credentials"][1]["config"]["expiration-time"] =
            format!("400000000000{sequence}").into();
        server.state().extra = credentials;
        export(&pipeline, sequence, &["one"]).await.expect("stored");
        let after = (loads(), signed_with("ASIAFIRST"));
        assert!(after.0 > before.0 && after.1 > before.1, "{after:?} {before:?}");
        before = after;
    }
    assert_eq!(signed_with("ASIAFIRST"), s3.state().requests.len());
    // The current credentials are renewed all the same.
    s3.state().accepts = Some("ASIATHIRD");
    export(&pipeline, 3, &["one"]).await.expect("stored");
    assert!(signed_with("ASIATHIRD") > 0);
}

#[tokio::test]
async fn credentials_for_the_table_s_folder_or_what_is_in_it_are_used() {
    for prefix in ["s3://lake/otel/otel/logs/", "s3://lake/otel/otel/logs/data/"] {
        let s3 = Stub::start().await;
        s3.state().accepts = Some("ASIAGIVEN");
        let server = catalog_with(&s3, "ASIAGIVEN");
        server.state().extra["storage-credentials"] = json!([{"prefix": prefix, "config": {
            "s3.access-key-id": "ASIAGIVEN", "s3.secret-access-key": "hush", "s3.session-token": "hush-too",
        }}]);
        let pipeline = Pipeline::open(server.config("")).await.expect("opens");
        let outcome = export(&pipeline, 0, &["one"]).await.expect("stored");
        assert_eq!(outcome.rows, 1, "{prefix}");
    }
}

#[tokio::test]
async fn credentials_of_the_catalog_s_configuration_are_asked_for_there_again() {
    let configuration = |s3: &Stub, key: &str| {
        json!({"overrides": {
            "s3.endpoint": format!("http://127.0.0.1:{}", s3.port),
            "s3.access-key-id": key, "s3.secret-access-key": "hush", "s3.session-token": "hush-too",
        }})
    };
    let s3 = Stub::start().await;
    s3.state().accepts = Some("ASIAFIRST");
    let server = Server::new();
    {
        let mut state = server.state();
        state.files = Some("s3://lake/otel");
        state.config = configuration(&s3, "ASIAFIRST");
    }
    let pipeline = Pipeline::open(server.config("")).await.expect("opens");
    export(&pipeline, 0, &["one"]).await.expect("stored");
    assert_eq!(server.stub.asked_for("GET", "/v1/config").len(), 1);
    s3.state().accepts = Some("ASIASECOND");
    server.state().config = configuration(&s3, "ASIASECOND");
    for sequence in 1..4 {
        export(&pipeline, sequence, &["more"]).await.expect("stored");
    }
    assert_eq!(server.stub.asked_for("GET", "/v1/config").len(), 2);
    let table = server.catalog("").await.load(&logs()).await.expect("loaded");
    assert_eq!(summary(&table)["total-records"], "4");
}

#[tokio::test]
async fn a_catalog_that_gives_nothing_better_is_named() {
    let s3 = Stub::start().await;
    s3.state().accepts = Some("ASIAOTHERS");
    let server = catalog_with(&s3, "ASIAFIRST");
    let pipeline = Pipeline::open(server.config("")).await.expect("opens");
    let error = export(&pipeline, 0, &["one"]).await.expect_err("refused");
    let text = error.to_string();
    for part in [
        "ExpiredToken",
        "the catalog must give new ones",
        "s3://lake/otel/otel/logs",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("hush") && !text.contains('\n'), "{text}");
    assert_eq!(text.matches("S3 answered 400").count(), 1, "said once: {text}");
}

#[tokio::test]
async fn a_writer_whose_credentials_ended_fails_and_the_next_one_writes() {
    let s3 = Stub::start().await;
    s3.state().accepts = Some("ASIAFIRST");
    let server = catalog_with(&s3, "ASIAFIRST");
    let spec = table_spec(&Config::default(), otlp2iceberg::Table::Logs).expect("spec");
    let table = catalog::open(&server.config("")).await.expect("opens");
    let loaded = table.ensure(&logs(), Some(spec)).await.expect("made");
    s3.state().accepts = Some("ASIASECOND");
    server.state().extra = vending(&s3, "ASIASECOND");
    for ends_well in [false, true] {
        let output = loaded
            .file_io
            .new_output("s3://lake/otel/otel/logs/a")
            .expect("output");
        let mut writer = output.writer().await.expect("writer");
        writer.write(Bytes::from_static(b"a")).await.expect("held");
        assert_eq!(writer.close().await.is_ok(), ends_well);
    }
}

/// Storage of a table whose credentials end at `millis` (since 1970), with its catalog.
async fn ending_at(server: &Server, millis: u128) -> (Arc<dyn Catalog>, FileIO) {
    server.state().extra["storage-credentials"][1]["config"]["s3.session-token-expires-at-ms"] =
        millis.to_string().into();
    let spec = table_spec(&Config::default(), otlp2iceberg::Table::Logs).expect("spec");
    let catalog = server.catalog("").await;
    let table = catalog.ensure(&logs(), Some(spec)).await.expect("made");
    (catalog, table.file_io)
}

async fn look(file_io: FileIO) -> bool {
    let found = file_io.exists("s3://lake/otel/otel/logs/a").await;
    found.expect("looked")
}

fn loads(server: &Server) -> usize {
    server.stub.asked_for("GET", "/tables/logs").len()
}

/// Waits until the catalog was asked for the table more often than `before`.
async fn asked_again(server: &Server, before: usize) {
    while loads(server) == before {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn good_credentials_are_used_while_the_catalog_is_asked_for_others() {
    let s3 = Stub::start().await;
    let server = catalog_with(&s3, "ASIAGIVEN");
    let soon = SystemTime::now() + Duration::from_secs(60);
    let soon = soon.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let (_catalog, file_io) = ending_at(&server, soon.as_millis()).await;
    let before = loads(&server);
    server.state().gate.push_back(Some(Reply::Silence));
    let asking = tokio::spawn(look(file_io.clone()));
    asked_again(&server, before).await;
    for _ in 0..3 {
        let looked = tokio::time::timeout(Duration::from_secs(20), look(file_io.clone())).await;
        assert!(!looked.expect("it does not wait for the catalog"));
    }
    assert!(!asking.is_finished(), "the catalog is silent");
    assert_eq!(loads(&server), before + 1);
    asking.abort();
}

#[tokio::test]
async fn what_waited_for_an_answer_does_not_ask_again_in_turn() {
    let s3 = Stub::start().await;
    let server = catalog_with(&s3, "ASIAGIVEN");
    let (_catalog, file_io) = ending_at(&server, 1).await;
    let before = loads(&server);
    let barrier = Arc::new(Barrier::new(2));
    let away = Reply::error(503, "ServiceUnavailableException", "away");
    let held = Reply::Held(Arc::clone(&barrier), Box::new(away));
    server.state().gate.push_back(Some(held));
    let waiting: Vec<_> = (0..3).map(|_| tokio::spawn(look(file_io.clone()))).collect();
    asked_again(&server, before).await;
    // The answer takes longer than the pause between two requests.
    pass(Duration::from_secs(10)).await;
    barrier.wait();
    for looked in waiting {
        assert!(!looked.await.expect("joined"));
    }
    assert_eq!(loads(&server), before + 1);
}
