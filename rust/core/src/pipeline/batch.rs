//! Requests that the library holds for a host, from their arrival until they are stored.

use super::prepared::Prepared;
use super::request_memory::{self, Chunk, Holder};
use super::work::{Request, Work};
use crate::error::{Error, ErrorKind, Result};
use crate::request::RequestId;
use crate::signal::Signal;

/// A smaller message is copied behind others when batches are merged; a larger one is moved.
const SMALL_BYTES: usize = 64 << 10;
/// Size of the chunks in which small messages are collected.
const CHUNK_BYTES: usize = 512 << 10;

/// Requests of one signal.
///
/// Their bytes are held until their rows are in durable files, then released. The remaining work needs only
/// the files: see [`super::Pipeline::export_batch`].
#[derive(Debug)]
pub struct Batch {
    signal: Signal,
    /// Whether another batch, of this process or an earlier one, may have had some of the requests.
    redelivered: bool,
    /// Empty once their bytes were released.
    requests: Requests,
    /// The remaining work once their bytes were released.
    prepared: Option<Prepared>,
    /// Dropped after the requests.
    _holder: Holder,
}

/// Requests in the order of arrival.
#[derive(Debug, Default)]
struct Requests {
    /// Each request's id and length in bytes.
    parts: Vec<(RequestId, usize)>,
    /// Their bytes without gaps. Each request's bytes are in one chunk.
    chunks: Vec<Chunk>,
    bytes: usize,
}

impl Batch {
    /// Creates an empty batch.
    #[must_use]
    pub fn new(signal: Signal) -> Self {
        Self {
            signal,
            redelivered: false,
            requests: Requests::default(),
            prepared: None,
            _holder: Holder::new(),
        }
    }

    /// Reserves capacity for `requests` more requests.
    ///
    /// # Errors
    /// `InvalidArgument` when the bytes of the batch were already released.
    pub fn reserve(&mut self, requests: usize) -> Result<()> {
        self.requests_mut()?.parts.reserve(requests);
        Ok(())
    }

    /// Copies a request, a serialized `Export*ServiceRequest`, to the end of the batch.
    ///
    /// # Errors
    /// `InvalidArgument` when the bytes of the batch were already released.
    pub fn append(&mut self, id: RequestId, message: &[u8]) -> Result<()> {
        self.requests_mut()?.append(id, message);
        Ok(())
    }

    /// Marks some of the requests as redelivered, as when a queue on disk is read again after a restart. An
    /// earlier attempt may have stored some and not others, so the bytes are held until the end.
    pub fn set_redelivered(&mut self) {
        self.redelivered = true;
    }

    /// Moves all requests of another batch of the same signal into this one. The other is empty then.
    ///
    /// # Errors
    /// `InvalidArgument` when the signals differ, or the bytes of one of them were already released. Both
    /// batches are unchanged then.
    pub fn merge(&mut self, other: &mut Batch) -> Result<()> {
        if self.signal != other.signal {
            return Err(invalid("batches of different signals cannot be merged"));
        }
        let others = other.requests_mut()?;
        self.requests_mut()?.merge(others);
        self.redelivered |= other.redelivered;
        Ok(())
    }

    /// The signal of the requests.
    #[must_use]
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// Number of bytes held; 0 once they were released.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.requests.bytes
    }

    /// The concatenated messages of the requests, in pieces.
    ///
    /// # Errors
    /// `InvalidArgument` when they were already released.
    pub fn pieces(&self) -> Result<impl Iterator<Item = &[u8]>> {
        Ok(self.requests()?.chunks.iter().map(|chunk| &**chunk))
    }

    /// The requests as a call's work.
    ///
    /// # Errors
    /// `InvalidArgument` when their bytes were already released.
    pub(super) fn work(&self, received_unix_nano: u64) -> Result<Work<'_>> {
        let requests = self.requests()?.views();
        Ok(Work::new(self.signal, requests, received_unix_nano))
    }

    /// Whether no request was in another batch before, so that a table holds all of them or none.
    pub(super) fn is_first(&self) -> bool {
        !self.redelivered
    }

    /// The remaining work, once the bytes were released.
    pub(super) fn prepared(&mut self) -> Option<&mut Prepared> {
        self.prepared.as_mut()
    }

    /// Releases the bytes. Returns the remaining work.
    pub(super) fn release_payload(&mut self, prepared: Prepared) -> &mut Prepared {
        self.requests = Requests::default();
        request_memory::trim();
        self.prepared.insert(prepared)
    }

    fn requests(&self) -> Result<&Requests> {
        self.prepared.is_none().then_some(&self.requests).ok_or_else(gone)
    }

    fn requests_mut(&mut self) -> Result<&mut Requests> {
        self.prepared
            .is_none()
            .then_some(&mut self.requests)
            .ok_or_else(gone)
    }
}

