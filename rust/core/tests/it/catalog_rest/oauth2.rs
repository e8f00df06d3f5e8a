//! OAuth2 client credentials: when a token is fetched, and which error is returned without one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use otlp2iceberg::catalog::table_spec;
use otlp2iceberg::config::Config;
use otlp2iceberg::{RetryClass, Table};
use serde_json::json;

use super::server::{Server, Turn};
use super::stub::{Reply, Stub};
use crate::commit_support::logs;

const SECRET: &str = "s3cr3t&marked/planted";

/// A token endpoint whose tokens are `token-0`, `token-1`, ... with this lifetime.
fn token_endpoint(expires_in: Option<f64>) -> Stub {
    let count = AtomicU32::new(0);
    Stub::new(move |asked| {
        let body = String::from_utf8(asked.body.clone()).expect("UTF-8");
        if asked.method != "POST" || !body.contains("client_secret=s3cr3t%26marked%2Fplanted") {
            let error = json!({"error": "invalid_client", "error_description": format!("{SECRET} is wrong")});
            return Reply::json(401, &error);
        }
        let number = count.fetch_add(1, Ordering::SeqCst);
        let mut token = json!({"access_token": format!("token-{number}"), "token_type": "bearer"});
        if let Some(expires_in) = expires_in {
            token["expires_in"] = json!(expires_in);
        }
        Reply::json(200, &token)
    })
}

fn keys(tokens: &Stub) -> String {
    format!(
        r#""oauth2": {{"client_id": "me", "client_secret": "{SECRET}", "token_uri": "{}/t", "scope": "PRINCIPAL_ROLE:ALL"}}"#,
        tokens.uri()
    )
}

#[tokio::test]
async fn one_token_serves_many_requests() {
    let (server, tokens) = (Server::new(), token_endpoint(Some(3600.0)));
    let catalog = server.catalog(&keys(&tokens)).await;
    let spec = table_spec(&Config::default(), Table::Logs).expect("spec");
    catalog.ensure(&logs(), Some(spec)).await.expect("ensured");
    let ident = logs();
    let loads = (0..8).map(|_| catalog.load(&ident));
    for load in futures::future::join_all(loads).await {
        load.expect("loaded");
    }
    let asked = tokens.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].target, "/t");
    assert_eq!(
        asked[0].header("content-type"),
        Some("application/x-www-form-urlencoded")
    );
    assert_eq!(
        String::from_utf8_lossy(&asked[0].body),
        "grant_type=client_credentials&client_id=me&client_secret=s3cr3t%26marked%2Fplanted&scope=PRINCIPAL_ROLE%3AALL"
    );
    for asked in server.stub.asked() {
        assert_eq!(asked.header("authorization"), Some("Bearer token-0"));
    }
}

#[tokio::test]
async fn a_token_is_replaced_before_it_runs_out() {
    // The token expires immediately: each request needs a new one.
    let (server, tokens) = (Server::new(), token_endpoint(Some(0.0)));
    let catalog = server.catalog(&keys(&tokens)).await;
    catalog.load(&logs()).await.expect_err("no table");
    let used: Vec<_> = server
        .stub
        .asked()
        .iter()
        .map(|asked| asked.header("authorization").map(str::to_owned))
        .collect();
    assert_eq!(
        used,
        [Some("Bearer token-0".into()), Some("Bearer token-1".into())]
    );
}

