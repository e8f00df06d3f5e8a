//! An in-memory S3 with one bucket, `lake`. It does not check signatures.

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

/// The contents of the storage.
#[derive(Debug, Default)]
pub struct State {
    /// Content by key.
    pub files: BTreeMap<String, Bytes>,
    /// Unfinished multipart uploads, by id.
    pub uploads: BTreeMap<String, Upload>,
    /// Keys that were overwritten with different bytes, which must never happen to Iceberg's files.
    pub changed: Vec<String>,
    uploads_begun: u64,
}

/// An unfinished multipart upload. It is not readable.
#[derive(Debug, Default)]
pub struct Upload {
    key: String,
    parts: BTreeMap<u32, Vec<u8>>,
}

impl Storage {
    /// The current contents.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Executes a request.
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
            ("POST", Some(upload)) => self.complete(key, &upload, &request.body),
            ("DELETE", Some(upload)) => match self.uploads.remove(&upload) {
                Some(_) => Response::new(204, ""),
                None => refusal(404, "NoSuchUpload"),
            },
            ("POST", None) if head.parameter("uploads").is_some() => self.begin_upload(key),
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

    fn begin_upload(&mut self, key: &str) -> Response {
        self.uploads_begun += 1;
        let upload = format!("upload{}", self.uploads_begun);
        let body = format!(
            "<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
        );
        let key = key.to_owned();
        let begun = Upload {
            key,
            ..Upload::default()
        };
        self.uploads.insert(upload, begun);
        Response::new(200, body)
    }

    fn put_part(&mut self, request: &Request, upload: &str) -> Response {
        let number = request.head.parameter("partNumber").unwrap_or_default().parse();
        match (self.uploads.get_mut(upload), number) {
            (Some(begun), Ok(number)) => {
                let etag = etag(&request.body);
                begun.parts.insert(number, request.body.clone());
                Response::new(200, "").with("etag", format!("\"{etag}\""))
            }
            (None, _) => refusal(404, "NoSuchUpload"),
            (_, Err(_)) => refusal(400, "InvalidArgument"),
        }
    }

    /// Assembles a file from the requested parts; each must exist with the requested tag.
    fn complete(&mut self, key: &str, upload: &str, body: &[u8]) -> Response {
        let Some(begun) = self.uploads.get(upload).filter(|begun| begun.key == key) else {
            return refusal(404, "NoSuchUpload");
        };
        let mut content = Vec::new();
        for (number, wanted) in parts_of(body) {
            match begun.parts.get(&number) {
                Some(part) if wanted.trim_matches('"') == etag(part) => content.extend_from_slice(part),
                _ => return refusal(400, "InvalidPart"),
            }
        }
        if content.is_empty() {
            return refusal(400, "MalformedXML");
        }
        self.uploads.remove(upload);
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

/// A tag that distinguishes different parts (FNV-1a).
fn etag(part: &[u8]) -> String {
    let hash = part.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// The parts that a completion requests: number and tag.
fn parts_of(body: &[u8]) -> Vec<(u32, String)> {
    let body = String::from_utf8_lossy(body);
    let between = |text: &str, name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        Some(rest.split_once('<')?.0.replace("&quot;", "\""))
    };
    let parts = body.split("<Part>").skip(1);
    parts
        .filter_map(|part| Some((between(part, "PartNumber")?.parse().ok()?, between(part, "ETag")?)))
        .collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::RequestHead;

    fn ask(storage: &Storage, method: &str, query: &str, body: &str) -> (u16, String, String) {
        let response = storage.answer(&Request {
            head: RequestHead {
                method: method.into(),
                target: format!("/{BUCKET}/f{query}"),
                headers: Vec::new(),
            },
            body: body.into(),
        });
        let etag = response.headers.iter().find(|(name, _)| *name == "etag");
        let etag = etag.map_or_else(String::new, |(_, value)| value.trim_matches('"').to_owned());
        let body = String::from_utf8_lossy(&response.body).into_owned();
        (response.status, etag, body)
    }

    #[test]
    fn parts_become_a_file_when_all_that_are_asked_for_are_there_and_not_before() {
        let storage = Storage::default();
        assert!(ask(&storage, "POST", "?uploads", "").2.contains("upload1"));
        let (_, two, _) = ask(&storage, "PUT", "?partNumber=2&uploadId=upload1", "two");
        let (_, old, _) = ask(&storage, "PUT", "?partNumber=1&uploadId=upload1", "old");
        let (_, one, _) = ask(&storage, "PUT", "?partNumber=1&uploadId=upload1", "one");
        let complete = |first: &str, last: u32| {
            let body = format!(
                "<CompleteMultipartUpload><Part><ETag>&quot;{first}&quot;</ETag><PartNumber>1</PartNumber></Part>\
                 <Part><PartNumber>{last}</PartNumber><ETag>{two}</ETag></Part></CompleteMultipartUpload>"
            );
            ask(&storage, "POST", "?uploadId=upload1", &body).0
        };
        assert_eq!(complete(&old, 2), 400);
        assert_eq!(complete(&one, 3), 400);
        assert!(storage.state().files.is_empty());
        assert_eq!(complete(&one, 2), 200);
        assert_eq!(storage.state().files["f"], "onetwo".as_bytes());
        assert_eq!(complete(&one, 2), 404);
    }

    #[test]
    fn an_upload_that_is_given_up_leaves_nothing() {
        let storage = Storage::default();
        ask(&storage, "POST", "?uploads", "");
        ask(&storage, "PUT", "?partNumber=1&uploadId=upload1", "one");
        assert_eq!(ask(&storage, "DELETE", "?uploadId=upload1", "").0, 204);
        assert_eq!(
            ask(&storage, "PUT", "?partNumber=1&uploadId=upload1", "late").0,
            404
        );
        assert!(storage.state().uploads.is_empty() && storage.state().files.is_empty());
    }
}
