//! Which of a call's requests are stored, and which are refused whole.

use std::collections::BTreeMap;

use super::Export;
use crate::config::LimitsConfig;
use crate::decode;
use crate::error::{Error, ErrorKind, RetryClass};
use crate::reason::Reason;
use crate::request::Part;

/// The fewest bytes of a record in a request: its tag and a length of 0.
const RECORD_BYTES_MIN: u64 = 2;

/// The requests of a call, those that are refused taken out.
pub(super) struct Admission<'a> {
    export: &'a Export<'a>,
    refused: BTreeMap<usize, Refusal>,
    /// The requests that are left, once one was refused.
    left: Option<(Vec<u8>, Vec<Part>)>,
}

/// Why a request is refused.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) reason: Reason,
    /// One line for people.
    pub(super) message: String,
    /// Its records, 1 when they cannot be counted.
    pub(super) records: u64,
}

/// A request that is refused.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refused<'a> {
    pub(super) part: Part,
    pub(super) bytes: &'a [u8],
    pub(super) why: &'a Refusal,
}

impl<'a> Admission<'a> {
    /// All of them are left.
    pub(super) fn new(export: &'a Export<'a>) -> Self {
        Self {
            export,
            refused: BTreeMap::new(),
            left: None,
        }
    }

    /// The call with the requests that are left.
    pub(super) fn left(&self) -> Export<'_> {
        let (payload, parts) = match &self.left {
            Some((payload, parts)) => (payload.as_slice(), parts.as_slice()),
            None => (self.export.payload, self.export.parts),
        };
        self.with(payload, parts)
    }

    /// The call with this request alone.
    pub(super) fn only(&self, index: usize) -> Option<Export<'_>> {
        let part = self.export.parts.get(index..=index)?;
        let (_, bytes) = requests(self.export).nth(index)?;
        Some(self.with(bytes, part))
    }

    /// The indices of the requests that are left.
    pub(super) fn left_indices(&self) -> Vec<usize> {
        (0..self.export.parts.len())
            .filter(|index| !self.refused.contains_key(index))
            .collect()
    }

    /// Refuses requests.
    pub(super) fn refuse(&mut self, refused: impl IntoIterator<Item = (usize, Refusal)>) {
        let before = self.refused.len();
        self.refused.extend(refused);
        if self.refused.len() == before {
            return;
        }
        let (mut payload, mut parts) = (Vec::new(), Vec::new());
        for (index, (part, bytes)) in requests(self.export).enumerate() {
            if !self.refused.contains_key(&index) {
                payload.extend_from_slice(bytes);
                parts.push(part);
            }
        }
        self.left = Some((payload, parts));
    }

    /// Refuses the requests that have too many records.
    pub(super) fn refuse_long(&mut self, limits: &LimitsConfig) {
        let max = limits.records_per_request_max;
        if max == 0 {
            return;
        }
        let long = requests(self.export).enumerate().filter_map(|(index, (part, bytes))| {
            // Counting is for those that can be too long at all.
            if part.len / RECORD_BYTES_MIN <= max {
                return None;
            }
            let mut records = 0;
            let count = &mut |_| {
                records += 1;
                false
            };
            // What is malformed is found by conversion, which says more about it.
            decode::subset(self.export.signal, bytes, count).ok()?;
            let message = format!(
                "a request of {records} records is above limits.records_per_request_max ({max}); raise it or send smaller requests"
            );
            let reason = Reason::TooManyRecords;
            (records > max).then_some((index, Refusal { reason, message, records }))
        });
        let long: Vec<_> = long.collect();
        self.refuse(long);
    }

    /// Refuses all requests of a payload that is too large.
    ///
    /// # Errors
    /// `Limit` (permanent) for the host, when refused requests are not `kept`.
    pub(super) fn refuse_too_large(&mut self, limits: &LimitsConfig, kept: bool) -> Result<(), Error> {
        let (bytes, max) = (self.export.payload.len(), limits.payload_bytes_max);
        if bytes <= max {
            return Ok(());
        }
        let message = format!(
            "a payload of {bytes} bytes is above limits.payload_bytes_max ({max}); raise it or send smaller batches"
        );
        if !kept {
            return Err(Error::new(ErrorKind::Limit, message).class(RetryClass::Permanent));
        }
        let refusal = || Refusal {
            reason: Reason::PayloadTooLarge,
            message: message.clone(),
            records: 1,
        };
        self.refuse(
            (0..self.export.parts.len())
                .map(|index| (index, refusal()))
                .collect::<Vec<_>>(),
        );
        Ok(())
    }

    /// The requests that are refused.
    pub(super) fn refused(&self) -> impl Iterator<Item = Refused<'_>> {
        requests(self.export)
            .enumerate()
            .filter_map(|(index, (part, bytes))| {
                let why = self.refused.get(&index)?;
                Some(Refused { part, bytes, why })
            })
    }

    fn with<'b>(&self, payload: &'b [u8], parts: &'b [Part]) -> Export<'b> {
        Export {
            signal: self.export.signal,
            payload,
            parts,
            received_unix_nano: self.export.received_unix_nano,
            cancel: self.export.cancel.clone(),
            timeout: self.export.timeout,
        }
    }
}

/// The requests of a call, each with its bytes.
pub(super) fn requests<'a>(export: &Export<'a>) -> impl Iterator<Item = (Part, &'a [u8])> {
    let mut rest = export.payload;
    export.parts.iter().map(move |part| {
        let len = usize::try_from(part.len).unwrap_or(usize::MAX).min(rest.len());
        let (own, tail) = rest.split_at(len);
        rest = tail;
        (*part, own)
    })
}
