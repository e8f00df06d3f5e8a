//! What the library changed in records to store them.

use std::fmt;

use otlp2iceberg::Outcome;

/// Each reason, as in the Collector's metric `otelcol_exporter_iceberg_repaired`, and what it means.
const REASONS: [(&str, &str); 6] = [
    ("invalid_utf8", "texts with U+FFFD in place of what is not UTF-8"),
    ("nesting", "values nested too deeply, stored as null"),
    (
        "invalid_id",
        "trace or span ids of a wrong length or all zero, stored as null",
    ),
    ("time_range", "times out of range, stored as null"),
    ("text_length", "texts cut at limits.value_bytes_max"),
    (
        "attribute_count",
        "attributes dropped beyond limits.attributes_max",
    ),
];

/// Counts in the order of [`REASONS`].
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Repairs([u64; REASONS.len()]);

impl Repairs {
    pub(crate) fn of(outcome: &Outcome) -> Self {
        Self([
            outcome.repaired_utf8,
            outcome.repaired_nesting,
            outcome.repaired_ids,
            outcome.repaired_times,
            outcome.cut_texts,
            outcome.dropped_attributes,
        ])
    }

    pub(crate) fn add(&mut self, more: &Self) {
        for (count, more) in self.0.iter_mut().zip(more.0) {
            *count += more;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The counts that are not zero, by reason.
    pub(crate) fn by_reason(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.told().map(|(count, reason, _)| (reason, count))
    }

    fn told(&self) -> impl Iterator<Item = (u64, &'static str, &'static str)> {
        let all = self.0.iter().zip(REASONS);
        all.filter(|(count, _)| **count > 0)
            .map(|(count, (reason, meaning))| (*count, reason, meaning))
    }
}

impl fmt::Display for Repairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (count, reason, meaning)) in self.told().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{count} {reason} ({meaning})")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_is_told_with_its_reason() {
        let outcome = Outcome {
            repaired_utf8: 1,
            repaired_nesting: 2,
            repaired_ids: 3,
            repaired_times: 4,
            cut_texts: 5,
            dropped_attributes: 6,
            ..Outcome::default()
        };
        let mut repairs = Repairs::of(&outcome);
        let reasons: Vec<(&str, u64)> = repairs.by_reason().collect();
        assert_eq!(
            reasons,
            [
                ("invalid_utf8", 1),
                ("nesting", 2),
                ("invalid_id", 3),
                ("time_range", 4),
                ("text_length", 5),
                ("attribute_count", 6)
            ]
        );
        repairs.add(&Repairs::of(&outcome));
        assert_eq!(repairs.by_reason().last(), Some(("attribute_count", 12)));
        let some = Repairs::of(&Outcome {
            repaired_times: 4,
            cut_texts: 1,
            ..Outcome::default()
        });
        assert_eq!(
            some.to_string(),
            "4 time_range (times out of range, stored as null); 1 text_length (texts cut at limits.value_bytes_max)"
        );
        assert!(Repairs::of(&Outcome::default()).is_empty() && !some.is_empty());
    }
}
