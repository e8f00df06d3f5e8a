//! The outcome of a commit attempt, by what happened to it.

use std::sync::Arc;
use std::time::Duration;

use iceberg::{TableRequirement, TableUpdate};
use otlp2iceberg::catalog::{Catalog, CommitOutcome, LoadedTable, table_spec};
use otlp2iceberg::commit::{Committer, Wanted};
use otlp2iceberg::config::{CommitConfig, Config};
use otlp2iceberg::{ErrorKind, RetryClass, Table};
use serde_json::json;

use super::server::{Server, Turn};
use super::stub::{Reply, Stub};
use crate::commit_support::{append, logs, soon, summary};

async fn table(server: &Server, catalog: &Arc<dyn Catalog>) -> LoadedTable {
    let spec = table_spec(&server.config(""), Table::Logs).expect("spec");
    catalog.ensure(&logs(), Some(spec)).await.expect("ensured")
}

async fn committer(server: &Server) -> Committer {
    let spec = table_spec(&Config::default(), Table::Logs).expect("spec");
    let catalog = server.catalog("").await;
    Committer::open(catalog, logs(), Some(spec), None, CommitConfig::default())
        .await
        .expect("opens")
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
async fn every_status_has_its_outcome() {
    let server = Server::new();
    let catalog = server.catalog("").await;
    let base = table(&server, &catalog).await;
    for (status, expected) in [
        (400, "refused"),
        (401, "refused"),
        (403, "refused"),
        (404, "refused"),
        (405, "refused"),
        (406, "refused"),
        (408, "unknown"),
        (409, "conflict"),
        (412, "refused"),
        (413, "refused"),
        (419, "refused"),
        (422, "refused"),
        (429, "refused"),
        (302, "unknown"),
        (307, "unknown"),
        (500, "unknown"),
        (501, "unknown"),
        (502, "unknown"),
        (503, "unknown"),
        (504, "unknown"),
        (599, "unknown"),
    ] {
        // The message says the opposite of the status.
        let reply = Reply::error(
            status,
            "CommitStateUnknownException",
            "409 conflict, commit state is unknown",
        );
        server.state().turns.push_back(Turn::Instead(reply));
        let sent = server.stub.asked_for("POST", "/tables/logs").len();
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
                "unknown"
            }
        };
        assert_eq!(outcome, expected, "{status}");
        assert_eq!(
            server.stub.asked_for("POST", "/tables/logs").len(),
            sent + 1,
            "{status} is not sent again"
        );
    }
    let CommitOutcome::Committed(table) = commit(&catalog, &base).await else {
        panic!("200 is a commit");
    };
    assert_eq!(table.metadata.properties()["a"], "b");
}

#[tokio::test]
async fn a_wait_that_the_catalog_asks_for_is_kept() {
    let server = Server::new();
    let catalog = server.catalog("").await;
    let base = table(&server, &catalog).await;
    let reply = Reply::Answer(429, vec![("retry-after", "17".into())], String::new());
    server.state().turns.push_back(Turn::Instead(reply));
    let CommitOutcome::Refused {
        conflict: false,
        error,
    } = commit(&catalog, &base).await
    else {
        panic!("429 is a refusal");
    };
    assert_eq!(
        error.retry_class(),
        RetryClass::Retry {
            after: Some(Duration::from_secs(17))
        }
    );
}

#[tokio::test]
async fn a_throttled_commit_is_a_refusal_that_says_so() {
    let server = Server::new();
    let catalog = server.catalog("").await;
    let base = table(&server, &catalog).await;
    server.state().turns.push_back(Turn::Instead(Reply::throttled()));
    let CommitOutcome::Refused {
        conflict: false,
        error,
    } = commit(&catalog, &base).await
    else {
        panic!("it is a refusal");
    };
    assert!(error.is_throttled(), "{error}");
    assert_eq!(error.retry_class(), RetryClass::Retry { after: None });
    let text = error.to_string();
    for part in ["400 (too many requests)", "ThrottlingException: Rate exceeded"] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
}

