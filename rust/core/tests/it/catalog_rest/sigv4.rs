//! Signed requests: their content, and when they are signed again. The whole-system tests check with another
//! implementation that AWS would accept the signatures.
//!
//! Credentials come from the environment, which a test cannot change for itself. Each test runs its body, an
//! ignored test, in its own process.

use std::time::{Duration, SystemTime};

use otlp2iceberg::Table;
use otlp2iceberg::catalog::table_spec;
use otlp2iceberg::config::Config;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::server::Server;
use super::stub::{Asked, Reply};
use crate::commit_support::logs;
use crate::own_process;

/// Runs an ignored test of this module with these variables.
fn run(body: &str, variables: &[(&str, &str)]) {
    own_process::run(&format!("catalog_rest::sigv4::{body}"), variables);
}

fn glue(server: &Server) -> Config {
    let json = format!(
        r#"{{"catalog": {{"type": "glue", "uri": "{}", "warehouse": "123456789012", "default_location": "s3://lake", "headers": {{"x-amz-extra": "1"}}, "sigv4": {{"region": "eu-west-1"}}}}}}"#,
        server.stub.uri()
    );
    Config::from_json(json.as_bytes()).expect("valid")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The access key that a request was signed with.
fn key_of(asked: &Asked) -> &str {
    let authorization = asked.header("authorization").expect("signed");
    let scope = authorization
        .strip_prefix("AWS4-HMAC-SHA256 Credential=")
        .expect("the algorithm");
    scope.split('/').next().expect("a key")
}

#[test]
fn requests_are_signed_over_the_bytes_sent() {
    let credentials = [
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2-secret"),
        ("AWS_SESSION_TOKEN", "hunter2-session"),
    ];
    run("body_of_requests_are_signed", &credentials);
}

#[tokio::test]
#[ignore = "run by requests_are_signed_over_the_bytes_sent, with credentials in the environment"]
async fn body_of_requests_are_signed() {
    let server = Server::new();
    let config = glue(&server);
    let catalog = otlp2iceberg::catalog::open(&config).await.expect("opens");
    let base = catalog
        .ensure(&logs(), Some(table_spec(&config, Table::Logs).expect("spec")))
        .await
        .expect("ensured");
    catalog.commit(&base, Vec::new(), Vec::new()).await;
    let asked = server.stub.asked();
    assert!(asked.iter().filter(|asked| asked.method == "POST").count() >= 3);
    for asked in &asked {
        let date = asked.header("x-amz-date").expect("a date");
        let scope = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{}/eu-west-1/glue/aws4_request, ",
            &date[..8]
        );
        let authorization = asked.header("authorization").expect("signed");
        assert!(authorization.starts_with(&scope), "{authorization}");
        for name in [
            "host",
            "x-amz-content-sha256",
            "x-amz-date",
            "x-amz-extra",
            "x-amz-security-token",
        ] {
            let signed = authorization
                .split("SignedHeaders=")
                .nth(1)
                .expect("headers")
                .split(',')
                .next()
                .expect("a list");
            assert!(
                signed.split(';').any(|signed| signed == name),
                "{name} in {signed}"
            );
        }
        assert_eq!(
            asked.header("x-amz-content-sha256"),
            Some(hex(&Sha256::digest(&asked.body)).as_str())
        );
        assert_eq!(asked.header("x-amz-security-token"), Some("hunter2-session"));
    }
    let text = format!("{config:?} {catalog:?} {catalog:#?}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn a_clock_that_is_off_costs_one_more_request() {
    run(
        "body_of_a_clock_that_is_off",
        &[
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "x"),
        ],
    );
}

