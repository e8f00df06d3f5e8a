//! From nothing to rows: namespaces, tables, their first metadata, commits.

use std::sync::Arc;

use otlp2iceberg::catalog::{TableSpec, table_spec};
use otlp2iceberg::commit::Committer;
use otlp2iceberg::config::{CommitConfig, Config};
use otlp2iceberg::{Pipeline, Table};

use super::server::{BUCKET_ENCODED, Server, Turn, refusal};
use crate::catalog_rest::stub::Reply;
use crate::commit_support::{append, logs, soon, summary};

fn spec() -> TableSpec {
    table_spec(&Config::default(), Table::Logs).expect("spec")
}

#[tokio::test]
#[ignore = "run by the_services_own_api, with credentials"]
async fn a_table_that_did_not_exist_is_made_with_its_namespace() {
    let server = Server::new();
    let catalog = server.catalog("").await;
    assert!(
        server.stub.asked().is_empty(),
        "nothing is sent before it is needed"
    );
    let made = catalog.ensure(&logs(), Some(spec())).await.expect("made");
    let table = format!("/tables/{BUCKET_ENCODED}/otel");
    let position = format!("{table}/logs/metadata-location");
    let namespaces = format!("/namespaces/{BUCKET_ENCODED}");
    let asked: Vec<(String, String)> = server
        .stub
        .asked()
        .into_iter()
        .map(|asked| (asked.method, asked.target))
        .collect();
    let expected = [
        ("GET", &position),
        ("PUT", &table),
        ("PUT", &namespaces),
        ("PUT", &table),
        ("GET", &position),
        ("PUT", &position),
    ];
    let expected = expected.map(|(method, target)| (method.to_owned(), target.clone()));
    assert_eq!(asked, expected);
    for asked in server.stub.asked() {
        let authorization = asked.header("authorization").expect("signed");
        assert!(
            authorization.contains("/eu-west-1/s3tables/aws4_request"),
            "{authorization}"
        );
    }
    let root = server.folder.path().display().to_string();
    assert_eq!(made.metadata.location(), format!("file://{root}/logs"));
    assert_eq!(Some(&made.metadata_location), server.location().as_ref());
    let loaded = server.catalog("").await.load(&logs()).await.expect("loaded");
    assert_eq!(loaded.metadata, made.metadata);
    assert_eq!(
        server.stub.asked_for("PUT", "/").len(),
        4,
        "a table that is there is left"
    );
    let text = format!("{catalog:?} {catalog:#?}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by the_services_own_api, with credentials"]
async fn sixteen_writers_make_one_table_at_once() {
    let server = Arc::new(Server::new());
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let server = Arc::clone(&server);
            tokio::spawn(async move {
                let catalog = server.catalog("").await;
                let table = catalog.ensure(&logs(), Some(spec())).await.expect("ensured");
                table.metadata.uuid()
            })
        })
        .collect();
    let mut uuids = Vec::new();
    for task in tasks {
        uuids.push(task.await.expect("joined"));
    }
    uuids.dedup();
    assert_eq!(uuids.len(), 1, "all see one table");
    assert_eq!(server.metadata_files().len(), 1, "losers deleted theirs");
}

#[tokio::test]
#[ignore = "run by the_services_own_api, with credentials"]
async fn a_table_that_another_tool_made_without_metadata_gets_its_first() {
    let server = Server::new();
    server.state().namespaces.insert("otel".into());
    let table = super::server::Table::default();
    server.state().tables.insert("otel/logs".into(), table);
    let catalog = server.catalog("").await;
    let error = catalog.ensure(&logs(), None).await.expect_err("not to be made");
    assert!(error.to_string().contains("tables.auto_create"), "{error}");
    catalog.ensure(&logs(), Some(spec())).await.expect("begun");
    assert_eq!(server.stub.asked_for("PUT", "/").len(), 1, "nothing but the swap");
    catalog.load(&logs()).await.expect("loaded");
}

#[tokio::test]
#[ignore = "run by the_services_own_api, with credentials"]
async fn creations_whose_answer_is_lost_are_found() {
    for reply in [Reply::Cut, refusal(500, "InternalServerErrorException")] {
        let server = Server::new();
        server.state().namespaces.insert("otel".into());
        server.state().creation_answers.push_back(reply.clone());
        server.state().turns.push_back(Turn::After(reply.clone()));
        let catalog = server.catalog("").await;
        let table = catalog.ensure(&logs(), Some(spec())).await.expect("found");
        assert_eq!(Some(&table.metadata_location), server.location().as_ref());
        assert_eq!(server.updates(), 1, "{reply:?}: it is not sent again");
        assert_eq!(
            server.metadata_files().len(),
            1,
            "a file that may be in use is kept"
        );
    }
}

