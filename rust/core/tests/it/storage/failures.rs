//! Failures, and whether the message names the cause and the key to change.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use iceberg::io::FileIO;
use otlp2iceberg::config::{RequestTimes, UploadSizes};
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

/// Storage with short times and small parts.
fn hasty_file_io(stub: &Stub, times: RequestTimes) -> FileIO {
    let mut storage = stub.config("{}").storage;
    storage.s3.times = times;
    storage.s3.uploads = UploadSizes {
        single_put_bytes_max: 1000,
        part_bytes: 1000,
    };
    file_io("s3://lake/otel", &HashMap::new(), &storage).expect("settings fit")
}

#[tokio::test]
async fn parts_go_one_by_one_through_a_line_that_is_too_slow_for_more() {
    let stub = Stub::start().await;
    stub.state().part_takes = Duration::from_millis(600);
    // Enough for one part, and not for four that share the line.
    let times = RequestTimes {
        whole: Duration::from_secs(2),
        ..RequestTimes::default()
    };
    let content = Bytes::from(vec![7; 4500]);
    let output = hasty_file_io(&stub, times)
        .new_output("s3://lake/big")
        .expect("output");
    output.write(content.clone()).await.expect("written");
    assert!(stub.state().files["big"] == content, "the content differs");
    assert_eq!(stub.count("PUT partNumber"), 5, "each once");
}

#[tokio::test]
async fn an_upload_whose_completion_got_no_answer_is_complete() {
    let stub = Stub::start().await;
    stub.fault("POST uploadId", 1, Answer::Lost);
    let content = Bytes::from(vec![7; 17 << 20]);
    let output = stub.file_io().new_output("s3://lake/big").expect("output");
    output.write(content.clone()).await.expect("written");
    assert!(stub.state().files["big"] == content, "the content differs");
    assert_eq!(stub.count("POST uploads"), 1, "uploaded once");
    assert_eq!(stub.count("POST uploadId"), 2);
    assert_eq!(stub.count("DELETE uploadId"), 0);
}

#[tokio::test]
async fn an_upload_that_somebody_removed_is_said_to_be() {
    let stub = Stub::start().await;
    stub.fault("POST uploadId", 1, Answer::Refusal(404, "NoSuchUpload", ""));
    let output = stub.file_io().new_output("s3://lake/big").expect("output");
    let error = output.write(Bytes::from(vec![7; 17 << 20])).await;
    let error = error.expect_err("removed").to_string();
    assert!(error.contains("somebody removed the upload"), "{error}");
    assert!(stub.state().files.is_empty());
}

#[tokio::test]
async fn a_file_that_may_not_be_deleted_is_no_success() {
    let stub = Stub::start().await;
    // S3 reports it inside a success, because several files can be deleted at once.
    let answer = "<DeleteResult><Error><Key>a</Key><Code>AccessDenied</Code><Message>No.</Message></Error></DeleteResult>";
    stub.fault("POST delete", 1, Answer::Body(answer));
    let error = stub.file_io().delete("s3://lake/a").await;
    let error = error.expect_err("denied").to_string();
    for part in [
        "cannot delete s3://lake/a: access denied; allow",
        "AccessDenied: No.",
    ] {
        assert!(error.contains(part), "{part} in {error}");
    }
    assert_eq!(stub.count("POST delete"), 1);
}

#[tokio::test]
async fn a_deletion_is_repeated_while_the_service_is_busy() {
    let stub = Stub::start().await;
    let busy = "<DeleteResult><Error><Key>a</Key><Code>SlowDown</Code><Message>Slow.</Message></Error></DeleteResult>";
    stub.state().files.insert("a".into(), Vec::new());
    stub.fault("POST delete", 1, Answer::Body(busy));
    stub.file_io().delete("s3://lake/a").await.expect("deleted");
    assert_eq!(stub.count("POST delete"), 2);
    assert!(stub.state().files.is_empty());
}

#[tokio::test]
async fn a_deletion_without_an_answer_is_repeated() {
    let stub = Stub::start().await;
    stub.fault("POST delete", 1, Answer::Silence);
    let times = RequestTimes {
        answer: Duration::from_secs(1),
        ..RequestTimes::default()
    };
    let file_io = hasty_file_io(&stub, times);
    file_io.delete("s3://lake/a").await.expect("deleted");
    assert_eq!(stub.count("POST delete"), 2);
}

#[tokio::test]
async fn a_service_that_reports_files_that_were_deleted_before_is_no_failure() {
    let stub = Stub::start().await;
    let missing = "<DeleteResult><Error><Key>a</Key><Code>NoSuchKey</Code><Message>No.</Message></Error></DeleteResult>";
    stub.fault("POST delete", 1, Answer::Body(missing));
    stub.file_io()
        .delete("s3://lake/a")
        .await
        .expect("deleted before");
    assert_eq!(stub.count("POST delete"), 1);
}

/// The service may be another's, and its answer may name any host.
#[tokio::test]
async fn a_redirect_takes_nothing_to_another_host() {
    for status in [301, 302, 303, 307, 308] {
        let (stub, other) = (Stub::start().await, Stub::start().await);
        let place = format!("Location: http://127.0.0.1:{}/lake/otel/a\r\n", other.port);
        let place: &'static str = Box::leak(place.into_boxed_str());
        for method in ["PUT", "GET", "HEAD", "POST"] {
            stub.fault(
                method,
                usize::MAX,
                Answer::Refusal(status, "TemporaryRedirect", place),
            );
        }
        let io = stub.file_io();
        let output = io.new_output("s3://lake/otel/a").expect("output");
        let error = output
            .write(Bytes::from_static(b"rows"))
            .await
            .expect_err("refused");
        assert!(error.to_string().contains("another region"), "{status}: {error}");
        let input = io.new_input("s3://lake/otel/a").expect("input");
        input.read().await.expect_err("refused");
        io.delete("s3://lake/otel/a").await.expect_err("refused");
        assert_eq!(stub.count("PUT"), 1);
        assert!(other.state().requests.is_empty(), "{status}");
    }
}