#[tokio::test]
#[ignore = "run by a_clock_that_is_off_costs_one_more_request, with credentials in the environment"]
async fn body_of_a_clock_that_is_off() {
    let server = Server::new();
    let date = http_date(SystemTime::now() - Duration::from_secs(3 * 86_400));
    let refusal = Reply::Answer(
        403,
        vec![("date", date.clone())],
        r#"{"message": "Signature not yet current"}"#.into(),
    );
    server.state().gate.extend([Some(refusal.clone()), None, None]);
    let catalog = otlp2iceberg::catalog::open(&glue(&server)).await.expect("opens");
    let error = catalog.load(&logs()).await.expect_err("no table, but no refusal");
    assert!(error.to_string().contains("does not exist"), "{error}");
    let days: Vec<u64> = server
        .stub
        .asked()
        .iter()
        .map(|asked| {
            asked.header("x-amz-date").expect("a date")[..8]
                .parse()
                .expect("a day")
        })
        .collect();
    assert_eq!(days.len(), 3, "the configuration twice, and the table");
    assert!(days[1] < days[0] && days[2] == days[1], "{days:?}");
    // The same refusal again does not lead to a second request.
    server.state().gate.push_back(Some(refusal));
    let error = catalog.load(&logs()).await.expect_err("refused");
    assert!(
        error.to_string().contains("403") && error.to_string().contains("AWS_ACCESS_KEY_ID"),
        "{error}"
    );
    assert_eq!(server.stub.asked().len(), 4);
}

/// A date in HTTP's format. The weekday is not read, so it may be wrong.
fn http_date(time: SystemTime) -> String {
    let days = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs()
        / 86_400;
    let (mut year, mut left) = (1970, days);
    let length = |year: u64| {
        if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) {
            366
        } else {
            365
        }
    };
    while left >= length(year) {
        left -= length(year);
        year += 1;
    }
    let months = [31, length(year) - 337, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while left >= months[month] {
        left -= months[month];
        month += 1;
    }
    let names = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    format!("Day, {:02} {} {year} 12:00:00 GMT", left + 1, names[month])
}

#[test]
fn credentials_that_were_replaced_are_read_again_once() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let file = folder.path().join("credentials");
    std::fs::write(
        &file,
        "[default]\naws_access_key_id = AKIDOLD\naws_secret_access_key = old\n",
    )
    .expect("written");
    run(
        "body_of_credentials_that_were_replaced",
        &[("AWS_SHARED_CREDENTIALS_FILE", file.to_str().expect("UTF-8"))],
    );
}

#[tokio::test]
#[ignore = "run by credentials_that_were_replaced_are_read_again_once, with a credentials file"]
async fn body_of_credentials_that_were_replaced() {
    let server = Server::new();
    let catalog = otlp2iceberg::catalog::open(&glue(&server)).await.expect("opens");
    catalog.load(&logs()).await.expect_err("no table");
    let refusal = || {
        Some(Reply::json(
            403,
            &json!({"message": "The security token included in the request is expired"}),
        ))
    };
    server.state().gate.push_back(refusal());
    let before = server.stub.asked().len();
    catalog.load(&logs()).await.expect_err("refused");
    assert_eq!(
        server.stub.asked().len(),
        before + 1,
        "the same credentials are not tried again"
    );
    let file = std::env::var("AWS_SHARED_CREDENTIALS_FILE").expect("set");
    std::fs::write(
        file,
        "[default]\naws_access_key_id = AKIDNEW\naws_secret_access_key = new\n",
    )
    .expect("written");
    server.state().gate.push_back(refusal());
    let error = catalog.load(&logs()).await.expect_err("no table, but no refusal");
    assert!(error.to_string().contains("does not exist"), "{error}");
    let asked = server.stub.asked();
    let keys: Vec<&str> = asked.iter().skip(before).map(key_of).collect();
    assert_eq!(keys, ["AKIDOLD", "AKIDOLD", "AKIDNEW"]);
}

#[test]
fn missing_credentials_are_said_with_what_to_set() {
    run("body_of_missing_credentials", &[]);
}

#[tokio::test]
#[ignore = "run by missing_credentials_are_said_with_what_to_set, without credentials"]
async fn body_of_missing_credentials() {
    let server = Server::new();
    let catalog = otlp2iceberg::catalog::open(&glue(&server)).await.expect("opens");
    let error = catalog.load(&logs()).await.expect_err("no credentials");
    assert!(error.to_string().contains("AWS_ACCESS_KEY_ID"), "{error}");
    assert!(!error.to_string().contains('\n'), "{error}");
    assert!(server.stub.asked().is_empty(), "nothing unsigned is sent");
}
