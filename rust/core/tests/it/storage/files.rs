//! Operations of `FileIO` on S3.

use std::collections::HashMap;

use bytes::Bytes;
use otlp2iceberg::ErrorKind;
use otlp2iceberg::config::StorageConfig;
use otlp2iceberg::storage::{ObjectVersion, Objects, file_io};

use super::stub::{Answer, Request, Stub};

const MIB: usize = 1 << 20;

/// Bytes without repeated sequences.
fn content(length: usize) -> Bytes {
    (0..length.div_ceil(8) as u64)
        .flat_map(|number| number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes())
        .take(length)
        .collect()
}

#[tokio::test]
async fn a_small_file_is_one_request_and_comes_back() {
    let stub = Stub::start().await;
    let file_io = stub.file_io();
    let path = "s3://lake/otel/logs/data/Timestamp_day=2026-01-02/a b%2F+é.parquet";
    let content = content(100_000);
    let output = file_io.new_output(path).expect("output");
    output.write(content.clone()).await.expect("written");
    assert_eq!(stub.state().requests.len(), 1);

    let input = file_io.new_input(path).expect("input");
    assert_eq!(input.read().await.expect("read"), content);
    assert_eq!(input.metadata().await.expect("metadata").size, 100_000);
    let reader = input.reader().await.expect("reader");
    assert_eq!(
        reader.read(99_990..100_000).await.expect("range"),
        content.slice(99_990..)
    );
    assert!(reader.read(7..7).await.expect("no bytes").is_empty());
    assert!(file_io.exists(path).await.expect("answered"));
    file_io.delete(path).await.expect("deleted");
    assert!(!file_io.exists(path).await.expect("answered"));
    file_io.delete(path).await.expect("deleted before");
}

