//! Collects dead letters into objects.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::object::{Object, RejectionReport};
use super::select::{Selection, Selector};
use super::time::Utc;
use crate::convert::Rejection;
use crate::decode::{self, Place};
use crate::error::{Error, Result};
use crate::hex::append_hex;
use crate::pipeline::admission::Refused;
use crate::pipeline::work::Work;
use crate::reason::Reason;
use crate::request::RequestId;
use crate::signal::{Signal, Table};

/// Bytes of the digest in an object's name.
const DIGEST_BYTES: usize = 16;
/// The reason reported for a row beyond the partition limit.
const BEYOND: &str = "its partition is one more than limits.partitions_max allows, or its partition value is longer than 1,024 bytes";

/// The objects of one call.
#[derive(Debug)]
pub(crate) struct Collector<'a> {
    signal: Signal,
    received: Utc,
    object_bytes_max: usize,
    /// Folder and name that are derived from the call's ids.
    stem: String,
    /// What distinguishes the names of the next objects.
    suffix: String,
    /// Whole requests, as received, and objects with earlier suffixes.
    closed: Vec<Object>,
    /// Records; the last object is still open.
    objects: Vec<Object>,
    /// The reports on the records that conversion left out, the first ones in order.
    pub rejections: &'a [Rejection],
    /// The reports on tables: their names and what is wrong with them.
    pub tables: Vec<(Table, String, String)>,
}

/// A record to be kept.
#[derive(Debug, Clone, Copy)]
struct Letter<'a> {
    place: Place,
    reason: Reason,
    message: Option<&'a str>,
}

impl Collector<'_> {
    /// Creates an empty collector.
    pub(crate) fn new(work: &Work<'_>, object_bytes_max: usize) -> Self {
        let received = Utc::new(work.received);
        let mut digest = Sha256::new();
        for request in &work.requests {
            digest.update(request.id.writer);
            digest.update(request.id.sequence.to_le_bytes());
        }
        let mut stem = folder(work.signal, received);
        append_hex(&mut stem, &digest.finalize()[..DIGEST_BYTES]);
        Self {
            signal: work.signal,
            received,
            object_bytes_max,
            stem,
            suffix: String::new(),
            closed: Vec::new(),
            objects: Vec::new(),
            rejections: &[],
            tables: Vec::new(),
        }
    }

    /// Begins objects whose names have this suffix. Data that a repeated call may no longer leave out need
    /// objects of their own: the repeated call writes over its objects, and must not write less into one.
    pub(crate) fn begin(&mut self, suffix: String) {
        self.closed.append(&mut self.objects);
        self.suffix = suffix;
    }

    /// Keeps a request as received, in an object of its own that is named by the request's id.
    pub(crate) fn add_request(&mut self, refused: &Refused<'_>) {
        let id = refused.request.id;
        let mut name = folder(self.signal, self.received);
        append_hex(&mut name, &id.writer);
        // Writing to a String cannot fail.
        let _ = write!(name, "-{}.request", id.sequence);
        let mut object = Object::new(name, self.signal, self.received, true);
        object.bytes.extend_from_slice(refused.request.bytes);
        object.why.report(RejectionReport {
            request: id,
            place: None,
            records: refused.why.records,
            reason: refused.why.reason,
            table: None,
            message: Some(&refused.why.message),
        });
        self.closed.push(object);
    }

    /// Keeps records of requests, except those of requests for which `is_kept` says that they are kept
    /// already.
    ///
    /// # Errors
    /// `Decode` when one of them is malformed, which conversion would have found.
    pub(crate) fn add_records(
        &mut self,
        work: &Work<'_>,
        selection: &Selection<'_>,
        is_kept: &dyn Fn(RequestId) -> bool,
    ) -> Result<()> {
        let mut selector = Selector::new(selection);
        let mut rejections = self.rejections.iter();
        let tables = std::mem::take(&mut self.tables);
        for request in &work.requests {
            let kept = is_kept(request.id);
            let mut letters = Vec::new();
            let bytes = decode::subset(self.signal, request.bytes, &mut |place| {
                let Some(reason) = selector.next(&place) else {
                    return false;
                };
                let message = match reason {
                    Reason::TooManyPartitions => Some(BEYOND),
                    Reason::Table => told_of(&tables, place.table).map(|(_, why)| why),
                    _ => rejections.next().map(|rejection| rejection.message.as_str()),
                };
                if !kept {
                    letters.push(Letter {
                        place,
                        reason,
                        message,
                    });
                }
                !kept
            })?;
            self.add(request.id, bytes, &letters, &tables)?;
        }
        self.tables = tables;
        Ok(())
    }

    /// The collected objects.
    pub(super) fn into_objects(mut self) -> Vec<Object> {
        self.closed.append(&mut self.objects);
        self.closed
    }

    /// Appends a request that contains only dead letters. Splits it in halves when it is too large for an
    /// object, unless that writes much text twice.
    fn add(
        &mut self,
        request: RequestId,
        bytes: Vec<u8>,
        letters: &[Letter<'_>],
        tables: &[(Table, String, String)],
    ) -> Result<()> {
        if letters.is_empty() {
            return Ok(());
        }
        if bytes.len() > self.object_bytes_max && letters.len() > 1 {
            let (first, second) = letters.split_at(letters.len() / 2);
            let half = |is_first: bool| {
                let mut passed = 0;
                let keep = &mut |_| {
                    passed += 1;
                    (passed <= first.len()) == is_first
                };
                decode::subset(self.signal, &bytes, keep).map_err(Error::from)
            };
            let halves = (half(true)?, half(false)?);
            if !is_mostly_repeated(bytes.len(), halves.0.len() + halves.1.len()) {
                drop(bytes);
                self.add(request, halves.0, first, tables)?;
                return self.add(request, halves.1, second, tables);
            }
        }
        let object = self.open(bytes.len());
        object.bytes.extend_from_slice(&bytes);
        for letter in letters {
            object.why.report(RejectionReport {
                request,
                place: Some(letter.place),
                records: 1,
                reason: letter.reason,
                table: told_of(tables, letter.place.table).map(|(name, _)| name),
                message: letter.message,
            });
        }
        Ok(())
    }

    /// The object that takes the next `bytes` bytes. Concatenating serialized requests merges them.
    fn open(&mut self, bytes: usize) -> &mut Object {
        let is_open = |object: &Object| object.bytes.len() + bytes <= self.object_bytes_max;
        if !self.objects.last().is_some_and(is_open) {
            let mut name = format!("{}{}", self.stem, self.suffix);
            if !self.objects.is_empty() {
                // Writing to a String cannot fail.
                let _ = write!(name, "-{}", self.objects.len());
            }
            self.objects
                .push(Object::new(name, self.signal, self.received, false));
        }
        let last = self.objects.len() - 1;
        &mut self.objects[last]
    }
}

/// Whether two halves repeat more than a third of the whole. Each half has the resource, scope and metric of
/// its records, so records below a large one would become as many copies of it.
fn is_mostly_repeated(whole: usize, halves: usize) -> bool {
    halves.saturating_sub(whole) > whole / 3
}

/// The name of a table, and what is wrong with it.
fn told_of(tables: &[(Table, String, String)], table: Option<Table>) -> Option<(&str, &str)> {
    let (_, name, why) = tables.iter().find(|(known, ..)| Some(*known) == table)?;
    Some((name, why))
}

/// `<signal>/<day>/`.
fn folder(signal: Signal, received: Utc) -> String {
    format!("{}/{}/", signal.as_str(), received.date())
}
