//! The REST endpoint of S3 Tables, when it answers that it does not commit.

use iceberg::TableUpdate;
use otlp2iceberg::Table;
use otlp2iceberg::catalog::{CommitOutcome, table_spec};
use otlp2iceberg::config::Config;

use super::server::{BUCKET, refusal};
use crate::catalog_rest::server::{Server, Turn};
use crate::catalog_rest::stub::Reply;
use crate::commit_support::logs;

#[tokio::test]
#[ignore = "run by the_services_own_api, with credentials"]
async fn an_endpoint_that_refuses_commits_is_told_with_the_other_api() {
    let server = Server::new();
    let json = format!(
        r#"{{"catalog": {{"type": "s3tables", "warehouse": "{BUCKET}", "uri": "{}"}}}}"#,
        server.stub.uri()
    );
    let config = Config::from_json(json.as_bytes()).expect("valid");
    let catalog = otlp2iceberg::catalog::open(&config).await.expect("opens");
    let spec = table_spec(&config, Table::Logs).expect("spec");
    let base = catalog.ensure(&logs(), Some(spec)).await.expect("made");
    for (status, hinted) in [(400, true), (405, true), (422, true), (403, false), (404, false)] {
        let reply = refusal(status, "BadRequestException");
        server.state().turns.push_back(Turn::Instead(reply));
        let updates = vec![TableUpdate::RemoveProperties {
            removals: vec!["a".into()],
        }];
        let CommitOutcome::Refused {
            conflict: false,
            error,
        } = catalog.commit(&base, Vec::new(), updates).await
        else {
            panic!("{status} is a refusal");
        };
        let text = error.to_string();
        assert_eq!(text.contains("catalog.s3tables_api: native"), hinted, "{text}");
        assert!(
            text.contains(&status.to_string()) && !text.contains('\n'),
            "{text}"
        );
    }
    // Throttling says nothing about the endpoint.
    server.state().turns.push_back(Turn::Instead(Reply::throttled()));
    let updates = vec![TableUpdate::RemoveProperties {
        removals: vec!["a".into()],
    }];
    let CommitOutcome::Refused {
        conflict: false,
        error,
    } = catalog.commit(&base, Vec::new(), updates).await
    else {
        panic!("throttling is a refusal");
    };
    let text = error.to_string();
    assert!(error.is_throttled() && !text.contains("s3tables_api"), "{text}");
}
