//! New tables in Glue, which assigns no locations. Requests are signed with credentials from the environment,
//! so all tests run in a process that has some.

use std::sync::Arc;

use iceberg::TableUpdate;
use otlp2iceberg::catalog::{self, Catalog, table_spec};
use otlp2iceberg::config::Config;
use otlp2iceberg::{RetryClass, Table};
use serde_json::Value;

use super::server::Server;
use super::stub::{Asked, Reply};
use crate::commit_support::{logs, taken};
use crate::logged::warnings;
use crate::own_process;

#[test]
fn new_tables_in_glue() {
    let credentials = [
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2-secret"),
    ];
    own_process::run("catalog_rest::glue::", &credentials);
}

fn server() -> Server {
    let server = Server::new();
    server.state().assigns_no_location = true;
    server
}

/// A catalog of type `glue`; `keys` are further keys of the section, each with a comma before it.
async fn glue(server: &Server, warehouse: &str, keys: &str) -> Arc<dyn Catalog> {
    let json = format!(
        r#"{{"catalog": {{"type": "glue", "uri": "{}", "warehouse": "{warehouse}", "sigv4": {{"region": "eu-west-1"}}{keys}}}}}"#,
        server.stub.uri()
    );
    let config = Config::from_json(json.as_bytes()).expect("valid");
    catalog::open(&config).await.expect("opens")
}

async fn ensure(catalog: &Arc<dyn Catalog>) -> otlp2iceberg::Result<String> {
    let spec = table_spec(&Config::default(), Table::Logs).expect("spec");
    let table = catalog.ensure(&logs(), Some(spec)).await?;
    Ok(table.metadata.location().to_owned())
}

/// A location without the end that makes it the table's own.
fn named(location: &str) -> &str {
    let (named, own) = location.rsplit_once('-').expect("an end of its own");
    let is_unique = own.len() == 32 && own.chars().all(|digit| digit.is_ascii_hexdigit());
    assert!(is_unique, "{location}");
    named
}

/// The bodies of the requests that created something.
fn created(server: &Server, what: &str) -> Vec<Value> {
    let mut asked = server.stub.asked_for("POST", what);
    asked.retain(|asked| asked.target.ends_with(what));
    asked.iter().map(Asked::json).collect()
}