#[tokio::test]
#[ignore = "run by the_services_own_api, with credentials"]
async fn a_first_metadata_that_is_refused_leaves_no_file() {
    let server = Server::new();
    let refused = Turn::Instead(refusal(403, "AccessDeniedException"));
    server.state().turns.push_back(refused);
    let catalog = server.catalog("").await;
    let error = catalog.ensure(&logs(), Some(spec())).await.expect_err("refused");
    let text = error.to_string();
    assert!(text.contains("403") && text.contains("AWS credentials"), "{text}");
    assert!(text.contains("otel.logs") && !text.contains('\n'), "{text}");
    assert!(server.metadata_files().is_empty());
    catalog
        .ensure(&logs(), Some(spec()))
        .await
        .expect("once it is allowed");
}

#[tokio::test]
#[ignore = "run by the_services_own_api, with credentials"]
async fn a_bucket_that_does_not_exist_is_named() {
    let server = Server::new();
    server.state().no_bucket = true;
    let catalog = server.catalog("").await;
    let error = catalog
        .ensure(&logs(), Some(spec()))
        .await
        .expect_err("no bucket");
    assert!(error.to_string().contains("catalog.warehouse"), "{error}");
    assert!(!error.to_string().contains('\n'), "{error}");
}

#[tokio::test]
#[ignore = "run by the_services_own_api, with credentials"]
async fn a_service_that_refuses_us_is_known_before_the_first_call() {
    let server = Server::new();
    let pipeline = Pipeline::open(server.config("")).await.expect("opens");
    server
        .state()
        .gate
        .push_back(refusal(403, "AccessDeniedException"));
    let error = pipeline.reach_catalog().await.expect_err("refused");
    let text = error.to_string();
    assert!(text.contains("403") && text.contains("AWS credentials"), "{text}");
    pipeline.reach_catalog().await.expect("a table may be missing");
    assert!(server.stub.asked_for("PUT", "/").is_empty(), "nothing is made");
    pipeline.close().await;
}

#[tokio::test]
#[ignore = "run by the_services_own_api, with credentials"]
async fn commits_of_two_processes_follow_one_another() {
    let server = Server::new();
    let mut committers = Vec::new();
    for _ in 0..2 {
        let catalog = server.catalog("").await;
        let committer = Committer::open(catalog, logs(), Some(spec()), None, CommitConfig::default()).await;
        committers.push(committer.expect("opens"));
    }
    for sequence in 0..4 {
        for (writer, committer) in (1..).zip(&committers) {
            let appended = committer.append(append(writer, sequence), soon()).await;
            appended.expect("committed");
        }
    }
    let table = server.catalog("").await.load(&logs()).await.expect("loaded");
    assert_eq!(summary(&table)["total-records"], "80");
    assert!(
        table.metadata_location.contains("/metadata/00008-"),
        "{}",
        table.metadata_location
    );
    assert_eq!(server.state().tables["otel/logs"].version, 9);
    assert_eq!(
        server.metadata_files().len(),
        9,
        "files of lost races are deleted"
    );
}

/// The service deletes unreferenced files, but we decide how many snapshots there are.
#[tokio::test]
#[ignore = "run by the_services_own_api, with credentials"]
async fn many_commits_leave_few_snapshots_and_all_files() {
    let server = Server::new();
    let mut spec = table_spec(&server.config(""), Table::Logs).expect("spec");
    let keys = || spec.properties.keys().filter(|key| key.starts_with("history."));
    assert_eq!(keys().count(), 0, "they could stop the service's own work");
    let age = "history.expire.max-snapshot-age-ms".to_owned();
    spec.properties.insert(age, "0".to_owned());
    let config = CommitConfig {
        dedup_snapshots: 20,
        dedup_window: std::time::Duration::ZERO,
        ..CommitConfig::default()
    };
    let catalog = server.catalog("").await;
    let committer = Committer::open(catalog, logs(), Some(spec), None, config)
        .await
        .expect("opens");
    for sequence in 1..=60 {
        let appended = committer.append(append(1, sequence), soon()).await;
        appended.expect("committed");
    }
    committer.close().await;
    let snapshots = committer.table().metadata.snapshots().len();
    assert!(snapshots <= 22, "{snapshots} snapshots");
    assert_eq!(summary(&committer.table())["total-data-files"], "60");
    let folder = server.folder.path().join("logs/metadata");
    let lists = crate::commit_support::file_names(&folder, ".avro");
    let lists = lists.iter().filter(|name| name.starts_with("snap-")).count();
    assert_eq!(lists, 60, "the service deletes them");
    assert_eq!(committer.snapshot_age_max(), None, "and replaced files");
}
