//! The minimum and the maximum of a page or a chunk, in Parquet's order for the type.
//!
//! parquet.thrift, `ColumnOrder` and `Statistics`: text compares bytewise. NaN is in no range. A zero is -0.0
//! as minimum and +0.0 as maximum.

use std::cmp::Ordering;

use parquet::basic::Type;
use parquet::data_type::ByteArray;
use parquet::file::statistics::{Statistics, ValueStatistics};

use crate::write::rounding::{raised, with_zeros};

/// The greatest number of bytes of a text in pruning statistics.
const TEXT_BYTES_MAX: usize = 64;

/// Two values of one type, the first at most the second.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::write) enum Range {
    /// UTF-8.
    Text(Vec<u8>, Vec<u8>),
    /// 32-bit integers.
    Int(i32, i32),
    /// 64-bit integers, times too.
    Long(i64, i64),
    /// Doubles without NaN, zeros unchanged.
    Double(f64, f64),
    /// Booleans.
    Bool(bool, bool),
}

impl Range {
    /// Extends this range by another of the same type.
    pub fn widen(&mut self, other: Range) {
        match (self, other) {
            (Range::Text(least, greatest), Range::Text(other_least, other_greatest)) => {
                if other_least < *least {
                    *least = other_least;
                }
                if other_greatest > *greatest {
                    *greatest = other_greatest;
                }
            }
            (Range::Int(least, greatest), Range::Int(other_least, other_greatest)) => {
                *least = other_least.min(*least);
                *greatest = other_greatest.max(*greatest);
            }
            (Range::Long(least, greatest), Range::Long(other_least, other_greatest)) => {
                *least = other_least.min(*least);
                *greatest = other_greatest.max(*greatest);
            }
            (Range::Double(least, greatest), Range::Double(other_least, other_greatest)) => {
                if other_least.total_cmp(least) == Ordering::Less {
                    *least = other_least;
                }
                if other_greatest.total_cmp(greatest) == Ordering::Greater {
                    *greatest = other_greatest;
                }
            }
            (Range::Bool(least, greatest), Range::Bool(other_least, other_greatest)) => {
                *least &= other_least;
                *greatest |= other_greatest;
            }
            _ => {}
        }
    }

    /// Whether both ends are at most those of the other.
    pub fn is_at_most(&self, other: &Range) -> bool {
        match (self, other) {
            (Range::Text(a, b), Range::Text(c, d)) => a <= c && b <= d,
            (Range::Int(a, b), Range::Int(c, d)) => a <= c && b <= d,
            (Range::Long(a, b), Range::Long(c, d)) => a <= c && b <= d,
            (Range::Double(a, b), Range::Double(c, d)) => a <= c && b <= d,
            (Range::Bool(a, b), Range::Bool(c, d)) => a <= c && b <= d,
            _ => false,
        }
    }

    /// A range of short texts that contains this one. `None` when the maximum has no short upper bound.
    pub fn cut(&self) -> Option<Range> {
        Some(match self {
            Range::Text(least, greatest) => Range::Text(cut_down(least).to_vec(), cut_up(greatest)?),
            other => other.clone(),
        })
    }

    /// Both values in plain encoding, for a column index.
    pub fn plain(&self) -> (Vec<u8>, Vec<u8>) {
        match self {
            Range::Text(least, greatest) => (least.clone(), greatest.clone()),
            Range::Int(least, greatest) => (least.to_le_bytes().to_vec(), greatest.to_le_bytes().to_vec()),
            Range::Long(least, greatest) => (least.to_le_bytes().to_vec(), greatest.to_le_bytes().to_vec()),
            Range::Double(least, greatest) => {
                let (least, greatest) = with_zeros(*least, *greatest);
                (least.to_le_bytes().to_vec(), greatest.to_le_bytes().to_vec())
            }
            Range::Bool(least, greatest) => (vec![u8::from(*least)], vec![u8::from(*greatest)]),
        }
    }

