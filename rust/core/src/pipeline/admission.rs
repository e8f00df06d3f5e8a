//! Which of a call's requests are stored, and which are refused as a whole.

use std::collections::BTreeMap;

use super::work::{Request, Work};
use crate::config::LimitsConfig;
use crate::decode;
use crate::error::{Error, ErrorKind, RetryClass};
use crate::reason::Reason;

/// The requests of a call, and which of them are refused.
pub(super) struct Admission<'a> {
    work: &'a Work<'a>,
    refused: BTreeMap<usize, Refusal>,
}

/// Why a request is refused.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) reason: Reason,
    /// One line for people.
    pub(super) message: String,
    /// Its records; 1 when they cannot be counted.
    pub(super) records: u64,
}

/// A refused request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refused<'a> {
    pub(super) request: Request<'a>,
    pub(super) why: &'a Refusal,
}

impl<'a> Admission<'a> {
    /// Begins with no refused requests.
    pub(super) fn new(work: &'a Work<'a>) -> Self {
        Self {
            work,
            refused: BTreeMap::new(),
        }
    }

    /// The requests that are not refused.
    pub(super) fn left(&self) -> Work<'a> {
        let requests = self.work.requests.iter().enumerate();
        let left = requests.filter(|(index, _)| !self.refused.contains_key(index));
        self.work.with(left.map(|(_, request)| *request))
    }

    /// This request alone.
    pub(super) fn only(&self, index: usize) -> Work<'a> {
        self.work.with(self.work.requests.get(index).copied())
    }

    /// The indices of the requests that are not refused.
    pub(super) fn left_indices(&self) -> Vec<usize> {
        (0..self.work.requests.len())
            .filter(|index| !self.refused.contains_key(index))
            .collect()
    }

    /// Refuses requests.
    pub(super) fn refuse(&mut self, refused: impl IntoIterator<Item = (usize, Refusal)>) {
        self.refused.extend(refused);
    }

    /// Refuses the requests that have too many records.
    pub(super) fn refuse_long(&mut self, limits: &LimitsConfig) {
        let max = limits.records_per_request_max;
        if max == 0 {
            return;
        }
        let requests = self.work.requests.iter().enumerate();
        let long = requests.filter_map(|(index, request)| {
            // Conversion finds malformed requests, and reports more about them.
            let records = decode::records_above(self.work.signal, request.bytes, max).ok()??;
            let message = format!(
                "a request of {records} records is above limits.records_per_request_max ({max}); raise it or send smaller requests"
            );
            let reason = Reason::TooManyRecords;
            Some((index, Refusal { reason, message, records }))
        });
        let long: Vec<_> = long.collect();
        self.refuse(long);
    }

    /// Refuses the requests that are too large. The number of requests in a batch does not matter: the limits
    /// of rows and of bytes in flight bound what a batch costs.
    ///
    /// # Errors
    /// `Limit` (permanent) for the host, when no request is left and refused ones are not `kept`.
    pub(super) fn refuse_large(&mut self, limits: &LimitsConfig, kept: bool) -> Result<(), Error> {
        let max = limits.payload_bytes_max;
        let requests = self.work.requests.iter().enumerate();
        let large = requests.filter(|(_, request)| request.bytes.len() > max);
        let large = large.map(|(index, request)| {
            let message = format!(
                "a request of {} bytes is above limits.payload_bytes_max ({max}); raise it or send smaller requests",
                request.bytes.len()
            );
            let reason = Reason::PayloadTooLarge;
            let records = 1;
            (index, Refusal { reason, message, records })
        });
        let large: Vec<_> = large.collect();
        if let Some((_, first)) = large.first()
            && large.len() == self.work.requests.len()
            && !kept
        {
            return Err(Error::new(ErrorKind::Limit, first.message.clone()).class(RetryClass::Permanent));
        }
        self.refuse(large);
        Ok(())
    }

    /// The refused requests.
    pub(super) fn refused(&self) -> impl Iterator<Item = Refused<'_>> {
        self.refused.iter().filter_map(|(index, why)| {
            let request = *self.work.requests.get(*index)?;
            Some(Refused { request, why })
        })
    }
}
