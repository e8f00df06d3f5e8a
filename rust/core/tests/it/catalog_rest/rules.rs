//! The configuration's rules, and that no text contains a secret.

use otlp2iceberg::catalog::{self, table_spec};
use otlp2iceberg::config::Config;
use otlp2iceberg::{ErrorKind, Pipeline, RetryClass, Table};

use super::server::Server;
use super::stub::Reply;
use crate::commit_support::logs;

#[test]
fn every_rule_names_its_key_and_a_reason() {
    for (catalog, parts) in [
        (r#""type": "rest""#, vec!["catalog.uri: type rest needs"]),
        (
            r#""type": "rest", "uri": "host/x""#,
            vec!["catalog.uri: is no URL"],
        ),
        (
            r#""type": "rest", "uri": "ftp://host""#,
            vec!["catalog.uri: must begin with https://"],
        ),
        (
            r#""type": "rest", "uri": "http://h?a=b""#,
            vec!["catalog.uri: must have no query"],
        ),
        (
            r#""type": "rest", "uri": "http://h", "name": "x""#,
            vec!["catalog.name:", "warehouse"],
        ),
        (
            r#""type": "rest", "uri": "http://h", "warehouse": """#,
            vec!["catalog.warehouse: must not be empty"],
        ),
        (
            r#""type": "rest", "uri": "http://h", "token": """#,
            vec!["catalog.token: must not be empty"],
        ),
        (
            r#""type": "rest", "uri": "http://h", "timeout": "0s""#,
            vec!["catalog.timeout: must be above 0"],
        ),
        (
            r#""type": "rest", "uri": "http://h", "sigv4": {}"#,
            vec!["catalog.sigv4.service:"],
        ),
        (
            r#""type": "rest", "uri": "http://h", "s3tables_api": "rest""#,
            vec!["catalog.s3tables_api:", "type s3tables only"],
        ),
        (
            r#""type": "rest", "uri": "http://h", "headers": {"a b": "c"}"#,
            vec!["catalog.headers.a b: is no header name"],
        ),
        (
            r#""type": "rest", "uri": "http://h", "headers": {"a": "c\nd"}"#,
            vec!["catalog.headers.a: holds characters"],
        ),
        (
            r#""type": "rest", "uri": "http://h", "token": "t", "headers": {"Authorization": "Basic x"}"#,
            vec!["catalog.headers.Authorization: is set by token"],
        ),
        (
            r#""type": "rest", "uri": "http://h", "token": "t", "oauth2": {"client_id": "", "client_secret": "", "token_uri": "x"}"#,
            vec![
                "only one of token, oauth2",
                "catalog.oauth2.client_id:",
                "catalog.oauth2.client_secret:",
                "catalog.oauth2.token_uri:",
            ],
        ),
        (
            r#""token": "t", "vended_credentials": true"#,
            vec!["catalog.token: has no meaning", "catalog.vended_credentials:"],
        ),
        (
            r#""headers": {"a": "b"}, "oauth2": {"client_id": "a", "client_secret": "b"}"#,
            vec!["catalog.headers:", "catalog.oauth2:"],
        ),
        (
            r#""type": "glue", "token": "t""#,
            vec![
                "catalog.warehouse: type glue needs",
                "catalog.token: has no meaning",
                "signed",
            ],
        ),
    ] {
        refused(catalog, &parts);
    }
}

#[test]
fn a_default_location_is_a_place_on_s3_for_glue_alone() {
    for (catalog, parts) in [
        (
            r#""type": "rest", "uri": "http://h", "default_location": "s3://b""#,
            vec!["catalog.default_location:", "type glue only"],
        ),
        (
            r#""default_location": "s3://b""#,
            vec!["catalog.default_location:", "type glue only"],
        ),
        (
            r#""type": "glue", "warehouse": "1", "default_location": "/var/lib""#,
            vec![
                "catalog.default_location:",
                "no place on S3",
                "s3://<bucket>/<prefix>",
            ],
        ),
        (
            r#""type": "glue", "warehouse": "1", "default_location": "s3:///otel""#,
            vec!["catalog.default_location:", "names no bucket"],
        ),
        (
            r#""type": "glue", "warehouse": "1:s3tablescatalog/b", "default_location": "s3://b""#,
            vec!["catalog.default_location:", "a table bucket chooses"],
        ),
        (
            r#""type": "glue", "warehouse": "s3tablescatalog/b", "default_location": "s3://b""#,
            vec!["catalog.default_location:", "a table bucket chooses"],
        ),
    ] {
        refused(catalog, &parts);
    }
}

#[test]
fn rules_of_s3_tables_are_told_before_the_service_does() {
    for (catalog, parts) in [
        (
            r#""type": "s3tables", "warehouse": "b""#,
            vec!["catalog.warehouse:", "arn:aws:s3tables:"],
        ),
        (
            r#""type": "s3tables", "warehouse": "arn:aws:s3tables:eu-west-1:123456789012:bucket/b", "s3tables_api": "native", "vended_credentials": true"#,
            vec!["catalog.vended_credentials:", "gives no credentials"],
        ),
        (
            r#""type": "s3tables", "warehouse": "arn:aws:s3tables:eu-west-1:123456789012:bucket/b", "namespace": "prod.otel""#,
            vec![
                r#"catalog.namespace: "prod.otel" cannot be a name in S3 Tables"#,
                "lower-case",
            ],
        ),
        (
            r#""type": "s3tables", "warehouse": "arn:aws:s3tables:eu-west-1:123456789012:bucket/b", "namespace": "Otel""#,
            vec![r#"catalog.namespace: "Otel" cannot be a name in S3 Tables"#],
        ),
        (
            r#""type": "s3tables", "warehouse": "arn:aws:s3tables:eu-west-1:123456789012:bucket/b", "namespace": "aws_otel""#,
            vec![r#"catalog.namespace: "aws_otel" cannot be a namespace in S3 Tables"#],
        ),
        (
            r#""type": "glue", "warehouse": "123456789012:s3tablescatalog/b", "namespace": "prod.otel""#,
            vec![r#"catalog.namespace: "prod.otel" cannot be a name in S3 Tables"#],
        ),
        (
            r#""type": "glue", "warehouse": "s3tablescatalog/b", "namespace": "awsotel""#,
            vec![r#"catalog.namespace: "awsotel" cannot be a namespace in S3 Tables"#],
        ),
    ] {
        refused(catalog, &parts);
    }
}

fn refused(catalog: &str, parts: &[&str]) {
    let json = format!(r#"{{"catalog": {{{catalog}}}}}"#);
    let error = Config::from_json(json.as_bytes()).expect_err(catalog);
    assert_eq!(error.kind(), ErrorKind::Config);
    for part in parts {
        assert!(error.to_string().contains(part), "{catalog}: {part:?} in {error}");
    }
}

#[test]
fn whole_configurations_are_accepted() {
    for catalog in [
        r#""type": "rest", "uri": "https://h/api/catalog", "warehouse": "w", "oauth2": {"client_id": "a", "client_secret": "b"}"#,
        r#""type": "rest", "uri": "http://h:8181/", "headers": {"Authorization": "Basic x"}"#,
        r#""type": "rest", "uri": "http://h:8181", "sigv4": {"region": "x", "service": "execute-api"}"#,
        r#""type": "glue", "warehouse": "123456789012:s3tablescatalog/b", "sigv4": {"region": "eu-west-1"}"#,
        r#""type": "glue", "warehouse": "123456789012", "default_location": "s3a://lake/otel/""#,
        r#""type": "glue", "warehouse": "123456789012", "namespace": "aws.Otel""#,
        r#""type": "s3tables", "warehouse": "arn:aws-cn:s3tables:cn-north-1:123456789012:bucket/b", "s3tables_api": "rest""#,
        r#""type": "s3tables", "warehouse": "arn:aws:s3tables:eu-west-1:123456789012:bucket/b", "s3tables_api": "native", "namespace": "otel_2""#,
    ] {
        let json = format!(r#"{{"catalog": {{{catalog}}}}}"#);
        Config::from_json(json.as_bytes()).expect(catalog);
    }
}

#[test]
fn a_configuration_that_cannot_be_read_repeats_no_secret() {
    for catalog in [
        r#""oauth2": "hunter2""#,
        r#""token": 112233445566"#,
        r#""oauth2": {"client_id": "a", "client_secret": ["hunter2"]}"#,
        r#""headers": {"a": {"hunter2": 112233445566}}"#,
        r#""headers": ["hunter2"]"#,
        r#""uri": "https://me:hunter2@host""#,
        r#""uri": "https://host?password=hunter2""#,
        r#""token": "hunter2\n""#,
    ] {
        let json = format!(r#"{{"catalog": {{"type": "rest", {catalog}}}}}"#);
        let error = Config::from_json(json.as_bytes()).expect_err(catalog);
        let text = format!("{error} {error:?}");
        assert!(
            !text.contains("hunter2") && !text.contains("112233445566"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn no_secret_is_in_the_text_of_configuration_catalog_or_errors() {
    for (keys, secrets) in [
        (
            r#""token": "hunter2-token", "headers": {"X-Key": "hunter2-header"}"#,
            ["hunter2-token", "hunter2-header"].as_slice(),
        ),
        (
            r#""oauth2": {"client_id": "me", "client_secret": "hunter2-client"}, "headers": {"X-Key": "hunter2-header"}"#,
            &["hunter2-client", "hunter2-header", "hunter2-issued"],
        ),
    ] {
        let server = Server::new();
        let config = server.config(keys);
        let catalog = catalog::open(&config).await.expect("opens");
        let mut texts = vec![format!("{config:?} {config:#?} {catalog:?} {catalog:#?}")];
        // A catalog that repeats everything it was sent.
        for status in [400, 401, 403, 404, 409, 429, 500, 503] {
            let token = || {
                Some(Reply::json(
                    200,
                    &serde_json::json!({"access_token": "hunter2-issued", "expires_in": 0}),
                ))
            };
            let refusal = || {
                Some(Reply::error(
                    status,
                    "Exception",
                    &format!("you sent {}", secrets.join(" and ")),
                ))
            };
            let fetches_tokens = keys.contains("oauth2");
            let gate = if fetches_tokens {
                vec![token(), refusal(), token(), refusal()]
            } else {
                vec![refusal()]
            };
            server.state().gate.extend(gate);
            let error = catalog.load(&logs()).await.expect_err("refused");
            assert!(error.to_string().contains("you sent [redacted]"), "{error}");
            texts.push(format!("{error} {error:?} {error:#?} {catalog:?}"));
            server.state().gate.clear();
        }
        for text in texts {
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}

#[tokio::test]
async fn a_refusal_says_which_key_to_change() {
    for (status, parts) in [
        (401, ["401", "check catalog.token"]),
        (403, ["403", "check catalog.token, and the rights"]),
        (404, ["catalog.warehouse", "catalog.uri"]),
        (400, ["catalog.warehouse", "catalog.uri"]),
        (503, ["503", "Exception: because"]),
    ] {
        let server = Server::new();
        server
            .state()
            .gate
            .push_back(Some(Reply::error(status, "Exception", "because")));
        let error = server
            .catalog(r#""token": "tok-123456""#)
            .await
            .load(&logs())
            .await
            .expect_err("refused");
        for part in parts {
            assert!(error.to_string().contains(part), "{status}: {part:?} in {error}");
        }
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

#[tokio::test]
async fn a_catalog_is_reached_before_the_first_call_or_told_with_its_address() {
    let server = Server::new();
    let pipeline = Pipeline::open(server.config("")).await.expect("opens");
    pipeline.reach_catalog().await.expect("it answers");
    let asked = server.stub.asked();
    assert_eq!(asked.len(), 1, "no table is asked for: {asked:?}");
    pipeline.close().await;

    // Bound and closed, so that nothing listens on it.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("address");
    drop(listener);
    let json = format!(r#"{{"catalog": {{"type": "rest", "uri": "http://{address}"}}}}"#);
    let config = Config::from_json(json.as_bytes()).expect("valid");
    let pipeline = Pipeline::open(config).await.expect("opens without its catalog");
    let error = pipeline.reach_catalog().await.expect_err("nobody there");
    let text = error.to_string();
    for part in ["cannot be reached", "catalog.uri", &format!("http://{address}")] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    pipeline.close().await;
}

/// Gravitino answers 400 where no credential provider is configured.
#[tokio::test]
async fn a_catalog_that_may_hand_out_no_storage_credentials_is_told_with_the_key() {
    for (status, hinted) in [
        (400, true),
        (403, true),
        (406, true),
        (422, true),
        (500, true),
        (401, false),
        (409, false),
        (429, false),
        (503, false),
    ] {
        for (keys, asked_for) in [("", true), (r#""vended_credentials": false"#, false)] {
            let server = Server::new();
            let catalog = server.catalog(keys).await;
            let refusal = || Some(Reply::error(status, "Exception", "No credential provider found"));
            // The configuration is read. Then the table is refused when it is loaded, and when it is made.
            server.state().gate.extend([None, refusal(), None, refusal()]);
            for step in ["load", "create"] {
                let spec = table_spec(&Config::default(), Table::Logs).expect("spec");
                let error = catalog.ensure(&logs(), Some(spec)).await.expect_err("refused");
                let text = error.to_string();
                assert!(text.contains("No credential provider found"), "{step}: {text}");
                assert_eq!(
                    text.contains("catalog.vended_credentials: false"),
                    hinted && asked_for,
                    "{step} {status}: {text}"
                );
            }
        }
    }
}

/// Glue's REST endpoint throttles with 400. Nothing is wrong with the configuration then.
#[tokio::test]
async fn throttling_is_no_reason_to_change_a_key() {
    for (step, before) in [("config", 0), ("load", 1), ("create", 2)] {
        let server = Server::new();
        let catalog = server.catalog(r#""warehouse": "w""#).await;
        let let_through = std::iter::repeat_with(|| None).take(before);
        let answers = let_through.chain([Some(Reply::throttled())]);
        server.state().gate.extend(answers);
        let spec = table_spec(&Config::default(), Table::Logs).expect("spec");
        let error = catalog.ensure(&logs(), Some(spec)).await.expect_err(step);
        assert!(error.is_throttled(), "{step}: {error}");
        assert_eq!(error.retry_class(), RetryClass::Retry { after: None });
        let text = error.to_string();
        for part in ["400 (too many requests)", "Rate exceeded"] {
            assert!(text.contains(part), "{step}: {part:?} in {text}");
        }
        for part in ["catalog.warehouse", "catalog.uri", "vended_credentials"] {
            assert!(!text.contains(part), "{step}: {part:?} in {text}");
        }
        assert_eq!(server.stub.asked().len(), before + 1, "{step}");
    }
}
