//! Credentials and region of the AWS environment, for files. Each body runs in a process of its own.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use iceberg::io::FileIO;
use otlp2iceberg::Pipeline;
use otlp2iceberg::config::{Config, S3Config, Secret, StorageConfig};
use otlp2iceberg::storage::file_io;

use super::stub::{Answer, Stub as S3};
use super::tables::export;
use crate::catalog_rest::server::Server;
use crate::catalog_rest::stub::{Reply, Stub};
use crate::commit_support::pass;
use crate::own_process;

const ROLE: &str = r#"{"AccessKeyId": "AKIDROLE", "SecretAccessKey": "secret", "Token": "token",
    "Expiration": "2099-01-01T00:00:00Z", "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z"}"#;

fn run(body: &str, variables: &[(&str, &str)]) {
    own_process::run(&format!("storage::chain::body_of_{body}"), variables);
}

/// A metadata service of containers and instances, with one role.
fn metadata_service() -> Stub {
    Stub::new(|asked| {
        let text = match (asked.method.as_str(), asked.target.as_str()) {
            ("PUT", "/latest/api/token") => "metadata-token",
            ("GET", "/latest/meta-data/iam/security-credentials/") => "collector",
            ("GET", "/container" | "/latest/meta-data/iam/security-credentials/collector") => ROLE,
            _ => return Reply::Answer(404, Vec::new(), String::new()),
        };
        let ttl = ("x-aws-ec2-metadata-token-ttl-seconds", "21600".to_owned());
        Reply::Answer(200, vec![ttl], text.to_owned())
    })
}

fn files(s3: Option<&S3>, keys: bool) -> FileIO {
    let s3_config = S3Config {
        endpoint: s3.map(|s3| format!("http://127.0.0.1:{}", s3.port)),
        access_key_id: keys.then(|| "AKIDGIVEN".to_owned()),
        secret_access_key: keys.then(|| Secret::new("hush")),
        ..S3Config::default()
    };
    let config = StorageConfig { s3: s3_config };
    file_io("s3://lake/t", &HashMap::new(), &config).expect("settings fit")
}

async fn write(file_io: &FileIO) -> iceberg::Result<()> {
    let output = file_io.new_output("s3://lake/t/a").expect("output");
    output.write(Bytes::from_static(b"a")).await
}

fn authorization(s3: &S3) -> String {
    s3.state().requests[0].headers["authorization"].clone()
}

#[test]
fn a_profile_with_a_process_gives_credentials_and_region() {
    let folder = tempfile::tempdir().expect("folder");
    let (config, keys) = (folder.path().join("config"), folder.path().join("keys.json"));
    let json = r#"{"Version": 1, "AccessKeyId": "AKIDPROCESS", "SecretAccessKey": "secret"}"#;
    std::fs::write(&keys, json).expect("written");
    let profile = format!(
        "[profile dev]\nregion = eu-south-1\ncredential_process = cat {}\n",
        keys.display()
    );
    std::fs::write(&config, profile).expect("written");
    run(
        "a_profile",
        &[
            ("AWS_PROFILE", "dev"),
            ("AWS_CONFIG_FILE", config.to_str().expect("UTF-8")),
        ],
    );
}

#[tokio::test]
#[ignore = "run by a_profile_with_a_process_gives_credentials_and_region"]
async fn body_of_a_profile() {
    let s3 = S3::start().await;
    write(&files(Some(&s3), false)).await.expect("written");
    let text = authorization(&s3);
    assert!(text.contains("Credential=AKIDPROCESS/"), "{text}");
    assert!(text.contains("/eu-south-1/s3/"), "{text}");
}

