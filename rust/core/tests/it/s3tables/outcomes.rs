//! The outcome of a commit attempt, by what happened to it, and the fate of its metadata file.

use std::sync::Arc;
use std::time::Duration;

use iceberg::{TableRequirement, TableUpdate};
use otlp2iceberg::catalog::{Catalog, CommitOutcome, LoadedTable, table_spec};
use otlp2iceberg::commit::Committer;
use otlp2iceberg::config::{CommitConfig, Config};
use otlp2iceberg::{ErrorKind, RetryClass, Table};

use super::server::{Server, Turn, refusal};
use crate::catalog_rest::stub::Reply;
use crate::commit_support::{append, logs, soon, summary};

async fn table(catalog: &Arc<dyn Catalog>) -> LoadedTable {
    let spec = table_spec(&Config::default(), Table::Logs).expect("spec");
    catalog.ensure(&logs(), Some(spec)).await.expect("ensured")
}

/// Sets a property, so that the attempt is visible.
async fn commit(catalog: &Arc<dyn Catalog>, base: &LoadedTable) -> CommitOutcome {
    let requirements = vec![TableRequirement::UuidMatch {
        uuid: base.metadata.uuid(),
    }];
    let updates = vec![TableUpdate::SetProperties {
        updates: [("a".to_owned(), "b".to_owned())].into(),
    }];
    catalog.commit(base, requirements, updates).await
}

#[tokio::test]
#[ignore = "run by the_services_own_api, with credentials"]
async fn every_status_has_its_outcome() {
    let server = Server::new();
    let catalog = server.catalog("").await;
    let base = table(&catalog).await;
    let mut files = 1;
    for (status, expected) in [
        (400, "refused"),
        (403, "refused"),
        (404, "refused"),
        (405, "refused"),
        (408, "unknown"),
        (409, "conflict"),
        (429, "refused"),
        (302, "unknown"),
        (500, "unknown"),
        (502, "unknown"),
        (503, "unknown"),
        (504, "unknown"),
    ] {
        // The message says the opposite of the status.
        let reply = refusal(status, "ConflictException");
        server.state().turns.push_back(Turn::Instead(reply));
        let sent = server.updates();
        let outcome = match commit(&catalog, &base).await {
            CommitOutcome::Committed(_) => "committed",
            CommitOutcome::Refused { conflict: true, .. } => "conflict",
            CommitOutcome::Refused {
                conflict: false,
                error,
            } => {
                assert!(error.to_string().contains(&status.to_string()), "{error}");
                assert!(matches!(error.retry_class(), RetryClass::Retry { .. }), "{error}");
                "refused"
            }
            CommitOutcome::Unknown(error) => {
                assert_eq!(error.kind(), ErrorKind::CommitUnknown);
                assert!(error.to_string().contains(&status.to_string()), "{error}");
                files += 1;
                "unknown"
            }
        };
        assert_eq!(outcome, expected, "{status}");
        assert_eq!(server.updates(), sent + 1, "{status} is not sent again");
        assert_eq!(
            server.metadata_files().len(),
            files,
            "{status}: deleted if and only if it was refused"
        );
    }
    let CommitOutcome::Committed(table) = commit(&catalog, &base).await else {
        panic!("200 is a commit");
    };
    assert_eq!(table.metadata.properties()["a"], "b");
    assert_eq!(Some(table.metadata_location), server.location());
}

#[tokio::test]
#[ignore = "run by the_services_own_api, with credentials"]
async fn an_answer_that_is_lost_leaves_the_outcome_unknown() {
    for reply in [
        Reply::Cut,
        Reply::HalfAnswer,
        Reply::Answer(200, Vec::new(), "<html>".into()),
    ] {
        let server = Server::new();
        let catalog = server.catalog("").await;
        let base = table(&catalog).await;
        for turn in [Turn::Instead(reply.clone()), Turn::After(reply.clone())] {
            server.state().turns.push_back(turn);
            let (sent, files) = (server.updates(), server.metadata_files().len());
            let outcome = commit(&catalog, &base).await;
            assert!(
                matches!(outcome, CommitOutcome::Unknown(_)),
                "{reply:?}: {outcome:?}"
            );
            assert_eq!(server.updates(), sent + 1, "it is sent once");
            assert_eq!(server.metadata_files().len(), files + 1, "its file is kept");
        }
    }
}

#[tokio::test]
#[ignore = "run by the_services_own_api, with credentials"]
async fn silence_is_unknown_when_the_time_is_over() {
    let server = Server::new();
    let base = table(&server.catalog("").await).await;
    let catalog = server.catalog(r#""timeout": "300ms""#).await;
    catalog.load(&logs()).await.expect("loaded");
    server.state().turns.push_back(Turn::Instead(Reply::Silence));
    let outcome = tokio::time::timeout(Duration::from_secs(20), commit(&catalog, &base)).await;
    let CommitOutcome::Unknown(error) = outcome.expect("bounded") else {
        panic!("silence is no answer");
    };
    assert!(error.to_string().contains("catalog.timeout"), "{error}");
}

#[tokio::test]
#[ignore = "run by the_services_own_api, with credentials"]
async fn a_table_that_moved_on_is_a_conflict_without_a_request_to_change_it() {
    let server = Server::new();
    let base = table(&server.catalog("").await).await;
    let other = server.catalog("").await;
    let moved = commit(&other, &other.load(&logs()).await.expect("loaded")).await;
    assert!(matches!(moved, CommitOutcome::Committed(_)), "{moved:?}");
    let sent = server.updates();
    let outcome = commit(&server.catalog("").await, &base).await;
    assert!(
        matches!(outcome, CommitOutcome::Refused { conflict: true, .. }),
        "{outcome:?}"
    );
    assert_eq!(server.updates(), sent);
    assert_eq!(server.metadata_files().len(), 2, "nothing was written");
}

#[tokio::test]
#[ignore = "run by the_services_own_api, with credentials"]
async fn rows_are_in_once_however_attempts_end() {
    let server = Server::new();
    let spec = table_spec(&Config::default(), Table::Logs).expect("spec");
    let catalog = server.catalog("").await;
    let committer = Committer::open(catalog, logs(), Some(spec), None, CommitConfig::default());
    let committer = committer.await.expect("opens");
    server.state().turns.extend([
        Turn::Instead(refusal(409, "ConflictException")),
        Turn::Instead(Reply::Cut),
        Turn::After(refusal(503, "ServiceUnavailable")),
        Turn::After(Reply::HalfAnswer),
        Turn::Instead(refusal(500, "InternalServerErrorException")),
    ]);
    for sequence in 0..4 {
        let appended = committer.append(append(1, sequence), soon()).await;
        appended.expect("committed");
    }
    let table = server.catalog("").await.load(&logs()).await.expect("loaded");
    assert_eq!(summary(&table)["total-records"], "40");
    assert!(server.state().turns.is_empty());
}
