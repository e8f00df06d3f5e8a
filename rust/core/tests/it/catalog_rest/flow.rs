//! From nothing to rows: configuration, namespaces, tables, commits, and what requests look like.

use std::sync::Arc;

use iceberg::{NamespaceIdent, TableIdent};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use otlp2iceberg::catalog::{CommitOutcome, TableSpec, table_spec};
use otlp2iceberg::commit::Committer;
use otlp2iceberg::config::{CommitConfig, Config};
use otlp2iceberg::{Export, Part, Pipeline, RequestId, RetryClass, Signal, Table};
use prost::Message;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::server::{Server, Turn};
use super::stub::Reply;
use crate::commit_support::{append, logs, soon, summary};

fn spec() -> TableSpec {
    table_spec(&Config::default(), Table::Logs).expect("spec")
}

/// Ten log records.
fn payload() -> Vec<u8> {
    let record = |second: u64| LogRecord {
        time_unix_nano: second * 1_000_000_000,
        ..LogRecord::default()
    };
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: (0..10).map(record).collect(),
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    }
    .encode_to_vec()
}

fn export(payload: &[u8], sequence: u64) -> Export<'_> {
    Export {
        signal: Signal::Logs,
        payload,
        parts: Vec::leak(vec![Part {
            id: RequestId {
                writer: [1; 16],
                sequence,
            },
            len: payload.len() as u64,
        }]),
        received_unix_nano: 0,
        cancel: CancellationToken::new(),
        timeout: std::time::Duration::from_secs(60),
    }
}

#[tokio::test]
async fn a_payload_becomes_rows_in_a_table_that_did_not_exist() {
    let server = Server::new();
    let pipeline = Pipeline::open(server.config("")).await.expect("opens");
    assert!(
        server.stub.asked().is_empty(),
        "nothing is sent before it is needed"
    );
    let payload = payload();
    for sequence in 0..3 {
        let outcome = pipeline.export(export(&payload, sequence)).await.expect("stored");
        assert_eq!((outcome.rows, outcome.commits), (10, 1));
    }
    let again = pipeline.export(export(&payload, 2)).await.expect("stored before");
    assert_eq!((again.rows, again.already_committed), (0, 1));
    pipeline.close().await;
    let state = server.state();
    let table = &state.tables["otel\u{1f}logs"];
    let summary = &table
        .current_snapshot()
        .expect("a snapshot")
        .summary()
        .additional_properties;
    assert_eq!(summary["total-records"], "30");
    assert_eq!(table.snapshots().len(), 3);
}