#[test]
fn a_role_of_the_machine_is_asked_for_once() {
    for (variable, base, path) in [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "/container", "/container"),
        (
            "AWS_EC2_METADATA_SERVICE_ENDPOINT",
            "",
            "/security-credentials/collector",
        ),
    ] {
        let metadata = metadata_service();
        let uri = format!("{}{base}", metadata.uri());
        run(
            "a_role",
            &[(variable, uri.as_str()), ("AWS_EC2_METADATA_DISABLED", "false")],
        );
        assert_eq!(metadata.asked_for("GET", path).len(), 1, "{variable}");
    }
}

#[tokio::test]
#[ignore = "run by a_role_of_the_machine_is_asked_for_once"]
async fn body_of_a_role() {
    let s3 = S3::start().await;
    let file_io = files(Some(&s3), false);
    for _ in 0..3 {
        write(&file_io).await.expect("written");
    }
    assert!(authorization(&s3).contains("Credential=AKIDROLE/"));
}

#[test]
fn catalog_and_storage_share_one_role() {
    let metadata = metadata_service();
    let uri = format!("{}/container", metadata.uri());
    run("both", &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.as_str())]);
    assert_eq!(metadata.asked().len(), 1);
}

#[tokio::test]
#[ignore = "run by catalog_and_storage_share_one_role"]
async fn body_of_both() {
    let (s3, server) = (S3::start().await, Server::new());
    let json = format!(
        r#"{{"catalog": {{"type": "glue", "uri": "{}", "warehouse": "123456789012", "default_location": "s3://lake", "sigv4": {{"region": "eu-west-1"}}}},
            "storage": {{"s3": {{"endpoint": "http://127.0.0.1:{}"}}}}}}"#,
        server.stub.uri(),
        s3.port
    );
    let config = Config::from_json(json.as_bytes()).expect("valid");
    let pipeline = Pipeline::open(config).await.expect("opens");
    export(&pipeline, 0, &["one"]).await.expect("stored");
    let asked = server.stub.asked();
    let signed = asked[0].header("authorization").expect("signed");
    assert!(signed.contains("Credential=AKIDROLE/"), "{signed}");
    let text = authorization(&s3);
    assert!(text.contains("Credential=AKIDROLE/"), "{text}");
    assert!(
        text.contains("/eu-west-1/s3/"),
        "the region of the catalog: {text}"
    );
}

#[test]
fn nothing_is_asked_for_when_keys_are_given() {
    let metadata = metadata_service();
    let uri = format!("{}/container", metadata.uri());
    run(
        "given_keys",
        &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.as_str())],
    );
    assert!(metadata.asked().is_empty(), "{:?}", metadata.asked());
}

#[tokio::test]
#[ignore = "run by nothing_is_asked_for_when_keys_are_given"]
async fn body_of_given_keys() {
    let s3 = S3::start().await;
    write(&files(Some(&s3), true)).await.expect("written");
    let text = authorization(&s3);
    assert!(text.contains("Credential=AKIDGIVEN/"), "{text}");
    assert!(
        text.contains("/us-east-1/s3/"),
        "services of their own have no regions: {text}"
    );
}

/// Off AWS, each such request takes seconds.
#[test]
fn the_metadata_service_is_not_asked_for_a_region() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("credentials");
    std::fs::write(&file, keys("AKIDENVIRONMENT")).expect("written");
    let of_environment: &[(&str, &str)] = &[
        ("AWS_ACCESS_KEY_ID", "AKIDENVIRONMENT"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ];
    let of_file: &[(&str, &str)] = &[("AWS_SHARED_CREDENTIALS_FILE", file.to_str().expect("UTF-8"))];
    for (body, keys) in [
        ("a_known_region", of_environment),
        ("a_known_region", of_file),
        ("no_region", of_environment),
        ("no_region", of_file),
    ] {
        let metadata = metadata_service();
        let uri = metadata.uri();
        let service: &[(&str, &str)] = &[
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", uri.as_str()),
            ("AWS_EC2_METADATA_DISABLED", "false"),
        ];
        run(body, &[service, keys].concat());
        assert_eq!(
            metadata.asked().len(),
            0,
            "{body}, {keys:?}: {:?}",
            metadata.asked()
        );
    }
}

