//! A catalog whose configuration changes while a process runs: a warehouse created again, another address.

use std::time::Duration;

use iceberg::TableIdent;
use otlp2iceberg::catalog::table_spec;
use otlp2iceberg::config::Config;
use otlp2iceberg::{Pipeline, Table};
use serde_json::{Value, json};

use super::server::Server;
use super::stub::Reply;
use crate::commit_support::{logs, pass, summary};
use crate::logged::warnings;
use crate::storage::tables::export;

/// The pause after which a catalog's configuration is requested again.
const PAUSE: Duration = Duration::from_secs(10);

fn prefix(prefix: &str) -> Value {
    json!({"overrides": {"prefix": prefix}})
}

/// The warehouse is dropped and created again under the same name, with another prefix.
fn make_anew(server: &Server) {
    let mut state = server.state();
    state.prefix = "second/";
    state.config = prefix("second");
    state.namespaces.clear();
    state.tables.clear();
}

fn server() -> Server {
    let server = Server::with_prefix("first/");
    server.state().config = prefix("first");
    server
}

fn times_configured(server: &Server) -> usize {
    server.stub.asked_for("GET", "/v1/config").len()
}

#[tokio::test]
async fn rows_go_on_into_a_warehouse_that_was_made_anew() {
    let server = server();
    let pipeline = Pipeline::open(server.config("")).await.expect("opens");
    export(&pipeline, 0, &["zero"]).await.expect("stored");
    pass(PAUSE).await;
    make_anew(&server);
    // As many attempts as a dropped table needs.
    let mut stored = false;
    for _ in 0..3 {
        stored = stored || export(&pipeline, 1, &["one"]).await.is_ok();
    }
    assert!(stored);
    assert_eq!(times_configured(&server), 2);
    let table = server.catalog("").await.load(&logs()).await.expect("loaded");
    assert_eq!(summary(&table)["total-records"], "1");
    pipeline.close().await;
}

#[tokio::test]
async fn a_table_that_is_missing_is_no_reason_to_ask_for_each_request() {
    let server = server();
    let catalog = server.catalog("").await;
    for expected in 1..4 {
        for _ in 0..3 {
            let error = catalog.load(&logs()).await.expect_err("no table");
            assert!(error.to_string().contains("does not exist"), "{error}");
            assert_eq!(times_configured(&server), expected);
        }
        pass(PAUSE).await;
    }
    // The same call requests the new configuration and creates the table with it.
    make_anew(&server);
    let spec = table_spec(&Config::default(), Table::Logs).expect("spec");
    catalog.ensure(&logs(), Some(spec)).await.expect("made");
    assert!(server.state().tables.contains_key("otel\u{1f}logs"));
}

#[tokio::test]
async fn a_catalog_that_says_forbidden_of_what_is_not_there_is_asked_too() {
    let server = server();
    let catalog = server.catalog("").await;
    let spec = table_spec(&Config::default(), Table::Logs).expect("spec");
    catalog.ensure(&logs(), Some(spec)).await.expect("made");
    pass(PAUSE).await;
    server.state().prefix = "second/";
    server.state().config = prefix("second");
    let forbidden = Reply::error(403, "ForbiddenException", "not for you");
    server.state().gate.push_back(Some(forbidden.clone()));
    catalog.load(&logs()).await.expect("found there");
    // A real refusal is returned to the caller.
    pass(PAUSE).await;
    server.state().gate.push_back(Some(forbidden));
    let error = catalog.load(&logs()).await.expect_err("forbidden");
    assert!(error.to_string().contains("403"), "{error}");
    assert_eq!(times_configured(&server), 3);
}

#[tokio::test]
async fn a_catalog_that_moved_to_another_address_is_followed() {
    let (first, second) = (Server::new(), Server::new());
    let front = Server::new();
    let leads_to = |server: &Server| json!({"overrides": {"uri": server.stub.uri()}});
    front.state().config = leads_to(&first);
    let catalog = front.catalog("").await;
    let spec = || Some(table_spec(&Config::default(), Table::Logs).expect("spec"));
    catalog.ensure(&logs(), spec()).await.expect("made");
    let made = second
        .catalog("")
        .await
        .ensure(&logs(), spec())
        .await
        .expect("made");
    pass(PAUSE).await;
    front.state().config = leads_to(&second);
    drop(first);
    let mut found = None;
    for _ in 0..3 {
        // Connections that were still open break first.
        found = found.or(catalog.load(&logs()).await.ok());
    }
    assert_eq!(found.expect("found").metadata.uuid(), made.metadata.uuid());
    assert_eq!(times_configured(&front), 2);
}

#[tokio::test]
async fn another_server_gets_the_token_and_is_warned_of_once() {
    let (front, behind) = (Server::new(), Server::new());
    front.state().config = json!({"overrides": {"uri": behind.stub.uri()}});
    let (logged, guard) = warnings();
    let catalog = front.catalog(r#""token": "hush""#).await;
    let spec = table_spec(&Config::default(), Table::Logs).expect("spec");
    catalog.ensure(&logs(), Some(spec)).await.expect("made");
    catalog.load(&logs()).await.expect("loaded");
    drop(guard);
    let asked = behind.stub.asked_for("GET", "/tables/logs");
    assert!(!asked.is_empty());
    for asked in asked {
        assert_eq!(asked.header("authorization"), Some("Bearer hush"));
    }
    let lines = logged.lines();
    let warned: Vec<&String> = lines
        .iter()
        .filter(|line| line.contains("another server"))
        .collect();
    let [line] = warned.as_slice() else {
        panic!("{lines:?}");
    };
    for part in [front.stub.uri(), behind.stub.uri(), "catalog.headers".into()] {
        assert!(line.contains(&part), "{part} in {line}");
    }
    assert!(!line.contains("hush"), "{line}");
}

#[tokio::test]
async fn a_configuration_that_cannot_be_read_again_is_used_as_it_was() {
    let server = server();
    let catalog = server.catalog("").await;
    let spec = table_spec(&Config::default(), Table::Logs).expect("spec");
    catalog.ensure(&logs(), Some(spec)).await.expect("made");
    pass(PAUSE).await;
    let down = Reply::error(503, "ServiceUnavailableException", "away");
    server.state().gate.extend([None, Some(down)]);
    let other = TableIdent::from_strs(["otel", "other"]).expect("ident");
    let error = catalog.load(&other).await.expect_err("no table");
    assert!(error.to_string().contains("does not exist"), "{error}");
    catalog.load(&logs()).await.expect("loaded");
    assert_eq!(times_configured(&server), 2);
}
