//! Checks whether a request has more records than allowed.

use super::error::DecodeError;
use super::subset::{POINT_FIELD, RECORD, field_at, last_data};
use super::wire::Reader;
use crate::signal::Signal;

/// Bytes of an empty record: a tag and a length of 0.
const RECORD_BYTES_MIN: u64 = 2;

/// The number of records in a request, if it is greater than `max`. A metric counts as its data points, or as
/// one if it has no data. Counting stops as soon as the remaining bytes are too few to reach `max`, so it is
/// cheap when records have the usual size.
///
/// # Errors
/// When the fields around the records are malformed, as far as they were read.
pub fn records_above(signal: Signal, request: &[u8], max: u64) -> Result<Option<u64>, DecodeError> {
    let mut count = Count {
        signal,
        max,
        records: 0,
        left: request.len() as u64,
    };
    count.message(request, 0)?;
    Ok((count.records > max).then_some(count.records))
}

struct Count {
    signal: Signal,
    max: u64,
    records: u64,
    /// Bytes of the request outside the records counted so far.
    left: u64,
}

impl Count {
    fn can_pass(&self) -> bool {
        self.records.saturating_add(self.left / RECORD_BYTES_MIN) > self.max
    }

    /// Counts in a message at `depth`; returns false when the request can no longer have too many records.
    fn message(&mut self, bytes: &[u8], depth: usize) -> Result<bool, DecodeError> {
        if !self.can_pass() {
            return Ok(false);
        }
        let field = field_at(depth, bytes)?;
        let mut reader = Reader::new(bytes);
        while self.can_pass() {
            let Some(tag) = reader.tag()? else { return Ok(true) };
            if tag.number != field {
                reader.skip(tag)?;
                continue;
            }
            let element = reader.bytes(tag, "element")?;
            let goes_on = match (depth, self.signal) {
                (RECORD, Signal::Metrics) => self.metric(element)?,
                (RECORD, _) => self.add(element),
                _ => self.message(element, depth + 1)?,
            };
            if !goes_on {
                break;
            }
        }
        Ok(false)
    }

    fn add(&mut self, record: &[u8]) -> bool {
        self.records += 1;
        self.left = self.left.saturating_sub(record.len() as u64 + RECORD_BYTES_MIN);
        true
    }

    fn metric(&mut self, metric: &[u8]) -> Result<bool, DecodeError> {
        let Some((_, data)) = last_data(metric)? else {
            return Ok(self.add(metric));
        };
        let mut reader = Reader::new(data);
        while self.can_pass() {
            let Some(tag) = reader.tag()? else { return Ok(true) };
            if tag.number == POINT_FIELD {
                self.add(reader.bytes(tag, "data_points")?);
            } else {
                reader.skip(tag)?;
            }
        }
        Ok(false)
    }
}