impl Requests {
    fn append(&mut self, id: RequestId, message: &[u8]) {
        self.parts.push((id, message.len()));
        self.bytes += message.len();
        self.add(message);
    }

    /// Appends bytes, to the last chunk if there is room.
    fn add(&mut self, bytes: &[u8]) {
        match self.chunks.last_mut() {
            _ if bytes.is_empty() => {}
            Some(last) if last.has_room(bytes.len()) => last.append(bytes),
            _ => {
                let mut chunk = Chunk::with_room(bytes.len());
                chunk.append(bytes);
                self.chunks.push(chunk);
            }
        }
    }

    /// Most batches have one request. Merging neither keeps many small chunks nor copies large ones.
    fn merge(&mut self, other: &mut Self) {
        self.parts.append(&mut other.parts);
        self.bytes += std::mem::take(&mut other.bytes);
        for chunk in other.chunks.drain(..) {
            if chunk.len() >= SMALL_BYTES {
                self.chunks.push(chunk);
                continue;
            }
            if !self.chunks.last().is_some_and(|last| last.has_room(chunk.len())) {
                self.chunks.push(Chunk::with_room(CHUNK_BYTES));
            }
            self.add(&chunk);
        }
    }

    fn views(&self) -> Vec<Request<'_>> {
        let mut chunks = self.chunks.iter();
        let mut rest: &[u8] = &[];
        let view = |(id, len): &(RequestId, usize)| {
            if rest.is_empty() && *len > 0 {
                rest = chunks.next().map_or(&[], |chunk| &**chunk);
            }
            let (bytes, tail) = rest.split_at(rest.len().min(*len));
            rest = tail;
            Request { id: *id, bytes }
        };
        self.parts.iter().map(view).collect()
    }
}

fn gone() -> Error {
    invalid("the batch was exported before, and its bytes were let go")
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(sequence: u64) -> RequestId {
        RequestId {
            writer: [1; 16],
            sequence,
        }
    }

    #[test]
    fn requests_stay_whole_and_in_order_however_they_are_merged() {
        let message = |number: usize, len: usize| vec![u8::try_from(number % 251).expect("small"); len];
        let lens = [
            0,
            3,
            SMALL_BYTES,
            1,
            CHUNK_BYTES,
            0,
            SMALL_BYTES - 1,
            7,
            2 * CHUNK_BYTES,
            5,
        ];
        let mut batch = Batch::new(Signal::Logs);
        let mut expected = Vec::new();
        for (number, len) in lens.iter().cycle().take(40).copied().enumerate() {
            let mut next = Batch::new(Signal::Logs);
            next.append(id(number as u64), &message(number, len))
                .expect("new");
            next.append(id(1000 + number as u64), &message(number + 1, 2))
                .expect("new");
            batch.merge(&mut next).expect("of one signal");
            assert_eq!(next.bytes(), 0, "everything was taken");
            assert!(next.work(1).expect("held").requests.is_empty());
            expected.push((id(number as u64), message(number, len)));
            expected.push((id(1000 + number as u64), message(number + 1, 2)));
        }
        let work = batch.work(1).expect("held");
        let found: Vec<_> = work
            .requests
            .iter()
            .map(|request| (request.id, request.bytes.to_vec()))
            .collect();
        assert!(found == expected, "ids and bytes as they came");
        let pieces: Vec<u8> = batch.pieces().expect("held").flatten().copied().collect();
        let whole: Vec<u8> = expected.into_iter().flat_map(|(_, bytes)| bytes).collect();
        assert!(pieces == whole && batch.bytes() == whole.len());
    }

    #[test]
    fn small_messages_share_chunks_and_large_ones_are_not_copied() {
        let mut batch = Batch::new(Signal::Traces);
        for sequence in 0..5_000 {
            let mut next = Batch::new(Signal::Traces);
            next.append(id(sequence), &[0; 300]).expect("new");
            batch.merge(&mut next).expect("of one signal");
        }
        let mut large = Batch::new(Signal::Traces);
        large.append(id(9_999), &vec![1; SMALL_BYTES]).expect("new");
        let place = large.requests().expect("held").chunks[0].as_ptr();
        batch.merge(&mut large).expect("of one signal");
        let chunks = &batch.requests().expect("held").chunks;
        assert_eq!(chunks.len(), 1 + 5_000_usize.div_ceil(CHUNK_BYTES / 300) + 1 - 1);
        assert_eq!(chunks.last().expect("some").as_ptr(), place);
    }

    #[test]
    fn batches_of_different_signals_are_not_merged() {
        let (mut logs, mut traces) = (Batch::new(Signal::Logs), Batch::new(Signal::Traces));
        traces.append(id(1), b"x").expect("new");
        let error = logs.merge(&mut traces).expect_err("not the same");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert_eq!((logs.bytes(), traces.bytes()), (0, 1));
    }
}
