//! A proxy in front of one server that injects failures.
//!
//! It decides on each request once its head has arrived: see [`Fault`]. The server is either a separate one
//! or a function in this process.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::gate::Gate;
use crate::http::{self, Request, RequestHead, Response};

/// A point during the processing of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
pub enum Point {
    /// Half of its body has arrived. Same as [`Point::BeforeForward`] for a request without a body.
    HalfRequest,
    /// It has arrived completely, and the server has not received it.
    BeforeForward,
    /// The server has answered, and the client has received nothing.
    AfterForward,
    /// The client has received half of the answer.
    HalfAnswer,
}

impl Point {
    /// All points.
    pub const ALL: [Point; 4] = [
        Point::HalfRequest,
        Point::BeforeForward,
        Point::AfterForward,
        Point::HalfAnswer,
    ];
}

/// The outcome of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The client gets the server's answer.
    Pass,
    /// The same, after a delay. The server receives the request even if the client has disconnected in the
    /// meantime.
    Delay(Duration),
    /// The connection is closed, and the server never receives the request.
    DropBefore,
    /// The connection is closed after the server has answered.
    DropAfter,
    /// The connection is closed, and the server receives the request after a delay.
    Late(Duration),
    /// The client gets this status, and the server never receives the request.
    AnswerBefore(u16),
    /// The client gets this status after the server has answered.
    AnswerAfter(u16),
    /// The connection is closed in the middle of the answer.
    Truncate,
    /// The server receives the request twice, as from a proxy that repeats it; the client gets the second
    /// answer.
    Twice,
    /// The request stops at this point until the gate releases it ([`Gate::release`]).
    Stall(Point),
    /// Stalls like [`Fault::Stall`] before the server has received the request, but the server still receives
    /// it after a delay.
    StallOnItsWay(Duration),
}

/// Decides the outcome of requests.
pub trait Decide: Send + Sync {
    /// Called once for each request.
    fn decide(&self, head: &RequestHead) -> Fault;

    /// Called with the status of the answer, `None` if the connection was closed.
    fn answered(&self, _head: &RequestHead, _fault: Fault, _status: Option<u16>) {}

    /// Answers a request to the proxy itself; its path begins with [`CONTROL`].
    fn control(&self, _request: &Request) -> Response {
        Response::new(404, "there is nothing to control")
    }
}

/// The prefix of the paths of requests to the proxy itself.
pub const CONTROL: &str = "/_faultbox/";

/// A server in this process.
pub type Handler = dyn Fn(&Request) -> Response + Send + Sync;

/// The server behind the proxy.
#[derive(Clone)]
pub enum Upstream {
    /// A listening server.
    Server(SocketAddr),
    /// A function. A request is executed completely or not at all.
    Local(Arc<Handler>),
}

/// The proxy. It stops when dropped.
pub struct Faultbox {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Drop for Faultbox {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// State that the connections share.
struct Shared {
    upstream: Upstream,
    decide: Arc<dyn Decide>,
    gate: Arc<Gate>,
}

impl Faultbox {
    /// Starts serving.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn start(
        listener: TcpListener,
        upstream: Upstream,
        decide: Arc<dyn Decide>,
        gate: Arc<Gate>,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream,
            decide,
            gate,
        });
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                tokio::spawn(serve(stream, shared));
            }
        });
        Ok(Self { address, accepting })
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address as a base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let ended = tokio::select! {
        biased;
        () = shared.gate.cut_off() => None,
        ended = serve_requests(&mut stream, &shared) => Some(ended),
    };
    if ended.is_none() {
        // The process behind a cut gate is dead: it must not even see its connections end.
        std::future::pending::<()>().await;
    }
}

async fn serve_requests(stream: &mut TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(head) = http::read_request_head(stream, &mut buffer).await? {
        if head.path().starts_with(CONTROL) {
            let body = http::read_exactly(stream, &mut buffer, head.body_length()?).await?;
            let answer = shared.decide.control(&Request { head, body });
            answer.write(stream, true).await?;
            continue;
        }
        let fault = shared.decide.decide(&head);
        let answered = handle(stream, &mut buffer, head.clone(), fault, shared).await;
        let status = answered.as_ref().ok().copied().flatten();
        shared.decide.answered(&head, fault, status);
        if answered?.is_none() {
            return Ok(());
        }
    }
    Ok(())
}

/// The status that the client got; `None` if the connection must be closed.
async fn handle(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    head: RequestHead,
    fault: Fault,
    shared: &Arc<Shared>,
) -> io::Result<Option<u16>> {
    let length = head.body_length()?;
    let mut body = Vec::new();
    if fault == Fault::Stall(Point::HalfRequest) {
        body = http::read_exactly(stream, buffer, length / 2).await?;
        shared.gate.stall().await;
    }
    body.extend(http::read_exactly(stream, buffer, length - body.len()).await?);
    let request = Request { head, body };
    let with_body = request.head.method != "HEAD";
    let answer = match fault {
        Fault::DropBefore => return Ok(None),
        Fault::Late(wait) => {
            forward_later(request, wait, shared);
            return Ok(None);
        }
        Fault::StallOnItsWay(wait) => {
            forward_later(request, wait, shared);
            shared.gate.stall().await;
            return Ok(None);
        }
        Fault::AnswerBefore(status) => refusal(status),
        Fault::Delay(wait) => {
            tokio::time::sleep(wait).await;
            forward(&shared.upstream, &request).await?
        }
        Fault::Twice => {
            forward(&shared.upstream, &request).await?;
            forward(&shared.upstream, &request).await?
        }
        Fault::DropAfter => {
            forward(&shared.upstream, &request).await?;
            return Ok(None);
        }
        Fault::AnswerAfter(status) => {
            forward(&shared.upstream, &request).await?;
            refusal(status)
        }
        Fault::Truncate => {
            let answer = forward(&shared.upstream, &request).await?;
            answer.write_half(stream, with_body).await?;
            return Ok(None);
        }
        Fault::Stall(point) => {
            if point == Point::BeforeForward {
                shared.gate.stall().await;
            }
            let answer = forward(&shared.upstream, &request).await?;
            if point == Point::AfterForward {
                shared.gate.stall().await;
            }
            if point == Point::HalfAnswer {
                answer.write_half(stream, with_body).await?;
                shared.gate.stall().await;
                return Ok(None);
            }
            answer
        }
        Fault::Pass => forward(&shared.upstream, &request).await?,
    };
    answer.write(stream, with_body).await?;
    Ok(Some(answer.status))
}

