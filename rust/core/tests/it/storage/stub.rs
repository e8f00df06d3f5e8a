//! A small S3 in this process: one bucket, `lake`, that keeps files in memory, records every request and
//! answers as a test wants. It does not verify signatures.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use iceberg::io::FileIO;
use otlp2iceberg::config::Config;
use otlp2iceberg::storage::file_io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// One request, as received.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// Without the bucket.
    pub key: String,
    pub query: String,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

/// The answer to matching requests.
pub struct Fault {
    /// `PUT partNumber=2`: the method, and a part of the key or the query.
    pub matches: &'static str,
    /// The number of requests. Later ones are answered as usual.
    pub times: usize,
    pub answer: Answer,
}

#[derive(Clone)]
pub enum Answer {
    /// A status, a code of S3, and other headers.
    Refusal(u16, &'static str, &'static str),
    /// Success, with this body.
    Body(&'static str),
    /// The usual answer, cut off after half of its body.
    Half { etag: bool },
    /// All of the file, whatever range was asked for.
    All,
    /// The request is performed, and the connection closed without an answer.
    Lost,
    /// The request is performed, and nothing is ever answered.
    Silence,
}

#[derive(Default)]
pub struct State {
    pub files: BTreeMap<String, Vec<u8>>,
    pub uploads: BTreeMap<String, BTreeMap<u32, Vec<u8>>>,
    pub requests: Vec<Request>,
    pub faults: Vec<Fault>,
    /// The only accepted access key, if set. Temporary credentials of others have expired.
    pub accepts: Option<&'static str>,
    /// How long each part of an upload keeps the line busy, which all share.
    pub part_takes: Duration,
    uploads_begun: usize,
}

pub struct Stub {
    pub port: u16,
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Stub {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("address").port();
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        let line = Arc::<tokio::sync::Mutex<()>>::default();
        let server = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, Arc::clone(&shared), Arc::clone(&line)));
            }
        });
        Self { port, state, server }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("lock")
    }

    pub fn fault(&self, matches: &'static str, times: usize, answer: Answer) {
        self.state().faults.push(Fault {
            matches,
            times,
            answer,
        });
    }

    /// The number of requests with this method and this text in the key or query.
    pub fn count(&self, matches: &str) -> usize {
        let state = self.state();
        let requests = state.requests.iter();
        requests.filter(|request| request.matches(matches)).count()
    }

    pub fn config(&self, catalog: &str) -> Config {
        config(self.port, catalog)
    }

    pub fn file_io(&self) -> FileIO {
        let config = self.config("{}");
        file_io("s3://lake/otel", &HashMap::new(), &config.storage).expect("settings fit")
    }
}

pub fn config(port: u16, catalog: &str) -> Config {
    let json = format!(
        r#"{{"catalog": {catalog}, "storage": {{"s3": {{"endpoint": "http://127.0.0.1:{port}", "region": "eu-west-1",
            "access_key_id": "AKIDTEST", "secret_access_key": "hush", "session_token": "hush-too"}}}}}}"#
    );
    Config::from_json(json.as_bytes()).expect("valid configuration")
}

impl Request {
    fn matches(&self, pattern: &str) -> bool {
        let (method, part) = pattern.split_once(' ').unwrap_or((pattern, ""));
        self.method == method && (self.key.contains(part) || self.query.contains(part))
    }

    pub fn is_signed_with(&self, key: &str) -> bool {
        let authorization = self.headers.get("authorization");
        authorization.is_some_and(|text| text.contains(&format!("Credential={key}/")))
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query
            .split('&')
            .filter_map(|pair| pair.split_once('=').or(Some((pair, ""))))
            .find_map(|(key, value)| (key == name).then_some(value))
    }
}

struct Response {
    status: u16,
    headers: String,
    body: Vec<u8>,
}

impl Response {
    fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: String::new(),
            body: body.into(),
        }
    }

    fn refusal(status: u16, code: &str) -> Self {
        // Like S3, with parts of the request that must not be repeated.
        Self::new(
            status,
            format!(
                "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>The stub says {code}.</Message>\
                 <AWSAccessKeyId>AKIDTEST</AWSAccessKeyId><StringToSign>hush</StringToSign></Error>"
            ),
        )
    }
}

