use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use super::*;

/// Answers requests on a port of its own with what `body` has for their first line; 404 for none.
fn serve(body: fn(&str) -> Option<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("address").port();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.expect("a connection");
            let mut lines = BufReader::new(&connection).lines();
            let first = lines.next().expect("a request").expect("text");
            // The rest of the head: closing with unread bytes would reset the connection.
            while lines
                .next()
                .is_some_and(|line| !line.expect("text").is_empty())
            {}
            drop(lines);
            let (status, body) = body(&first).map_or((404, "no such thing"), |body| (200, body));
            write!(
                connection,
                "HTTP/1.1 {status} Said\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .expect("answered");
        }
    });
    format!("http://127.0.0.1:{port}")
}

const CREDENTIALS: &str = r#"{"AccessKeyId": "AKIDROLE", "SecretAccessKey": "secret", "Token": "token",
    "Expiration": "2099-01-01T00:00:00Z", "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z"}"#;

async fn credential(environment: Environment<'_>) -> Arc<AwsCredential> {
    let role = role("eu-west-1", environment)
        .expect("settings fit")
        .expect("a role");
    role.provider.get_credential().await.expect("credentials")
}

#[tokio::test]
async fn an_instance_has_a_role() {
    let url = serve(|line| match line {
        "PUT /latest/api/token HTTP/1.1" => Some("metadata-token"),
        "GET /latest/meta-data/iam/security-credentials/ HTTP/1.1" => Some("collector"),
        "GET /latest/meta-data/iam/security-credentials/collector HTTP/1.1" => Some(CREDENTIALS),
        _ => None,
    });
    let environment =
        |name: &str| (name == "AWS_EC2_METADATA_SERVICE_ENDPOINT").then(|| url.clone());
    let credential = credential(&environment).await;
    assert_eq!(credential.key_id, "AKIDROLE");
    assert_eq!(credential.token.as_deref(), Some("token"));
}

#[tokio::test]
async fn a_pod_has_a_role() {
    let url = serve(|line| (line == "GET /v1/credentials HTTP/1.1").then_some(CREDENTIALS));
    let folder = tempfile::tempdir().expect("folder");
    let token = folder.path().join("token");
    std::fs::write(&token, "pod-token").expect("written");
    let environment = |name: &str| match name {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI" => Some(format!("{url}/v1/credentials")),
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE" => Some(token.display().to_string()),
        _ => None,
    };
    assert_eq!(credential(&environment).await.key_id, "AKIDROLE");
}

#[tokio::test]
async fn a_role_that_gives_nothing_is_named() {
    let url = serve(|_| None);
    let environment = |name: &str| match name {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI" => Some(format!("{url}/v1/credentials")),
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE" => Some("/nonexistent/token".to_owned()),
        _ => None,
    };
    let chain = ProfileThenRole {
        role: role("eu-west-1", &environment).expect("settings fit"),
        profile: Mutex::default(),
        environment: |_| None,
    };
    let error = chain.get_credential().await.expect_err("none");
    let text = error.to_string();
    assert!(
        text.contains("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        "{text}"
    );
    assert!(!text.contains('\n'), "{text}");
}

#[tokio::test]
async fn without_any_credentials_the_ways_to_give_some_are_listed() {
    let disabled = |name: &str| (name == "AWS_EC2_METADATA_DISABLED").then(|| "true".to_owned());
    let chain = ProfileThenRole {
        role: role("eu-west-1", &disabled).expect("settings fit"),
        profile: Mutex::default(),
        environment: |_| None,
    };
    let text = chain.get_credential().await.expect_err("none").to_string();
    for way in [
        "storage.s3.access_key_id",
        "AWS_ACCESS_KEY_ID",
        "AWS_PROFILE",
        "role",
    ] {
        assert!(text.contains(way), "{way} in {text}");
    }
}

#[tokio::test]
async fn what_is_given_goes_before_the_environment() {
    let environment = |name: &str| match name {
        "AWS_ACCESS_KEY_ID" => Some("environment".to_owned()),
        "AWS_SECRET_ACCESS_KEY" => Some("secret".to_owned()),
        _ => None,
    };
    let given = AwsCredential {
        key_id: "given".into(),
        secret_key: "secret".into(),
        token: None,
    };
    for (given, key_id) in [(Some(given), "given"), (None, "environment")] {
        let provider = provider(given, "eu-west-1", &environment).expect("settings fit");
        let credential = provider.get_credential().await.expect("credentials");
        assert_eq!(credential.key_id, key_id);
    }
}
