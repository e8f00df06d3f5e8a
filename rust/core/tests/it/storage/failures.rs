//! Failures, and whether the message names the cause and the key to change.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use otlp2iceberg::storage::file_io;

use super::stub::{Answer, Stub, config};

#[tokio::test]
async fn each_refusal_names_its_cause_and_what_to_change() {
    let region_header = "x-amz-bucket-region: eu-north-1\r\n";
    for (answer, parts) in [
        (
            Answer::Refusal(404, "NoSuchBucket", ""),
            [
                "the bucket does not exist",
                "catalog.warehouse or dead_letter.path",
            ],
        ),
        (
            Answer::Refusal(403, "AccessDenied", ""),
            ["access denied", "storage.s3.access_key_id"],
        ),
        (
            Answer::Refusal(403, "InvalidAccessKeyId", ""),
            ["the access key is not known", "storage.s3.access_key_id"],
        ),
        (
            Answer::Refusal(403, "SignatureDoesNotMatch", ""),
            ["the secret key does not belong", "storage.s3.secret_access_key"],
        ),
        (
            Answer::Refusal(400, "ExpiredToken", ""),
            ["expired", "storage.s3.session_token"],
        ),
        (
            Answer::Refusal(301, "PermanentRedirect", region_header),
            ["another region", "storage.s3.region to eu-north-1"],
        ),
        (
            Answer::Refusal(400, "AuthorizationHeaderMalformed", region_header),
            ["another region", "storage.s3.region to eu-north-1"],
        ),
        (
            Answer::Refusal(403, "RequestTimeTooSkewed", ""),
            ["clock", "set it"],
        ),
        (
            Answer::Refusal(404, "", ""),
            ["no such bucket", "storage.s3.endpoint"],
        ),
        (
            Answer::Refusal(405, "MethodNotAllowed", ""),
            ["does not know this request", "storage.s3.endpoint"],
        ),
    ] {
        let stub = Stub::start().await;
        stub.fault("PUT", 1, answer);
        let output = stub.file_io().new_output("s3://lake/a/b").expect("output");
        let error = output.write(Bytes::from_static(b"abc")).await;
        let error = error.expect_err("refused").to_string();
        assert_eq!(stub.state().requests.len(), 1, "{error}");
        assert!(error.contains("cannot write s3://lake/a/b"), "{error}");
        for part in parts {
            assert!(error.contains(part), "{part} in {error}");
        }
        assert!(!error.contains("hush") && !error.contains('\n'), "{error}");
    }
}

#[tokio::test]
async fn an_unreachable_host_is_named_soon() {
    // Bound and closed, so that nothing listens on it.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("address").port();
    drop(listener);
    let storage = config(port, "{}").storage;
    let file_io = file_io("s3://lake", &HashMap::new(), &storage).expect("settings fit");
    let begin = Instant::now();
    let error = file_io.exists("s3://lake/a").await.expect_err("nobody there");
    assert!(begin.elapsed() < Duration::from_secs(30));
    let text = error.to_string();
    for part in [
        "cannot look for s3://lake/a",
        &format!("cannot reach http://127.0.0.1:{port}"),
        "storage.s3.endpoint",
        "refused",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[tokio::test]
async fn a_file_that_is_missing_is_no_empty_file() {
    let stub = Stub::start().await;
    let input = stub.file_io().new_input("s3://lake/a").expect("input");
    let error = input.read().await.expect_err("not there");
    assert_eq!(error.kind(), iceberg::ErrorKind::DataInvalid);
    assert!(error.to_string().contains("there is no such file"), "{error}");
}

#[tokio::test]
async fn a_refused_part_aborts_the_upload() {
    let stub = Stub::start().await;
    stub.fault("PUT partNumber=2", 1, Answer::Refusal(403, "AccessDenied", ""));
    let output = stub.file_io().new_output("s3://lake/big").expect("output");
    let error = output.write(Bytes::from(vec![0; 40 << 20])).await;
    let error = error.expect_err("refused").to_string();
    assert!(error.contains("access denied"), "{error}");
    assert_eq!(stub.count("DELETE uploadId"), 1);
    let state = stub.state();
    assert!(state.uploads.is_empty() && state.files.is_empty());
}

#[tokio::test]
async fn an_upload_that_cannot_be_completed_is_aborted() {
    let stub = Stub::start().await;
    stub.fault("POST uploadId", 1, Answer::Refusal(400, "InvalidPart", ""));
    let output = stub.file_io().new_output("s3://lake/big").expect("output");
    let mut writer = output.writer().await.expect("writer");
    writer
        .write(Bytes::from(vec![0; 17 << 20]))
        .await
        .expect("written");
    let error = writer.close().await.expect_err("refused").to_string();
    assert!(error.contains("InvalidPart"), "{error}");
    assert_eq!(stub.count("DELETE uploadId"), 1);
    let state = stub.state();
    assert!(state.uploads.is_empty() && state.files.is_empty());
}

#[tokio::test]
async fn a_busy_service_does_not_fail_a_part() {
    let stub = Stub::start().await;
    stub.fault("PUT partNumber=1", 2, Answer::Refusal(503, "SlowDown", ""));
    let output = stub.file_io().new_output("s3://lake/big").expect("output");
    let content = Bytes::from(vec![7; 17 << 20]);
    output.write(content.clone()).await.expect("written");
    assert!(stub.state().files["big"] == content, "the content differs");
    assert_eq!(stub.count("PUT partNumber=1"), 3);
}

#[tokio::test]
async fn a_file_that_may_not_be_deleted_is_no_success() {
    let stub = Stub::start().await;
    // S3 reports it inside a success, because several files can be deleted at once.
    let answer = "<DeleteResult><Error><Key>a</Key><Code>AccessDenied</Code><Message>No.</Message></Error></DeleteResult>";
    stub.fault("POST delete", 1, Answer::Body(answer));
    let error = stub.file_io().delete("s3://lake/a").await;
    let error = error.expect_err("denied").to_string();
    assert!(error.contains("cannot delete s3://lake/a"), "{error}");
    assert!(error.contains("AccessDenied"), "{error}");
}