#[tokio::test]
async fn a_throttled_load_is_waited_for_before_a_commit_is_sent() {
    let server = Server::new();
    let committer = committer(&server).await;
    committer.append(append(1, 1), soon()).await.expect("committed");
    let loads = server.stub.asked_for("GET", "/tables/logs").len();
    server.state().gate.push_back(Some(Reply::throttled()));
    let committed = committer.append(append(1, 2), soon()).await.expect("committed");
    assert_eq!(committed.attempts, 1);
    assert_eq!(server.stub.asked_for("GET", "/tables/logs").len(), loads + 2);
}

#[tokio::test]
async fn columns_are_added_in_the_same_call_after_throttling() {
    let server = Server::new();
    let catalog = server.catalog("").await;
    table(&server, &catalog).await;
    let config = Config::from_json(br#"{"tables": {"attribute_columns": ["http.route"]}}"#).expect("valid");
    let schema = table_spec(&config, Table::Logs).expect("spec").schema;
    let wanted = Wanted {
        schema: &schema,
        attributes: &[],
    };
    server.state().turns.push_back(Turn::Instead(Reply::throttled()));
    let committer = Committer::open(catalog, logs(), None, Some(wanted), CommitConfig::default())
        .await
        .expect("opens");
    let table = committer.table();
    assert!(
        table
            .metadata
            .current_schema()
            .field_by_name("HttpRoute")
            .is_some()
    );
}

/// A property of the table that it does not have yet.
const PROPERTY: &str = "schema.name-mapping.default";

#[tokio::test]
async fn a_property_is_set_in_the_same_call_unless_it_is_refused_for_good() {
    for turn in [
        Turn::Instead(Reply::throttled()),
        Turn::Instead(Reply::error(409, "CommitFailedException", "changed")),
        Turn::Instead(Reply::Cut),
        Turn::After(Reply::HalfAnswer),
    ] {
        let server = Server::new();
        let committer = committer(&server).await;
        server.state().turns.push_back(turn.clone());
        let set = committer.set_property(PROPERTY, "[]").await;
        assert!(set.is_ok(), "{turn:?}: {set:?}");
        let table = committer.table();
        assert_eq!(table.metadata.properties()[PROPERTY], "[]", "{turn:?}");
    }
}

#[tokio::test]
async fn a_property_is_not_set_again_after_a_refusal_or_before_a_wait_is_over() {
    let wait = Reply::Answer(429, vec![("retry-after", "17".into())], String::new());
    let forbidden = Reply::error(403, "ForbiddenException", "not yours");
    for (reply, after) in [(wait, Some(Duration::from_secs(17))), (forbidden, None)] {
        let server = Server::new();
        let committer = committer(&server).await;
        server.state().turns.push_back(Turn::Instead(reply));
        let error = committer.set_property(PROPERTY, "[]").await.expect_err("refused");
        assert_eq!(error.retry_after(), after, "{error}");
        assert_eq!(server.stub.asked_for("POST", "/tables/logs").len(), 1, "{error}");
    }
}

/// A catalog that throttles loads alone still takes commits.
#[tokio::test]
async fn loads_that_are_throttled_again_do_not_hold_up_a_commit() {
    let server = Server::new();
    let committer = committer(&server).await;
    committer.append(append(1, 1), soon()).await.expect("committed");
    let loads = server.stub.asked_for("GET", "/tables/logs").len();
    for _ in 0..2 {
        server.state().gate.push_back(Some(Reply::throttled()));
    }
    let committed = committer.append(append(1, 2), soon()).await.expect("committed");
    assert_eq!(committed.attempts, 1);
    assert_eq!(server.stub.asked_for("GET", "/tables/logs").len(), loads + 2);
}

#[tokio::test]
async fn nothing_sent_is_a_refusal_that_a_retry_may_cure() {
    let server = Server::new();
    let catalog = server.catalog("").await;
    let base = table(&server, &catalog).await;
    // The port is closed, which also ends idle connections of the stub.
    drop(server);
    let outcome = loop {
        match commit(&catalog, &base).await {
            // A connection that was still open broke.
            CommitOutcome::Unknown(_) => {}
            outcome => break outcome,
        }
    };
    let CommitOutcome::Refused {
        conflict: false,
        error,
    } = outcome
    else {
        panic!("{outcome:?}");
    };
    assert_eq!(error.retry_class(), RetryClass::Retry { after: None });
    assert!(error.to_string().contains("catalog.uri"), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_lost_leaves_the_outcome_unknown() {
    for reply in [
        Reply::Cut,
        Reply::HalfAnswer,
        Reply::Answer(200, Vec::new(), "{}".into()),
    ] {
        let server = Server::new();
        let catalog = server.catalog("").await;
        let base = table(&server, &catalog).await;
        for turn in [Turn::Instead(reply.clone()), Turn::After(reply.clone())] {
            server.state().turns.push_back(turn);
            let sent = server.stub.asked_for("POST", "/tables/logs").len();
            let outcome = commit(&catalog, &base).await;
            let CommitOutcome::Unknown(error) = outcome else {
                panic!("{reply:?}: {outcome:?}");
            };
            assert_eq!(error.kind(), ErrorKind::CommitUnknown, "{reply:?}: {error}");
            assert_eq!(
                server.stub.asked_for("POST", "/tables/logs").len(),
                sent + 1,
                "a POST is sent once"
            );
        }
    }
}

#[tokio::test]
async fn silence_is_unknown_when_the_time_is_over() {
    let server = Server::new();
    let patient = server.catalog("").await;
    let base = table(&server, &patient).await;
    let catalog = server.catalog(r#""timeout": "300ms""#).await;
    server.state().turns.push_back(Turn::Instead(Reply::Silence));
    let outcome = tokio::time::timeout(Duration::from_secs(20), commit(&catalog, &base))
        .await
        .expect("bounded");
    let CommitOutcome::Unknown(error) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(error.to_string().contains("catalog.timeout"), "{error}");
}

#[tokio::test]
async fn rows_are_in_once_however_attempts_end() {
    let server = Server::new();
    let committer = committer(&server).await;
    let conflict = Reply::error(409, "CommitFailedException", "changed");
    server.state().turns.extend([
        Turn::Instead(conflict),
        Turn::Instead(Reply::Cut),
        Turn::After(Reply::error(503, "ServiceUnavailable", "try later")),
        Turn::After(Reply::HalfAnswer),
        Turn::Instead(Reply::error(500, "Boom", "unknown")),
    ]);
    for sequence in 0..4 {
        committer
            .append(append(1, sequence), soon())
            .await
            .expect("committed");
    }
    let table = server.catalog("").await.load(&logs()).await.expect("loaded");
    assert_eq!(summary(&table)["total-records"], "40");
}

#[tokio::test]
async fn reading_is_tried_once_more_when_the_connection_breaks() {
    let server = Server::new();
    let catalog = server.catalog("").await;
    table(&server, &catalog).await;
    server.state().gate.push_back(Some(Reply::Cut));
    catalog.load(&logs()).await.expect("the second try");
    server.state().gate.extend([Some(Reply::Cut), Some(Reply::Cut)]);
    let error = catalog.load(&logs()).await.expect_err("twice");
    assert!(
        error.to_string().contains("the connection to the catalog broke"),
        "{error}"
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Stub::new(|_| Reply::json(200, &json!({})));
    let server = Server::new();
    let location = format!("{}/v1/config?secret=hunter2", elsewhere.uri());
    server.state().gate.push_back(Some(Reply::Answer(
        301,
        vec![("location", location)],
        String::new(),
    )));
    let error = server
        .catalog(r#""token": "tok-123456""#)
        .await
        .load(&logs())
        .await
        .expect_err("redirected");
    assert!(
        error.to_string().contains("redirects are not followed"),
        "{error}"
    );
    assert!(!error.to_string().contains("hunter2"), "{error}");
    assert!(elsewhere.asked().is_empty(), "our token goes to nobody else");
}

#[tokio::test]
async fn a_catalog_that_comes_up_later_is_used() {
    let server = Server::new();
    let catalog = server.catalog("").await;
    let down = || Some(Reply::error(503, "ServiceUnavailable", "starting"));
    server.state().gate.extend([down(), down()]);
    for _ in 0..2 {
        let error = catalog.load(&logs()).await.expect_err("down");
        assert!(
            error.to_string().contains("503") && error.to_string().contains("starting"),
            "{error}"
        );
    }
    table(&server, &catalog).await;
}
