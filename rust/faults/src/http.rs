//! HTTP/1.1 messages, as far as a proxy and two test servers need them.

use std::fmt::Write as _;
use std::io::{self, ErrorKind};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The greatest length of a request head that our clients send, bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Names in lower case, values as sent, in order.
pub type Headers = Vec<(String, String)>;

/// A request without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead {
    /// Such as `GET`.
    pub method: String,
    /// Path and query, as sent.
    pub target: String,
    /// Headers.
    pub headers: Headers,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The request without its body.
    pub head: RequestHead,
    /// The complete body.
    pub body: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Headers, without those of the body's length.
    pub headers: Headers,
    /// Its body.
    pub body: Vec<u8>,
    /// The content length sent to the client, if it differs from the body's: answers to HEAD have no body.
    pub told_length: Option<usize>,
}

impl RequestHead {
    /// The path, still encoded.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// A parameter of the query, still encoded; empty if it has no value.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .find_map(|(key, value)| (key == name).then_some(value))
    }

    /// A header by its lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The length of the body, bytes.
    ///
    /// # Errors
    /// When the request does not specify it, which our clients always do.
    pub fn body_length(&self) -> io::Result<usize> {
        if self.header("transfer-encoding").is_some() {
            return Err(invalid("a request in chunks"));
        }
        match self.header("content-length") {
            None => Ok(0),
            Some(length) => length.parse().map_err(|_| invalid("a length that is no number")),
        }
    }
}

impl Response {
    /// An answer with a body and no headers.
    #[must_use]
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            told_length: None,
        }
    }

    /// The same with an additional header.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The message's bytes, and the length of its head.
    fn encoded(&self, with_body: bool) -> (Vec<u8>, usize) {
        let mut text = format!("HTTP/1.1 {} Said\r\n", self.status);
        for (name, value) in &self.headers {
            // Writing to a String cannot fail.
            let _ = write!(text, "{name}: {value}\r\n");
        }
        if self.status != 204 {
            let length = self.told_length.unwrap_or(self.body.len());
            let _ = write!(text, "content-length: {length}\r\n");
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        let head = bytes.len();
        if with_body {
            bytes.extend_from_slice(&self.body);
        }
        (bytes, head)
    }

    /// Sends the message.
    ///
    /// # Errors
    /// When the client has disconnected.
    pub async fn write(&self, to: &mut (impl AsyncWrite + Unpin), with_body: bool) -> io::Result<()> {
        to.write_all(&self.encoded(with_body).0).await?;
        to.flush().await
    }

    /// Sends its head and half of its body, or half of its head if it has no body.
    ///
    /// # Errors
    /// When the client has disconnected.
    pub async fn write_half(&self, to: &mut (impl AsyncWrite + Unpin), with_body: bool) -> io::Result<()> {
        let (bytes, head) = self.encoded(with_body);
        let body = bytes.len() - head;
        let sent = if body == 0 { head / 2 } else { head + body / 2 };
        to.write_all(&bytes[..sent]).await?;
        to.flush().await
    }
}

/// Reads the next request's head; `None` at the end of the connection. `buffer` keeps the bytes read beyond
/// it.
///
/// # Errors
/// When the connection breaks, or when the bytes are not a request.
pub async fn read_request_head(
    from: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> io::Result<Option<RequestHead>> {
    let Some(lines) = read_head(from, buffer).await? else {
        return Ok(None);
    };
    let mut words = lines.0.split(' ');
    match (words.next(), words.next()) {
        (Some(method), Some(target)) => Ok(Some(RequestHead {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: lines.1,
        })),
        _ => Err(invalid("no request")),
    }
}

/// Reads an answer. `bodiless` is set for an answer to HEAD.
///
/// # Errors
/// When the connection breaks before its end.
pub async fn read_response(
    from: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    bodiless: bool,
) -> io::Result<Response> {
    let (line, mut headers) = read_head(from, buffer)
        .await?
        .ok_or_else(|| io::Error::from(ErrorKind::UnexpectedEof))?;
    let status: u16 = line
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| invalid("no status"))?;
    let length = match find(&headers, "content-length") {
        None => None,
        Some(length) => Some(
            length
                .parse()
                .map_err(|_| invalid("a length that is no number"))?,
        ),
    };
    let chunked = find(&headers, "transfer-encoding").is_some_and(|encoding| encoding.contains("chunked"));
    let body = if bodiless || status == 204 || status == 304 {
        Vec::new()
    } else if chunked {
        read_chunks(from, buffer).await?
    } else if let Some(length) = length {
        read_exactly(from, buffer, length).await?
    } else {
        from.read_to_end(buffer).await?;
        std::mem::take(buffer)
    };
    headers.retain(|(name, _)| {
        !matches!(
            name.as_str(),
            "content-length" | "transfer-encoding" | "connection" | "keep-alive"
        )
    });
    Ok(Response {
        status,
        headers,
        body,
        told_length: if bodiless { length } else { None },
    })
}

