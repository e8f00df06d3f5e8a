//! Why data was rejected: a small set of codes that hosts use for counting.

/// Why a record, a point or a whole request was rejected. Numbers and names are part of the C ABI and of
/// metrics: never change or reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The request is not a well-formed message.
    Malformed = 0,
    /// The request exceeds `limits.payload_bytes_max`.
    PayloadTooLarge = 1,
    /// The request has more records than `limits.records_per_request_max`.
    TooManyRecords = 2,
    /// A metric without data.
    NoData = 3,
    /// A data point that contradicts itself, or has a number that no column can hold.
    InvalidPoint = 4,
    /// A record that alone exceeds a column of a batch.
    RecordTooLarge = 5,
    /// A row beyond the partitions that a call may open.
    TooManyPartitions = 6,
    /// The table cannot hold the rows, and a retry cannot help.
    Table = 7,
    /// The request makes the library panic: a bug.
    Panic = 8,
}

impl Reason {
    /// Every reason, by its number.
    pub const ALL: [Reason; 9] = [
        Reason::Malformed,
        Reason::PayloadTooLarge,
        Reason::TooManyRecords,
        Reason::NoData,
        Reason::InvalidPoint,
        Reason::RecordTooLarge,
        Reason::TooManyPartitions,
        Reason::Table,
        Reason::Panic,
    ];

    /// The reason's name in metrics and dead letters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::Malformed => "malformed",
            Reason::PayloadTooLarge => "payload_too_large",
            Reason::TooManyRecords => "too_many_records",
            Reason::NoData => "no_data",
            Reason::InvalidPoint => "invalid_point",
            Reason::RecordTooLarge => "record_too_large",
            Reason::TooManyPartitions => "too_many_partitions",
            Reason::Table => "table",
            Reason::Panic => "panic",
        }
    }
}

/// The number of rejections for each reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReasonCounts([u64; Reason::ALL.len()]);

impl ReasonCounts {
    /// Adds to a reason.
    pub fn add(&mut self, reason: Reason, count: u64) {
        // One element per variant of `Reason`.
        self.0[reason as usize] += count;
    }

    /// The number of rejections for this reason.
    #[must_use]
    pub fn of(&self, reason: Reason) -> u64 {
        self.0[reason as usize]
    }

    /// The total number of rejections.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_stand_at_their_numbers_and_have_names_of_their_own() {
        for (number, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number);
            let namesakes = Reason::ALL
                .iter()
                .filter(|other| other.as_str() == reason.as_str());
            assert_eq!(namesakes.count(), 1, "{reason:?}");
        }
    }
}
