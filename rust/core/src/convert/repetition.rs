//! Limits how many attributes the records of a request get from their resource, scope and metric.

use super::context::Context;
use crate::reason::Reason;

/// The greatest number of such attributes in one request, counted for each record that gets them. They are
/// sent once and stored with each record, so a request of some kilobytes could stand for billions. A million
/// records may have 128 each.
const REPEATED_MAX: usize = 1 << 27;
/// The same for a request without bytes. Many small ones come in one batch.
const REPEATED_SMALL: usize = 1 << 22;
/// What each of its bytes adds. An empty record has two, and records of real senders some fifty and more.
const REPEATED_PER_BYTE: usize = 64;

/// The attributes that are left to the current request.
pub(super) struct Repetition {
    left: usize,
}

impl Repetition {
    /// At the start of a request of this many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        let max = REPEATED_SMALL.saturating_add(bytes.saturating_mul(REPEATED_PER_BYTE));
        Self {
            left: max.min(REPEATED_MAX),
        }
    }

    /// Returns how many of these records can be stored, the first ones, if each gets this many attributes.
    pub(super) fn take(&mut self, records: usize, attributes: usize) -> usize {
        let stored = records.min(self.left.checked_div(attributes).unwrap_or(records));
        self.left -= stored * attributes;
        stored
    }
}

/// Rejects a record beyond the limit (rule 12).
#[cold]
pub(super) fn reject(context: &mut Context, path: impl FnOnce() -> String, attributes: usize) {
    let message = format!(
        "with the {attributes} attributes of its resource, scope and metric, the records have too many for the request's size; send \
         fewer such records at a time"
    );
    context.reject(path, Reason::RecordTooLarge, message);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_stored_until_their_attributes_are_too_many() {
        let mut repetition = Repetition::new(1 << 30);
        assert_eq!(repetition.take(usize::MAX, 0), usize::MAX);
        assert_eq!(repetition.take(1_000_000, 128), 1_000_000);
        let left = REPEATED_MAX - 128_000_000;
        assert_eq!(repetition.take(left, 1000), left / 1000);
        assert_eq!(repetition.take(1, 1000), 0);
        assert_eq!(repetition.take(1, 1), 1);
    }

    #[test]
    fn small_requests_get_less() {
        assert_eq!(Repetition::new(0).take(usize::MAX, 1), 1 << 22);
        assert_eq!(Repetition::new(1000).take(usize::MAX, 1), (1 << 22) + 64_000);
    }
}