/// What is sent of an answer.
enum Sent {
    /// So many bytes of its body.
    Bytes(usize),
    /// Nothing, and the connection is closed.
    Nothing,
    /// Nothing, and the connection stays open.
    Never,
}

async fn serve(mut connection: TcpStream, state: Arc<Mutex<State>>, line: Arc<tokio::sync::Mutex<()>>) {
    let mut buffer = Vec::new();
    while let Some(request) = receive(&mut connection, &mut buffer).await {
        let head = request.method == "HEAD";
        let (response, sent, part_takes) = {
            let mut state = state.lock().expect("lock");
            state.requests.push(request.clone());
            let (response, sent) = answer(&mut state, &request);
            (response, sent, state.part_takes)
        };
        if !part_takes.is_zero() && request.parameter("partNumber").is_some() {
            let _busy = line.lock().await;
            tokio::time::sleep(part_takes).await;
        }
        let sent = match sent {
            Sent::Bytes(sent) => sent,
            Sent::Nothing => return,
            Sent::Never => std::future::pending().await,
        };
        let mut text = format!("HTTP/1.1 {} Said\r\n{}", response.status, response.headers);
        write!(text, "Content-Length: {}\r\n\r\n", response.body.len()).expect("text");
        let body = if head { &[] } else { &response.body[..sent] };
        let written = connection.write_all(&[text.as_bytes(), body].concat()).await;
        if written.is_err() || (!head && sent < response.body.len()) {
            return;
        }
    }
}

async fn receive(connection: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Request> {
    let head_len = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if connection.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(buffer.drain(..head_len).collect()).expect("text");
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?);
    // A proxy is given the whole URL.
    let target = target
        .strip_prefix("http://s3.eu-west-1.amazonaws.com")
        .unwrap_or(target);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers
        .get("content-length")
        .map_or(0, |length| length.parse().expect("a number"));
    while buffer.len() < length {
        if connection.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    Some(Request {
        method,
        key: decoded(path.strip_prefix("/lake").unwrap_or(path)),
        query: query.to_owned(),
        headers,
        body: buffer.drain(..length).collect(),
    })
}

/// A key from a URL's path.
fn decoded(path: &str) -> String {
    let mut pieces = path.trim_start_matches('/').split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (code, rest) = piece.split_at(2);
        bytes.push(u8::from_str_radix(code, 16).expect("hexadecimal"));
        bytes.extend(rest.as_bytes());
    }
    String::from_utf8(bytes).expect("UTF-8")
}

fn answer(state: &mut State, request: &Request) -> (Response, Sent) {
    let all_of = |response: Response| {
        let sent = Sent::Bytes(response.body.len());
        (response, sent)
    };
    if state.accepts.is_some_and(|key| !request.is_signed_with(key)) {
        return all_of(Response::refusal(400, "ExpiredToken"));
    }
    let fault = state
        .faults
        .iter_mut()
        .find(|fault| fault.times > 0 && request.matches(fault.matches));
    let fault = fault.map(|fault| {
        fault.times -= 1;
        fault.answer.clone()
    });
    match fault {
        None => all_of(usual(state, request)),
        Some(Answer::Refusal(status, code, headers)) => {
            let mut response = Response::refusal(status, code);
            response.headers.push_str(headers);
            all_of(response)
        }
        Some(Answer::Body(body)) => all_of(Response::new(200, body)),
        Some(Answer::Half { etag }) => {
            let mut response = usual(state, request);
            if !etag {
                response.headers = response.headers.replace("ETag", "No-ETag");
            }
            let sent = Sent::Bytes(response.body.len() / 2);
            (response, sent)
        }
        Some(Answer::All) => {
            let mut request = request.clone();
            request.headers.remove("range");
            all_of(usual(state, &request))
        }
        Some(Answer::Lost) => (usual(state, request), Sent::Nothing),
        Some(Answer::Silence) => (usual(state, request), Sent::Never),
    }
}