#[tokio::test]
async fn a_token_that_is_not_accepted_is_replaced_once() {
    for status in [401, 419] {
        let (server, tokens) = (Server::new(), token_endpoint(None));
        let catalog = server.catalog(&keys(&tokens)).await;
        let spec = table_spec(&Config::default(), Table::Logs).expect("spec");
        let base = catalog.ensure(&logs(), Some(spec)).await.expect("ensured");
        let refusal = || Turn::Instead(Reply::error(status, "NotAuthorizedException", "expired"));
        // A commit is also repeated, because it was certainly not carried out.
        server.state().turns.push_back(refusal());
        let outcome = catalog.commit(&base, Vec::new(), Vec::new()).await;
        assert!(
            matches!(outcome, otlp2iceberg::catalog::CommitOutcome::Committed(_)),
            "{outcome:?}"
        );
        assert_eq!(tokens.asked().len(), 2);
        server.state().turns.extend([refusal(), refusal()]);
        let outcome = catalog.commit(&base, Vec::new(), Vec::new()).await;
        let otlp2iceberg::catalog::CommitOutcome::Refused {
            conflict: false,
            error,
        } = outcome
        else {
            panic!("{outcome:?}");
        };
        assert!(error.to_string().contains("catalog.oauth2"), "{error}");
        assert_eq!(
            tokens.asked().len(),
            3,
            "no more than one new token for a request"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_that_miss_a_token_share_a_new_one() {
    let (server, tokens) = (Server::new(), token_endpoint(None));
    let catalog = server.catalog(&keys(&tokens)).await;
    let spec = table_spec(&Config::default(), Table::Logs).expect("spec");
    catalog.ensure(&logs(), Some(spec)).await.expect("ensured");
    let loads: Vec<_> = (0..8)
        .map(|_| {
            let catalog = Arc::clone(&catalog);
            tokio::spawn(async move { catalog.load(&logs()).await.map(|_| ()) })
        })
        .collect();
    for load in loads {
        load.await.expect("joined").expect("loaded");
    }
    assert_eq!(tokens.asked().len(), 1);
}

#[tokio::test]
async fn a_token_endpoint_that_throttles_is_no_reason_to_change_a_key() {
    let server = Server::new();
    let tokens = Stub::new(|_| Reply::json(429, &json!({"error": "slow_down"})));
    let catalog = server.catalog(&keys(&tokens)).await;
    let error = catalog.load(&logs()).await.expect_err("no token");
    assert!(error.is_throttled(), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("429 (too many requests)") && !text.contains("client_secret"),
        "{text}"
    );
}

#[tokio::test]
async fn a_refused_client_is_told_with_its_keys_and_without_its_secret() {
    let server = Server::new();
    let tokens = Stub::new(|_| {
        Reply::json(
            401,
            &json!({"error": "invalid_client", "error_description": format!("{SECRET} is wrong")}),
        )
    });
    let catalog = server.catalog(&keys(&tokens)).await;
    let error = catalog.load(&logs()).await.expect_err("no token");
    let text = format!("{error} {error:?}");
    assert!(
        text.contains("catalog.oauth2") && text.contains("invalid_client"),
        "{text}"
    );
    assert!(!text.contains("s3cr3t"), "{text}");
    assert!(
        matches!(error.retry_class(), RetryClass::Retry { .. }),
        "it may be mended there"
    );
    assert!(server.stub.asked().is_empty(), "without a token nothing is asked");
}

#[tokio::test]
async fn the_token_endpoint_is_the_catalogs_own_by_default() {
    let server = Server::new();
    let token = json!({"access_token": "token-of-the-catalog", "expires_in": 3600});
    server.state().gate.push_back(Some(Reply::json(200, &token)));
    let catalog = server
        .catalog(r#""oauth2": {"client_id": "me", "client_secret": "x"}"#)
        .await;
    catalog.load(&logs()).await.expect_err("no table");
    let asked = server.stub.asked();
    assert_eq!(asked[0].target, "/v1/oauth/tokens");
    assert!(String::from_utf8_lossy(&asked[0].body).ends_with("&scope=catalog"));
    assert_eq!(
        asked[1].header("authorization"),
        Some("Bearer token-of-the-catalog")
    );
}

#[tokio::test]
async fn audience_and_resource_are_sent_where_they_are_set() {
    for (keys, expected) in [
        ("", ""),
        (
            r#", "audience": "https://lake/a b""#,
            "&audience=https%3A%2F%2Flake%2Fa%20b",
        ),
        (
            r#", "resource": "urn:lake", "audience": "lake""#,
            "&audience=lake&resource=urn%3Alake",
        ),
    ] {
        let (server, tokens) = (Server::new(), token_endpoint(None));
        let oauth2 = format!(
            r#""oauth2": {{"client_id": "me", "client_secret": "{SECRET}", "token_uri": "{}/t"{keys}}}"#,
            tokens.uri()
        );
        let catalog = server.catalog(&oauth2).await;
        catalog.load(&logs()).await.expect_err("no table");
        let asked = tokens.asked();
        let form = String::from_utf8_lossy(&asked[0].body);
        let (_, behind) = form.split_once("&scope=catalog").expect("a scope");
        assert_eq!(behind, expected);
    }
}

/// Polaris wants its realm with every request. A key to the catalog must not reach others.
#[tokio::test]
async fn headers_go_to_the_catalogs_own_token_endpoint_alone() {
    let (server, tokens) = (Server::new(), token_endpoint(None));
    let own = format!(r#", "token_uri": "{}/own/tokens""#, server.stub.uri());
    let foreign = format!(r#", "token_uri": "{}/t""#, tokens.uri());
    for (token_uri, expected) in [
        ("", Some("red")),
        (own.as_str(), Some("red")),
        (foreign.as_str(), None),
    ] {
        let token = json!({"access_token": "token", "expires_in": 3600});
        if expected.is_some() {
            server.state().gate.push_back(Some(Reply::json(200, &token)));
        }
        let before = server.stub.asked().len();
        let catalog = server
            .catalog(&format!(
                r#""headers": {{"Polaris-Realm": "red"}}, "oauth2": {{"client_id": "me", "client_secret": "{SECRET}"{token_uri}}}"#
            ))
            .await;
        catalog.load(&logs()).await.expect_err("no table");
        let to_catalog = server.stub.asked().split_off(before);
        let to_tokens = tokens.asked();
        let (first, others) = match to_tokens.first() {
            Some(first) => (first, &*to_catalog),
            None => to_catalog.split_first().expect("a request"),
        };
        assert_eq!(first.method, "POST", "{token_uri}");
        assert_eq!(first.header("polaris-realm"), expected, "{token_uri}");
        assert!(!others.is_empty());
        for asked in others {
            assert_eq!(asked.header("polaris-realm"), Some("red"), "{}", asked.target);
        }
    }
}

#[tokio::test]
async fn a_header_that_the_token_endpoint_repeats_is_not_shown() {
    let server = Server::new();
    let refusal = Reply::error(401, "NotAuthorizedException", "you sent planted-key");
    server.state().gate.push_back(Some(refusal));
    let catalog = server
        .catalog(
            r#""headers": {"X-Key": "planted-key"}, "oauth2": {"client_id": "me", "client_secret": "x"}"#,
        )
        .await;
    let error = catalog.load(&logs()).await.expect_err("no token");
    assert!(error.to_string().contains("you sent [redacted]"), "{error}");
}

/// Nothing is wrong with the configuration then.
#[tokio::test]
async fn an_answer_that_is_not_whole_is_no_answer_without_a_token() {
    let server = Server::new();
    for (reply, expected) in [
        (Reply::HalfAnswer, "the connection to the token endpoint broke"),
        (
            Reply::Answer(200, Vec::new(), "x".repeat((1 << 20) + 1)),
            "the token endpoint's answer is too large for a token",
        ),
    ] {
        let tokens = Stub::new(move |_| reply.clone());
        let catalog = server.catalog(&keys(&tokens)).await;
        let error = catalog.load(&logs()).await.expect_err("no token");
        assert_eq!(error.retry_class(), RetryClass::Retry { after: None });
        let text = error.to_string();
        assert!(text.contains(expected), "{text}");
        assert!(!text.contains("access_token"), "{text}");
    }
}

#[tokio::test]
async fn an_answer_without_a_token_is_not_repeated_in_the_error() {
    let server = Server::new();
    let tokens = Stub::new(|_| Reply::json(200, &json!({"token": "planted-elsewhere"})));
    let error = server
        .catalog(&keys(&tokens))
        .await
        .load(&logs())
        .await
        .expect_err("no token");
    assert!(error.to_string().contains("catalog.oauth2.token_uri"), "{error}");
    assert!(
        !format!("{error} {error:?}").contains("planted-elsewhere"),
        "{error:?}"
    );
}