#[tokio::test]
#[ignore = "run by the_metadata_service_is_not_asked_for_a_region"]
async fn body_of_a_known_region() {
    let s3 = S3::start().await;
    let s3_config = S3Config {
        endpoint: Some(format!("http://127.0.0.1:{}", s3.port)),
        region: Some("eu-west-1".to_owned()),
        ..S3Config::default()
    };
    let config = StorageConfig { s3: s3_config };
    let file_io = file_io("s3://lake/t", &HashMap::new(), &config).expect("settings fit");
    write(&file_io).await.expect("written");
    let text = authorization(&s3);
    assert!(text.contains("Credential=AKIDENVIRONMENT/"), "{text}");
    assert!(text.contains("/eu-west-1/s3/"), "{text}");
}

#[tokio::test]
#[ignore = "run by the_metadata_service_is_not_asked_for_a_region"]
async fn body_of_no_region() {
    let s3 = S3::start().await;
    write(&files(Some(&s3), false)).await.expect("written");
    let text = authorization(&s3);
    assert!(text.contains("Credential=AKIDENVIRONMENT/"), "{text}");
}

#[test]
fn the_environments_keys_and_region_are_used() {
    run(
        "the_environment",
        &[
            ("AWS_ACCESS_KEY_ID", "AKIDENVIRONMENT"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_REGION", ""),
            ("AWS_DEFAULT_REGION", "eu-north-1"),
        ],
    );
}

#[tokio::test]
#[ignore = "run by the_environments_keys_and_region_are_used"]
async fn body_of_the_environment() {
    let s3 = S3::start().await;
    write(&files(Some(&s3), false)).await.expect("written");
    let text = authorization(&s3);
    assert!(text.contains("Credential=AKIDENVIRONMENT/"), "{text}");
    assert!(text.contains("/eu-north-1/s3/"), "{text}");
}

/// Runs a test that has its keys in a file and replaces them.
fn with_a_file_of_keys(body: &str) {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("credentials");
    std::fs::write(&file, keys("AKIDOLD")).expect("written");
    run(
        body,
        &[("AWS_SHARED_CREDENTIALS_FILE", file.to_str().expect("UTF-8"))],
    );
}

fn keys(id: &str) -> String {
    format!(
        "[default]\naws_access_key_id = {id}\naws_secret_access_key = secret\naws_session_token = token\n"
    )
}

fn rotate(id: &str) {
    let file = std::env::var("AWS_SHARED_CREDENTIALS_FILE").expect("set");
    std::fs::write(file, keys(id)).expect("written");
}

#[test]
fn what_s3_refuses_is_done_again_with_what_the_chain_has_by_now() {
    with_a_file_of_keys("refused_keys");
}

#[tokio::test]
#[ignore = "run by what_s3_refuses_is_done_again_with_what_the_chain_has_by_now"]
async fn body_of_refused_keys() {
    let s3 = S3::start().await;
    let file_io = files(Some(&s3), false);
    s3.state().accepts = Some("AKIDOLD");
    write(&file_io).await.expect("written");
    let large = Bytes::from(vec![7; 17 << 20]);
    // One after the other: each pair of keys is replaced long after the chain was last asked.
    for (number, id) in ["AKIDONE", "AKIDTWO", "AKIDTHREE", "AKIDFOUR", "AKIDFIVE"]
        .into_iter()
        .enumerate()
    {
        rotate(id);
        s3.state().accepts = Some(id);
        let before = s3.state().requests.len();
        pass(Duration::from_secs(10)).await;
        let output = |key: &str| file_io.new_output(format!("s3://lake/t/{key}")).expect("output");
        match number {
            0 => write(&file_io).await.expect("written"),
            1 => {
                let input = file_io.new_input("s3://lake/t/a").expect("input");
                assert_eq!(input.read().await.expect("read"), "a");
                let part = input.reader().await.expect("reader").read(0..1).await;
                assert_eq!(part.expect("read"), "a");
            }
            2 => output("large").write(large.clone()).await.expect("written"),
            3 => {
                let mut writer = output("small").writer().await.expect("writer");
                writer.write(Bytes::from_static(b"b")).await.expect("held");
                writer.close().await.expect("written");
            }
            _ => {
                let mut writer = output("larger").writer().await.expect("writer");
                writer.write(large.clone()).await.expect("written");
                writer.close().await.expect("written");
            }
        }
        let state = s3.state();
        let later = state.requests.iter().skip(before);
        let refused = later.filter(|request| !request.is_signed_with(id)).count();
        assert_eq!(refused, 1, "{id}: the first to be refused is the last");
    }
    let state = s3.state();
    assert!(state.uploads.is_empty(), "nothing is left behind");
    assert!(state.files["t/large"] == large && state.files["t/larger"] == large);
    assert_eq!(
        (&*state.files["t/a"], &*state.files["t/small"]),
        (&b"a"[..], &b"b"[..])
    );
}

#[test]
fn an_upload_whose_keys_end_fails_is_removed_and_the_next_one_goes_out() {
    with_a_file_of_keys("an_upload_whose_keys_end");
}

#[tokio::test]
#[ignore = "run by an_upload_whose_keys_end_fails_is_removed_and_the_next_one_goes_out"]
async fn body_of_an_upload_whose_keys_end() {
    let s3 = S3::start().await;
    let file_io = files(Some(&s3), false);
    let content = Bytes::from(vec![7; 17 << 20]);
    for ends_well in [false, true] {
        let output = file_io.new_output("s3://lake/t/a").expect("output");
        let mut writer = output.writer().await.expect("writer");
        writer.write(content.clone()).await.expect("begun");
        if !ends_well {
            rotate("AKIDNEW");
            s3.state().accepts = Some("AKIDNEW");
            pass(Duration::from_secs(10)).await;
        }
        // The rest of it is one part, which cannot be sent again.
        assert_eq!(writer.close().await.is_ok(), ends_well);
        assert!(s3.state().uploads.is_empty());
    }
}

#[test]
fn a_right_that_is_missing_is_no_reason_to_ask_for_each_request() {
    let metadata = metadata_service();
    let uri = format!("{}/container", metadata.uri());
    run(
        "a_missing_right",
        &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.as_str())],
    );
    assert_eq!(
        metadata.asked().len(),
        3,
        "once at first, and once after each pause"
    );
}