    /// The statistics of a column chunk's metadata; without a range, only the null count.
    pub fn statistics(range: Option<&Range>, physical_type: Type, nulls: u64) -> Statistics {
        let nulls = Some(nulls);
        match range {
            Some(Range::Text(least, greatest)) => {
                let (cut_least, cut_greatest) = (cut_down(least), cut_up(greatest));
                let least_is_exact = cut_least.len() == least.len();
                let greatest_is_exact = cut_greatest.as_ref() == Some(greatest);
                Statistics::ByteArray(
                    ValueStatistics::new(
                        Some(ByteArray::from(cut_least.to_vec())),
                        cut_greatest.map(ByteArray::from),
                        None,
                        nulls,
                        false,
                    )
                    .with_min_is_exact(least_is_exact)
                    .with_max_is_exact(greatest_is_exact),
                )
            }
            Some(Range::Int(least, greatest)) => Statistics::Int32(
                ValueStatistics::new(Some(*least), Some(*greatest), None, nulls, false)
                    .with_backwards_compatible_min_max(true),
            ),
            Some(Range::Long(least, greatest)) => Statistics::Int64(
                ValueStatistics::new(Some(*least), Some(*greatest), None, nulls, false)
                    .with_backwards_compatible_min_max(true),
            ),
            Some(Range::Double(least, greatest)) => {
                let (least, greatest) = with_zeros(*least, *greatest);
                Statistics::Double(
                    ValueStatistics::new(Some(least), Some(greatest), None, nulls, false)
                        .with_backwards_compatible_min_max(true),
                )
            }
            Some(Range::Bool(least, greatest)) => Statistics::Boolean(
                ValueStatistics::new(Some(*least), Some(*greatest), None, nulls, false)
                    .with_backwards_compatible_min_max(true),
            ),
            None => match physical_type {
                Type::BOOLEAN => Statistics::boolean(None, None, None, nulls, false),
                Type::INT32 => Statistics::int32(None, None, None, nulls, false),
                Type::INT64 => Statistics::int64(None, None, None, nulls, false),
                Type::DOUBLE => Statistics::double(None, None, None, nulls, false),
                _ => Statistics::byte_array(None, None, None, nulls, false),
            },
        }
    }
}

/// The longest prefix within the limit that ends at a character boundary.
fn cut_down(text: &[u8]) -> &[u8] {
    if text.len() <= TEXT_BYTES_MAX {
        return text;
    }
    let starts = |at: &usize| text.get(*at).is_some_and(|byte| byte & 0xc0 != 0x80);
    let end = (0..=TEXT_BYTES_MAX).rev().find(starts);
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// The shortest prefix, its last character incremented, that is at least the text; the text itself if it is
/// short.
fn cut_up(text: &[u8]) -> Option<Vec<u8>> {
    let beginning = cut_down(text);
    if beginning.len() == text.len() {
        return Some(text.to_vec());
    }
    let beginning = std::str::from_utf8(beginning).ok()?;
    raised(beginning).map(String::into_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_at_characters_and_bounds_hold() {
        let least = "é".repeat(40);
        let greatest = format!("{}zz{}", "z".repeat(62), "\u{10ffff}".repeat(3));
        let range = Range::Text(least.clone().into(), greatest.clone().into());
        let (low, high) = range.cut().unwrap().plain();
        assert_eq!(low, "é".repeat(32).as_bytes());
        assert_eq!(high, format!("{}{{", "z".repeat(63)).as_bytes());
        assert!(low.as_slice() <= least.as_bytes() && high.as_slice() >= greatest.as_bytes());
        assert_eq!(Range::Text(vec![], "\u{10ffff}".repeat(17).into()).cut(), None);
    }

    #[test]
    fn statistics_say_what_is_exact() {
        let range = Range::Text("a".into(), "b".repeat(65).into());
        let statistics = Range::statistics(Some(&range), Type::BYTE_ARRAY, 3);
        assert!(statistics.min_is_exact());
        assert!(!statistics.max_is_exact());
        assert_eq!(statistics.null_count_opt(), Some(3));
        let zeros = Range::statistics(Some(&Range::Double(0.0, -0.0)), Type::DOUBLE, 0);
        assert_eq!(zeros.min_bytes_opt(), Some((-0.0_f64).to_le_bytes().as_slice()));
        assert_eq!(zeros.max_bytes_opt(), Some(0.0_f64.to_le_bytes().as_slice()));
    }
}
