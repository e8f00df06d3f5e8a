//! Reads a request's body: decodes base64, decompresses, and converts to protobuf.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use otlp2iceberg::{RequestId, Signal};

use super::answer::Form;
use super::{Request, shown};
use crate::inflate::{self, Compression, inflate};
use crate::json;
use crate::store::content_id;

/// A body that can be stored.
pub(super) struct Body {
    /// The serialized request.
    pub payload: Vec<u8>,
    /// The hash of the client's bytes before compression: a repeated request has the same one.
    pub id: RequestId,
}

/// Why a body cannot be read.
#[derive(Debug)]
pub(super) struct Refused {
    pub status: u16,
    pub message: String,
}

impl Refused {
    fn new(status: u16, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status, message }
    }
}

/// Reads the body. It consumes the request, so that memory holds only one form of the body at a time.
pub(super) fn read(request: Request, signal: Signal, form: Form, bytes_max: usize) -> Result<Body, Refused> {
    let compression = compression(request.header("content-encoding"))?;
    let bytes = if request.is_base64 {
        STANDARD
            .decode(request.body)
            .map_err(|cause| Refused::new(400, format!("the event's body is not base64: {cause}")))?
    } else if is_mangled(&request.body, compression.is_some(), form) {
        return Err(Refused::new(400, MANGLED));
    } else {
        request.body.into_bytes()
    };
    let plain = match compression {
        None if bytes.len() > bytes_max => {
            return Err(Refused::new(
                413,
                format!("more than {bytes_max} bytes (limits.payload_bytes_max); send smaller batches"),
            ));
        }
        None => bytes,
        Some(compression) => inflate(compression, &bytes, bytes_max).map_err(|failure| {
            let status = match failure {
                inflate::Failure::TooLarge { .. } => 413,
                inflate::Failure::Malformed(..) => 400,
            };
            Refused::new(status, failure.to_string())
        })?,
    };
    let id = content_id(&plain);
    let payload = match form {
        Form::Protobuf => plain,
        Form::Json => from_json(&plain, signal, bytes_max)?,
    };
    Ok(Body { payload, id })
}

const MANGLED: &str = "the body is binary and was made text on its way to the function, which destroys it: a REST API of API Gateway needs \
                       binaryMediaTypes with */* (docs/lambda.md)";

/// Whether invalid UTF-8 was replaced, as API Gateway does without `binaryMediaTypes`.
fn is_mangled(text: &str, is_compressed: bool, form: Form) -> bool {
    (is_compressed || form == Form::Protobuf) && text.contains(char::REPLACEMENT_CHARACTER)
}

fn compression(encoding: Option<&str>) -> Result<Option<Compression>, Refused> {
    match encoding.unwrap_or("").to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(None),
        "gzip" | "x-gzip" => Ok(Some(Compression::Gzip)),
        // One format: HTTP calls it deflate, and the Collector writes the name that it is configured with.
        "deflate" | "zlib" => Ok(Some(Compression::Zlib)),
        "zstd" => Ok(Some(Compression::Zstd)),
        other => Err(Refused::new(
            415,
            format!(
                "content-encoding \"{}\" is not taken; send gzip, zstd, deflate, zlib or identity",
                shown(other)
            ),
        )),
    }
}

fn from_json(text: &[u8], signal: Signal, bytes_max: usize) -> Result<Vec<u8>, Refused> {
    let payloads = json::to_protobuf(text, json::Form::Request, bytes_max).map_err(|failure| {
        let status = match failure {
            json::Failure::TooLarge { .. } => 413,
            json::Failure::Malformed(_) => 400,
        };
        Refused::new(status, failure.to_string())
    })?;
    let mut payload = Vec::new();
    for (found, bytes) in payloads.into_signals() {
        if found == signal {
            payload = bytes;
        } else if !bytes.is_empty() {
            // Ignoring it would silently lose the data with a success response.
            return Err(Refused::new(
                400,
                format!("{found} in a request to /v1/{signal}; send them to /v1/{found}"),
            ));
        }
    }
    Ok(payload)
}