#[tokio::test]
async fn requests_are_signed_for_the_region_with_the_session_token_and_the_content() {
    let stub = Stub::start().await;
    let output = stub.file_io().new_output("s3://lake/a").expect("output");
    output.write(Bytes::from_static(b"abc")).await.expect("written");
    let request = stub.state().requests[0].clone();
    let authorization = &request.headers["authorization"];
    assert!(
        authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDTEST/")
            && authorization.contains("/eu-west-1/s3/aws4_request"),
        "{authorization}"
    );
    assert_eq!(request.headers["x-amz-security-token"], "hush-too");
    assert_eq!(
        request.headers["x-amz-content-sha256"],
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

#[tokio::test]
async fn a_catalogs_credentials_and_endpoint_are_used_where_the_configuration_is_silent() {
    let stub = Stub::start().await;
    let properties = HashMap::from(
        [
            ("s3.endpoint", format!("http://127.0.0.1:{}", stub.port)),
            ("client.region", "eu-central-1".to_owned()),
            ("s3.access-key-id", "AKIDVENDED".to_owned()),
            ("s3.secret-access-key", "vended".to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value)),
    );
    let file_io = file_io("s3://lake/t", &properties, &StorageConfig::default()).expect("settings fit");
    let output = file_io.new_output("s3://lake/t/a").expect("output");
    output.write(Bytes::from_static(b"a")).await.expect("written");
    let authorization = stub.state().requests[0].headers["authorization"].clone();
    assert!(
        authorization.contains("Credential=AKIDVENDED/"),
        "{authorization}"
    );
    assert!(authorization.contains("/eu-central-1/s3/"), "{authorization}");
}

/// Lakekeeper sends `kms` and the key of the warehouse. An upload in parts has the headers at its beginning.
#[tokio::test]
async fn files_are_encrypted_as_the_catalog_asks_for() {
    const ALGORITHM: &str = "x-amz-server-side-encryption";
    const KEY: &str = "x-amz-server-side-encryption-aws-kms-key-id";
    let arn = "arn:aws:kms:eu-west-1:123456789012:key/lake";
    for (kind, key, expected) in [
        ("kms", Some(arn), (Some("aws:kms"), Some(arn))),
        ("kms", None, (Some("aws:kms"), None)),
        ("s3", None, (Some("AES256"), None)),
        ("none", None, (None, None)),
        ("custom", Some("secret"), (None, None)),
    ] {
        let stub = Stub::start().await;
        let mut properties = HashMap::from([("s3.sse.type".to_owned(), kind.to_owned())]);
        properties.extend(key.map(|key| ("s3.sse.key".to_owned(), key.to_owned())));
        let config = stub.config("{}");
        let file_io = file_io("s3://lake/t", &properties, &config.storage).expect("settings fit");
        for (path, content) in [
            ("s3://lake/t/a", content(10)),
            ("s3://lake/t/b", content(17 * MIB)),
        ] {
            let output = file_io.new_output(path).expect("output");
            output.write(content).await.expect("written");
        }
        let state = stub.state();
        let mut begun = 0;
        for request in &state.requests {
            let begins = match request.method.as_str() {
                "PUT" => !request.query.contains("partNumber"),
                "POST" => request.query.starts_with("uploads"),
                _ => false,
            };
            begun += usize::from(begins);
            let header = |name: &str| request.headers.get(name).map(String::as_str);
            let expected = if begins { expected } else { (None, None) };
            assert_eq!(
                (header(ALGORITHM), header(KEY)),
                expected,
                "{kind}: {} {}",
                request.method,
                request.query
            );
        }
        assert_eq!(begun, 2, "a small file, and a large one");
    }
}

#[tokio::test]
async fn a_large_file_goes_in_parts() {
    let stub = Stub::start().await;
    let content = content(20 * MIB + 1);
    let path = "s3://lake/big.parquet";
    let output = stub.file_io().new_output(path).expect("output");
    output.write(content.clone()).await.expect("written");
    let state = stub.state();
    assert!(state.files["big.parquet"] == content, "the content differs");
    let parts = state.requests.iter().filter(|request| request.method == "PUT");
    let mut sizes: Vec<usize> = parts.map(|part| part.body.len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [4 * MIB + 1, 8 * MIB, 8 * MIB]);
    assert!(state.uploads.is_empty());
}

/// Sizes of the parts that were sent, in the order of their numbers.
fn part_sizes(stub: &Stub) -> Vec<usize> {
    let state = stub.state();
    let number = |request: &Request| -> Option<usize> {
        let number = request.parameter("partNumber")?;
        Some(number.parse().expect("a number"))
    };
    let requests = state.requests.iter();
    let mut parts: Vec<_> = requests
        .filter_map(|request| Some((number(request)?, request.body.len())))
        .collect();
    parts.sort_unstable();
    parts.into_iter().map(|(_, size)| size).collect()
}

#[tokio::test]
async fn a_writer_sends_parts_while_it_is_written_to() {
    let stub = Stub::start().await;
    let content = content(25 * MIB);
    let output = stub.file_io().new_output("s3://lake/w").expect("output");
    let mut writer = output.writer().await.expect("writer");
    for piece in content.chunks(3 * MIB) {
        let piece = Bytes::copy_from_slice(piece);
        writer.write(piece).await.expect("written");
    }
    assert!(stub.count("POST uploads") == 1 && stub.state().files.is_empty());
    writer.close().await.expect("closed");
    assert!(stub.state().files["w"] == content, "the content differs");
    assert_eq!(part_sizes(&stub), [8 * MIB, 8 * MIB, 8 * MIB, MIB]);
    writer.close().await.expect_err("closed before");

    // As much as goes into one request.
    let output = stub.file_io().new_output("s3://lake/one").expect("output");
    let mut writer = output.writer().await.expect("writer");
    writer.write(content.slice(..16 * MIB)).await.expect("written");
    writer.close().await.expect("closed");
    assert!(stub.state().files["one"] == content.slice(..16 * MIB));
    assert_eq!(stub.count("POST uploads"), 1, "only that of the other file");

    let output = stub.file_io().new_output("s3://lake/empty").expect("output");
    output
        .writer()
        .await
        .expect("writer")
        .close()
        .await
        .expect("closed");
    assert!(stub.state().files["empty"].is_empty());
}

#[tokio::test]
async fn a_writer_that_is_dropped_leaves_nothing() {
    let stub = Stub::start().await;
    let output = stub.file_io().new_output("s3://lake/w").expect("output");
    let mut writer = output.writer().await.expect("writer");
    writer.write(content(17 * MIB)).await.expect("written");
    assert_eq!(stub.state().uploads.len(), 1);
    drop(writer);
    // The abort runs in the background.
    while stub.count("DELETE uploadId") == 0 {
        tokio::task::yield_now().await;
    }
    let state = stub.state();
    assert!(state.uploads.is_empty() && state.files.is_empty());
}

#[tokio::test]
async fn only_what_is_in_the_folder_is_deleted_with_it() {
    let stub = Stub::start().await;
    let file_io = stub.file_io();
    for key in ["t/a", "t/b/c", "tt/a", "u"] {
        stub.state().files.insert(key.to_owned(), Vec::new());
    }
    file_io.delete_prefix("s3://lake/t").await.expect("deleted");
    let left: Vec<String> = stub.state().files.keys().cloned().collect();
    assert_eq!(left, ["tt/a", "u"]);
    let paths = ["s3://lake/u", "s3://lake/tt/a"].map(str::to_owned);
    file_io
        .delete_stream(futures::stream::iter(paths))
        .await
        .expect("deleted");
    assert!(stub.state().files.is_empty());
}

#[tokio::test]
async fn a_service_that_is_busy_is_asked_again() {
    let stub = Stub::start().await;
    stub.fault("PUT", 2, Answer::Refusal(503, "SlowDown", ""));
    let output = stub.file_io().new_output("s3://lake/a").expect("output");
    output.write(Bytes::from_static(b"abc")).await.expect("written");
    assert_eq!(stub.count("PUT"), 3);
    assert_eq!(stub.state().files["a"], b"abc");

    stub.fault("GET", 1, Answer::Refusal(429, "TooManyRequests", ""));
    stub.fault("GET", 1, Answer::Refusal(500, "InternalError", ""));
    let input = stub.file_io().new_input("s3://lake/a").expect("input");
    assert_eq!(input.read().await.expect("read").as_ref(), b"abc");
    assert_eq!(stub.count("GET"), 3);
}

#[tokio::test]
async fn a_download_that_breaks_off_is_resumed_or_fails() {
    let stub = Stub::start().await;
    let content = content(MIB);
    stub.state().files.insert("a".into(), content.to_vec());
    let input = stub.file_io().new_input("s3://lake/a").expect("input");

    stub.fault("GET", 1, Answer::Half { etag: true });
    assert!(
        input.read().await.expect("resumed") == content,
        "the content differs"
    );

    // Without an ETag, it is not known whether the rest belongs to the same file.
    stub.fault("GET", 1, Answer::Half { etag: false });
    let error = input.read().await.expect_err("broken off").to_string();
    assert!(error.contains("cannot read s3://lake/a"), "{error}");

    let reader = input.reader().await.expect("reader");
    stub.fault("GET", 1, Answer::Half { etag: false });
    reader.read(10..1000).await.expect_err("broken off");
    // A range beyond the end is shorter than requested.
    reader
        .read(MIB as u64 - 10..MIB as u64 + 10)
        .await
        .expect_err("too short");
}

#[tokio::test]
async fn an_object_whose_rest_comes_with_its_beginning_is_not_read() {
    let stub = Stub::start().await;
    stub.state().files.insert("raw/a".into(), content(MIB).to_vec());
    stub.fault("GET", 1, Answer::Half { etag: true });
    stub.fault("GET", 1, Answer::All);
    let objects = Objects::new(&stub.config("{}").storage).expect("settings fit");
    let object = ObjectVersion {
        bucket: "lake".into(),
        key: "raw/a".into(),
        etag: None,
        version: None,
    };
    let error = objects.read(&object, 2 << 20).await.expect_err("too long");
    assert_eq!(error.kind(), ErrorKind::Storage);
    let text = error.to_string();
    assert!(
        text.contains("1572864 bytes where 1048576 were expected"),
        "{text}"
    );
    assert_eq!(stub.count("GET raw/a"), 2);
}
