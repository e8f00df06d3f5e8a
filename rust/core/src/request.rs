//! The identity of a request: ids that make a repeated delivery recognisable.

use std::fmt;

/// The identity of one request: a writer and its sequence number.
///
/// The Collector uses a random writer id per process start and a counter; the Lambda uses the content's hash
/// and 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId {
    /// The writer, 16 bytes.
    pub writer: [u8; 16],
    /// The writer's number for this request.
    pub sequence: u64,
}

/// One request inside a merged payload: its id and its length. The parts of a payload are contiguous, and
/// their lengths add up to the payload's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The request's id.
    pub id: RequestId,
    /// Length in bytes of the request's serialized message.
    pub len: u64,
}

/// A range of one writer's sequence numbers, inclusive at both ends.
///
/// Written as `<writer, 32 hex digits>:<from>-<to>`, or `<writer>:<from>` when both ends are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdRange {
    /// The writer, 16 bytes.
    pub writer: [u8; 16],
    /// First sequence number.
    pub from: u64,
    /// Last sequence number, at least `from`.
    pub to: u64,
}

impl IdRange {
    /// Sorts ids and merges them into the fewest ranges.
    #[must_use]
    pub fn from_ids(ids: impl IntoIterator<Item = RequestId>) -> Vec<IdRange> {
        Self::fold(ids.into_iter().map(|id| IdRange {
            writer: id.writer,
            from: id.sequence,
            to: id.sequence,
        }))
    }

    /// Sorts ranges and merges those that overlap or touch.
    #[must_use]
    pub fn fold(ranges: impl IntoIterator<Item = IdRange>) -> Vec<IdRange> {
        let mut ranges: Vec<IdRange> = ranges.into_iter().collect();
        ranges.sort_unstable();
        ranges.dedup_by(|next, kept| {
            let joins = next.writer == kept.writer && next.from <= kept.to.saturating_add(1);
            if joins {
                kept.to = kept.to.max(next.to);
            }
            joins
        });
        ranges
    }

    /// Whether the range contains this id.
    #[must_use]
    pub fn contains(&self, id: &RequestId) -> bool {
        self.writer == id.writer && (self.from..=self.to).contains(&id.sequence)
    }

    /// Parses the format of [`fmt::Display`]; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<IdRange> {
        let (writer_hex, span) = text.split_once(':')?;
        let (digits, []) = writer_hex.as_bytes().as_chunks::<2>() else {
            return None;
        };
        let digits: &[[u8; 2]; 16] = digits.try_into().ok()?;
        let mut writer = [0u8; 16];
        for (byte, [high, low]) in writer.iter_mut().zip(digits) {
            *byte = hex_digit(*high)? << 4 | hex_digit(*low)?;
        }
        let (from, to) = span.split_once('-').unwrap_or((span, span));
        let (from, to) = (from.parse().ok()?, to.parse().ok()?);
        (from <= to).then_some(IdRange { writer, from, to })
    }
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

impl fmt::Display for IdRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.writer {
            write!(f, "{byte:02x}")?;
        }
        write!(f, ":{}", self.from)?;
        if self.to != self.from {
            write!(f, "-{}", self.to)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(writer: u8, sequence: u64) -> RequestId {
        RequestId {
            writer: [writer; 16],
            sequence,
        }
    }

    #[test]
    fn ids_fold_into_ranges_per_writer() {
        let ranges = IdRange::from_ids([id(2, 7), id(1, 3), id(1, 1), id(1, 2), id(1, 2), id(1, 9)]);
        let text: Vec<String> = ranges.iter().map(ToString::to_string).collect();
        assert_eq!(
            text,
            [
                "01010101010101010101010101010101:1-3",
                "01010101010101010101010101010101:9",
                "02020202020202020202020202020202:7",
            ]
        );
        assert!(
            text.iter()
                .zip(&ranges)
                .all(|(t, r)| IdRange::parse(t) == Some(*r))
        );
        assert!(ranges[0].contains(&id(1, 2)) && !ranges[0].contains(&id(2, 2)));
    }

    #[test]
    fn text_of_another_form_is_no_range() {
        for text in [
            "",
            "ab:1",
            "01010101010101010101010101010101:3-1",
            "zz010101010101010101010101010101:1",
            "01010101010101010101010101010101",
            "é1010101010101010101010101010101:1",
        ] {
            assert_eq!(IdRange::parse(text), None, "{text}");
        }
    }
}