#[tokio::test]
#[ignore = "run by a_right_that_is_missing_is_no_reason_to_ask_for_each_request"]
async fn body_of_a_missing_right() {
    let s3 = S3::start().await;
    s3.fault("PUT", usize::MAX, Answer::Refusal(403, "AccessDenied", ""));
    let file_io = files(Some(&s3), false);
    for _ in 0..3 {
        for _ in 0..3 {
            let error = write(&file_io).await.expect_err("denied").to_string();
            assert!(error.contains("access denied"), "{error}");
        }
        pass(Duration::from_secs(10)).await;
    }
    assert_eq!(s3.state().requests.len(), 9, "the same is not tried again");
}

#[test]
fn a_deletion_that_is_denied_is_done_again_with_what_the_chain_has_by_now() {
    with_a_file_of_keys("a_denied_deletion");
}

#[tokio::test]
#[ignore = "run by a_deletion_that_is_denied_is_done_again_with_what_the_chain_has_by_now"]
async fn body_of_a_denied_deletion() {
    let s3 = S3::start().await;
    let file_io = files(Some(&s3), false);
    write(&file_io).await.expect("written");
    rotate("AKIDNEW");
    let denied = "<DeleteResult><Error><Key>t/a</Key><Code>AccessDenied</Code><Message>No.</Message></Error></DeleteResult>";
    s3.fault("POST delete", 1, Answer::Body(denied));
    pass(Duration::from_secs(10)).await;
    file_io.delete("s3://lake/t/a").await.expect("deleted");
    let state = s3.state();
    let deletions: Vec<_> = state
        .requests
        .iter()
        .filter(|request| request.method == "POST")
        .collect();
    assert_eq!(deletions.len(), 2);
    assert!(deletions[0].is_signed_with("AKIDOLD") && deletions[1].is_signed_with("AKIDNEW"));
    assert!(state.files.is_empty());
}