/// The metadata is on the server, which this process cannot read, and the table has no other files yet.
#[tokio::test]
async fn the_first_rows_of_a_table_are_accepted_while_the_catalog_takes_no_commit() {
    let server = Server::new();
    let config = server.config_with("", r#""commit": {"on_failure": "accept", "max_retries": 0}"#);
    let pipeline = Pipeline::open(config).await.expect("opens");
    let away = Turn::Instead(Reply::error(503, "ServiceUnavailableException", "away"));
    server.state().turns.extend(vec![away; 20]);
    let payload = payload();
    let outcome = pipeline.export(export(&payload, 0)).await.expect("accepted");
    assert_eq!((outcome.commits, outcome.receipts_written), (0, 1));
    server.state().turns.clear();
    pipeline.collect_receipts().await.expect("committed");
    pipeline.close().await;
    let state = server.state();
    let snapshot = state.tables["otel\u{1f}logs"]
        .current_snapshot()
        .expect("a snapshot");
    assert_eq!(snapshot.summary().additional_properties["total-records"], "10");
}

#[tokio::test]
async fn urls_have_the_prefix_and_encoded_namespace_levels() {
    let server = Server::with_prefix("cat%2Fone/");
    server.state().config = json!({"defaults": {"prefix": "zzz"}, "overrides": {"prefix": "cat%2Fone"}});
    let catalog = server.catalog(r#""warehouse": "arn:x/y z""#).await;
    let namespace = NamespaceIdent::from_strs(["prod", "ot el"]).expect("namespace");
    let ident = TableIdent::new(namespace, "logs".into());
    catalog.ensure(&ident, Some(spec())).await.expect("ensured");
    let asked: Vec<(String, String)> = server
        .stub
        .asked()
        .into_iter()
        .map(|asked| (asked.method, asked.target))
        .collect();
    let asked: Vec<(&str, &str)> = asked
        .iter()
        .map(|(method, target)| (method.as_str(), target.as_str()))
        .collect();
    assert_eq!(
        asked,
        [
            ("GET", "/v1/config?warehouse=arn%3Ax%2Fy%20z"),
            ("GET", "/v1/cat%2Fone/namespaces/prod%1Fot%20el/tables/logs"),
            ("POST", "/v1/cat%2Fone/namespaces/prod%1Fot%20el/tables"),
            ("POST", "/v1/cat%2Fone/namespaces"),
            ("POST", "/v1/cat%2Fone/namespaces"),
            ("POST", "/v1/cat%2Fone/namespaces/prod%1Fot%20el/tables"),
        ]
    );
    let namespaces: Vec<String> = server.state().namespaces.iter().cloned().collect();
    assert_eq!(namespaces, ["prod", "prod\u{1f}ot el"]);
}

#[tokio::test]
async fn requests_carry_what_is_configured_and_what_the_catalog_wants() {
    let server = Server::new();
    server.state().config = json!({"idempotency-key-lifetime": "PT30M"});
    let catalog = server
        .catalog(r#""token": "tok-123456", "headers": {"X-Project": "red", "Polaris-Realm": "r"}"#)
        .await;
    let base = catalog.ensure(&logs(), Some(spec())).await.expect("ensured");
    let committer = Committer::open(Arc::clone(&catalog), logs(), None, None, CommitConfig::default())
        .await
        .expect("opens");
    committer.append(append(1, 1), soon()).await.expect("committed");
    drop(base);
    let asked = server.stub.asked();
    assert_eq!(asked.len(), 7, "{asked:#?}");
    let mut keys = Vec::new();
    for asked in &asked {
        assert_eq!(asked.header("authorization"), Some("Bearer tok-123456"));
        assert_eq!(asked.header("x-project"), Some("red"));
        assert_eq!(asked.header("polaris-realm"), Some("r"));
        assert!(
            asked
                .header("user-agent")
                .is_some_and(|agent| agent.starts_with("otlp2iceberg/"))
        );
        let is_config = asked.target.starts_with("/v1/config");
        let loads = asked.target.ends_with("/tables/logs") && asked.method == "GET";
        let creates = asked.target.ends_with("/tables") && asked.method == "POST";
        let delegation = (loads || creates).then_some("vended-credentials");
        assert_eq!(
            asked.header("x-iceberg-access-delegation"),
            delegation,
            "{}",
            asked.target
        );
        assert_eq!(
            asked.header("idempotency-key").is_some(),
            asked.method == "POST" && !is_config
        );
        if creates {
            assert_eq!(asked.json().get("location"), None, "the catalog chooses it");
        }
        keys.extend(asked.header("idempotency-key").map(str::to_owned));
    }
    let sent = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), sent, "each attempt has a key of its own");
}

#[tokio::test]
async fn credentials_are_not_asked_for_when_not_wanted() {
    let server = Server::new();
    let catalog = server.catalog(r#""vended_credentials": false"#).await;
    catalog.ensure(&logs(), Some(spec())).await.expect("ensured");
    for asked in server.stub.asked() {
        assert_eq!(asked.header("x-iceberg-access-delegation"), None);
        assert_eq!(asked.header("idempotency-key"), None);
        assert_eq!(asked.header("authorization"), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_writers_make_one_table_at_once() {
    let server = Arc::new(Server::new());
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let server = Arc::clone(&server);
            tokio::spawn(async move {
                let table = server
                    .catalog("")
                    .await
                    .ensure(&logs(), Some(spec()))
                    .await
                    .expect("ensured");
                table.metadata.uuid()
            })
        })
        .collect();
    let mut tables = Vec::new();
    for task in tasks {
        tables.push(task.await.expect("joined"));
    }
    tables.dedup();
    assert_eq!(tables.len(), 1, "all see one table");
}

#[tokio::test]
async fn a_table_whose_creation_got_no_answer_is_found() {
    let server = Server::new();
    server.state().namespaces.insert("otel".into());
    server.state().creation_answers.push_back(Reply::Cut);
    let table = server
        .catalog("")
        .await
        .ensure(&logs(), Some(spec()))
        .await
        .expect("found");
    assert_eq!(
        table.metadata.uuid(),
        server.state().tables["otel\u{1f}logs"].uuid()
    );
    assert_eq!(
        server.stub.asked_for("POST", "/tables").len(),
        1,
        "it is not made again"
    );
}

#[tokio::test]
async fn commits_of_two_processes_follow_one_another() {
    let server = Server::new();
    let one = Committer::open(
        server.catalog("").await,
        logs(),
        Some(spec()),
        None,
        CommitConfig::default(),
    )
    .await
    .expect("opens");
    let two = Committer::open(
        server.catalog("").await,
        logs(),
        Some(spec()),
        None,
        CommitConfig::default(),
    )
    .await
    .expect("opens");
    for sequence in 0..4 {
        one.append(append(1, sequence), soon()).await.expect("committed");
        two.append(append(2, sequence), soon()).await.expect("committed");
    }
    let table = server.catalog("").await.load(&logs()).await.expect("loaded");
    assert_eq!(summary(&table)["total-records"], "80");
    assert!(
        table
            .metadata_location
            .ends_with("00008-of-the-server.metadata.json"),
        "{}",
        table.metadata_location
    );
}

#[tokio::test]
async fn what_the_catalog_does_not_offer_is_not_asked_for() {
    let server = Server::new();
    server.state().config = json!({"endpoints": ["GET /v1/{prefix}/namespaces/{namespace}/tables/{table}"]});
    let error = server
        .catalog("")
        .await
        .ensure(&logs(), Some(spec()))
        .await
        .expect_err("cannot be made");
    assert!(
        error.to_string().contains("does not let tables be made"),
        "{error}"
    );
    assert!(server.stub.asked_for("POST", "").is_empty());
}

#[tokio::test]
async fn missing_table_without_a_spec_is_an_error_that_says_what_to_do() {
    let server = Server::new();
    let error = server
        .catalog("")
        .await
        .ensure(&logs(), None)
        .await
        .expect_err("no table");
    assert!(
        error.to_string().contains("tables.auto_create") && error.to_string().contains("otel.logs"),
        "{error}"
    );
}

#[tokio::test]
async fn storage_that_cannot_be_reached_is_said_with_the_table() {
    let server = Server::new();
    server
        .catalog("")
        .await
        .ensure(&logs(), Some(spec()))
        .await
        .expect("made");
    {
        let mut state = server.state();
        let table = state.tables.get_mut("otel\u{1f}logs").expect("there");
        *table = table
            .clone()
            .into_builder(None)
            .set_location("gs://bucket/logs".into())
            .build()
            .expect("built")
            .metadata;
    }
    let error = server
        .catalog("")
        .await
        .load(&logs())
        .await
        .expect_err("no such storage");
    assert!(
        error.to_string().contains("gs://") && error.to_string().contains("otel.logs"),
        "{error}"
    );
}

#[tokio::test]
async fn storage_credentials_are_renewed_before_they_run_out() {
    let server = Server::new();
    server
        .catalog("")
        .await
        .ensure(&logs(), Some(spec()))
        .await
        .expect("made");
    let in_seconds = |seconds: u64| {
        let end = std::time::SystemTime::now() + std::time::Duration::from_secs(seconds);
        let millis = end
            .duration_since(std::time::SystemTime::UNIX_EPOCH)
            .expect("after 1970")
            .as_millis();
        json!({"s3.session-token-expires-at-ms": millis.to_string()})
    };
    let loads = || server.stub.asked_for("GET", "/tables/logs").len();
    // The credentials with the better prefix are used. They expire soon, so they are renewed, this time from
    // the other field, `config`.
    server.state().extra = json!({"storage-credentials": [
        {"prefix": "file:///", "config": in_seconds(30)},
        {"prefix": "file", "config": in_seconds(86_400)},
        {"prefix": "s3://other", "config": in_seconds(86_400)},
    ]});
    let table = server.catalog("").await;
    let file_io = table.load(&logs()).await.expect("loaded").file_io;
    let before = loads();
    server.state().extra = json!({"config": in_seconds(86_400)});
    for _ in 0..3 {
        assert!(
            !file_io
                .exists(format!("file://{}/none", server.folder.path().display()))
                .await
                .expect("looked")
        );
    }
    assert_eq!(
        loads(),
        before + 1,
        "asked for new ones once, and they are good for a day"
    );
}

#[tokio::test]
async fn metadata_that_cannot_be_read_is_told_from_an_answer_of_another_server() {
    let server = Server::new();
    let catalog = server.catalog("").await;
    let made = catalog.ensure(&logs(), Some(spec())).await.expect("made");
    let metadata = serde_json::to_value(&*made.metadata).expect("JSON");
    let mut later = metadata.clone();
    later["format-version"] = json!(9);
    let mut newer_type = metadata.clone();
    let column = json!({"id": 9999, "name": "Payload", "required": false, "type": "variant"});
    let columns = newer_type["schemas"][0]["fields"].as_array_mut();
    columns.expect("columns").push(column);
    let unreadable = "its metadata cannot be read by this version";
    let answer = |metadata: serde_json::Value| json!({"metadata": metadata, "config": {"s3.secret-access-key": "hunter2"}});
    for (metadata, parts) in [
        (later.clone(), [unreadable, "format-version: 9"]),
        (newer_type, [unreadable, "column: Payload variant"]),
        (
            json!({"name": "x"}),
            ["check catalog.uri", "cannot load the table"],
        ),
        (json!("<html>"), ["check catalog.uri", "cannot load the table"]),
    ] {
        let reply = Reply::json(200, &answer(metadata));
        server.state().gate.push_back(Some(reply));
        let error = catalog.load(&logs()).await.expect_err("unreadable");
        let text = error.to_string();
        for part in parts {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(text.contains("otel.logs") && !text.contains('\n'), "{text}");
        let is_metadata = parts.contains(&unreadable);
        assert_eq!(text.contains("check catalog.uri"), !is_metadata, "{text}");
        assert!(!format!("{text} {error:?}").contains("hunter2"), "{text}");
        assert_eq!(error.retry_class(), RetryClass::Retry { after: None });
    }
    // After a commit it is the same, and the outcome is looked up.
    let mut committed = answer(later);
    committed["metadata-location"] = json!("s3://lake/1.metadata.json");
    server
        .state()
        .turns
        .push_back(Turn::Instead(Reply::json(200, &committed)));
    let outcome = catalog.commit(&made, Vec::new(), Vec::new()).await;
    let CommitOutcome::Unknown(error) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(error.to_string().contains(unreadable), "{error}");
}