/// Forwards a request after a delay, whether or not the client stays connected.
fn forward_later(request: Request, wait: Duration, shared: &Arc<Shared>) {
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        tokio::time::sleep(wait).await;
        let _ = forward(&shared.upstream, &request).await;
    });
}

/// An answer that does not come from the server. Both kinds of clients can read its body.
fn refusal(status: u16) -> Response {
    let body = format!(
        "{{\"error\": {{\"message\": \"the faultbox says {status}\", \"type\": \"Faultbox\", \"code\": {status}}}}}"
    );
    Response::new(status, body).with("content-type", "application/json")
}

async fn forward(upstream: &Upstream, request: &Request) -> io::Result<Response> {
    let address = match upstream {
        Upstream::Local(handler) => return Ok(handler(request)),
        Upstream::Server(address) => address,
    };
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let head = &request.head;
    let mut text = format!("{} {} HTTP/1.1\r\n", head.method, head.target);
    for (name, value) in &head.headers {
        if name != "connection" {
            // Writing to a String cannot fail.
            let _ = write!(text, "{name}: {value}\r\n");
        }
    }
    text.push_str("connection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).await?;
    stream.write_all(&request.body).await?;
    http::read_response(&mut stream, &mut Vec::new(), head.method == "HEAD").await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::AsyncReadExt;

    use super::*;

    struct Always(Fault);

    impl Decide for Always {
        fn decide(&self, _: &RequestHead) -> Fault {
            self.0
        }
    }

    /// The client's answer, and how often the server had received the request by then.
    async fn ask(fault: Fault) -> (String, Arc<AtomicUsize>) {
        let heard = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&heard);
        let server = Upstream::Local(Arc::new(move |request: &Request| {
            assert_eq!(request.body, b"ping");
            counting.fetch_add(1, Ordering::SeqCst);
            Response::new(200, "pong")
        }));
        let listen = || TcpListener::bind("127.0.0.1:0");
        let gate = || Arc::new(Gate::open());
        // Once through a function, and once over the network.
        let inner = Faultbox::start(
            listen().await.expect("a port"),
            server,
            Arc::new(Always(Fault::Pass)),
            gate(),
        );
        let inner = inner.expect("starts");
        let upstream = Upstream::Server(inner.address());
        let outer = Faultbox::start(
            listen().await.expect("a port"),
            upstream,
            Arc::new(Always(fault)),
            gate(),
        );
        let outer = outer.expect("starts");
        let mut client = TcpStream::connect(outer.address()).await.expect("connects");
        let request = b"POST /x HTTP/1.1\r\ncontent-length: 4\r\nconnection: close\r\n\r\nping";
        client.write_all(request).await.expect("sent");
        let mut answer = Vec::new();
        let read = client.read_to_end(&mut answer);
        // A kept-alive connection does not end; nothing more arrives on it.
        let _ = tokio::time::timeout(Duration::from_millis(200), read).await;
        std::mem::forget((inner, outer));
        (String::from_utf8(answer).expect("text"), heard)
    }

    #[tokio::test]
    async fn each_fault_is_what_it_says() {
        let whole = |status: u16, body: &str| format!("HTTP/1.1 {status} Said\r\n~{body}");
        for (fault, answer, hearings) in [
            (Fault::Pass, whole(200, "pong"), 1),
            (Fault::Delay(Duration::from_millis(1)), whole(200, "pong"), 1),
            (Fault::DropBefore, String::new(), 0),
            (Fault::DropAfter, String::new(), 1),
            (Fault::Late(Duration::from_millis(1)), String::new(), 1),
            (Fault::Late(Duration::from_secs(60)), String::new(), 0),
            (Fault::AnswerBefore(503), whole(503, "faultbox"), 0),
            (Fault::AnswerAfter(500), whole(500, "faultbox"), 1),
            (Fault::Truncate, whole(200, "po"), 1),
            (Fault::Twice, whole(200, "pong"), 2),
            (Fault::Stall(Point::HalfRequest), String::new(), 0),
            (Fault::Stall(Point::BeforeForward), String::new(), 0),
            (Fault::Stall(Point::AfterForward), String::new(), 1),
            (Fault::Stall(Point::HalfAnswer), whole(200, "po"), 1),
            (Fault::StallOnItsWay(Duration::from_millis(1)), String::new(), 1),
        ] {
            let (got, heard) = ask(fault).await;
            let (start, body) = answer.split_once('~').unwrap_or(("", ""));
            assert!(
                got.starts_with(start) && got.is_empty() == start.is_empty(),
                "{fault:?}: {got}"
            );
            assert!(got.contains(body), "{fault:?}: {got}");
            assert_eq!(got.ends_with("pong"), body == "pong", "{fault:?}: {got}");
            let is_heard = async {
                while heard.load(Ordering::SeqCst) < hearings {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            let _ = tokio::time::timeout(Duration::from_secs(10), is_heard).await;
            assert_eq!(heard.load(Ordering::SeqCst), hearings, "{fault:?}");
        }
    }
}
