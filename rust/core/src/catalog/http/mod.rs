//! HTTP to a catalog's service: requests with a signature or a token, one at a time, and what is known for
//! certain about each afterwards.

use std::fmt::Write;

use bytes::Bytes;
use reqwest::Url;
use serde::Serialize;
use serde::de::DeserializeOwned;

mod answer;
mod auth;
mod client;
mod oauth2;
mod outcome;
mod settings;
mod sigv4;

pub(super) use client::{Client, Failure, Request, place};
pub(super) use outcome::outcome_of_failure;
pub(super) use settings::{region, resolve};

use crate::error::{Error, ErrorKind, Result};

/// The JSON body of a request.
///
/// # Errors
/// `Internal` for values that JSON cannot represent.
pub(super) fn json(body: &impl Serialize) -> Result<Bytes> {
    serde_json::to_vec(body).map(Bytes::from).map_err(|cause| {
        Error::new(
            ErrorKind::Internal,
            "a request to the catalog cannot be written as JSON",
        )
        .because(cause)
    })
}

/// Parses the answer to `request`.
///
/// # Errors
/// `Catalog`, with the position at which the answer is invalid.
pub(super) fn parse<T: DeserializeOwned>(request: &Request, answer: &[u8]) -> Result<T> {
    serde_json::from_slice(answer).map_err(|cause| {
        // serde's message could repeat a credential of the answer, so errors show the position only.
        let message = format!(
            "cannot {}: the catalog's answer cannot be read; check catalog.uri",
            request.purpose
        );
        Error::new(ErrorKind::Catalog, message)
            .with("url", place(&request.url))
            .with("line", cause.line().to_string())
            .with("column", cause.column().to_string())
    })
}

/// A URL made of the catalog's URL and encoded names.
///
/// # Errors
/// `Catalog` when the parts do not form a URL.
pub(super) fn url(text: &str) -> Result<Url> {
    Url::parse(text).map_err(|cause| {
        Error::new(
            ErrorKind::Catalog,
            "the catalog gave a prefix or uri that makes no URL; check catalog.uri",
        )
        .because(cause)
    })
}

/// Encodes all characters but RFC 3986's unreserved ones as `%XX`.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
