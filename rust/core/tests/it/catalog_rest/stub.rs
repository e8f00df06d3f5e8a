//! A small HTTP/1.1 server in threads, which records requests and answers as a test wants.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::thread;

/// A request as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub method: String,
    /// Path and query, as sent.
    pub target: String,
    /// By lower-case name.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a body of JSON")
    }
}

/// The answer to send.
#[derive(Debug, Clone)]
pub enum Reply {
    /// A status, headers and a body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// The connection is closed without an answer.
    Cut,
    /// A success whose body ends before its length.
    HalfAnswer,
    /// Nothing, for as long as the server lives.
    Silence,
    /// The other reply, once the test has come to the barrier, too.
    Held(Arc<Barrier>, Box<Reply>),
}

impl Reply {
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Reply::Answer(
            status,
            vec![("content-type", "application/json".into())],
            body.to_string(),
        )
    }

    /// As Glue's REST endpoint throttles: <https://github.com/apache/iceberg/issues/17824>.
    pub fn throttled() -> Self {
        let headers = vec![
            ("content-type", "application/json".into()),
            ("x-amzn-errortype", "ThrottlingException".into()),
        ];
        Reply::Answer(400, headers, r#"{"message":"Rate exceeded"}"#.into())
    }

    pub fn error(status: u16, kind: &str, message: &str) -> Self {
        let body = serde_json::json!({"error": {"message": message, "type": kind, "code": status}});
        Reply::json(status, &body)
    }
}

type Handler = dyn Fn(&Asked) -> Reply + Send + Sync;

/// The server. It stops answering when dropped.
pub struct Stub {
    pub address: String,
    shared: Arc<Shared>,
}

struct Shared {
    handler: Box<Handler>,
    asked: Mutex<Vec<Asked>>,
    over: Mutex<bool>,
    ended: Condvar,
}

impl Stub {
    pub fn new(handler: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("address").to_string();
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            asked: Mutex::default(),
            over: Mutex::new(false),
            ended: Condvar::new(),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if *serving.over.lock().expect("lock") {
                    return;
                }
                let shared = Arc::clone(&serving);
                thread::spawn(move || {
                    // An I/O error means that the client closed the connection.
                    let _ = stream.and_then(|stream| serve(stream, &shared));
                });
            }
        });
        Self { address, shared }
    }

    pub fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().expect("lock").clone()
    }

    /// The requests of one kind, such as `POST` and a part of the target.
    pub fn asked_for(&self, method: &str, part: &str) -> Vec<Asked> {
        let mut asked = self.asked();
        asked.retain(|asked| asked.method == method && asked.target.contains(part));
        asked
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        *self.shared.over.lock().expect("lock") = true;
        self.shared.ended.notify_all();
        let _ = TcpStream::connect(&self.address);
    }
}

fn serve(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    while let Some(asked) = read_request(&mut reader)? {
        if *shared.over.lock().expect("lock") {
            return Ok(());
        }
        shared.asked.lock().expect("lock").push(asked.clone());
        if !send(&mut stream, shared, (shared.handler)(&asked))? {
            return Ok(());
        }
    }
    Ok(())
}

/// Sends a reply. Returns whether the connection stays open.
fn send(stream: &mut TcpStream, shared: &Shared, reply: Reply) -> std::io::Result<bool> {
    match reply {
        Reply::Answer(status, headers, body) => {
            let mut answer = Vec::new();
            write!(
                answer,
                "HTTP/1.1 {status} Said\r\ncontent-length: {}\r\n",
                body.len()
            )?;
            for (name, value) in headers {
                write!(answer, "{name}: {value}\r\n")?;
            }
            write!(answer, "\r\n{body}")?;
            stream.write_all(&answer)?;
            Ok(true)
        }
        Reply::Cut => Ok(false),
        Reply::HalfAnswer => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"metadata")?;
            Ok(false)
        }
        Reply::Silence => {
            let mut over = shared.over.lock().expect("lock");
            while !*over {
                over = shared.ended.wait(over).expect("lock");
            }
            Ok(false)
        }
        Reply::Held(barrier, reply) => {
            barrier.wait();
            send(stream, shared, *reply)
        }
    }
}

/// The next request, or `None` at the end of the connection.
fn read_request(reader: &mut impl BufRead) -> std::io::Result<Option<Asked>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_ascii_whitespace();
    let method = words.next().expect("method").to_owned();
    let target = words.next().expect("target").to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers
        .get("content-length")
        .map_or(0, |length| length.parse().expect("length"));
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Asked {
        method,
        target,
        headers,
        body,
    }))
}
