//! The requests that a call stores, wherever their bytes are.

use super::Export;
use crate::clock::now_unix_nano;
use crate::error::{Error, ErrorKind, Result};
use crate::request::RequestId;
use crate::signal::Signal;

/// A request: its id and its serialized message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) id: RequestId,
    pub(super) bytes: &'a [u8],
}

/// Requests of one signal, in order. Removing some does not copy the others.
#[derive(Debug, Clone)]
pub(super) struct Work<'a> {
    pub(super) signal: Signal,
    pub(super) requests: Vec<Request<'a>>,
    /// When the oldest was received, nanoseconds since the Unix epoch.
    pub(super) received: u64,
    /// Whether a table holds all of them or none, and only files are needed of them. Then the files can be
    /// written before it is known which.
    pub(super) releases_payload: bool,
}

impl<'a> Work<'a> {
    /// `received_unix_nano` 0 means now.
    pub(super) fn new(signal: Signal, requests: Vec<Request<'a>>, received_unix_nano: u64) -> Self {
        let received = match received_unix_nano {
            0 => now_unix_nano(),
            received => received,
        };
        Self {
            signal,
            requests,
            received,
            releases_payload: false,
        }
    }

    /// A payload in one piece.
    ///
    /// # Errors
    /// `InvalidArgument` when the parts do not add up to the payload.
    pub(super) fn of(export: &Export<'a>) -> Result<Self> {
        let mut rest = export.payload;
        let mut requests = Vec::with_capacity(export.parts.len());
        for part in export.parts {
            let split = usize::try_from(part.len)
                .ok()
                .and_then(|len| rest.split_at_checked(len));
            let Some((bytes, tail)) = split else {
                return Err(not_the_sum(export));
            };
            requests.push(Request { id: part.id, bytes });
            rest = tail;
        }
        if !rest.is_empty() {
            return Err(not_the_sum(export));
        }
        Ok(Self::new(export.signal, requests, export.received_unix_nano))
    }

    /// The same call with these requests.
    pub(super) fn with(&self, requests: impl IntoIterator<Item = Request<'a>>) -> Self {
        Self {
            requests: requests.into_iter().collect(),
            ..*self
        }
    }

    /// The total bytes of the requests.
    pub(super) fn bytes(&self) -> usize {
        self.requests.iter().map(|request| request.bytes.len()).sum()
    }

    /// The serialized messages.
    pub(super) fn messages(&self) -> impl Iterator<Item = &'a [u8]> + Clone {
        self.requests.iter().map(|request| request.bytes)
    }
}

fn not_the_sum(export: &Export<'_>) -> Error {
    let total = export
        .parts
        .iter()
        .fold(0, |sum: u64, part| sum.saturating_add(part.len));
    Error::new(
        ErrorKind::InvalidArgument,
        format!(
            "the lengths of the request's parts add up to {total} bytes, the payload has {}",
            export.payload.len()
        ),
    )
}
