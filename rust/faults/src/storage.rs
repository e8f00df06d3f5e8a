//! An S3 in memory: one bucket, `lake`. It does not check signatures.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::http::{Request, Response, percent_decoded};

/// The bucket.
pub const BUCKET: &str = "lake";

/// The server.
#[derive(Debug, Default)]
pub struct Storage {
    state: Mutex<State>,
}

/// What it holds.
#[derive(Debug, Default)]
pub struct State {
    /// Content by key.
    pub files: BTreeMap<String, Bytes>,
    /// Parts by number, by upload.
    pub uploads: BTreeMap<String, BTreeMap<u32, Vec<u8>>>,
    /// Keys that were written again with other bytes, which Iceberg's files never may be.
    pub changed: Vec<String>,
    uploads_begun: u64,
}

impl Storage {
    /// What it holds now.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries a request out.
    #[must_use]
    pub fn answer(&self, request: &Request) -> Response {
        let path = percent_decoded(request.head.path()).unwrap_or_default();
        let Some(key) = path.strip_prefix(&format!("/{BUCKET}")) else {
            return refusal(404, "NoSuchBucket");
        };
        self.state().answer(request, key.trim_start_matches('/'))
    }
}

impl State {
    /// Stores a file.
    pub fn put(&mut self, key: &str, content: Bytes) {
        let is_other = self.files.get(key).is_some_and(|before| *before != content);
        self.files.insert(key.to_owned(), content);
        if is_other {
            self.changed.push(key.to_owned());
        }
    }

    fn answer(&mut self, request: &Request, key: &str) -> Response {
        let head = &request.head;
        let upload = head.parameter("uploadId").map(str::to_owned);
        match (head.method.as_str(), upload) {
            ("PUT", Some(upload)) => self.put_part(request, &upload),
            ("POST", Some(upload)) => self.complete(key, &upload),
            ("DELETE", Some(upload)) => match self.uploads.remove(&upload) {
                Some(_) => Response::new(204, ""),
                None => refusal(404, "NoSuchUpload"),
            },
            ("POST", None) if head.parameter("uploads").is_some() => self.begin_upload(),
            ("POST", None) if head.parameter("delete").is_some() => self.delete_many(&request.body),
            ("PUT", None) => {
                self.put(key, request.body.clone().into());
                Response::new(200, "").with("etag", "\"e\"")
            }
            ("DELETE", None) => {
                self.files.remove(key);
                Response::new(204, "")
            }
            ("GET", None) if head.parameter("list-type").is_some() => self.list(request),
            ("GET" | "HEAD", None) => match self.files.get(key) {
                Some(content) => read(content, request),
                None => refusal(404, "NoSuchKey"),
            },
            _ => refusal(501, "NotImplemented"),
        }
    }

    fn begin_upload(&mut self) -> Response {
        self.uploads_begun += 1;
        let upload = format!("upload{}", self.uploads_begun);
        let body = format!(
            "<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
        );
        self.uploads.insert(upload, BTreeMap::new());
        Response::new(200, body)
    }

    fn put_part(&mut self, request: &Request, upload: &str) -> Response {
        let number = request.head.parameter("partNumber").unwrap_or_default().parse();
        match (self.uploads.get_mut(upload), number) {
            (Some(parts), Ok(number)) => {
                parts.insert(number, request.body.clone());
                Response::new(200, "").with("etag", "\"e\"")
            }
            (None, _) => refusal(404, "NoSuchUpload"),
            (_, Err(_)) => refusal(400, "InvalidArgument"),
        }
    }

    fn complete(&mut self, key: &str, upload: &str) -> Response {
        let Some(parts) = self.uploads.remove(upload) else {
            return refusal(404, "NoSuchUpload");
        };
        let content = parts.into_values().collect::<Vec<_>>().concat();
        self.put(key, content.into());
        let body = "<CompleteMultipartUploadResult><ETag>\"e\"</ETag></CompleteMultipartUploadResult>";
        Response::new(200, body)
    }

    fn delete_many(&mut self, body: &[u8]) -> Response {
        let body = String::from_utf8_lossy(body);
        let mut answer = "<DeleteResult>".to_owned();
        for part in body.split("<Key>").skip(1) {
            let key = part.split("</Key>").next().unwrap_or_default();
            self.files.remove(key);
            let _ = write!(answer, "<Deleted><Key>{key}</Key></Deleted>");
        }
        Response::new(200, answer + "</DeleteResult>")
    }

    fn list(&self, request: &Request) -> Response {
        let prefix =
            percent_decoded(request.head.parameter("prefix").unwrap_or_default()).unwrap_or_default();
        let mut body = "<ListBucketResult>".to_owned();
        for (key, content) in self.files.iter().filter(|(key, _)| key.starts_with(&prefix)) {
            let size = content.len();
            let _ = write!(
                body,
                "<Contents><Key>{key}</Key><Size>{size}</Size><LastModified>2026-01-02T03:04:05.000Z</LastModified></Contents>"
            );
        }
        Response::new(200, body + "</ListBucketResult>")
    }
}

fn read(content: &Bytes, request: &Request) -> Response {
    let length = content.len();
    let range = request
        .head
        .header("range")
        .and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let response = match range {
        None => Response::new(200, content.to_vec()),
        Some((start, end)) => {
            let start = start.parse::<usize>().unwrap_or(0).min(length);
            let end = end
                .parse::<usize>()
                .map_or(length, |last| last + 1)
                .clamp(start, length);
            Response::new(206, &content[start..end]).with(
                "content-range",
                format!("bytes {start}-{}/{length}", end.saturating_sub(1)),
            )
        }
    };
    response
        .with("etag", "\"e\"")
        .with("last-modified", "Fri, 02 Jan 2026 03:04:05 GMT")
}

fn refusal(status: u16, code: &str) -> Response {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{code}</Message></Error>");
    Response::new(status, body)
}