fn usual(state: &mut State, request: &Request) -> Response {
    let upload = request.parameter("uploadId").map(str::to_owned);
    match (request.method.as_str(), upload) {
        ("PUT", Some(upload)) => {
            let part = request.parameter("partNumber").expect("a part");
            let Some(parts) = state.uploads.get_mut(&upload) else {
                return Response::refusal(404, "NoSuchUpload");
            };
            parts.insert(part.parse().expect("a number"), request.body.clone());
            let mut response = with_etag(Response::new(200, ""));
            if let Some(checksum) = request.headers.get("x-amz-checksum-sha256") {
                write!(response.headers, "x-amz-checksum-sha256: {checksum}\r\n").expect("text");
            }
            response
        }
        ("POST", Some(upload)) => {
            let Some(parts) = state.uploads.remove(&upload) else {
                return Response::refusal(404, "NoSuchUpload");
            };
            let parts: Vec<_> = parts.into_values().collect();
            // Like R2: all parts but the last have one length.
            let lengths = parts.iter().rev().skip(1).map(Vec::len);
            if lengths.clone().min() != lengths.max() {
                return Response::refusal(400, "InvalidPart");
            }
            let content = parts.concat();
            state.files.insert(request.key.clone(), content);
            Response::new(
                200,
                "<CompleteMultipartUploadResult><ETag>\"e\"</ETag></CompleteMultipartUploadResult>",
            )
        }
        ("DELETE", Some(upload)) => match state.uploads.remove(&upload) {
            Some(_) => Response::new(204, ""),
            None => Response::refusal(404, "NoSuchUpload"),
        },
        ("POST", None) if request.query.starts_with("uploads") => {
            state.uploads_begun += 1;
            let upload = format!("upload{}", state.uploads_begun);
            let body = format!(
                "<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
            );
            state.uploads.insert(upload, BTreeMap::new());
            Response::new(200, body)
        }
        ("PUT", None) => {
            let (key, content) = (request.key.clone(), request.body.clone());
            state.files.insert(key, content);
            with_etag(Response::new(200, ""))
        }
        ("POST", None) if request.query.starts_with("delete") => {
            let body = String::from_utf8_lossy(&request.body);
            let mut answer = "<DeleteResult>".to_owned();
            for key in body.split("<Key>").skip(1) {
                let (key, _) = key.split_once("</Key>").expect("an end");
                state.files.remove(key);
                write!(answer, "<Deleted><Key>{key}</Key></Deleted>").expect("text");
            }
            Response::new(200, answer + "</DeleteResult>")
        }
        ("GET", None) if request.parameter("list-type").is_some() => list(state, request),
        ("GET" | "HEAD", None) => match state.files.get(&request.key) {
            Some(content) => read(content, request),
            None => Response::refusal(404, "NoSuchKey"),
        },
        _ => Response::refusal(501, "NotInTheStub"),
    }
}

fn list(state: &State, request: &Request) -> Response {
    let prefix = decoded(request.parameter("prefix").unwrap_or_default());
    let mut body = "<ListBucketResult>".to_owned();
    for (key, content) in &state.files {
        if key.starts_with(&prefix) {
            write!(
                body,
                "<Contents><Key>{key}</Key><Size>{}</Size><LastModified>2026-01-02T03:04:05.000Z</LastModified></Contents>",
                content.len()
            )
            .expect("text");
        }
    }
    body.push_str("</ListBucketResult>");
    Response::new(200, body)
}

fn read(content: &[u8], request: &Request) -> Response {
    let mut response = match request.headers.get("range") {
        None => Response::new(200, content),
        Some(range) => {
            let range = range.strip_prefix("bytes=").expect("bytes");
            let (start, end) = range.split_once('-').expect("a range");
            let start: usize = start.parse().expect("a number");
            let end = end.parse::<usize>().map_or(content.len(), |end| end + 1);
            let end = end.min(content.len());
            let mut response = Response::new(206, &content[start..end]);
            response.headers = format!("Content-Range: bytes {start}-{}/{}\r\n", end - 1, content.len());
            response
        }
    };
    response
        .headers
        .push_str("Last-Modified: Fri, 02 Jan 2026 03:04:05 GMT\r\n");
    with_etag(response)
}

fn with_etag(mut response: Response) -> Response {
    response.headers.push_str("ETag: \"e\"\r\n");
    response
}