/// Takes this many bytes of a body.
///
/// # Errors
/// When the connection breaks before that.
pub async fn read_exactly(
    from: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    length: usize,
) -> io::Result<Vec<u8>> {
    while buffer.len() < length {
        if from.read_buf(buffer).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(buffer.drain(..length).collect())
}

/// Decodes a URL-encoded text.
///
/// # Errors
/// When it is not valid URL encoding.
pub fn percent_decoded(text: &str) -> io::Result<String> {
    let wrong = || invalid("a URL that is not encoded");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first == b'%' {
            let (digits, after) = tail.split_at_checked(2).ok_or_else(wrong)?;
            let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
            bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

/// The first line and the headers.
async fn read_head(
    from: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> io::Result<Option<(String, Headers)>> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if buffer.len() > HEAD_BYTES_MAX {
            return Err(invalid("a head without an end"));
        }
        if from.read_buf(buffer).await? == 0 {
            return if buffer.is_empty() {
                Ok(None)
            } else {
                Err(ErrorKind::UnexpectedEof.into())
            };
        }
    };
    let head: Vec<u8> = buffer.drain(..end).collect();
    let head = String::from_utf8(head).map_err(|_| invalid("a head that is not UTF-8"))?;
    let mut lines = head.lines();
    let first = lines.next().unwrap_or_default().to_owned();
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Ok(Some((first, headers)))
}

async fn read_chunks(from: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(from, buffer).await?;
        let length = line.split(';').next().unwrap_or_default().trim();
        let length = usize::from_str_radix(length, 16).map_err(|_| invalid("a chunk without a length"))?;
        if length == 0 {
            // Trailers, up to an empty line.
            while !read_line(from, buffer).await?.is_empty() {}
            return Ok(body);
        }
        body.extend(read_exactly(from, buffer, length).await?);
        read_line(from, buffer).await?;
    }
}

async fn read_line(from: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> io::Result<String> {
    loop {
        if let Some(end) = buffer.windows(2).position(|window| window == b"\r\n") {
            let line: Vec<u8> = buffer.drain(..end + 2).take(end).collect();
            return String::from_utf8(line).map_err(|_| invalid("a line that is not UTF-8"));
        }
        if from.read_buf(buffer).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
}

fn find<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find_map(|(key, value)| (key == name).then_some(value.as_str()))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_are_read_by_length_by_chunks_and_to_the_end() {
        for (text, body) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP", "abc"),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
                "abc",
            ),
            ("HTTP/1.1 200 OK\r\n\r\nabc", "abc"),
            ("HTTP/1.1 204 No\r\n\r\n", ""),
        ] {
            let answer = read_response(&mut text.as_bytes(), &mut Vec::new(), false)
                .await
                .expect("whole");
            assert_eq!(answer.body, body.as_bytes(), "{text}");
            assert!(answer.headers.is_empty(), "{text}");
        }
        let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nabc";
        assert!(
            read_response(&mut cut.as_slice(), &mut Vec::new(), false)
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn requests_follow_each_other_on_one_connection() {
        let mut from =
            b"PUT /lake/a%20b?x=1&uploads HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiGET / HTTP/1.1\r\n\r\n"
                .as_slice();
        let mut buffer = Vec::new();
        let head = read_request_head(&mut from, &mut buffer)
            .await
            .expect("read")
            .expect("one");
        assert_eq!((head.method.as_str(), head.path()), ("PUT", "/lake/a%20b"));
        assert_eq!(
            (head.parameter("x"), head.parameter("uploads")),
            (Some("1"), Some(""))
        );
        let length = head.body_length().expect("told");
        assert_eq!(
            read_exactly(&mut from, &mut buffer, length).await.expect("read"),
            b"hi"
        );
        assert!(
            read_request_head(&mut from, &mut buffer)
                .await
                .expect("read")
                .is_some()
        );
        assert!(
            read_request_head(&mut from, &mut buffer)
                .await
                .expect("read")
                .is_none()
        );
        assert_eq!(percent_decoded("a%20b").expect("encoded"), "a b");
    }
}
