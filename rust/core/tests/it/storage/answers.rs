//! Successful answers that no S3 gives. Parsing them would take a parser of XML minutes, or much memory.

use std::fmt::Write as _;

use bytes::Bytes;

use super::stub::{Answer, Stub};

/// The requests whose answers are parsed, and the root of each answer.
const PARSED: [(&str, &str); 4] = [
    ("GET list-type", "ListBucketResult"),
    ("POST uploads", "InitiateMultipartUploadResult"),
    ("POST uploadId", "CompleteMultipartUploadResult"),
    ("POST delete", "DeleteResult"),
];

/// Success with this body.
fn success(body: String) -> Answer {
    Answer::Body(Box::leak(body.into_boxed_str()))
}

/// The error of the operation that makes this request and gets this answer.
async fn failure(stub: &Stub, request: &'static str, answer: Answer) -> String {
    stub.fault(request, 1, answer);
    let file_io = stub.file_io();
    let ended = match request {
        "GET list-type" => file_io.delete_prefix("s3://lake/t").await,
        "POST delete" => file_io.delete("s3://lake/t").await,
        _ => {
            let output = file_io.new_output("s3://lake/t").expect("output");
            output.write(Bytes::from(vec![7; 17 << 20])).await
        }
    };
    let error = ended.expect_err("not as S3 answers").to_string();
    assert_eq!(stub.count(request), 1, "{error}");
    error
}

fn check(error: &str, reason: &str) {
    for part in [
        "s3://lake/t: the answer of http://127.0.0.1:",
        reason,
        "check storage.s3.endpoint",
    ] {
        assert!(error.contains(part), "{part} in {error}");
    }
    assert!(error.len() < 400, "{error}");
}

#[tokio::test]
async fn a_tag_with_200_000_attributes_is_not_parsed() {
    let mut attributes = String::new();
    for number in 0..200_000 {
        write!(attributes, " a{number}=\"\"").expect("text");
    }
    for (request, root) in PARSED {
        // Quotes in a comment, in CDATA and in a processing instruction begin nothing.
        for before in ["", "<!-- ' -->", "<![CDATA[\"]]>", "<?a '?>"] {
            let stub = Stub::start().await;
            let body = format!("<{root}>{before}<a{attributes}></a></{root}>");
            let error = failure(&stub, request, success(body)).await;
            check(&error, "a tag in it has more than 16 attributes");
        }
    }
}

#[tokio::test]
async fn a_tag_of_a_mebibyte_is_not_parsed() {
    let long = "a".repeat(1 << 20);
    for (request, root) in PARSED {
        let stub = Stub::start().await;
        let body = format!("<{root} xmlns=\"{long}\"></{root}>");
        let error = failure(&stub, request, success(body)).await;
        check(&error, "a tag in it has more than 4096 bytes");
    }
}

#[tokio::test]
async fn an_answer_of_more_than_16_mib_is_not_read_to_its_end() {
    let long = " ".repeat(16 << 20);
    for (request, root) in PARSED {
        let stub = Stub::start().await;
        let error = failure(&stub, request, success(format!("<{root}>{long}</{root}>"))).await;
        check(&error, "it has more than 16777216 bytes");
        assert!(stub.state().uploads.is_empty(), "{request}");
    }
}

/// `object_store` panics at an error of a file that it did not ask about.
#[tokio::test]
async fn an_error_of_another_file_is_an_error_in_any_form() {
    let fields = "<Key>other</Key><Code>AccessDenied</Code><Message>No.</Message>";
    for (start, end) in [
        ("<Error>", "</Error>"),
        ("<Error xmlns=\"a\">", "</Error>"),
        ("<s3:Error>", "</s3:Error>"),
    ] {
        let stub = Stub::start().await;
        let body = format!("<DeleteResult>{start}{fields}{end}</DeleteResult>");
        let error = failure(&stub, "POST delete", success(body)).await;
        assert!(error.contains("AccessDenied: No."), "{error}");
    }
}