#[tokio::test]
#[ignore = "run by new_tables_in_glue, with credentials"]
async fn a_table_is_below_the_location_of_its_database() {
    for location in ["s3://lake/otel", "s3://lake/otel/", "s3a://lake/otel//"] {
        let server = server();
        {
            let mut state = server.state();
            state.namespaces.insert("otel".into());
            state.locations.insert("otel".into(), location.into());
        }
        let catalog = glue(&server, "123456789012", r#", "default_location": "s3://other""#).await;
        let made = ensure(&catalog).await.expect("made");
        assert_eq!(named(&made), "s3://lake/otel/logs");
        let tables = created(&server, "/tables");
        assert_eq!(tables.len(), 1);
        assert_eq!(tables[0]["location"], made.as_str());
        assert!(created(&server, "/namespaces").is_empty());
        // A table that exists costs no further request.
        assert_eq!(ensure(&catalog).await.expect("there"), made);
        assert_eq!(server.stub.asked_for("GET", "/namespaces/otel").len(), 3);
    }
}

#[tokio::test]
#[ignore = "run by new_tables_in_glue, with credentials"]
async fn a_database_that_is_missing_gets_a_location_below_the_default_one() {
    for default in ["s3://lake/wh", "s3a://lake/wh/"] {
        let server = server();
        let key = format!(r#", "default_location": "{default}""#);
        let catalog = glue(&server, "123456789012", &key).await;
        let location = ensure(&catalog).await.expect("made");
        assert_eq!(named(&location), "s3://lake/wh/otel.db/logs");
        let databases = created(&server, "/namespaces");
        assert_eq!(databases.len(), 1);
        assert_eq!(databases[0]["properties"]["location"], "s3://lake/wh/otel.db");
        assert_eq!(
            created(&server, "/tables").len(),
            1,
            "the database was there by then"
        );
    }
}

#[tokio::test]
#[ignore = "run by new_tables_in_glue, with credentials"]
async fn a_database_without_a_location_uses_the_default_one() {
    let server = server();
    server.state().namespaces.insert("otel".into());
    let catalog = glue(&server, "123456789012", r#", "default_location": "s3://lake""#).await;
    let location = ensure(&catalog).await.expect("made");
    assert_eq!(named(&location), "s3://lake/otel.db/logs");
    assert!(created(&server, "/namespaces").is_empty());
}

/// A rename moves no files, and a clean-up of orphan files deletes what lies below a table's location and is not
/// the table's.
#[tokio::test]
#[ignore = "run by new_tables_in_glue, with credentials"]
async fn a_table_made_anew_after_a_rename_is_not_where_the_renamed_one_is() {
    let server = server();
    let catalog = glue(&server, "123456789012", r#", "default_location": "s3://lake""#).await;
    let renamed = ensure(&catalog).await.expect("made");
    {
        let mut state = server.state();
        let table = state.tables.remove("otel\u{1f}logs").expect("there");
        state.tables.insert("otel\u{1f}logs_2025".into(), table);
    }
    let new = ensure(&catalog).await.expect("made anew");
    assert_eq!(named(&new), named(&renamed));
    assert!(
        !new.starts_with(&renamed) && !renamed.starts_with(&new),
        "{new} {renamed}"
    );
}

#[tokio::test]
#[ignore = "run by new_tables_in_glue, with credentials"]
async fn a_creation_that_got_no_answer_leaves_one_location() {
    let server = server();
    server.state().creation_answers.push_back(Reply::Cut);
    let catalog = glue(&server, "123456789012", r#", "default_location": "s3://lake""#).await;
    let location = ensure(&catalog).await.expect("found");
    let tables = created(&server, "/tables");
    assert_eq!(tables.len(), 1);
    assert_eq!(tables[0]["location"], location.as_str());
    assert_eq!(ensure(&catalog).await.expect("there"), location);
}

#[tokio::test]
#[ignore = "run by new_tables_in_glue, with credentials"]
async fn a_database_that_nothing_gives_a_location_is_named_until_it_has_one() {
    let server = server();
    let catalog = glue(&server, "123456789012", "").await;
    for (exists, command) in [(false, "create-database"), (true, "update-database")] {
        if exists {
            server.state().namespaces.insert("otel".into());
        }
        let error = ensure(&catalog).await.expect_err("no location");
        let text = error.to_string();
        for part in [
            command,
            "catalog.default_location",
            "database: otel",
            "table: otel.logs",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(error.retry_class(), RetryClass::Retry { after: None });
        assert!(server.stub.asked_for("POST", "").is_empty(), "nothing is made");
    }
    server
        .state()
        .locations
        .insert("otel".into(), "s3://lake/otel".into());
    ensure(&catalog).await.expect("made without a restart");
}

#[tokio::test]
#[ignore = "run by new_tables_in_glue, with credentials"]
async fn a_table_bucket_chooses_locations_itself() {
    for warehouse in ["123456789012:s3tablescatalog/lake", "s3tablescatalog/lake"] {
        let server = Server::new();
        let catalog = glue(&server, warehouse, "").await;
        ensure(&catalog).await.expect("made");
        for table in created(&server, "/tables") {
            assert_eq!(table.get("location"), None);
        }
        let databases = created(&server, "/namespaces");
        assert_eq!(databases[0]["properties"], serde_json::json!({}));
        let asked = server.stub.asked();
        let namespace = asked
            .iter()
            .filter(|asked| asked.target.ends_with("/namespaces/otel"));
        assert_eq!(namespace.count(), 0, "nobody needs to know");
    }
}

/// Glue refuses tables whose metadata exceeds a limit.
#[tokio::test]
#[ignore = "run by new_tables_in_glue, with credentials"]
async fn a_table_with_large_metadata_is_warned_of_once() {
    let server = server();
    let catalog = glue(&server, "123456789012", r#", "default_location": "s3://lake""#).await;
    ensure(&catalog).await.expect("made");
    let (logged, _guard) = warnings();
    let large = |lines: Vec<String>| -> Vec<String> {
        let is_it = |line: &String| line.contains("the table's metadata is large");
        lines.into_iter().filter(is_it).collect()
    };
    let base = catalog.load(&logs()).await.expect("loads");
    assert_eq!(large(logged.lines()), [] as [String; 0]);
    let updates = vec![TableUpdate::SetProperties {
        updates: [("note".to_owned(), "x".repeat(4_000_000))].into(),
    }];
    taken(catalog.commit(&base, vec![], updates).await);
    for _ in 0..2 {
        catalog.load(&logs()).await.expect("loads");
    }
    let lines = large(logged.lines());
    assert_eq!(lines.len(), 1, "{lines:?}");
    for part in ["otel.logs", "commit.dedup_window", "5 to 50 MB"] {
        assert!(lines[0].contains(part), "{part} in {lines:?}");
    }
}
