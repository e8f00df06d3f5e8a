//! Checksums of uploads, which buckets with Object Lock on AWS require and other services may refuse.

use std::collections::HashMap;

use bytes::Bytes;
use iceberg::io::FileIO;
use otlp2iceberg::config::Config;
use otlp2iceberg::storage::file_io;

use super::stub::Stub;
use crate::own_process;

const CHECKSUM: &str = "x-amz-checksum-sha256";

/// Writes a small and a large file.
async fn write(file_io: &FileIO) {
    for (path, length) in [("s3://lake/a", 3), ("s3://lake/b", 17 << 20)] {
        let output = file_io.new_output(path).expect("output");
        output.write(Bytes::from(vec![7; length])).await.expect("written");
    }
}

/// The stub takes the place of AWS as a proxy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_to_aws_carry_checksums() {
    let stub = Stub::start().await;
    let proxy = format!("http://127.0.0.1:{}", stub.port);
    own_process::run(
        "storage::checksums::body_of_uploads",
        &[
            ("HTTP_PROXY", proxy.as_str()),
            ("http_proxy", proxy.as_str()),
            ("NO_PROXY", ""),
            ("no_proxy", ""),
        ],
    );
    let state = stub.state();
    let header = |method: &str, part: &str, name: &str| -> Vec<Option<String>> {
        let requests = state.requests.iter();
        let found = requests.filter(|request| request.method == method && request.query.contains(part));
        found.map(|request| request.headers.get(name).cloned()).collect()
    };
    let puts = header("PUT", "", CHECKSUM);
    assert_eq!(puts.len(), 4, "a small file, and three parts");
    assert!(puts.iter().all(Option::is_some), "{puts:?}");
    let small = "an3G9CZyQvAfZjakXDHaUcA22h6YeavOfh0Kqnaq2HY=";
    assert_eq!(puts[0].as_deref(), Some(small));
    let begun = header("POST", "uploads", "x-amz-checksum-algorithm");
    assert_eq!(begun, [Some("SHA256".to_owned())]);
    let completed = state
        .requests
        .iter()
        .find(|request| request.method == "POST" && request.query.contains("uploadId"));
    let body = String::from_utf8(completed.expect("completed").body.clone()).expect("text");
    assert_eq!(body.matches("<ChecksumSHA256>").count(), 3, "{body}");
}

#[tokio::test]
#[ignore = "run by uploads_to_aws_carry_checksums"]
async fn body_of_uploads() {
    let json = r#"{"storage": {"s3": {"endpoint": "http://s3.eu-west-1.amazonaws.com", "region": "eu-west-1",
        "access_key_id": "AKIDTEST", "secret_access_key": "hush"}}}"#;
    let config = Config::from_json(json.as_bytes()).expect("valid");
    write(&file_io("s3://lake", &HashMap::new(), &config.storage).expect("settings fit")).await;
}

#[tokio::test]
async fn uploads_to_other_services_carry_none() {
    let stub = Stub::start().await;
    write(&stub.file_io()).await;
    let state = stub.state();
    for request in &state.requests {
        let names: Vec<_> = request
            .headers
            .keys()
            .filter(|name| name.contains("checksum"))
            .collect();
        assert!(
            names.is_empty(),
            "{names:?}: {} {}",
            request.method,
            request.query
        );
    }
    assert_eq!(state.files.len(), 2);
}