#[test]
fn what_nobody_gives_is_said_with_what_to_set() {
    run("nothing", &[]);
}

#[tokio::test]
#[ignore = "run by what_nobody_gives_is_said_with_what_to_set"]
async fn body_of_nothing() {
    let error = write(&files(None, true))
        .await
        .expect_err("no region")
        .to_string();
    assert!(
        error.contains("storage.s3.region") && error.contains("AWS_REGION"),
        "{error}"
    );
    assert!(
        error.contains("s3://lake/t/a") && !error.contains('\n'),
        "{error}"
    );
    let s3 = S3::start().await;
    let error = write(&files(Some(&s3), false))
        .await
        .expect_err("no keys")
        .to_string();
    for way in [
        "storage.s3.access_key_id",
        "AWS_ACCESS_KEY_ID",
        "AWS_PROFILE",
        "role",
    ] {
        assert!(error.contains(way), "{way} in {error}");
    }
    assert!(!error.contains('\n'), "{error}");
    assert!(s3.state().requests.is_empty(), "nothing unsigned is sent");
}

#[test]
fn a_role_that_gives_nothing_is_said_with_its_cause() {
    let service = Stub::new(|_| Reply::Answer(404, Vec::new(), "no such thing".into()));
    let uri = format!("{}/container", service.uri());
    run(
        "a_bad_role",
        &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.as_str())],
    );
}

#[tokio::test]
#[ignore = "run by a_role_that_gives_nothing_is_said_with_its_cause"]
async fn body_of_a_bad_role() {
    let s3 = S3::start().await;
    let error = write(&files(Some(&s3), false))
        .await
        .expect_err("no keys")
        .to_string();
    for part in [
        "the AWS profile, role or metadata service that was asked gives no credentials",
        "correct it",
        "storage.s3.access_key_id",
    ] {
        assert!(error.contains(part), "{part} in {error}");
    }
    assert!(!error.contains('\n'), "{error}");
}

#[test]
fn a_key_with_a_line_break_is_an_error_that_says_so_and_no_panic() {
    run(
        "a_key_with_a_line_break",
        &[
            ("AWS_ACCESS_KEY_ID", "AKID\n"),
            ("AWS_SECRET_ACCESS_KEY", "hush"),
            ("AWS_REGION", "eu-west-1"),
        ],
    );
}

#[tokio::test]
#[ignore = "run by a_key_with_a_line_break_is_an_error_that_says_so_and_no_panic"]
async fn body_of_a_key_with_a_line_break() {
    let s3 = S3::start().await;
    let error = write(&files(Some(&s3), false)).await.expect_err("no key");
    let error = format!("{error:?}");
    assert!(error.contains("line break"), "{error}");
    assert!(!error.contains("hush"), "{error}");
}

#[tokio::test]
async fn a_bucket_that_no_url_can_name_is_an_error_and_no_panic() {
    let s3 = S3::start().await;
    let file_io = files(Some(&s3), true);
    for location in ["s3://b:9x/t/a", "s3://b \u{fc}/t/a", "s3://b\n/t/a"] {
        let output = file_io.new_output(location).expect("output");
        let error = output
            .write(Bytes::from_static(b"a"))
            .await
            .expect_err("no bucket");
        assert!(error.to_string().contains("bucket"), "{error}");
    }
}
